// quire_mapping_bench: page faults of mapped files, and sweeps over them, beside the kernel's mmap of the same file.
#include <cstring>

#include "host_bench/program.h"
#include "mapping_bench/rows.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], quire::bench::kSweepChildFlag) == 0) {
    return quire::bench::run_sweep_child(argc, argv);
  }
  quire::bench::Program program{"quire_mapping_bench",
                                "Faults of mapped files, and sweeps over them, beside the kernel's "
                                "mmap of a file on the same "
                                "disk. All sides take turns; ratios are taken within a round.",
                                9, quire::bench::fault_rows()};
  for (const auto& row : quire::bench::frame_rows()) program.rows.push_back(row);
  for (const auto& row : quire::bench::sweep_rows()) program.rows.push_back(row);
  return quire::bench::run_program(program, argc, argv);
}
