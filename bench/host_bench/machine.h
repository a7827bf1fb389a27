// The machine and its settings that the numbers depend on.
#ifndef QUIRE_BENCH_HOST_BENCH_MACHINE_H_
#define QUIRE_BENCH_HOST_BENCH_MACHINE_H_

#include <nlohmann/json.hpp>
#include <string>

namespace quire::bench {

nlohmann::json describe_machine(const std::string& directory);

}  // namespace quire::bench

#endif  // QUIRE_BENCH_HOST_BENCH_MACHINE_H_
