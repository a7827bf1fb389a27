#include "host_bench/memory_limit.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "host_bench/row.h"

namespace quire::bench {
namespace {

void write_to(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  if (!file) {
    throw NotMeasured(fmt::format("cannot write {} to {}", text, path));
  }
}

bool has_word(const std::string& path, const std::string& wanted) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    if (word == wanted) {
      return true;
    }
  }
  return false;
}

struct Place {
  std::string parent;
  std::string limit_file;
  std::string version;
};

// Looks through the mounts: fields 5 (where) and, after the dash, the type and the super options.
Place find_place() {
  std::ifstream mounts("/proc/self/mountinfo");
  Place found;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string skip, where, type, source, options;
    words >> skip >> skip >> skip >> skip >> where;
    while (words >> skip && skip != "-") {
    }
    words >> type >> source >> options;
    if (type == "cgroup2" && has_word(where + "/cgroup.controllers", "memory")) {
      return {where, "memory.max", "cgroup v2"};
    }
    if (type == "cgroup" && ("," + options + ",").find(",memory,") != std::string::npos) {
      found = {where, "memory.limit_in_bytes", "cgroup v1"};
    }
  }
  return found;
}

}  // namespace

MemoryLimit::MemoryLimit(std::uint64_t bytes) {
  const Place place = find_place();
  if (place.parent.empty()) {
    throw NotMeasured("no memory cgroup controller is mounted");
  }
  version_ = place.version;
  if (place.version == "cgroup v2" &&
      !has_word(place.parent + "/cgroup.subtree_control", "memory")) {
    write_to(place.parent + "/cgroup.subtree_control", "+memory");
  }
  const std::string path = fmt::format("{}/quire-bench-{}", place.parent, ::getpid());
  if (::mkdir(path.c_str(), 0755) != 0) {
    throw NotMeasured(fmt::format("cannot make {}: {}", path, std::strerror(errno)));
  }
  path_ = path;
  try {
    write_to(path + "/" + place.limit_file, std::to_string(bytes));
  } catch (...) {
    ::rmdir(path.c_str());
    throw;
  }
}

MemoryLimit::~MemoryLimit() {
  std::error_code ignored;
  if (std::filesystem::exists(path_ + "/memory.force_empty", ignored)) {
    std::ofstream(path_ + "/memory.force_empty") << "0" << std::flush;
  }
  ::rmdir(path_.c_str());
}

void MemoryLimit::join(const std::string& path) {
  write_to(path + "/cgroup.procs", std::to_string(::getpid()));
}

}  // namespace quire::bench
