// The cuts section: files that are punched, zeroed, inserted into, collapsed, truncated, allocated and
// written directly, through a cache much smaller than they are, by threads that do all of it at once, under
// each of the locking strategies; every byte that anybody reads meanwhile is checked, and in the end every
// byte of every file, in the cache and on the host.
//
// The last line is "cuts section: ok" or "cuts section: FAILED (what)"; the exit status is 0 or 1, and 2
// for arguments that make no sense.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "cut_job/job.h"
#include "main_job/interrupt.h"
#include "main_job/scratch.h"
#include "quire/limits.h"
#ifdef QUIRE_PLANTED_FAULTS
#include "model/planted_faults.h"
#endif

namespace quire::cut_job {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kSizeMinBytes = 16 * kMiB;
constexpr std::uint64_t kSizeMaxBytes = (16 << 10) * kMiB;
constexpr unsigned kThreadsMax = 32;

struct Options {
  JobOptions job{.size_bytes = 160 * kMiB, .memory_bytes = 64 * kMiB, .seconds = 4};
  std::string directory;
  bool keep = false;
};

void print_heading() {
  fmt::print(
      "  {:<10}  {:>8} {:>7} {:>6} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8}  {:>11} {:>12} {:>13} "
      "{:>6}\n",
      "strategy", "buffered", "direct", "append", "punch", "zero", "insert", "collapse", "truncate",
      "allocate", "reads", "MiB written", "MiB checked", "MiB compared", "s");
  std::fflush(stdout);
}

void print_row(const char* name, const StrategyResult& r) {
  const auto count = [&](Counted kind) {
    return r.counts.operations[static_cast<std::size_t>(kind)];
  };
  fmt::print(
      "  {:<10}  {:>8} {:>7} {:>6} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8}  {:>11} {:>12} {:>13} "
      "{:>6.1f}\n",
      name, count(Counted::kBuffered), count(Counted::kDirect), count(Counted::kAppend),
      count(Counted::kPunch), count(Counted::kZero), count(Counted::kInsert),
      count(Counted::kCollapse), count(Counted::kTruncate), count(Counted::kAllocate),
      count(Counted::kRead), r.counts.written_bytes / kMiB, r.counts.checked_bytes / kMiB,
      (r.compared_bytes + r.on_host_bytes) / kMiB, r.seconds);
  std::fflush(stdout);
}

void print_what_is_left_out(const Abilities& abilities, bool direct) {
  const auto unless = [](bool can, const char* what) {
    if (!can) {
      fmt::print("  this file system cannot {}: left out\n", what);
    }
  };
  unless(abilities.punch, "punch holes");
  unless(abilities.zero, "zero ranges");
  unless(abilities.insert, "insert ranges");
  unless(abilities.collapse, "collapse ranges");
  unless(abilities.allocate, "allocate space");
  if (!direct) {
    fmt::print("  this file system knows no direct IO: Quire's goes through the kernel's cache\n");
  }
}

void run_job(const Options& options, Stop& stop) {
  const main_job::Scratch scratch(options.directory, "quire-cut-job", options.keep);
  fmt::print(
      "  4 files, {} MiB; budget {} MiB; {} writers, 4 cutters, {} readers; seed {}; in {}\n",
      options.job.size_bytes / kMiB, options.job.memory_bytes / kMiB, options.job.writers,
      options.job.readers, options.job.seed, options.directory);
  std::fflush(stdout);
  Job job(options.job, scratch.path(), stop);
  const Abilities abilities = job.prepare();
  print_what_is_left_out(abilities, job.host_is_direct());
  print_heading();
  std::uint64_t fallbacks = 0;
  for (const NamedLocking& strategy : kLockings) {
    const StrategyResult result = job.run(strategy, &strategy == std::end(kLockings) - 1);
    print_row(strategy.name, result);
    fallbacks += result.direct_fallbacks;
  }
  fmt::print("  direct writes that went through the cache for a page in use: {}\n", fallbacks);
}

// Of the program that is linked with a library that has faults planted in it: switches one on.
void offer_faults([[maybe_unused]] CLI::App& app) {
#ifdef QUIRE_PLANTED_FAULTS
  app.add_option_function<std::string>(
      "--plant",
      [](const std::string& name) {
        for (const model::PlantedFault& planted : model::kPlantedFaults) {
          if (name == planted.name) {
            fault::plant(planted.fault);
            return;
          }
        }
        throw CLI::ValidationError("--plant", "no fault is named " + name);
      },
      "Switch on this planted fault of the library");
#endif
}

// The exit status, if the arguments leave nothing else to do.
std::optional<int> parse(int argc, char** argv, Options& options) {
  const char* tmpdir = std::getenv("TMPDIR");
  options.directory = tmpdir != nullptr && *tmpdir != '\0' ? tmpdir : "/var/tmp";
  CLI::App app(
      "Cuts files up while other threads write and read them, through Quire, under each locking "
      "strategy, and checks every byte.",
      "cut_job");
  app.add_option("--size", options.job.size_bytes, "All files together, about, as in 160M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("160M");
  app.add_option("--memory", options.job.memory_bytes, "The cache's budget, as in 64M")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("64M");
  app.add_option("--seconds", options.job.seconds, "Work for so long under each strategy")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  app.add_option("--writers", options.job.writers, "Threads that write")
      ->check(CLI::Range(1u, kThreadsMax))
      ->capture_default_str();
  app.add_option("--readers", options.job.readers, "Threads that read")
      ->check(CLI::Range(1u, kThreadsMax))
      ->capture_default_str();
  app.add_option("--seed", options.job.seed, "Seed of everything random")->capture_default_str();
  app.add_option("--dir", options.directory, "Make the scratch directory here")
      ->check(CLI::ExistingDirectory)
      ->default_str("$TMPDIR or /var/tmp");
  app.add_flag("--keep", options.keep, "Leave the scratch directory behind");
  app.add_flag("--self-test-corrupt", options.job.corrupt)->group("");
  offer_faults(app);
  try {
    app.parse(argc, argv);
    if (options.job.size_bytes < kSizeMinBytes || options.job.size_bytes > kSizeMaxBytes) {
      throw CLI::ValidationError(
          "--size", fmt::format("must be {}M to {}M", kSizeMinBytes / kMiB, kSizeMaxBytes / kMiB));
    }
    if (options.job.memory_bytes < limits::kMemoryMinBytes) {
      throw CLI::ValidationError(
          "--memory", fmt::format("must be at least {}M", limits::kMemoryMinBytes / kMiB));
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return std::nullopt;
}

std::optional<std::string> run(const Options& options) {
  return main_job::run_until_stopped([&](Stop& stop) { run_job(options, stop); });
}

}  // namespace
}  // namespace quire::cut_job

int main(int argc, char** argv) {
  quire::cut_job::Options options;
  if (const auto status = quire::cut_job::parse(argc, argv, options)) {
    return *status;
  }
  if (const auto failure = quire::cut_job::run(options)) {
    fmt::print("cuts section: FAILED ({})\n", *failure);
    return 1;
  }
  fmt::print("cuts section: ok\n");
  return 0;
}
