// Thread-local state behind the seam: `thread_local` in normal builds; one value per fiber in `sim`
// builds, where every fiber runs on one thread.
//
//   struct Tag {};
//   HazardSlot& slot = sync::ThreadLocal<HazardSlot, Tag>::get();
//
// T is default-constructed at a thread's first get() and destroyed when the thread (fiber) ends.
#ifndef QUIRE_SYNC_THREAD_LOCAL_H_
#define QUIRE_SYNC_THREAD_LOCAL_H_

#ifdef QUIRE_SIM
#include "sync/sim/sim_thread_local.h"
#endif

namespace quire::sync {

#ifdef QUIRE_SIM
template <class T, class Tag>
using ThreadLocal = sim::SimThreadLocal<T, Tag>;
#else
template <class T, class Tag>
struct ThreadLocal {
  static T& get() {
    thread_local T value;
    return value;
  }
};
#endif

}  // namespace quire::sync

#endif  // QUIRE_SYNC_THREAD_LOCAL_H_
