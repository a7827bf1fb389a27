// Files of the host that another program changes while Quire has them cached: closed, open, dirty.
// Noticed at the next open, best effort. And the reverse: Quire's own changes are never taken for
// somebody else's.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "cases/support.h"

namespace quire::cases {
namespace {

class ChangedBehind : public CaseTest {
 protected:
  void SetUp() override { make(); }
  std::size_t noticed() { return log_.count(LogLevel::kInfo, "changed by another program"); }
  std::size_t stale() { return log_.count(LogLevel::kError, "changed by another program"); }

  const std::vector<std::byte> old_ = pattern(20 * kPage, 1);
  const std::vector<std::byte> new_ = pattern(20 * kPage, 2);
};

// Fails when an idle file's pages are used without a look at the host.
TEST_F(ChangedBehind, AClosedFileIsReadAnew) {
  {
    File file = open("f");
    ASSERT_EQ(*file.write(old_, 0), old_.size());
  }
  host_write(directory_ / "f", 0, new_);
  EXPECT_EQ(
      [&] {
        File file = open("f");
        return read(file, 0, old_.size());
      }(),
      new_);

  host_truncate(directory_ / "f", 3 * kPage + 5);
  File file = open("f");
  EXPECT_EQ(file.stat()->size_bytes, 3 * kPage + 5);
  const auto left = read(file, 0, old_.size());
  EXPECT_TRUE(std::ranges::equal(left, std::span(new_).first(3 * kPage + 5)));
  EXPECT_EQ(stale(), 0u);
}

TEST_F(ChangedBehind, AnOpenCleanFileIsReadAnewAfterTheNextOpen) {
  File file = open("f");
  ASSERT_EQ(*file.write(old_, 0), old_.size());
  ASSERT_TRUE(file.sync().ok());
  host_write(directory_ / "f", 0, new_);
  File second = open("f");
  EXPECT_EQ(noticed(), 1u) << log_.all();
  EXPECT_EQ(read(second, 0, old_.size()), new_);
  EXPECT_EQ(read(file, 0, old_.size()), new_) << "for all who have it open";
  EXPECT_TRUE(file.sync().ok()) << "nothing of ours was in the way";

  host_truncate(directory_ / "f", kPage / 2);
  File third = open("f");
  EXPECT_EQ(file.stat()->size_bytes, kPage / 2);
  EXPECT_EQ(read(file, 0, old_.size()).size(), kPage / 2);
  EXPECT_EQ(directory_.contents("f").size(), kPage / 2) << "not grown again";
}

// Before anybody opens it: what the cache does not have is not there, and nobody is hurt.
TEST_F(ChangedBehind, AFileTruncatedUnderAReaderReadsAsZerosWhereItIsNotCached) {
  directory_.put("f", std::string(20 * kPage, 'x'));
  File file = open("f");
  ASSERT_TRUE(file.advise(0, 0, Advice::kRandom).ok());
  EXPECT_EQ(read(file, 0, kPage), std::vector(kPage, std::byte{'x'}));
  host_truncate(directory_ / "f", 0);
  EXPECT_EQ(read(file, 0, kPage), std::vector(kPage, std::byte{'x'}));
  EXPECT_EQ(read(file, 10 * kPage, 10 * kPage), std::vector(10 * kPage, std::byte{0}));
}

// Fails when the sync says nothing, says it twice, or the host's bytes replace the dirty ones.
TEST_F(ChangedBehind, ADirtyFileKeepsItsPagesAndSaysSoOnce) {
  File file = open("f");
  ASSERT_EQ(*file.write(old_, 0), old_.size());
  ASSERT_TRUE(file.sync().ok());
  const auto ours = pattern(2 * kPage, 3);
  ASSERT_EQ(*file.write(ours, 5 * kPage), ours.size());
  host_write(directory_ / "f", 0, new_);

  File second = open("f");
  EXPECT_EQ(stale(), 1u) << log_.all();
  EXPECT_EQ(read(second, 5 * kPage, ours.size()), ours);
  EXPECT_EQ(file.sync().code(), std::error_code(ESTALE, std::generic_category()));
  EXPECT_TRUE(file.sync().ok()) << "once";
  EXPECT_TRUE(second.sync().ok());
  const auto host = directory_.contents("f");
  EXPECT_TRUE(std::ranges::equal(std::span(host).subspan(5 * kPage, ours.size()), ours));
  EXPECT_EQ(stale(), 1u) << log_.all();
}

TEST_F(ChangedBehind, OursThatIsDirtyOutlivesATruncateOfTheHost) {
  File file = open("f");
  ASSERT_EQ(*file.write(old_, 0), old_.size());
  host_truncate(directory_ / "f", 0);
  File second = open("f");
  EXPECT_EQ(file.sync().code(), std::error_code(ESTALE, std::generic_category()));
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(directory_.contents("f"), old_);
}

TEST_F(ChangedBehind, AFileThatWasReplacedIsAnotherFile) {
  File file = open("f");
  ASSERT_EQ(*file.write(old_, 0), old_.size());
  ASSERT_TRUE(file.sync().ok());
  directory_.put("g", "the new one");
  std::filesystem::rename(directory_ / "g", directory_ / "f");
  File second = open("f");
  EXPECT_TRUE(std::ranges::equal(read(second, 0, 100), bytes_of("the new one")));
  EXPECT_EQ(read(file, 0, old_.size()), old_) << "as with any file that is open";
  EXPECT_NE(file.stat()->id, second.stat()->id);
}

TEST_F(ChangedBehind, AnUnlinkedFileWorksUntilItIsClosed) {
  File file = open("f");
  ASSERT_EQ(*file.write(old_, 0), old_.size());
  ASSERT_EQ(::unlink((directory_ / "f").c_str()), 0);
  EXPECT_TRUE(file.sync().ok());
  ASSERT_TRUE(file.advise(0, 0, Advice::kDontNeed).ok());
  EXPECT_EQ(read(file, 0, old_.size()), old_);
  EXPECT_TRUE(file.close().ok());
  EXPECT_EQ(cache_->open("f", OpenFlags::kRead).code(),
            code_of(std::errc::no_such_file_or_directory));
}

// ext4 gives the number of a deleted file to the next one, when it likes; here it always does. The cached
// pages of the one are not the other's.
TEST_F(ChangedBehind, ANumberUsedAgainIsAnotherFile) {
  ObjectId id;
  {
    File file = open("f");
    ASSERT_EQ(*file.write(old_, 0), old_.size());
    id = file.stat()->id;
  }
  ASSERT_EQ(::unlink((directory_ / "f").c_str()), 0);
  directory_.put("g", std::string(old_.size(), 'g'));
  store_->set_id("g", id);
  File file = open("g");
  EXPECT_EQ(file.stat()->id, id);
  EXPECT_EQ(read(file, 0, old_.size()), std::vector(old_.size(), std::byte{'g'}));
}

// The host has the bytes and not yet the stamp: our own writeback, not somebody else.
TEST_F(ChangedBehind, OpeningAFileInTheMidstOfItsWritebackIsNoChange) {
  File file = open("f");
  ASSERT_EQ(*file.write(old_, 0), old_.size());
  std::atomic<bool> stamping{false};
  std::atomic<bool> go_on{false};
  store_->set_stamp_hook([&] {
    stamping = true;
    while (!go_on) pause();
  });
  std::jthread syncer([&] { EXPECT_TRUE(file.sync().ok()); });
  ASSERT_TRUE(eventually([&] { return stamping.load(); }));
  {
    File second = open("f");
    EXPECT_EQ(read(second, 0, old_.size()), old_);
    EXPECT_EQ(cache_->stats().misses, 0u) << "its pages were dropped";
  }
  go_on = true;
  syncer.join();
  EXPECT_EQ(noticed() + stale(), 0u) << log_.all();
  EXPECT_TRUE(file.sync().ok());
}

// A request that its caller left, and that the store finished later, is ours too.
TEST_F(ChangedBehind, OpeningAFileAfterALeftSyncOrTruncateIsNoChange) {
  const auto soon = [] {
    return CallOptions{.stop = {}, .deadline = std::chrono::steady_clock::now()};
  };
  File file = open("f");
  ASSERT_EQ(*file.write(old_, 0), old_.size());
  hold({StoreOp::kWrite});
  EXPECT_EQ(file.sync(soon()).code(), Errc::kTimedOut);
  store_->set_hook({});
  store_->release_held();
  ASSERT_TRUE(eventually([&] { return directory_.contents("f") == old_; }));
  File second = open("f");

  hold({StoreOp::kTruncate});
  EXPECT_EQ(file.truncate(7 * kPage, soon()).code(), Errc::kTimedOut);
  store_->set_hook({});
  store_->release_held();
  ASSERT_TRUE(eventually([&] { return file.stat()->size_bytes == 7 * kPage; }));
  File third = open("f");
  EXPECT_EQ(noticed() + stale(), 0u) << log_.all();
  EXPECT_TRUE(file.sync().ok());
}

TEST_F(ChangedBehind, OpeningAFileThatOthersWriteIsNoChange) {
  std::atomic<bool> stop{false};
  std::vector<std::jthread> writers;
  for (unsigned i = 0; i < 3; ++i) {
    writers.emplace_back([&, i] {
      const auto data = pattern(kPage, i);
      while (!stop) {
        File file = open("f");
        for (std::uint64_t page = i; page < 60; page += 3) {
          EXPECT_EQ(*file.write(data, page * kPage), kPage);
        }
        EXPECT_TRUE(i == 0 ? file.datasync().ok() : file.sync_range(0, 0).ok());
        if (i == 2) {
          const TimeSpec time = file.stat()->mtime;
          EXPECT_TRUE(file.set_times(&time, &time).ok());
        }
      }
    });
  }
  for (int i = 0; i < 300; ++i) {
    File file = open("f");
    EXPECT_TRUE(file.close().ok());
  }
  stop = true;
  writers.clear();
  EXPECT_EQ(noticed() + stale(), 0u) << log_.all();
}

}  // namespace
}  // namespace quire::cases
