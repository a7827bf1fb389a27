#include "map/userfault.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>
#include <string>

#include "map/test_faults.h"
#include "map/userfault_abi.h"
#include "map/view.h"

namespace quire::map {

struct UserfaultPeer {
  static Done done(int error, std::int64_t moved, std::size_t wanted) {
    return Userfault::done(error, moved, wanted);
  }
};

namespace {

using testing::HasSubstr;
using Kind = Fault::Kind;
using Origin = Userfault::Origin;

constexpr Done kAll(std::size_t pages) {
  return {pages * kPage, Stop::kNothing};
}
constexpr Done upto(std::size_t pages, Stop stop) {
  return {pages * kPage, stop};
}

// A memfd's mapping that is enrolled. The parameter: what is refused.
class UserfaultTest : public testing::TestWithParam<FeatureSet> {
 protected:
  static constexpr std::size_t kPages = 16;

  void SetUp() override {
    if (userfault_refused()) GTEST_SKIP() << kUserfaultRefused;
    open({.refuse = GetParam()});
  }
  void TearDown() override { close(); }

  void open(const Userfault::Options& options) {
    close();
    userfault_ = open_userfault(options);
    ASSERT_NE(userfault_, nullptr);
    void* const mapped =
        ::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.fd(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    range_ = {static_cast<std::byte*>(mapped), kPages * kPage};
    ASSERT_TRUE(userfault_->enroll(range_).ok());
  }
  void close() {
    if (!range_.empty()) {
      EXPECT_EQ(::munmap(range_.data(), range_.size()), 0);
    }
    range_ = {};
    userfault_.reset();
  }
  std::span<std::byte> pages(std::size_t first, std::size_t count = 1) const {
    return range_.subspan(first * kPage, count * kPage);
  }
  std::byte* page(std::size_t index) const { return pages(index).data(); }
  // Loads alone where the kernel can.
  Grant loads() const {
    return userfault_->has(Feature::kResolveProtected) ? Grant::kLoads : Grant::kLoadsAndStores;
  }

  TestMemory memory_{kPages};
  std::unique_ptr<Userfault> userfault_;
  std::span<std::byte> range_;
};

std::string name_of(const testing::TestParamInfo<FeatureSet>& refused) {
  return refused.param.has(Feature::kKernelFaults) ? "UserMode" : "All";
}
INSTANTIATE_TEST_SUITE_P(, UserfaultTest,
                         testing::Values(FeatureSet{}, FeatureSet{Feature::kKernelFaults}),
                         name_of);

TEST_P(UserfaultTest, AFaultSaysWhereWhatAndWho) {
  memory_.put(1, 'b');
  const auto expect_fault = [&](Accessor& accessor, std::size_t index, Kind kind, bool store) {
    const Fault fault = wait_for_fault(*userfault_);
    EXPECT_EQ(fault.page, page(index));
    EXPECT_EQ(fault.kind, kind);
    EXPECT_EQ(fault.store, store);
    EXPECT_EQ(fault.thread, userfault_->has(Feature::kThreadId) ? accessor.thread() : 0);
    EXPECT_FALSE(accessor.done());
  };
  {
    const auto accessor = Accessor::loads(page(0) + 100);
    expect_fault(*accessor, 0, Kind::kMissing, false);
    memory_.put(0, 'a');
    EXPECT_EQ(userfault_->resolve(pages(0), loads()), kAll(1));
    EXPECT_EQ(accessor->outcome(), value(0));
    EXPECT_EQ(load(page(0)), value('a'));
  }
  {
    const auto accessor = Accessor::loads(page(1));
    expect_fault(*accessor, 1, Kind::kMinor, false);
    EXPECT_EQ(userfault_->resolve(pages(1), loads()), kAll(1));
    EXPECT_EQ(accessor->outcome(), value('b'));
  }
  {
    EXPECT_TRUE(userfault_->protect(pages(1)).all());
    const auto accessor = Accessor::stores(page(1), 'c');
    expect_fault(*accessor, 1, Kind::kProtected, true);
    EXPECT_EQ(userfault_->unprotect(pages(1)), kAll(1));
    EXPECT_EQ(accessor->outcome(), value('c'));
    EXPECT_EQ(memory_.at(1), 'c');
  }
  {
    const auto accessor = Accessor::stores(page(2) + 4095, 'd');
    expect_fault(*accessor, 2, Kind::kMissing, true);
    memory_.put(2, 0);
    EXPECT_EQ(userfault_->resolve(pages(2), Grant::kLoadsAndStores), kAll(1));
    EXPECT_EQ(accessor->outcome(), value('d'));
  }
}

TEST_P(UserfaultTest, FaultsAreGivenOnceAndAsManyAsFit) {
  std::array<Fault, 2> two;
  EXPECT_EQ(userfault_->next(two), 0u);
  memory_.put_all(0, 3);
  std::array<std::unique_ptr<Accessor>, 3> accessors;
  std::set<std::byte*> seen;
  // Each is known to wait before the next one starts: those taken are given no more.
  for (std::size_t i = 0; i < 3; ++i) {
    accessors[i] = Accessor::loads(page(i));
    const Fault fault = wait_for_fault(*userfault_);
    EXPECT_EQ(fault.page, page(i));
    seen.insert(fault.page);
  }
  EXPECT_EQ(userfault_->next(two), 0u);
  EXPECT_EQ(seen.size(), 3u);
  // They ask again, all three: two fit.
  userfault_->wake(pages(0, 3));
  seen.clear();
  while (seen.size() < 3) {
    pollfd fd{.fd = userfault_->fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&fd, 1, 60'000), 1);
    const std::size_t count = userfault_->next(two);
    ASSERT_GE(count, 1u);
    for (const Fault& fault : std::span(two).first(count)) {
      EXPECT_TRUE(seen.insert(fault.page).second);
    }
  }
  EXPECT_EQ(userfault_->resolve(pages(0, 3), Grant::kLoadsAndStores), kAll(3));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(accessors[static_cast<std::size_t>(i)]->outcome(), value(i));
}

TEST_P(UserfaultTest, ResolveSaysWhatItDidAndWhatStoppedIt) {
  const Grant grant = loads();
  const std::uint64_t before = userfault_->calls(Call::kResolve);
  EXPECT_EQ(userfault_->resolve(pages(0), grant), upto(0, Stop::kHole));
  memory_.put_all(0, 4);
  EXPECT_EQ(userfault_->resolve(pages(0, 8), grant), upto(4, Stop::kPartly));
  EXPECT_EQ(userfault_->resolve(pages(4, 4), grant), upto(0, Stop::kHole));
  memory_.put_all(4, 4);
  EXPECT_EQ(userfault_->resolve(pages(0, 8), grant), upto(0, Stop::kMapped));
  EXPECT_EQ(userfault_->resolve(pages(4, 4), grant), kAll(4));
  memory_.put_all(8, 4);
  ASSERT_EQ(userfault_->resolve(pages(10), grant), kAll(1));
  EXPECT_EQ(userfault_->resolve(pages(8, 4), grant), upto(2, Stop::kPartly));
  memory_.resize(14);
  EXPECT_EQ(userfault_->resolve(pages(14), grant), upto(0, Stop::kPastEnd));
  EXPECT_EQ(userfault_->calls(Call::kResolve) - before, 8u);
  for (const std::size_t index : {0, 3, 4, 7, 8, 9, 10}) {
    EXPECT_EQ(load(page(index)), value(static_cast<int>(index)));
  }
  std::array<Fault, 1> none;
  EXPECT_EQ(userfault_->next(none), 0u);
}

TEST_P(UserfaultTest, WhatIsGoneIsSaid) {
  memory_.put_all(0, 4);
  ASSERT_TRUE(userfault_->leave(pages(2, 2)).ok());
  EXPECT_EQ(userfault_->resolve(pages(2), loads()), upto(0, Stop::kGone));
  // Part of it is too little.
  EXPECT_EQ(userfault_->resolve(pages(1, 2), loads()), upto(0, Stop::kGone));
  EXPECT_EQ(userfault_->protect(pages(2)), upto(0, Stop::kGone));
  EXPECT_EQ(userfault_->unprotect(pages(2)), upto(0, Stop::kGone));
  if (userfault_->has(Feature::kPoison)) {
    EXPECT_EQ(userfault_->poison(pages(2)), upto(0, Stop::kGone));
  }
  EXPECT_EQ(userfault_->resolve(pages(1), loads()), kAll(1));
}

TEST_P(UserfaultTest, ResolvedForLoadsAStoreFaults) {
  if (!userfault_->has(Feature::kResolveProtected)) {
    // No feature bit tells of it. A later kernel has it.
    ASSERT_FALSE(kernel_offers(abi::kFeaturePoison));
    GTEST_SKIP() << "Linux 6.4";
  }
  memory_.put(0, 'a');
  ASSERT_EQ(userfault_->resolve(pages(0), Grant::kLoads), kAll(1));
  EXPECT_EQ(load(page(0)), value('a'));
  const auto accessor = Accessor::stores(page(0), 'b');
  EXPECT_EQ(wait_for_fault(*userfault_).kind, Kind::kProtected);
  EXPECT_EQ(memory_.at(0), 'a');
  EXPECT_TRUE(userfault_->unprotect(pages(0)).all());
  EXPECT_EQ(accessor->outcome(), value('b'));
}

TEST_P(UserfaultTest, WhoIsNotWokenSleepsOn) {
  memory_.put(0, 'a');
  const auto accessor = Accessor::loads(page(0));
  EXPECT_EQ(wait_for_fault(*userfault_).kind, Kind::kMinor);
  ASSERT_EQ(userfault_->resolve(pages(0), loads(), Wake::kNo), kAll(1));
  // Where it stopped nobody is woken either.
  ASSERT_EQ(userfault_->resolve(pages(0), loads()), upto(0, Stop::kMapped));
  for (int i = 0; i < 1000; ++i) {
    sync::yield_thread();
    ASSERT_FALSE(accessor->done());
  }
  userfault_->wake(pages(0));
  EXPECT_EQ(accessor->outcome(), value('a'));
}

TEST_P(UserfaultTest, PoisonedPagesRaiseSigbus) {
  if (!kernel_offers(abi::kFeaturePoison)) GTEST_SKIP() << "Linux 6.6";
  memory_.put_all(0, 8);
  const auto accessor = Accessor::loads(page(0));
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(0));
  EXPECT_EQ(userfault_->poison(pages(0, 2)), kAll(2));
  EXPECT_EQ(accessor->outcome(), kBus);
  EXPECT_EQ(store(page(1), 'x'), kBus);
  // Neither a translation, nor the mark that one leaves, nor another poison is written over.
  EXPECT_EQ(userfault_->poison(pages(1)), upto(0, Stop::kMapped));
  ASSERT_EQ(userfault_->resolve(pages(4), Grant::kLoadsAndStores), kAll(1));
  EXPECT_EQ(userfault_->poison(pages(2, 4)), upto(2, Stop::kPartly));
  EXPECT_EQ(userfault_->poison(pages(4, 2)), upto(0, Stop::kMapped));
  ASSERT_TRUE(userfault_->protect(pages(6)).all());
  EXPECT_EQ(userfault_->poison(pages(6)), upto(0, Stop::kMapped));
  memory_.resize(8);
  EXPECT_EQ(userfault_->poison(pages(8)), upto(0, Stop::kPastEnd));
  // A translation ends it.
  EXPECT_EQ(userfault_->resolve(pages(1), Grant::kLoadsAndStores), kAll(1));
  EXPECT_EQ(load(page(1)), value(1));
}

TEST_P(UserfaultTest, WhoLeavesIsAskedNoMore) {
  memory_.put(0, 'a');
  const auto accessor = Accessor::loads(page(0));
  EXPECT_EQ(wait_for_fault(*userfault_).page, page(0));
  EXPECT_TRUE(userfault_->leave(pages(0)).ok());
  EXPECT_EQ(accessor->outcome(), value('a'));
}

TEST_P(UserfaultTest, FaultsOfSystemCalls) {
  std::array<int, 2> pipe;
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  memory_.put(0, 'a');
  ssize_t written = 0;
  int error = 0;
  sync::Thread thread = sync::start_thread("writer", [&] {
    written = ::write(pipe[1], page(0), 1);
    error = errno;
  });
  if (userfault_->has(Feature::kKernelFaults)) {
    EXPECT_EQ(wait_for_fault(*userfault_).kind, Kind::kMinor);
    EXPECT_EQ(userfault_->resolve(pages(0), loads()), kAll(1));
    thread.join();
    EXPECT_EQ(written, 1);
  } else {
    thread.join();
    EXPECT_EQ(written, -1);
    EXPECT_EQ(error, EFAULT);
    // They are nothing special once the page is there.
    ASSERT_EQ(userfault_->resolve(pages(0), loads()), kAll(1));
    EXPECT_EQ(::write(pipe[1], page(0), 1), 1);
  }
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_P(UserfaultTest, AsyncStoresAskNobody) {
  if (!kernel_offers(abi::kFeatureWpAsync)) GTEST_SKIP() << "Linux 6.7";
  open({.refuse = GetParam(), .async_stores = true, .in_thread = false});
  memory_.put(0, 'a');
  EXPECT_EQ(userfault_->resolve(pages(0), Grant::kLoads), upto(0, Stop::kUnsupported));
  ASSERT_EQ(userfault_->resolve(pages(0), Grant::kMarkedStores), kAll(1));
  EXPECT_EQ(store(page(0), 'b'), value('b'));
  EXPECT_EQ(memory_.at(0), 'b');
}

class UserfaultOpen : public testing::Test {
 protected:
  void SetUp() override {
    if (userfault_refused()) GTEST_SKIP() << kUserfaultRefused;
  }
};
using UserfaultDeathTest = UserfaultOpen;

TEST_F(UserfaultOpen, WhatIsRefusedIsNotThere) {
  const auto all = open_userfault();
  for (const Feature feature :
       {Feature::kKernelFaults, Feature::kThreadId, Feature::kResolveProtected, Feature::kPoison,
        Feature::kAsyncStores}) {
    const auto without = open_userfault({.refuse = {feature}});
    for (const Feature other :
         {Feature::kUserfault, Feature::kKernelFaults, Feature::kMinor, Feature::kThreadId,
          Feature::kResolveProtected, Feature::kPoison, Feature::kAsyncStores}) {
      EXPECT_EQ(without->has(other), other != feature && all->has(other))
          << static_cast<int>(feature) << ' ' << static_cast<int>(other);
    }
  }
  EXPECT_EQ(open_userfault({.refuse = {Feature::kKernelFaults}})->origin(), Origin::kUserMode);
}

TEST_F(UserfaultOpen, WhatIsRefusedIsNotAskedOfTheKernel) {
  const auto userfault = open_userfault({.refuse = {Feature::kResolveProtected, Feature::kPoison}});
  alignas(kPage) static std::array<std::byte, kPage> page;
  EXPECT_EQ(userfault->resolve(page, Grant::kLoads), upto(0, Stop::kUnsupported));
  EXPECT_EQ(userfault->poison(page), upto(0, Stop::kUnsupported));
  EXPECT_EQ(userfault->calls(Call::kResolve), 0u);
  EXPECT_EQ(userfault->calls(Call::kPoison), 0u);
}

TEST_F(UserfaultOpen, ErrorsSayWhatToDo) {
  const auto refused = Userfault::open({.refuse = {Feature::kUserfault}});
  EXPECT_EQ(refused.code(), std::errc::operation_not_permitted);
  EXPECT_THAT(refused.error().message(), HasSubstr("seccomp"));
  const auto no_minor = Userfault::open({.refuse = {Feature::kMinor}});
  EXPECT_EQ(no_minor.code(), std::errc::not_supported);
  EXPECT_THAT(no_minor.error().message(), HasSubstr("Linux 5.19"));
  const auto no_async = Userfault::open(
      {.refuse = {Feature::kAsyncStores}, .async_stores = true, .in_thread = false});
  EXPECT_EQ(no_async.code(), std::errc::not_supported);

  EXPECT_THAT(how_to_allow_userfault({ENOSYS, ENOENT, ENOSYS}), HasSubstr("CONFIG_USERFAULTFD"));
  EXPECT_THAT(how_to_allow_userfault({EPERM, ENOENT, EINVAL}), HasSubstr("Linux 5.19"));
  EXPECT_THAT(how_to_allow_userfault({EMFILE, EMFILE, EMFILE}), HasSubstr("ulimit -n"));
  EXPECT_THAT(how_to_allow_userfault({EPERM, EACCES, EPERM}), HasSubstr("/dev/userfaultfd"));
  EXPECT_THAT(how_to_allow_userfault({EPERM, ENOENT, EPERM}),
              testing::Not(HasSubstr("/dev/userfaultfd")));
  EXPECT_THAT(how_to_allow_kernel_faults(), HasSubstr("vm.unprivileged_userfaultfd=1"));
}

TEST_F(UserfaultOpen, OutOfDescriptors) {
  // As a child: the limit would stay.
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    ::setrlimit(RLIMIT_NOFILE, &none);
    const auto opened = Userfault::open({});
    const bool told = !opened.ok() && opened.code() == std::errc::too_many_files_open &&
                      opened.error().context.find("ulimit -n") != std::string::npos;
    ::_exit(told ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// What an ordinary user may: at least faults of user mode.
TEST_F(UserfaultOpen, AsAnOrdinaryUser) {
  enum : int { kFine, kNotOpened, kWrongOrigin, kNotEnrolled, kNotResolved, kWrongValue };
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr unsigned kNobody = 65534;
    if (::geteuid() == 0 &&
        (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
         ::setresuid(kNobody, kNobody, kNobody) != 0)) {
      ::_exit(100);
    }
    const auto userfault = Userfault::open({});
    if (!userfault) ::_exit(kNotOpened);
    if ((**userfault).has(Feature::kKernelFaults) !=
        ((**userfault).origin() != Origin::kUserMode)) {
      ::_exit(kWrongOrigin);
    }
    TestMemory memory(1);
    memory.put(0, 'a');
    auto view = View::map(**userfault, memory.fd(), 0, 1, Access::kReadWrite);
    if (!view) ::_exit(kNotEnrolled);
    if (!(**view).resolve(0, 1, Grant::kLoadsAndStores).all()) ::_exit(kNotResolved);
    ::_exit(load((**view).memory().data()) == value('a') ? kFine : kWrongValue);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kFine);
}

TEST_F(UserfaultDeathTest, ViewsGoFirst) {
  EXPECT_DEATH(
      {
        auto userfault = open_userfault();
        const TestMemory memory(1);
        const auto view = View::map(*userfault, memory.fd(), 0, 1, Access::kRead);
        userfault.reset();
      },
      "views_");
}

// A page with a memory error, or one that cannot be swapped in. Fails, by an abort, if that counts as an answer that
// the kernel does not give.
TEST(UserfaultAnswers, APageThatTheKernelHasLostIsNoReasonToEnd) {
  EXPECT_EQ(UserfaultPeer::done(EIO, -EIO, 4 * kPage), upto(0, Stop::kLost));
  EXPECT_EQ(UserfaultPeer::done(EAGAIN, 2 * kPage, 4 * kPage), upto(2, Stop::kPartly));
  EXPECT_EQ(UserfaultPeer::done(0, 4 * kPage, 4 * kPage), kAll(4));
}

}  // namespace
}  // namespace quire::map
