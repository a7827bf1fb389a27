// The bytes of a file that are written, punched and zeroed at offsets aligned to nothing. Each thread owns a
// strip, whose bytes it alone changes and therefore knows; the strips' ends share pages.
//
// A byte is zero or carries, in its upper half, a mark of its place in this file. By that every reader
// knows bytes that belong elsewhere, without knowing who wrote them or when.
//
// Thread-safety: write() and clear() of a strip, and check_own() of it, by its owner; the rest by any.
#ifndef QUIRE_TESTS_CUT_JOB_BYTES_ZONE_H_
#define QUIRE_TESTS_CUT_JOB_BYTES_ZONE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cut_job/stamps.h"

namespace quire::cut_job {

class BytesZone {
 public:
  // Bytes [begin, begin + length) of file number `file`, which are zero.
  BytesZone(std::uint32_t file, std::uint64_t begin, std::uint64_t length);

  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return begin_ + now_.size(); }

  // Puts what write number `number` writes at `offset` into `bytes`, and remembers it.
  void write(std::uint64_t offset, std::uint32_t number, Bytes bytes);
  void clear(std::uint64_t offset, std::uint64_t length);

  // What is wrong with bytes read at `offset`; "" if nothing. check_own() knows each.
  std::string check(std::uint64_t offset, ConstBytes bytes) const;
  std::string check_own(std::uint64_t offset, ConstBytes bytes) const;

  // What they are while nobody changes them.
  ConstBytes content(std::uint64_t offset, std::size_t length) const {
    return ConstBytes(now_).subspan(offset - begin_, length);
  }

 private:
  const std::uint64_t begin_;
  std::vector<std::byte> marks_;
  std::vector<std::byte> now_;
};

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_BYTES_ZONE_H_
