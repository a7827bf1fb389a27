#include "file/mapping_table.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <utility>

#include "file/fork_guard.h"
#include "file/test_cache.h"
#include "file/test_no_memory.h"

namespace quire::file {

struct MappingTablePeer {
  static sync::Mutex& mutex(MappingTable& table) { return table.changes().mutex; }
  static auto look(MappingTable& table) { return table.changes().readers.enter(); }
};

namespace {

class Nothing final : public MappedMemory {
 public:
  Copied load(std::span<const std::byte> part, std::span<std::byte> /*to*/,
              const sync::WaitLimit& /*limit*/) override {
    return {part.size(), {}};
  }
  Copied store(std::span<std::byte> part, std::span<const std::byte> /*from*/,
               const sync::WaitLimit& /*limit*/) override {
    return {part.size(), {}};
  }
};

class Table : public testing::Test {
 protected:
  static constexpr std::size_t kPages = 16;

  // Pages [first, first + count) of the memory; file `file` from its page `file_page` on.
  std::span<const std::byte> pages(std::size_t first, std::size_t count) const {
    return std::span<const std::byte>(memory_->bytes).subspan(first * kPage, count * kPage);
  }
  std::span<const std::byte> bytes(std::size_t offset, std::size_t count) const {
    return std::span<const std::byte>(memory_->bytes).subspan(offset, count);
  }
  void add(std::size_t first, std::size_t count, std::uint64_t file, std::uint64_t file_page) {
    table_.add({.bytes = pages(first, count),
                .file = file,
                .offset = file_page * kPage,
                .memory = nothing_});
  }

  struct alignas(kPage) Memory {
    std::array<std::byte, kPages * kPage> bytes{};
  };
  const std::unique_ptr<Memory> memory_ = std::make_unique<Memory>();
  const std::shared_ptr<MappedMemory> nothing_ = std::make_shared<Nothing>();
  MappingTable table_;
};

// Fails if an end of a range is one byte off.
TEST_F(Table, BytesAtTheEnds) {
  EXPECT_TRUE(table_.empty());
  EXPECT_FALSE(table_.meets(pages(0, kPages)));
  add(4, 2, 1, 0);
  EXPECT_FALSE(table_.empty());
  EXPECT_FALSE(table_.meets(pages(0, 4)));
  EXPECT_TRUE(table_.meets(bytes(0, 4 * kPage + 1)));
  EXPECT_TRUE(table_.meets(bytes(4 * kPage, 1)));
  EXPECT_TRUE(table_.meets(bytes(6 * kPage - 1, 1)));
  EXPECT_TRUE(table_.meets(bytes(6 * kPage - 1, kPage)));
  EXPECT_FALSE(table_.meets(pages(6, 4)));
  EXPECT_TRUE(table_.meets(pages(0, kPages)));
  EXPECT_FALSE(table_.meets(bytes(5 * kPage, 0))) << "no byte";
  const std::array<std::span<const std::byte>, 3> parts = {pages(0, 1), bytes(0, 0), pages(5, 1)};
  const std::span<const std::span<const std::byte>> vector = parts;
  EXPECT_TRUE(table_.meets(vector));
  EXPECT_FALSE(table_.meets(vector.first(2)));
  table_.remove(pages(4, 2));
  EXPECT_TRUE(table_.empty());
}

// Fails if a head reaches past the end of a range, into the next, or is of another place in the file.
TEST_F(Table, HeadsLieInOneMappingOrInNone) {
  add(2, 2, 1, 10);
  add(4, 1, 2, 0);
  add(8, 4, 3, 100);
  struct Expected {
    std::size_t bytes;
    std::uint64_t file, offset;
  };
  const std::array<Expected, 6> expected = {{{2 * kPage - 7, 0, 0},
                                             {2 * kPage, 1, 10 * kPage},
                                             {kPage, 2, 0},
                                             {3 * kPage, 0, 0},
                                             {4 * kPage, 3, 100 * kPage},
                                             {4 * kPage, 0, 0}}};
  std::span<const std::byte> rest = bytes(7, kPages * kPage - 7);
  for (const Expected& e : expected) {
    const MappedRange head = table_.head(rest);
    EXPECT_EQ(head.bytes.data(), rest.data());
    EXPECT_EQ(head.bytes.size(), e.bytes);
    EXPECT_EQ(head.memory != nullptr, e.file != 0);
    if (e.file != 0) {
      EXPECT_EQ(head.file, e.file);
      EXPECT_EQ(head.offset, e.offset);
    }
    rest = rest.subspan(head.bytes.size());
  }
  EXPECT_TRUE(rest.empty());
  const MappedRange inside = table_.head(bytes(9 * kPage + 5, 10));
  EXPECT_EQ(inside.bytes.size(), 10u);
  EXPECT_EQ(inside.offset, 101 * kPage + 5);
  table_.remove(pages(0, kPages));
}

// Fails if what stays of a range shows another place of the file, or is lost.
TEST_F(Table, PartsCanBeTakenOut) {
  add(2, 6, 1, 20);
  add(10, 2, 2, 0);
  table_.remove(pages(4, 2));
  EXPECT_EQ(table_.head(pages(2, 6)).bytes.size(), 2 * kPage);
  EXPECT_FALSE(table_.meets(pages(4, 2)));
  const MappedRange behind = table_.head(pages(6, 6));
  EXPECT_EQ(behind.bytes.size(), 2 * kPage);
  EXPECT_EQ(behind.offset, 24 * kPage);
  // Of several, from the middle of one to the middle of the other; and where there is none.
  table_.remove(pages(7, 4));
  EXPECT_EQ(table_.head(pages(6, 6)).bytes.size(), kPage);
  EXPECT_EQ(table_.head(pages(11, 1)).offset, kPage);
  EXPECT_FALSE(table_.meets(pages(7, 4)));
  table_.remove(pages(7, 4));
  add(4, 2, 3, 0);
  EXPECT_EQ(table_.head(pages(4, 3)).file, 3u);
  table_.remove(pages(0, kPages));
  EXPECT_TRUE(table_.empty());
}

// Fails if another file, or bytes next to those, count.
TEST_F(Table, ShowsTheBytesThatItShows) {
  add(2, 2, 7, 10);
  const auto vector =
      bytes(kPage, 4 * kPage);  // a free page, pages 10 and 11 of the file, a free page
  EXPECT_TRUE(table_.shows(vector, 7, 10 * kPage, 1));
  EXPECT_TRUE(table_.shows(vector, 7, 0, 10 * kPage + 1));
  EXPECT_TRUE(table_.shows(vector, 7, 12 * kPage - 1, ~std::uint64_t{0}));
  EXPECT_FALSE(table_.shows(vector, 7, 0, 10 * kPage));
  EXPECT_FALSE(table_.shows(vector, 7, 12 * kPage, kPage));
  EXPECT_FALSE(table_.shows(vector, 8, 10 * kPage, 1));
  EXPECT_FALSE(table_.shows(bytes(kPage, kPage), 7, 0, ~std::uint64_t{0}));
  // What of the mapping the buffer is, not what the mapping is.
  EXPECT_FALSE(table_.shows(bytes(3 * kPage, kPage), 7, 10 * kPage, kPage));
  table_.remove(pages(0, kPages));
}

// Fails if add() does not look.
TEST_F(Table, TwoMappingsOfOneAddressDie) {
  EXPECT_DEATH(
      {
        add(2, 2, 1, 0);
        add(3, 2, 2, 0);
      },
      "any_in");
}

// The child of a fork has none of its parent's mappings: what lies at their addresses there is other memory. Fails if
// empty() does not ask which process it is.
TEST_F(Table, AChildHasNothingOfItsParents) {
  install_fork_guard();
  add(2, 2, 1, 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool right = table_.empty() && !table_.meets(bytes(2 * kPage, 1));
    add(3, 1, 2, 0);
    right = right && table_.meets(bytes(3 * kPage, 1)) && !table_.meets(bytes(2 * kPage, 1));
    ::_exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_TRUE(table_.meets(bytes(2 * kPage, 1)));
  table_.remove(pages(2, 2));
}

// The process forks while other threads change the table, and look at it: they are not in the child. Fails, by SIGALRM,
// if the child takes the mutex that one of them holds, or waits for the other to have looked.
TEST_F(Table, AChildWaitsForNobodyWhoIsNotThere) {
  install_fork_guard();
  add(2, 2, 1, 0);
  pid_t child = -1;
  {
    const auto looks = MappingTablePeer::look(table_);
    sync::MutexLock changes(MappingTablePeer::mutex(table_));
    child = ::fork();
    if (child == 0) {
      ::alarm(20);
      add(3, 1, 2, 0);
      const bool right =
          table_.meets(bytes(3 * kPage, 1)) && table_.remove(pages(3, 1)) && table_.empty();
      ::_exit(right ? 0 : 1);
    }
  }
  ASSERT_GE(child, 0);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(table_.meets(bytes(2 * kPage, 1)));
  EXPECT_TRUE(table_.remove(pages(2, 2)));
}

// A mapping is unmapped when there is no memory for another table. Fails if remove() throws then, or whole ranges stay,
// or keep their owner; or if a part of one is lost.
TEST_F(Table, WholeRangesGoWithoutMemory) {
  add(0, 2, 1, 0);
  add(2, 2, 2, 0);
  add(6, 2, 3, 0);
  std::weak_ptr<MappedMemory> owner;
  {
    const auto other = std::make_shared<Nothing>();
    table_.add({.bytes = pages(4, 2), .file = 4, .offset = 0, .memory = other});
    owner = other;
  }
  {
    const NoMemory none;
    EXPECT_FALSE(table_.remove(pages(3, 3))) << "what stays of pages 2 and 3 needs a place";
    EXPECT_FALSE(owner.expired());
    EXPECT_TRUE(table_.remove(pages(2, 4)));
  }
  EXPECT_TRUE(owner.expired());
  EXPECT_FALSE(table_.meets(pages(2, 4)));
  EXPECT_TRUE(table_.meets(pages(1, 2)));
  EXPECT_TRUE(table_.meets(pages(5, 2)));
  EXPECT_EQ(table_.head(pages(1, 6)).bytes.size(), kPage);
  EXPECT_EQ(table_.head(pages(2, 6)).memory, nullptr);
  EXPECT_EQ(table_.head(pages(2, 6)).bytes.size(), 4 * kPage);
  EXPECT_EQ(table_.head(pages(6, 2)).file, 3u);
  add(3, 2, 5, 0);
  EXPECT_EQ(table_.head(pages(3, 2)).file, 5u);
  {
    const NoMemory none;
    EXPECT_TRUE(table_.remove(pages(0, kPages)));
  }
  EXPECT_FALSE(table_.meets(pages(0, kPages)));
  EXPECT_TRUE(table_.remove(pages(0, kPages)));
  EXPECT_TRUE(table_.empty());
}

// Of many, whatever there is of them. Fails if remove() makes the new array longer step by step, as it copies.
TEST_F(Table, AChangeTakesMemoryOnce) {
  constexpr std::size_t kMany = 1000;
  for (std::size_t page = 0; page < kPages; page += 2) add(page, 1, 1, page);
  add(1, 1, 2, 0);
  const auto needs = [&](auto&& act) {
    const NoMemory counting(kMany);
    act();
    return kMany - NoMemory::left();
  };
  EXPECT_EQ(needs([&] { table_.remove(pages(1, 1)); }), 2u) << "the array, and what it holds";
  EXPECT_EQ(needs([&] { add(1, 1, 2, 0); }), 2u);
  table_.remove(pages(0, kPages));
}

// Lookers beside those who add and remove: what stays is found all the time. Fails (under ThreadSanitizer and
// AddressSanitizer) if replace() does not wait for those who look.
TEST_F(Table, LookersBesideChanges) {
  add(0, 2, 1, 0);
  std::atomic<bool> ended{false};
  std::atomic<std::size_t> looks{0};
  const auto look = [&] {
    while (!ended) {
      EXPECT_TRUE(table_.meets(pages(1, 2)));
      const MappedRange other = table_.head(pages(4, 4));
      EXPECT_TRUE(other.memory == nullptr || (other.file == 2 && other.bytes.size() == 2 * kPage));
      ++looks;
      sync::yield_thread();
    }
  };
  std::array<sync::Thread, 2> lookers = {start_thread("looker", look),
                                         start_thread("looker", look)};
  for (int i = 0; i < 100; ++i) {
    const std::size_t seen = looks;
    add(4, 2, 2, 0);
    table_.remove(pages(4, 2));
    until([&] { return looks > seen; });
  }
  ended = true;
  for (sync::Thread& looker : lookers) looker.join();
  table_.remove(pages(0, 2));
}

}  // namespace
}  // namespace quire::file
