// A part of a file as memory. Loads and stores take part in the same coherence as reads, writes, direct IO and every
// cut: a load sees each write that has ended, a read sees each store that has been made, and what is cut away is gone
// from every mapping before the call that cut it returns.
//
//   auto map = file.map(0, 1 << 20);
//   std::memcpy(map->data(), "hello", 5);   // dirty pages of the cache, written back like any others
//   map->sync();                            // durable
//
// How. The first access to a page, and the first store to it since it was last written back, is a page fault that the
// library answers (userfaultfd(2)), on a thread of its own, "quire-fault": one for all mappings of the process that are
// made with the same of in_thread and async_stores. While that takes, the accessing thread sleeps: for the store, for
// memory, for a cut of the range. A thread of the program that is suspended, or is stopped by a debugger, holds nobody
// up.
//
// What cannot be had raises SIGBUS at the access, in the thread that made it, as with mmap(2): beyond the last page of
// the file; a page that the store cannot read (EIO); a first store for which the store has no space (ENOSPC), or that
// cannot be made since nothing can be written back. last_error() says why. The next access tries again, but not for
// limits::kFailedPageRetryAfter.
//
// The last page of a file is mapped whole. What a program stores behind the end of the file stays there for as long
// as the page is cached, is never written to the store, and reads as zeros when the file grows.
//
// Time stamps: a first store sets mtime and ctime, as a write does; a load sets nothing.
//
// Page after page. Where loads go from one page to the next, pages that come next come into sight with the one that was
// accessed, at most limits::kFaultAheadPagesMax; not after Advice::kRandom. Stores are let through ahead only after
// Advice::kSequential, which is for programs that fill a mapping from front to back: no more pages than were stored
// into before, and at most limits::kStoresAheadPagesMax. Those count as dirty: they are written back whether they are
// stored into or not, set no time stamps of their own, and are among what is lost if a sync fails (File::sync()).
//
// Stores without faults. With MapOptions::async_stores the kernel lets stores to pages in sight through by itself, and
// tells which pages were stored into when writeback asks. For programs that store into the same pages again and again
// and sync often: a page then takes one fault, and not one after each sync. No store is lost, and what was not stored
// into is not written. But:
//  - No snapshot: a page that is stored into just while it is written back may reach the store torn, with a part of
//    what was being stored. It is written again, by the next sync at the latest; after a crash in between the file may
//    have it so. What was stored before a sync began is at the store, whole, when it returns, unless it was stored over
//    meanwhile.
//  - The first access to a page is a fault of its own whether it loads or stores, brings no others into sight, and
//    waits where a store would; with in_thread, a load takes a thread of the library even so. As long as a page is in
//    sight it counts as dirty, so that no more than CacheOptions::dirty_background_bytes of the cache's are in sight
//    for long.
//  - mtime and ctime show when stores were noticed: at the latest when the sync that writes them returns. They move
//    past a File::set_times() between the store and that.
//  - Refused (ENOTSUP) where space is taken before a page is stored into, CacheOptions::reserve_space: nobody could say
//    in time that there is none.
//  - Nobody else in the process may have the kernel (PAGEMAP_SCAN of /proc/self/pagemap) protect the mapping's pages.
//
// Limits:
//  - The mapping is shared. There are no private writable ones (ENOTSUP): what such a mapping holds that the file
//    does not would be lost where the file is cut. Map for reading, and copy.
//  - fork(): the child does not have the mappings, and an access there raises SIGSEGV. Nor may the child use a Mapping.
//  - A system call of another library that keeps pages for itself, such as a registered buffer of io_uring or
//    O_DIRECT into the mapping, may store into a page after it counts as clean. Use read() and write() of File.
//  - A mapped file that grows beyond RLIMIT_FSIZE (`ulimit -f`) is mapped up to where it ended before: what lies behind
//    raises SIGBUS, as beyond the end, and the log says so. Reads and writes go on. map() of one so long fails (EFBIG).
//  - Where faults of the kernel may not be answered (vm.unprivileged_userfaultfd = 0 and no right to do more), a
//    system call that is given memory of a mapping which is not in sight fails with EFAULT. File's calls do not.
//    `quire doctor` says so, and how to allow it.
//  - A store that a program brings along (store.h) must not access mappings of files of a cache that it serves before
//    it has answered what it was called for. Where the access would have to wait it fails (EDEADLK) in the thread that
//    was called for a cut or a direct write, or to read, write or reserve pages of a file that is mapped; elsewhere it
//    may wait for ever.
//
// In the accessing thread. A mapping made with MapOptions::in_thread needs no other thread for a load of what is
// cached: the kernel raises SIGBUS at the access, and the library's handler brings the page into sight there. What has
// to wait waits there too, in the handler. It is cheaper by two switches of threads, and never needs the right to
// answer faults of the kernel. In return:
//  - A system call that is given memory of it which is not in sight, or is clean and to be stored into, fails with
//    EFAULT, always. File's calls do not. populate() helps for as long as the pages stay in the cache.
//  - The first such mapping of the process installs a handler for SIGBUS, which stays. It passes every other SIGBUS on
//    to the handler that was there, or has the default action taken; a program that installs its own later must call
//    answer_sigbus() in it first, and must install it with SA_SIGINFO.
//  - No thread may access it with SIGBUS blocked: the kernel ends the process. An access that waits keeps all signals
//    of its thread waiting.
//  - Handlers of other signals must not access it, nor must a memory allocator whose locks are held over that: they may
//    have interrupted the library.
//  - What cannot be had raises SIGBUS as above, for the handler that was there before; the next access asks again at
//    once, and pages that failed stay as they were.
//  - x86-64 and aarch64 only; map() says ENOTSUP elsewhere.
//
// Thread-safety: as File: everything from any number of threads at once, but unmap(), destruction, move and
// assignment. Memory that one thread unmaps must not be accessed by another, of course.
#ifndef QUIRE_MAPPING_H_
#define QUIRE_MAPPING_H_

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>

#include "quire/export.h"
#include "quire/file.h"
#include "quire/result.h"

namespace quire {

class MappingImpl;

class QUIRE_EXPORT Mapping {
 public:
  Mapping() noexcept;  // of nothing
  Mapping(Mapping&&) noexcept;
  // Unmaps what it held, as the destructor does.
  Mapping& operator=(Mapping&&) noexcept;
  // unmap(). An error is logged.
  ~Mapping();

  bool is_mapped() const noexcept;
  // The address of the first byte, and how many there are: whole pages, those that were asked for lie in.
  // Parts that were unmapped count.
  std::byte* data() const noexcept;
  std::size_t size() const noexcept;
  std::span<std::byte> bytes() const noexcept { return {data(), size()}; }

  // All ranges are in bytes from data() on; `length` 0 means to the end. They are widened to whole pages. EINVAL
  // where they do not lie in the mapping.

  // As mprotect(2), but that what is unmapped is passed over. Errors: EACCES for kReadWrite if the file was not open
  // for writing when it was mapped, or the mapping is not shared; ENOMEM, then a part may have changed.
  Status protect(std::size_t offset, std::size_t length, MapAccess access);
  // As msync(2) with MS_SYNC: File::sync_range() of what the range shows. Errors: that one's.
  Status sync(std::size_t offset = 0, std::size_t length = 0, const CallOptions& call = {});
  // As File::advise(), of what the range shows; kNormal, kSequential and kRandom are about all of this mapping.
  // kWillNeed starts to read and waits for nothing. After kRandom an access makes its page accessible alone, not
  // its neighbours: the access is cheaper, and theirs are faults of their own. Never fails for want of memory.
  Status advise(std::size_t offset, std::size_t length, Advice advice);
  // Brings the range into sight, so that accesses of that kind take no fault while the pages stay in the cache and
  // are not written back. Waits. Errors: what would raise SIGBUS at an access; ENOMEM, as madvise(2) has it, where a
  // part is unmapped; for kReadWrite, ENOTSUP where stores can never be allowed (protect()), and EACCES where they are
  // not now. The pages are dirty then, stored into or not.
  Status populate(std::size_t offset, std::size_t length, MapAccess access,
                  const CallOptions& call = {});
  // As munmap(2), of a part or of all. The last part gives the file back as File::close() does, and returns what
  // that returns. What was stored stays in the cache, and is written back in time. Errors: ENOMEM, at the kernel's
  // limit of mappings (vm.max_map_count), where a part in the middle needs one more: then a part may be unmapped, and
  // the rest is mapped as before.
  Status unmap(std::size_t offset, std::size_t length);
  Status unmap();

  // Why the last access that raised SIGBUS did; zero if none has. Beyond the last page of the file: EFAULT for a
  // mapping with MapOptions::in_thread, and for an access that met a truncate under way. For other mappings the kernel
  // refuses such accesses by itself, without asking anybody, and they are not said here: a program's handler can tell
  // by si_addr.
  std::error_code last_error() const noexcept;

 private:
  friend class File;
  QUIRE_NO_EXPORT explicit Mapping(std::unique_ptr<MappingImpl> impl) noexcept;
  std::unique_ptr<MappingImpl> impl_;
};

// For a program's own handler of SIGBUS, with what it was given. True: it was an access to a mapping made with
// MapOptions::in_thread, and can be repeated: return. It may have waited meanwhile. False: do as if there were no such
// mappings. Keeps errno. Signals that the handler leaves unblocked must do nothing of what is forbidden above, and must
// not leave it by longjmp.
QUIRE_EXPORT bool answer_sigbus(const siginfo_t* info, void* ucontext) noexcept;

}  // namespace quire

#endif  // QUIRE_MAPPING_H_
