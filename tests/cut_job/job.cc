#include "cut_job/job.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>

#include "cut_job/compare.h"
#include "cut_job/cutter.h"
#include "cut_job/reader.h"
#include "cut_job/writer.h"
#include "main_job/threads.h"
#include "quire/store_host.h"

namespace quire::cut_job {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kFiles = 4;  // the last one is all tail
constexpr std::uint64_t kTailShare = 20;
constexpr std::uint64_t kBytesShare = 32;
constexpr std::uint64_t kFillPages = 256;
constexpr int kRounds = 2;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

// A cache over the files, and what the library complained of.
class Job::OpenCache {
 public:
  OpenCache(const std::string& root, std::uint64_t memory_bytes, Locking locking) {
    const LogFunction log = [this](LogLevel level, std::string_view message) {
      if (level == LogLevel::kError) {
        const std::lock_guard lock(mutex_);
        errors_ += errors_.empty() ? "" : "; ";
        errors_ += message;
      }
    };
    HostStoreOptions store_options;
    store_options.log = log;
    auto store = open_host_store(root, store_options);
    if (!store.ok()) {
      throw Failure("the store cannot be opened: " + store.error().message());
    }
    CacheOptions options;
    options.memory_bytes = memory_bytes;
    options.locking = locking;
    options.log = log;
    auto cache = Cache::create(std::move(*store), options);
    if (!cache.ok()) {
      throw Failure("the cache cannot be made: " + cache.error().message());
    }
    cache_ = std::move(*cache);
  }

  Cache& operator*() { return *cache_; }

  void sync(const Stop& stop) {
    CallOptions call;
    call.stop = stop.token();
    check("sync", cache_->sync(call));
  }
  // With what must be true of any cache in the end.
  void close() {
    const CacheStats stats = cache_->stats();
    check("close", cache_->close());
    if (stats.memory_used_bytes > stats.memory_bytes) {
      throw Failure(fmt::format("the cache used {} bytes under a budget of {}",
                                stats.memory_used_bytes, stats.memory_bytes));
    }
    const std::lock_guard lock(mutex_);
    if (!errors_.empty()) {
      throw Failure("the library logged: " + errors_);
    }
  }

 private:
  static void check(const char* what, const Status& status) {
    if (!status.ok()) {
      throw Failure(fmt::format("{} of the cache: {}", what, status.error().message()));
    }
  }

  std::mutex mutex_;
  std::string errors_;  // guarded by mutex_
  std::unique_ptr<Cache> cache_;
};

Job::Job(const JobOptions& options, std::string root, Stop& stop)
    : options_(options),
      root_(std::move(root)),
      stop_(stop),
      tail_pages_(options.size_bytes / kPage / kTailShare) {
  const std::uint64_t pages = options_.size_bytes / kPage;
  const std::uint64_t bytes_pages = pages / kBytesShare;
  const std::uint64_t mixed = kFiles - 1;
  const std::uint64_t zone_pages = (pages - kFiles * tail_pages_) / mixed - bytes_pages;
  for (std::uint32_t i = 0; i < mixed; ++i) {
    files_.push_back(
        std::make_unique<JobFile>(i, fmt::format("mixed-{}", i), zone_pages, bytes_pages * kPage));
  }
  files_.push_back(std::make_unique<JobFile>(kFiles - 1, "log", 0, 0));
}

Abilities Job::prepare() {
  OpenCache cache(root_, options_.memory_bytes, Locking::kGate);
  abilities_ = try_out(*cache);
  main_job::run_on_threads(kFiles, stop_, [&](unsigned i) { make_file(*cache, *files_[i]); });
  cache.close();
  return abilities_;
}

bool Job::host_is_direct() const {
  const int file = ::open((root_ + "/log").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (file >= 0) {
    ::close(file);
  }
  return file >= 0;
}

Abilities Job::try_out(Cache& cache) const {
  auto file = cache.open("trial", OpenFlags::kReadWrite | OpenFlags::kCreate);
  if (!file.ok()) {
    throw Failure("open of a first file: " + file.error().message());
  }
  if (const Status grown = file->truncate(16 * kPage); !grown.ok()) {
    throw Failure("truncate of a first file: " + grown.error().message());
  }
  const auto can = [](const char* what, const Status& status) {
    if (status.code() == std::errc::operation_not_supported) {
      return false;
    }
    if (!status.ok()) {
      throw Failure(fmt::format("{} of a first file: {}", what, status.error().message()));
    }
    return true;
  };
  Abilities abilities;
  abilities.allocate = can("allocate", file->allocate(0, kPage));
  abilities.punch = can("punch", file->punch(0, kPage));
  abilities.zero = can("zero", file->zero(0, kPage));
  abilities.insert = can("insert", file->insert(kPage, kPage));
  abilities.collapse = can("collapse", file->collapse(kPage, kPage));
  return abilities;
}

void Job::make_file(Cache& cache, JobFile& file) const {
  OpenFile open(cache, file.path, OpenFlags::kReadWrite | OpenFlags::kCreate, stop_);
  std::vector<std::byte> memory(kFillPages * kPage);
  for (std::uint64_t first = 0; first < file.pages.pages(); first += kFillPages) {
    stop_.check();
    const std::uint64_t count = std::min(kFillPages, file.pages.pages() - first);
    const Bytes bytes = Bytes(memory).first(count * kPage);
    file.pages.begin_write(first, bytes);
    open.change(WriteOp{bytes, first * kPage});
    file.pages.end(first, count);
  }
  for (std::uint64_t at = file.bytes.begin(); at < file.bytes.end(); at += memory.size()) {
    stop_.check();
    const Bytes bytes =
        Bytes(memory).first(std::min<std::uint64_t>(memory.size(), file.bytes.end() - at));
    file.bytes.write(at, 0, bytes);
    open.change(WriteOp{bytes, at});
  }
  for (std::uint64_t first = 0; first < tail_pages_; first += kFillPages) {
    stop_.check();
    const std::uint64_t count = std::min(kFillPages, tail_pages_ - first);
    const Bytes bytes = Bytes(memory).first(count * kPage);
    Layout layout = file.tail.now();
    layout.write(first, count, file.tail.fresh_serials(count));
    file.tail.render(layout, first * kPage, bytes);
    file.tail.begin(std::move(layout));
    open.change(WriteOp{bytes, file.tail_begin() + first * kPage});
    file.tail.end();
  }
  open.close();
}

StrategyResult Job::run(const NamedLocking& strategy, bool last) {
  const Clock::time_point begin = Clock::now();
  StrategyResult result;
  try {
    OpenCache cache(root_, options_.memory_bytes, strategy.locking);
    for (int round = 0; round < kRounds; ++round) {
      run_round(*cache, rounds_++, result);
      cache.sync(stop_);
      compare_all(*cache, result, options_.corrupt && last && round == kRounds - 1);
    }
    result.direct_fallbacks = (*cache).stats().direct_fallbacks;
    cache.close();
  } catch (const Failure& failure) {
    throw Failure(fmt::format("under {}: {}", strategy.name, failure.what()));
  }
  result.seconds = seconds_since(begin);
  return result;
}

void Job::run_round(Cache& cache, std::uint64_t number, StrategyResult& result) {
  const auto time = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(options_.seconds / kRounds));
  const Round round{cache,
                    files_,
                    abilities_,
                    stop_,
                    options_.seed,
                    number,
                    options_.writers,
                    tail_pages_,
                    Clock::now() + time};
  make_ready(cache, round);
  work(round, result);
  for (const auto& file : files_) {
    file->tail.fold();
  }
}

// What others append to ends with a whole page.
void Job::make_ready(Cache& cache, const Round& round) {
  for (const auto& file : files_) {
    Layout layout = file->tail.now();
    if (!round.is_appended_to(*file) || layout.size_bytes() % kPage == 0) {
      continue;
    }
    layout.resize(layout.pages() * kPage);
    file->tail.begin(std::move(layout));
    OpenFile open(cache, file->path, OpenFlags::kReadWrite, stop_);
    open.change(TruncateOp{file->size_bytes()});
    open.close();
    file->tail.end();
  }
}

void Job::work(const Round& round, StrategyResult& result) {
  std::mutex mutex;
  const auto run = [&](auto worker) {
    worker.run();
    const std::lock_guard lock(mutex);
    result.counts.add(worker.counts());
  };
  main_job::run_on_threads(
      options_.writers + kFiles + options_.readers, stop_, [&](unsigned thread) {
        if (thread < options_.writers) {
          run(Writer(round, thread, thread));
        } else if (const unsigned file = thread - options_.writers; file < kFiles) {
          run(Cutter(round, thread, file));
        } else {
          run(Reader(round, thread));
        }
      });
}

void Job::compare_all(Cache& cache, StrategyResult& result, bool corrupt) {
  std::mutex mutex;
  main_job::run_on_threads(kFiles, stop_, [&](unsigned i) {
    const JobFile& file = *files_[i];
    OpenFile open(cache, file.path, OpenFlags::kRead, stop_);
    const ReadAt read = [&](Bytes bytes, std::uint64_t offset) {
      return open.read(bytes, offset, IoPath::kCached);
    };
    const std::uint64_t bytes = compare(file, "in the cache", open.size_bytes(), read, stop_);
    const std::lock_guard lock(mutex);
    result.compared_bytes += bytes;
  });
  if (corrupt) {
    flip_a_byte();
  }
  const auto host = main_job::make_kernel_target(root_);
  for (const auto& file : files_) {
    const auto open = host->open(file->path, OpenFlags::kRead, 0);
    const ReadAt read = [&](Bytes bytes, std::uint64_t offset) {
      return open->read(bytes, offset);
    };
    result.on_host_bytes += compare(*file, "on the host", open->stat().size_bytes, read, stop_);
    open->close();
  }
}

void Job::flip_a_byte() const {
  Rng rng{options_.seed, 0xf11b};
  const JobFile& file = *files_[rng.below(kFiles)];
  const auto open = main_job::make_kernel_target(root_)->open(file.path, OpenFlags::kReadWrite, 0);
  const std::uint64_t offset = rng.below(file.size_bytes());
  std::byte byte{};
  open->read(Bytes(&byte, 1), offset);
  byte ^= std::byte{1};
  open->write(ConstBytes(&byte, 1), offset);
  open->close();
  fmt::print("changed byte {} of {} behind the job's back\n", offset, file.path);
}

}  // namespace quire::cut_job
