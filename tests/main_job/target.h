// What the job works on: a directory tree reached through the library, or the same through the
// kernel. Both offer the same calls, so one program of operations can be applied to either, or to
// one and, step by step, to an independent copy.
//
// Every call either does all that it was asked or throws Failure, reads at the end of the file
// excepted. Thread-safety: as quire::Cache and quire::File.
#ifndef QUIRE_TESTS_MAIN_JOB_TARGET_H_
#define QUIRE_TESTS_MAIN_JOB_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "main_job/failure.h"
#include "quire/cache.h"

namespace quire::main_job {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

struct Stamp {
  std::uint64_t size_bytes = 0;
  TimeSpec mtime;
  std::uint32_t mode = 0;  // permission bits only
  std::uint64_t links = 1;
};

class TargetFile {
 public:
  TargetFile() = default;
  TargetFile(const TargetFile&) = delete;
  TargetFile& operator=(const TargetFile&) = delete;
  virtual ~TargetFile() = default;

  virtual std::size_t read(Bytes buffer, std::uint64_t offset) = 0;
  virtual std::size_t readv(std::span<const Bytes> buffers, std::uint64_t offset) = 0;
  virtual void write(ConstBytes buffer, std::uint64_t offset) = 0;
  virtual void writev(std::span<const ConstBytes> buffers, std::uint64_t offset) = 0;
  // Returns the offset it went to; the kernel's side can only guess while others append.
  virtual std::uint64_t append(ConstBytes buffer) = 0;
  virtual void truncate(std::uint64_t size_bytes) = 0;
  virtual void datasync() = 0;
  virtual void sync_range(std::uint64_t offset, std::uint64_t length) = 0;
  virtual void advise(std::uint64_t offset, std::uint64_t length, Advice advice) = 0;
  virtual Stamp stat() = 0;
  virtual void set_mtime(TimeSpec mtime) = 0;
  // As File::submit. The kernel's side does the work at once.
  virtual void submit(Op op, OnDone on_done) = 0;
  virtual void close() = 0;
};

class Target {
 public:
  Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  virtual ~Target() = default;

  virtual std::unique_ptr<TargetFile> open(const std::string& path, OpenFlags flags,
                                           std::uint32_t mode) = 0;
  // Everything written so far is on the disk.
  virtual void sync() = 0;
  virtual const std::string& root() const = 0;
};

// A tree below `root` behind the kernel's page cache: pread, pwrite, ftruncate.
std::unique_ptr<Target> make_kernel_target(std::string root);

// The same tree behind Quire.
class QuireTarget : public Target {
 public:
  // No file is open; returns what Cache::close returned.
  virtual void close() = 0;
  virtual CacheStats stats() const = 0;
  // What the library logged as an error, "" if nothing.
  virtual std::string logged_errors() const = 0;
};
std::unique_ptr<QuireTarget> make_quire_target(std::string root, std::size_t memory_bytes,
                                               const Stop& stop);

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_TARGET_H_
