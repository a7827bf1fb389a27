#include "mount/node_table.h"

#include <fuse3/fuse_lowlevel.h>

#include <algorithm>
#include <utility>

#include "mount/limits.h"
#include "mount/node_file.h"
#include "sync/check.h"

namespace quire::mount {

Node::Node(ObjectId id, mode_t type, std::uint64_t generation)
    : id_(id),
      type_(type & S_IFMT),
      generation_(generation),
      file_(S_ISREG(type) ? std::make_unique<NodeFile>(*this) : nullptr) {}

Node::~Node() = default;

NodeTable::NodeTable(ObjectId root, OnGone on_gone)
    : on_gone_(std::move(on_gone)), root_(std::make_unique<Node>(root, S_IFDIR, 0)) {
  sync::MutexLock lock(mutex_);
  root_->lookups_ = 1;
  root_->listed_ = true;
  by_id_.emplace(root, root_.get());
}

NodeTable::~NodeTable() {
  // The kernel sends no forgets for what it knew when a mount ends.
  std::vector<std::unique_ptr<Node>> gone;
  {
    sync::MutexLock lock(mutex_);
    for (const auto& [id, node] : by_id_) {
      if (node != root_.get()) gone.emplace_back(node);
    }
    for (Node* node : unlisted_) gone.emplace_back(node);
    by_id_.clear();
    unlisted_.clear();
  }
  for (const auto& node : gone) on_gone_(*node);
}

Node& NodeTable::node(std::uint64_t number) noexcept {
  if (number == FUSE_ROOT_ID) return *root_;
  return *reinterpret_cast<Node*>(static_cast<std::uintptr_t>(number));
}

std::uint64_t NodeTable::number(const Node& node) const noexcept {
  if (&node == root_.get()) return FUSE_ROOT_ID;
  return reinterpret_cast<std::uintptr_t>(&node);
}

void NodeTable::remember(Node& node, Node& parent, std::string_view name) {
  for (const NodeName& known : node.names_) {
    if (known.parent == &parent && known.name == name) return;
  }
  if (&node == root_.get()) return;
  // The name that was used last is the likeliest to hold.
  node.names_.push_back({&parent, std::string(name)});
  if (node.listed_) node.unnamed_.reset();
  std::rotate(node.names_.begin(), node.names_.end() - 1, node.names_.end());
  ++parent.holds_;
  if (node.names_.size() > limits::kNamesMax) {
    --node.names_.back().parent->holds_;  // which the kernel knows, or another child
    node.names_.pop_back();
  }
}

Node& NodeTable::look_up(ObjectId id, mode_t type, Node& parent, std::string_view name) {
  sync::MutexLock lock(mutex_);
  auto it = by_id_.find(id);
  if (it != by_id_.end() && it->second->type_ != (type & S_IFMT)) {
    // The number is used again, for another kind of object, without our unlink: the old one is gone.
    unlist(*it->second);
    it = by_id_.end();
  }
  if (it == by_id_.end()) {
    it = by_id_.emplace(id, new Node(id, type, ++generations_)).first;
    it->second->listed_ = true;
  }
  Node& node = *it->second;
  ++node.lookups_;
  remember(node, parent, name);
  return node;
}

void NodeTable::unlist(Node& node) {
  by_id_.erase(node.id_);
  node.listed_ = false;
  unlisted_.insert(&node);
}

void NodeTable::settle(Node* node, std::vector<std::unique_ptr<Node>>& gone) {
  std::vector<Node*> pending{node};
  while (!pending.empty()) {
    Node* const next = pending.back();
    pending.pop_back();
    if (next == root_.get() || next->lookups_ > 0 || next->holds_ > 0) continue;
    if (next->listed_) {
      by_id_.erase(next->id_);
    } else {
      unlisted_.erase(next);
    }
    for (const NodeName& name : next->names_) {
      if (--name.parent->holds_ == 0) pending.push_back(name.parent);
    }
    next->names_.clear();
    gone.emplace_back(next);
  }
}

void NodeTable::finish(std::vector<std::unique_ptr<Node>>& gone) {
  for (const auto& node : gone) on_gone_(*node);
}

void NodeTable::forget(Node& node, std::uint64_t count) {
  std::vector<std::unique_ptr<Node>> gone;
  bool tell = false;
  {
    sync::MutexLock lock(mutex_);
    QUIRE_CHECK(&node == root_.get() || node.lookups_ >= count);
    node.lookups_ -= std::min(count, node.lookups_);
    tell = on_forgotten_ && node.is_regular() && node.lookups_ == 0 && !node.listed_ &&
           node.holds_ > 0;
    if (tell) {
      ++node.holds_;
    } else {
      settle(&node, gone);
    }
  }
  finish(gone);
  if (!tell) return;
  on_forgotten_(node);
  release(node);
}

bool NodeTable::is_known(const Node& node) const {
  sync::MutexLock lock(mutex_);
  return node.lookups_ > 0;
}

void NodeTable::hold(Node& node) {
  sync::MutexLock lock(mutex_);
  ++node.holds_;
}

void NodeTable::release(Node& node) {
  std::vector<std::unique_ptr<Node>> gone;
  {
    sync::MutexLock lock(mutex_);
    QUIRE_CHECK(node.holds_ > 0);
    --node.holds_;
    settle(&node, gone);
  }
  finish(gone);
}

Node* NodeTable::find(const ObjectId& id) {
  sync::MutexLock lock(mutex_);
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return nullptr;
  ++it->second->holds_;
  return it->second;
}

std::vector<NodeName> NodeTable::names(const Node& node) const {
  sync::MutexLock lock(mutex_);
  return node.names_;
}

SharedFd NodeTable::unnamed(const Node& node) const {
  sync::MutexLock lock(mutex_);
  return node.unnamed_;
}

std::string NodeTable::path(const Node& node) const {
  sync::MutexLock lock(mutex_);
  std::string path;
  const Node* at = &node;
  // A directory has one name; the bound is for what somebody moved behind our back.
  for (int depth = 0; at != root_.get() && depth < 2048; ++depth) {
    if (at->names_.empty()) return path.empty() ? "(unlinked)" : "(unlinked)/" + path;
    const NodeName& name = at->names_.front();
    if (!path.empty()) path.insert(0, 1, '/');
    path.insert(0, name.name);
    at = name.parent;
  }
  return path;
}

void NodeTable::erase_name(Node& node, Node& parent, std::string_view name) {
  const auto it =
      std::find(node.names_.begin(), node.names_.end(), NodeName{&parent, std::string(name)});
  if (it == node.names_.end()) return;
  node.names_.erase(it);
  --parent.holds_;
}

void NodeTable::drop_name(Node& node, Node& parent, std::string_view name, bool last, SharedFd fd) {
  std::vector<std::unique_ptr<Node>> gone;
  {
    sync::MutexLock lock(mutex_);
    erase_name(node, parent, name);
    if (last && node.listed_) unlist(node);
    if (last || node.names_.empty()) node.unnamed_ = std::move(fd);
    settle(&parent, gone);
  }
  finish(gone);
}

void NodeTable::move_name(Node& node, Node& parent, std::string_view name, Node& new_parent,
                          std::string_view new_name) {
  std::vector<std::unique_ptr<Node>> gone;
  {
    sync::MutexLock lock(mutex_);
    erase_name(node, parent, name);
    remember(node, new_parent, new_name);
    settle(&parent, gone);
  }
  finish(gone);
}

std::size_t NodeTable::size() const {
  sync::MutexLock lock(mutex_);
  return by_id_.size() + unlisted_.size();
}

void NodeTable::for_each_file(const std::function<void(Node&)>& visit) {
  std::vector<Node*> files;
  {
    sync::MutexLock lock(mutex_);
    for (const auto& [id, node] : by_id_) {
      if (!node->is_regular()) continue;
      ++node->holds_;
      files.push_back(node);
    }
  }
  for (Node* node : files) {
    visit(*node);
    release(*node);
  }
}

}  // namespace quire::mount
