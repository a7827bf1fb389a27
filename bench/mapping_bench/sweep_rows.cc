// Sweeps over a mapped file four times as large as the memory: Quire under its budget, the kernel's mmap under a
// cgroup of the same size, and reads through Quire's cache. Each sweep is a process of its own, which times itself.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "host_bench/data.h"
#include "host_bench/memory_limit.h"
#include "host_bench/process.h"
#include "mapping_bench/rows.h"
#include "quire/mapping.h"

namespace quire::bench {
namespace {

constexpr char kFileName[] = "sweeps";
constexpr std::size_t kRandomPages = 8192;

struct SweepData {
  explicit SweepData(const Context& context)
      : self(context.self),
        path(context.directory + "/" + kFileName),
        memory_bytes((context.quick ? 16 : 64) * kMiB),
        bytes(4 * memory_bytes),
        limit(memory_bytes) {
    fill_file(path, bytes, kMiB);
  }

  NanosecondsPerOp run(const char* side, const char* order) const {
    drop_from_kernel(path);
    const std::string output =
        output_of({self, kSweepChildFlag, side, order, path, std::to_string(bytes),
                   std::to_string(memory_bytes), limit.path()});
    return std::strtod(output.c_str(), nullptr);
  }

  const std::string self;
  const std::string path;
  const std::uint64_t memory_bytes;
  const std::uint64_t bytes;
  const MemoryLimit limit;
};

Row sweep(const Context& context, const char* order) {
  const auto d = std::make_shared<SweepData>(context);
  Row row;
  row.name = fmt::format("sweep/{}", order);
  row.title = fmt::format("a {} sweep over {} MiB under {} MiB: per page", order, d->bytes / kMiB,
                          d->memory_bytes / kMiB);
  row.op_bytes = kPage;
  row.rounds = 5;
  const std::string budget = fmt::format("budget {} MiB, direct IO", d->memory_bytes / kMiB);
  row.sides.push_back(
      {"Quire, mapped", budget, [d, order](unsigned) { return d->run("mapped", order); }});
  row.sides.push_back(
      {"Quire, read()", budget, [d, order](unsigned) { return d->run("read", order); }});
  row.sides.push_back({"kernel, mmap",
                       fmt::format("{} limit {} MiB", d->limit.version(), d->memory_bytes / kMiB),
                       [d, order](unsigned) { return d->run("kernel", order); }});
  row.comparisons = {{0, 2, Comparison::Kind::kRate, {}}, {0, 1, Comparison::Kind::kRate, {}}};
  return row;
}

// Nanoseconds for each page that `access(page)` is called for.
template <class Access>
double sweep_pages(bool random, std::uint64_t bytes, const Access& access) {
  const std::uint64_t pages = bytes / kPage;
  const std::uint64_t count = random ? std::min<std::uint64_t>(kRandomPages, pages) : pages;
  const double ns = timed([&] {
    std::uint64_t page = 1;
    for (std::uint64_t i = 0; i < count; ++i) {
      access(random ? page = page_after(page, pages) : i);
    }
  });
  return ns / static_cast<double>(count);
}

double run_side(std::string_view side, bool random, const std::string& path, std::uint64_t bytes,
                std::uint64_t memory) {
  const auto load = [](const std::byte* base) {
    return [base](std::uint64_t page) {
      (void)*static_cast<const volatile std::byte*>(base + page * kPage);
    };
  };
  if (side == "kernel") {
    const Fd fd(path, O_RDONLY);
    void* const at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED) throw NotMeasured("mmap of a file");
    return sweep_pages(random, bytes, load(static_cast<const std::byte*>(at)));
  }
  const std::filesystem::path p(path);
  CacheOptions options;
  options.memory_bytes = memory;
  QuireFile quire(p.parent_path().string(), p.filename().string(), options);
  if (side == "read") {
    std::vector<std::byte> buffer(kPage);
    return sweep_pages(random, bytes,
                       [&](std::uint64_t page) { take(quire.file.read(buffer, page * kPage)); });
  }
  const Mapping mapping = take(quire.file.map(0, bytes, {.access = MapAccess::kRead}));
  return sweep_pages(random, bytes, load(mapping.data()));
}

}  // namespace

std::vector<RowMaker> sweep_rows() {
  return {{"sweep/sequential", [](const Context& context) { return sweep(context, "sequential"); }},
          {"sweep/random", [](const Context& context) { return sweep(context, "random"); }}};
}

int run_sweep_child(int argc, char** argv) {
  // FLAG SIDE sequential|random PATH BYTES MEMORY CGROUP
  if (argc != 8) return 2;
  try {
    if (std::strcmp(argv[2], "kernel") == 0) MemoryLimit::join(argv[7]);
    fmt::print("{}\n",
               run_side(argv[2], std::strcmp(argv[3], "random") == 0, argv[4],
                        std::strtoull(argv[5], nullptr, 10), std::strtoull(argv[6], nullptr, 10)));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace quire::bench
