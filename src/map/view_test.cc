#include "map/view.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "map/test_faults.h"

namespace quire::map {
namespace {

using Kind = Fault::Kind;

// Each with all features that Quire has a way around refused, too. The test answers the faults itself.
class ViewTest : public testing::TestWithParam<FeatureSet> {
 protected:
  static constexpr std::size_t kPages = 16;

  void SetUp() override {
    if (userfault_refused()) GTEST_SKIP() << kUserfaultRefused;
    userfault_ = open_userfault({.refuse = GetParam()});
    ASSERT_NE(userfault_, nullptr);
    map(Access::kReadWrite);
  }
  void map(Access access) {
    view_.reset();
    auto mapped = View::map(*userfault_, memory_.fd(), 0, kPages, access);
    ASSERT_TRUE(mapped.ok()) << mapped.error().message();
    view_ = std::move(*mapped);
  }

  std::byte* page(std::size_t index) const { return view_->memory().data() + index * kPage; }
  bool has(Feature feature) const { return userfault_->has(feature); }
  std::uint64_t calls(Call call) const { return userfault_->calls(call); }
  std::size_t resolved(std::size_t first, std::size_t count,
                       Grant grant = Grant::kLoadsAndStores) const {
    return view_->resolve(first, count, grant).bytes / kPage;
  }
  // An access to the page is asked about, as this.
  void expect_load_faults(std::size_t index, Kind kind) const {
    const auto accessor = Accessor::loads(page(index));
    const Fault fault = wait_for_fault(*userfault_);
    EXPECT_EQ(fault.page, page(index));
    EXPECT_EQ(fault.kind, kind);
    EXPECT_FALSE(fault.store);
    if (kind == Kind::kMissing) memory_.put(index, static_cast<char>(index));
    EXPECT_EQ(resolved(index, 1), 1u);
    EXPECT_EQ(accessor->outcome(), value(static_cast<int>(index)));
  }
  // A store to the page, which is in the memfd, is asked about; nothing is changed until it is answered.
  void expect_store_faults(std::size_t index) const {
    const char before = memory_.at(index);
    const auto accessor = Accessor::stores(page(index), 'S');
    const Fault fault = wait_for_fault(*userfault_);
    EXPECT_EQ(fault.page, page(index));
    EXPECT_TRUE(fault.store);
    EXPECT_EQ(memory_.at(index), before);
    if (fault.kind == Kind::kProtected) {
      EXPECT_TRUE(view_->unprotect(index, 1).all());
    } else {
      EXPECT_EQ(resolved(index, 1), 1u);
    }
    EXPECT_EQ(accessor->outcome(), value('S'));
    EXPECT_EQ(memory_.at(index), 'S');
  }

  mutable TestMemory memory_{kPages};
  std::unique_ptr<Userfault> userfault_;
  std::unique_ptr<View> view_;
};

std::string view_name(const testing::TestParamInfo<FeatureSet>& refused) {
  constexpr std::array kNames = {"All", "NoPoison", "NoResolveProtected", "Least"};
  return kNames.at(refused.index);
}
INSTANTIATE_TEST_SUITE_P(, ViewTest,
                         testing::Values(FeatureSet{}, FeatureSet{Feature::kPoison},
                                         FeatureSet{Feature::kResolveProtected},
                                         FeatureSet{Feature::kPoison, Feature::kResolveProtected,
                                                    Feature::kKernelFaults, Feature::kThreadId,
                                                    Feature::kAsyncStores}),
                         view_name);

TEST_P(ViewTest, NothingGoesThroughUnasked) {
  memory_.put(1, 1);
  expect_load_faults(0, Kind::kMissing);
  expect_load_faults(1, Kind::kMinor);
  memory_.put(2, 2);
  expect_store_faults(2);
  EXPECT_EQ(load(page(0)), value(0));
  EXPECT_EQ(memory_.present(), 3u);
}

TEST_P(ViewTest, LockedMemoryIsNotPopulatedUnasked) {
  if (::mlockall(MCL_FUTURE) != 0) GTEST_SKIP() << "RLIMIT_MEMLOCK is too small";
  map(Access::kReadWrite);
  ASSERT_EQ(::munlockall(), 0);
  EXPECT_EQ(memory_.present(), 0u);
  expect_load_faults(0, Kind::kMissing);
}

TEST_P(ViewTest, AnOffsetOfTheFile) {
  memory_.put_all(0, kPages);
  auto mapped = View::map(*userfault_, memory_.fd(), 4 * kPage, 2, Access::kRead);
  ASSERT_TRUE(mapped.ok());
  ASSERT_EQ((**mapped).resolve(0, 2, Grant::kLoadsAndStores).bytes, 2 * kPage);
  EXPECT_EQ(load((**mapped).memory().data()), value(4));
  EXPECT_EQ(load((**mapped).memory().data() + kPage), value(5));
  // When it failed for a while too.
  ASSERT_TRUE((**mapped).fail(1, 1).ok());
  ASSERT_TRUE((**mapped).clear_failed(1, 1).ok());
  ASSERT_EQ((**mapped).resolve(1, 1, Grant::kLoadsAndStores).bytes, kPage);
  EXPECT_EQ(load((**mapped).memory().data() + kPage), value(5));
}

TEST_P(ViewTest, PagesOfAddresses) {
  EXPECT_EQ(view_->page_of(page(0)), 0u);
  EXPECT_EQ(view_->page_of(page(3) + 4095), 3u);
  EXPECT_EQ(view_->page_of(page(kPages - 1) + 4095), kPages - 1);
  EXPECT_EQ(view_->page_of(page(kPages)), std::nullopt);
  EXPECT_EQ(view_->page_of(page(0) - 1), std::nullopt);
}

TEST_P(ViewTest, ResolvedForLoadsStoresAreBarred) {
  memory_.put_all(0, 2);
  if (!has(Feature::kResolveProtected)) {
    EXPECT_EQ(view_->resolve(0, 1, Grant::kLoads), (Done{0, Stop::kUnsupported}));
    return;
  }
  EXPECT_EQ(resolved(0, 2, Grant::kLoads), 2u);
  EXPECT_EQ(load(page(0)), value(0));
  expect_store_faults(0);
  expect_store_faults(1);
}

TEST_P(ViewTest, ZappedPagesAskAgain) {
  memory_.put_all(0, 4);
  ASSERT_EQ(resolved(0, 4), 4u);
  ASSERT_EQ(::mlock(page(2), kPage), 0);
  view_->zap(1, 3);
  EXPECT_EQ(load(page(0)), value(0));
  for (const std::size_t index : {1, 2, 3}) expect_load_faults(index, Kind::kMinor);
  // Those that barred stores too.
  view_->protect(0, 4);
  view_->zap(0, 4);
  for (const std::size_t index : {0, 1, 2, 3}) expect_load_faults(index, Kind::kMinor);
  EXPECT_EQ(memory_.present(), 4u);
}

TEST_P(ViewTest, ProtectedPagesLetNoStoreThrough) {
  memory_.put_all(0, 4);
  ASSERT_EQ(resolved(0, 2), 2u);
  EXPECT_EQ(store(page(0), 'a'), value('a'));
  ASSERT_EQ(::mlock(page(1), kPage), 0);  // cuts it up for the kernel
  view_->protect(0, 3);
  EXPECT_EQ(load(page(0)), value('a'));
  for (const std::size_t index : {0, 1, 2}) expect_store_faults(index);
  EXPECT_EQ(store(page(0), 'b'), value('b'));
}

// The kernel gives up in the middle: here something else was mapped there, which is nobody's to protect.
TEST_P(ViewTest, WhatCannotBeProtectedIsZapped) {
  memory_.put_all(0, 4);
  ASSERT_EQ(resolved(0, 4), 4u);
  ASSERT_EQ(::mmap(page(2), kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
            page(2));
  view_->protect(0, 4);
  for (const std::size_t index : {0, 1, 3}) expect_store_faults(index);
}

TEST_P(ViewTest, ARangeIsOneCall) {
  memory_.put_all(0, kPages);
  EXPECT_EQ(calls(Call::kEnroll), has(Feature::kResolveProtected) ? 2u : 1u);
  EXPECT_EQ(calls(Call::kMap), 1u);
  EXPECT_EQ(resolved(0, kPages), kPages);
  EXPECT_EQ(calls(Call::kResolve), 1u);
  view_->protect(0, kPages);
  EXPECT_EQ(calls(Call::kProtect), 1u);
  EXPECT_TRUE(view_->unprotect(0, kPages).all());
  EXPECT_EQ(calls(Call::kUnprotect), 1u);
  view_->zap(0, kPages);
  EXPECT_EQ(calls(Call::kZap), 1u);
  ASSERT_TRUE(view_->clear_failed(0, kPages).ok());
  ASSERT_TRUE(view_->fail(0, kPages).ok());
  EXPECT_EQ(calls(Call::kPoison), has(Feature::kPoison) ? 1u : 0u);
  EXPECT_EQ(calls(Call::kMap), has(Feature::kPoison) ? 1u : 2u);
  EXPECT_EQ(calls(Call::kZap), 1u);
  ASSERT_TRUE(view_->clear_failed(0, kPages).ok());
  EXPECT_EQ(calls(Call::kZap), has(Feature::kPoison) ? 2u : 1u);
  EXPECT_EQ(calls(Call::kMap), has(Feature::kPoison) ? 1u : 3u);
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kRead).ok());
  EXPECT_EQ(calls(Call::kAccess), 1u);
  ASSERT_TRUE(view_->unmap(0, kPages).ok());
  EXPECT_EQ(calls(Call::kUnmap), 1u);
}

TEST_P(ViewTest, FailedPagesRaiseSigbusUntilTheyAreCleared) {
  memory_.put_all(0, 5);
  // One that is waited for, one open, one that bars stores, one that did before it was zapped.
  const auto accessor = Accessor::loads(page(1));
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(1));
  ASSERT_EQ(resolved(2, 3), 3u);
  view_->protect(3, 2);
  view_->zap(4, 1);
  ASSERT_TRUE(view_->fail(1, 4).ok());
  EXPECT_EQ(accessor->outcome(), kBus);
  for (const std::size_t index : {1, 2, 3, 4}) {
    EXPECT_EQ(load(page(index)), kBus) << index;
    EXPECT_EQ(store(page(index), 'x'), kBus) << index;
  }
  // Once more, and its neighbours.
  ASSERT_TRUE(view_->fail(0, 3).ok());
  EXPECT_EQ(load(page(0)), kBus);
  ASSERT_TRUE(view_->clear_failed(0, 6).ok());
  for (const std::size_t index : {0, 1, 2, 3, 4}) expect_load_faults(index, Kind::kMinor);
  EXPECT_EQ(memory_.present(), 5u);
}

TEST_P(ViewTest, NeighboursOfAFailedPageWork) {
  memory_.put_all(0, kPages);
  ASSERT_EQ(resolved(0, 2), 2u);
  ASSERT_TRUE(view_->fail(2, 1).ok());
  EXPECT_EQ(load(page(1)), value(1));
  expect_load_faults(3, Kind::kMinor);
  if (!has(Feature::kPoison)) {
    EXPECT_EQ(view_->resolve(2, 1, Grant::kLoadsAndStores), (Done{0, Stop::kGone}));
    EXPECT_EQ(view_->unprotect(2, 1), (Done{0, Stop::kGone}));
    EXPECT_EQ(calls(Call::kResolve), 2u);  // of 0 and 1, and of 3
    EXPECT_EQ(calls(Call::kUnprotect), 0u);
  }
  view_->protect(0, kPages);
  expect_store_faults(1);
  expect_store_faults(3);
  view_->zap(0, kPages);
  ASSERT_TRUE(view_->clear_failed(2, 1).ok());
  // It is one mapping again.
  const std::uint64_t before = calls(Call::kResolve);
  EXPECT_EQ(resolved(0, kPages), kPages);
  EXPECT_EQ(calls(Call::kResolve) - before, 1u);
  EXPECT_EQ(load(page(2)), value(2));
}

TEST_P(ViewTest, ResolveStopsAtWhatIsNotThere) {
  memory_.put_all(0, kPages);
  ASSERT_TRUE(view_->unmap(3, 1).ok());
  EXPECT_EQ(view_->resolve(1, 4, Grant::kLoadsAndStores), (Done{2 * kPage, Stop::kPartly}));
  EXPECT_EQ(view_->resolve(3, 2, Grant::kLoadsAndStores), (Done{0, Stop::kGone}));
  EXPECT_EQ(view_->resolve(4, 2, Grant::kLoadsAndStores), (Done{2 * kPage, Stop::kNothing}));
  EXPECT_EQ(view_->unprotect(3, 1), (Done{0, Stop::kGone}));
}

TEST_P(ViewTest, BeyondTheFileItIsSigbusWithoutAsking) {
  memory_.resize(2);
  memory_.put_all(0, 2);
  EXPECT_EQ(load(page(2)), kBus);
  ASSERT_EQ(resolved(0, 2), 2u);
  // A page that was there, one that somebody waits for while it goes.
  view_->zap(0, 1);
  const auto accessor = Accessor::loads(page(0));
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(0));
  memory_.resize(0);
  EXPECT_EQ(load(page(1)), kBus);
  EXPECT_EQ(view_->resolve(0, 1, Grant::kLoadsAndStores), (Done{0, Stop::kPastEnd}));
  ASSERT_TRUE(view_->fail(0, kPages).ok());
  EXPECT_EQ(accessor->outcome(), kBus);
  ASSERT_TRUE(view_->clear_failed(0, kPages).ok());
  memory_.resize(kPages);
  expect_load_faults(0, Kind::kMissing);
  expect_load_faults(1, Kind::kMissing);
}

TEST_P(ViewTest, PartsThatTheProgramCutUpForTheKernel) {
  memory_.put_all(0, kPages);
  ASSERT_EQ(resolved(4, 2), 2u);  // mlock() loads them
  ASSERT_EQ(::mlock(page(4), 2 * kPage), 0);
  view_->zap(4, 2);
  ASSERT_EQ(::madvise(page(8), kPage, MADV_RANDOM), 0);
  EXPECT_EQ(resolved(0, kPages), kPages);
  EXPECT_TRUE(view_->unprotect(0, kPages).all());
  EXPECT_EQ(load(page(15)), value(15));
  ASSERT_TRUE(view_->fail(0, kPages).ok());
  for (std::size_t index = 0; index < kPages; ++index) EXPECT_EQ(load(page(index)), kBus);
}

TEST_P(ViewTest, AccessIsAsMprotectHasIt) {
  memory_.put_all(0, 4);
  map(Access::kRead);
  EXPECT_EQ(store(page(0), 'x'), kSegv);
  // For loads, which bars no store where the kernel cannot: none could go through.
  ASSERT_EQ(resolved(0, 3, Grant::kLoads), 3u);
  EXPECT_EQ(load(page(1)), value(1));
  EXPECT_EQ(store(page(1), 'x'), kSegv);
  ASSERT_TRUE(view_->set_access(1, 3, Access::kReadWrite).ok());
  EXPECT_EQ(store(page(0), 'x'), kSegv);
  for (const std::size_t index : {1, 2, 3}) expect_store_faults(index);
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kRead).ok());
  EXPECT_EQ(store(page(1), 'x'), kSegv);
  EXPECT_EQ(load(page(1)), value('S'));
  // Failed ones keep what they were given; no kernel that can poison cannot resolve for loads alone.
  ASSERT_TRUE(view_->fail(2, 1).ok());
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kReadWrite).ok());
  if (has(Feature::kResolveProtected) || !has(Feature::kPoison)) {
    EXPECT_EQ(store(page(2), 'x'), kBus);
  }
  ASSERT_TRUE(view_->clear_failed(2, 1).ok());
  expect_store_faults(2);
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kRead).ok());
  view_->zap(0, kPages);
  EXPECT_EQ(resolved(0, 4), 4u);
}

TEST_P(ViewTest, UnmappingEndsWaits) {
  memory_.put_all(0, 4);
  const auto accessor = Accessor::loads(page(1));
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(1));
  // Before its fault is taken too.
  const auto untaken = Accessor::loads(page(2));
  pollfd fd{.fd = userfault_->fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&fd, 1, 60'000), 1);
  ASSERT_TRUE(view_->unmap(1, 2).ok());
  EXPECT_EQ(accessor->outcome(), kSegv);
  EXPECT_EQ(untaken->outcome(), kSegv);
  std::array<Fault, 1> none;
  EXPECT_EQ(userfault_->next(none), 0u);
  expect_load_faults(0, Kind::kMinor);
  expect_load_faults(3, Kind::kMinor);
  const auto last = Accessor::loads(page(4));
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(4));
  std::byte* const where = page(4);
  view_.reset();
  EXPECT_EQ(last->outcome(), kSegv);
  EXPECT_EQ(load(where), kSegv);
}

// What is unmapped may be somebody else's by now.
TEST_P(ViewTest, UnmappedAddressesAreLeftAlone) {
  memory_.put_all(0, kPages);
  ASSERT_TRUE(view_->set_access(8, 1, Access::kRead).ok());
  ASSERT_TRUE(view_->unmap(4, 2).ok());
  void* const other = ::mmap(page(4), 2 * kPage, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(other, page(4));
  std::memset(other, 'o', 2 * kPage);
  view_->protect(0, kPages);
  view_->zap(0, kPages);
  EXPECT_EQ(view_->unprotect(0, kPages), (Done{4 * kPage, Stop::kPartly}));
  EXPECT_EQ(view_->unprotect(5, 3), (Done{0, Stop::kGone}));
  ASSERT_TRUE(view_->fail(0, kPages).ok());
  ASSERT_TRUE(view_->clear_failed(0, kPages).ok());
  ASSERT_TRUE(view_->set_access(0, kPages, Access::kRead).ok());
  ASSERT_TRUE(view_->unmap(2, 6).ok());
  view_.reset();
  const std::string expected(2 * kPage, 'o');
  EXPECT_EQ(std::memcmp(other, expected.data(), expected.size()), 0);
  EXPECT_EQ(store(static_cast<std::byte*>(other), 'p'), value('p'));
  ASSERT_EQ(::munmap(other, 2 * kPage), 0);
}

TEST_P(ViewTest, AChildHasNone) {
  memory_.put_all(0, 2);
  ASSERT_EQ(resolved(0, 2), 2u);
  ASSERT_TRUE(view_->fail(2, 1).ok());
  const pid_t child = ::fork();
  if (child == 0) {
    // The addresses may be something else by now.
    const bool none = load(page(1)) != value(1) && load(page(2)) != kBus;
    ::_exit(none ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_P(ViewTest, TwoViewsOfAPage) {
  memory_.put(0, 0);
  auto mapped = View::map(*userfault_, memory_.fd(), 0, 1, Access::kReadWrite);
  ASSERT_TRUE(mapped.ok());
  View& second = **mapped;
  ASSERT_EQ(resolved(0, 1), 1u);
  ASSERT_EQ(second.resolve(0, 1, Grant::kLoadsAndStores).bytes, kPage);
  EXPECT_EQ(store(page(0), 'a'), value('a'));
  EXPECT_EQ(load(second.memory().data()), value('a'));
  // Each has its own translations.
  second.zap(0, 1);
  EXPECT_EQ(store(page(0), 'b'), value('b'));
  const auto accessor = Accessor::loads(second.memory().data());
  EXPECT_EQ(wait_for_fault(*userfault_).page, second.memory().data());
  ASSERT_EQ(second.resolve(0, 1, Grant::kLoadsAndStores).bytes, kPage);
  EXPECT_EQ(accessor->outcome(), value('b'));
}

TEST_P(ViewTest, WhatCannotBeMapped) {
  const auto none = View::map(*userfault_, -1, 0, 1, Access::kRead);
  EXPECT_EQ(none.code(), std::errc::bad_file_descriptor);
  // Not a memfd: userfaultfd refuses, and nothing is left behind.
  std::array<int, 2> pipe;
  ASSERT_EQ(::pipe(pipe.data()), 0);
  EXPECT_FALSE(View::map(*userfault_, pipe[0], 0, 1, Access::kRead).ok());
  ::close(pipe[0]);
  ::close(pipe[1]);
}

// A part is closed off, and unmapped later. Fails if who waits for an access there goes on waiting; if anything brings
// a page of it into sight, or fails it; or if what is closed counts as mapped.
TEST_P(ViewTest, WhatIsClosedOffIsNobodysUntilItIsUnmapped) {
  for (std::size_t i = 0; i < kPages; ++i) memory_.put(i, static_cast<char>(i));
  EXPECT_EQ(resolved(4, 1), 1u);
  ASSERT_TRUE(view_->fail(6, 1).ok());
  const auto accessor = Accessor::loads(page(5));
  (void)wait_for_fault(*userfault_);
  std::size_t count = 4;
  ASSERT_TRUE(view_->close_off(4, &count).ok());
  EXPECT_EQ(count, 4u);
  EXPECT_EQ(accessor->outcome(), kSegv);
  EXPECT_EQ(view_->mapped_pages(), kPages - 4);
  EXPECT_EQ(view_->resolve(4, 1, Grant::kLoads).stop, Stop::kGone);
  EXPECT_TRUE(view_->fail(4, 4).ok());
  EXPECT_TRUE(view_->clear_failed(0, kPages).ok());
  EXPECT_TRUE(view_->set_access(0, kPages, Access::kRead).ok());
  EXPECT_FALSE(view_->allows(0, 4, Access::kReadWrite));
  EXPECT_TRUE(view_->allows(0, 4, Access::kRead));
  EXPECT_FALSE(view_->allows(0, kPages, Access::kRead));
  EXPECT_TRUE(view_->set_access(0, kPages, Access::kReadWrite).ok());
  EXPECT_TRUE(view_->allows(0, 4, Access::kReadWrite));
  EXPECT_FALSE(view_->allows(7, 2, Access::kReadWrite));
  for (std::size_t i = 4; i < 8; ++i) {
    EXPECT_EQ(Accessor::loads(page(i))->outcome(), kSegv) << i;
    unsigned char there = 0;
    EXPECT_EQ(::mincore(page(i), kPage, &there), 0) << "somebody else may have the address";
  }
  ASSERT_TRUE(view_->unmap(4, 4).ok());
  unsigned char there = 0;
  EXPECT_EQ(::mincore(page(5), kPage, &there), -1);
  expect_load_faults(3, Kind::kMinor);
}

}  // namespace
}  // namespace quire::map
