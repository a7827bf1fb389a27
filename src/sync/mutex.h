// sync::Mutex: std::mutex with clang's annotations, and a yield point in `sim` builds. For short
// critical sections that wait for nothing; whatever waits for IO, memory or people goes through
// Parker and the locks built on it.
#ifndef QUIRE_SYNC_MUTEX_H_
#define QUIRE_SYNC_MUTEX_H_

#include <mutex>

#include "sync/thread_annotations.h"

#ifdef QUIRE_SIM
#include "sync/sim/sim_mutex.h"
#endif

namespace quire::sync {

#ifdef QUIRE_SIM
using RawMutex = sim::SimMutex;
#else
using RawMutex = std::mutex;
#endif

class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() ACQUIRE() { raw_.lock(); }
  bool try_lock() TRY_ACQUIRE(true) { return raw_.try_lock(); }
  void unlock() RELEASE() { raw_.unlock(); }

 private:
  friend class Condition;  // lends raw_ to the wait

  RawMutex raw_;
};

// Holds a Mutex for a scope; may let go and take it again in between.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void unlock() RELEASE() {
    held_ = false;
    mutex_.unlock();
  }
  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_MUTEX_H_
