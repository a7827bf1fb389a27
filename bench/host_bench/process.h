// Runs a program and returns what it wrote to its standard output.
#ifndef QUIRE_BENCH_HOST_BENCH_PROCESS_H_
#define QUIRE_BENCH_HOST_BENCH_PROCESS_H_

#include <string>
#include <vector>

namespace quire::bench {

// Throws NotMeasured if the program is not there or fails; its standard error goes to ours.
std::string output_of(const std::vector<std::string>& arguments);

}  // namespace quire::bench

#endif  // QUIRE_BENCH_HOST_BENCH_PROCESS_H_
