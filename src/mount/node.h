// Node: one file, directory or other object of the source as the kernel knows it, under the number that
// the kernel uses for it (its address). Hard links are one node.
//
// A node is reached by its names: each is a parent, which is a node too, and a name in it. Names belong to
// the tree that Quire owns: they change by this mount's own unlink and rename, under NodeTable's names
// lock. A name that leads to another object (somebody changed the source behind our back) does not count;
// Tree checks the object's id each time.
#ifndef QUIRE_MOUNT_NODE_H_
#define QUIRE_MOUNT_NODE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "quire/store.h"
#include "store/fd.h"
#include "sync/mutex.h"

namespace quire::mount {

class Node;
class NodeFile;

using SharedFd = std::shared_ptr<const store::Fd>;

struct NodeName {
  Node* parent;
  std::string name;

  friend bool operator==(const NodeName&, const NodeName&) = default;
};

class Node {
 public:
  Node(ObjectId id, mode_t type, std::uint64_t generation);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  const ObjectId& id() const noexcept { return id_; }
  // Tells nodes apart that had the same number one after the other.
  std::uint64_t generation() const noexcept { return generation_; }
  bool is_directory() const noexcept { return S_ISDIR(type_); }
  bool is_regular() const noexcept { return S_ISREG(type_); }
  bool is_symlink() const noexcept { return S_ISLNK(type_); }

  // The engine's side of a regular file. Made with the node, so that it needs no lock.
  NodeFile& file() noexcept { return *file_; }

 private:
  friend class NodeTable;
  friend class DirectoryFds;

  const ObjectId id_;
  const mode_t type_;  // S_IFMT bits
  const std::uint64_t generation_;
  const std::unique_ptr<NodeFile> file_;

  // Guarded by the table's mutex.
  std::uint64_t lookups_ = 0;  // that the kernel has not forgotten
  std::uint32_t holds_ = 0;    // names of others below it, and this daemon's own uses
  bool listed_ = false;        // found by its id
  std::vector<NodeName> names_;
  SharedFd unnamed_;  // O_PATH, of a node that has lost the last name known of it

  // Guarded by DirectoryFds.
  SharedFd directory_fd_;
  std::list<Node*>::iterator recent_;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_NODE_H_
