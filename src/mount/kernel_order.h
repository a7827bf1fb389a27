// KernelOrder: what orders reads and writes of a file with what the kernel's cache of it is given and gives
// back (kernel_pages.h).
//
// Who calls: the file system's operations, before any lock of the engine's.
#ifndef QUIRE_MOUNT_KERNEL_ORDER_H_
#define QUIRE_MOUNT_KERNEL_ORDER_H_

#include <algorithm>
#include <cstdint>

#include "file/cache_impl.h"
#include "mount/answer.h"
#include "mount/kernel_pages.h"
#include "mount/node.h"
#include "mount/node_file.h"
#include "quire/limits.h"
#include "sync/range_lock.h"

namespace quire::mount {

// Holds what kernel_pages.h asks for, for a scope.
class KernelOrder {
 public:
  KernelOrder(Node& node, std::uint64_t offset, std::uint64_t size, sync::RangeMode mode,
              const sync::WaitLimit& limit)
      : lock_(node.file().kernel_order()) {
    const std::uint64_t page = quire::limits::kPageBytes;
    const std::uint64_t last = size == 0 || offset > kLast - size ? kLast : offset + size - 1;
    status_ = lock_.lock(hold_, offset / page, last / page, mode, limit);
  }
  // For what may make the file longer: from the page of its present end on, or of `offset` if that comes
  // first. The end does not move while this is held, but by its holder.
  KernelOrder(Node& node, const FileImpl& file, std::uint64_t offset, const sync::WaitLimit& limit)
      : lock_(node.file().kernel_order()) {
    for (;;) {
      const std::uint64_t size = file.size_bytes();
      status_ = lock_.lock(hold_, std::min(offset, size) / quire::limits::kPageBytes, kLast,
                           sync::RangeMode::kExclusive, limit);
      if (status_ != sync::WaitStatus::kReady || file.size_bytes() >= std::min(offset, size))
        return;
      lock_.unlock(hold_);  // cut meanwhile
    }
  }
  ~KernelOrder() {
    if (status_ == sync::WaitStatus::kReady) lock_.unlock(hold_);
  }
  KernelOrder(const KernelOrder&) = delete;
  KernelOrder& operator=(const KernelOrder&) = delete;

  // 0 if it is held, or an errno.
  int error() const {
    const std::error_code error = sync::to_error(status_);
    return error ? errno_of(error) : 0;
  }

 private:
  static constexpr std::uint64_t kLast = ~std::uint64_t{0};

  sync::RangeLock& lock_;
  sync::RangeLock::Hold hold_;
  sync::WaitStatus status_;
};

// The bytes that a file which ended at `old_end` gains up to `end` in the page where it ended: zeros, whatever
// somebody stored there through a mapping while they lay beyond the end.
inline ByteRange tail_gap(std::uint64_t old_end, std::uint64_t end) {
  const std::uint64_t page = quire::limits::kPageBytes;
  if (end <= old_end) return {old_end, old_end};
  return {old_end, std::max(old_end, std::min(end, (old_end + page - 1) / page * page))};
}

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_KERNEL_ORDER_H_
