#include "locking_bench/targets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cache/cache_lock.h"
#include "host_bench/data.h"
#include "quire/cache.h"
#include "quire/store_host.h"
#include "quire/store_memory.h"

namespace quire::bench {
namespace {

constexpr char kFileName[] = "locked";
constexpr std::uint64_t kPiecePages = 256;
constexpr std::size_t kThreadsMax = 64;

// 1 MiB for each thread, aligned as direct IO asks.
std::span<std::byte> memory_of(unsigned thread) {
  static const Region region(kThreadsMax * kMiB, Region::Kind::kSmallPages);
  return {region.data() + (thread % kThreadsMax) * kMiB, kMiB};
}

class QuireTarget final : public Target {
 public:
  QuireTarget(const TargetOptions& options, Locking strategy)
      : strategy_(strategy), settings_(text(options)) {
    std::shared_ptr<Store> store;
    if (options.directory.empty()) {
      store = MemoryStore::create({.latency = options.latency});
    } else {
      const std::string directory = options.directory + "/" + cache::name(strategy);
      std::filesystem::create_directory(directory);
      store = take(open_host_store(directory));
    }
    CacheOptions cache;
    cache.memory_bytes = options.memory_bytes;
    cache.locking = strategy;
    cache_ = take(Cache::create(store, cache));
    file_ = take(cache_->open(kFileName, OpenFlags::kReadWrite | OpenFlags::kCreate));
    take(file_.advise(0, 0, Advice::kRandom));
    for (std::uint64_t page = 0; page < options.pages; page += kPiecePages) {
      write_direct(0, page, std::min(kPiecePages, options.pages - page));
    }
    take(file_.sync());
  }

  std::string name() const override { return cache::name(strategy_); }
  std::string settings() const override { return settings_; }
  void read(unsigned thread, std::uint64_t page, std::uint64_t pages) override {
    take(file_.read(memory_of(thread).first(pages * kPage), page * kPage));
  }
  void write_direct(unsigned thread, std::uint64_t page, std::uint64_t pages) override {
    take(file_.write(memory_of(thread).first(pages * kPage), page * kPage,
                     {.path = IoPath::kDirect}));
  }
  void punch(std::uint64_t page, std::uint64_t pages) override {
    take(file_.punch(page * kPage, pages * kPage));
  }
  void truncate(std::uint64_t pages) override { take(file_.truncate(pages * kPage)); }
  void forget(std::uint64_t /*page*/, std::uint64_t /*pages*/) override {}

 private:
  static std::string text(const TargetOptions& options) {
    return fmt::format("budget {} MiB, {}", options.memory_bytes / kMiB,
                       options.directory.empty() ? fmt::format("a store in memory, {} us a request",
                                                               options.latency.count())
                                                 : "host store on direct IO");
  }

  const Locking strategy_;
  const std::string settings_;
  std::unique_ptr<Cache> cache_;
  File file_;
};

class KernelTarget final : public Target {
 public:
  explicit KernelTarget(const TargetOptions& options)
      : path_(options.directory + "/kernel"),
        buffered_(path_, O_RDWR | O_CREAT | O_TRUNC, 0600),
        direct_(path_, O_RDWR | O_DIRECT) {
    for (std::uint64_t page = 0; page < options.pages; page += kPiecePages) {
      write_direct(0, page, std::min(kPiecePages, options.pages - page));
    }
    ::posix_fadvise(buffered_.get(), 0, 0, POSIX_FADV_RANDOM);
  }

  std::string name() const override { return "ext4"; }
  std::string settings() const override { return "the kernel's cache, no limit; O_DIRECT"; }
  void read(unsigned thread, std::uint64_t page, std::uint64_t pages) override {
    all(::pread(buffered_.get(), memory_of(thread).data(), pages * kPage, at(page)), pages * kPage);
  }
  void write_direct(unsigned thread, std::uint64_t page, std::uint64_t pages) override {
    all(::pwrite(direct_.get(), memory_of(thread).data(), pages * kPage, at(page)), pages * kPage);
  }
  void punch(std::uint64_t page, std::uint64_t pages) override {
    fine(::fallocate(buffered_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at(page),
                     at(pages)));
  }
  void truncate(std::uint64_t pages) override { fine(::ftruncate(buffered_.get(), at(pages))); }
  void forget(std::uint64_t page, std::uint64_t pages) override {
    fine(::posix_fadvise(buffered_.get(), at(page), at(pages), POSIX_FADV_DONTNEED));
  }

 private:
  static off_t at(std::uint64_t page) { return static_cast<off_t>(page * kPage); }
  static void fine(int result) {
    if (result != 0) throw std::runtime_error(std::strerror(errno));
  }
  static void all(ssize_t moved, std::uint64_t bytes) {
    if (moved != static_cast<ssize_t>(bytes)) {
      throw std::runtime_error(moved < 0 ? std::strerror(errno) : "short");
    }
  }

  const std::string path_;
  const Fd buffered_;
  const Fd direct_;
};

}  // namespace

std::vector<std::shared_ptr<Target>> make_targets(const TargetOptions& options) {
  std::vector<std::shared_ptr<Target>> targets;
  for (const Locking strategy :
       {Locking::kGate, Locking::kRange, Locking::kInvalidate, Locking::kInode}) {
    targets.push_back(std::make_shared<QuireTarget>(options, strategy));
  }
  if (!options.directory.empty()) targets.push_back(std::make_shared<KernelTarget>(options));
  return targets;
}

}  // namespace quire::bench
