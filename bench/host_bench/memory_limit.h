// A memory cgroup with a limit, version 2 where its memory controller is to be had, else version 1.
// Needs permission to make one: root, or a delegated group.
#ifndef QUIRE_BENCH_HOST_BENCH_MEMORY_LIMIT_H_
#define QUIRE_BENCH_HOST_BENCH_MEMORY_LIMIT_H_

#include <cstdint>
#include <string>

namespace quire::bench {

class MemoryLimit {
 public:
  // Throws NotMeasured with the reason.
  explicit MemoryLimit(std::uint64_t bytes);
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;
  // REQUIRES: no process is in it.
  ~MemoryLimit();

  const std::string& path() const { return path_; }
  // "cgroup v2" or "cgroup v1".
  const std::string& version() const { return version_; }

  // Puts the calling process into the group at `path`. Throws NotMeasured.
  static void join(const std::string& path);

 private:
  std::string path_;
  std::string version_;
};

}  // namespace quire::bench

#endif  // QUIRE_BENCH_HOST_BENCH_MEMORY_LIMIT_H_
