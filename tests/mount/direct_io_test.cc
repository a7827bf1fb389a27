// O_DIRECT on a mounted file, beside programs that read, write and map the same file without it.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "mount/mount_test.h"
#include "sync/thread.h"

namespace quire::mount::testing {
namespace {

// One page of one byte, where O_DIRECT may find it.
struct alignas(kPage) Page {
  explicit Page(char with = '?') { bytes.fill(with); }
  std::string text() const { return {bytes.data(), bytes.size()}; }
  std::array<char, kPage> bytes;
};

class DirectIoTest : public MountTest {
 protected:
  store::Fd open(const std::string& name, int flags = O_RDWR | O_CREAT) {
    store::Fd fd(::open(mounted_.at(name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd.ok()) << name << ": " << std::strerror(errno);
    return fd;
  }
  static void write(const store::Fd& fd, const Page& page, off_t offset = 0) {
    EXPECT_EQ(::pwrite(fd.get(), page.bytes.data(), kPage, offset), static_cast<ssize_t>(kPage))
        << std::strerror(errno);
  }
  static std::string read(const store::Fd& fd, off_t offset = 0) {
    Page page;
    const ssize_t got = ::pread(fd.get(), page.bytes.data(), kPage, offset);
    EXPECT_GE(got, 0) << std::strerror(errno);
    return page.text().substr(0, got < 0 ? 0 : static_cast<std::size_t>(got));
  }
};

// Broken by: io_path() saying kCached: nothing is at the source then.
TEST_F(DirectIoTest, PassesTheCacheAndAgreesWithIt) {
  begin();
  const store::Fd cached = open("f");
  const store::Fd direct = open("f", O_RDWR | O_DIRECT);
  write(cached, Page('a'));
  EXPECT_EQ(contents(mounted_.in_source("f")), "") << "it is in the cache";
  EXPECT_EQ(read(direct), Page('a').text());
  EXPECT_EQ(contents(mounted_.in_source("f")), Page('a').text()) << "a direct read writes it back";
  write(direct, Page('b'), kPage);
  EXPECT_EQ(contents(mounted_.in_source("f")), Page('a').text() + Page('b').text());
  EXPECT_EQ(read(cached, kPage), Page('b').text());
  write(direct, Page('c'));
  EXPECT_EQ(read(cached), Page('c').text());
  EXPECT_EQ(contents(mounted_.at("f")), Page('c').text() + Page('b').text());
  // Some way past the end.
  write(direct, Page('d'), 3 * kPage);
  EXPECT_EQ(read(cached, 2 * kPage), std::string(kPage, '\0'));
}

// O_DIRECT comes and goes with the descriptor. Broken by: looking at the flags of the open alone.
TEST_F(DirectIoTest, ByFcntl) {
  begin();
  const store::Fd fd = open("f");
  write(fd, Page('a'));
  EXPECT_EQ(contents(mounted_.in_source("f")), "");
  ASSERT_EQ(::fcntl(fd.get(), F_SETFL, O_DIRECT), 0) << std::strerror(errno);
  write(fd, Page('b'));
  EXPECT_EQ(contents(mounted_.in_source("f")), Page('b').text());
  ASSERT_EQ(::fcntl(fd.get(), F_SETFL, 0), 0);
  write(fd, Page('c'));
  EXPECT_EQ(contents(mounted_.in_source("f")), Page('b').text());
  EXPECT_EQ(contents(mounted_.at("f")), Page('c').text());
}

// As the kernel's own file systems: EINVAL, and the daemon's log says which number would have been right, once.
// Broken by: any of the checks of misaligned(); note_refusal() that is not called, or says it each time.
TEST_F(DirectIoTest, WhatIsNotAlignedIsRefused) {
  const std::string log = mounted_.in_source("log");
  begin([&](Options& options) {
    options.log = [log](LogLevel, std::string_view text) {
      std::ofstream(log, std::ios::app) << text << "\n";
    };
  });
  const store::Fd direct = open("f", O_RDWR | O_CREAT | O_DIRECT);
  Page page('a');
  write(direct, page);
  const auto refused = [](ssize_t result) { return result == -1 && errno == EINVAL; };
  EXPECT_TRUE(refused(::pwrite(direct.get(), page.bytes.data(), kPage, 512)));
  EXPECT_TRUE(refused(::pwrite(direct.get(), page.bytes.data(), 100, 0)));
  EXPECT_TRUE(refused(::pread(direct.get(), page.bytes.data(), kPage, 512)));
  EXPECT_TRUE(refused(::pread(direct.get(), page.bytes.data(), 100, 0)));
  const std::string said = contents(log);
  const auto at = said.find("offset 512 is not a multiple of 4096");
  EXPECT_NE(at, std::string::npos) << said;
  EXPECT_EQ(said.find("not a multiple", at + 30), std::string::npos) << said;
  // A file whose end is not: it can be read up to there, and not appended to.
  ASSERT_EQ(::ftruncate(direct.get(), 1000), 0);
  EXPECT_EQ(read(direct), std::string(1000, 'a'));
  EXPECT_EQ(read(direct, kPage), "");
  const store::Fd append = open("f", O_WRONLY | O_APPEND | O_DIRECT);
  EXPECT_TRUE(refused(::write(append.get(), page.bytes.data(), kPage)));
  ASSERT_EQ(::ftruncate(direct.get(), kPage), 0);
  EXPECT_EQ(::write(append.get(), page.bytes.data(), kPage), static_cast<ssize_t>(kPage));
}

TEST_F(DirectIoTest, ASharedMappingSeesIt) {
  write_file(mounted_.in_source("f"), Page('a').text());
  begin();
  const store::Fd direct = open("f", O_RDWR | O_DIRECT);
  void* const memory = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, direct.get(), 0);
  ASSERT_NE(memory, MAP_FAILED) << std::strerror(errno);
  volatile char* const mapped = static_cast<volatile char*>(memory);
  EXPECT_EQ(mapped[0], 'a');
  write(direct, Page('b'));
  EXPECT_EQ(mapped[100], 'b') << "a load after a direct write";
  mapped[100] = 'c';
  EXPECT_EQ(read(direct)[100], 'c') << "a direct read after a store";
  ::munmap(memory, kPage);
}

// Each page has one writer, who stores one number after the other into all of it, directly or not. Readers of
// either kind find whole pages, and never an older number than before.
TEST_F(DirectIoTest, BesideBufferedReadersAndWriters) {
  constexpr int kWriters = 4;
  constexpr char kRounds = 60;
  begin();
  const store::Fd cached = open("f");
  const store::Fd direct = open("f", O_RDWR | O_DIRECT);
  for (int i = 0; i < kWriters; ++i) write(cached, Page(0), static_cast<off_t>(i * kPage));
  std::atomic<int> writing{kWriters};
  std::vector<sync::Thread> threads;
  const auto start = [&](std::function<void()> body) {
    threads.push_back(std::move(sync::Thread::start("test-direct", std::move(body)).value()));
  };
  for (int writer = 0; writer < kWriters; ++writer) {
    start([&, writer] {
      for (char round = 1; round <= kRounds; ++round) {
        const bool by_cache = (round + writer) % 3 == 0;
        write(by_cache ? cached : direct, Page(round), static_cast<off_t>(writer * kPage));
      }
      writing.fetch_sub(1);
    });
  }
  for (const store::Fd* reader : {&cached, &direct}) {
    start([&, reader] {
      std::array<char, kWriters> last{};
      bool more = true;
      while (more) {
        more = writing.load() > 0;
        for (std::size_t i = 0; i < kWriters; ++i) {
          const std::string text = read(*reader, static_cast<off_t>(i * kPage));
          ASSERT_EQ(text.find_first_not_of(text[0]), std::string::npos) << "torn";
          ASSERT_GE(text[0], last[i]) << "an older write again";
          last[i] = text[0];
        }
      }
      for (const char number : last) EXPECT_EQ(number, kRounds);
    });
  }
  for (sync::Thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace quire::mount::testing
