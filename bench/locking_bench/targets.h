// What the locking benchmark works on: one file, of Quire under one of its locking strategies or of the
// kernel, behind the same few calls. Each is done by a thread of its own number, with memory of its own.
#ifndef QUIRE_BENCH_LOCKING_BENCH_TARGETS_H_
#define QUIRE_BENCH_LOCKING_BENCH_TARGETS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "quire/options.h"

namespace quire::bench {

class Target {
 public:
  Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  virtual ~Target() = default;

  virtual std::string name() const = 0;
  virtual std::string settings() const = 0;
  // Throw std::runtime_error. At most 256 pages are read or written at a time.
  virtual void read(unsigned thread, std::uint64_t page, std::uint64_t pages) = 0;
  virtual void write_direct(unsigned thread, std::uint64_t page, std::uint64_t pages) = 0;
  virtual void punch(std::uint64_t page, std::uint64_t pages) = 0;
  virtual void truncate(std::uint64_t pages) = 0;
  // So that it is read from the disk the next time. Quire, whose budget is small, does nothing.
  virtual void forget(std::uint64_t page, std::uint64_t pages) = 0;
};

struct TargetOptions {
  std::string directory = {};  // on the disk to measure; empty: a store in memory
  // Of the store in memory: each request takes this long, and no processor.
  std::chrono::microseconds latency{0};
  std::uint64_t pages = 0;         // of the file, all written
  std::uint64_t memory_bytes = 0;  // the cache's budget
};

// Quire under each of its four strategies, in the order of Locking; after that, if it is on a disk, the
// kernel's file. Every file is its own, and in no cache.
std::vector<std::shared_ptr<Target>> make_targets(const TargetOptions& options);

}  // namespace quire::bench

#endif  // QUIRE_BENCH_LOCKING_BENCH_TARGETS_H_
