#include "cache/frame_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "sync/check.h"

namespace quire::cache {
namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

}  // namespace

Result<std::unique_ptr<FramePool>> FramePool::create(std::uint32_t frames) {
  const std::size_t bytes = std::size_t{frames} * limits::kPageBytes;
  // Room to begin at a huge page. Address space only: what is not touched takes no memory.
  const std::size_t mapped = bytes + kHugePageBytes;
  void* const base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return Error(std::error_code(errno, std::generic_category()),
                 "mapping the cache's memory; a smaller memory_bytes may fit");
  }
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  const std::uintptr_t begin = (address + kHugePageBytes - 1) & ~(kHugePageBytes - 1);
  // Both are advice: without huge pages the cache is slower, and with a fork the child refuses
  // calls.
  (void)madvise(base, mapped, MADV_HUGEPAGE);
  (void)madvise(base, mapped, MADV_DONTFORK);
  // Keep the trimmed ends out of the mapping, so that freeing needs only the slab.
  if (begin > address) munmap(base, begin - address);
  const std::uintptr_t end = begin + bytes;
  if (address + mapped > end) {
    munmap(reinterpret_cast<void*>(end), address + mapped - end);
  }
  return std::unique_ptr<FramePool>(
      new FramePool(frames, reinterpret_cast<std::byte*>(begin), bytes));
}

FramePool::FramePool(std::uint32_t frames, std::byte* slab, std::size_t mapped_bytes)
    : frames_(frames),
      slab_(slab),
      mapped_bytes_(mapped_bytes),
      descriptors_(new FrameDescriptor[frames]),
      free_count_(frames) {
  sync::MutexLock lock(mutex_);
  stack_.reserve(frames);
  // Lowest numbers on top: a cache that is never full touches only the beginning of the slab.
  for (std::uint32_t i = frames; i > 0; --i) stack_.push_back(i - 1);
}

FramePool::~FramePool() {
  munmap(slab_, mapped_bytes_);
}

bool FramePool::refill(Stash& stash) noexcept {
  sync::MutexLock lock(mutex_);
  const std::size_t take = std::min(stack_.size(), kStashFrames / 2);
  for (std::size_t i = 0; i < take; ++i) {
    stash.frames[stash.count++] = stack_.back();
    stack_.pop_back();
  }
  return take > 0;
}

FrameNumber FramePool::allocate() noexcept {
  {
    typename sync::LocalGlobalLock<kStripes>::LocalGuard local(stash_lock_);
    Stash& stash = stashes_[local.stripe()];
    if (stash.count > 0 || refill(stash)) {
      free_count_.fetch_sub(1);
      return stash.frames[--stash.count];
    }
  }
  return free_count_.load() == 0 ? kNoFrame : steal();
}

FrameNumber FramePool::steal() noexcept {
  typename sync::LocalGlobalLock<kStripes>::GlobalGuard all(stash_lock_);
  for (Stash& stash : stashes_) {
    if (stash.count == 0) continue;
    free_count_.fetch_sub(1);
    return stash.frames[--stash.count];
  }
  sync::MutexLock lock(mutex_);
  if (stack_.empty()) return kNoFrame;
  const FrameNumber frame = stack_.back();
  stack_.pop_back();
  free_count_.fetch_sub(1);
  return frame;
}

void FramePool::lend(std::span<FrameNumber> frames) noexcept {
  count_lent(static_cast<std::uint32_t>(frames.size()));
  // Pages side by side were mostly given frames side by side, in one order or the other.
  std::sort(frames.begin(), frames.end());
  for (std::size_t first = 0, end = 0; first < frames.size(); first = end) {
    end = first + 1;
    while (end < frames.size() && frames[end] == frames[end - 1] + 1) ++end;
    give_memory_back(frames[first], end - first);
  }
}

void FramePool::lend_unused(FrameNumber frame) noexcept {
  // From here on what is without memory stays so.
  count_lent(1);
  FrameDescriptor& d = descriptors_[frame];
  if (d.was_lent && d.lent_since == huge_again_.load()) {
    d.lent = true;
  } else {
    give_memory_back(frame, 1);
  }
}

void FramePool::give_memory_back(FrameNumber first, std::size_t count) noexcept {
  // The second call alone takes the page out of a huge page's mapping and leaves the huge page in memory: 128
  // MiB dropped by every other 4 KiB of 256 gave nothing back (Linux 6.18). The first makes the kernel split it.
  (void)::madvise(bytes(first), count * limits::kPageBytes, MADV_COLD);
  (void)::madvise(bytes(first), count * limits::kPageBytes, MADV_DONTNEED);
  for (std::size_t i = 0; i < count; ++i) {
    FrameDescriptor& d = descriptors_[first + i];
    d.lent = true;
    d.lent_since = huge_again_.load();
  }
}

void FramePool::take_back(FrameNumber frame) noexcept {
  QUIRE_DCHECK(frame < frames_);
  if (lent_.fetch_sub(1) == 1) advise();
}

void FramePool::count_lent(std::uint32_t count) noexcept {
  if (lent_.fetch_add(count) == 0 || !advised_small_.load()) advise();
}

void FramePool::advise() noexcept {
  // Whoever has counted comes here afterwards: the last to come sees what is so.
  sync::MutexLock lock(advice_mutex_);
  const bool small = lent_.load() != 0;
  if (advised_small_.exchange(small) == small) return;
  // While frames are lent the kernel would make huge pages of what is left, and take the memory again for all of them.
  // Afterwards it is welcome to, in its own time.
  if (!small) huge_again_.fetch_add(1);
  (void)::madvise(slab_, mapped_bytes_, small ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}

void FramePool::free(FrameNumber frame) noexcept {
  QUIRE_DCHECK(frame < frames_);
  FrameDescriptor& d = descriptors_[frame];
  d.owner.store(nullptr);
  d.is_leaf.store(0);
  d.leaf_pages.store(0);
  d.was_lent = std::exchange(d.lent, false);
  free_count_.fetch_add(1);
  typename sync::LocalGlobalLock<kStripes>::LocalGuard local(stash_lock_);
  Stash& stash = stashes_[local.stripe()];
  if (stash.count == kStashFrames) {
    sync::MutexLock lock(mutex_);
    for (std::size_t i = 0; i < kStashFrames / 2; ++i) {
      stack_.push_back(stash.frames[--stash.count]);
    }
  }
  stash.frames[stash.count++] = frame;
}

}  // namespace quire::cache
