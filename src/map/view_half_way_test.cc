// What becomes of a View when the kernel comes half way with a change of protection and cannot take it back: another
// thread has had the last mapping (vm.max_map_count) in between. That is a matter of luck; here mprotect(2) plays it.
// Each test names the change to the code that makes it fail.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "map/test_faults.h"
#include "map/view.h"

namespace {

// Of this thread: calls that are to fail. The first of them does its first page.
thread_local int half_way_calls = 0;

}  // namespace

extern "C" int mprotect(void* address, std::size_t bytes, int access) noexcept {
  const int failing = half_way_calls;
  if (failing > 0) --half_way_calls;
  const std::size_t done = failing == 0 ? bytes : failing > 1 ? quire::map::kPage : 0;
  if (done > 0 && ::syscall(SYS_mprotect, address, done, access) != 0) return -1;
  if (failing == 0) return 0;
  errno = ENOMEM;
  return -1;
}

namespace quire::map {
namespace {

class ViewHalfWay : public testing::TestWithParam<FeatureSet> {
 protected:
  static constexpr std::size_t kPages = 4;

  void SetUp() override {
    if (userfault_refused()) GTEST_SKIP() << kUserfaultRefused;
    userfault_ = open_userfault({.refuse = GetParam()});
    ASSERT_NE(userfault_, nullptr);
    memory_.put_all(0, kPages);
  }
  void map(Access access) {
    auto mapped = View::map(*userfault_, memory_.fd(), 0, kPages, access);
    ASSERT_TRUE(mapped.ok()) << mapped.error().message();
    view_ = std::move(*mapped);
  }
  std::byte* page(std::size_t index) const { return view_->memory().data() + index * kPage; }
  // The first page is as was asked for, the others are as they were.
  void set_half_way(Access access) {
    half_way_calls = 2;
    EXPECT_EQ(view_->set_access(0, kPages, access).code(), std::errc::not_enough_memory);
    EXPECT_EQ(half_way_calls, 0);
  }
  // A store to the page is asked about, as this.
  void expect_store_asks(std::size_t index) {
    const auto accessor = Accessor::stores(page(index), 's');
    const Fault fault = wait_for_fault(*userfault_);
    EXPECT_EQ(fault.page, page(index));
    EXPECT_TRUE(fault.store);
    EXPECT_NE(memory_.at(index), 's');
    if (fault.kind == Fault::Kind::kProtected) {
      EXPECT_TRUE(view_->unprotect(index, 1).all());
    } else {
      EXPECT_TRUE(view_->resolve(index, 1, Grant::kLoadsAndStores).all());
    }
    EXPECT_EQ(accessor->outcome(), value('s'));
  }

  TestMemory memory_{kPages};
  std::unique_ptr<Userfault> userfault_;
  std::unique_ptr<View> view_;
};

INSTANTIATE_TEST_SUITE_P(, ViewHalfWay,
                         testing::Values(FeatureSet{}, FeatureSet{Feature::kResolveProtected}));

// Fails, by a store that nobody is asked about, if set_access() takes all of it for what it was when a part has leave
// to store.
TEST_P(ViewHalfWay, WhereStoresMayGoThroughTheyAreAskedAbout) {
  map(Access::kRead);
  EXPECT_TRUE(view_->resolve(0, kPages, Grant::kLoads).all());
  set_half_way(Access::kReadWrite);
  EXPECT_TRUE(view_->allows(0, kPages, Access::kReadWrite));
  // Whoever shows a page for loads bars stores.
  const Done shown = view_->resolve(0, 1, Grant::kLoads);
  EXPECT_TRUE(shown.all() || shown.stop == Stop::kMapped || shown.stop == Stop::kUnsupported);
  expect_store_asks(0);
  EXPECT_EQ(store(page(1), 's'), kSegv) << "the program has not been given leave";
  // With a mapping to spare.
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kReadWrite).ok());
  expect_store_asks(1);
}

// Fails if set_access() does not repeat what it takes for done.
TEST_P(ViewHalfWay, WhatMayBeStoredIntoStillCanBeBarredAgain) {
  map(Access::kReadWrite);
  EXPECT_TRUE(view_->resolve(0, kPages, Grant::kLoadsAndStores).all());
  set_half_way(Access::kRead);
  EXPECT_EQ(store(page(0), 's'), kSegv);
  EXPECT_EQ(store(page(1), 's'), value('s'));
  EXPECT_TRUE(view_->allows(0, kPages, Access::kReadWrite));
  // Back, and on.
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kReadWrite).ok());
  EXPECT_EQ(store(page(0), 's'), value('s'));
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kRead).ok());
  for (std::size_t i = 0; i < kPages; ++i) EXPECT_EQ(store(page(i), 'x'), kSegv) << i;
}

// Fails, by a hang, if close_off() does not wake who waits for a page that is closed now.
TEST_P(ViewHalfWay, WhoWaitsForWhatIsClosedGoesOn) {
  map(Access::kReadWrite);
  const auto closed = Accessor::loads(page(0));
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(0));
  const auto open = Accessor::loads(page(1));
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(1));
  half_way_calls = 2;
  std::size_t count = kPages;
  EXPECT_EQ(view_->close_off(0, &count).code(), std::errc::not_enough_memory);
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(closed->outcome(), kSegv);
  EXPECT_EQ(view_->mapped_pages(), kPages);
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(1)) << "it asks again";
  EXPECT_TRUE(view_->resolve(1, 1, Grant::kLoadsAndStores).all());
  EXPECT_EQ(open->outcome(), value(1));
  // It is mapped again by either of the two.
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kReadWrite).ok());
  expect_store_asks(0);
  count = kPages;
  ASSERT_TRUE(view_->close_off(0, &count).ok());
  EXPECT_EQ(count, kPages);
  ASSERT_TRUE(view_->unmap(0, kPages).ok());
}

}  // namespace
}  // namespace quire::map
