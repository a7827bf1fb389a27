#include "mapping_bench/kernel_counts.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "host_bench/process.h"

namespace quire::bench {
namespace {

// The number of the tracepoint, or nothing. In a mount namespace of its own, where tracefs may be mounted.
std::optional<std::uint64_t> tracepoint() {
  try {
    const std::string said = output_of(
        {"/bin/sh", "-c",
         "unshare -m sh -c 'mount -t tracefs none /sys/kernel/tracing 2>/dev/null; "
         "cat /sys/kernel/tracing/events/raw_syscalls/sys_enter/id' 2>/dev/null || true"});
    std::uint64_t id = 0;
    if (std::istringstream(said) >> id) return id;
  } catch (const std::exception&) {
    // Then they are not counted.
  }
  return {};
}

int open_counter() {
  static const std::optional<std::uint64_t> id = tracepoint();
  if (!id) return -1;
  perf_event_attr attributes = {};
  attributes.type = PERF_TYPE_TRACEPOINT;
  attributes.size = sizeof attributes;
  attributes.config = *id;
  attributes.disabled = 1;
  return static_cast<int>(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

std::uint64_t shootdowns() {
  std::ifstream interrupts("/proc/interrupts");
  for (std::string line; std::getline(interrupts, line);) {
    std::istringstream words(line);
    std::string name;
    if (!(words >> name) || name != "TLB:") continue;
    std::uint64_t sum = 0;
    for (std::uint64_t count = 0; words >> count;) sum += count;
    return sum;
  }
  return 0;
}

}  // namespace

KernelCounter::KernelCounter() : calls_fd_(open_counter()), shootdowns_before_(shootdowns()) {
  if (calls_fd_ >= 0) ::ioctl(calls_fd_, PERF_EVENT_IOC_ENABLE, 0);
}

KernelCounter::~KernelCounter() {
  if (calls_fd_ >= 0) ::close(calls_fd_);
}

KernelCounts KernelCounter::counts() const {
  KernelCounts counts;
  std::uint64_t calls = 0;
  if (calls_fd_ >= 0 && ::ioctl(calls_fd_, PERF_EVENT_IOC_DISABLE, 0) == 0 &&
      ::read(calls_fd_, &calls, sizeof calls) == sizeof calls) {
    counts.system_calls = calls - 1;  // but for the one that ends it
  }
  counts.shootdowns = shootdowns() - shootdowns_before_;
  return counts;
}

}  // namespace quire::bench
