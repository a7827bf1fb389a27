#include "mount/tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <utility>
#include <vector>

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U  // Linux 5.8; the field is in every header that has statx
#endif

namespace quire::mount {
namespace {

constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_MNT_ID;

// An error of a name that is known: too few descriptors, for one, is not "gone".
int step_error(int number) {
  return number == ENOENT || number == ENOTDIR ? ESTALE : number;
}

}  // namespace

std::string proc_path(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

ObjectId id_of(const struct statx& stat) {
  return {::makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino};
}

Tree::Tree(int root, std::uint64_t mount_id, ObjectId root_id, std::size_t fds_max)
    : root_(root),
      mount_id_(mount_id),
      root_id_(root_id),
      fds_(std::make_unique<DirectoryFds>(fds_max)) {}

Result<Tree> Tree::open(int root, std::size_t fds_max) {
  struct statx stat = {};
  if (::statx(root, "", AT_EMPTY_PATH, kWanted, &stat) != 0) {
    return Error(std::error_code(errno, std::generic_category()), "stat of the source");
  }
  if (::access("/proc/self/fd", X_OK) != 0) {
    return Error(std::error_code(errno, std::generic_category()),
                 "/proc is needed and is not there; mount it: mount -t proc proc /proc");
  }
  // Before Linux 5.8 mounts are told apart by their device alone.
  const std::uint64_t mount_id = (stat.stx_mask & STATX_MNT_ID) != 0 ? stat.stx_mnt_id : 0;
  return Tree(root, mount_id, id_of(stat), fds_max);
}

Answer<struct statx> Tree::stat_of(int fd, const char* name, int flags) const {
  struct statx stat = {};
  if (::statx(fd, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, kWanted, &stat) != 0) {
    return fails(errno);
  }
  if (stat.stx_mnt_id != mount_id_ && (stat.stx_mask & STATX_MNT_ID) != 0) return fails(EXDEV);
  if (id_of(stat).high != root_id_.high) return fails(EXDEV);
  return stat;
}

Answer<struct statx> Tree::stat(int directory, const char* name) const {
  return stat_of(directory, name, 0);
}

// One step down from a directory that is open.
Answer<SharedFd> Tree::step(const SharedFd& parent, const Node& node,
                            const std::string& name) const {
  store::Fd fd(::openat(parent->get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.ok()) return fails(step_error(errno));
  const auto stat = stat_of(fd.get(), "", AT_EMPTY_PATH);
  if (!stat) return fails(stat.error());
  if (id_of(*stat) != node.id()) return fails(ESTALE);
  return std::make_shared<const store::Fd>(std::move(fd));
}

Answer<struct statx> Tree::stat_step(const SharedFd& parent, const Node& node,
                                     const std::string& name) const {
  auto stat = stat_of(parent->get(), name.c_str(), 0);
  if (!stat) return fails(step_error(stat.error()));
  if (id_of(*stat) != node.id()) return fails(ESTALE);
  return stat;
}

template <class T, class Find>
Answer<T> Tree::by_names(Node& node, const Find& find) const {
  int number = ESTALE;
  for (const NodeName& name : nodes_->names(node)) {
    const Answer<SharedFd> parent = directory(*name.parent);
    if (!parent) {
      number = parent.error();
      continue;
    }
    Answer<T> found = find(*parent, name.name);
    if (found) return found;
    if (found.error() != ESTALE) number = found.error();
  }
  return fails(number);
}

// What is open already, or never has to be found by a name.
Answer<SharedFd> Tree::known_directory(Node& node) const {
  if (SharedFd known = fds_->get(node)) return known;
  if (&node == &nodes_->root()) {
    store::Fd fd(::openat(root_, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd.ok()) return fails(errno);
    return fds_->put(node, std::make_shared<const store::Fd>(std::move(fd)));
  }
  if (SharedFd unnamed = nodes_->unnamed(node)) return unnamed;
  return SharedFd();
}

Answer<SharedFd> Tree::directory(Node& node) const {
  // Up to the nearest that is open, then down again: a tree may be deeper than any stack.
  std::vector<std::pair<Node*, std::string>> down;
  Node* at = &node;
  SharedFd fd;
  for (;;) {
    auto known = known_directory(*at);
    if (!known) return known;
    if (*known != nullptr) {
      fd = std::move(*known);
      break;
    }
    // A directory has one name; the last that led to it is the likeliest.
    std::vector<NodeName> names = nodes_->names(*at);
    if (names.empty() || down.size() > nodes_->size()) return fails(ESTALE);
    down.emplace_back(at, std::move(names.front().name));
    at = names.front().parent;
  }
  for (; !down.empty(); down.pop_back()) {
    auto next = step(fd, *down.back().first, down.back().second);
    if (!next) return next;
    fd = fds_->put(*down.back().first, std::move(*next));
  }
  return fd;
}

Answer<SharedFd> Tree::reach(Node& node) const {
  if (node.is_directory()) return directory(node);
  if (SharedFd unnamed = nodes_->unnamed(node)) return unnamed;
  return by_names<SharedFd>(node, [&](const SharedFd& parent, const std::string& name) {
    return step(parent, node, name);
  });
}

Answer<struct statx> Tree::stat(Node& node) const {
  SharedFd fd;
  if (node.is_directory()) {
    auto known = directory(node);
    if (!known) return fails(known.error());
    fd = std::move(*known);
  } else {
    fd = nodes_->unnamed(node);
  }
  if (fd != nullptr) return stat_of(fd->get(), "", AT_EMPTY_PATH);
  return by_names<struct statx>(node, [&](const SharedFd& parent, const std::string& name) {
    return stat_step(parent, node, name);
  });
}

Answer<store::Fd> Tree::reopen(int path_fd, int flags) {
  // O_NONBLOCK: should it be a FIFO after all. O_NOFOLLOW would mean the link in /proc itself.
  store::Fd fd(::open(proc_path(path_fd).c_str(),
                      (flags & ~O_NOFOLLOW) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd.ok()) return fails(errno);
  return fd;
}

Answer<store::Fd> Tree::open(Node& node, int flags) const {
  const auto path_fd = reach(node);
  if (!path_fd) return fails(path_fd.error());
  return reopen((*path_fd)->get(), flags);
}

}  // namespace quire::mount
