// The end of a file, which one thread, its cutter, inserts into, collapses and truncates while others read,
// and to which, at times, another appends.
//
// Each operation of the cutter leads from one layout to the next. Those that are begun and those that
// somebody's read may still see are kept, by number. A read sees of each page what it is in one of the
// layouts from the last that was reached when the read began to the last that was begun when it ended:
// right contents at the wrong place, an old page or half a shift are in none of them.
//
// What is appended stands behind whatever the cutter has made of the rest: whole pages, in one order.
//
// Thread-safety: begin(), end(), now() by the cutter; begin_append(), end_append() by the appender; fold()
// and the last two while nobody else is there; a Look by the thread that made it.
#ifndef QUIRE_TESTS_CUT_JOB_TAIL_H_
#define QUIRE_TESTS_CUT_JOB_TAIL_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cut_job/layout.h"

namespace quire::cut_job {

class Tail {
 public:
  class Look;

  explicit Tail(std::uint32_t file);

  // Around each change: what it leads to.
  void begin(Layout next);
  void end();
  Layout now() const;

  // Serials for `count` writes of a page; the first is returned. Any thread.
  std::uint32_t fresh_serials(std::uint64_t count);
  // What bytes [offset, offset + bytes.size()) hold in that layout.
  void render(const Layout& layout, std::uint64_t offset, Bytes bytes) const;

  // Around each append of whole pages; fills `bytes`.
  void begin_append(Bytes bytes);
  void end_append();
  std::uint64_t appended_pages() const;

  // What was appended becomes the cutter's.
  void fold();
  // While nobody changes it, and nothing is appended that was not folded.
  std::uint64_t size_bytes() const { return now().size_bytes(); }

 private:
  PageContent content(const Layout::Page& page) const {
    return {{file_, kTailPlace, page.serial}, page.valid_bytes};
  }

  const std::uint32_t file_;
  std::atomic<std::uint32_t> next_serial_{1};
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<std::shared_ptr<const Layout>> layouts_;  // numbers first_ and on
  std::uint64_t first_ = 0;
  std::uint64_t reached_ = 0;
  std::multiset<std::uint64_t> looks_;   // the numbers that they begin with
  std::vector<std::uint32_t> appended_;  // serials
  std::uint64_t appended_ended_ = 0;
};

// Made before a read or an append, asked after it.
class Tail::Look {
 public:
  explicit Look(Tail& tail);
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;
  ~Look();

  // What is wrong with a read that asked for `asked` bytes at `offset` and got these; "" if nothing.
  std::string check(std::uint64_t offset, std::size_t asked, ConstBytes got) const;
  // Whether the append that this thread just made may have gone to `offset`.
  bool may_have_appended_at(std::uint64_t offset) const;

 private:
  struct Seen {
    std::vector<std::shared_ptr<const Layout>> layouts;
    std::vector<std::uint32_t> appended;
  };
  Seen seen() const;
  bool explains(const Seen& seen, std::uint64_t page, std::size_t in_page, ConstBytes part) const;

  Tail& tail_;
  std::uint64_t number_ = 0;
  std::uint64_t appended_before_ = 0;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_TAIL_H_
