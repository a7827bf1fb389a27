// What the kernel says of huge pages, for tests: of a mapping, and of itself.
#ifndef QUIRE_CACHE_TEST_SMAPS_H_
#define QUIRE_CACHE_TEST_SMAPS_H_

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace quire::cache {

// It can be asked for huge pages, or for none. Tests that need this ask here, and not what the library made of it.
inline bool kernel_has_huge_pages() {
  return std::filesystem::exists("/sys/kernel/mm/transparent_hugepage");
}
inline constexpr const char* kNoHugePages = "this kernel has no huge pages";

// The flags of the mapping that the address is in ("VmFlags:"), each between blanks: "hg" huge pages are welcome, "nh"
// they are not.
inline std::string flags_of(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      here = begin <= wanted && wanted < end;
    } else if (here && line.starts_with("VmFlags:")) {
      return line + " ";
    }
  }
  return {};
}

}  // namespace quire::cache

#endif  // QUIRE_CACHE_TEST_SMAPS_H_
