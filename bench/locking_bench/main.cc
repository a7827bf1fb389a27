// quire_locking_bench: the four locking strategies beside each other and beside the kernel's file system.
// Prints a table, writes JSON and a chart.
#include "host_bench/program.h"
#include "locking_bench/rows.h"

int main(int argc, char** argv) {
  quire::bench::Program program{
      "quire_locking_bench",
      "The four locking strategies of a cache, and the kernel's file system, under loads that cut "
      "a "
      "file up while it is used. All sides take turns; ratios are taken within a round.",
      9, quire::bench::plain_locking_rows()};
  for (auto rows : {quire::bench::mixed_locking_rows(), quire::bench::wait_rows()}) {
    program.rows.insert(program.rows.end(), rows.begin(), rows.end());
  }
  program.draws_chart = true;
  return quire::bench::run_program(program, argc, argv);
}
