// Two files that all threads append records to at the same time, each record with its length, its
// author, its number and a checksum. Readers follow along. At any time the files must hold whole
// records only, a record in the making at the very end excepted, and each author's in order.
//
//   records/by-append   File::append, which tells where each record went: the copy gets them there
//   records/by-write    write() through files opened with O_APPEND, whatever the offset says
#ifndef QUIRE_TESTS_MAIN_JOB_RECORDS_H_
#define QUIRE_TESTS_MAIN_JOB_RECORDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "main_job/worker.h"

namespace quire::main_job {

// Follows one file of records from its beginning.
class RecordReader {
 public:
  // Reads without looking if not `checks`.
  RecordReader(std::string path, unsigned authors, bool checks)
      : path_(std::move(path)), checks_(checks), next_(authors, 0) {}

  // Reads what is new and checks it; a record that is not whole yet is left for the next time. Uses
  // `buffer`, which must hold the longest record. Returns the bytes read.
  std::uint64_t follow(TargetFile& file, Bytes buffer, std::uint64_t size_bytes);

  std::uint64_t position_bytes() const { return position_bytes_; }
  // Records seen of each author.
  const std::vector<std::uint64_t>& seen() const { return next_; }

 private:
  std::size_t check(ConstBytes bytes);

  const std::string path_;
  const bool checks_;
  std::uint64_t position_bytes_ = 0;
  std::vector<std::uint64_t> next_;
};

// One thread's part: appends records until it has written `bytes`, reading along. Returns how many.
// With `by_append` the copy is written too.
std::uint64_t append_records(Worker& worker, const FilePair& file, unsigned author,
                             unsigned authors, std::uint64_t bytes, bool by_append, Rng rng,
                             const Stop& stop);

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_RECORDS_H_
