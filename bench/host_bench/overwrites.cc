// Overwrites of what is in the cache. Each side has a file of its own, made alike: writeback of one
// side would otherwise throw the other's pages out of the kernel's cache.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "host_bench/data.h"
#include "host_bench/rows.h"

namespace quire::bench {
namespace {

constexpr char kOverwritesFile[] = "overwrites";

struct OverwriteData {
  OverwriteData(const Context& context, std::size_t piece)
      : bytes((context.quick ? 64 : 512) * kMiB) {
    const std::string path = context.directory + "/" + kOverwritesFile;
    fill_file(path + ".kernel", bytes, piece);
    kernel = std::make_unique<Fd>(path + ".kernel", O_RDWR);
    // Made empty, then filled through Quire in the same pieces.
    fill_file(path, 0, kPage);
    CacheOptions options;
    options.memory_bytes = std::max(3 * bytes, 64 * kMiB);
    options.dirty_max_bytes = options.memory_bytes / 2;
    options.dirty_background_bytes = options.dirty_max_bytes;
    options.dirty_age = std::chrono::hours(1);
    quire = std::make_unique<QuireFile>(context.directory, kOverwritesFile, options);
    const std::vector<std::byte> noise(piece, std::byte{0x33});
    for (std::uint64_t at = 0; at < bytes; at += piece) {
      take(quire->file.write(noise, at));
    }
    settings = fmt::format("budget {} MiB, dirty limit {} MiB; synced before each round",
                           options.memory_bytes / kMiB, options.dirty_max_bytes / kMiB);
    take(quire->file.sync());
    before = quire->cache->stats();
  }

  std::string remark() const {
    const CacheStats now = quire->cache->stats();
    return fmt::format(
        "of Quire during the rounds: {} pages read, {} writes throttled, {} pages "
        "written back between rounds",
        now.misses - before.misses, now.throttle_waits.count - before.throttle_waits.count,
        now.written_pages - before.written_pages);
  }

  const std::uint64_t bytes;
  std::unique_ptr<Fd> kernel;
  std::unique_ptr<QuireFile> quire;
  std::string settings;
  CacheStats before;
};

template <class Write>
NanosecondsPerOp overwrite(const OverwriteData& d, unsigned round, bool quick, const Write& write) {
  const std::size_t count = quick ? 4096 : 32768;
  const std::vector<std::uint32_t> picks = draw(count, d.bytes / kPage, round + 1);
  alignas(64) std::byte buffer[kPage] = {};
  return timed([&] {
           for (const std::uint32_t page : picks) {
             if (!write(std::span<const std::byte>(buffer), std::uint64_t{page} * kPage)) {
               throw std::runtime_error("a write came back short");
             }
           }
         }) /
         static_cast<double>(count);
}

Row overwrites(const Context& context, std::size_t piece, double target) {
  const auto d = std::make_shared<OverwriteData>(context, piece);
  Row row;
  row.title = fmt::format("4 KiB overwrites at random pages of {} MiB, file written by {} KiB",
                          d->bytes / kMiB, piece >> 10);
  row.op_bytes = kPage;
  const bool quick = context.quick;
  row.sides.push_back({"Quire", d->settings, [d, quick](unsigned round) {
                         take(d->quire->file.sync());
                         return overwrite(*d, round, quick, [&](auto buffer, std::uint64_t at) {
                           const auto result = d->quire->file.write(buffer, at);
                           return result.ok() && *result == buffer.size();
                         });
                       }});
  row.sides.push_back({"pwrite", "kernel's cache, vm.dirty_* as set; synced before each round",
                       [d, quick](unsigned round) {
                         ::fsync(d->kernel->get());
                         return overwrite(*d, round, quick, [&](auto buffer, std::uint64_t at) {
                           return ::pwrite(d->kernel->get(), buffer.data(), buffer.size(),
                                           static_cast<off_t>(at)) ==
                                  static_cast<ssize_t>(buffer.size());
                         });
                       }});
  row.comparisons = {{0, 1, Comparison::Kind::kRate, target}};
  row.remark = [d] { return d->remark(); };
  row.limited_by =
      "memory: the copy into a cold page, which the locked instructions after it have to wait for";
  return row;
}

}  // namespace

std::vector<RowMaker> overwrite_rows() {
  return {
      {"overwrite.by-4k", [](const Context& context) { return overwrites(context, kPage, 2.0); }},
      {"overwrite.by-1m", [](const Context& context) { return overwrites(context, kMiB, 8.0); }}};
}

}  // namespace quire::bench
