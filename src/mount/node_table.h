// NodeTable: the nodes that the kernel knows, by number and by the object's id.
//
// A node lives while the kernel has not forgotten its lookups, while a node that is reached through it
// lives, or while the daemon uses it (NodeHold). There are as many as the kernel's own cache of names
// holds, which it bounds by its memory; each costs some 200 bytes and no descriptor.
//
// Invariants:
//  1. A node that the kernel may name in a request is in the table: it has lookups, or is the root.
//  2. A name's parent has a hold for it, so parents outlive those below them.
//  3. A node whose object has lost its last name is not found by its id any more: an object made later may
//     have the same one.
//  4. A node that had a name has one, or a descriptor that reaches it.
//
// Names change only under names_lock(), exclusively; whoever follows names shares it. All calls may be made
// from any thread.
#ifndef QUIRE_MOUNT_NODE_TABLE_H_
#define QUIRE_MOUNT_NODE_TABLE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mount/node.h"
#include "sync/mutex.h"
#include "sync/range_lock.h"

namespace quire::mount {

class NodeTable {
 public:
  // Called with a node that is about to be destroyed, under no lock.
  using OnGone = std::function<void(Node&)>;
  // Called with a regular file that the kernel has forgotten, that has lost its last name, and that the daemon
  // still uses; it is held meanwhile. Under no lock.
  using OnForgotten = std::function<void(Node&)>;

  NodeTable(ObjectId root, OnGone on_gone);
  ~NodeTable();
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  // Once, before the first request.
  void tell_forgotten(OnForgotten on_forgotten) { on_forgotten_ = std::move(on_forgotten); }

  Node& root() noexcept { return *root_; }
  // The node of a number that the kernel was told.
  Node& node(std::uint64_t number) noexcept;
  std::uint64_t number(const Node& node) const noexcept;

  // The kernel is about to be told that `name` in `parent` is this object: one lookup more.
  Node& look_up(ObjectId id, mode_t type, Node& parent, std::string_view name);
  // The kernel forgets `count` lookups of the node, which may be gone afterwards.
  void forget(Node& node, std::uint64_t count);
  // The kernel may still name the node in a request.
  bool is_known(const Node& node) const;
  // Uses of the daemon's own.
  void hold(Node& node);
  void release(Node& node);
  // The node of an object, held, or null.
  Node* find(const ObjectId& id);

  // What is known of where the node is. Valid while the names lock is shared.
  std::vector<NodeName> names(const Node& node) const;
  SharedFd unnamed(const Node& node) const;
  // For messages: the path beneath the source by one of its names; "" for the root.
  std::string path(const Node& node) const;

  // REQUIRES: the names lock, exclusively, for the next two.
  // The name is gone. `last`: the object has no other, known here or not. `fd` reaches it, and is kept if no
  // name does.
  void drop_name(Node& node, Node& parent, std::string_view name, bool last, SharedFd fd);
  // The name leads elsewhere now.
  void move_name(Node& node, Node& parent, std::string_view name, Node& new_parent,
                 std::string_view new_name);

  sync::RangeLock& names_lock() noexcept { return names_lock_; }
  std::size_t size() const;
  // Calls `visit` with every regular node, held, outside the mutex.
  void for_each_file(const std::function<void(Node&)>& visit);

 private:
  struct IdHash {
    std::size_t operator()(const ObjectId& id) const noexcept {
      return std::hash<std::uint64_t>()(id.low * 0x9e3779b97f4a7c15ULL ^ id.high);
    }
  };
  // Takes out what nothing keeps any more, parents after children.
  void settle(Node* node, std::vector<std::unique_ptr<Node>>& gone) REQUIRES(mutex_);
  void finish(std::vector<std::unique_ptr<Node>>& gone);
  void unlist(Node& node) REQUIRES(mutex_);
  // If it is known. The parent may be held by nothing any more.
  void erase_name(Node& node, Node& parent, std::string_view name) REQUIRES(mutex_);
  void remember(Node& node, Node& parent, std::string_view name) REQUIRES(mutex_);

  const OnGone on_gone_;
  OnForgotten on_forgotten_;
  sync::RangeLock names_lock_{sync::Rank::kNames};
  mutable sync::Mutex mutex_;
  std::unordered_map<ObjectId, Node*, IdHash> by_id_ GUARDED_BY(mutex_);
  std::unordered_set<Node*> unlisted_ GUARDED_BY(mutex_);  // the others
  std::uint64_t generations_ GUARDED_BY(mutex_) = 0;       // given to nodes so far
  std::unique_ptr<Node> root_;
};

// Keeps a node for a scope.
class NodeHold {
 public:
  // `node` is held already and may be null.
  NodeHold(NodeTable& table, Node* node) noexcept : table_(&table), node_(node) {}
  NodeHold(NodeHold&& other) noexcept
      : table_(other.table_), node_(std::exchange(other.node_, nullptr)) {}
  NodeHold& operator=(NodeHold&&) = delete;
  ~NodeHold() {
    if (node_ != nullptr) table_->release(*node_);
  }
  Node* get() const noexcept { return node_; }

 private:
  NodeTable* table_;
  Node* node_;
};

// Follows names for a scope, or changes them.
class NamesGuard {
 public:
  NamesGuard(NodeTable& table, sync::RangeMode mode) : lock_(table.names_lock()) {
    lock_.lock(hold_, 0, ~std::uint64_t{0}, mode);
  }
  ~NamesGuard() { lock_.unlock(hold_); }
  NamesGuard(const NamesGuard&) = delete;
  NamesGuard& operator=(const NamesGuard&) = delete;

 private:
  sync::RangeLock& lock_;
  sync::RangeLock::Hold hold_;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_NODE_TABLE_H_
