// A program that is killed: what it was told is synced is on the host, byte by byte, and the tree
// can be opened again at once. A child writes, syncs, reports and goes on writing; it is killed at
// a report that differs from round to round, in the midst of the writes that follow.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cases/support.h"

namespace quire::cases {
namespace {

constexpr int kRounds = 20;
constexpr std::uint32_t kNever = 100'000;  // steps; the child is killed long before

// The three files of the child, all written again and again:
//   log        records of an odd size, appended; record n of step n
//   scattered  records of an odd size at places all over a sparse file, each written once
//   pages      whole pages, overwritten: a page never goes back behind the step that was synced
constexpr std::size_t kRecordBytes = 5003;
constexpr std::uint64_t kPlaces = 1u << 14;
constexpr std::uint64_t kPages = 64;

std::uint64_t place_of(std::uint32_t step) {
  return (step * 40'503u) % kPlaces * kRecordBytes;
}

// Written in steps of a few records; then one of the three kinds of sync.
void child_writes(const std::string& directory, int report) {
  auto host = open_host_store(directory);
  if (!host.ok()) ::_exit(2);
  auto cache = Cache::create(*host, {.memory_bytes = limits::kMemoryMinBytes,
                                     .dirty_background_bytes = 64 * kPage,
                                     .dirty_age = std::chrono::milliseconds(10)});
  if (!cache.ok()) ::_exit(3);
  auto log = (*cache)->open("log", kRw);
  auto scattered = (*cache)->open("scattered", kRw);
  auto pages = (*cache)->open("pages", kRw);
  if (!log.ok() || !scattered.ok() || !pages.ok()) ::_exit(4);
  for (std::uint32_t step = 0; step < kNever; ++step) {
    const auto record = pattern(kRecordBytes, step);
    const auto page = std::vector<std::uint32_t>(kPage / sizeof step, step);
    const bool written = log->append(record).ok() &&
                         scattered->write(record, place_of(step)).ok() &&
                         pages->write(std::as_bytes(std::span(page)), step % kPages * kPage).ok();
    if (!written) ::_exit(5);
    if (step % 16 != 15) continue;
    const bool synced = step % 48 == 15 ? (*cache)->sync().ok()
                                        : log->sync().ok() && scattered->datasync().ok() &&
                                              pages->sync_range(0, 0).ok();
    if (!synced) ::_exit(6);
    const std::uint32_t steps = step + 1;
    if (::write(report, &steps, sizeof steps) != sizeof steps) ::_exit(7);
  }
}

class Kill : public testing::Test {
 protected:
  // Kills the child at its `reports`-th report. Returns how many steps it had reported.
  std::uint32_t run_and_kill(int reports) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      child_writes(directory_.path(), ends[1]);
      ::_exit(8);
    }
    ::close(ends[1]);
    std::uint32_t steps = 0;
    for (int i = 0; i < reports; ++i) {
      if (::read(ends[0], &steps, sizeof steps) != sizeof steps) break;
    }
    EXPECT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself, " << WEXITSTATUS(status);
    // Reports that came before the kill count too.
    std::uint32_t later = 0;
    while (::read(ends[0], &later, sizeof later) == sizeof later) steps = later;
    ::close(ends[0]);
    return steps;
  }

  static bool holds(const std::vector<std::byte>& file, std::uint64_t offset,
                    std::span<const std::byte> bytes) {
    return offset + bytes.size() <= file.size() &&
           std::equal(bytes.begin(), bytes.end(),
                      file.begin() + static_cast<std::ptrdiff_t>(offset));
  }

  void expect_everything(std::uint32_t steps) {
    const auto log = directory_.contents("log");
    const auto scattered = directory_.contents("scattered");
    const auto pages = directory_.contents("pages");
    for (std::uint32_t step = 0; step < steps; ++step) {
      const auto record = pattern(kRecordBytes, step);
      ASSERT_TRUE(holds(log, std::uint64_t{step} * kRecordBytes, record)) << "log, step " << step;
      ASSERT_TRUE(holds(scattered, place_of(step), record)) << "scattered, step " << step;
    }
    for (std::uint32_t n = 0; n < kPages && n < steps; ++n) {
      const std::uint32_t newest = (steps - 1 - n) / kPages * kPages + n;
      std::vector<std::uint32_t> page(kPage / sizeof(std::uint32_t));
      ASSERT_GE(pages.size(), (n + 1) * kPage);
      std::memcpy(page.data(), pages.data() + n * kPage, kPage);
      ASSERT_GE(page[0], newest) << "page " << n;
      ASSERT_EQ(page[0] % kPages, n);
      ASSERT_EQ(page, std::vector(page.size(), page[0])) << "page " << n << " is torn";
    }
  }

  void expect_usable(std::uint32_t steps) {
    auto host = open_host_store(directory_.path());
    ASSERT_TRUE(host.ok()) << host.error().message();
    auto cache = Cache::create(*host, {.memory_bytes = limits::kMemoryMinBytes});
    ASSERT_TRUE(cache.ok());
    auto log = (*cache)->open("log", kRw);
    ASSERT_TRUE(log.ok());
    std::vector<std::byte> last(kRecordBytes);
    ASSERT_EQ(*log->read(last, std::uint64_t{steps - 1} * kRecordBytes), kRecordBytes);
    EXPECT_EQ(last, pattern(kRecordBytes, steps - 1));
    ASSERT_TRUE(log->truncate(0).ok());
    ASSERT_TRUE(log->close().ok());
    ASSERT_TRUE((*cache)->close().ok());
  }

  store::testing::TestDirectory directory_;
};

// Fails when sync() returns before the pages are on the host.
TEST_F(Kill, WhatWasSyncedIsThereAndTheTreeIsFree) {
  std::uint32_t fewest = kNever;
  std::uint32_t most = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (const char* name : {"log", "scattered", "pages"}) {
      ::unlink((directory_ / name).c_str());
    }
    const std::uint32_t steps = run_and_kill(1 + round);
    ASSERT_GT(steps, 0u);
    expect_everything(steps);
    expect_usable(steps);
    if (HasFatalFailure()) FAIL() << "round " << round << ", " << steps << " steps synced";
    fewest = std::min(fewest, steps);
    most = std::max(most, steps);
  }
  std::printf("%d rounds, killed after %u to %u synced steps\n", kRounds, fewest, most);
}

}  // namespace
}  // namespace quire::cases
