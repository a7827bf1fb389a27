// The thread that cuts one file's tail: inserts into it, collapses it, truncates it both ways, punches,
// zeroes, allocates and writes there, past the end too. It alone does, so it knows what the tail holds, and
// how long the file is unless somebody appends to it.
#ifndef QUIRE_TESTS_CUT_JOB_CUTTER_H_
#define QUIRE_TESTS_CUT_JOB_CUTTER_H_

#include "cut_job/worker.h"

namespace quire::cut_job {

class Cutter final : public Worker {
 public:
  // Of file number `index`.
  Cutter(const Round& round, std::uint64_t number, std::size_t index);
  void run();

 private:
  enum class Kind {
    kInsert,
    kCollapse,
    kPunch,
    kZero,
    kAllocate,
    kWrite,
    kWriteDirect,
    // The end is the cutter's too.
    kZeroPastEnd,
    kAllocatePastEnd,
    kWritePastEnd,
    kShrink,
    kGrow,
    kAppend,
  };
  // Pages of the tail.
  struct Run {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
  };

  std::vector<Kind> kinds() const;
  void step(Kind kind);
  Run some_run(const Layout& layout);
  void insert(Layout layout);
  void collapse(Layout layout);
  void zero(Layout layout, Cut kind, bool past_end);
  void allocate(Layout layout, bool past_end);
  void write(Layout layout, bool past_end, IoPath path);
  void truncate(Layout layout, bool shrink);
  void append(Layout layout);
  // `op` leads to `layout`.
  void change(Layout layout, Counted kind, const Op& op, IoPath path = IoPath::kCached);
  void check_around(std::uint64_t first_page);

  std::uint64_t offset_of(std::uint64_t page) const { return file_.tail_begin() + page * kPage; }
  // Somewhere behind the layout's end, at any byte.
  std::uint64_t size_past_end(const Layout& layout);

  const std::size_t index_;
  JobFile& file_;
  const bool appended_to_;
  Deck<Kind> deck_;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_CUTTER_H_
