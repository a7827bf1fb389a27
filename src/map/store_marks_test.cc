// What the kernel remembers of stores that nobody was asked about. Each test names the change that makes it fail.
#include "map/store_marks.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <memory>
#include <utility>
#include <vector>

#include "map/test_faults.h"
#include "map/userfault_abi.h"
#include "map/view.h"

namespace quire::map {
namespace {

// A view that watches, all of whose pages are in the memfd. The test is asked of nothing that it does.
class StoreMarksTest : public testing::Test {
 protected:
  static constexpr std::size_t kPages = StoreMarks::kPagesMax;

  void SetUp() override {
    if (userfault_refused()) GTEST_SKIP() << kUserfaultRefused;
    if (!kernel_offers(abi::kFeatureWpAsync)) GTEST_SKIP() << "Linux 6.7";
    auto opened = Userfault::open({.refuse = {}, .async_stores = true});
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    userfault_ = std::move(*opened);
    memory_.put_all(0, kPages);
    view_ = std::move(View::map(*userfault_, memory_.fd(), 0, kPages, Access::kReadWrite).value());
    ASSERT_TRUE(view_->watches());
  }
  std::byte* page(std::size_t index) const { return view_->memory().data() + index * kPage; }
  void show(std::size_t first, std::size_t count, Grant grant = Grant::kMarkedStores) const {
    ASSERT_TRUE(view_->resolve(first, count, grant).all());
  }
  void store_into(std::size_t index) const { EXPECT_EQ(store(page(index), 's'), value('s')); }
  // The pages that are told of, of the first `count`.
  std::vector<std::size_t> stored(std::size_t count = kPages) const {
    const View::Stored all = view_->stored(0, count);
    std::vector<std::size_t> pages;
    for (std::size_t i = 0; i < kPages; ++i) {
      EXPECT_EQ(all.mapped.test(i), i < count) << i;
      if (all.stored.test(i)) pages.push_back(i);
    }
    return pages;
  }

  TestMemory memory_{kPages};
  std::unique_ptr<Userfault> userfault_;
  std::unique_ptr<View> view_;
};

using Pages = std::vector<std::size_t>;

// Fails without kScanProtects (they are told of again and again), or if a call looks at the first regions alone.
TEST_F(StoreMarksTest, EachStoreIsToldOfOnce) {
  show(0, kPages);
  EXPECT_EQ(stored(), Pages());
  for (int round = 0; round < 2; ++round) {
    Pages odd;
    for (std::size_t i = 1; i < kPages; i += 2) {
      store_into(i);
      odd.push_back(i);
    }
    EXPECT_EQ(stored(), odd) << "more than are told of in one call";
    EXPECT_EQ(stored(), Pages());
  }
  EXPECT_EQ(load(page(2)), value(2)) << "a load leaves no mark";
  EXPECT_EQ(stored(), Pages());
}

// What is shown as an ordinary page counts as stored into. Fails if what has a translation is taken for protected.
TEST_F(StoreMarksTest, WhatIsNotProtectedMayHaveBeenStoredInto) {
  show(0, 2, Grant::kLoadsAndStores);
  EXPECT_EQ(stored(4), (Pages{0, 1, 2, 3})) << "and what is not there";
  EXPECT_EQ(stored(2), Pages());
}

// Fails if a mark that is left is taken for a store, or if nothing that is left is taken for no store.
TEST_F(StoreMarksTest, NothingIsForgottenWithTheTranslation) {
  show(0, 4);
  EXPECT_EQ(stored(4), Pages());
  store_into(1);
  store_into(2);
  view_->zap(0, 4);
  EXPECT_EQ(stored(4), (Pages{1, 2}));
  show(0, 4);
  EXPECT_EQ(stored(4), Pages()) << "who shows a page again has to remember";
  store_into(0);
  // By the kernel itself, as for want of memory.
  ASSERT_EQ(::madvise(page(0), 4 * kPage, MADV_PAGEOUT), 0);
  EXPECT_EQ(stored(4), (Pages{0}));
}

TEST_F(StoreMarksTest, AccessMayChangeMeanwhile) {
  show(0, 3);
  store_into(1);
  ASSERT_TRUE(view_->set_access(0, 2, Access::kRead).ok());
  EXPECT_EQ(store(page(1), 'x'), kSegv);
  EXPECT_EQ(stored(3), Pages{1});
  EXPECT_EQ(store(page(1), 'x'), kSegv);
  EXPECT_EQ(stored(3), Pages());
}

// Fails if a page that failed, where something may have been before, is passed over.
TEST_F(StoreMarksTest, APageThatFailedMayHaveBeenStoredInto) {
  show(0, 3);
  store_into(1);
  ASSERT_TRUE(view_->fail(1, 1).ok());
  EXPECT_EQ(store(page(1), 'x'), kBus);
  EXPECT_EQ(stored(3), Pages{1});
}

// Fails if stored() passes over what is closed off, or close_off() forgets that a page was replaced.
TEST_F(StoreMarksTest, WhatIsClosedOffIsAskedAboutStill) {
  show(0, 5);
  store_into(1);
  ASSERT_TRUE(view_->fail(2, 1).ok());
  std::size_t count = 4;
  ASSERT_TRUE(view_->close_off(0, &count).ok());
  const View::Stored all = view_->stored(0, 5);
  EXPECT_EQ(all.mapped.to_string().substr(kPages - 5), "10000");
  EXPECT_EQ(all.stored.to_string().substr(kPages - 5), "00110");
}

TEST_F(StoreMarksTest, WhatIsUnmappedIsNotAskedAbout) {
  show(0, 4);
  store_into(2);
  ASSERT_TRUE(view_->unmap(1, 2).ok());
  const View::Stored all = view_->stored(0, 4);
  EXPECT_EQ(all.mapped.to_string().substr(kPages - 4), "1001");
  EXPECT_TRUE(all.stored.none());
}

// Fails if an error of the kernel's is taken for "no".
TEST_F(StoreMarksTest, WhatTheKernelCannotTellMayHaveBeenStoredInto) {
  void* const other =
      ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(other, MAP_FAILED);
  EXPECT_TRUE(userfault_->store_marks()->take({static_cast<std::byte*>(other), kPage}).test(0));
  ::munmap(other, kPage);
}

}  // namespace
}  // namespace quire::map
