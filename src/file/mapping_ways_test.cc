// Mappings of one file that are answered in different ways (FaultWay) at once, and mappings of an ordinary user. Each
// test names the change to the code that makes it fail.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cache/test_pages.h"
#include "file/fault_service.h"
#include "file/file_view.h"
#include "file/mapping_table.h"
#include "file/test_cache.h"
#include "file/test_cuts.h"
#include "file/test_mapping.h"
#include "map/test_faults.h"
#include "map/userfault_abi.h"
#include "quire/mapping.h"

namespace quire::file {
namespace {

using map::kBus;
using map::load;
using map::value;

constexpr std::size_t kWaysPages = 24;

// A file of pages of 'i', none of them cached.
class MappingWays : public MappedFile {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    MappedFile::SetUp();
    if (IsSkipped()) return;
    make_uncached(filled(kWaysPages * kPage, 'i'));
  }
  static bool marks() { return map::kernel_offers(map::abi::kFeatureWpAsync); }
  char at_store(std::size_t page, std::size_t in_page) {
    return static_cast<char>(store_->contents("f")[page * kPage + in_page]);
  }
  char read(std::uint64_t offset) {
    std::byte byte{};
    EXPECT_EQ(file_.read({&byte, 1}, offset).value(), 1u);
    return static_cast<char>(byte);
  }

  // Everything that one mapping of a pair does must be so of the other.
  void expect_one_file(const MapOptions& one, const MapOptions& other);
};

INSTANTIATE_TEST_SUITE_P(Strategies, MappingWays,
                         testing::Values(MappedAs{Locking::kGate}, MappedAs{Locking::kRange},
                                         MappedAs{Locking::kInode}),
                         mapped_as_name);

void MappingWays::expect_one_file(const MapOptions& one, const MapOptions& other) {
  Result<Mapping> first = file_.map(0, kWaysPages * kPage, one);
  ASSERT_TRUE(first.ok()) << first.error().message();
  Result<Mapping> second = file_.map(0, kWaysPages * kPage, other);
  ASSERT_TRUE(second.ok()) << second.error().message();
  const std::array bytes = {first->data(), second->data()};
  const auto at = [&](int of, std::size_t page, std::size_t in_page = 0) {
    return bytes[static_cast<std::size_t>(of)] + page * kPage + in_page;
  };
  // What one stores the other loads, out of sight and in sight.
  for (const int of : {0, 1}) {
    const std::size_t page = 2 + static_cast<std::size_t>(of);
    for (const char what : {'a', 'b'}) {
      EXPECT_EQ(map::store(at(of, page), what), value(what));
      EXPECT_EQ(load(at(1 - of, page)), value(what));
      EXPECT_EQ(read(page * kPage), what);
    }
  }
  // Each store after a writeback is written back by the next: of each alone, and of both.
  ASSERT_TRUE(file_.sync().ok());
  char what = 'A';
  for (const int of : {0, 1, 2, 1, 0}) {
    ++what;
    if (of != 1) {
      EXPECT_EQ(map::store(at(0, 2, 8), what), value(what));
    }
    if (of != 0) {
      EXPECT_EQ(map::store(at(1, 2, 16), what), value(what));
    }
    ASSERT_TRUE(file_.sync().ok());
    if (of != 1) {
      EXPECT_EQ(at_store(2, 8), what);
    }
    if (of != 0) {
      EXPECT_EQ(at_store(2, 16), what);
    }
  }
  // One while the page is written back, for the other's store: by the next sync.
  for (const int of : {0, 1}) {
    EXPECT_EQ(map::store(at(of, 5), 'c'), value('c'));
    sync::Atomic<bool> hold{true};
    store_->set_hook([&](const StoreRequest& request) {
      return request.op == StoreOp::kWrite && hold.exchange(false) ? held() : StoreVerdict{};
    });
    sync::Thread syncs = start_thread("syncs", [&] { EXPECT_TRUE(file_.sync().ok()); });
    until([&] { return store_->held() == 1; });
    EXPECT_EQ(map::store(at(1 - of, 5, 8), 'd'), value('d'));
    EXPECT_EQ(store_->release_held(), 1u);
    syncs.join();
    store_->set_hook({});
    ASSERT_TRUE(file_.sync().ok());
    EXPECT_EQ(at_store(5, 0), 'c');
    EXPECT_EQ(at_store(5, 8), 'd');
    ASSERT_TRUE(file_.write(filled(kPage, 'i'), 5 * kPage).ok());
  }
  // What is written, written directly and cut is so in both.
  const CallOptions direct{.path = IoPath::kDirect};
  for (const int of : {0, 1}) EXPECT_EQ(load(at(of, 7)), value('i'));
  ASSERT_TRUE(file_.write(filled(kPage, 'w'), 7 * kPage).ok());
  for (const int of : {0, 1}) EXPECT_EQ(load(at(of, 7)), value('w'));
  ASSERT_TRUE(file_.write(filled(kPage, 'x'), 7 * kPage, direct).ok());
  for (const int of : {0, 1}) EXPECT_EQ(load(at(of, 7)), value('x'));
  ASSERT_TRUE(file_.punch(7 * kPage, kPage).ok());
  for (const int of : {0, 1}) EXPECT_EQ(load(at(of, 7)), value(0));
  ASSERT_TRUE(file_.truncate(20 * kPage).ok());
  for (const int of : {0, 1}) {
    EXPECT_EQ(load(at(of, 20)), kBus);
    EXPECT_EQ(map::store(at(of, 19), 'y'), value('y'));
  }
  // Buffers of one for the pages of the other.
  EXPECT_EQ(file_.read({at(0, 10), kPage}, 7 * kPage).value(), kPage);
  EXPECT_EQ(load(at(1, 10)), value(0));
  EXPECT_EQ(file_.write({at(1, 19), kPage}, 11 * kPage).value(), kPage);
  EXPECT_EQ(load(at(0, 11)), value('y'));
  // One goes; the other is as before.
  ASSERT_TRUE(first->unmap().ok());
  EXPECT_EQ(load(bytes[1] + 2 * kPage + 8), value(what));
  EXPECT_EQ(map::store(bytes[1] + 12 * kPage, 'z'), value('z'));
  ASSERT_TRUE(second->unmap().ok());
  ASSERT_TRUE(file_.sync().ok());
  EXPECT_EQ(at_store(12, 0), 'z');
}

// Fails if FileViews::protect() or hide() leaves out views of a way, or ask() those that are asked about each store.
TEST_P(MappingWays, InThreadBesideTheDefault) {
  expect_one_file({.in_thread = true}, {});
}

TEST_P(MappingWays, AsyncStoresBesideTheDefault) {
  if (!marks()) GTEST_SKIP() << "no UFFD_FEATURE_WP_ASYNC here";
  expect_one_file({.async_stores = true}, {});
}

TEST_P(MappingWays, AsyncStoresBesideBothInThread) {
  if (!marks()) GTEST_SKIP() << "no UFFD_FEATURE_WP_ASYNC here";
  expect_one_file({.async_stores = true, .in_thread = true}, {.in_thread = true});
}

// A thread stores through each way into the same pages, while they are written back all the time. Fails, in most runs,
// if a store of any of them is lost.
TEST_P(MappingWays, StoresThroughAllWaysBesideWriteback) {
  std::vector<MapOptions> ways = {{}, {.in_thread = true}};
  if (marks()) {
    ways.push_back({.async_stores = true});
    ways.push_back({.async_stores = true, .in_thread = true});
  }
  std::vector<Mapping> mappings;
  for (const MapOptions& way : ways) {
    mappings.push_back(file_.map(0, kWaysPages * kPage, way).value());
  }
  constexpr std::size_t kRounds = 20'000;
  sync::Atomic<std::size_t> running{ways.size()};
  std::vector<sync::Thread> threads;
  for (std::size_t of = 0; of < ways.size(); ++of) {
    threads.push_back(start_thread("stores", [&, of] {
      sigset_t signals;
      sigemptyset(&signals);
      sigaddset(&signals, SIGBUS);
      ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
      std::byte* const bytes = mappings[of].data();
      for (std::size_t round = 0; round < kRounds; ++round) {
        // Each page by its own way at the last.
        const std::size_t page = (round + of) % 4;
        *static_cast<volatile std::byte*>(bytes + page * kPage + of) =
            static_cast<std::byte>(round / 4 % 100);
      }
      running.fetch_sub(1);
    }));
  }
  while (running.load() > 0) EXPECT_TRUE(file_.sync().ok());
  for (sync::Thread& thread : threads) thread.join();
  ASSERT_TRUE(file_.sync().ok());
  const auto last = static_cast<char>((kRounds - 1) / 4 % 100);
  for (std::size_t page = 0; page < 4; ++page) {
    for (std::size_t of = 0; of < ways.size(); ++of) {
      EXPECT_EQ(at_store(page, of), last) << "page " << page << ", way " << of;
      EXPECT_EQ(static_cast<char>(mappings[of].data()[page * kPage + of]), last);
    }
  }
}

// Each of two services has, for a fault at an address that was one of its own, the last of the other's mappings in hand
// (FaultService::fault()), and lets go of it. Fails, by a hang, if leave() ends a service on the thread of another.
TEST_P(MappingWays, ServicesDoNotWaitForEachOther) {
  struct LastOne final : map::Posted {
    void run() noexcept override {
      running->fetch_add(1);
      until([&] { return running->load() == 2; });
      mapping.reset();
      done = true;
    }
    std::shared_ptr<MappedMemory> mapping;
    sync::Atomic<int>* running = nullptr;
    sync::Atomic<bool> done{false};
  };
  sync::Atomic<int> running{0};
  std::array<LastOne, 2> lasts;
  std::array<FaultService*, 2> services{};
  std::array<Mapping, 2> mappings = {file_.map(0, kPage).value(),
                                     file_.map(0, kPage, {.in_thread = true}).value()};
  for (std::size_t i : {0, 1}) {
    lasts[i].running = &running;
    lasts[i].mapping = MappingTable::of_process().head({mappings[i].data(), 1}).memory;
    services[i] = &dynamic_cast<FileView&>(*lasts[i].mapping).service();
    ASSERT_TRUE(mappings[i].unmap().ok());
  }
  for (std::size_t i : {0, 1}) services[i]->post(lasts[1 - i]);
  until([&] { return lasts[0].done.load() && lasts[1].done.load(); });
}

// A failure of what a process of its own finds.
void must(bool is_so, const char* what) {
  if (is_so) return;
  static_cast<void>(::write(STDERR_FILENO, what, std::strlen(what)));
  ::_exit(1);
}

// From now on the process is an ordinary user's.
void be_nobody() {
  constexpr unsigned kNobody = 65534;
  if (::geteuid() != 0) return;
  must(::setgroups(0, nullptr) == 0 && ::setresgid(kNobody, kNobody, kNobody) == 0 &&
           ::setresuid(kNobody, kNobody, kNobody) == 0,
       "no longer root");
  // As in a process that has been his from the start: his /proc/self is his own.
  must(::prctl(PR_SET_DUMPABLE, 1) == 0, "dumpable");
}

// Fails if File::map() wants more than a userfaultfd for faults of user mode; or if File's calls, given memory that the
// kernel may not ask about, do not bring it in.
TEST_P(MappingWays, AnOrdinaryUserMaps) {
  const auto process = [&](const MapOptions& options) {
    be_nobody();
    Result<Mapping> mapped = file_.map(0, kWaysPages * kPage, options);
    must(mapped.ok(), mapped.ok() ? "" : mapped.error().message().c_str());
    bool asks_kernel = false;
    {
      const auto service = FaultService::of_process(
          {.in_thread = options.in_thread, .async_stores = options.async_stores});
      must(service.ok(), "a service");
      asks_kernel = (*service)->userfault().has(map::Feature::kKernelFaults);
      must(asks_kernel == ((*service)->userfault().origin() != map::Userfault::Origin::kUserMode),
           "origin");
    }
    std::byte* const data = mapped->data();
    must(load(data) == value('i'), "a load");
    must(map::store(data + kPage, 's') == value('s'), "a store");
    must(mapped->sync().ok() && at_store(1, 0) == 's', "a sync");
    must(map::store(data + kPage, 't') == value('t'), "a store to a clean page");
    must(file_.sync().ok() && at_store(1, 0) == 't', "a sync of the file");
    std::array<int, 2> pipe{};
    must(::pipe(pipe.data()) == 0, "a pipe");
    const bool answered = asks_kernel && !options.in_thread;
    errno = 0;
    must(::write(pipe[1], data + 16 * kPage, 10) == (answered ? 10 : -1), "a system call");
    must(answered || errno == EFAULT, "EFAULT");
    must(file_.write({data + 17 * kPage, kPage}, 2 * kPage).ok(), "a write from the mapping");
    must(file_.read({data + 18 * kPage, kPage}, kPage).ok(), "a read into it");
    must(load(data + 18 * kPage) == value('t'), "what was read");
    must(mapped->populate(20 * kPage, kPage, MapAccess::kReadWrite).ok(), "populate");
    must(file_.punch(0, 2 * kPage).ok() && load(data + kPage) == value(0), "a cut");
    must(file_.truncate(19 * kPage).ok() && load(data + 20 * kPage) == kBus, "the end");
    must(file_.truncate(kWaysPages * kPage).ok() && load(data + 20 * kPage) == value(0), "growth");
    must(mapped->unmap(0, 4 * kPage).ok() && load(data) == map::kSegv, "a part");
    must(mapped->unmap().ok(), "all");
    ::_exit(0);
  };
  EXPECT_EXIT(process({}), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(process({.in_thread = true}), testing::ExitedWithCode(0), "");
  if (marks()) {
    EXPECT_EXIT(process({.async_stores = true}), testing::ExitedWithCode(0), "");
  }
}

}  // namespace
}  // namespace quire::file
