#include "file/mapping_table.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <new>
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

// What is left of `range` from byte `begin` of it on, `count` bytes.
MappedRange part_of(const MappedRange& range, std::size_t begin, std::size_t count) {
  MappedRange part = range;
  part.bytes = range.bytes.subspan(begin, count);
  part.offset += begin;
  return part;
}
// Some of it is to go, if it is that memory's or all are meant.
bool in_part(const MappedRange& range, Bytes bytes, const MappedMemory* memory) noexcept {
  return before(range.bytes.data(), end_of(bytes)) && before(bytes.data(), end_of(range.bytes)) &&
         (memory == nullptr || memory == range.memory.get());
}
std::size_t distance(const std::byte* from, const std::byte* to) noexcept {
  return static_cast<std::size_t>(to - from);
}

}  // namespace

MappingTable MappingTable::of_process_;

// The first range that is there and ends after `address`.
MappingTable::Ranges::const_iterator MappingTable::first_after(const Ranges& ranges,
                                                               const std::byte* address) noexcept {
  auto found = std::partition_point(ranges.begin(), ranges.end(), [=](const Entry& entry) {
    return !before(address, end_of(entry.range.bytes));
  });
  while (found != ranges.end() && found->gone.load()) ++found;
  return found;
}

bool MappingTable::any_in(const Ranges& ranges, Bytes bytes) noexcept {
  const auto found = first_after(ranges, bytes.data());
  return found != ranges.end() && before(found->range.bytes.data(), end_of(bytes));
}

MappingTable::Changes& MappingTable::changes() {
  Changes* here = changes_.load();
  while (here->generation != fork_generation()) {
    auto made = std::make_unique<Changes>(fork_generation());
    // What a parent had is neither used nor freed.
    if (changes_.compare_exchange_strong(here, made.get())) return *made.release();
  }
  return *here;
}

void MappingTable::add(MappedRange range) {
  QUIRE_CHECK(whole_pages(range.bytes) && range.memory != nullptr);
  Changes& changes = this->changes();
  std::unique_ptr<const Ranges> replaced;
  sync::MutexLock lock(changes.mutex);
  if (generation_.load() != fork_generation()) {
    ranges_.store(nullptr);
    generation_.store(fork_generation());
  }
  auto ranges = std::make_unique<Ranges>();
  // Put where it belongs at once: most often that is in front of all others, and to move them is to copy them again.
  if (const Ranges* const old = ranges_.load()) {
    QUIRE_CHECK(!any_in(*old, range.bytes));
    ranges->reserve(old->size() + 1);
    for (const Entry& entry : *old) {
      if (entry.gone.load()) continue;
      if (range.memory != nullptr && before(range.bytes.data(), entry.range.bytes.data())) {
        ranges->emplace_back(std::exchange(range, {}));
      }
      ranges->push_back(entry);
    }
  }
  if (range.memory != nullptr) ranges->emplace_back(std::move(range));
  replaced = replace(changes, std::move(ranges));
}

bool MappingTable::remove(Bytes bytes, const MappedMemory* memory) noexcept {
  QUIRE_CHECK(whole_pages(bytes));
  if (empty()) return true;
  Changes& changes = *changes_.load();
  try {
    std::unique_ptr<const Ranges> replaced;
    sync::MutexLock lock(changes.mutex);
    const Ranges* const old = ranges_.load();
    if (old == nullptr) return true;
    auto ranges = std::make_unique<Ranges>();
    ranges->reserve(old->size() + 1);  // of one range two parts may stay
    for (const Entry& entry : *old) {
      if (entry.gone.load()) continue;
      const MappedRange& range = entry.range;
      const std::byte* const begin = range.bytes.data();
      const std::byte* const end = end_of(range.bytes);
      if (!in_part(range, bytes, memory)) {
        ranges->emplace_back(range);
        continue;
      }
      if (before(begin, bytes.data())) {
        ranges->emplace_back(part_of(range, 0, distance(begin, bytes.data())));
      }
      if (before(end_of(bytes), end)) {
        ranges->emplace_back(
            part_of(range, distance(begin, end_of(bytes)), distance(end_of(bytes), end)));
      }
    }
    replaced = replace(changes, std::move(ranges));
    return true;
  } catch (const std::bad_alloc&) {
    return mark_gone(changes, bytes, memory);
  }
}

bool MappingTable::mark_gone(Changes& changes, Bytes bytes, const MappedMemory* memory) noexcept {
  {
    sync::MutexLock lock(changes.mutex);
    Ranges* const ranges = ranges_.load();
    if (ranges == nullptr) return true;
    for (const Entry& entry : *ranges) {
      const bool whole = !before(entry.range.bytes.data(), bytes.data()) &&
                         !before(end_of(bytes), end_of(entry.range.bytes));
      if (!entry.gone.load() && in_part(entry.range, bytes, memory) && !whole) return false;
    }
    for (Entry& entry : *ranges) {
      if (!entry.gone.load() && in_part(entry.range, bytes, memory)) entry.gone.store(true);
    }
    (void)changes.readers.wait();
  }
  // One at a time, and without the mutex: the last owner of a mapping unmaps it.
  for (;;) {
    std::shared_ptr<MappedMemory> owner;
    sync::MutexLock lock(changes.mutex);
    Ranges* const ranges = ranges_.load();
    if (ranges == nullptr) return true;
    const auto left = std::find_if(ranges->begin(), ranges->end(), [](const Entry& entry) {
      return entry.gone.load() && entry.range.memory != nullptr;
    });
    if (left == ranges->end()) return true;
    owner.swap(left->range.memory);
  }
}

std::unique_ptr<MappingTable::Ranges> MappingTable::replace(
    Changes& changes, std::unique_ptr<Ranges> ranges) noexcept {
  std::unique_ptr<Ranges> old(ranges_.exchange(ranges->empty() ? nullptr : ranges.release()));
  // Nobody who changes the table is needed by one who looks, so the mutex may be held over this.
  if (old != nullptr) (void)changes.readers.wait();
  return old;
}

bool MappingTable::find(Bytes bytes) const noexcept {
  if (bytes.empty() || empty()) return false;
  const Readers::Guard guard = changes_.load()->readers.enter();
  const Ranges* const ranges = ranges_.load();
  return ranges != nullptr && any_in(*ranges, bytes);
}

MappedRange MappingTable::head(Bytes bytes) const {
  MappedRange none = {.bytes = bytes, .file = 0, .offset = 0, .memory = nullptr};
  if (bytes.empty() || empty()) return none;
  const Readers::Guard guard = changes_.load()->readers.enter();
  const Ranges* const ranges = ranges_.load();
  if (ranges == nullptr) return none;
  const auto entry = first_after(*ranges, bytes.data());
  if (entry == ranges->end() || !before(entry->range.bytes.data(), end_of(bytes))) return none;
  const MappedRange& found = entry->range;
  if (before(bytes.data(), found.bytes.data())) {
    const std::size_t free = distance(bytes.data(), found.bytes.data());
    return {.bytes = bytes.first(free), .file = 0, .offset = 0, .memory = nullptr};
  }
  const std::size_t begin = distance(found.bytes.data(), bytes.data());
  return part_of(found, begin, std::min(bytes.size(), found.bytes.size() - begin));
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
