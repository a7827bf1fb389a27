// What the cases share: a cache over a host directory behind a ScriptedStore, the library's log,
// and the host's view of a file, by plain system calls.
#ifndef QUIRE_TESTS_CASES_SUPPORT_H_
#define QUIRE_TESTS_CASES_SUPPORT_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cases/scripted_store.h"
#include "quire/cache.h"
#include "quire/error.h"
#include "quire/store_host.h"
#include "store/test_directory.h"
#include "store/test_io.h"

namespace quire::cases {

using store::testing::pattern;

constexpr auto kRw = OpenFlags::kReadWrite | OpenFlags::kCreate;
constexpr std::size_t kPage = limits::kPageBytes;

inline std::error_code code_of(std::errc e) {
  return std::make_error_code(e);
}
inline const std::error_code kEio = code_of(std::errc::io_error);

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// The library's messages, from any thread.
class Log {
 public:
  LogFunction function() {
    return [this](LogLevel level, std::string_view text) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(level, text);
    };
  }
  // Messages of `level` that contain `text`.
  std::size_t count(LogLevel level, std::string_view text = {}) const;
  std::string all() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<LogLevel, std::string>> lines_;
};

// Looks again and again until `reached` says true. For what another thread of the library or the
// kernel brings about and nobody can be asked to tell; false after two minutes.
bool eventually(const std::function<bool()>& reached);
// Gives up the processor for about a millisecond.
void pause();

struct HostStamps {
  TimeSpec atime, mtime;
  std::uint64_t size_bytes = 0;
};
HostStamps host_stamps(const std::string& path);
// Changes a file as another program would, with another mtime than it had.
void host_write(const std::string& path, std::uint64_t offset, std::span<const std::byte> bytes);
void host_truncate(const std::string& path, std::uint64_t size_bytes);

// Runs `body` in a child process, which ends with 0 if it returned true and had no failure.
bool passes_in_child(const std::function<bool()>& body);

class CaseTest : public testing::Test {
 protected:
  void TearDown() override { close_cache(); }

  // A store on the test's directory, and a cache over it; 8 MiB unless the options say more.
  void make(CacheOptions options = {});
  // Everything goes through again, and the cache closes without an error.
  void close_cache();
  File open(const std::string& path, OpenFlags flags = kRw);
  // The bytes, or fewer, or none and a failure.
  static std::vector<std::byte> read(File& file, std::uint64_t offset, std::size_t bytes);
  // Fails every request of this kind.
  void fail(StoreOp op, std::errc error = std::errc::io_error);
  // Keeps every request of these kinds.
  void hold(std::vector<StoreOp> ops);

  store::testing::TestDirectory directory_;
  Log log_;
  std::shared_ptr<ScriptedStore> store_;
  std::unique_ptr<Cache> cache_;
};

}  // namespace quire::cases

#endif  // QUIRE_TESTS_CASES_SUPPORT_H_
