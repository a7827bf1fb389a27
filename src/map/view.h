// View: a mapping of part of a memfd, for a user's loads and stores, whose first access to each page is asked
// about by a Userfault. It knows addresses, the memfd's pages, and what the kernel makes of them; whose pages
// they are, and what may be accessed when, its owner knows.
//
// Who calls: any thread, at any time, until the View is destroyed; not in the child of a fork, which does not
// have the mapping. The calls wait for no access and no IO. They wait for one another: those that change what is
// mapped (fail(), clear_failed(), set_access(), unmap()) and any other, for as long as a system call takes. So
// nothing is ever done to an address that is somebody else's by then.
//
// The states of a page, and what leads from one to another:
//
//                resolve(kLoads)                 unprotect()
//     asks ----------------------> bars stores --------------> open
//      ^ |                              ^                      |  ^
//      | |                              +------- protect() ----+  |
//      | +---- resolve(kLoadsAndStores) --------------------------+
//      |
//      +------ zap(), from either of those
//      +------ clear_failed(), from failed, which any of them becomes by fail()
//
//   asks          no translation: an access gives a fault, Kind::kMissing or Kind::kMinor
//   bars stores   loads go through; a store gives a fault, Kind::kProtected
//   open          loads and stores go through (stores with Access::kReadWrite; without, SIGSEGV)
//   failed        accesses raise SIGBUS
//   closed        by close_off(), from any, for good: accesses raise SIGSEGV; the addresses are the view's still
//   unmapped      by unmap(), from any, for good: accesses raise SIGSEGV
//
// A view of a Userfault that lets stores through by itself (Userfault::Options::async_stores) watches: resolve() with
// Grant::kMarkedStores leads to open, and so does a store to a page that bars stores. stored() tells which pages are
// not protected any more, and protects them again. protect() has no meaning there.
//
// Invariants:
//  1. An access goes through only where resolve() or unprotect() let it. Beyond the memfd's size it raises SIGBUS,
//     and nobody is asked.
//  2. When zap() has returned no translation is left, and when protect() has, no store goes through. Neither of
//     them can fail.
//  3. Whoever waits for an access to a page that fails or is unmapped goes on, into the signal.
//  4. A range is one system call, unless its pages were given different access, or were unmapped or failed in
//     between; or the program cut it up for the kernel, by mlock() or madvise() of a part.
//
// Failed pages. Where the kernel can poison (Feature::kPoison), a failure ends by zap() and resolve() too, and by
// set_access() without Feature::kResolveProtected. Elsewhere each failed run is replaced by a mapping of an empty
// memfd, which is two more mappings to the kernel (vm.max_map_count bounds them); and to end that takes more than
// one call: an access at just that time may raise SIGSEGV instead of SIGBUS.
#ifndef QUIRE_MAP_VIEW_H_
#define QUIRE_MAP_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "map/page_runs.h"
#include "map/userfault.h"
#include "quire/limits.h"
#include "quire/result.h"
#include "sync/atomic.h"
#include "sync/rw_lock.h"

namespace quire::map {

// What the program may do with the memory, as far as the pages let it.
enum class Access : std::uint8_t { kRead, kReadWrite };

class View {
 public:
  // The bytes of `memfd` from `offset` on; they may lie beyond its size. REQUIRES: whole pages, not empty; the
  // memfd stays open, and the Userfault, as long as the View. Errors: those of mmap(2) and Userfault::enroll().
  static Result<std::unique_ptr<View>> map(Userfault& userfault, int memfd, std::uint64_t offset,
                                           std::size_t pages, Access access);
  // Unmaps what is left.
  ~View();
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  // All of it, unmapped parts too.
  std::span<std::byte> memory() const { return memory_; }
  std::size_t pages() const { return memory_.size() / limits::kPageBytes; }
  // How many of them are mapped still, and not closed off.
  std::size_t mapped_pages() const;
  // All of the range is mapped, and the program may access it so, as far as set_access() says.
  bool allows(std::size_t first, std::size_t count, Access access) const;
  // The page that the address is in, if it is in this view.
  std::optional<std::size_t> page_of(const std::byte* address) const;

  // All ranges of pages: not empty, and in the view. Unmapped parts of them are passed over, but by resolve() and
  // unprotect().

  // Makes translations to the memfd's pages, up to the first that stops it: Stop::kGone for one that is unmapped
  // or was replaced; else see Userfault::resolve(). Whoever waits for what was done goes on. The caller makes
  // sure that the memfd's pages may be accessed so.
  Done resolve(std::size_t first, std::size_t count, Grant grant);
  // Lets stores through, and whoever waits for that, up to the first page that stops it. Stops: kGone, if that is the
  // first and it is unmapped or failed; kPartly, if it is a later one, or has other access; kNoMemory.
  Done unprotect(std::size_t first, std::size_t count);
  // Bars stores. What has no translation is asked about anyway.
  void protect(std::size_t first, std::size_t count) noexcept;
  // Stores go through without a fault. Constant.
  bool watches() const noexcept { return userfault_.store_marks() != nullptr; }
  // Which of the pages are mapped here; and which may have been stored into since this was last asked, or since
  // resolve(), closed ones too: by zap() and close_off() nothing is forgotten. REQUIRES: watches(), and
  // StoreMarks::kPagesMax pages at most.
  struct Stored {
    StoreMarks::Pages mapped;
    StoreMarks::Pages stored;
  };
  Stored stored(std::size_t first, std::size_t count) noexcept;
  // Takes the translations away. Who waits for an access goes on waiting.
  void zap(std::size_t first, std::size_t count) noexcept;
  // Whoever waits for an access tries again.
  void wake(std::size_t first, std::size_t count) noexcept;

  // From now on accesses raise SIGBUS, and whoever waits for one gets it. Pages beyond the memfd's size are left:
  // they do so anyway. Errors: ENOMEM, then part of the range may not have failed. To fail the whole view takes
  // no more mappings than it has.
  Status fail(std::size_t first, std::size_t count);
  // From now on accesses to failed pages are asked about again. Errors: ENOMEM, then some pages fail still.
  Status clear_failed(std::size_t first, std::size_t count);

  // As mprotect(2). Errors: ENOMEM, then part of the range may have changed: of neighbours that had the same access all
  // or none.
  Status set_access(std::size_t first, std::size_t count, Access access);
  // Before unmap(), for who must know first whether it can be: whoever accesses the range gets SIGSEGV from now on, and
  // it is one that the kernel can unmap without needing more mappings. Sets *count to the pages, from the first on, for
  // which that is so. Errors: ENOMEM, then it is less than it was, and the rest is mapped as before.
  //
  // Where the kernel has come half way, and refuses to go back too (another thread has taken the last mapping at just
  // that time), accesses to a part of what failed may raise SIGSEGV, until set_access() or close_off() is repeated.
  Status close_off(std::size_t first, std::size_t* count);
  // As munmap(2); whoever waits for an access goes on, into SIGSEGV. Errors: ENOMEM, then part of the range may be
  // unmapped.
  Status unmap(std::size_t first, std::size_t count);

 private:
  struct State {
    bool mapped = true;
    bool closed = false;    // not mapped any more, and not unmapped yet
    bool replaced = false;  // failed, by a mapping of the empty memfd
    Access access = Access::kRead;
    friend bool operator==(const State&, const State&) = default;
  };
  using Runs = PageRuns<State>;
  using Run = Runs::Run;
  class Shared;
  class Alone;

  View(Userfault& userfault, int memfd, std::uint64_t offset, std::span<std::byte> memory,
       Access access);

  std::span<std::byte> bytes(std::size_t first, std::size_t count) const {
    return memory_.subspan(first * limits::kPageBytes, count * limits::kPageBytes);
  }
  // Calls `act(Run)` for each run of the range that is `wanted`.
  template <class Wanted, class Act>
  void for_each(std::size_t first, std::size_t count, Wanted&& wanted, Act&& act) const;
  // Calls `act(Run)`, which gives a Status, for each run of the range that is `wanted`, until one has failed, and
  // has `change(State&)` say what is so of it then.
  template <class Wanted, class Act, class Change>
  Status for_each_change(std::size_t first, std::size_t count, Wanted&& wanted, Act&& act,
                         Change&& change);
  // mprotect(2) of the run; if that fails it is made undone. kSome: that failed too.
  enum class Changed : std::uint8_t { kAll, kNone, kSome };
  Changed change_protection(const Run& run, int to) noexcept;
  void drop_translations(std::span<std::byte> range) noexcept;
  Status poison(std::span<std::byte> range);
  Status replace(const Run& run);
  Status restore(const Run& run);

  Userfault& userfault_;
  const int memfd_;
  const std::uint64_t offset_;
  const std::span<std::byte> memory_;
  // Shared over each call that acts on addresses, alone over those that change what is mapped.
  sync::RwLock lock_{sync::Rank::kView};
  Runs runs_;
  sync::Atomic<bool> poisoned_{false};  // some page may be
};

}  // namespace quire::map

#endif  // QUIRE_MAP_VIEW_H_
