// A file that one thread has open through the cache. Every call does all that it was asked or throws
// Failure, reads at the end of the file excepted. Calls that can be left and calls that cannot take
// turns: direct IO of the one kind passes through the cache's memory, of the other it does not.
//
// Thread-safety: none.
#ifndef QUIRE_TESTS_CUT_JOB_OPEN_FILE_H_
#define QUIRE_TESTS_CUT_JOB_OPEN_FILE_H_

#include <cstdint>
#include <string>

#include "cut_job/stamps.h"
#include "main_job/failure.h"
#include "quire/cache.h"

namespace quire::cut_job {

class OpenFile {
 public:
  OpenFile(Cache& cache, std::string path, OpenFlags flags, const main_job::Stop& stop);

  std::size_t read(Bytes buffer, std::uint64_t offset, IoPath path);
  std::uint64_t append(ConstBytes buffer, IoPath path);
  // A write, truncate, allocation or cut. One in a few is submitted and waited for.
  void change(const Op& op, IoPath path = IoPath::kCached);
  // What may answer that somebody uses a page just now.
  void invalidate(std::uint64_t offset, std::uint64_t length);
  void write_and_invalidate(std::uint64_t offset, std::uint64_t length);
  void advise(std::uint64_t offset, std::uint64_t length, Advice advice);
  void sync_range(std::uint64_t offset, std::uint64_t length);
  std::uint64_t size_bytes();
  void close();

 private:
  CallOptions next_call(IoPath path);
  void submit(const Op& op, IoPath path, std::size_t moved);
  void check(const char* what, const Status& status) const;
  void check_unless_busy(const char* what, const Status& status) const;

  const std::string path_;
  const main_job::Stop& stop_;
  File file_;
  std::uint64_t calls_ = 0;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_OPEN_FILE_H_
