// The pages of a file that are written, punched and zeroed whole, each by one thread; everybody reads them.
//
// For each page the number of the last change that has begun and of the last that has ended. What a
// reader may see of a page follows: what the last change left that had ended when the read began, or any
// later one that had begun when the read ended. So old bytes that come back, a page that is half one
// write and half another, and zeros that nobody asked for are seen at once.
//
// Thread-safety: begin() and end() of a page by its owner alone; the rest by any thread.
#ifndef QUIRE_TESTS_CUT_JOB_PAGES_ZONE_H_
#define QUIRE_TESTS_CUT_JOB_PAGES_ZONE_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "cut_job/stamps.h"

namespace quire::cut_job {

class PagesZone {
 public:
  // Pages [0, pages) of file number `file`.
  PagesZone(std::uint32_t file, std::uint64_t pages) : file_(file), pages_(pages) {}

  std::uint64_t pages() const { return pages_.size(); }

  // Around each change of pages [first, first + count). The first form puts what is to be written into
  // `bytes`; the second makes the pages zero.
  void begin_write(std::uint64_t first, Bytes bytes);
  void begin_zero(std::uint64_t first, std::uint64_t count);
  void end(std::uint64_t first, std::uint64_t count);

  // The last change of the page that has ended: to be asked before a read.
  std::uint32_t ended(std::uint64_t page) const { return pages_[page].ended.load(); }
  // After it: what is wrong with this part of the page; "" if nothing.
  std::string check(std::uint64_t page, std::uint32_t ended_before, std::size_t in_page,
                    ConstBytes part) const;

  // What the page holds while nobody changes it.
  PageContent content(std::uint64_t page) const;

 private:
  struct Changes {
    std::atomic<std::uint32_t> begun{0};
    std::atomic<std::uint32_t> ended{0};
    std::atomic<std::uint32_t> zeroed{0};  // the last that has begun and makes the page zero
  };

  const std::uint32_t file_;
  std::vector<Changes> pages_;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_PAGES_ZONE_H_
