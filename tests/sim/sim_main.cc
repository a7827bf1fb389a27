// The program that holds every test of the simulation; see sync/sim/sim_test.h for its flags. Besides them:
//   --races [NAME]       no tests, but the table of the races, or of those whose names contain NAME
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "races/table.h"
#include "sync/sim/scheduler.h"
#include "sync/sim/sim_test.h"

namespace {

namespace sim = quire::sync::sim;

// A crash or a failed check names its test and seed before the signal does its work.
void report_crash(int) {
  char where[160];
  sim::describe_run(where, sizeof where);
  if (where[0] == '\0') return;
  char text[320];
  const char* const test = sim::running_test();
  const int length = std::snprintf(text, sizeof text, "simulation: crashed in %s: %s\n",
                                   test != nullptr ? test : "a run of its own", where);
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, text, static_cast<size_t>(std::clamp(length, 0, 319)));
}

// On a stack of its own, for a fiber's may be what overflowed. The handler is gone when it returns,
// so the faulting instruction, or abort(), then ends the program.
void install_crash_reports() {
  static char stack_memory[64 << 10];
  stack_t stack = {};
  stack.ss_sp = stack_memory;
  stack.ss_size = sizeof stack_memory;
  sigaltstack(&stack, nullptr);
  struct sigaction action = {};
  action.sa_handler = report_crash;
  action.sa_flags = static_cast<int>(SA_ONSTACK | SA_RESETHAND);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    sigaction(number, &action, nullptr);
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (!sim::parse_suite_options(&argc, argv)) return 2;
  if (argc > 1 && std::string_view(argv[1]) == "--races") {
    return quire::races::show_table(argc > 2 ? argv[2] : "", sim::suite_options().seeds) ? 0 : 1;
  }
  if (argc > 1) {
    std::fprintf(stderr, "unknown argument '%s'\n", argv[1]);
    return 2;
  }
  install_crash_reports();
  return RUN_ALL_TESTS();
}
