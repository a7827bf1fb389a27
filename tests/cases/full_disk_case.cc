// A disk that fills up under the cache, and has room again later. The disk is a file with ext4 in
// it, mounted where only this process sees it: however the process ends, the mount ends with it,
// and the file has no name.
//
// Where space is reserved, it runs out at the write. Where it is not (reserve_space off, or a store that
// cannot), it shows at the sync, and at a write as soon as too much is dirty.
//
// The bound of the second: a write that finds the dirty limit full of what cannot be written ends after
// limits::kDirtyStallMax without progress. Before that, each retry of writeback may make some: it
// frees what still had room. So a write ends within kDirtyStallMax after the disk is full, and the
// time the disk takes for the dirty limit; kBound leaves ample room for a slow one.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cases/support.h"

namespace quire::cases {
namespace {

constexpr std::chrono::seconds kBound =
    std::chrono::seconds(30) +
    std::chrono::duration_cast<std::chrono::seconds>(limits::kDirtyStallMax);
constexpr std::size_t kPiece = 64 << 10;

int run(const std::string& command) {
  return std::system(command.c_str());
}

// A directory on an ext4 of its own.
class SmallDisk {
 public:
  // Empty, or why it could not be made.
  std::string mount(unsigned mebibytes) {
    if (::geteuid() != 0) return "mounting needs root";
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return "no mount namespace of our own can be made here";
    }
    const std::string image = place_ / "image";
    const std::string size = std::to_string(mebibytes) + "M";
    std::filesystem::create_directory(path());
    if (run("truncate -s " + size + " '" + image + "'") != 0 ||
        run("mkfs.ext4 -q -F -m 0 '" + image + "'") != 0) {
      return "mkfs.ext4 failed";
    }
    // The loop device goes with the mount.
    if (run("mount -o loop '" + image + "' '" + path() + "'") != 0) return "mount -o loop failed";
    ::unlink(image.c_str());
    mounted_ = true;
    return {};
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
  }
  std::string path() const { return place_ / "mounted"; }
  std::string operator/(const std::string& name) const { return path() + "/" + name; }
  void take_all_but(std::uint64_t left_bytes) const {
    const auto room = std::filesystem::space(path()).available;
    ASSERT_GT(room, left_bytes);
    const int fd = ::open((*this / "ballast").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(::posix_fallocate(fd, 0, static_cast<off_t>(room - left_bytes)), 0);
    ::close(fd);
  }
  void give_room() const { ::unlink((*this / "ballast").c_str()); }

 private:
  store::testing::TestDirectory place_;
  bool mounted_ = false;
};

std::vector<std::byte> host_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> chars((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<std::byte> bytes(chars.size());
  std::memcpy(bytes.data(), chars.data(), chars.size());
  return bytes;
}

std::uint64_t host_blocks_bytes(const std::string& path) {
  struct stat stat = {};
  EXPECT_EQ(::stat(path.c_str(), &stat), 0);
  return static_cast<std::uint64_t>(stat.st_blocks) * 512;
}

// Fails when: a write succeeds for which there is no space (a sync fails then); a chunk that does not fit ends
// the write; what was taken ahead is not given back.
TEST(FullDisk, ShowsAtTheWrite) {
  SmallDisk disk;
  const std::string trouble = disk.mount(96);
  if (!trouble.empty()) GTEST_SKIP() << trouble;
  disk.take_all_but(24 << 20);
  Log log;
  auto host = open_host_store(disk.path());
  ASSERT_TRUE(host.ok()) << host.error().message();
  ASSERT_TRUE((*host)->traits().reserves_space);
  CacheOptions options;
  options.memory_bytes = 64 << 20;
  options.dirty_max_bytes = 32 << 20;
  options.dirty_background_bytes = 32 << 20;  // all of it may be dirty when the disk is full
  options.log = log.function();
  auto cache = Cache::create(*host, options);
  ASSERT_TRUE(cache.ok()) << cache.error().message();

  constexpr unsigned kFiles = 3;
  std::vector<File> files;
  for (const char* name : {"a", "b", "c"}) {
    auto file = (*cache)->open(name, kRw);
    ASSERT_TRUE(file.ok());
    files.push_back(std::move(*file));
  }
  std::vector<std::vector<std::byte>> written(kFiles);
  std::error_code refused;
  for (unsigned i = 0; !refused; ++i) {
    ASSERT_LT(i, 100'000u) << "the disk never filled up";
    const auto data = pattern(i % 3 == 0 ? 4096 : 5000 + i % 7000, i);
    const unsigned f = i % kFiles;
    const auto moved = files[f].write(data, written[f].size());
    const std::size_t n = moved.ok() ? *moved : 0;
    written[f].insert(written[f].end(), data.begin(),
                      data.begin() + static_cast<std::ptrdiff_t>(n));
    if (!moved.ok()) refused = moved.code();
  }
  EXPECT_EQ(refused, code_of(std::errc::no_space_on_device));
  EXPECT_GT((*cache)->stats().dirty_pages, 0u) << "a disk full of what is not written yet";
  std::size_t total = 0;
  for (const auto& bytes : written) total += bytes.size();
  std::printf("refused after %zu bytes, %llu pages of them dirty\n", total,
              static_cast<unsigned long long>((*cache)->stats().dirty_pages));
  EXPECT_GT(total, std::size_t{20} << 20);

  // All that was acknowledged has its place.
  const Status synced = (*cache)->sync();
  EXPECT_TRUE(synced.ok()) << synced.error().message();
  for (unsigned f = 0; f < kFiles; ++f) EXPECT_TRUE(files[f].close().ok());
  EXPECT_EQ((*cache)->stats().writeback_errors, 0u);
  EXPECT_EQ((*cache)->stats().reserved_pages, 0u);
  const char* const names[] = {"a", "b", "c"};
  for (unsigned f = 0; f < kFiles; ++f) {
    EXPECT_TRUE(host_bytes(disk / names[f]) == written[f]) << "file " << f;
    // With the blocks that say where its blocks are.
    EXPECT_LT(host_blocks_bytes(disk / names[f]), written[f].size() + (64 << 10)) << "file " << f;
  }
  // What a file is truncated by is free for others.
  auto file = (*cache)->open("a", kRw);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->truncate(0).ok());
  EXPECT_TRUE(file->write(pattern(1 << 20, 1), 0).ok());
  EXPECT_TRUE(file->sync().ok());
  EXPECT_TRUE(file->close().ok());
  EXPECT_TRUE((*cache)->close().ok());
}

// Fails when: a page whose write failed becomes clean (bytes are missing at the end); a sync
// succeeds with such pages; the dirty limit waits for ever.
TEST(FullDisk, EndsInTimeAndLosesNothingWithoutReservations) {
  SmallDisk disk;
  const std::string trouble = disk.mount(96);
  if (!trouble.empty()) GTEST_SKIP() << trouble;
  disk.take_all_but(24 << 20);

  Log log;
  auto host = open_host_store(disk.path());
  ASSERT_TRUE(host.ok()) << host.error().message();
  CacheOptions options;
  options.memory_bytes = 16 << 20;
  options.reserve_space = false;
  options.log = log.function();
  auto cache = Cache::create(*host, options);
  ASSERT_TRUE(cache.ok()) << cache.error().message();
  const auto enospc = code_of(std::errc::no_space_on_device);

  // Two files in turn, a sync now and then, until a write is refused.
  std::vector<File> files;
  for (const char* name : {"a", "b"}) {
    auto file = (*cache)->open(name, kRw);
    ASSERT_TRUE(file.ok());
    files.push_back(std::move(*file));
  }
  std::vector<std::vector<std::byte>> written(2);
  std::size_t synced[2] = {0, 0};
  std::error_code refused;
  std::chrono::steady_clock::duration longest{};
  for (unsigned i = 0; !refused; ++i) {
    ASSERT_LT(i, 2000u) << "the disk never filled up";
    const auto data = pattern(kPiece + i % 3, i);
    const unsigned f = i % 2;
    const auto began = std::chrono::steady_clock::now();
    const auto moved = files[f].write(data, written[f].size());
    longest = std::max(longest, std::chrono::steady_clock::now() - began);
    // Of a write that fails after a part, the part is acknowledged.
    const std::size_t n = moved.ok() ? *moved : 0;
    written[f].insert(written[f].end(), data.begin(),
                      data.begin() + static_cast<std::ptrdiff_t>(n));
    if (!moved.ok()) refused = moved.code();
    if (i % 40 == 39 && files[f].sync().ok()) synced[f] = written[f].size();
  }
  EXPECT_EQ(refused, enospc);
  EXPECT_LT(longest, kBound);
  std::printf("refused after %zu + %zu bytes; the longest write took %.1f s\n", written[0].size(),
              written[1].size(), std::chrono::duration<double>(longest).count());
  EXPECT_GT(synced[0] + synced[1], std::size_t{8} << 20);

  // Full: every sync says so, everything can be read, what was synced is on the host.
  for (unsigned f = 0; f < 2; ++f) {
    std::vector<std::byte> back(written[f].size());
    ASSERT_EQ(*files[f].read(back, 0), back.size());
    EXPECT_TRUE(back == written[f]);
    const auto on_host = host_bytes(disk / (f == 0 ? "a" : "b"));
    ASSERT_GE(on_host.size(), synced[f]);
    EXPECT_TRUE(std::equal(on_host.begin(),
                           on_host.begin() + static_cast<std::ptrdiff_t>(synced[f]),
                           written[f].begin()));
  }
  for (int i = 0; i < 2; ++i) EXPECT_EQ((*cache)->sync().code(), enospc);
  const auto began = std::chrono::steady_clock::now();
  auto closed_early = files[1].close();
  EXPECT_TRUE(closed_early.ok() || closed_early.code() == enospc);
  EXPECT_LT(std::chrono::steady_clock::now() - began, kBound);
  EXPECT_GT(log.count(LogLevel::kWarning, "stay dirty"), 0u) << log.all();

  // Room again, without a word to the cache.
  disk.give_room();
  const Status synced_at_last = (*cache)->sync();
  EXPECT_TRUE(synced_at_last.ok()) << synced_at_last.error().message();
  for (unsigned f = 0; f < 2; ++f) {
    EXPECT_TRUE(host_bytes(disk / (f == 0 ? "a" : "b")) == written[f]) << "file " << f;
  }
  EXPECT_TRUE(files[0].write(pattern(kPiece, 1), 0).ok());
  EXPECT_TRUE(files[0].close().ok());
  EXPECT_TRUE((*cache)->close().ok());
}

}  // namespace
}  // namespace quire::cases
