// Thread-local state behind the seam: `thread_local` in normal builds; one value per fiber in `sim`
// builds, where every fiber runs on one thread.
//
//   struct Tag {};
//   HazardSlot& slot = sync::ThreadLocal<HazardSlot, Tag>::get();
//
// T is default-constructed at a thread's first get() and destroyed when the thread (fiber) ends. What
// runs later still in the ending thread, destructors of other thread-local objects, must use
// get_or_null() unless T's destructor is trivial.
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
    if (here_ != nullptr) [[likely]]
      return *here_;
    return make();
  }
  // Null when this thread's T has been destroyed.
  static T* get_or_null() {
    if (here_ != nullptr) [[likely]]
      return here_;
    return gone_ ? nullptr : &make();
  }

 private:
  struct Holder {
    Holder() noexcept { here_ = &value; }
    ~Holder() {
      here_ = nullptr;
      gone_ = true;
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    T value;
  };
  [[gnu::noinline]] static T& make() {
    thread_local Holder holder;
    return holder.value;
  }

  // Where this thread's T is. At a fixed distance from the thread pointer, so that a shared library
  // reaches it without a call; it lies in what the C library keeps for libraries loaded late.
  [[gnu::tls_model("initial-exec")]] static inline constinit thread_local T* here_ = nullptr;
  [[gnu::tls_model("initial-exec")]] static inline constinit thread_local bool gone_ = false;
};
#endif

}  // namespace quire::sync

#endif  // QUIRE_SYNC_THREAD_LOCAL_H_
