#include <fmt/format.h>

#include <mutex>
#include <utility>

#include "main_job/target.h"
#include "quire/store_host.h"

namespace quire::main_job {
namespace {

[[noreturn]] void fail(const char* what, const std::string& path, const Error& error) {
  throw Failure(fmt::format("{} of {}: {}", what, path, error.message()));
}

void check(const char* what, const std::string& path, const Status& status) {
  if (!status.ok()) {
    fail(what, path, status.error());
  }
}

template <class T>
T take(const char* what, const std::string& path, Result<T> result) {
  if (!result.ok()) {
    fail(what, path, result.error());
  }
  return std::move(*result);
}

class QuireFile final : public TargetFile {
 public:
  QuireFile(File file, std::string path, CallOptions call)
      : file_(std::move(file)), path_(std::move(path)), call_(std::move(call)) {}

  std::size_t read(Bytes buffer, std::uint64_t offset) override {
    return take("read", path_, file_.read(buffer, offset, call_));
  }

  std::size_t readv(std::span<const Bytes> buffers, std::uint64_t offset) override {
    return take("readv", path_, file_.readv(buffers, offset, call_));
  }

  void write(ConstBytes buffer, std::uint64_t offset) override {
    whole("write", take("write", path_, file_.write(buffer, offset, call_)), buffer.size());
  }

  void writev(std::span<const ConstBytes> buffers, std::uint64_t offset) override {
    std::size_t want = 0;
    for (ConstBytes buffer : buffers) {
      want += buffer.size();
    }
    whole("writev", take("writev", path_, file_.writev(buffers, offset, call_)), want);
  }

  std::uint64_t append(ConstBytes buffer) override {
    return take("append", path_, file_.append(buffer, call_));
  }

  void truncate(std::uint64_t size_bytes) override {
    check("truncate", path_, file_.truncate(size_bytes, call_));
  }

  void datasync() override { check("datasync", path_, file_.datasync(call_)); }

  void sync_range(std::uint64_t offset, std::uint64_t length) override {
    check("sync_range", path_, file_.sync_range(offset, length, call_));
  }

  void advise(std::uint64_t offset, std::uint64_t length, Advice advice) override {
    check("advise", path_, file_.advise(offset, length, advice));
  }

  Stamp stat() override {
    const FileStat s = take("stat", path_, file_.stat());
    return {s.size_bytes, s.mtime, s.mode & 07777u, s.links};
  }

  void set_mtime(TimeSpec mtime) override {
    check("set_times", path_, file_.set_times(nullptr, &mtime));
  }

  void submit(Op op, OnDone on_done) override {
    check("submit", path_, file_.submit(std::move(op), std::move(on_done), call_));
  }

  void close() override { check("close", path_, file_.close()); }

 private:
  void whole(const char* what, std::size_t moved, std::size_t want) const {
    if (moved != want) {
      throw Failure(fmt::format("{} of {} moved {} of {} bytes", what, path_, moved, want));
    }
  }

  File file_;
  const std::string path_;
  const CallOptions call_;
};

class QuireTargetImpl final : public QuireTarget {
 public:
  QuireTargetImpl(std::string root, std::size_t memory_bytes, const Stop& stop)
      : root_(std::move(root)) {
    call_.stop = stop.token();
    const LogFunction log = [this](LogLevel level, std::string_view message) {
      if (level == LogLevel::kError) {
        const std::lock_guard lock(mutex_);
        logged_errors_ += logged_errors_.empty() ? "" : "; ";
        logged_errors_ += message;
      }
    };
    HostStoreOptions store_options;
    store_options.log = log;
    auto store = take("open of the store", root_, open_host_store(root_, store_options));
    CacheOptions options;
    options.memory_bytes = memory_bytes;
    options.log = log;
    cache_ = take("create of the cache", root_, Cache::create(std::move(store), options));
  }

  std::unique_ptr<TargetFile> open(const std::string& path, OpenFlags flags,
                                   std::uint32_t mode) override {
    return std::make_unique<QuireFile>(take("open", path, cache_->open(path, flags, mode)), path,
                                       call_);
  }

  void sync() override { check("sync", "the cache", cache_->sync(call_)); }
  const std::string& root() const override { return root_; }
  void close() override { check("close", "the cache", cache_->close()); }
  CacheStats stats() const override { return cache_->stats(); }

  std::string logged_errors() const override {
    const std::lock_guard lock(mutex_);
    return logged_errors_;
  }

 private:
  const std::string root_;
  CallOptions call_;
  mutable std::mutex mutex_;
  std::string logged_errors_;  // guarded by mutex_
  std::unique_ptr<Cache> cache_;
};

}  // namespace

std::unique_ptr<QuireTarget> make_quire_target(std::string root, std::size_t memory_bytes,
                                               const Stop& stop) {
  return std::make_unique<QuireTargetImpl>(std::move(root), memory_bytes, stop);
}

}  // namespace quire::main_job
