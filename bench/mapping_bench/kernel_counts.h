// What the kernel counts while something is measured: system calls of the calling thread (perf's
// raw_syscalls:sys_enter) and TLB shootdowns of the machine (/proc/interrupts), each of which interrupts other
// processors.
#ifndef QUIRE_BENCH_MAPPING_BENCH_KERNEL_COUNTS_H_
#define QUIRE_BENCH_MAPPING_BENCH_KERNEL_COUNTS_H_

#include <cstdint>
#include <optional>

namespace quire::bench {

struct KernelCounts {
  std::optional<std::uint64_t> system_calls;  // not where tracefs cannot be read, which takes root
  std::uint64_t shootdowns = 0;
};

// From its making on.
class KernelCounter {
 public:
  KernelCounter();
  ~KernelCounter();
  KernelCounter(const KernelCounter&) = delete;
  KernelCounter& operator=(const KernelCounter&) = delete;

  // Once.
  KernelCounts counts() const;

 private:
  int calls_fd_;
  std::uint64_t shootdowns_before_;
};

}  // namespace quire::bench

#endif  // QUIRE_BENCH_MAPPING_BENCH_KERNEL_COUNTS_H_
