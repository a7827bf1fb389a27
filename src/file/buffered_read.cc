#include <algorithm>

#include "cache/fill.h"
#include "cache/page_read.h"
#include "file/buffered.h"
#include "file/mapping_table.h"
#include "sync/check.h"

namespace quire::file {

void start_windows(Inode& inode, SharedReadahead& readahead, cache::Readahead::Window window) {
  while (window.pages > 0) {
    const cache::Started started =
        cache::start_fill(inode, window.first, window.pages, cache::Marker::kFirst);
    sync::MutexLock lock(readahead.mutex);
    window = readahead.state.on_started(window, started.pages, started.refused);
  }
}

void ahead_of_marker(Inode& inode, SharedReadahead& readahead, std::uint64_t index) {
  if (!cache::take_marker(inode, index)) return;
  cache::Readahead::Window window;
  {
    sync::MutexLock lock(readahead.mutex);
    window = readahead.state.on_marker(index);
  }
  start_windows(inode, readahead, window);
}

namespace {

using cache::page_index;
using cache::PageCopy;
using cache::PageLook;

// Bytes from `offset` on that lie in its page, of `bytes`.
std::size_t part_in_page(std::uint64_t offset, std::size_t bytes) {
  return std::min(bytes, limits::kPageBytes - (offset & (limits::kPageBytes - 1)));
}

// Copies the pages at the head of `out` that need nothing but copying.
std::size_t copy_hits(Inode& inode, std::span<std::byte> out, std::uint64_t offset) noexcept {
  const std::uint32_t slot = cache::Hazards::slot_of_thread();
  if (slot == cache::Hazards::kNoSlot) [[unlikely]]
    return 0;
  std::size_t moved = 0;
  std::uint64_t pages = 0;
  while (moved < out.size()) {
    const std::uint64_t at = offset + moved;
    const std::size_t part = part_in_page(at, out.size() - moved);
    const PageCopy copy = cache::copy_page(inode, slot, at, out.subspan(moved, part));
    if (copy.look != PageLook::kCopied) [[unlikely]]
      break;
    moved += copy.bytes;
    ++pages;
    if (copy.bytes < part) break;
  }
  inode.cache().counters().count_hits(slot, pages);
  return moved;
}

// Reads what is missing at the head of `out` and copies it. Moves nothing if somebody else was faster.
Transfer read_missing(Inode& inode, SharedReadahead& readahead, std::span<std::byte> out,
                      std::uint64_t offset, std::size_t* run_max, const sync::WaitLimit& limit) {
  const std::uint64_t first = page_index(offset);
  const std::size_t wanted =
      static_cast<std::size_t>(page_index(offset + out.size() - 1) - first + 1);
  cache::Readahead::Window window;
  {
    sync::MutexLock lock(readahead.mutex);
    window = readahead.state.on_miss(first, wanted);
  }
  // First what the reader waits for, then, while the store is busy with it or the reader copies, more.
  cache::PinnedRun run;
  const std::error_code error =
      cache::fill_run(inode, first, std::min(wanted, *run_max), limit, run);
  if (error) {
    // One bad sector must not make its neighbours unreadable: try page by page.
    if (wanted > 1 && *run_max > 1 && error.category() == std::generic_category()) {
      *run_max = 1;
      return {};
    }
    return {0, error};
  }
  start_windows(inode, readahead, window);

  Transfer moved;
  for (std::size_t i = 0; i < run.pages() && moved.bytes < out.size(); ++i) {
    const std::uint64_t at = offset + moved.bytes;
    const std::span<std::byte> part =
        out.subspan(moved.bytes, part_in_page(at, out.size() - moved.bytes));
    const PageCopy copy = cache::copy_in_file(inode, run.bytes(i), at, part);
    moved.bytes += copy.bytes;
    if (copy.bytes < part.size()) break;
  }
  return moved;
}

// read_at() of a file that is not broken.
Transfer read_sound(Inode& inode, SharedReadahead& readahead, std::span<std::byte> out,
                    std::uint64_t offset, const sync::WaitLimit& limit) {
  Transfer moved;
  cache::CacheLock::Operation operation;
  moved.error = sync::to_error(operation.begin(inode.lock(), sync::RwMode::kRead, limit));
  if (moved.error) return moved;
  std::size_t run_max = limits::kStoreIoMaxPieces;
  while (moved.bytes < out.size()) {
    const std::size_t hit = copy_hits(inode, out.subspan(moved.bytes), offset + moved.bytes);
    moved.bytes += hit;
    if (moved.bytes == out.size() || met_the_end(offset + moved.bytes - hit, hit)) break;

    // A look at the page that stopped us, or all of it where this thread has no hazard slot.
    const std::uint64_t at = offset + moved.bytes;
    const std::span<std::byte> rest = out.subspan(moved.bytes);
    const std::span<std::byte> part = rest.first(part_in_page(at, rest.size()));
    const PageCopy copy = cache::copy_page_pinned(inode, at, part);
    switch (copy.look) {
      case PageLook::kCopied:
        inode.cache().counters().slow_hits.fetch_add(1);
        moved.bytes += copy.bytes;
        if (copy.bytes < part.size()) return moved;
        continue;
      case PageLook::kMarked:
        ahead_of_marker(inode, readahead, page_index(at));
        continue;
      case PageLook::kEnd:
        return moved;
      case PageLook::kUnreadable: {
        if (at >= inode.size_bytes()) return moved;
        const sync::WaitStatus status = inode.wait_unreadable(page_index(at), limit);
        if (status == sync::WaitStatus::kReady) continue;
        moved.error = sync::to_error(status);
        return moved;
      }
      case PageLook::kAbsent:
        break;
    }
    if (at >= inode.size_bytes()) return moved;
    const Transfer missing = read_missing(inode, readahead, rest, at, &run_max, limit);
    moved.bytes += missing.bytes;
    moved.error = missing.error;
    if (missing.error || met_the_end(at, missing.bytes)) return moved;
  }
  return moved;
}

}  // namespace

std::size_t read_hits(Inode& inode, std::span<std::byte> out, std::uint64_t offset) noexcept {
  QUIRE_DCHECK(!MappingTable::of_process().meets(out));
  cache::CacheLock::Operation operation;
  if (!operation.try_begin(inode.lock(), sync::RwMode::kRead)) [[unlikely]]
    return 0;
  const std::size_t moved = copy_hits(inode, out, offset);
  return inode.broken() ? 0 : moved;
}

Transfer read_at(Inode& inode, SharedReadahead& readahead, std::span<std::byte> out,
                 std::uint64_t offset, const sync::WaitLimit& limit) {
  QUIRE_DCHECK(!MappingTable::of_process().meets(out));
  const Transfer moved = read_sound(inode, readahead, out, offset, limit);
  // After the copy: what a shift that failed meanwhile has left there is nobody's data.
  if (inode.broken()) [[unlikely]]
    return {0, std::make_error_code(std::errc::io_error)};
  return moved;
}

void will_need(Inode& inode, std::uint64_t first_page, std::uint64_t last_page) {
  cache::CacheLock::Operation operation;
  if (!operation.try_begin(inode.lock(), sync::RwMode::kRead)) return;
  const std::uint64_t end = cache::pages_of(inode.size_bytes());
  if (end == 0) return;
  last_page = std::min(last_page, end - 1);
  // As far as an eighth of memory: more would push out what is in use.
  std::size_t budget = inode.cache().budget().frames / 8;
  std::uint64_t next = first_page;
  while (next <= last_page && budget > 0) {
    const std::size_t want = static_cast<std::size_t>(
        std::min<std::uint64_t>({last_page - next + 1, limits::kStoreIoMaxPieces, budget}));
    const cache::Started started = cache::start_fill(inode, next, want, cache::Marker::kNone);
    if (started.refused || started.pages == 0) return;
    next += started.pages;
    budget -= started.pages;
  }
}

}  // namespace quire::file
