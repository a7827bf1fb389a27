// The main job: real files written, changed and read back through the cache from several threads
// under a budget much smaller than the data, then compared on the host with an independent copy.
//
// The last line is "main job: ok" or "main job: FAILED (what)"; the exit status is 0 or 1, and 2
// for arguments that make no sense.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "main_job/compare.h"
#include "main_job/interrupt.h"
#include "main_job/job.h"
#include "main_job/plan.h"
#include "main_job/progress.h"
#include "main_job/scratch.h"
#include "main_job/target.h"
#include "quire/limits.h"

namespace quire::main_job {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kSizeMinBytes = kMiB;
constexpr unsigned kThreadsMax = 64;

struct Options {
  std::string source = "/usr";
  std::uint64_t size_bytes = 512 * kMiB;
  std::uint64_t memory_bytes = 64 * kMiB;
  unsigned threads = 4;
  std::uint64_t seed = 1;
  std::string directory;
  bool keep = false;
  bool speed = true;
  double progress_seconds = 3;
  std::string name = "main job";
  bool corrupt = false;
};

// Choosing files held a list of all that there are; the peak shall be that of the job.
void forget_peak_memory() {
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5" << std::flush;
}

std::uint64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) {
      return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
    }
  }
  return 0;
}

// Two trees at a time stand in the scratch directory.
void require_space(const std::string& directory, const Plan& plan) {
  struct ::statvfs s {};
  if (::statvfs(directory.c_str(), &s) != 0) {
    throw Failure(fmt::format("{}: {}", directory, std::strerror(errno)));
  }
  const std::uint64_t needed = 2 * plan.disk_bytes + 64 * kMiB;
  const std::uint64_t free = std::uint64_t{s.f_bavail} * s.f_frsize;
  if (free < needed) {
    throw Failure(
        fmt::format("not enough space in {}: {} MiB are needed, {} MiB are free; "
                    "see --dir and --size",
                    directory, needed / kMiB, free / kMiB));
  }
  const std::uint64_t inodes = 4 * plan.files.size();
  if (s.f_files != 0 && s.f_favail < inodes) {
    throw Failure(fmt::format("not enough inodes in {}: {} are needed, {} are free", directory,
                              inodes, s.f_favail));
  }
}

void raise_open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

double mib_per_second(const JobResult& result) {
  return static_cast<double>(result.written_bytes + result.read_bytes) / kMiB / result.seconds;
}

struct Report {
  Plan plan;
  JobResult checked;
  CacheStats stats;
  std::uint64_t peak_bytes = 0;
  std::uint64_t peak_budget_bytes = 0;
  Comparison comparison;
  std::optional<JobResult> quire;
  std::optional<JobResult> kernel;
};

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

void print_table(const Options& options, const Report& r) {
  const auto row = [](const char* what, const std::string& value) {
    fmt::print("  {:<34}{}\n", what, value);
  };
  const auto mib = [](std::uint64_t bytes) { return fmt::format("{} MiB", bytes / kMiB); };
  fmt::print("\n");
  row("files",
      fmt::format("{} ({} from {})", r.plan.files.size(), mib(r.plan.source_bytes), r.plan.source));
  row("written through the cache", mib(r.checked.written_bytes));
  row("read through the cache", mib(r.checked.read_bytes));
  row("hit rate of pages read", fmt::format("{:.1f} % ({} hits, {} misses, {} read ahead)",
                                            percent(r.stats.hits, r.stats.hits + r.stats.misses),
                                            r.stats.hits, r.stats.misses, r.stats.readahead_pages));
  row("pages written back",
      fmt::format("{} in {} requests", r.stats.written_pages, r.stats.write_requests));
  row("budget, and most of it used",
      fmt::format("{}, {}", mib(r.stats.memory_bytes), mib(r.peak_budget_bytes)));
  row("peak memory of the process",
      fmt::format("{} (the job's own buffers included)", mib(r.peak_bytes)));
  row("compared on the host", fmt::format("{} files, {}, byte by byte and stamp by stamp",
                                          r.comparison.files, mib(r.comparison.bytes)));
  if (r.quire && r.kernel) {
    fmt::print("\n  The same operations without comparing, {} threads, last sync included:\n",
               options.threads);
    row("through Quire",
        fmt::format("{:.0f} MiB/s ({:.1f} s; budget {}, direct IO)", mib_per_second(*r.quire),
                    r.quire->seconds, mib(options.memory_bytes)));
    row("through the kernel's page cache",
        fmt::format("{:.0f} MiB/s ({:.1f} s; no limit but the machine's {})",
                    mib_per_second(*r.kernel), r.kernel->seconds,
                    mib(static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                        static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)))));
    row("ratio", fmt::format("{:.2f}", r.kernel->seconds / r.quire->seconds));
  }
  fmt::print("\n");
}

class MainJob {
 public:
  MainJob(Options options, Stop& stop) : options_(std::move(options)), stop_(stop) {}

  void run() {
    raise_open_files_limit();
    fmt::print("choosing files below {}\n", options_.source);
    std::fflush(stdout);
    report_.plan =
        make_plan(options_.source, options_.size_bytes, options_.threads, options_.seed, stop_);
    require_space(options_.directory, report_.plan);
    fmt::print("{} files, {} MiB; budget {} MiB; {} threads; seed {}; scratch in {}\n",
               report_.plan.files.size(), report_.plan.source_bytes / kMiB,
               options_.memory_bytes / kMiB, options_.threads, options_.seed, options_.directory);
    std::fflush(stdout);
    forget_peak_memory();
    const Scratch scratch(options_.directory, "quire-main-job", options_.keep);
    const std::uint64_t runs = options_.speed ? 3 : 1;
    Progress progress(runs * job_work_bytes(report_.plan) + report_.plan.source_bytes,
                      std::chrono::milliseconds(static_cast<int>(options_.progress_seconds * 1000)),
                      [this] { watch_memory(); });
    checked_run(scratch, progress);
    if (options_.speed) {
      speed_runs(scratch, progress);
    }
    progress.start_phase("", 0);
    print_table(options_, report_);
  }

 private:
  // Runs on the thread that prints progress, and at the end.
  void watch_memory() {
    const std::lock_guard lock(mutex_);
    if (watched_ != nullptr) {
      const CacheStats stats = watched_->stats();
      report_.peak_budget_bytes = std::max(report_.peak_budget_bytes, stats.memory_used_bytes);
      over_budget_ = over_budget_ || stats.memory_used_bytes > stats.memory_bytes;
    }
  }

  void watch(const QuireTarget* target) {
    const std::lock_guard lock(mutex_);
    watched_ = target;
  }

  void require_budget() {
    const std::lock_guard lock(mutex_);
    if (over_budget_) {
      throw Failure(fmt::format("the cache used {} bytes under a budget of {}",
                                report_.peak_budget_bytes, report_.stats.memory_bytes));
    }
  }

  void checked_run(const Scratch& scratch, Progress& progress) {
    const std::string root = scratch.make("quire");
    const std::string copy_root = scratch.make("copy");
    const auto copy = make_kernel_target(copy_root);
    const auto target = make_quire_target(root, options_.memory_bytes, stop_);
    const Watching watching(*this, *target);
    report_.checked = run_job(report_.plan, "", *target, copy.get(), progress, stop_);
    watch_memory();
    report_.stats = target->stats();
    report_.peak_bytes = peak_memory_bytes();
    if (options_.corrupt) {
      fmt::print("changed a byte of {} behind the job's back\n", flip_a_byte(report_.plan, root));
    }
    report_.comparison =
        compare_trees(report_.plan, report_.checked.stamps, root, copy_root, progress, stop_);
    for (const auto& file : report_.checked.open_files) {
      file->close();
    }
    report_.checked.open_files.clear();
    target->close();
    require_budget();
    if (const std::string errors = target->logged_errors(); !errors.empty()) {
      throw Failure("the library logged: " + errors);
    }
    progress.start_phase("remove both trees", 0);
    scratch.remove(root);
    scratch.remove(copy_root);
  }

  void speed_runs(const Scratch& scratch, Progress& progress) {
    settle(progress);
    {
      const std::string root = scratch.make("speed-quire");
      const auto target = make_quire_target(root, options_.memory_bytes, stop_);
      report_.quire = run_job(report_.plan, "speed, Quire: ", *target, nullptr, progress, stop_);
      target->close();
      progress.start_phase("remove the tree", 0);
      scratch.remove(root);
    }
    settle(progress);
    const std::string root = scratch.make("speed-kernel");
    const auto target = make_kernel_target(root);
    report_.kernel = run_job(report_.plan, "speed, kernel: ", *target, nullptr, progress, stop_);
    progress.start_phase("remove the tree", 0);
    scratch.remove(root);
  }

  // Both sides begin with nothing left to write.
  static void settle(Progress& progress) {
    progress.start_phase("let the disk come to rest", 0);
    ::sync();
  }

  // While it lives, watch_memory() looks at `target`. After a failure it also closes what the job
  // had left open, so that the cache can go.
  class Watching {
   public:
    Watching(MainJob& job, const QuireTarget& target) : job_(job) { job_.watch(&target); }
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;
    ~Watching() {
      job_.watch(nullptr);
      job_.report_.checked.open_files.clear();
    }

   private:
    MainJob& job_;
  };

  const Options options_;
  Stop& stop_;
  Report report_;
  std::mutex mutex_;
  const QuireTarget* watched_ = nullptr;  // guarded by mutex_, as report_.peak_budget_bytes
  bool over_budget_ = false;              // guarded by mutex_
};

// The exit status, if the arguments leave nothing else to do.
std::optional<int> parse(int argc, char** argv, Options& options) {
  const char* tmpdir = std::getenv("TMPDIR");
  options.directory = tmpdir != nullptr && *tmpdir != '\0' ? tmpdir : "/var/tmp";
  CLI::App app(
      "Writes, changes and reads back a tree of real files through Quire from several "
      "threads, then compares it on the host with an independent copy.",
      "main_job");
  app.add_option("--name", options.name, "What the last line calls this")->capture_default_str();
  app.add_option("--source", options.source, "Take the files from this directory")
      ->check(CLI::ExistingDirectory)
      ->capture_default_str();
  app.add_option("--size", options.size_bytes, "Take at least so much, as in 512M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("512M");
  app.add_option("--memory", options.memory_bytes, "The cache's budget, as in 64M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("64M");
  app.add_option("--threads", options.threads, "Threads that work")->capture_default_str();
  app.add_option("--seed", options.seed, "Seed of everything random")->capture_default_str();
  app.add_option("--dir", options.directory, "Make the scratch directory here")
      ->check(CLI::ExistingDirectory)
      ->default_str("$TMPDIR or /var/tmp");
  app.add_flag("--keep", options.keep, "Leave the scratch directory behind");
  app.add_flag("!--no-speed", options.speed, "Leave out the comparison of speed");
  app.add_option("--progress", options.progress_seconds, "Seconds from one line to the next")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_flag("--self-test-corrupt", options.corrupt)->group("");
  try {
    app.parse(argc, argv);
    if (options.size_bytes < kSizeMinBytes) {
      throw CLI::ValidationError("--size", "must be at least 1M");
    }
    if (options.memory_bytes < limits::kMemoryMinBytes) {
      throw CLI::ValidationError(
          "--memory", fmt::format("must be at least {}M", limits::kMemoryMinBytes / kMiB));
    }
    if (options.threads < 1 || options.threads > kThreadsMax) {
      throw CLI::ValidationError("--threads", fmt::format("must be 1 to {}", kThreadsMax));
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return std::nullopt;
}

std::optional<std::string> run(const Options& options) {
  return run_until_stopped([&](Stop& stop) { MainJob(options, stop).run(); });
}

}  // namespace
}  // namespace quire::main_job

int main(int argc, char** argv) {
  quire::main_job::Options options;
  if (const auto status = quire::main_job::parse(argc, argv, options)) {
    return *status;
  }
  const std::string name = options.name;
  if (const auto failure = quire::main_job::run(options)) {
    fmt::print("{}: FAILED ({})\n", name, *failure);
    return 1;
  }
  fmt::print("{}: ok\n", name);
  return 0;
}
