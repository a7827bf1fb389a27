// quire_mount_bench: a directory mounted by Quire beside one mounted by a daemon that does nothing, and beside
// the disk's own file system. Prints a table and writes JSON.
#include "host_bench/program.h"
#include "mount_bench/rows.h"

int main(int argc, char** argv) {
  quire::bench::Program program{
      "quire_mount_bench",
      "A mounted directory beside one that a do-nothing daemon serves in the same FUSE mode, and "
      "beside the disk's own file system. All sides take turns; ratios are taken within a round. "
      "Needs root, or fusermount3 and the right to use /dev/fuse.",
      11, quire::bench::mounted_data_rows()};
  const auto names = quire::bench::mounted_name_rows();
  program.rows.insert(program.rows.end(), names.begin(), names.end());
  return quire::bench::run_program(program, argc, argv);
}
