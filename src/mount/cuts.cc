// What changes the size of a file or cuts it up. filesystem.h says what is where, kernel_pages.h what mapped
// files need.
#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "mount/filesystem.h"
#include "mount/kernel_order.h"
#include "mount/limits.h"
#include "mount/request.h"

namespace quire::mount {
namespace {

// What fallocate(2) asks for. FUSE lets no other modes through.
struct Wanted {
  std::optional<Cut> cut;  // none: space
  bool keep_size = false;
};
std::optional<Wanted> wanted(int mode) {
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0:
      return Wanted{std::nullopt, keep_size};
    case FALLOC_FL_ZERO_RANGE:
      return Wanted{Cut::kZero, keep_size};
    case FALLOC_FL_PUNCH_HOLE:
      if (keep_size) return Wanted{Cut::kPunch, true};
      break;
    default:
      break;
  }
  return std::nullopt;
}

}  // namespace

void FileSystem::allocate(fuse_req_t request, OpenFile& open, int mode, std::uint64_t offset,
                          std::uint64_t length) {
  const std::optional<Wanted> asked = wanted(mode);
  if (!asked) {
    fuse_reply_err(request, EOPNOTSUPP);
    return;
  }
  drop_privileges(request, open.node);
  int number = 0;
  std::uint64_t ticket = 0;
  ByteRange changed = {0, 0};
  {
    const Interruptible interruptible(request);
    std::optional<KernelOrder> order;
    if (asked->keep_size) {
      order.emplace(open.node, offset, length, sync::RangeMode::kExclusive, interruptible.limit());
    } else {
      order.emplace(open.node, *open.file, offset, interruptible.limit());
    }
    number = order->error();
    if (number == 0) {
      FileImpl& file = *open.file;
      const std::uint64_t old_end = file.size_bytes();
      const Status done =
          asked->cut ? file.cut(*asked->cut, offset, length, asked->keep_size, interruptible.call())
                     : file.allocate(offset, length, asked->keep_size, interruptible.call());
      KernelPages& pages = open.node.file().kernel_pages();
      changed = tail_gap(old_end, file.size_bytes());
      // What the kernel holds of the range it drops when it has the answer. Until then it may write pages back
      // that it had before.
      if (asked->cut && done.ok()) {
        changed.begin = std::min(offset, old_end);
        changed.end = std::max(changed.end, std::min(offset + length, old_end));
      }
      if (done.ok()) {
        if (changed.begin < changed.end) ticket = pages.written(changed);
      } else {
        // The kernel keeps what it has. It may be out of date: a program that is killed does not wait for the
        // source, which may do it all the same.
        number = errno_of(done.code());
        changed = {std::min(offset, old_end), offset + length};
        ticket = pages.doubted(changed);
        notifier_->forget_attributes(parts_.nodes.number(open.node));
      }
    }
  }
  drop_then(open.node, changed, ticket, [request, number] { fuse_reply_err(request, number); });
}

// The kernel's pages of what moves would be written back to where they were. So it is asked to give them back,
// dirty ones first written, and if it was given others by the time that everybody else is kept out, somebody
// uses a mapping just now: EBUSY.
int FileSystem::shift(fuse_req_t request, OpenFile& open, Cut kind, std::uint64_t offset,
                      std::uint64_t length, const Interruptible& interruptible) {
  FileImpl& file = *open.file;
  KernelPages& pages = open.node.file().kernel_pages();
  const std::uint64_t grants = pages.grants();
  if (pages.any() && !recall(open.node)) return EBUSY;
  // It needs the names, which come before the order.
  drop_privileges(request, open.node);
  const KernelOrder order(open.node, 0, 0, sync::RangeMode::kExclusive, interruptible.limit());
  if (const int number = order.error(); number != 0) return number;
  if (!pages.dropped_all(grants)) return EBUSY;
  const Status done = file.cut(kind, offset, length, false, interruptible.call());
  // The kernel does not know that an ioctl changed the size, and a cut that was given up may still do it.
  notifier_->forget_attributes(parts_.nodes.number(open.node));
  return done.ok() ? 0 : errno_of(done.code());
}

int FileSystem::resize(Node& node, FileImpl& file, std::uint64_t size,
                       const Interruptible& interruptible) {
  const KernelOrder order(node, file, size, interruptible.limit());
  if (const int number = order.error(); number != 0) return number;
  const std::uint64_t old_end = file.size_bytes();
  const Status done = file.truncate(size, interruptible.call());
  if (!done.ok()) {
    // It may still happen. No more than this: the kernel writes no page back until it has the answer, so that
    // nobody may wait for that.
    notifier_->forget_attributes(parts_.nodes.number(node));
    return errno_of(done.code());
  }
  KernelPages& pages = node.file().kernel_pages();
  pages.cut(size);
  // The kernel drops what it holds of the file when it is told of the new size.
  if (const ByteRange gap = tail_gap(old_end, size); gap.begin < gap.end) (void)pages.written(gap);
  return 0;
}

}  // namespace quire::mount
