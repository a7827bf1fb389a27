#include "cut_job/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace quire::cut_job {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

std::string part_of(const JobFile& file, std::uint64_t offset) {
  if (offset < file.bytes.begin()) {
    return fmt::format("in page {}", offset / kPage);
  }
  if (offset < file.bytes.end()) {
    return "among the bytes at odd offsets";
  }
  return fmt::format("in page {} of the tail", (offset - file.tail_begin()) / kPage);
}

[[noreturn]] void report(const JobFile& file, const std::string& where, std::uint64_t base,
                         ConstBytes got, ConstBytes wanted) {
  const auto first = static_cast<std::size_t>(
      std::mismatch(got.begin(), got.end(), wanted.begin()).first - got.begin());
  std::size_t wrong = 0;
  for (std::size_t i = first; i < got.size(); ++i) {
    wrong += got[i] != wanted[i] ? 1 : 0;
  }
  throw Failure(fmt::format(
      "{}: {:#04x} at offset {} ({}) {} instead of {:#04x}, and {} more bytes differ nearby",
      file.path, std::to_integer<unsigned>(got[first]), base + first, part_of(file, base + first),
      where, std::to_integer<unsigned>(wanted[first]), wrong - 1));
}

}  // namespace

std::uint64_t compare(const JobFile& file, const std::string& where, std::uint64_t size_bytes,
                      const ReadAt& read, const main_job::Stop& stop) {
  const std::uint64_t size = file.size_bytes();
  if (size_bytes != size) {
    throw Failure(fmt::format("{}: {} bytes {} instead of {}", file.path, size_bytes, where, size));
  }
  std::vector<std::byte> buffer(kBufferBytes);
  std::vector<std::byte> rendered(kBufferBytes);
  for (std::uint64_t at = 0; at < size;) {
    stop.check();
    const std::size_t length = std::min<std::uint64_t>(kBufferBytes, size - at);
    const Bytes got = Bytes(buffer).first(length);
    const Bytes wanted = Bytes(rendered).first(length);
    if (const std::size_t moved = read(got, at); moved != length) {
      throw Failure(fmt::format("{}: a read of {} bytes at {} {} gave {}", file.path, length, at,
                                where, moved));
    }
    file.render(at, wanted);
    if (std::memcmp(got.data(), wanted.data(), length) != 0) {
      report(file, where, at, got, wanted);
    }
    at += length;
  }
  return size;
}

}  // namespace quire::cut_job
