// Time stamps are the cache's: they change when a program writes, not when its bytes reach the host
// later; and the host shows in the end what stat() showed.
#include <unistd.h>

#include <chrono>
#include <ostream>

#include "cases/support.h"

namespace quire {

// For failures.
static void PrintTo(const TimeSpec& time, std::ostream* out) {
  *out << time.seconds << "s " << time.nanoseconds << "ns";
}

}  // namespace quire

namespace quire::cases {
namespace {

using std::chrono::milliseconds;

class Stamps : public CaseTest {
 protected:
  // Dirty data is written late enough to be stamped by another tick of the host's clock.
  void SetUp() override {
    CacheOptions options;
    options.dirty_age = milliseconds(50);
    make(options);
  }
  // Until late writeback has written everything and the host's stamp is `mtime`.
  void expect_written_with(const TimeSpec& mtime, const std::string& name = "f") {
    EXPECT_TRUE(eventually([&] { return cache_->stats().dirty_pages == 0; }));
    EXPECT_TRUE(eventually([&] { return host_stamps(directory_ / name).mtime == mtime; }))
        << "host " << testing::PrintToString(host_stamps(directory_ / name).mtime) << ", cache "
        << testing::PrintToString(mtime);
  }
  // So that a stamp of now differs from any before.
  static void let_the_clock_tick() {
    const auto begin = std::chrono::steady_clock::now();
    (void)eventually([&] { return std::chrono::steady_clock::now() - begin > milliseconds(20); });
  }

  const std::vector<std::byte> data_ = pattern(10 * kPage + 77, 1);
};

// Fails when writeback does not push the cache's stamp.
TEST_F(Stamps, LateWritebackLeavesTheTimeOfTheWrite) {
  File file = open("f");
  ASSERT_EQ(*file.write(data_, 0), data_.size());
  const TimeSpec written = file.stat()->mtime;
  expect_written_with(written);
  EXPECT_EQ(file.stat()->mtime, written);
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(host_stamps(directory_ / "f").mtime, written);
  ASSERT_TRUE(file.close().ok());
  EXPECT_EQ(host_stamps(directory_ / "f").mtime, written);
  EXPECT_EQ(open("f").stat()->mtime, written);
}

TEST_F(Stamps, CloseAndReopenShowTheSame) {
  TimeSpec written;
  {
    File file = open("f");
    ASSERT_EQ(*file.write(data_, 0), data_.size());
    written = file.stat()->mtime;
    let_the_clock_tick();
  }
  EXPECT_EQ(host_stamps(directory_ / "f").mtime, written);
  EXPECT_EQ(open("f").stat()->mtime, written);
  close_cache();
  make();
  EXPECT_EQ(open("f").stat()->mtime, written) << "in another cache";
}

// Fails when the stamp of a write's own writeback overtakes set_times.
TEST_F(Stamps, TimesThatWereSetSurviveTheWritebackOfEarlierWrites) {
  const TimeSpec atime{1'000'000'000, 123'456'789};
  const TimeSpec mtime{1'100'000'000, 987'654'321};
  File file = open("f");
  ASSERT_EQ(*file.write(data_, 0), data_.size());
  ASSERT_TRUE(file.set_times(&atime, &mtime).ok());
  EXPECT_EQ(file.stat()->mtime, mtime);
  EXPECT_EQ(file.stat()->atime, atime);
  expect_written_with(mtime);
  ASSERT_TRUE(file.sync().ok());
  EXPECT_EQ(file.stat()->mtime, mtime);
  EXPECT_EQ(file.stat()->atime, atime);
  EXPECT_EQ(host_stamps(directory_ / "f").atime, atime);
  ASSERT_TRUE(file.close().ok());
  EXPECT_EQ(host_stamps(directory_ / "f").mtime, mtime);
  EXPECT_EQ(host_stamps(directory_ / "f").atime, atime);
  EXPECT_EQ(open("f").stat()->mtime, mtime);
  EXPECT_EQ(open("f").stat()->atime, atime);
}

TEST_F(Stamps, AWriteAfterTimesWereSetIsNow) {
  const TimeSpec past{1'000'000'000, 0};
  File file = open("f");
  ASSERT_TRUE(file.set_times(&past, &past).ok());
  ASSERT_EQ(*file.write(data_, 0), data_.size());
  const TimeSpec written = file.stat()->mtime;
  EXPECT_GT(written, past);
  EXPECT_EQ(file.stat()->atime, past) << "a write is no access";
  expect_written_with(written);
}

TEST_F(Stamps, OneTimeCanBeSetWithoutTheOther) {
  const TimeSpec past{1'000'000'000, 0};
  File file = open("f");
  ASSERT_EQ(*file.write(data_, 0), data_.size());
  const TimeSpec written = file.stat()->mtime;
  ASSERT_TRUE(file.set_times(&past, nullptr).ok());
  EXPECT_EQ(file.stat()->mtime, written);
  EXPECT_EQ(file.stat()->atime, past);
  expect_written_with(written);
  EXPECT_EQ(host_stamps(directory_ / "f").atime, past);
}

TEST_F(Stamps, TruncateAndAppendStampToo) {
  File file = open("f");
  ASSERT_EQ(*file.write(data_, 0), data_.size());
  TimeSpec last = file.stat()->mtime;
  const auto stamped = [&](const char* what) {
    const TimeSpec now = file.stat()->mtime;
    EXPECT_GT(now, last) << what;
    EXPECT_EQ(file.stat()->ctime, now) << what;
    last = now;
    expect_written_with(now);
  };
  let_the_clock_tick();
  ASSERT_TRUE(file.truncate(kPage + 5).ok());
  stamped("truncate");
  let_the_clock_tick();
  ASSERT_TRUE(file.truncate(kPage * 5).ok());
  stamped("extend");
  let_the_clock_tick();
  ASSERT_TRUE(file.append(data_).ok());
  stamped("append");
  let_the_clock_tick();
  ASSERT_TRUE(file.write(std::span(data_).first(1), 0).ok());
  stamped("overwrite");
  let_the_clock_tick();
  std::vector<std::byte> buffer(100);
  ASSERT_TRUE(file.read(buffer, 0).ok());
  ASSERT_TRUE(file.sync().ok());
  ASSERT_TRUE(file.write({}, 0).ok());
  EXPECT_EQ(file.stat()->mtime, last) << "neither reads, nor syncs, nor nothing written";
}

// A sync that was left: the store wrote the bytes, and whoever comes next pushes the stamp.
TEST_F(Stamps, AWritebackThatNobodyWaitedForLeavesTheTimeOfTheWrite) {
  File file = open("f");
  ASSERT_EQ(*file.write(data_, 0), data_.size());
  const TimeSpec written = file.stat()->mtime;
  hold({StoreOp::kWrite});
  EXPECT_EQ(file.sync({.stop = {}, .deadline = std::chrono::steady_clock::now()}).code(),
            Errc::kTimedOut);
  let_the_clock_tick();
  store_->set_hook({});
  store_->release_held();
  ASSERT_TRUE(eventually([&] { return cache_->stats().dirty_pages == 0; }));
  ASSERT_TRUE(file.close().ok());
  EXPECT_EQ(host_stamps(directory_ / "f").mtime, written);
}

// By way of one name or the other.
TEST_F(Stamps, HardLinksShareTheirStamps) {
  File file = open("f");
  ASSERT_EQ(*file.write(data_, 0), data_.size());
  ASSERT_TRUE(file.sync().ok());
  ASSERT_EQ(::link((directory_ / "f").c_str(), (directory_ / "g").c_str()), 0);
  File other = open("g");
  let_the_clock_tick();
  ASSERT_EQ(*other.write(data_, 0), data_.size());
  EXPECT_EQ(file.stat()->mtime, other.stat()->mtime);
  EXPECT_EQ(file.stat()->links, 2u);
  expect_written_with(other.stat()->mtime);
}

}  // namespace
}  // namespace quire::cases
