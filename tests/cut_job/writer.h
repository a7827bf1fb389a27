// A thread that changes its strips of every file in place, directly and through the cache, at even and odd
// offsets, punches and zeroes in them, and appends to some files. It reads its own bytes back, and those of
// others.
#ifndef QUIRE_TESTS_CUT_JOB_WRITER_H_
#define QUIRE_TESTS_CUT_JOB_WRITER_H_

#include "cut_job/worker.h"

namespace quire::cut_job {

class Writer final : public Worker {
 public:
  // `index` is below round.writers, `number` unlike every other worker's.
  Writer(const Round& round, std::uint64_t number, unsigned index);
  void run();

 private:
  enum class Kind {
    kWritePages,
    kWritePagesDirect,
    kPunchPages,
    kZeroPages,
    kAllocate,
    kWriteBytes,
    kWriteBytesDirect,
    kPunchBytes,
    kZeroBytes,
    kDrop,
    kSync,
  };
  // Bytes or pages [begin, end) of a file that this thread alone changes.
  struct Strip {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  static std::vector<Kind> kinds(const Abilities& abilities);
  Strip pages_of(const JobFile& file) const;
  Strip bytes_of(const JobFile& file) const;
  Strip part_of(Strip pages);
  Strip odd_part_of(Strip bytes);

  void step();
  void change(std::size_t index, Kind kind);
  void change_pages(std::size_t index, Kind kind);
  void change_bytes(std::size_t index, Kind kind);
  void append(std::size_t index);
  void drop(std::size_t index, Strip pages);
  void read_own_bytes(std::size_t index, Strip bytes, IoPath path);

  const unsigned index_;
  Deck<Kind> deck_;
  std::uint32_t writes_ = 0;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_WRITER_H_
