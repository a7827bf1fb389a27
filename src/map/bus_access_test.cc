#include "map/bus_access.h"

#include <gtest/gtest.h>
#include <setjmp.h>
#include <sys/mman.h>

#include "map/test_faults.h"

namespace quire::map {
namespace {

sigjmp_buf after_bus;
std::optional<BusAccess> seen_access;

// What the handler of a signal is told of an access.
template <class Access>
std::optional<BusAccess> seen(Access&& make) {
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int, siginfo_t* info, void* context) {
    seen_access = bus_access(*info, context);
    siglongjmp(after_bus, 1);
  };
  struct sigaction before = {};
  ::sigaction(SIGBUS, &action, &before);
  if (sigsetjmp(after_bus, 1) == 0) {
    make();
    ADD_FAILURE() << "no signal";
  }
  ::sigaction(SIGBUS, &before, nullptr);
  return seen_access;
}

// Fails if describe() looks at other bits, or the address is not taken down to its page.
TEST(BusAccess, LoadsAndStores) {
  if (!kBusAccessKnown) GTEST_SKIP() << "this processor does not tell loads from stores";
  const TestMemory nothing(0);
  void* const at = ::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, nothing.fd(), 0);
  ASSERT_NE(at, MAP_FAILED);
  auto* const bytes = static_cast<volatile char*>(at);
  std::optional<BusAccess> access = seen([&] { (void)bytes[kPage + 77]; });
  ASSERT_TRUE(access);
  EXPECT_EQ(access->page, static_cast<std::byte*>(at) + kPage);
  EXPECT_FALSE(access->store);
  EXPECT_FALSE(access->in_sight);
  access = seen([&] { bytes[5] = 1; });
  ASSERT_TRUE(access);
  EXPECT_EQ(access->page, static_cast<std::byte*>(at));
  EXPECT_TRUE(access->store);
  EXPECT_FALSE(seen([] { ::raise(SIGBUS); })) << "sent by somebody";
  EXPECT_EQ(::munmap(at, 2 * kPage), 0);
}

// A store to a page that is in sight for loads alone. Fails if it is taken for one that is out of sight.
TEST(BusAccess, AStoreToAProtectedPage) {
  if (!kBusAccessKnown) GTEST_SKIP() << "this processor does not tell loads from stores";
  if (userfault_refused()) GTEST_SKIP() << kUserfaultRefused;
  const std::unique_ptr<Userfault> userfault = open_userfault({.refuse = {}, .in_thread = true});
  TestMemory memory(1);
  memory.put(0, 'm');
  void* const at = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd(), 0);
  ASSERT_NE(at, MAP_FAILED);
  auto* const bytes = static_cast<volatile char*>(at);
  const std::span<std::byte> page(static_cast<std::byte*>(at), kPage);
  ASSERT_TRUE(userfault->enroll(page).ok());
  std::optional<BusAccess> access = seen([&] { bytes[0] = 1; });
  ASSERT_TRUE(access);
  EXPECT_TRUE(access->store);
  EXPECT_FALSE(access->in_sight);
  ASSERT_TRUE(userfault->resolve(page, Grant::kLoadsAndStores).all());
  bytes[0] = 2;
  ASSERT_TRUE(userfault->protect(page).all());
  EXPECT_EQ(bytes[0], 2);
  access = seen([&] { bytes[0] = 3; });
  ASSERT_TRUE(access);
  EXPECT_TRUE(access->store);
  EXPECT_TRUE(access->in_sight);
  EXPECT_EQ(::munmap(at, kPage), 0);
}

}  // namespace
}  // namespace quire::map
