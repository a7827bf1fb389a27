#include "host_bench/machine.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "quire/version.h"

namespace quire::bench {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// How long a virtual machine's processor looks for work before it halts, in nanoseconds.
std::string halt_poll() {
  const std::string ns = first_line("/sys/module/haltpoll/parameters/guest_halt_poll_ns");
  if (ns.empty()) return "no";
  return ns != "0"
             ? ns
             : "0: processors halt at once, and are slow to wake (scripts/bench.sh --halt-poll)";
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown";
}

std::string file_system(const std::string& directory) {
  struct ::statfs s {};
  if (::statfs(directory.c_str(), &s) != 0) {
    return "unknown";
  }
  switch (s.f_type) {
    case 0xef53:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case 0x01021994:
      return "tmpfs";
    case 0x9123683e:
      return "btrfs";
    case 0x794c7630:
      return "overlayfs";
    default:
      return fmt::format("{:#x}", s.f_type);
  }
}

// What the kernel reads ahead of a file, and around a page of a mapped one, at most.
std::string read_ahead(const std::string& directory) {
  struct ::stat s {};
  if (::stat(directory.c_str(), &s) != 0) return "unknown";
  const std::string kib = first_line(
      fmt::format("/sys/class/bdi/{}:{}/read_ahead_kb", major(s.st_dev), minor(s.st_dev)));
  return kib.empty() ? "unknown" : kib;
}

}  // namespace

nlohmann::json describe_machine(const std::string& directory) {
  struct ::utsname name {};
  ::uname(&name);
  return {
      {"quire", version()},
      {"cpu", cpu_model()},
      {"cpus", ::sysconf(_SC_NPROCESSORS_ONLN)},
      {"memory_mib", (::sysconf(_SC_PHYS_PAGES) >> 8)},
      {"kernel", fmt::format("{} {}", name.sysname, name.release)},
      {"file_system", file_system(directory)},
      {"directory", directory},
      {"read_ahead_kib", read_ahead(directory)},
      {"transparent_huge_pages", first_line("/sys/kernel/mm/transparent_hugepage/enabled")},
      {"vm.dirty_background_ratio", first_line("/proc/sys/vm/dirty_background_ratio")},
      {"vm.dirty_ratio", first_line("/proc/sys/vm/dirty_ratio")},
      {"vm.dirty_expire_centisecs", first_line("/proc/sys/vm/dirty_expire_centisecs")},
      {"guest_halt_poll_ns", halt_poll()},
      {"compiler", __VERSION__},
  };
}

}  // namespace quire::bench
