// Attributes that Quire changes itself on the host: no change behind the cache's back. Each test names
// the change to the code that makes it fail.
#include "file/attribute_change.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "file/test_cache.h"

namespace quire::file {
namespace {

class AttributeChangeTest : public CacheOverFront {
 protected:
  // What an object is, and what it has now.
  std::pair<ObjectId, ObjectStat> look(const std::string& path) {
    const auto opened = memory_->open(path, OpenFlags::kRead, 0).value();
    EXPECT_TRUE(memory_->close(opened.handle).ok());
    return {opened.id, opened.stat};
  }
  // As chmod does to an object: a later ctime, and nothing else. Returns what the object has then.
  ObjectStat chmod(const std::string& path) {
    const auto opened = memory_->open(path, OpenFlags::kReadWrite, 0).value();
    const ObjectStat before = opened.stat;
    ObjectStat now = before;
    until([&] {
      EXPECT_TRUE(memory_->set_times(opened.handle, nullptr, before.mtime).ok());
      now = memory_->stat(opened.handle).value();
      return now.ctime > before.ctime;
    });
    EXPECT_TRUE(memory_->close(opened.handle).ok());
    return now;
  }
  std::uint64_t read_requests() { return impl_->stats().read_requests; }
  // Opens, reads a page, closes.
  void read(const std::string& path, char expected) {
    auto file = impl_->open(path, OpenFlags::kRead, 0).value();
    std::vector<std::byte> got(kPage);
    EXPECT_EQ(file->read(got, 0, {}).value(), kPage);
    EXPECT_EQ(got, filled(kPage, expected));
    EXPECT_TRUE(file->close().ok());
  }
};

// Fails, by an ESTALE, if what the host has after the change is not taken as seen.
TEST_F(AttributeChangeTest, OfAnOpenDirtyFileIsNoChangeBehind) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  ASSERT_FALSE(write_back(*inode, {}));
  write(*inode, 0, kPage, 'b');
  ASSERT_TRUE(inode->push_times().ok());
  const Stamps before = inode->stamps();
  // Not closed before the end: that would write the file back, and look at it.
  ObjectStat now;
  {
    AttributeChange change(impl_->inodes(), inode->id());
    now = chmod("f");
    (void)open("f");
    change.done(now);
  }
  EXPECT_EQ(inode->stamps().ctime, now.ctime);
  EXPECT_EQ(inode->stamps().mtime, before.mtime);
  (void)open("f");
  EXPECT_EQ(inode->dirty().size(), 1u);
  EXPECT_FALSE(sync(inode));
  EXPECT_TRUE(durable("f", 'b'));
  for (int opener = 0; opener < 3; ++opener) EXPECT_FALSE(close(inode));
}

// Fails if it counts for files only that are open, or not while it is under way.
TEST_F(AttributeChangeTest, OfAClosedFileKeepsItsPages) {
  write_and_close("f", 'a');
  const ObjectId id = look("f").first;
  const std::uint64_t requests = read_requests();
  ObjectStat now;
  {
    AttributeChange change(impl_->inodes(), id);
    now = chmod("f");
    read("f", 'a');
    change.done(now);
  }
  const auto known = impl_->known(id, &now);
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->size_bytes, kPage);
  EXPECT_EQ(known->stamps.ctime, now.ctime);
  read("f", 'a');
  EXPECT_EQ(read_requests(), requests);
}

// Two on one file end in the other order than they looked. Fails if the last to end is believed, or if
// the first to end ends both.
TEST_F(AttributeChangeTest, MayOverlap) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  ASSERT_TRUE(inode->push_times().ok());
  for (const bool looks_last : {false, true}) {
    AttributeChange first(impl_->inodes(), inode->id());
    AttributeChange second(impl_->inodes(), inode->id());
    ObjectStat seen_by_first = chmod("f");
    const ObjectStat later = chmod("f");
    second.done(later);
    if (looks_last) seen_by_first = chmod("f");
    (void)open("f");
    first.done(seen_by_first);
    EXPECT_EQ(inode->stamps().ctime, looks_last ? seen_by_first.ctime : later.ctime);
    (void)open("f");
  }
  EXPECT_FALSE(sync(inode));
  for (int opener = 0; opener < 5; ++opener) EXPECT_FALSE(close(inode));
}

// Fails if done() sets back what a later look has seen: here the one after writing.
TEST_F(AttributeChangeTest, MayOverlapWithWriteback) {
  auto inode = open("f");
  {
    AttributeChange change(impl_->inodes(), inode->id());
    const ObjectStat now = chmod("f");
    write(*inode, 0, kPage, 'a');
    (void)chmod("f");
    ASSERT_FALSE(write_back(*inode, {}));
    change.done(now);
  }
  write(*inode, 0, kPage, 'b');
  (void)open("f");
  EXPECT_FALSE(sync(inode));
  for (int opener = 0; opener < 2; ++opener) EXPECT_FALSE(close(inode));
}

// Fails if the file's handles are not used, or what they tell is not taken as seen.
TEST_F(AttributeChangeTest, WithoutDoneLooksItself) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  ASSERT_TRUE(inode->push_times().ok());
  ObjectStat now;
  {
    const AttributeChange change(impl_->inodes(), inode->id());
    now = chmod("f");
  }
  EXPECT_EQ(inode->stamps().ctime, now.ctime);
  EXPECT_FALSE(close(open("f")));
  EXPECT_FALSE(sync(inode));
  EXPECT_FALSE(close(inode));
}

// The first open of a file, with a stat from before the change, is entered in the middle of it. Fails if
// changes count only for files that were known when they began.
TEST_F(AttributeChangeTest, OfAFileThatIsOpenedMeanwhile) {
  memory_->poke("f", filled(kPage, 'a'));
  const ObjectId id = look("f").first;
  AttributeChange change(impl_->inodes(), id);
  auto inode = open("f");
  write(*inode, 0, kPage, 'b');
  ASSERT_TRUE(inode->push_times().ok());
  const ObjectStat now = chmod("f");
  EXPECT_FALSE(close(open("f")));
  change.done(now);
  EXPECT_FALSE(close(open("f")));
  EXPECT_FALSE(sync(inode));
  EXPECT_FALSE(close(inode));
}

// The open of an idle file looked at it before a change that has ended. Fails if the end of a change
// does not make opens look again.
TEST_F(AttributeChangeTest, BetweenTheLookOfAnOpenAndItsEntry) {
  write_and_close("f", 'a');
  const ObjectId id = look("f").first;
  const std::uint64_t requests = read_requests();
  store_->after_open = [&] {
    store_->after_open = nullptr;
    AttributeChange change(impl_->inodes(), id);
    change.done(chmod("f"));
  };
  read("f", 'a');
  EXPECT_EQ(read_requests(), requests);
}

// What another program wrote in the meantime is not covered. Fails if all that the host has is taken as
// seen.
TEST_F(AttributeChangeTest, DoesNotHideAChangeOfBytes) {
  write_and_close("f", 'a');
  const ObjectId id = look("f").first;
  {
    AttributeChange change(impl_->inodes(), id);
    memory_->poke("f", filled(2 * kPage, 'b'));
    change.done(chmod("f"));
  }
  read("f", 'b');
}

// The stamps of a file that is not open are set on the host. Fails if only its ctime is taken.
TEST_F(AttributeChangeTest, OfTimesIsShown) {
  write_and_close("f", 'a');
  const auto opened = memory_->open("f", OpenFlags::kReadWrite, 0).value();
  const std::uint64_t requests = read_requests();
  const TimeSpec mtime{1234, 5};
  {
    AttributeChange change(impl_->inodes(), opened.id);
    ASSERT_TRUE(memory_->set_times(opened.handle, nullptr, mtime).ok());
    change.done(memory_->stat(opened.handle).value(), Inode::Attribute::kTimes);
  }
  ASSERT_TRUE(memory_->close(opened.handle).ok());
  EXPECT_EQ(impl_->known(opened.id)->stamps.mtime, mtime);
  read("f", 'a');
  EXPECT_EQ(read_requests(), requests);
}

// Writeback gives the host a ctime of its own; the file shows the one of the write for as long as it is
// known. Fails if an open, or the end of a flush, takes the host's.
TEST_F(AttributeChangeTest, ACtimeShownStaysWhileTheFileIsKnown) {
  auto inode = open("f");
  write(*inode, 0, kPage, 'a');
  const Stamps shown = inode->stamps();
  const ObjectId id = inode->id();
  until([&] { return chmod("f").ctime > shown.ctime; });  // the host's will be of a later tick
  EXPECT_FALSE(close(inode));
  inode.reset();
  const ObjectStat host = look("f").second;
  ASSERT_GT(host.ctime, shown.ctime);
  ASSERT_TRUE(impl_->known(id, &host).has_value());
  EXPECT_EQ(impl_->known(id, &host)->stamps.ctime, shown.ctime);
  inode = open("f");
  EXPECT_EQ(inode->stamps().ctime, shown.ctime);
  EXPECT_EQ(inode->stamps().mtime, shown.mtime);
  EXPECT_FALSE(close(inode));
}

// Fails if known() does not compare, or if it compares a file that is open.
TEST_F(AttributeChangeTest, AnIdleFileThatAnotherProgramChangedIsNotKnown) {
  write_and_close("f", 'a');
  memory_->poke("f", filled(2 * kPage, 'b'));
  const auto [id, now] = look("f");
  EXPECT_FALSE(impl_->known(id, &now).has_value());
  EXPECT_TRUE(impl_->known(id).has_value());
  EXPECT_FALSE(impl_->known({id.high, id.low + 1000}).has_value());
  auto inode = open("f");
  const ObjectStat other;
  EXPECT_TRUE(impl_->known(id, &other).has_value());
  EXPECT_FALSE(close(inode));
}

// Its number may be given to another file. Fails if an idle entry stays, or one becomes idle.
TEST_F(AttributeChangeTest, AFileWithoutANameIsForgotten) {
  for (const bool open_meanwhile : {false, true}) {
    const std::string path = open_meanwhile ? "g" : "f";
    auto inode = open(path);
    const ObjectId id = inode->id();
    write(*inode, 0, kPage, 'a');
    if (!open_meanwhile) {
      EXPECT_FALSE(close(inode));
    }
    AttributeChange change(impl_->inodes(), id);
    ObjectStat now = chmod(path);
    now.links = 0;
    change.done(now);
    EXPECT_EQ(impl_->known(id).has_value(), open_meanwhile);
    if (open_meanwhile) {
      EXPECT_FALSE(close(inode));
    }
    inode.reset();
    EXPECT_FALSE(impl_->known(id).has_value());
  }
  EXPECT_EQ(impl_->stats().cached_pages, 0u);
}

}  // namespace
}  // namespace quire::file
