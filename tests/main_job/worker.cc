#include "main_job/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "main_job/batch.h"

namespace quire::main_job {
namespace {

constexpr std::size_t kPoolBytes = std::size_t{4} << 20;
constexpr std::size_t kVectorPieces = 6;
constexpr std::size_t kBatchRequests = 8;

// `total` cut at up to kVectorPieces - 1 random places.
std::vector<std::size_t> cut(std::size_t total, Rng& rng) {
  std::vector<std::size_t> lengths;
  while (total > 0 && lengths.size() + 1 < kVectorPieces) {
    lengths.push_back(rng.between(1, total));
    total -= lengths.back();
  }
  if (total > 0) {
    lengths.push_back(total);
  }
  return lengths;
}

}  // namespace

Pool::Pool(std::uint64_t seed) : bytes_(kPoolBytes + kPieceMaxBytes) {
  Rng rng{seed, 0x9001};
  for (std::size_t i = 0; i + sizeof(std::uint64_t) <= bytes_.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t word = rng.next();
    std::memcpy(bytes_.data() + i, &word, sizeof word);
  }
}

ConstBytes Pool::slice(Rng& rng, std::size_t length) const {
  return ConstBytes(bytes_).subspan(rng.below(kPoolBytes), length);
}

void Worker::write(const FilePair& file, ConstBytes bytes, std::uint64_t offset) {
  file.target->write(bytes, offset);
  written_bytes += bytes.size();
  if (file.copy != nullptr) {
    file.copy->write(bytes, offset);
  }
}

void Worker::compare(const FilePair& file, std::uint64_t offset, std::uint64_t own_begin,
                     std::uint64_t own_end) const {
  const std::byte* ours = ours_.data() + (own_begin - offset);
  const std::byte* theirs = theirs_.data() + (own_begin - offset);
  const std::size_t length = own_end - own_begin;
  if (std::memcmp(ours, theirs, length) == 0) {
    return;
  }
  const auto at = static_cast<std::size_t>(std::mismatch(ours, ours + length, theirs).first - ours);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < length; ++i) {
    wrong += ours[i] != theirs[i] ? 1 : 0;
  }
  throw Failure(fmt::format(
      "{}: a read of [{}, {}) gave {:#04x} at offset {} where {:#04x} was written; {} bytes wrong",
      *file.path, own_begin, own_end, std::to_integer<unsigned>(ours[at]), own_begin + at,
      std::to_integer<unsigned>(theirs[at]), wrong));
}

void Worker::read(const FilePair& file, std::uint64_t offset, std::size_t length,
                  std::size_t expected, std::uint64_t own_begin, std::uint64_t own_end) {
  const std::size_t moved = file.target->read(Bytes(ours_).first(length), offset);
  read_bytes += moved;
  if (file.copy == nullptr) {
    return;
  }
  if (moved != expected) {
    throw Failure(fmt::format("{}: a read of {} bytes at {} gave {} bytes instead of {}",
                              *file.path, length, offset, moved, expected));
  }
  const std::size_t own_offset = own_begin - offset;
  file.copy->read(Bytes(theirs_).subspan(own_offset, own_end - own_begin), own_begin);
  compare(file, offset, own_begin, own_end);
}

void Worker::writev(const FilePair& file, ConstBytes bytes, std::uint64_t offset, Rng& rng) {
  std::vector<ConstBytes> pieces;
  std::size_t at = 0;
  for (std::size_t length : cut(bytes.size(), rng)) {
    pieces.push_back(bytes.subspan(at, length));
    at += length;
  }
  file.target->writev(pieces, offset);
  written_bytes += bytes.size();
  if (file.copy != nullptr) {
    file.copy->write(bytes, offset);
  }
}

void Worker::readv(const FilePair& file, std::uint64_t offset, std::size_t length, Rng& rng) {
  std::vector<Bytes> pieces;
  std::size_t at = 0;
  for (std::size_t piece : cut(length, rng)) {
    pieces.push_back(Bytes(ours_).subspan(at, piece));
    at += piece;
  }
  const std::size_t moved = file.target->readv(pieces, offset);
  read_bytes += moved;
  if (file.copy == nullptr) {
    return;
  }
  if (moved != length) {
    throw Failure(
        fmt::format("{}: a readv of {} bytes at {} gave {}", *file.path, length, offset, moved));
  }
  file.copy->read(Bytes(theirs_).first(length), offset);
  compare(file, offset, offset, offset + length);
}

void Worker::submit(const FilePair& file, std::uint64_t begin, std::uint64_t end, Rng& rng) {
  struct Piece {
    ConstBytes bytes;
    std::uint64_t offset;
  };
  std::vector<Piece> pieces;
  std::uint64_t at = begin;
  while (at < end && pieces.size() < kBatchRequests) {
    const std::uint64_t length = rng.between(1, std::min<std::uint64_t>(end - at, 30000));
    pieces.push_back({pool_.slice(rng, length), at});
    at += length + (rng.one_in(2) ? 0 : rng.below(5000));
  }
  rng.shuffle(pieces);
  {
    Batch batch;
    for (const Piece& piece : pieces) {
      batch.submit(*file.target, WriteOp{piece.bytes, piece.offset}, piece.bytes.size());
      written_bytes += piece.bytes.size();
    }
    batch.wait();
  }
  Batch batch;
  std::size_t used = 0;
  for (const Piece& piece : pieces) {
    batch.submit(*file.target, ReadOp{Bytes(ours_).subspan(used, piece.bytes.size()), piece.offset},
                 piece.bytes.size());
    used += piece.bytes.size();
    read_bytes += piece.bytes.size();
  }
  batch.wait();
  if (file.copy == nullptr) {
    return;
  }
  used = 0;
  for (const Piece& piece : pieces) {
    file.copy->write(piece.bytes, piece.offset);
    if (std::memcmp(ours_.data() + used, piece.bytes.data(), piece.bytes.size()) != 0) {
      throw Failure(
          fmt::format("{}: a submitted read of [{}, {}) does not give what a submitted "
                      "write put there",
                      *file.path, piece.offset, piece.offset + piece.bytes.size()));
    }
    used += piece.bytes.size();
  }
}

void Worker::expect_size(const FilePair& file, std::uint64_t size) const {
  const std::uint64_t shown = file.target->stat().size_bytes;
  if (file.copy != nullptr && shown != size) {
    throw Failure(fmt::format("{}: stat shows {} bytes instead of {}", *file.path, shown, size));
  }
}

}  // namespace quire::main_job
