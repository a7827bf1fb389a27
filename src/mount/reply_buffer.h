// reply_buffer: memory of a worker's own for the data of one answer, limits::kRequestMaxBytes, made when the
// thread first needs it.
#ifndef QUIRE_MOUNT_REPLY_BUFFER_H_
#define QUIRE_MOUNT_REPLY_BUFFER_H_

#include <cstddef>
#include <memory>

#include "mount/limits.h"
#include "sync/thread_local.h"

namespace quire::mount {

struct ReplyBufferTag {};

inline std::byte* reply_buffer() {
  auto& buffer = sync::ThreadLocal<std::unique_ptr<std::byte[]>, ReplyBufferTag>::get();
  if (buffer == nullptr)
    buffer = std::make_unique_for_overwrite<std::byte[]>(limits::kRequestMaxBytes);
  return buffer.get();
}

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_REPLY_BUFFER_H_
