// What the pages of a file's tail hold, in order, and how cuts change that: fallocate(2) and ftruncate(2)
// over a plain vector. Offsets are within the tail.
//
// Thread-safety: a plain value.
#ifndef QUIRE_TESTS_CUT_JOB_LAYOUT_H_
#define QUIRE_TESTS_CUT_JOB_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "cut_job/stamps.h"

namespace quire::cut_job {

class Layout {
 public:
  struct Page {
    std::uint32_t serial = 0;       // of the write; 0: zeros
    std::uint32_t valid_bytes = 0;  // of what was written, behind them zeros
  };

  std::uint64_t size_bytes() const { return size_bytes_; }
  std::uint64_t pages() const { return pages_.size(); }
  const Page& operator[](std::uint64_t page) const { return pages_[page]; }

  void resize(std::uint64_t size_bytes);
  // A write of whole pages with serials from `serial` on, past the end too.
  void write(std::uint64_t first, std::uint64_t count, std::uint32_t serial);
  // A write of `length` bytes at the end, which carries on what the last page holds; further pages have
  // serials from `serial` on. REQUIRES: continues().
  void append(std::uint64_t length, std::uint32_t serial);
  // The last page has no zeros before the end.
  bool continues() const;
  void zero(std::uint64_t first, std::uint64_t count);  // as far as there are pages
  void insert(std::uint64_t first, std::uint64_t count);
  void collapse(std::uint64_t first, std::uint64_t count);

 private:
  std::size_t bytes_in_last_page() const { return size_bytes_ % kPage; }  // 0: all

  std::vector<Page> pages_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_LAYOUT_H_
