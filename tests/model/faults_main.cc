// model_faults: plants each fault of planted_faults.h in turn and sees whether the random tester notices,
// within as many operations as the table says, with each of several seeds. Of the library built with
// QUIRE_PLANTED_FAULTS. A run is a process of its own: some faults end it.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "model/planted_faults.h"
#include "model/runner.h"

namespace {

using namespace quire;

// A fault may also show in that nothing goes on.
constexpr unsigned kStuckSeconds = 20;

// Written by the child, read by its parent when it has ended.
struct Report {
  std::uint64_t operations;
  char wrong[256];
};

struct Caught {
  std::uint64_t operations = 0;
  std::string how;  // empty: not caught
};

[[noreturn]] void run_child(const model::PlantedFault& planted, std::uint64_t seed,
                            Report& report) {
  // For the alarm: who waits in the handler of SIGBUS bars it.
  std::thread([] {
    for (;;) ::pause();
  }).detach();
  fault::plant(planted.fault);
  // One strategy each: what is wrong does not depend on it.
  const auto locking = planted.locking.value_or(static_cast<Locking>(seed % 4));
  model::Runner runner(locking, seed, false);
  try {
    while (runner.progress() < planted.operations_max) {
      if (runner.progress() % 100 == 0) ::alarm(kStuckSeconds);
      runner.run_one();
      report.operations = runner.progress();
    }
  } catch (const std::exception& wrong) {
    std::snprintf(report.wrong, sizeof(report.wrong), "%s", wrong.what());
    std::_Exit(1);
  }
  std::_Exit(0);
}

// A run that has begun, in a process of its own.
class Run {
 public:
  Run(const model::PlantedFault& planted, std::uint64_t seed) {
    void* const shared =
        ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) throw std::runtime_error("mmap");
    report_ = static_cast<Report*>(shared);
    child_ = ::fork();
    if (child_ < 0) throw std::runtime_error("fork");
    if (child_ == 0) run_child(planted, seed, *report_);
  }
  // Waits for its end.
  Caught end() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    Caught caught{report_->operations + 1, {}};
    if (WIFSIGNALED(status)) {
      const int signal = WTERMSIG(status);
      caught.how = signal == SIGALRM ? "an operation does not end" : ::strsignal(signal);
    } else if (WEXITSTATUS(status) == 1) {
      caught.how = report_->wrong;
    }
    ::munmap(report_, sizeof(Report));
    return caught;
  }

 private:
  Report* report_ = nullptr;
  pid_t child_ = 0;
};

bool is_caught(const model::PlantedFault& planted, std::uint64_t seed, std::uint64_t seeds) {
  std::uint64_t worst = 0;
  std::string how;
  // All at once: of those that do not end each takes as long as that is waited for.
  std::fflush(nullptr);
  std::vector<Run> runs;
  for (std::uint64_t i = 0; i < seeds; ++i) runs.emplace_back(planted, seed + i);
  bool all = true;
  for (std::uint64_t i = 0; i < seeds; ++i) {
    const Caught caught = runs[i].end();
    if (caught.how.empty()) {
      fmt::print("{}: NOT caught in {} operations, seed {}\n", planted.name, planted.operations_max,
                 seed + i);
      all = false;
    }
    if (caught.operations > worst) {
      worst = caught.operations;
      how = caught.how;
    }
  }
  if (!all) return false;
  fmt::print("{}: caught after {} operations at most, of {} ({})\n", planted.name, worst,
             planted.operations_max, how);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::string name;
  std::uint64_t seed = 1;
  std::uint64_t seeds = 4;
  bool list = false;
  CLI::App app{"Plants faults in the engine and sees whether the random tester notices each"};
  app.add_option("--fault", name, "only this one");
  app.add_option("--seed", seed, "the first")->capture_default_str();
  app.add_option("--seeds", seeds, "how many, one run each")->capture_default_str();
  app.add_flag("--list-faults", list, "name them and what they do");
  CLI11_PARSE(app, argc, argv);

  bool good = true;
  bool known = name.empty();
  for (const model::PlantedFault& planted : model::kPlantedFaults) {
    if (list) {
      fmt::print("{:<26} {:>6}  {}\n", planted.name, planted.operations_max, planted.what);
      continue;
    }
    if (!name.empty() && name != planted.name) continue;
    known = true;
    if (planted.maps && model::World::maps_nothing()) {
      fmt::print("{}: nothing can be mapped here\n", planted.name);
      continue;
    }
    good = is_caught(planted, seed, seeds) && good;
  }
  if (!known) fmt::print(stderr, "no fault is named {}\n", name);
  return good && known ? EXIT_SUCCESS : EXIT_FAILURE;
}
