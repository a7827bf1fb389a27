// PageWrite: one page held for storing into it. Nobody reads, writes back, evicts or drops the page
// meanwhile, so readers see all of a store to one page or nothing of it.
//
// Who calls: buffered writes and truncate, under the write range that covers the bytes; not under the
// gate or with another page held. Waits for memory, for a cut and for the page in begin(), for nothing
// afterwards.
//
//   idle -- begin() --> held, on a page that was cached (writing) or that is new (filling)
//   held -- finish() --> idle, the page is dirty
//   held -- destructor --> idle, the page is as it was; a new one is absent again
//
// Each held page needs one dirty credit, which the caller has taken before and finish() consumes or gives
// back.
#ifndef QUIRE_CACHE_PAGE_WRITE_H_
#define QUIRE_CACHE_PAGE_WRITE_H_

#include <cstddef>
#include <cstdint>
#include <system_error>

#include "cache/file_pages.h"
#include "sync/wait.h"

namespace quire::cache {

class PageWrite {
 public:
  explicit PageWrite(FilePages& pages) : pages_(pages) {}
  ~PageWrite() { abandon(); }
  PageWrite(const PageWrite&) = delete;
  PageWrite& operator=(const PageWrite&) = delete;

  // Holds page `index`, for storing bytes [from, to) of it. Where that is not all of the page that lies
  // in the file, the rest is read first. Errors: the store's, Errc::kTimedOut, Errc::kInterrupted.
  std::error_code begin(std::uint64_t index, std::size_t from, std::size_t to,
                        const sync::WaitLimit& limit);
  // The page's memory holds what was last stored into the page, and did since (page_word.h, invariant
  // 6); not what the store gave for it. REQUIRES: held.
  bool stored_here() const noexcept { return word_->load().stored(); }
  // The same of a page that may be absent; true may be out of date when it is returned.
  static bool stored_here(FilePages& pages, std::uint64_t index) noexcept;
  // The page's memory. REQUIRES: held.
  std::byte* bytes() const noexcept;
  // The bytes are stored. The file now ends at `end_bytes` or where it did, if that is later; the page
  // becomes dirty and readable. Takes over one dirty credit.
  void finish(std::uint64_t end_bytes) noexcept;
  // Lets go without having stored.
  void abandon() noexcept;

 private:
  enum class Hold : std::uint8_t { kNone, kCached, kNew };

  // Nothing of the page lies in the file but what [from, to) covers.
  bool covers(std::uint64_t index, std::size_t from, std::size_t to) const noexcept;
  // Adds the page as new, with zeros around [from, to). Not held afterwards if somebody was faster.
  std::error_code add_new(std::uint64_t index, std::size_t from, std::size_t to,
                          const sync::WaitLimit& limit);
  // Makes the page `writing` if it is cached and not busy. False: it is absent. The caller keeps the
  // tree's nodes (FilePages, invariant 3).
  bool try_hold(std::uint64_t index) noexcept;
  // Makes the cached page `writing` and waits until nobody reads it.
  std::error_code hold_cached(std::uint64_t index, const sync::WaitLimit& limit);
  std::error_code wait_readers(const sync::WaitLimit& limit);

  FilePages& pages_;
  Hold hold_ = Hold::kNone;
  std::uint64_t index_ = 0;
  PageWord* word_ = nullptr;
  FrameNumber frame_ = kNoFrame;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PAGE_WRITE_H_
