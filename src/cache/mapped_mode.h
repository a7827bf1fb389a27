// MappedMode: whether programs map one file, and how long it has memory that they can map (file_memory.h).
//
//            begin()                            end(), the last
//   none ----------------> mapped ------------------------------------> leaving
//    ^                       ^                                            |  |
//    |                       +-------------- join() ----------------------+  |
//    +--------------------------- the last use ends: ~Use(), leave() --------+
//
//   none      All pages are in frames.
//   mapped    A page that is added comes into the memory; one that is in a frame moves there when somebody wants to see
//             it (FilePages::move_to_memory).
//   leaving   A page that is added comes into a frame; one that is in the memory moves to its frame when it is read or
//             written (FilePages::move_to_frame), or leaves by eviction or a cut.
//
// In all of them each page is where its word says. Who finds the mode changed just after he looked puts a page where
// the next who needs it elsewhere moves it from.
//
// The memory is counted: by its users for a moment (Use), by each page in it, and by each mapping. It goes with the
// last of them, in whatever thread, with its windows and its memfd. So a file that was mapped once costs nothing more
// when its pages have left.
//
// Who calls: FilePages. begin() under what bars changes of the file's size; all else from any thread, holding anything.
//
// Invariants:
//  1. memory() stays what it is for as long as a use of it is counted. From 0 uses only begin() leads back.
//  2. views() are there from the first begin() on, and are the same ever after.
#ifndef QUIRE_CACHE_MAPPED_MODE_H_
#define QUIRE_CACHE_MAPPED_MODE_H_

#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#include "cache/file_memory.h"
#include "cache/views.h"
#include "sync/atomic.h"

namespace quire::cache {

class MappedMode {
 public:
  // Keeps the memory for a scope; or knows that there is none.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept : mode_(std::exchange(other.mode_, nullptr)) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (mode_ != nullptr) mode_->leave();
    }

    explicit operator bool() const noexcept { return mode_ != nullptr; }
    FileMemory* operator->() const noexcept { return mode_->memory(); }

   private:
    friend class MappedMode;
    explicit Use(MappedMode& mode) noexcept : mode_(&mode) {}

    MappedMode* mode_ = nullptr;
  };

  MappedMode() = default;
  // REQUIRES: no use is left.
  ~MappedMode();
  MappedMode(const MappedMode&) = delete;
  MappedMode& operator=(const MappedMode&) = delete;

  // none -> mapped, with memory of that size. Of `views` the first are kept. Errors: those of FileMemory::create().
  // REQUIRES: none; the callers exclude each other, and the size does not change meanwhile.
  std::error_code begin(std::uint64_t size_pages, std::shared_ptr<Views> views);
  // mapped, leaving -> mapped, once more. False: none.
  bool join() noexcept;
  // Of a begin() or join(). The last: mapped -> leaving, or none.
  void end() noexcept;

  // Mapped: pages that are added shall come into the memory.
  bool maps() const noexcept { return mappings_.load() != 0; }
  // Mapped or leaving: there may be pages in the memory, or in sight.
  bool has_memory() const noexcept { return uses_.load() != 0; }
  // REQUIRES: a use is counted, which the caller knows of.
  FileMemory* memory() const noexcept { return memory_.load(); }
  // REQUIRES: has_memory() was true once.
  Views& views() const noexcept { return *views_; }

  Use use() noexcept { return enter() ? Use(*this) : Use(); }
  // Of a page that comes into the memory. REQUIRES: as memory().
  void enter_page() noexcept { uses_.fetch_add(1); }
  // A use less: of a page that has left.
  void leave() noexcept;

 private:
  bool enter() noexcept;

  sync::Atomic<std::uint64_t> uses_{0};
  sync::Atomic<std::uint64_t> mappings_{0};
  sync::Atomic<FileMemory*> memory_{nullptr};
  std::shared_ptr<Views> views_;  // set before the first use is counted
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_MAPPED_MODE_H_
