// AttributeChange: the time in which Quire itself changes attributes of an object through the host: its
// mode, owner, links, extended attributes, or the stamps of a file that is not open. The host's ctime
// then changes, which must not be taken for the work of another program: the file's pages would be
// dropped, or its next sync fail with ESTALE.
//
//   file::AttributeChange change(cache.inodes(), id);
//   fchmod(...); statx(..., &now);
//   change.done(now);
//
// Any number of them may overlap, on one object too, and with opens, closes and writeback of it. The object
// need not be known to the cache.
//
// Who calls: whoever changes the host's attributes, holding no lock, while the cache is not closed.
#ifndef QUIRE_FILE_ATTRIBUTE_CHANGE_H_
#define QUIRE_FILE_ATTRIBUTE_CHANGE_H_

#include <cstdint>

#include "file/inode.h"
#include "file/inode_table.h"
#include "quire/store.h"

namespace quire::file {

class AttributeChange {
 public:
  // Before the host is asked for the change.
  AttributeChange(InodeTable& table, const ObjectId& id)
      : table_(table), id_(id), looks_(table.begin_attribute_change(id)) {}
  // Without done(): what the object has now is looked at through its handles, if it is open. If not, the
  // next open may take the change for another program's, and then reads its pages again.
  ~AttributeChange() {
    if (open_) table_.end_attribute_change_unseen(id_, looks_);
  }
  AttributeChange(const AttributeChange&) = delete;
  AttributeChange& operator=(const AttributeChange&) = delete;

  // `now`: what the host has after the change, whether it succeeded or not. The file shows its ctime
  // then; kTimes: and its atime and mtime. An object without links is forgotten when it is closed.
  void done(const ObjectStat& now, Inode::Attribute what = Inode::Attribute::kOther) {
    open_ = false;
    table_.end_attribute_change(id_, looks_, &now, what);
  }

 private:
  InodeTable& table_;
  const ObjectId id_;
  const std::uint64_t looks_;
  bool open_ = true;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_ATTRIBUTE_CHANGE_H_
