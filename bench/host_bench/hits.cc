// Reads of what is in the cache, beside memcpy and beside the kernel's cache of the same file.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <memory>

#include "host_bench/data.h"
#include "host_bench/rows.h"

namespace quire::bench {
namespace {

constexpr char kHitsFile[] = "hits";

// memcpy as the library calls it: the C library's own, since the length is not known when compiling.
void copy(std::byte* to, const std::byte* from, std::size_t length) {
  asm volatile("" : "+r"(length));
  std::memcpy(to, from, length);
  asm volatile("" : : "r"(to) : "memory");
}

struct HitData {
  HitData(const Context& context, bool with_memory)
      : bytes((context.quick ? 64 : 512) * kMiB),
        pages(bytes / kPage),
        path(context.directory + "/" + kHitsFile) {
    fill_file(path, bytes, kMiB);
    CacheOptions options;
    options.memory_bytes = bytes * 2;
    quire = std::make_unique<QuireFile>(context.directory, kHitsFile, options);
    quire->load(bytes);
    load_into_kernel(path, bytes);
    large = std::make_unique<Fd>(path, O_RDONLY);
    fill_file(path + ".4k", bytes, kPage);
    small = std::make_unique<Fd>(path + ".4k", O_RDONLY);
    if (with_memory) {
      huge_pages = std::make_unique<Region>(bytes, Region::Kind::kHugePages);
      small_pages = std::make_unique<Region>(bytes, Region::Kind::kSmallPages);
    }
    settings =
        fmt::format("budget {} MiB, direct IO, all in the cache", options.memory_bytes / kMiB);
    misses_before = quire->cache->stats().misses;
  }

  std::string misses() const {
    return fmt::format("pages that Quire had to read during the rounds: {}",
                       quire->cache->stats().misses - misses_before);
  }

  const std::uint64_t bytes;
  const std::uint64_t pages;
  const std::string path;
  std::unique_ptr<QuireFile> quire;
  std::unique_ptr<Fd> large, small;
  std::unique_ptr<Region> huge_pages, small_pages;
  std::string settings;
  std::uint64_t misses_before = 0;
};
using SharedHits = std::shared_ptr<HitData>;

void check(bool ok) {
  if (!ok) {
    throw std::runtime_error("a read came back short");
  }
}

// Something that reads `buffer.size()` bytes at an offset; the same code measures all of them.
struct ReadQuire {
  File& file;
  void operator()(std::span<std::byte> buffer, std::uint64_t offset) const {
    const auto result = file.read(buffer, offset);
    check(result.ok() && *result == buffer.size());
  }
};
struct ReadKernel {
  int fd;
  void operator()(std::span<std::byte> buffer, std::uint64_t offset) const {
    check(::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(buffer.size()));
  }
};
struct ReadMemory {
  const std::byte* data;
  void operator()(std::span<std::byte> buffer, std::uint64_t offset) const {
    copy(buffer.data(), data + offset, buffer.size());
  }
};

// The median of batches of kBatch operations: what a preemption costs falls on few of them. Nothing
// is hidden by it, since a hit waits for nothing.
constexpr std::size_t kBatch = 64;

template <class Op>
NanosecondsPerOp median_of_batches(std::size_t count, const Op& op) {
  std::vector<double> batches;
  batches.reserve(count / kBatch);
  auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i + kBatch <= count; i += kBatch) {
    for (std::size_t k = 0; k < kBatch; ++k) {
      op(i + k);
    }
    const auto end = std::chrono::steady_clock::now();
    batches.push_back(std::chrono::duration<double, std::nano>(end - begin).count() / kBatch);
    begin = end;
  }
  return spread_of(std::move(batches)).median;
}

template <class Read>
NanosecondsPerOp random_reads(const Read& read, std::uint64_t pages, unsigned round, bool quick) {
  const std::vector<std::uint32_t> picks = draw(quick ? 8192 : 65536, pages, round + 1);
  alignas(64) std::byte buffer[kPage];
  return median_of_batches(picks.size(), [&](std::size_t i) {
    read(std::span(buffer), std::uint64_t{picks[i]} * kPage);
  });
}

// From the common start to the end of the last thread.
template <class Read>
NanosecondsPerOp random_reads_on_threads(const Read& read, std::uint64_t pages, unsigned round,
                                         bool quick, unsigned threads) {
  const std::size_t count = quick ? 8192 : 65536;
  std::vector<std::vector<std::uint32_t>> picks;
  for (unsigned t = 0; t < threads; ++t) {
    picks.push_back(draw(count, pages, round * 64 + t + 1));
  }
  const double ns = timed_on_threads(threads, [&](unsigned thread) {
    alignas(64) std::byte buffer[kPage];
    for (const std::uint32_t page : picks[thread]) {
      read(std::span(buffer), std::uint64_t{page} * kPage);
    }
  });
  return ns / static_cast<double>(count * threads);
}

template <class Read>
NanosecondsPerOp hot_reads(const Read& read, std::size_t length, bool quick) {
  alignas(64) std::byte buffer[kPage];
  return median_of_batches(quick ? 20000 : 200000,
                           [&](std::size_t) { read(std::span(buffer).first(length), 0); });
}

// With `threads` 0 the median of batches on this thread, else wall time on so many.
std::vector<Side> random_sides(const SharedHits& d, bool quick, unsigned threads) {
  const auto side = [&](std::string name, std::string settings, auto read) {
    if (threads == 0) {
      return Side{std::move(name), std::move(settings), [d, read, quick](unsigned round) {
                    return random_reads(read, d->pages, round, quick);
                  }};
    }
    return Side{fmt::format("{}, {} thread{}", name, threads, threads > 1 ? "s" : ""),
                std::move(settings), [d, read, quick, threads](unsigned round) {
                  return random_reads_on_threads(read, d->pages, round, quick, threads);
                }};
  };
  std::vector<Side> sides;
  sides.push_back(side("Quire", d->settings, ReadQuire{d->quire->file}));
  sides.push_back(side("memcpy, huge pages", "anonymous memory, MADV_HUGEPAGE",
                       ReadMemory{d->huge_pages->data()}));
  sides.push_back(side("pread, same file", "kernel's cache, file written by 1 MiB",
                       ReadKernel{d->large->get()}));
  sides.push_back(side("memcpy, 4 KiB pages", "anonymous memory, MADV_NOHUGEPAGE",
                       ReadMemory{d->small_pages->data()}));
  sides.push_back(side("pread, file by 4 KiB", "kernel's cache, file written by 4 KiB",
                       ReadKernel{d->small->get()}));
  return sides;
}

Row random_hits(const Context& context) {
  const auto d = std::make_shared<HitData>(context, true);
  Row row;
  row.title = fmt::format("4 KiB reads at random pages of {} MiB, all hits", d->bytes / kMiB);
  row.op_bytes = kPage;
  row.sides = random_sides(d, context.quick, 0);
  using Kind = Comparison::Kind;
  row.comparisons = {{0, 1, Kind::kTime, 1.15},
                     {0, 3, Kind::kTime},
                     {0, 2, Kind::kRate, 1.8},
                     {0, 4, Kind::kRate, 1.8}};
  row.remark = [d] { return d->misses(); };
  row.limited_by =
      "the page word's own cache miss, some 100 ns, comes before the page's; a copy that knows the "
      "address, as memcpy does, has one miss less to wait for";
  return row;
}

Row hot_hits(const Context& context, std::size_t length) {
  const auto d = std::make_shared<HitData>(context, false);
  Row row;
  row.title = fmt::format("{} byte reads of one page, hits", length);
  row.op_bytes = length;
  const auto side = [&](const char* name, const std::string& settings, auto read) {
    row.sides.push_back({name, settings, [d, read, length, quick = context.quick](unsigned) {
                           return hot_reads(read, length, quick);
                         }});
  };
  side("Quire", d->settings, ReadQuire{d->quire->file});
  side("pread, same file", "kernel's cache, file written by 1 MiB", ReadKernel{d->large->get()});
  side("pread, file by 4 KiB", "kernel's cache, file written by 4 KiB",
       ReadKernel{d->small->get()});
  row.comparisons = {{0, 1, Comparison::Kind::kRate, 5.0}, {0, 2, Comparison::Kind::kRate, 5.0}};
  row.remark = [d] { return d->misses(); };
  row.limited_by = "one locked instruction to publish the hazard slot, the walk through the tree";
  return row;
}

Row two_threads(const Context& context) {
  const auto d = std::make_shared<HitData>(context, true);
  Row row;
  row.title = fmt::format("as hit.random.4k, two threads beside one ({} MiB)", d->bytes / kMiB);
  row.op_bytes = kPage;
  // Quire, memory and the kernel with one thread, then with two.
  constexpr std::size_t kSides = 3;
  for (const unsigned threads : {1u, 2u}) {
    std::vector<Side> sides = random_sides(d, context.quick, threads);
    std::move(sides.begin(), sides.begin() + kSides, std::back_inserter(row.sides));
  }
  row.comparisons = {{3, 0, Comparison::Kind::kRate, 1.8}, {4, 1}, {5, 2}};
  row.remark = [d] { return d->misses(); };
  row.limited_by =
      "memory: nothing that one thread writes is used by the other, and memcpy scales no better";
  return row;
}

}  // namespace

std::vector<RowMaker> hit_rows() {
  return {{"hit.random.4k", random_hits},
          {"hit.hot.4k", [](const Context& context) { return hot_hits(context, kPage); }},
          {"hit.hot.64", [](const Context& context) { return hot_hits(context, 64); }},
          {"hit.2-threads", two_threads}};
}

}  // namespace quire::bench
