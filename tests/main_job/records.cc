#include "main_job/records.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace quire::main_job {
namespace {

constexpr std::uint32_t kMagic = 0x51c0ffe1;
constexpr std::size_t kPayloadMaxBytes = 20000;
constexpr std::uint64_t kRecordsBetweenReads = 8;

struct Header {
  std::uint32_t magic = kMagic;
  std::uint32_t payload_bytes = 0;
  std::uint32_t author = 0;
  std::uint32_t reserved = 0;
  std::uint64_t number = 0;
  std::uint64_t checksum = 0;  // of the payload
};

}  // namespace

// Checks the whole records that `bytes`, read at position_bytes_, begin with. Returns their length.
std::size_t RecordReader::check(ConstBytes bytes) {
  std::size_t at = 0;
  while (at + sizeof(Header) <= bytes.size()) {
    const std::uint64_t position = position_bytes_ + at;
    Header header;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    if (header.magic != kMagic || header.payload_bytes > kPayloadMaxBytes ||
        header.author >= next_.size()) {
      throw Failure(fmt::format("{}: no record begins at {}", path_, position));
    }
    const std::size_t length = sizeof header + header.payload_bytes;
    if (at + length > bytes.size()) {
      break;
    }
    const ConstBytes payload = bytes.subspan(at + sizeof header, header.payload_bytes);
    if (XXH3_64bits(payload.data(), payload.size()) != header.checksum) {
      throw Failure(fmt::format("{}: the record at {} is not what was appended", path_, position));
    }
    if (header.number != next_[header.author]) {
      throw Failure(fmt::format("{}: record {} of author {} at {} where number {} was due", path_,
                                header.number, header.author, position, next_[header.author]));
    }
    ++next_[header.author];
    at += length;
  }
  return at;
}

std::uint64_t RecordReader::follow(TargetFile& file, Bytes buffer, std::uint64_t size_bytes) {
  std::uint64_t read_bytes = 0;
  while (position_bytes_ < size_bytes) {
    const std::size_t want = std::min<std::uint64_t>(size_bytes - position_bytes_, buffer.size());
    const std::size_t got = file.read(buffer.first(want), position_bytes_);
    read_bytes += got;
    if (checks_ && got != want) {
      throw Failure(fmt::format("{}: {} of {} bytes at {} although stat showed a size of {}", path_,
                                got, want, position_bytes_, size_bytes));
    }
    const std::size_t whole = checks_ ? check(buffer.first(got)) : got;
    if (whole == 0) {
      break;
    }
    position_bytes_ += whole;
  }
  return read_bytes;
}

std::uint64_t append_records(Worker& worker, const FilePair& file, unsigned author,
                             unsigned authors, std::uint64_t bytes, bool by_append, Rng rng,
                             const Stop& stop) {
  RecordReader reader(*file.path, authors, file.copy != nullptr);
  std::vector<std::byte> record(sizeof(Header) + kPayloadMaxBytes);
  std::uint64_t number = 0;
  for (std::uint64_t written = 0; written < bytes; ++number) {
    stop.check();
    const std::size_t payload_bytes =
        rng.one_in(4) ? rng.below(kPayloadMaxBytes + 1) : rng.below(600);
    const ConstBytes payload = worker.pool().slice(rng, payload_bytes);
    Header header;
    header.payload_bytes = static_cast<std::uint32_t>(payload_bytes);
    header.author = author;
    header.number = number;
    header.checksum = XXH3_64bits(payload.data(), payload.size());
    std::memcpy(record.data(), &header, sizeof header);
    std::memcpy(record.data() + sizeof header, payload.data(), payload.size());
    const ConstBytes whole = ConstBytes(record).first(sizeof header + payload_bytes);

    if (by_append) {
      const std::uint64_t offset = file.target->append(whole);
      if (file.copy != nullptr) {
        file.copy->write(whole, offset);
      }
    } else {
      // Files opened with O_APPEND ignore the offset.
      file.target->write(whole, rng.below(bytes));
    }
    written += whole.size();
    worker.written_bytes += whole.size();
    if (number % kRecordsBetweenReads == 0) {
      const std::uint64_t size = file.target->stat().size_bytes;
      worker.read_bytes += reader.follow(*file.target, worker.scratch(), size);
    }
  }
  return number;
}

}  // namespace quire::main_job
