#include "file/mapping_table.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "quire/limits.h"
#include "sync/check.h"

namespace quire::file {
namespace {

using Bytes = std::span<const std::byte>;

// Addresses of different objects are compared, which only std::less orders.
bool before(const std::byte* a, const std::byte* b) noexcept {
  return std::less<>{}(a, b);
}
const std::byte* end_of(Bytes bytes) noexcept {
  return bytes.data() + bytes.size();
}

bool whole_pages(Bytes bytes) noexcept {
  return !bytes.empty() && bytes.size() % limits::kPageBytes == 0 &&
         reinterpret_cast<std::uintptr_t>(bytes.data()) % limits::kPageBytes == 0;
}

// The first range that ends after `address`.
template <class Ranges>
auto first_after(Ranges& ranges, const std::byte* address) noexcept {
  return std::partition_point(ranges.begin(), ranges.end(), [=](const MappedRange& range) {
    return !before(address, end_of(range.bytes));
  });
}

template <class Ranges>
bool any_in(const Ranges& ranges, Bytes bytes) noexcept {
  const auto found = first_after(ranges, bytes.data());
  return found != ranges.end() && before(found->bytes.data(), end_of(bytes));
}

// What is left of `range` from byte `begin` of it on, `count` bytes.
MappedRange part_of(const MappedRange& range, std::size_t begin, std::size_t count) {
  MappedRange part = range;
  part.bytes = range.bytes.subspan(begin, count);
  part.offset += begin;
  return part;
}
std::size_t distance(const std::byte* from, const std::byte* to) noexcept {
  return static_cast<std::size_t>(to - from);
}

}  // namespace

MappingTable MappingTable::of_process_;

void MappingTable::add(MappedRange range) {
  QUIRE_CHECK(whole_pages(range.bytes) && range.memory != nullptr);
  std::unique_ptr<const Ranges> replaced;
  sync::MutexLock lock(mutex_);
  // What a parent made is neither used nor freed.
  if (generation_.exchange(fork_generation()) != fork_generation()) ranges_.store(nullptr);
  const Ranges* const old = ranges_.load();
  auto ranges = old != nullptr ? std::make_unique<Ranges>(*old) : std::make_unique<Ranges>();
  QUIRE_CHECK(!any_in(*ranges, range.bytes));
  ranges->insert(first_after(*ranges, range.bytes.data()), std::move(range));
  replaced = replace(std::move(ranges));
}

void MappingTable::remove(Bytes bytes, const MappedMemory* memory) {
  QUIRE_CHECK(whole_pages(bytes));
  std::unique_ptr<const Ranges> replaced;
  sync::MutexLock lock(mutex_);
  if (empty()) return;
  const Ranges* const old = ranges_.load();
  auto ranges = std::make_unique<Ranges>();
  for (const MappedRange& range : *old) {
    const std::byte* const begin = range.bytes.data();
    const std::byte* const end = end_of(range.bytes);
    const bool meets = before(begin, end_of(bytes)) && before(bytes.data(), end) &&
                       (memory == nullptr || memory == range.memory.get());
    if (!meets) {
      ranges->push_back(range);
      continue;
    }
    if (before(begin, bytes.data())) {
      ranges->push_back(part_of(range, 0, distance(begin, bytes.data())));
    }
    if (before(end_of(bytes), end)) {
      ranges->push_back(
          part_of(range, distance(begin, end_of(bytes)), distance(end_of(bytes), end)));
    }
  }
  replaced = replace(std::move(ranges));
}

std::unique_ptr<const MappingTable::Ranges> MappingTable::replace(std::unique_ptr<Ranges> ranges) {
  std::unique_ptr<const Ranges> old(ranges_.exchange(ranges->empty() ? nullptr : ranges.release()));
  // Nobody who changes the table is needed by one who looks, so the mutex may be held over this.
  if (old != nullptr) (void)readers_.wait();
  return old;
}

bool MappingTable::find(Bytes bytes) const noexcept {
  if (bytes.empty() || empty()) return false;
  const Readers::Guard guard = readers_.enter();
  const Ranges* const ranges = ranges_.load();
  return ranges != nullptr && any_in(*ranges, bytes);
}

MappedRange MappingTable::head(Bytes bytes) const {
  MappedRange none = {.bytes = bytes, .file = 0, .offset = 0, .memory = nullptr};
  if (bytes.empty() || empty()) return none;
  const Readers::Guard guard = readers_.enter();
  const Ranges* const ranges = ranges_.load();
  if (ranges == nullptr) return none;
  const auto found = first_after(*ranges, bytes.data());
  if (found == ranges->end() || !before(found->bytes.data(), end_of(bytes))) return none;
  if (before(bytes.data(), found->bytes.data())) {
    const std::size_t free = distance(bytes.data(), found->bytes.data());
    return {.bytes = bytes.first(free), .file = 0, .offset = 0, .memory = nullptr};
  }
  const std::size_t begin = distance(found->bytes.data(), bytes.data());
  return part_of(*found, begin, std::min(bytes.size(), found->bytes.size() - begin));
}

bool MappingTable::shows(Bytes bytes, std::uint64_t file, std::uint64_t offset,
                         std::uint64_t length) const {
  while (!bytes.empty()) {
    const MappedRange part = head(bytes);
    // Of ranges that may end at the last number there is.
    const bool meets = part.offset < offset ? offset - part.offset < part.bytes.size()
                                            : part.offset - offset < length;
    if (part.memory != nullptr && part.file == file && meets) return true;
    bytes = bytes.subspan(part.bytes.size());
  }
  return false;
}

}  // namespace quire::file
