// Userfault: a userfaultfd of this process, by which the kernel asks Quire at each access to a mapping that has no
// translation, or one that bars stores, and by which Quire answers. It knows addresses only: of files and pages
// nothing (view.h knows which memfd is where).
//
//   access to an enrolled range        what next() gives                  what answers it
//   no translation, memfd has the page Kind::kMinor, store or load        resolve()
//   no translation, memfd has a hole   Kind::kMissing, store or load      the page put there, then resolve()
//   translation that bars stores       Kind::kProtected, a store          unprotect()
//   any of them                                                           poison(): SIGBUS; wake(): it tries again
//   beyond the memfd's size            nothing: the kernel raises SIGBUS by itself
//
// The accessing thread sleeps until one of the answers, and then repeats its access, which may fault again. It also
// sleeps through the unmapping of its range: whoever unmaps wakes.
//
// Who calls: any thread, at any time. No call waits for a fault or for IO; each operation is one system call, and
// each is counted. Not in the child of a fork: there the descriptor still stands for the parent's memory.
//
// Invariants:
//  1. No operation does more than it says it did: `bytes` counts the pages from the first on that it changed. Where it
//     stopped nobody was woken; who faulted there sleeps on.
//  2. What the kernel at hand lacks, or the caller has refused, is never asked of it: Stop::kUnsupported.
//  3. Enrolled ranges are gone before it is closed (closing lets every sleeping access go on past Quire).
#ifndef QUIRE_MAP_USERFAULT_H_
#define QUIRE_MAP_USERFAULT_H_

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

#include "map/store_marks.h"
#include "quire/result.h"
#include "sync/atomic.h"

namespace quire::map {

// What a kernel may lack, or not allow this process.
enum class Feature : std::uint8_t {
  kUserfault,     // a userfaultfd of any kind
  kKernelFaults,  // faults raised by system calls too; else those fail with EFAULT
  kMinor,  // minor faults and write protection of shared memory: Linux 5.19. Without it open() fails
  kThreadId,          // Fault::thread
  kResolveProtected,  // resolve() for loads alone: Linux 6.4
  kPoison,            // poison(): Linux 6.6
  kAsyncStores,       // Options::async_stores: Linux 6.7
};

class FeatureSet {
 public:
  constexpr FeatureSet() = default;
  constexpr FeatureSet(std::initializer_list<Feature> features) {
    for (const Feature feature : features) add(feature);
  }
  constexpr void add(Feature feature) { bits_ |= bit(feature); }
  constexpr bool has(Feature feature) const { return (bits_ & bit(feature)) != 0; }

 private:
  static constexpr unsigned bit(Feature feature) { return 1u << static_cast<unsigned>(feature); }
  unsigned bits_ = 0;
};

// One access that waits.
struct Fault {
  enum class Kind : std::uint8_t { kMissing, kMinor, kProtected };

  std::byte* page = nullptr;  // the first byte of the page that was accessed
  Kind kind = Kind::kMissing;
  bool store = false;
  pid_t thread = 0;  // who waits; 0 without Feature::kThreadId
};

// What stopped an operation.
enum class Stop : std::uint8_t {
  kNothing,      // all is done
  kPartly,       // it was done up to some page; the same call from there on tells why
  kHole,         // the memfd has no such page
  kMapped,       // there is a translation already
  kPastEnd,      // beyond the memfd's size
  kGone,         // not enrolled, not all in one enrolled mapping, or the process is ending
  kNoMemory,     // for page tables
  kLost,         // the memfd's page cannot be had: its memory is broken, or could not be swapped in
  kUnsupported,  // see Feature; nothing was asked of the kernel
};

struct Done {
  std::size_t bytes = 0;
  Stop stop = Stop::kNothing;

  bool all() const { return stop == Stop::kNothing; }
  friend bool operator==(const Done&, const Done&) = default;
};

// What a page is resolved for.
enum class Grant : std::uint8_t {
  kLoads,
  kLoadsAndStores,
  kMarkedStores,  // both, and the first store leaves a mark; with Options::async_stores
};
// Whether those who wait for the range go on.
enum class Wake : std::uint8_t { kYes, kNo };

// System calls, by what they do. Those from kMap on are of views.
enum class Call : std::uint8_t {
  kEnroll,
  kLeave,
  kResolve,
  kProtect,
  kUnprotect,
  kPoison,
  kWake,
  kRead,
  kMap,
  kUnmap,
  kZap,
  kAccess,
  kScan,
};
inline constexpr std::size_t kCalls = 13;

class Userfault {
 public:
  // How it was opened.
  enum class Origin : std::uint8_t {
    kSystemCall,
    kDevice,    // /dev/userfaultfd
    kUserMode,  // by the system call, without Feature::kKernelFaults
  };
  struct Options {
    FeatureSet
        refuse;  // treated as if the kernel lacked them, so that what is done instead can be tested
    // A store to a protected page lifts the protection in the kernel, and nobody is asked: store_marks() tells of it.
    // Where that is lacking, open() fails; so it does without /proc. There is no resolve() for loads alone.
    bool async_stores = false;
    // Nobody is asked: an access that would be raises SIGBUS in the thread that makes it, whose handler may answer.
    // next() never gives anything, and a system call that makes such an access fails with EFAULT.
    bool in_thread = false;
  };

  // Errors: what userfaultfd(2) says, with what to do about it; ENOTSUP if the kernel lacks what Quire needs.
  static Result<std::unique_ptr<Userfault>> open(const Options& options);
  // REQUIRES: no View of it is left.
  ~Userfault();
  Userfault(const Userfault&) = delete;
  Userfault& operator=(const Userfault&) = delete;

  bool has(Feature feature) const { return features_.has(feature); }
  Origin origin() const { return origin_; }
  // A memfd of size 0, whose mappings raise SIGBUS at every access.
  int empty_file() const { return empty_file_; }

  // All ranges: whole pages, not empty.

  // From now on accesses to `range` are asked about. REQUIRES: it maps a memfd, MAP_SHARED. Errors: ENOMEM, EBUSY if it
  // is enrolled elsewhere, EINVAL if it is not such a mapping.
  Status enroll(std::span<std::byte> range);
  // They are no longer; who waits there goes on, past Quire.
  Status leave(std::span<std::byte> range);
  // Makes translations to the memfd's pages. Grant::kLoads: a store faults again. Grant::kMarkedStores REQUIRES
  // store_marks(). Stops: kHole, kMapped, kPastEnd,
  // kGone, kPartly, kNoMemory, kLost; kUnsupported for kLoads without Feature::kResolveProtected.
  Done resolve(std::span<std::byte> range, Grant grant, Wake wake = Wake::kYes);
  // Stores to the range fault from now on. Pages without a translation are marked too, which costs the page tables
  // for them; a later resolve() overrides the mark. Stops: kGone and kNoMemory; then any part may be done, and `bytes`
  // is 0.
  Done protect(std::span<std::byte> range);
  // They do not. Stops: as protect().
  Done unprotect(std::span<std::byte> range, Wake wake = Wake::kYes);
  // Accesses raise SIGBUS, until translations are taken away or made there, or the memfd is cut short and grown
  // again. Stops: kMapped where there is a translation, a mark or poison, kPastEnd, kGone, kPartly, kNoMemory,
  // kUnsupported.
  Done poison(std::span<std::byte> range, Wake wake = Wake::kYes);
  // Who waits in the range tries again. It need not be mapped any more.
  void wake(std::span<std::byte> range);

  // Which pages were stored into. Null without Options::async_stores.
  StoreMarks* store_marks() noexcept { return store_marks_.get(); }

  // Takes the faults that wait to be asked about, as many as there are and fit. Each is given once. Never waits.
  std::size_t next(std::span<Fault> faults);
  // For poll(): readable when next() would give something.
  int fd() const { return fd_; }

  std::uint64_t calls(Call call) const { return calls_[index(call)].load(); }

  // For View.
  void count(Call call) noexcept { calls_[index(call)].fetch_add(1, std::memory_order_relaxed); }
  void view_made() noexcept { views_.fetch_add(1); }
  void view_gone() noexcept { views_.fetch_sub(1); }

 private:
  friend struct UserfaultPeer;  // lets the tests say what the kernel answers

  Userfault(Origin origin, int fd) : origin_(origin), fd_(fd) {}
  static Done done(int error, std::int64_t moved, std::size_t wanted);
  static constexpr std::size_t index(Call call) { return static_cast<std::size_t>(call); }

  Status negotiate(const Options& options, std::uint64_t offered);
  // Tries the one thing that no feature bit tells of.
  Result<bool> resolves_protected();

  const Origin origin_;
  const int fd_;
  int empty_file_ = -1;
  std::unique_ptr<StoreMarks> store_marks_;
  FeatureSet features_;
  sync::Atomic<std::size_t> views_{0};
  std::array<sync::Atomic<std::uint64_t>, kCalls> calls_{};
};

// Why each way to open one failed, as an errno. For open() and its tests.
struct OpenErrors {
  int by_call = 0;
  int by_device = 0;
  int user_mode = 0;
};
// What to do about it.
std::string how_to_allow_userfault(const OpenErrors& errors);
// What to do where Feature::kKernelFaults alone is lacking.
std::string how_to_allow_kernel_faults();

}  // namespace quire::map

#endif  // QUIRE_MAP_USERFAULT_H_
