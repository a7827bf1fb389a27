#include "mount/node_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mount/limits.h"

namespace quire::mount {
namespace {

constexpr ObjectId kRoot{1, 2};

class NodeTableTest : public testing::Test {
 protected:
  Node& file(Node& parent, std::uint64_t number, const char* name) {
    return table_.look_up({1, number}, S_IFREG | 0644, parent, name);
  }
  Node& directory(Node& parent, std::uint64_t number, const char* name) {
    return table_.look_up({1, number}, S_IFDIR | 0755, parent, name);
  }

  std::vector<std::uint64_t> gone_;
  NodeTable table_{kRoot, [this](Node& node) { gone_.push_back(node.id().low); }};
};

TEST_F(NodeTableTest, ANodeLivesUntilItsLookupsAreForgotten) {
  Node& a = file(table_.root(), 10, "a");
  EXPECT_EQ(&file(table_.root(), 10, "a"), &a);
  EXPECT_EQ(&table_.node(table_.number(a)), &a);
  table_.forget(a, 1);
  EXPECT_TRUE(gone_.empty());
  table_.forget(a, 1);
  EXPECT_EQ(gone_, std::vector<std::uint64_t>{10});
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(NodeTableTest, HardLinksAreOneNodeWithTwoNames) {
  Node& a = file(table_.root(), 10, "a");
  Node& b = file(table_.root(), 10, "b");
  EXPECT_EQ(&a, &b);
  EXPECT_EQ(table_.names(a).size(), 2U);
  EXPECT_EQ(table_.names(a).front().name, "b") << "the last used first";
}

TEST_F(NodeTableTest, ParentsOutliveThoseBelowThem) {
  Node& d = directory(table_.root(), 20, "d");
  Node& f = file(d, 21, "f");
  EXPECT_EQ(table_.path(f), "d/f");
  table_.forget(d, 1);
  EXPECT_TRUE(gone_.empty());
  table_.forget(f, 1);
  EXPECT_EQ(gone_, (std::vector<std::uint64_t>{21, 20}));
}

TEST_F(NodeTableTest, TheDaemonsOwnUseKeepsANode) {
  Node& f = file(table_.root(), 10, "f");
  table_.hold(f);
  table_.forget(f, 1);
  EXPECT_TRUE(gone_.empty());
  table_.release(f);
  EXPECT_EQ(gone_.size(), 1U);
}

TEST_F(NodeTableTest, ANumberUsedAgainAfterTheLastUnlinkIsAnotherNode) {
  Node& old = file(table_.root(), 10, "a");
  {
    NamesGuard names(table_, sync::RangeMode::kExclusive);
    table_.drop_name(old, table_.root(), "a", true, nullptr);
  }
  Node& fresh = file(table_.root(), 10, "b");
  EXPECT_NE(&fresh, &old);
  EXPECT_EQ(table_.path(old), "(unlinked)");
  EXPECT_EQ(table_.size(), 3U);
  table_.forget(old, 1);
  EXPECT_EQ(gone_.size(), 1U);
  NodeHold found(table_, table_.find({1, 10}));
  EXPECT_EQ(found.get(), &fresh);
}

// Broken by: drop_name() that keeps the descriptor only when the object has no name at all.
TEST_F(NodeTableTest, ANodeWithoutAKnownNameKeepsADescriptorUntilItHasOne) {
  Node& node = file(table_.root(), 10, "a");
  const auto fd = std::make_shared<const store::Fd>();
  {
    NamesGuard names(table_, sync::RangeMode::kExclusive);
    table_.drop_name(node, table_.root(), "a", false, fd);
  }
  EXPECT_EQ(table_.unnamed(node), fd);
  EXPECT_EQ(&file(table_.root(), 10, "b"), &node) << "found by its id still";
  EXPECT_EQ(table_.unnamed(node), nullptr);
}

TEST_F(NodeTableTest, TellsOfAForgottenFileWithoutANameThatIsInUse) {
  std::vector<std::uint64_t> told;
  table_.tell_forgotten([&](Node& node) { told.push_back(node.id().low); });
  Node& unused = file(table_.root(), 10, "a");
  Node& named = file(table_.root(), 11, "b");
  Node& used = file(table_.root(), 12, "c");
  table_.hold(named);
  table_.hold(used);
  {
    NamesGuard names(table_, sync::RangeMode::kExclusive);
    table_.drop_name(unused, table_.root(), "a", true, nullptr);
    table_.drop_name(used, table_.root(), "c", true, nullptr);
  }
  EXPECT_TRUE(table_.is_known(used));
  for (Node* node : {&unused, &named, &used}) table_.forget(*node, 1);
  EXPECT_EQ(told, std::vector<std::uint64_t>{12});
  EXPECT_EQ(gone_, std::vector<std::uint64_t>{10});
  EXPECT_FALSE(table_.is_known(used));
  table_.release(used);
  table_.release(named);
  EXPECT_EQ(gone_.size(), 3U);
}

TEST_F(NodeTableTest, ANumberOfAnotherKindIsAnotherNode) {
  Node& old = file(table_.root(), 10, "a");
  Node& fresh = directory(table_.root(), 10, "a");
  EXPECT_NE(&fresh, &old);
  EXPECT_TRUE(fresh.is_directory());
}

TEST_F(NodeTableTest, ARenameMovesTheNameAndItsHold) {
  Node& from = directory(table_.root(), 20, "from");
  Node& to = directory(table_.root(), 30, "to");
  Node& f = file(from, 21, "f");
  {
    NamesGuard names(table_, sync::RangeMode::kExclusive);
    table_.move_name(f, from, "f", to, "g");
  }
  EXPECT_EQ(table_.path(f), "to/g");
  table_.forget(from, 1);
  EXPECT_EQ(gone_, std::vector<std::uint64_t>{20}) << "nothing is below it any more";
  table_.forget(to, 1);
  EXPECT_EQ(gone_.size(), 1U);
}

TEST_F(NodeTableTest, RemembersOnlySoManyNames) {
  Node* node = nullptr;
  for (std::size_t i = 0; i < limits::kNamesMax + 4; ++i) {
    node = &file(table_.root(), 10, ("name" + std::to_string(i)).c_str());
  }
  EXPECT_EQ(table_.names(*node).size(), limits::kNamesMax);
}

TEST_F(NodeTableTest, VisitsEveryFile) {
  Node& d = directory(table_.root(), 20, "d");
  file(d, 21, "f");
  file(table_.root(), 22, "g");
  std::size_t seen = 0;
  table_.for_each_file([&](Node& node) {
    EXPECT_TRUE(node.is_regular());
    ++seen;
  });
  EXPECT_EQ(seen, 2U);
}

}  // namespace
}  // namespace quire::mount
