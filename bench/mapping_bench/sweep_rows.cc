// Sweeps over a mapped file four times as large as the memory, in order and at random, each page once: Quire under its
// budget, the kernel's mmap under a cgroup of the same size, both as they come and both told the order (madvise), and
// reads through Quire's cache. Each sweep is a process of its own, which times itself.
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
// A random sweep reads half of the file, twice what the memory holds.
constexpr std::uint64_t kRandomShare = 2;
// Unless it is told not to, the kernel reads so much around each page of a random sweep that half of the file would
// take it minutes: it gets this many pages.
constexpr std::uint64_t kPagesReadAround = 1024;

struct SweepData {
  explicit SweepData(const Context& context)
      : self(context.self),
        path(context.directory + "/" + kFileName),
        memory_bytes((context.quick ? 16 : 64) * kMiB),
        bytes(4 * memory_bytes),
        limit(memory_bytes) {
    fill_file(path, bytes, kMiB);
  }

  NanosecondsPerOp run(const char* side, const char* order, std::uint64_t pages) const {
    drop_from_kernel(path);
    const std::string output =
        output_of({self, kSweepChildFlag, side, order, path, std::to_string(bytes),
                   std::to_string(memory_bytes), std::to_string(pages), limit.path()});
    return std::strtod(output.c_str(), nullptr);
  }

  const std::string self;
  const std::string path;
  const std::uint64_t memory_bytes;
  const std::uint64_t bytes;
  const MemoryLimit limit;
};

Row sweep(const Context& context, const char* order, bool random) {
  const auto d = std::make_shared<SweepData>(context);
  const std::uint64_t pages = d->bytes / kPage / (random ? kRandomShare : 1);
  const std::uint64_t around = random ? kPagesReadAround : pages;
  Row row;
  row.name = fmt::format("sweep/{}", order);
  row.title = fmt::format("a {} sweep over {} MiB under {} MiB: per page", order, d->bytes / kMiB,
                          d->memory_bytes / kMiB);
  row.op_bytes = kPage;
  row.rounds = 5;
  const std::string budget = fmt::format("budget {} MiB, direct IO", d->memory_bytes / kMiB);
  const std::string limit =
      fmt::format("{} limit {} MiB", d->limit.version(), d->memory_bytes / kMiB);
  const auto side = [&](const char* name, const std::string& settings, const char* which,
                        std::uint64_t count) {
    row.sides.push_back(
        {name, fmt::format("{}, {} pages", settings, count),
         [d, order, which, count](unsigned) { return d->run(which, order, count); }});
  };
  side("Quire, mapped", budget, "mapped", pages);
  side("Quire, advise()", budget, "advised", pages);
  side("Quire, read()", budget, "read", pages);
  side("kernel, mmap", limit, "kernel", around);
  side("kernel, madvise", limit, "kernel-advised", pages);
  constexpr auto kRate = Comparison::Kind::kRate;
  row.comparisons = {{0, 3, kRate, {}}, {0, 4, kRate, {}}, {1, 4, kRate, {}}, {0, 2, kRate, {}}};
  return row;
}

struct Sweep {
  bool random;
  std::string path;
  std::uint64_t bytes;
  std::uint64_t memory;
  std::uint64_t pages;

  // Nanoseconds for each page that `access(page)` is called for.
  template <class Access>
  double timed_per_page(const Access& access) const {
    const double ns = timed([&] {
      std::uint64_t page = 1;
      for (std::uint64_t i = 0; i < pages; ++i) {
        access(random ? page = page_after(page, bytes / kPage) : i);
      }
    });
    return ns / static_cast<double>(pages);
  }
  double timed_loads(const std::byte* base) const {
    return timed_per_page([base](std::uint64_t page) {
      (void)*static_cast<const volatile std::byte*>(base + page * kPage);
    });
  }
};

double run_kernel(const Sweep& sweep, bool advised) {
  const Fd fd(sweep.path, O_RDONLY);
  void* const at = ::mmap(nullptr, sweep.bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) throw NotMeasured("mmap of a file");
  if (advised && ::madvise(at, sweep.bytes, sweep.random ? MADV_RANDOM : MADV_SEQUENTIAL) != 0) {
    throw NotMeasured("madvise of a mapped file");
  }
  return sweep.timed_loads(static_cast<const std::byte*>(at));
}

double run_quire(const Sweep& sweep, std::string_view side) {
  const std::filesystem::path p(sweep.path);
  CacheOptions options;
  options.memory_bytes = sweep.memory;
  QuireFile quire(p.parent_path().string(), p.filename().string(), options);
  if (side == "read") {
    std::vector<std::byte> buffer(kPage);
    return sweep.timed_per_page(
        [&](std::uint64_t page) { take(quire.file.read(buffer, page * kPage)); });
  }
  Mapping mapping = take(quire.file.map(0, sweep.bytes, {.access = MapAccess::kRead}));
  if (side == "advised") {
    take(mapping.advise(0, sweep.bytes, sweep.random ? Advice::kRandom : Advice::kSequential));
  }
  return sweep.timed_loads(mapping.data());
}

double run_side(std::string_view side, const Sweep& sweep) {
  if (side == "kernel") return run_kernel(sweep, false);
  if (side == "kernel-advised") return run_kernel(sweep, true);
  return run_quire(sweep, side);
}

}  // namespace

std::vector<RowMaker> sweep_rows() {
  return {{"sweep/sequential",
           [](const Context& context) { return sweep(context, "sequential", false); }},
          {"sweep/random", [](const Context& context) { return sweep(context, "random", true); }}};
}

int run_sweep_child(int argc, char** argv) {
  // FLAG SIDE sequential|random PATH BYTES MEMORY PAGES CGROUP
  if (argc != 9) return 2;
  const auto number = [argv](int i) { return std::strtoull(argv[i], nullptr, 10); };
  try {
    const std::string_view side = argv[2];
    if (side.starts_with("kernel")) MemoryLimit::join(argv[8]);
    const bool random = std::strcmp(argv[3], "random") == 0;
    fmt::print("{}\n", run_side(side, {random, argv[4], number(5), number(6), number(7)}));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace quire::bench
