// Bounce: memory of the library's own that stands for the caller's. Frames of the cache, so the budget pays
// for it.
//
// Who calls:
//  - direct reads and writes whose caller may want to leave before the store has answered, so that the store
//    never has the caller's: under their write range, before the block, since it may take waiting;
//  - reads and writes from and into mappings (mapped_io.h), holding nothing but a turn.
// Given back in any thread.
#ifndef QUIRE_FILE_BOUNCE_H_
#define QUIRE_FILE_BOUNCE_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <system_error>

#include "cache/page_cache.h"
#include "quire/limits.h"
#include "sync/wait.h"

namespace quire::file {

class Bounce {
 public:
  explicit Bounce(cache::PageCache& cache) noexcept : memory_(cache.memory()) {}
  ~Bounce() { give_back(); }
  Bounce(const Bounce&) = delete;
  Bounce& operator=(const Bounce&) = delete;

  // The most that one holds: so much of the cache at most that others find memory.
  static std::size_t bytes_max(const cache::PageCache& cache) noexcept {
    const std::size_t pages = std::max<std::size_t>(cache.budget().frames / kPart, 1);
    return std::min(pages, limits::kStoreIoMaxPieces) * limits::kPageBytes;
  }

  // REQUIRES: nothing was taken, 0 < bytes <= bytes_max(). Errors: Errc::kTimedOut, Errc::kInterrupted.
  std::error_code take(std::size_t bytes, const sync::WaitLimit& limit) {
    const std::size_t pages = (bytes + limits::kPageBytes - 1) / limits::kPageBytes;
    cache::FrameSet set(memory_);
    const sync::WaitStatus status = memory_.acquire(set, pages, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
    while (count_ < pages) frames_[count_++] = set.take();
    bytes_ = bytes;
    return {};
  }
  void give_back() noexcept {
    while (count_ > 0) memory_.release(frames_[--count_]);
  }

  // The memory, page by page; the last piece may be less.
  std::size_t pieces() const noexcept { return count_; }
  std::span<std::byte> piece(std::size_t i) const noexcept {
    const std::size_t begin = i * limits::kPageBytes;
    return {memory_.bytes(frames_[i]), std::min(limits::kPageBytes, bytes_ - begin)};
  }

 private:
  static constexpr std::size_t kPart = 16;

  cache::Memory& memory_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::array<cache::FrameNumber, limits::kStoreIoMaxPieces> frames_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_BOUNCE_H_
