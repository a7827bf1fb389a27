// What the rows work on: files on a real disk, memory of a known kind, page numbers drawn
// beforehand.
#ifndef QUIRE_BENCH_HOST_BENCH_DATA_H_
#define QUIRE_BENCH_HOST_BENCH_DATA_H_

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "quire/cache.h"

namespace quire::bench {

inline constexpr std::size_t kPage = 4096;
inline constexpr std::size_t kMiB = std::size_t{1} << 20;

// A file descriptor that is closed with its owner.
class Fd {
 public:
  // open(2); throws NotMeasured with the reason.
  Fd(const std::string& path, int flags, unsigned mode = 0);
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();
  int get() const { return fd_; }

 private:
  const int fd_;
};

// Makes or replaces the file, `bytes` long, by plain writes of `piece` bytes each, and syncs it.
// The kernel keeps it in its cache, in folios whose size follows the piece's.
void fill_file(const std::string& path, std::uint64_t bytes, std::size_t piece);
// Everything of the file leaves the kernel's cache.
void drop_from_kernel(const std::string& path);
// Everything of the file is in the kernel's cache.
void load_into_kernel(const std::string& path, std::uint64_t bytes);

// Anonymous memory, written once.
class Region {
 public:
  enum class Kind { kHugePages, kSmallPages };
  Region(std::size_t bytes, Kind kind);
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();
  std::byte* data() const { return data_; }

 private:
  void* mapping_;
  std::size_t mapping_bytes_;
  std::byte* data_;
};

// `count` numbers in [0, bound), from xorshift (Marsaglia 2003), the same for the same seed.
std::vector<std::uint32_t> draw(std::size_t count, std::uint64_t bound, std::uint64_t seed);

// The page after `page` in an order that repeats none before all of `pages`, a power of two, have been seen: a
// generator x -> a x + c with full period (Hull and Dobell 1962).
constexpr std::uint64_t page_after(std::uint64_t page, std::uint64_t pages) {
  return (page * 0x5851f42d4c957f2du + 0x14057b7ef767814fu) & (pages - 1);
}

// Throws std::runtime_error with the error's text.
template <class T>
T take(Result<T> result) {
  if (!result.ok()) {
    throw std::runtime_error(result.error().message());
  }
  return std::move(*result);
}
void take(Status status);

// A cache over the host store in `directory`, with one file of it open.
struct QuireFile {
  QuireFile(const std::string& directory, const std::string& name, const CacheOptions& options);
  // Reads the whole file once.
  void load(std::uint64_t bytes);

  std::unique_ptr<Cache> cache;
  File file;
};

// Runs `function(thread)` on `threads` threads that start together; nanoseconds from when the first
// of them begins until the last ends.
template <class Function>
double timed_on_threads(unsigned threads, Function function) {
  using Times = std::vector<std::chrono::steady_clock::time_point>;
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  Times begins(threads), ends(threads);
  {
    std::vector<std::jthread> running;
    for (unsigned t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        start.arrive_and_wait();
        begins[t] = std::chrono::steady_clock::now();
        function(t);
        ends[t] = std::chrono::steady_clock::now();
      });
    }
  }
  return std::chrono::duration<double, std::nano>(*std::max_element(ends.begin(), ends.end()) -
                                                  *std::min_element(begins.begin(), begins.end()))
      .count();
}

template <class Function>
double timed(Function function) {
  const auto begin = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace quire::bench

#endif  // QUIRE_BENCH_HOST_BENCH_DATA_H_
