// What the threads of the cuts section have in common: their open files, a buffer, the numbers they draw,
// and what they count.
#ifndef QUIRE_TESTS_CUT_JOB_WORKER_H_
#define QUIRE_TESTS_CUT_JOB_WORKER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "cut_job/job_file.h"
#include "cut_job/open_file.h"
#include "main_job/failure.h"
#include "main_job/rng.h"

namespace quire::cut_job {

using main_job::Rng;
using main_job::Stop;

// The most pages that one operation moves: direct IO of more than one piece.
inline constexpr std::uint64_t kRunMaxPages = 320;

enum class Counted {
  kBuffered,
  kDirect,
  kAppend,
  kPunch,
  kZero,
  kInsert,
  kCollapse,
  kTruncate,
  kAllocate,
  kRead,
};
inline constexpr std::size_t kCountedKinds = 10;

struct Counts {
  std::array<std::uint64_t, kCountedKinds> operations{};
  std::uint64_t written_bytes = 0;
  std::uint64_t checked_bytes = 0;  // of reads beside all that

  void add(const Counts& more);
  void count(Counted kind) { ++operations[static_cast<std::size_t>(kind)]; }
};

// What the store can.
struct Abilities {
  bool punch = false;
  bool zero = false;
  bool insert = false;
  bool collapse = false;
  bool allocate = false;
};

using Files = std::vector<std::unique_ptr<JobFile>>;

// One round: who works on what, until when.
struct Round {
  Cache& cache;
  Files& files;
  const Abilities& abilities;
  const Stop& stop;
  std::uint64_t seed = 0;
  std::uint64_t number = 0;
  unsigned writers = 0;
  std::uint64_t tail_pages = 0;  // about so many in each tail
  std::chrono::steady_clock::time_point until;

  // Then its cutter leaves the end of it alone.
  bool is_appended_to(const JobFile& file) const {
    return file.pages.pages() == 0 || (number + file.number) % 2 == 0;
  }
  // The one writer that does.
  unsigned appender_of(const JobFile& file) const { return file.number % writers; }
};

// Every kind once, in random order, then again: none is left out however short the round.
template <class Kind>
class Deck {
 public:
  explicit Deck(std::vector<Kind> kinds) : kinds_(std::move(kinds)) {}

  std::size_t size() const { return kinds_.size(); }
  Kind draw(Rng& rng) {
    if (next_ == 0) {
      rng.shuffle(kinds_);
    }
    const Kind kind = kinds_[next_];
    next_ = (next_ + 1) % kinds_.size();
    return kind;
  }

 private:
  std::vector<Kind> kinds_;
  std::size_t next_ = 0;
};

class Worker {
 public:
  Worker(const Round& round, std::uint64_t number);

  const Counts& counts() const { return counts_; }

 protected:
  struct alignas(kPage) Page {
    std::array<std::byte, kPage> bytes;
  };

  // Memory of so many pages or bytes, aligned for direct IO, until the next call.
  Bytes pages_buffer(std::uint64_t count) { return buffer(count * kPage); }
  Bytes buffer(std::size_t length) {
    return Bytes(buffer_.front().bytes.data(), buffer_.size() * kPage).first(length);
  }
  // Reads and checks. A direct read takes the pages that the range touches. Returns what it got.
  ConstBytes read(std::size_t file, std::uint64_t offset, std::size_t length, IoPath path);
  // A few pages, seldom many; at most `limit`, at least one.
  std::uint64_t some_pages(std::uint64_t limit);
  IoPath any_path() { return rng_.one_in(3) ? IoPath::kDirect : IoPath::kCached; }
  // Around the whole of a thread's work.
  bool goes_on(std::uint64_t steps, std::uint64_t steps_min) const;
  void count_write(IoPath path, std::size_t bytes);

  const Round& round_;
  Rng rng_;
  std::vector<OpenFile> open_;
  Counts counts_;

 private:
  std::vector<Page> buffer_;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_WORKER_H_
