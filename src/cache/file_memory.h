// FileMemory: the pages of a file that programs map: a file without a name in memory (memfd), in which every
// byte has the offset that it has in the file, so that it can be mapped anywhere and any number of times. The
// engine sees it through windows of its own, made where they are needed and kept until the end.
//
// Which pages are in it the page words say (PageValue::in_file); the others of the file are in frames, and
// their places here are holes. A page that is here has a frame all the same: its right to 4 KiB of the budget,
// whose own memory is lent to it (FramePool::lend).
//
// The size of the memory is the file's, in pages. So an access to a mapping past the end of the file raises SIGBUS
// without any help; and a file that shrinks leaves its mappings at once, in all of them. A page that is added beyond
// the end comes into a frame, and moves when somebody wants to see it.
//
// Who calls: FilePages, and who maps the file. at(): who has the page filling, pinned, sealed or writing: a
// page that is not in the file must not be touched, since even a load would make one of zeros there.
//
// Invariants:
//  1. A page of zeros or of old bytes is never seen: what is dropped is punched before its word says that it
//     is absent.
//  2. Windows do not move and do not go while the memory lives: at() takes no lock.
#ifndef QUIRE_CACHE_FILE_MEMORY_H_
#define QUIRE_CACHE_FILE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>

#include "cache/page_tree.h"
#include "quire/limits.h"
#include "quire/result.h"
#include "sync/mutex.h"

namespace quire::cache {

class FileMemory {
 public:
  // Errors: EMFILE, ENFILE, ENOMEM.
  static Result<std::unique_ptr<FileMemory>> create(std::uint64_t size_pages);
  // REQUIRES: nobody looks at its windows any more. Mappings of others live on.
  ~FileMemory();
  FileMemory(const FileMemory&) = delete;
  FileMemory& operator=(const FileMemory&) = delete;

  // Of the memory, to map it. Stays this object's.
  int fd() const noexcept { return fd_; }

  // Makes the windows of `count` pages from `first` on. Errors: ENOMEM if the process has no addresses left;
  // EOVERFLOW for the last page of the largest file.
  std::error_code open_windows(std::uint64_t first, std::uint64_t count);
  bool has_window(std::uint64_t index) const noexcept {
    if (index >= kPagesMax) return false;
    const sync::Atomic<std::byte*>* const window = windows_.find(index / kWindowPages);
    return window != nullptr && window->load() != nullptr;
  }
  // The page's bytes. REQUIRES: its window is open.
  std::byte* at(std::uint64_t index) const noexcept {
    return windows_.find(index / kWindowPages)->load() +
           (index % kWindowPages) * limits::kPageBytes;
  }

  std::uint64_t size_pages() const noexcept { return size_pages_.load(); }
  // Makes the memory so many pages long: what lies beyond is gone, here and in every mapping.
  // ENOMEM when it grows. REQUIRES: the callers exclude each other.
  std::error_code resize(std::uint64_t size_pages) noexcept;
  // Makes pages that are not there, of zeros, by a system call for all of them. Errors: ENOMEM, some may be there then.
  // REQUIRES: they lie in the size, their windows are open, and nobody punches them meanwhile.
  std::error_code make(std::uint64_t first, std::uint64_t count) noexcept;
  // How often that was, each a system call.
  std::uint64_t makes() const noexcept { return makes_.load(); }
  // Takes pages out, here and in every mapping: an access there is a fault for a missing page.
  void punch(std::uint64_t first, std::uint64_t count) noexcept;
  // How often that was, each a system call.
  std::uint64_t punches() const noexcept { return punches_.load(); }

 private:
  // No mapping reaches beyond this, nor is any file in memory longer: offsets are signed. The last page of the
  // largest file lies beyond, and the last window ends before it.
  static constexpr std::uint64_t kBytesMax = (std::uint64_t{1} << 63) - limits::kPageBytes;
  static constexpr std::uint64_t kPagesMax = kBytesMax >> limits::kPageShift;
  static constexpr std::uint64_t kWindowPages = limits::kMapWindowBytes >> limits::kPageShift;

  explicit FileMemory(int fd) noexcept : fd_(fd) {}
  static std::size_t window_bytes(std::uint64_t number) noexcept;

  const int fd_;
  sync::Atomic<std::uint64_t> size_pages_{0};
  sync::Atomic<std::uint64_t> makes_{0};
  sync::Atomic<std::uint64_t> punches_{0};
  sync::Mutex mutex_;  // of those who open windows
  // By number; a slot is null until the window is open.
  RadixTree<sync::Atomic<std::byte*>, PageTreeTraits> windows_;
  HeapNodes nodes_ GUARDED_BY(mutex_);
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_FILE_MEMORY_H_
