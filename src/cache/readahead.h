// Readahead: decides, for one open file, what to read before somebody asks. It only decides; fill.h
// reads. Looked at on misses and on marked pages, never on plain hits.
//
//   random      a miss that follows on nothing: read what was asked for
//   sequential  a miss at the start of the file or where the last one ended: a window ahead of it, twice
//               as large each time, up to the maximum
//   steady      a hit on the marked page, the first of a window: the next window, so that the reader
//               never waits. Once windows are as large as they get, two are kept ahead of the one being
//               read, so that the store has the next request before the reader knows of the last
// Windows shrink by half when pages are gone again before they were read (memory is short), or when
// nothing could be started; after kFailuresMax of those in a row readahead gives up for kPauseMisses
// misses. A jump elsewhere begins anew.
//
// Thread-safety: none; the owner has a lock.
#ifndef QUIRE_CACHE_READAHEAD_H_
#define QUIRE_CACHE_READAHEAD_H_

#include <cstddef>
#include <cstdint>

#include "quire/file.h"

namespace quire::cache {

class Readahead {
 public:
  struct Window {
    std::uint64_t first = 0;
    std::size_t pages = 0;  // 0: nothing to read ahead
  };
  static constexpr int kFailuresMax = 4;
  static constexpr int kPauseMisses = 64;
  // Windows of the largest size, from the one being read on.
  static constexpr std::size_t kWindowsAhead = 3;

  explicit Readahead(std::size_t pages_max) : pages_max_(pages_max) {}

  // kNormal, kSequential or kRandom.
  void advise(Advice advice) noexcept;

  // A reader wants [index, index + pages) and page `index` is absent. The window to start after that
  // range was read or is on its way.
  Window on_miss(std::uint64_t index, std::size_t pages) noexcept;
  // A reader came to the marked page `index`.
  Window on_marker(std::uint64_t index) noexcept;
  // What became of a window: its first `pages` pages are there or on their way; `refused`: no more of
  // it, for want of memory. The window to start now, after that one.
  Window on_started(const Window& window, std::size_t pages, bool refused) noexcept;

  std::size_t window_pages() const noexcept { return size_; }
  bool paused() const noexcept { return pause_ > 0; }

 private:
  std::size_t grown() const noexcept;
  std::size_t smallest() const noexcept;
  // Another window of the largest size, if that many are wanted ahead.
  Window more() noexcept;
  Window open_window(std::uint64_t first, std::size_t pages) noexcept;

  const std::size_t pages_max_;
  Advice advice_ = Advice::kNormal;
  std::uint64_t expected_ = 0;  // where the next miss of a sequential reader comes
  std::uint64_t oldest_ = 0;    // of what was started, what the reader may not have passed:
  std::uint64_t end_ = 0;       // [oldest_, end_)
  std::uint64_t first_ = 0;     // where the last window begins
  std::size_t size_ = 0;        // 0: not sequential
  int failures_ = 0;
  int pause_ = 0;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_READAHEAD_H_
