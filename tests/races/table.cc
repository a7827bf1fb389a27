#include "races/table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "races/race.h"
#include "sync/sim/scheduler.h"
#include "sync/sim/sim_test.h"

namespace quire::races {
namespace {

namespace sim = sync::sim;

constexpr std::array kStrategies = {Locking::kGate, Locking::kRange, Locking::kInvalidate,
                                    Locking::kInode};
// Of one run. Thirty times what the longest takes.
constexpr std::uint64_t kStepsMax = 300'000;
// A fault may also make a thread run for ever between two steps.
constexpr unsigned kStuckSeconds = 60;

// How a race ended, as the status of its process.
enum class End : int { kHolds = 0, kExpectation = 10, kDeadlock, kEndless, kCheck, kCrash };

const char* name(End end) noexcept {
  switch (end) {
    case End::kHolds:
      return "holds";
    case End::kExpectation:
      return "fails";
    case End::kDeadlock:
      return "deadlock";
    case End::kEndless:
      return "endless";
    case End::kCheck:
      return "check";
    case End::kCrash:
      return "crash";
  }
  return "?";
}

// In the child.
End run_all(const Race& race, Locking locking, fault::Planted planted, std::uint64_t seeds) {
  fault::plant(planted);
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    sim::Options options = sim::options_of_seed(seed);
    options.steps_max = kStepsMax;
    const sim::Outcome outcome = sim::run(options, [&] { race.run(locking); });
    if (outcome.ok() && !testing::Test::HasFailure()) continue;
    fmt::print("seed {}: {}\n", seed, outcome.ok() ? "an expectation failed" : outcome.failure);
    if (testing::Test::HasFailure()) return End::kExpectation;
    return outcome.deadlock ? End::kDeadlock : End::kEndless;
  }
  return End::kHolds;
}

// Runs the race in a process of its own; `log` then holds what it printed.
End run_child(const Race& race, Locking locking, fault::Planted planted, std::uint64_t seeds,
              std::FILE* log) {
  std::fflush(nullptr);
  std::rewind(log);
  if (::ftruncate(::fileno(log), 0) != 0) throw std::runtime_error("ftruncate");
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    const rlimit no_core = {0, 0};
    (void)::setrlimit(RLIMIT_CORE, &no_core);
    (void)::dup2(::fileno(log), STDOUT_FILENO);
    (void)::dup2(::fileno(log), STDERR_FILENO);
    ::alarm(kStuckSeconds);
    const End end = run_all(race, locking, planted, seeds);
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(end));
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid");
  if (WIFEXITED(status)) return static_cast<End>(WEXITSTATUS(status));
  switch (WTERMSIG(status)) {
    case SIGABRT:
      return End::kCheck;
    case SIGALRM:
      return End::kEndless;
    default:
      return End::kCrash;
  }
}

// The first lines, indented, of what a failing test printed: what failed, and where.
std::string opening_of(std::string_view text) {
  constexpr int kLines = 3;
  constexpr std::size_t kColumns = 110;
  std::string opening;
  for (int line = 0; line < kLines && !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    opening += fmt::format("  {}\n", text.substr(0, std::min(end, kColumns)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return opening;
}

class Table {
 public:
  explicit Table(bool details) : log_(std::tmpfile()), details_(details) {
    if (log_ == nullptr) throw std::runtime_error("no temporary file");
  }
  ~Table() { std::fclose(log_); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  void add_row(const Race& race, std::uint64_t seeds) {
    std::string row = fmt::format("{:<29}", race.name);
    for (const Locking locking : kStrategies) {
      row += fmt::format(" {:<15}", cell(race, locking, seeds));
    }
    fmt::print("{}\n", row);
    std::fflush(stdout);
  }
  int passed() const noexcept { return passed_; }
  int failed() const noexcept { return failed_; }
  // What must be read with the table.
  const std::string& remarks() const noexcept { return remarks_; }

 private:
  // Counts one.
  std::string cell(const Race& race, Locking locking, std::uint64_t seeds) {
    const auto cannot = std::find_if(race.cannot.begin(), race.cannot.end(),
                                     [&](const Cannot& c) { return c.locking == locking; });
    const End as_it_is = run_child(race, locking, fault::Planted::kNone, seeds, log_);
    if (as_it_is != End::kHolds) {
      return wrong(race, locking, "fails as the code is", fmt::format("FAILS: {}", name(as_it_is)));
    }
    End planted = run_child(race, locking, race.fault, seeds, log_);
    // An assertion that came of what the test had noticed before.
    if (planted == End::kCheck && log_text().find(": Failure\n") != std::string::npos) {
      planted = End::kExpectation;
    }
    if (cannot == race.cannot.end()) {
      if (planted == End::kHolds) {
        return wrong(race, locking, "was not seen to fail with its fault", "holds, NOT SEEN");
      }
      ++passed_;
      if (details_) {
        remarks_ += fmt::format("{} under {}, with its fault:\n{}", race.name, cache::name(locking),
                                opening_of(log_text()));
      }
      return fmt::format("holds, {}", name(planted));
    }
    if (planted != End::kHolds) {
      return wrong(race, locking, "can happen after all", fmt::format("CAN: {}", name(planted)));
    }
    ++passed_;
    remarks_ += fmt::format("{} cannot happen under {}: {}\n", race.name, cache::name(locking),
                            cannot->why);
    return "holds, cannot";
  }
  std::string wrong(const Race& race, Locking locking, const char* what, std::string text) {
    ++failed_;
    remarks_ += fmt::format("FAILED: {} under {} {}\n", race.name, cache::name(locking), what);
    remarks_ += log_text();
    return text;
  }
  // What the last child printed.
  std::string log_text() {
    std::rewind(log_);
    std::string text;
    std::array<char, 512> part;
    while (const std::size_t bytes = std::fread(part.data(), 1, part.size(), log_)) {
      text.append(part.data(), bytes);
    }
    return text;
  }

  std::FILE* const log_;
  const bool details_;
  int passed_ = 0;
  int failed_ = 0;
  std::string remarks_;
};

}  // namespace

bool show_table(std::string_view part, std::uint64_t seeds) {
  fmt::print(
      "With the code as it is, and with the race's planted fault ({} seeds each):\n"
      "  holds     no expectation failed\n"
      "  fails     seen failing: an expectation of the test, of what is read or of who comes "
      "first\n"
      "  check     seen failing: an assertion of the engine, or of the lock order\n"
      "  deadlock  seen failing: nobody can go on        endless  ... or nobody comes to an end\n"
      "  cannot    holds with the fault too, for the reason below\n\n"
      "{:<29} {:<15} {:<15} {:<15} {}\n",
      seeds, "race", "gate", "range", "invalidate", "inode");
  Table table(!part.empty());
  for (const Race& race : all_races()) {
    if (std::string_view(race.name).find(part) != std::string_view::npos) {
      table.add_row(race, seeds);
    }
  }
  fmt::print("\n{}races: {} passed, {} failed\n", table.remarks(), table.passed(), table.failed());
  return table.failed() == 0 && table.passed() > 0;
}

}  // namespace quire::races
