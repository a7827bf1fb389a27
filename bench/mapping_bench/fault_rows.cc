// Single faults: what is cached is brought into sight, stored into for the first time, taken out of sight.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "host_bench/data.h"
#include "mapping_bench/bare_userfault.h"
#include "mapping_bench/kernel_counts.h"
#include "mapping_bench/rows.h"
#include "quire/mapping.h"

namespace quire::bench {
namespace {

constexpr char kFileName[] = "faults";
// UFFD_FEATURE_WP_ASYNC, Linux 6.7, which Debian 12's headers lack.
constexpr std::uint64_t kFeatureWpAsync = std::uint64_t{1} << 15;
constexpr std::size_t kAround = limits::kFaultAroundPages;

// A file, as a whole in Quire's cache and in the kernel's: a file of its own for each, made alike.
struct FaultData {
  explicit FaultData(const Context& context, bool async_stores = false)
      : bytes((context.quick ? 16 : 128) * kMiB), async(async_stores) {
    const std::string path = context.directory + "/" + kFileName;
    fill_file(path, bytes, kMiB);
    fill_file(path + ".kernel", bytes, kMiB);
    CacheOptions options;
    options.memory_bytes = 3 * bytes;
    options.dirty_max_bytes = options.memory_bytes / 2;
    options.dirty_background_bytes = options.dirty_max_bytes;
    options.dirty_age = std::chrono::hours(1);
    options.reserve_space = !async;
    quire = std::make_unique<QuireFile>(context.directory, kFileName, options);
    // Mapped first: its pages then come into memory that can be mapped.
    map_quire_again();
    quire->load(bytes);
    kernel = std::make_unique<Fd>(path + ".kernel", O_RDWR);
    load_into_kernel(path + ".kernel", bytes);
    settings = fmt::format("file of {} MiB, all cached; budget {} MiB", bytes / kMiB,
                           options.memory_bytes / kMiB);
  }

  std::size_t pages() const { return bytes / kPage; }
  std::byte* map_kernel() const { return map(*kernel); }
  std::byte* map(const Fd& file) const {
    void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (at == MAP_FAILED) throw NotMeasured("mmap of a file");
    return static_cast<std::byte*>(at);
  }
  // A mapping that shows nothing yet.
  void map_quire_again(bool in_thread = false, Advice advice = Advice::kNormal) {
    mapping.reset();
    mapping.emplace(
        take(quire->file.map(0, bytes, {.async_stores = async, .in_thread = in_thread})));
    take(mapping->advise(0, 0, advice));
  }

  const std::uint64_t bytes;
  const bool async;
  std::unique_ptr<QuireFile> quire;
  std::optional<Mapping> mapping;
  std::unique_ptr<Fd> kernel;
  std::string settings;
};
using Data = std::shared_ptr<FaultData>;

// The kernel brings no neighbours into a mapping that a userfaultfd might protect. Nothing is protected here.
class OnePageAtATime {
 public:
  explicit OnePageAtATime(std::span<std::byte> mapped)
      : fd_(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))) {
    uffdio_api api{.api = UFFD_API, .features = kFeatureWpAsync, .ioctls = 0};
    uffdio_register range{.range = {reinterpret_cast<std::uintptr_t>(mapped.data()), mapped.size()},
                          .mode = UFFDIO_REGISTER_MODE_WP,
                          .ioctls = 0};
    if (fd_ < 0 || ::ioctl(fd_, UFFDIO_API, &api) != 0 ||
        ::ioctl(fd_, UFFDIO_REGISTER, &range) != 0) {
      if (fd_ >= 0) ::close(fd_);
      throw NotMeasured("userfaultfd with UFFD_FEATURE_WP_ASYNC");
    }
  }
  ~OnePageAtATime() { ::close(fd_); }
  OnePageAtATime(const OnePageAtATime&) = delete;
  OnePageAtATime& operator=(const OnePageAtATime&) = delete;

 private:
  const int fd_;
};

void load(const std::byte* at) {
  (void)*static_cast<const volatile std::byte*>(at);
}
void store(std::byte* at) {
  *static_cast<volatile std::byte*>(at) = std::byte{1};
}

// Nanoseconds for each page of `count`, `step` pages apart, that `access` touches.
template <class Access>
double per_access(std::byte* base, std::size_t count, std::size_t step, const Access& access) {
  return timed([&] {
           for (std::size_t i = 0; i < count; ++i) access(base + i * step * kPage);
         }) /
         static_cast<double>(count);
}

// Each access a fault of its own: one page in every other block of neighbours is touched, so that none was shown for
// another, nor taken for the next of a row.
Row load_faults(const Context& context) {
  auto d = std::make_shared<FaultData>(context);
  Row row;
  row.name = "fault/load";
  row.title = "a load fault, what is cached; one access in every other block of 16 pages";
  row.op_bytes = kPage;
  constexpr std::size_t kStep = 2 * kAround;
  const std::size_t count = d->pages() / kStep;
  const auto quire = [d, count](bool in_thread, Advice advice) {
    return [d, count, in_thread, advice](unsigned) {
      d->map_quire_again(in_thread, advice);
      return per_access(d->mapping->data(), count, kStep, load);
    };
  };
  row.sides.push_back({"Quire", d->settings, quire(false, Advice::kNormal)});
  row.sides.push_back({"Quire, one page", "Advice::kRandom", quire(false, Advice::kRandom)});
  row.sides.push_back({"Quire, in the thread", "in_thread", quire(true, Advice::kNormal)});
  row.sides.push_back({"Quire, in the thread, one page", "in_thread, Advice::kRandom",
                       quire(true, Advice::kRandom)});
  row.sides.push_back({"kernel, one page", "fault-around off", [d, count](unsigned) {
                         std::byte* const at = d->map_kernel();
                         const OnePageAtATime alone({at, d->bytes});
                         const double ns = per_access(at, count, kStep, load);
                         ::munmap(at, d->bytes);
                         return ns;
                       }});
  row.sides.push_back({"kernel", "fault-around, from large folios", [d, count](unsigned) {
                         std::byte* const at = d->map_kernel();
                         const double ns = per_access(at, count, kStep, load);
                         ::munmap(at, d->bytes);
                         return ns;
                       }});
  const auto bare = std::make_shared<BareUserfault>(d->bytes);
  row.sides.push_back(
      {"bare userfaultfd, one page", "a thread that does nothing else", [bare, count](unsigned) {
         bare->hide();
         return per_access(bare->data(), count, kStep, load);
       }});
  for (const std::size_t side : {0u, 1u, 2u, 3u}) {
    row.comparisons.push_back({side, 4, Comparison::Kind::kTime, 5.0});
  }
  for (const std::size_t side : {0u, 2u}) {
    row.comparisons.push_back({side, 5, Comparison::Kind::kTime, {}});
  }
  row.comparisons.push_back({6, 4, Comparison::Kind::kTime, {}});
  row.comparisons.push_back({1, 6, Comparison::Kind::kTime, {}});
  row.limited_by =
      "a fault is two switches of threads, each of which may wake a processor; a read of the "
      "userfaultfd and one call for the pages: see the bare userfaultfd";
  return row;
}

Row loads_in_order(const Context& context) {
  auto d = std::make_shared<FaultData>(context);
  const std::string small = context.directory + "/" + kFileName + ".small";
  fill_file(small, d->bytes, kPage);
  load_into_kernel(small, d->bytes);
  const auto small_folios = std::make_shared<Fd>(small, O_RDWR);
  Row row;
  row.name = "fault/around";
  row.title = "loads of page after page, what is cached: per page";
  row.op_bytes = kPage;
  const std::size_t count = d->pages();
  for (const bool in_thread : {false, true}) {
    row.sides.push_back({in_thread ? "Quire, in the thread" : "Quire",
                         in_thread ? "in_thread" : d->settings, [d, count, in_thread](unsigned) {
                           d->map_quire_again(in_thread);
                           return per_access(d->mapping->data(), count, 1, load);
                         }});
  }
  const auto kernel = [d, count](std::byte* at) {
    const double ns = per_access(at, count, 1, load);
    ::munmap(at, d->bytes);
    return ns;
  };
  row.sides.push_back({"kernel, from single pages", "fault-around, file written by 4 KiB",
                       [=](unsigned) { return kernel(d->map(*small_folios)); }});
  row.sides.push_back({"kernel, from large folios", "fault-around, file written by 1 MiB",
                       [=](unsigned) { return kernel(d->map_kernel()); }});
  const auto bare = std::make_shared<BareUserfault>(d->bytes);
  row.sides.push_back(
      {"bare UFFDIO_CONTINUE", "512 pages by a call, no fault", [bare, d](unsigned) {
         bare->hide();
         constexpr std::size_t kPiece = 512 * kPage;
         return timed([&] {
                  for (std::size_t at = 0; at < d->bytes; at += kPiece) {
                    bare->show(at, kPiece);
                  }
                }) /
                static_cast<double>(d->pages());
       }});
  for (const std::size_t side : {0u, 1u}) {
    for (const std::size_t yardstick : {2u, 3u}) {
      row.comparisons.push_back({side, yardstick, Comparison::Kind::kTime, 4.0});
    }
  }
  row.comparisons.push_back({4, 3, Comparison::Kind::kTime, {}});
  row.limited_by = "the call that shows pages, page by page: see the bare UFFDIO_CONTINUE";
  return row;
}

Row populates(const Context& context) {
  auto d = std::make_shared<FaultData>(context);
  Row row;
  row.name = "fault/populate";
  row.title = "everything brought into sight on request: per page";
  row.op_bytes = kPage;
  row.sides.push_back({"Quire", d->settings, [d](unsigned) {
                         d->map_quire_again();
                         return timed([&] { take(d->mapping->populate(0, 0, MapAccess::kRead)); }) /
                                static_cast<double>(d->pages());
                       }});
  row.sides.push_back({"kernel", "MAP_POPULATE", [d](unsigned) {
                         void* at = MAP_FAILED;
                         const double ns = timed([&] {
                           at = ::mmap(nullptr, d->bytes, PROT_READ, MAP_SHARED | MAP_POPULATE,
                                       d->kernel->get(), 0);
                         });
                         if (at == MAP_FAILED) throw NotMeasured("mmap with MAP_POPULATE");
                         ::munmap(at, d->bytes);
                         return ns / static_cast<double>(d->pages());
                       }});
  row.comparisons = {{0, 1, Comparison::Kind::kTime, {}}};
  return row;
}

// What was loaded is stored into for the first time since it was written back.
Row first_stores(const Context& context, bool async) {
  auto d = std::make_shared<FaultData>(context, async);
  Row row;
  row.name = async ? "fault/store-async" : "fault/store";
  row.title = "the first store into a page that is in sight and clean";
  if (async) row.title += ", with async_stores";
  row.op_bytes = kPage;
  const std::size_t count = d->pages() / 4;
  const std::string how = async ? ", no space reserved" : ", space reserved";
  row.sides.push_back({"Quire", d->settings + how, [d, count](unsigned) {
                         take(d->quire->file.sync());
                         d->map_quire_again();
                         (void)per_access(d->mapping->data(), count, 1, load);
                         return per_access(d->mapping->data(), count, 1, store);
                       }});
  row.sides.push_back({"kernel", "", [d, count](unsigned) {
                         std::byte* const at = d->map_kernel();
                         if (::msync(at, d->bytes, MS_SYNC) != 0) throw NotMeasured("msync");
                         (void)per_access(at, count, 1, load);
                         const double ns = per_access(at, count, 1, store);
                         ::munmap(at, d->bytes);
                         return ns;
                       }});
  row.sides.push_back({"Quire, in the thread", "in_thread" + how, [d, count](unsigned) {
                         take(d->quire->file.sync());
                         d->map_quire_again(true);
                         (void)per_access(d->mapping->data(), count, 1, load);
                         return per_access(d->mapping->data(), count, 1, store);
                       }});
  row.comparisons = {{0, 1, Comparison::Kind::kTime, 1.0}, {2, 1, Comparison::Kind::kTime, 1.0}};
  if (async) return row;
  for (const bool in_thread : {false, true}) {
    row.sides.push_back({in_thread ? "Quire, in the thread, in order" : "Quire, in order",
                         "Advice::kSequential", [d, count, in_thread](unsigned) {
                           take(d->quire->file.sync());
                           d->map_quire_again(in_thread, Advice::kSequential);
                           (void)per_access(d->mapping->data(), count, 1, load);
                           return per_access(d->mapping->data(), count, 1, store);
                         }});
  }
  const auto bare = std::make_shared<BareUserfault>(d->bytes);
  row.sides.push_back(
      {"bare userfaultfd", "a thread that does nothing else", [bare, count](unsigned) {
         bare->show(0, count * kPage);
         bare->protect();
         return per_access(bare->data(), count, 1, store);
       }});
  for (const std::size_t side : {3u, 4u}) {
    row.comparisons.push_back({side, 1, Comparison::Kind::kTime, 1.0});
  }
  row.comparisons.push_back({5, 1, Comparison::Kind::kTime, {}});
  row.comparisons.push_back({0, 5, Comparison::Kind::kTime, {}});
  row.limited_by =
      "as of a load fault: two switches of threads, and a call for the page: see the bare "
      "userfaultfd";
  return row;
}

// What the kernel counted over all rounds, for each drop.
struct DropCounts {
  void add(const KernelCounts& more, std::size_t more_drops) {
    counted &= more.system_calls.has_value();
    system_calls += more.system_calls.value_or(0);
    shootdowns += more.shootdowns;
    drops += more_drops;
  }
  std::string text() const {
    const double each = static_cast<double>(drops);
    return fmt::format(
        "{} system calls and {:.1f} TLB shootdowns",
        counted ? fmt::format("{:.1f}", static_cast<double>(system_calls) / each) : "uncounted",
        static_cast<double>(shootdowns) / each);
  }

  bool counted = true;
  std::uint64_t system_calls = 0;
  std::uint64_t shootdowns = 0;
  std::size_t drops = 0;
};

// Drops pages that are in sight while the other processor runs in the same process.
Row drops(const Context& context, std::size_t pages_at_once) {
  auto d = std::make_shared<FaultData>(context);
  Row row;
  row.name = fmt::format("drop/{}", pages_at_once);
  row.title = fmt::format("dropping {} mapped page{} by one call, another thread running: per page",
                          pages_at_once, pages_at_once == 1 ? "" : "s");
  row.op_bytes = kPage;
  const std::size_t count = (context.quick ? 1 : 4) * kMiB / kPage;
  const auto drop = [count, pages_at_once](DropCounts& counts, const auto& drop_pages) {
    std::atomic<bool> ended{false};
    std::jthread other([&] {
      while (!ended.load(std::memory_order_relaxed)) {
      }
    });
    const KernelCounter counter;
    const double ns = timed([&] {
      for (std::size_t i = 0; i < count; i += pages_at_once) drop_pages(i * kPage);
    });
    counts.add(counter.counts(), count / pages_at_once);
    ended = true;
    return ns / static_cast<double>(count);
  };
  const std::size_t piece = pages_at_once * kPage;
  const auto ours = std::make_shared<DropCounts>();
  const auto kernels = std::make_shared<DropCounts>();
  row.sides.push_back(
      {"Quire", "File::invalidate; " + d->settings, [=](unsigned) {
         take(d->quire->file.sync());
         take(d->mapping->populate(0, count * kPage, MapAccess::kRead));
         return drop(*ours, [&](std::uint64_t at) { take(d->quire->file.invalidate(at, piece)); });
       }});
  row.sides.push_back({"kernel", "MADV_DONTNEED and POSIX_FADV_DONTNEED", [=](unsigned) {
                         std::byte* const at = d->map_kernel();
                         (void)per_access(at, count, 1, load);
                         const double ns = drop(*kernels, [&](std::uint64_t from) {
                           ::madvise(at + from, piece, MADV_DONTNEED);
                           ::posix_fadvise(d->kernel->get(), static_cast<off_t>(from),
                                           static_cast<off_t>(piece), POSIX_FADV_DONTNEED);
                         });
                         ::munmap(at, d->bytes);
                         return ns;
                       }});
  row.comparisons = {{0, 1, Comparison::Kind::kTime, {}}};
  row.remark = [=] {
    return fmt::format("each drop: Quire {}; kernel {}", ours->text(), kernels->text());
  };
  return row;
}

}  // namespace

std::vector<RowMaker> fault_rows() {
  return {
      {"fault/load", load_faults},
      {"fault/around", loads_in_order},
      {"fault/populate", populates},
      {"fault/store", [](const Context& context) { return first_stores(context, false); }},
      {"fault/store-async", [](const Context& context) { return first_stores(context, true); }},
      {"drop/1", [](const Context& context) { return drops(context, 1); }},
      {"drop/256", [](const Context& context) { return drops(context, 256); }},
  };
}

}  // namespace quire::bench
