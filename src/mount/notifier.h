// Notifier: the one thread that asks the kernel to drop pages of its cache. The kernel writes dirty ones back
// first and waits for READs of them, so the thread that asks waits for the workers; a worker that asked
// would wait for itself. Workers hand it what to drop and what to do then, and go on.
//
// The queue is bounded by the requests that the daemon has taken, each of which has at most one job here, and
// during a recall by the files that were mapped.
//
// Who calls: any thread. `then` runs on the notifier's thread and must not wait for a job.
#ifndef QUIRE_MOUNT_NOTIFIER_H_
#define QUIRE_MOUNT_NOTIFIER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "mount/kernel_pages.h"
#include "quire/result.h"
#include "sync/condition.h"
#include "sync/mutex.h"
#include "sync/thread.h"

struct fuse_session;

namespace quire::mount {

class Notifier {
 public:
  // Asks the kernel to drop the bytes of the node with this number; end 0: all of the file; kAttributes: no
  // bytes. It forgets the attributes in any case. 0 or an errno; ENOENT where it does not know the node.
  using Drop = std::function<int(std::uint64_t number, ByteRange bytes)>;
  static constexpr ByteRange kAttributes{~std::uint64_t{0}, ~std::uint64_t{0}};
  static Drop through(fuse_session* session);

  static Result<std::unique_ptr<Notifier>> start(Drop drop);
  // Finishes what was handed over. REQUIRES: nobody hands over more.
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // `then` is called with what drop() returned.
  void drop(std::uint64_t number, ByteRange bytes, std::function<void(int)> then);
  // Has the kernel forget the attributes that it was told. It waits for nothing then, so that this thread can
  // ask, whatever request it serves.
  void forget_attributes(std::uint64_t number) const { (void)drop_(number, kAttributes); }
  std::uint64_t recalls() const;

 private:
  struct Job {
    std::uint64_t number;
    ByteRange bytes;
    std::function<void(int)> then;
  };
  explicit Notifier(Drop drop) : drop_(std::move(drop)) {}
  void run();

  const Drop drop_;
  mutable sync::Mutex mutex_;
  sync::Condition changed_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  bool ending_ GUARDED_BY(mutex_) = false;
  std::uint64_t recalls_ GUARDED_BY(mutex_) = 0;
  sync::Thread thread_;
};

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_NOTIFIER_H_
