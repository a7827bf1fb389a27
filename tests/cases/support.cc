#include "cases/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include "sync/clock.h"
#include "sync/parker.h"

namespace quire::cases {
namespace {

constexpr std::chrono::minutes kPatience{2};

// Kernels stamp with a tick of some milliseconds: a change right after another one need not show.
void stamp_differently(int fd, const timespec& before) {
  std::array<timespec, 2> times = {};
  times[0].tv_nsec = UTIME_OMIT;
  times[1] = before;
  times[1].tv_sec += 10;
  ASSERT_EQ(::futimens(fd, times.data()), 0);
}

template <class Change>
void change(const std::string& path, Change apply) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0) << path;
  struct stat before = {};
  ASSERT_EQ(::fstat(fd, &before), 0);
  apply(fd);
  stamp_differently(fd, before.st_mtim);
  ASSERT_EQ(::close(fd), 0);
}

TimeSpec time_of(const timespec& t) {
  return {t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)};
}

}  // namespace

std::size_t Log::count(LogLevel level, std::string_view text) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::count_if(lines_.begin(), lines_.end(), [&](const auto& line) {
        return line.first == level && line.second.find(text) != std::string::npos;
      }));
}

std::string Log::all() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [level, line] : lines_) text += line + "\n";
  return text;
}

void pause() {
  sync::Parker parker;
  (void)parker.park_until({sync::deadline_after(std::chrono::milliseconds(1)), {}});
}

bool eventually(const std::function<bool()>& reached) {
  const sync::Clock::time_point end = sync::deadline_after(kPatience);
  while (!reached()) {
    if (sync::Clock::now() > end) return false;
    pause();
  }
  return true;
}

HostStamps host_stamps(const std::string& path) {
  struct stat stat = {};
  EXPECT_EQ(::stat(path.c_str(), &stat), 0) << path;
  return {time_of(stat.st_atim), time_of(stat.st_mtim), static_cast<std::uint64_t>(stat.st_size)};
}

void host_write(const std::string& path, std::uint64_t offset, std::span<const std::byte> bytes) {
  change(path, [&](int fd) {
    ASSERT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
  });
}

void host_truncate(const std::string& path, std::uint64_t size_bytes) {
  change(path, [&](int fd) { ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(size_bytes)), 0); });
}

bool passes_in_child(const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    const bool passed = body() && !testing::Test::HasFailure();
    (void)std::fflush(stdout);
    ::_exit(passed ? 0 : 1);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void CaseTest::make(CacheOptions options) {
  auto host = open_host_store(directory_.path());
  ASSERT_TRUE(host.ok()) << host.error().message();
  store_ = std::make_shared<ScriptedStore>(std::move(*host));
  if (options.memory_bytes == limits::kMemoryDefaultBytes) options.memory_bytes = 8 << 20;
  options.log = log_.function();
  auto cache = Cache::create(store_, options);
  ASSERT_TRUE(cache.ok()) << cache.error().message();
  cache_ = std::move(*cache);
}

void CaseTest::close_cache() {
  if (cache_ != nullptr) {
    store_->set_hook({});
    store_->set_stamp_hook({});
    store_->release_held();
    const Status closed = cache_->close();
    EXPECT_TRUE(closed.ok()) << closed.error().message();
  }
  cache_.reset();
  store_.reset();
}

File CaseTest::open(const std::string& path, OpenFlags flags) {
  auto file = cache_->open(path, flags);
  EXPECT_TRUE(file.ok()) << file.error().message();
  return file.ok() ? std::move(*file) : File();
}

std::vector<std::byte> CaseTest::read(File& file, std::uint64_t offset, std::size_t bytes) {
  std::vector<std::byte> buffer(bytes);
  const auto got = file.read(buffer, offset);
  EXPECT_TRUE(got.ok()) << got.error().message();
  buffer.resize(got.ok() ? *got : 0);
  return buffer;
}

void CaseTest::fail(StoreOp op, std::errc error) {
  store_->set_hook([op, error](const StoreRequest& request) {
    StoreVerdict verdict;
    if (request.op == op) verdict.error = code_of(error);
    return verdict;
  });
}

void CaseTest::hold(std::vector<StoreOp> ops) {
  store_->set_hook([ops = std::move(ops)](const StoreRequest& request) {
    StoreVerdict verdict;
    verdict.hold = std::find(ops.begin(), ops.end(), request.op) != ops.end();
    return verdict;
  });
}

}  // namespace quire::cases
