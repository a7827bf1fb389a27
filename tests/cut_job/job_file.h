// A file of the cuts section, and what it must hold:
//
//   | pages, each whole | bytes, at odd offsets | tail: shifted, truncated, appended to |
//
// In the first two each writer owns a strip; the tail has a cutter and, at times, an appender. A file
// whose first two parts are empty is cut at its very beginning, as a log is.
#ifndef QUIRE_TESTS_CUT_JOB_JOB_FILE_H_
#define QUIRE_TESTS_CUT_JOB_JOB_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cut_job/bytes_zone.h"
#include "cut_job/pages_zone.h"
#include "cut_job/tail.h"

namespace quire::cut_job {

struct JobFile {
  JobFile(std::uint32_t file_number, std::string file_path, std::uint64_t zone_pages,
          std::uint64_t bytes_length)
      : number(file_number),
        path(std::move(file_path)),
        pages(file_number, zone_pages),
        bytes(file_number, zone_pages * kPage, bytes_length),
        tail(file_number) {}

  std::uint64_t tail_begin() const { return bytes.end(); }
  // While nobody changes the file, and what was appended is folded: its size, and what it holds at `offset`.
  std::uint64_t size_bytes() const { return tail_begin() + tail.size_bytes(); }
  void render(std::uint64_t offset, Bytes out) const;

  const std::uint32_t number;
  const std::string path;
  PagesZone pages;
  BytesZone bytes;
  Tail tail;
};

// Made before a read of [offset, offset + length), asked after it.
class Look {
 public:
  Look(JobFile& file, std::uint64_t offset, std::size_t length);
  // Throws Failure if the read cannot have given this.
  void check(ConstBytes got) const;

 private:
  std::string check_pages(ConstBytes got) const;

  JobFile& file_;
  const std::uint64_t offset_;
  const std::size_t length_;
  std::vector<std::uint32_t> ended_;  // of each page of the first part that is read
  const Tail::Look tail_;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_JOB_FILE_H_
