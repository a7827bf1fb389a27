// quire_bench: the host store through Quire beside memcpy, the kernel's page cache and fio. Prints
// a table and writes JSON.
#include <cstring>

#include "host_bench/program.h"
#include "host_bench/rows.h"

namespace quire::bench {
namespace {

Program program() {
  Program program{"quire_bench",
                  "Quire over a directory of this machine, beside memcpy, the kernel's page cache "
                  "and fio. All sides take turns; ratios are taken within a round.",
                  15,
                  {}};
  for (const auto& rows : {hit_rows(), overwrite_rows(), miss_rows(), pass_rows()}) {
    program.rows.insert(program.rows.end(), rows.begin(), rows.end());
  }
  return program;
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], quire::bench::kPassChildFlag) == 0) {
    return quire::bench::run_pass_child(argc, argv);
  }
  return quire::bench::run_program(quire::bench::program(), argc, argv);
}
