// model_test: random operations on files, each compared with a plain model. See --help.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "model/runner.h"

namespace {

using namespace quire;
using Clock = std::chrono::steady_clock;

// No operation waits for anything that does not come soon.
constexpr std::chrono::seconds kStuckAfter{60};

struct Strategy {
  const char* name;
  Locking locking;
};
constexpr std::array<Strategy, 4> kStrategies = {{{"gate", Locking::kGate},
                                                  {"range", Locking::kRange},
                                                  {"invalidate", Locking::kInvalidate},
                                                  {"inode", Locking::kInode}}};

struct Arguments {
  std::uint64_t operations = 250'000;
  std::uint64_t seconds = 0;
  std::uint64_t seed = 0;
  bool trace = false;
};

void explain(const Strategy& strategy, std::uint64_t seed, const model::Runner& runner,
             const std::string& what) {
  fmt::print(stderr,
             "{}: {}\nat operation {}; the last operations:\n{}"
             "again: --locking {} --seed {} --operations {}\n",
             strategy.name, what, runner.progress(), runner.history(), strategy.name, seed,
             runner.progress() + 1);
}

// Ends the program where an operation does not end.
class Watch {
 public:
  Watch(const Strategy& strategy, std::uint64_t seed, const model::Runner& runner)
      : thread_([&, seed](const std::stop_token& stop) {
          std::uint64_t seen = 0;
          Clock::time_point since = Clock::now();
          std::mutex mutex;
          std::condition_variable_any wake;
          std::unique_lock lock(mutex);
          while (!wake.wait_for(lock, stop, std::chrono::seconds(1), [] { return false; })) {
            if (stop.stop_requested()) return;
            if (std::exchange(seen, runner.progress()) != runner.progress()) since = Clock::now();
            if (Clock::now() - since < kStuckAfter) continue;
            explain(strategy, seed, runner, "an operation does not end");
            std::_Exit(1);
          }
        }) {}

 private:
  std::jthread thread_;
};

bool run(const Strategy& strategy, const Arguments& arguments) {
  const Clock::time_point began = Clock::now();
  const auto end = began + std::chrono::seconds(arguments.seconds);
  std::uint64_t seed = arguments.seed;
  std::uint64_t operations = 0;
  do {
    model::Runner runner(strategy.locking, seed, arguments.trace);
    const Watch watch(strategy, seed, runner);
    try {
      while (runner.progress() < arguments.operations) runner.run_one();
      runner.finish();
    } catch (const std::exception& wrong) {
      explain(strategy, seed, runner, wrong.what());
      return false;
    }
    operations += runner.progress();
    ++seed;
  } while (Clock::now() < end);
  fmt::print("{}: {} operations as the model, seed {}, {:.1f} s\n", strategy.name, operations,
             arguments.seed, std::chrono::duration<double>(Clock::now() - began).count());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  std::string locking = "all";
  CLI::App app{
      "Does random operations on files of a cache over a store that fails, and compares each step "
      "with a plain model in memory"};
  app.add_option("--operations", arguments.operations, "for each strategy")->capture_default_str();
  app.add_option("--seconds", arguments.seconds,
                 "again and again with further seeds, until that long has passed");
  app.add_option("--seed", arguments.seed, "default: one that the machine makes up");
  app.add_option("--locking", locking, "gate, range, invalidate, inode or all")
      ->check(CLI::IsMember({"gate", "range", "invalidate", "inode", "all"}))
      ->capture_default_str();
  app.add_flag("--trace", arguments.trace, "print each operation before it is done");
  CLI11_PARSE(app, argc, argv);
  if (app.count("--seed") == 0) arguments.seed = std::random_device{}();

  bool good = true;
  for (const Strategy& strategy : kStrategies) {
    if (locking != "all" && locking != strategy.name) continue;
    good = run(strategy, arguments) && good;
  }
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
