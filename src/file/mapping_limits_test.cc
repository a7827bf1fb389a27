// Mappings where the process is at a limit: of memory, and of the kernel's mappings; and what they refuse.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cache/page_write.h"
#include "cache/test_pages.h"
#include "cache/test_views.h"
#include "cache/writeback.h"
#include "file/bus_handler.h"
#include "file/fork_guard.h"
#include "file/mapping_table.h"
#include "file/test_mapping.h"
#include "file/test_no_memory.h"
#include "map/test_faults.h"
#include "map/userfault_abi.h"

namespace quire::file {

struct FaultServicePeer {
  static sync::Mutex& mutex() { return FaultService::mutex_of_process(); }
};
struct BusHandlerPeer {
  static sync::Mutex& mutex() { return BusHandler::mutex(); }
};

namespace {

class MappingLimits : public MappedFile {};
// Every address that a mapping may have.
const std::span<const std::byte> kAnywhere(reinterpret_cast<const std::byte*>(kPage),
                                           ~std::size_t{0} >> 1);
INSTANTIATE_TEST_SUITE_P(Strategies, MappingLimits,
                         testing::Values(MappedAs{Locking::kGate}, MappedAs{Locking::kInode}));

#ifndef __SANITIZE_THREAD__  // it needs mappings of its own, and ends the program where there are none
// All mappings that the kernel gives the process (vm.max_map_count), while it lives.
class AllMappings {
 public:
  AllMappings() {
    std::size_t most = 0;
    std::ifstream("/proc/sys/vm/max_map_count") >> most;
    if (most > kMost) return;
    // Each page that is other than its neighbours is two more.
    bytes_ = (most + 2) * kPage;
    memory_ =
        ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT_NE(memory_, MAP_FAILED);
    if (memory_ == MAP_FAILED) return;
    for (std::size_t at = kPage; at < bytes_; at += 2 * kPage) {
      if (::mprotect(static_cast<std::byte*>(memory_) + at, kPage, PROT_NONE) == 0) continue;
      reached_ = true;
      return;
    }
  }
  ~AllMappings() {
    if (memory_ != MAP_FAILED) ::munmap(memory_, bytes_);
  }
  AllMappings(const AllMappings&) = delete;
  AllMappings& operator=(const AllMappings&) = delete;

  // Not where the kernel's limit is too large to use up.
  bool reached() const { return reached_; }
  static constexpr const char* kTooMany = "vm.max_map_count is beyond 1310720 here";

 private:
  // What distributions raise the limit to, and a little. More would take the kernel too much memory.
  static constexpr std::size_t kMost = std::size_t{5} << 18;
  std::size_t bytes_ = 0;
  void* memory_ = MAP_FAILED;
  bool reached_ = false;
};

// A part in the middle is unmapped when the kernel has no mapping left for what is behind it. All stays as it was.
// Fails if unmap() takes it out of the table of mappings first: an access to it is asked about for ever.
TEST_P(MappingLimits, WhatCannotBeUnmappedIsMapped) {
  map(8);
  ASSERT_TRUE(file_.write(std::vector<std::byte>(8 * kPage, std::byte{'f'}), 0).ok());
  Status unmapped;
  bool reached = false;
  {
    const AllMappings all;
    reached = all.reached();
    if (reached) unmapped = map_->unmap(3 * kPage, 2 * kPage);
  }
  if (!reached) GTEST_SKIP() << AllMappings::kTooMany;
  EXPECT_EQ(unmapped.code(), std::errc::not_enough_memory);
  EXPECT_TRUE(MappingTable::of_process().meets({at(3), 2 * kPage}));
  for (std::size_t page = 0; page < 8; ++page) {
    EXPECT_EQ(static_cast<char>(*at(page)), 'f') << "page " << page;
    *at(page) = std::byte{'s'};
  }
  ASSERT_TRUE(map_->unmap(3 * kPage, 2 * kPage).ok());
  EXPECT_FALSE(MappingTable::of_process().meets({at(3), 2 * kPage}));
  EXPECT_EQ(static_cast<char>(*at(5)), 's');
}

// The same where the program has cut the part up for the kernel, which has come to the first piece when it finds no
// mapping left for the second. Fails if View::close_off() does not give that back what it took: accesses raise
// SIGSEGV, in memory that is mapped.
TEST_P(MappingLimits, WhatCannotAllBeUnmappedIsMapped) {
  make_uncached(filled(8 * kPage, 'i'));
  map(8);
  ASSERT_EQ(::madvise(at(3), kPage, MADV_RANDOM), 0);
  store_->set_hook(when(StoreOp::kRead, held()));
  const auto waits = map::Accessor::loads(at(3));
  until([&] { return store_->held() == 1; });
  Status unmapped;
  bool reached = false;
  {
    const AllMappings all;
    reached = all.reached();
    if (reached) unmapped = map_->unmap(3 * kPage, 2 * kPage);
  }
  store_->set_hook({});
  store_->release_held();
  EXPECT_EQ(waits->outcome(), map::value('i'));
  if (!reached) GTEST_SKIP() << AllMappings::kTooMany;
  EXPECT_EQ(unmapped.code(), std::errc::not_enough_memory);
  for (std::size_t page = 0; page < 8; ++page) {
    EXPECT_EQ(map::load(at(page)), map::value('i')) << "page " << page;
    EXPECT_EQ(map::store(at(page), 's'), map::value('s')) << "page " << page;
  }
  ASSERT_TRUE(map_->unmap(3 * kPage, 2 * kPage).ok());
}

// protect() fails as there. Fails, by a store that nobody hears of, if View::set_access() leaves the first piece with
// leave to store: where nothing can be shown for loads alone, a page that may not be stored into is shown without being
// protected.
TEST_P(MappingLimits, WhatCannotAllBeAllowedIsNot) {
  const bool marks = map::kernel_offers(map::abi::kFeatureWpAsync);
  for (const bool watches : {false, true}) {
    if (watches && !marks) continue;
    SCOPED_TRACE(watches ? "async_stores" : "no CONTINUE for loads alone");
    make({}, 0);
    FaultService::refuse(watches ? map::FeatureSet{}
                                 : map::FeatureSet{map::Feature::kResolveProtected});
    store_->poke("f", filled(8 * kPage, 'i'));
    file_ = cache_->open("f", kRw).value();
    map(8, {.access = MapAccess::kRead, .async_stores = watches});
    EXPECT_EQ(map::load(at(0)), map::value('i'));
    ASSERT_EQ(::madvise(at(0), kPage, MADV_RANDOM), 0);
    Status allowed;
    bool reached = false;
    {
      const AllMappings all;
      reached = all.reached();
      if (reached) allowed = map_->protect(0, 2 * kPage, MapAccess::kReadWrite);
    }
    if (!reached) GTEST_SKIP() << AllMappings::kTooMany;
    EXPECT_EQ(allowed.code(), std::errc::not_enough_memory);
    EXPECT_EQ(map::load(at(0)), map::value('i'));
    EXPECT_EQ(map::store(at(0), 'X'), map::kSegv);
    ASSERT_TRUE(file_.sync().ok());
    ASSERT_TRUE(file_.advise(0, 0, Advice::kDontNeed).ok());
    std::byte byte{};
    ASSERT_TRUE(file_.read({&byte, 1}, 0).ok());
    EXPECT_EQ(map::load(at(0)), map::value(static_cast<int>(byte)));
    // With a mapping to spare.
    ASSERT_TRUE(map_->protect(0, 2 * kPage, MapAccess::kReadWrite).ok());
    EXPECT_EQ(map::store(at(0), 'Y'), map::value('Y'));
    ASSERT_TRUE(file_.sync().ok());
    EXPECT_EQ(static_cast<char>(store_->contents("f")[0]), 'Y');
  }
}

#endif

// There is no memory for what stays of the mapping: in the view, or in the table, when nobody can access the part any
// more. Then it goes later, alone or with the rest.
TEST_P(MappingLimits, APartIsUnmappedWithoutMemory) {
  for (const std::size_t left : {0, 1}) {
    for (const bool again : {false, true}) {
      map(8);
      std::byte* const begin = at(0);
      std::error_code error;
      {
        const NoMemory once(left, 1);
        error = map_->unmap(3 * kPage, 2 * kPage).code();
      }
      EXPECT_EQ(error, std::errc::not_enough_memory);
      EXPECT_TRUE(MappingTable::of_process().meets({begin + 3 * kPage, 2 * kPage}));
      if (again) {
        EXPECT_TRUE(map_->unmap(3 * kPage, 2 * kPage).ok());
        EXPECT_FALSE(MappingTable::of_process().meets({begin + 3 * kPage, 2 * kPage}));
        EXPECT_TRUE(MappingTable::of_process().meets({begin, 8 * kPage}));
      }
      // The table finds no memory for that either, and needs none.
      {
        const NoMemory once(0, 1);
        map_.reset();
        EXPECT_EQ(NoMemory::refusals_left(), 0u);
      }
      EXPECT_FALSE(MappingTable::of_process().meets({begin, 8 * kPage}));
    }
  }
}

// Memory runs out at each of the last places where map() needs some. Fails if what it has made by then stays in the
// table, which nobody would take out again; or among the file's views, which cuts would go through.
TEST_P(MappingLimits, AMappingThatCannotBeMadeLeavesNothing) {
  ASSERT_TRUE(file_.write(std::vector<std::byte>(kPage, std::byte{'f'}), 0).ok());
  constexpr std::size_t kMany = 100'000;
  std::size_t needed = 0;
  {
    const NoMemory counting(kMany);
    const Result<Mapping> mapping = file_.map(0, kPage);
    needed = kMany - NoMemory::left();
    ASSERT_TRUE(mapping.ok());
  }
  ASSERT_GT(needed, 8u);
  std::size_t refused = 0;
  for (std::size_t left = needed - 10; left < needed; ++left) {
    std::error_code error;
    {
      const NoMemory once(left, 1);
      error = file_.map(0, kPage).code();
    }
    // What was made the first time need not be made again.
    if (!error) break;
    ++refused;
    EXPECT_EQ(error, std::errc::not_enough_memory) << needed - left << " before the end";
    EXPECT_FALSE(MappingTable::of_process().meets(kAnywhere)) << needed - left << " before the end";
    EXPECT_TRUE(file_.write_and_invalidate(0, 0).ok());
  }
  EXPECT_GT(refused, 4u);
  map(1);
  EXPECT_EQ(static_cast<char>(*at(0)), 'f');
}

// As MADV_POPULATE_WRITE, and a read(2) into memory that may not be stored into. Fails if pages become dirty that
// nobody can store into.
TEST_P(MappingLimits, NothingIsBroughtInForStoresThatAreNotAllowed) {
  ASSERT_TRUE(file_.write(std::vector<std::byte>(4 * kPage, std::byte{'f'}), 0).ok());
  ASSERT_TRUE(file_.sync().ok());
  map(4);
  ASSERT_TRUE(map_->protect(kPage, kPage, MapAccess::kRead).ok());
  EXPECT_EQ(map_->populate(0, 0, MapAccess::kReadWrite).code(), std::errc::permission_denied);
  EXPECT_EQ(cache_->stats().dirty_pages, 0u);
  EXPECT_TRUE(map_->populate(0, 0, MapAccess::kRead).ok());
  EXPECT_TRUE(map_->populate(2 * kPage, 0, MapAccess::kReadWrite).ok());
  File other = cache_->open("g", kRw).value();
  ASSERT_TRUE(other.write(std::vector<std::byte>(kPage, std::byte{'g'}), 0).ok());
  EXPECT_EQ(other.read({at(1), kPage}, 0).code(), std::errc::bad_address);
  EXPECT_TRUE(other.read({at(2), kPage}, 0).ok());
  EXPECT_EQ(static_cast<char>(*at(2)), 'g');
  EXPECT_TRUE(other.close().ok());
}

// A page that is watched is written back, and there is no memory once it is pinned. Fails, by an end of the process, if
// Run makes room for the answers only when it asks.
TEST(MappingWithoutMemory, TheViewsAreAsked) {
  cache::OneFile file(filled(4 * kPage, 'i'));
  file.cache->flusher().stop();
  const auto views = std::make_shared<cache::TestViews>(4);
  auto mapped = file.pages->begin_mapped(views);
  ASSERT_TRUE(mapped.ok());
  views->map(*file.pages);
  ASSERT_FALSE(file.write(1, 'a'));
  views->answer_watched_load(1);
  std::optional<NoMemory> none;
  views->on_protect = [&](std::uint64_t, std::uint64_t) { none.emplace(); };
  bool asked = false;
  views->after_ask = [&] {
    asked = none.has_value();
    none.reset();
  };
  EXPECT_FALSE(cache::flush_all(*file.pages, 0, kLast, {}).error);
  EXPECT_TRUE(asked);
  EXPECT_EQ(file.stored().substr(kPage, kPage), std::string(kPage, 'a'));
  views->unmap();
}

// The first page of a file becomes dirty when there is no memory: it is held, and stored into. Fails, by an end of the
// process, if DirtyFiles::add() takes memory.
TEST(MappingWithoutMemory, AFileBecomesDirty) {
  cache::OneFile file(filled(kPage, 'i'));
  file.cache->flusher().stop();
  cache::PageWrite page(*file.pages);
  ASSERT_FALSE(file.cache->dirty().take(1, {}));
  ASSERT_FALSE(page.begin(0, 0, kPage, {}));
  std::fill_n(page.bytes(), kPage, std::byte{'w'});
  {
    const NoMemory none;
    page.finish(kPage);
  }
  EXPECT_FALSE(cache::flush_all(*file.pages, 0, kLast, {}).error);
  EXPECT_EQ(file.stored(), std::string(kPage, 'w'));
}

// RLIMIT_FSIZE, which is for memory files too. Each in a process of its own.
class MappingFileLimit : public MappedFile {
 protected:
  static constexpr std::size_t kMost = 8;
  // In a process that may have files of kMost pages.
  static void limited(const std::function<bool()>& holds) {
    const rlimit limit = {kMost * kPage, kMost * kPage};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    ::alarm(20);
    ::_exit(holds() ? 0 : 1);
  }
};
INSTANTIATE_TEST_SUITE_P(Strategies, MappingFileLimit, testing::Values(MappedAs{Locking::kRange}));

// Fails, by SIGXFSZ, if the memory gets its size by a bare ftruncate(2).
TEST_P(MappingFileLimit, EndsNoProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto holds = [&] {
    store_->poke("f", std::vector<std::byte>(2 * kMost * kPage, std::byte{'f'}));
    store_->poke("g", std::vector<std::byte>(kMost * kPage, std::byte{'g'}));
    file_ = cache_->open("f", kRw).value();
    if (file_.map(0, kPage, {.access = MapAccess::kRead}).code() != std::errc::file_too_large) {
      return false;
    }
    // One that grows past it.
    file_ = cache_->open("g", kRw).value();
    map(kMost + 1);
    if (map::load(at(kMost - 1)) != map::value('g')) return false;
    const std::vector<std::byte> page(kPage, std::byte{'w'});
    if (file_.write(page, kMost * kPage).value() != kPage) return false;
    until([&] { return logged("memory for a mapped file"); });
    return map::load(at(kMost)) == map::kBus && map::load(at(kMost - 1)) == map::value('g');
  };
  EXPECT_EXIT(limited(holds), testing::ExitedWithCode(0), "");
}

// The file grows, and its memory cannot. Fails, by SIGALRM, if FilePages::resize_memory() has the program's log called
// by who makes the file longer, and holds its write range and a page: the log waits for a thread that writes there.
TEST_P(MappingFileLimit, IsLoggedUnderNoLock) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  sync::Atomic<bool> said{false};
  const auto holds = [&] {
    store_->poke("g", std::vector<std::byte>(kMost * kPage, std::byte{'g'}));
    file_ = File();
    cache_.reset();
    CacheOptions options;
    options.memory_bytes = 8 << 20;
    const std::vector<std::byte> page(kPage, std::byte{'w'});
    options.log = [&](LogLevel, std::string_view text) {
      if (text.find("memory for a mapped file") == std::string_view::npos) return;
      bool written = false;
      sync::Thread other =
          start_thread("other", [&] { written = file_.write(page, kMost * kPage).ok(); });
      other.join();
      said = written;
    };
    cache_ = Cache::create(store_, options).value();
    file_ = cache_->open("g", kRw).value();
    map(1);
    if (!file_.write(page, kMost * kPage).ok()) return false;
    until([&] { return said.load(); });
    return true;
  };
  EXPECT_EXIT(limited(holds), testing::ExitedWithCode(0), "");
}

// As MADV_POPULATE_READ and MADV_POPULATE_WRITE. Fails if pages become dirty, and the file is stamped, where nothing is
// mapped.
TEST_P(MappingLimits, NothingIsBroughtInThatIsUnmapped) {
  ASSERT_TRUE(file_.write(std::vector<std::byte>(8 * kPage, std::byte{'f'}), 0).ok());
  ASSERT_TRUE(file_.sync().ok());
  const TimeSpec before{.seconds = 1000, .nanoseconds = 0};
  map(8);
  ASSERT_TRUE(map_->unmap(2 * kPage, 4 * kPage).ok());
  ASSERT_TRUE(file_.set_times(nullptr, &before).ok());
  for (const MapAccess access : {MapAccess::kRead, MapAccess::kReadWrite}) {
    EXPECT_EQ(map_->populate(2 * kPage, 4 * kPage, access).code(), std::errc::not_enough_memory);
    EXPECT_EQ(map_->populate(0, 0, access).code(), std::errc::not_enough_memory);
    EXPECT_EQ(map_->populate(5 * kPage, 2 * kPage, access).code(), std::errc::not_enough_memory);
  }
  EXPECT_EQ(cache_->stats().dirty_pages, 0u);
  EXPECT_EQ(file_.stat()->mtime.seconds, before.seconds);
  EXPECT_TRUE(map_->populate(0, 2 * kPage, MapAccess::kReadWrite).ok());
  EXPECT_TRUE(map_->populate(6 * kPage, 0, MapAccess::kRead).ok());
  EXPECT_EQ(cache_->stats().dirty_pages, 2u);
}

// So many threads of this process have that name.
std::size_t threads_named(const std::string& name) {
  std::size_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream comm(task.path() / "comm");
    std::string is;
    if (std::getline(comm, is) && is == name) ++count;
  }
  return count;
}

// Thousands of mappings, of the files of two caches. Fails if a mapping, or a cache, has a thread of its own; or with
// kFirstViewAlone, by a store that is lost.
TEST_P(MappingLimits, OneThreadAnswersForThousandsOfMappings) {
  constexpr std::size_t kMany = 1500;  // of each file
  const std::shared_ptr<MemoryStore> store = MemoryStore::create();
  const auto cache =
      Cache::create(store, {.memory_bytes = 8 << 20, .locking = GetParam().locking}).value();
  File other = cache->open("g", kRw).value();
  const std::array files = {&file_, &other};
  {
    std::array<std::vector<Mapping>, 2> mappings;
    for (std::size_t of = 0; of < files.size(); ++of) {
      ASSERT_TRUE(files[of]->truncate(kPage).ok());
      for (std::size_t i = 0; i < kMany; ++i) {
        Result<Mapping> made = files[of]->map(0, kPage);
        ASSERT_TRUE(made.ok()) << made.error().message();
        mappings[of].push_back(std::move(*made));
      }
    }
    const auto expect_all = [&](std::size_t of, char what) {
      std::size_t wrong = 0;
      for (const Mapping& mapping : mappings[of]) {
        if (static_cast<char>(*mapping.data()) != what) ++wrong;
      }
      EXPECT_EQ(wrong, 0u);
    };
    const std::array stores = {store_, store};
    for (std::size_t of = 0; of < files.size(); ++of) {
      char what = 'a';
      // Through the last one twice: it was let store before the syncs in between.
      for (const std::size_t by : {kMany - 1, std::size_t{0}, kMany / 2, kMany - 1}) {
        *mappings[of][by].data() = static_cast<std::byte>(++what);
        expect_all(of, what);
        ASSERT_TRUE(files[of]->sync().ok());
        EXPECT_EQ(static_cast<char>(stores[of]->contents(of == 0 ? "f" : "g")[0]), what);
      }
      ASSERT_TRUE(files[of]->punch(0, kPage).ok());
      expect_all(of, 0);
    }
    EXPECT_EQ(threads_named("quire-fault"), 1u);
  }
  EXPECT_TRUE(other.close().ok());
  EXPECT_TRUE(cache->close().ok());
}

// The process forks while a thread makes or ends a mapping. Fails, by SIGALRM, if the child takes the mutex of a thread
// that it has not got.
TEST_P(MappingLimits, AChildWaitsForNoThreadOfItsParents) {
  pid_t child = -1;
  {
    sync::MutexLock held(FaultServicePeer::mutex());
    sync::MutexLock bus(BusHandlerPeer::mutex());
    child = ::fork();
    if (child == 0) {
      ::alarm(20);
      FaultService::refuse({});
      ::_exit(BusHandler::install().ok() ? 0 : 1);
    }
  }
  ASSERT_GE(child, 0);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace quire::file
