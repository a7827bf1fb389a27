// SimThreadLocal<T, Tag>: what sync::ThreadLocal is in the simulation build. One T per fiber, made
// at the fiber's first get() and destroyed when it ends, last made first; outside a run, one T.
#ifndef QUIRE_SYNC_SIM_SIM_THREAD_LOCAL_H_
#define QUIRE_SYNC_SIM_SIM_THREAD_LOCAL_H_

#include <memory>

#include "sync/sim/hooks.h"

namespace quire::sync::sim {

template <class T, class Tag>
struct SimThreadLocal {
  static T& get() {
    if (running_fiber() == kNobody) {
      thread_local T outside;
      return outside;
    }
    if (void* const value = fiber_local(&key_, &destroy)) return *static_cast<T*>(value);
    // The constructor may be a yield point and may use other thread-local state.
    auto made = std::make_unique<T>();
    void*& slot = fiber_local(&key_, &destroy);
    slot = made.release();
    return *static_cast<T*>(slot);
  }
  static T* get_or_null() { return &get(); }

 private:
  static void destroy(void* value) { delete static_cast<T*>(value); }

  static inline char key_ = 0;  // its address is the key
};

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_SIM_THREAD_LOCAL_H_
