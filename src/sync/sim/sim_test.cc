#include "sync/sim/sim_test.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

namespace quire::sync::sim {
namespace {

const char* test_in_progress = nullptr;

class Progress {
 public:
  explicit Progress(const char* test_name) { test_in_progress = test_name; }
  ~Progress() { test_in_progress = nullptr; }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
};

bool parse_number(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool apply(std::string_view flag, std::string_view value) {
  SuiteOptions& options = suite_options();
  if (flag == "--seeds") return parse_number(value, options.seeds) && options.seeds > 0;
  if (flag == "--seed") {
    options.seed.emplace();
    return parse_number(value, *options.seed);
  }
  if (value == "random") options.schedule = Schedule::kRandom;
  if (value == "pct") options.schedule = Schedule::kPct;
  return options.schedule.has_value();
}

std::string how_to_replay(const char* test_name, const Options& options) {
  // ./test leaves the schedule to the seed.
  if (!suite_options().schedule) {
    return fmt::format("./test --sim --seed {} --case {}", options.seed, test_name);
  }
  return fmt::format("sim_suite --gtest_filter={} --seed {} --schedule {}", test_name, options.seed,
                     to_string(options.schedule));
}

// Runs one seed; a failure says which, and how to see it again.
Outcome run_seed(const char* test_name, const Options& options, void (*body)()) {
  Outcome outcome = run(options, body);
  if (!outcome.ok() || testing::Test::HasFailure()) {
    ADD_FAILURE() << "simulation: " << (outcome.ok() ? "an expectation failed" : outcome.failure)
                  << fmt::format("\n  seed {}, {} schedule, {} steps, trace hash {:016x}",
                                 options.seed, to_string(options.schedule), outcome.steps,
                                 outcome.trace_hash)
                  << "\n  replay: " << how_to_replay(test_name, options);
  }
  return outcome;
}

bool is_over(const Outcome& outcome) {
  return !outcome.ok() || testing::Test::HasFailure() || testing::Test::IsSkipped();
}

}  // namespace

SuiteOptions& suite_options() {
  static SuiteOptions options;
  return options;
}

bool parse_suite_options(int* argc, char** argv) {
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string_view flag = argument.substr(0, equals);
    if (flag != "--seeds" && flag != "--seed" && flag != "--schedule") {
      argv[kept++] = argv[i];
      continue;
    }
    std::string_view value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (i + 1 < *argc) {
      value = argv[++i];
    }
    if (!apply(flag, value)) {
      fmt::print(stderr, "{}: bad value '{}'\n", flag, value);
      return false;
    }
  }
  *argc = kept;
  return true;
}

Options options_of_seed(std::uint64_t seed) {
  Options options;
  options.seed = seed;
  options.schedule = seed % 2 == 0 ? Schedule::kRandom : Schedule::kPct;
  if (suite_options().schedule) options.schedule = *suite_options().schedule;
  options.pct_depth = 1 + static_cast<unsigned>(seed / 2 % 4);
  return options;
}

void run_seeds(const char* test_name, void (*body)()) {
  const Progress progress(test_name);
  const SuiteOptions& suite = suite_options();
  if (suite.seed) {
    const Options options = options_of_seed(*suite.seed);
    const Outcome outcome = run_seed(test_name, options, body);
    fmt::print("{}: seed {}, {} schedule, {} steps, trace hash {:016x}\n", test_name, options.seed,
               to_string(options.schedule), outcome.steps, outcome.trace_hash);
    return;
  }
  const Outcome first = run_seed(test_name, options_of_seed(0), body);
  if (is_over(first)) return;
  for (std::uint64_t seed = 1; seed < suite.seeds; ++seed) {
    if (is_over(run_seed(test_name, options_of_seed(seed), body))) return;
  }
  const Outcome again = run_seed(test_name, options_of_seed(0), body);
  EXPECT_EQ(again.trace_hash, first.trace_hash)
      << "seed 0 took another course the second time: " << test_name
      << " depends on something besides its seed";
}

void run_explore(const char* test_name, unsigned preemptions_max, void (*body)()) {
  const Progress progress(test_name);
  ExploreOptions options;
  options.preemptions_max = preemptions_max;
  options.failed = [] { return testing::Test::HasFailure(); };
  const ExploreResult result = explore(options, body);
  if (result.failed) {
    ADD_FAILURE() << "simulation: "
                  << (result.last.ok() ? "an expectation failed" : result.last.failure)
                  << fmt::format("\n  exhaustive, schedule {}, at most {} preemptions, {} steps, ",
                                 result.runs, preemptions_max, result.last.steps)
                  << fmt::format("trace hash {:016x}", result.last.trace_hash)
                  << "\n  replay: ./test --sim --case " << test_name;
    return;
  }
  EXPECT_TRUE(result.complete) << test_name << " has more than " << result.runs << " schedules";
  if (suite_options().seed) {
    fmt::print("{}: {} schedules, last trace hash {:016x}\n", test_name, result.runs,
               result.last.trace_hash);
  }
}

const char* running_test() noexcept {
  return test_in_progress;
}

}  // namespace quire::sync::sim
