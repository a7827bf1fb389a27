// LocalGlobalLock: guards state that is kept once per stripe. The *local* side is the common case
// and cheap: it locks one stripe, as a rule the calling thread's own, and two threads on different
// stripes do not meet, not even in a cache line. The *global* side locks every stripe, in order,
// for whoever must see or change all of the state at once. (The kernel's lglock is the model.)
//
//   LocalGlobalLock<> lock_;
//   std::array<Counters, LocalGlobalLock<>::kStripeCount> counters_;  // [i] guarded by stripe i
//
//   { LocalGlobalLock<>::LocalGuard local(lock_);  ++counters_[local.stripe()].hits; }
//   { LocalGlobalLock<>::GlobalGuard global(lock_);  for (auto& c : counters_) ...; }
//
// From anywhere but a signal handler; for short sections that wait for nothing, as Mutex.
//
//  1. Who is on the global side is alone: nobody is on a local one.
//  2. Of those on the local side no two are on the same stripe.
//  3. Stripes are locked in rising order only, so two global sides cannot deadlock. Whoever holds a
//     local side takes no other side of the same lock.
//  4. What was taken from a stripe goes back to that stripe, whichever thread gives it back: keep
//     stripe() with it and use LocalGuard(lock, stripe).
//
// Clang's analysis sees the local side as a shared hold and the global side as an exclusive one. It
// cannot see that stripe i guards element i.
#ifndef QUIRE_SYNC_LOCAL_GLOBAL_LOCK_H_
#define QUIRE_SYNC_LOCAL_GLOBAL_LOCK_H_

#include <array>
#include <cstddef>

#include "sync/check.h"
#include "sync/mutex.h"
#include "sync/thread_annotations.h"

namespace quire::sync {

// Numbers the threads that ask, from 0 in the order in which they first do. Numbers are not reused.
std::size_t thread_ordinal() noexcept;

template <std::size_t kStripes = 16>
class CAPABILITY("local/global lock") LocalGlobalLock {
  // ThreadSanitizer follows at most 64 mutexes held by a thread.
  static_assert(kStripes > 0 && kStripes <= 64);

 public:
  static constexpr std::size_t kStripeCount = kStripes;

  class LocalGuard;
  class GlobalGuard;

  LocalGlobalLock() = default;
  LocalGlobalLock(const LocalGlobalLock&) = delete;
  LocalGlobalLock& operator=(const LocalGlobalLock&) = delete;

  static std::size_t this_thread_stripe() noexcept { return thread_ordinal() % kStripes; }

 private:
  // A cache line pair each: the processor fetches neighbouring lines together.
  struct alignas(128) Stripe {
    Mutex mutex;
  };

  void lock_local(std::size_t stripe) noexcept NO_THREAD_SAFETY_ANALYSIS {
    QUIRE_DCHECK(stripe < kStripes);
    stripes_[stripe].mutex.lock();
  }
  void unlock_local(std::size_t stripe) noexcept NO_THREAD_SAFETY_ANALYSIS {
    stripes_[stripe].mutex.unlock();
  }

  std::array<Stripe, kStripes> stripes_;
};

// On the local side for a scope.
template <std::size_t kStripes>
class SCOPED_CAPABILITY LocalGlobalLock<kStripes>::LocalGuard {
 public:
  explicit LocalGuard(LocalGlobalLock& lock) noexcept ACQUIRE_SHARED(lock)
      : LocalGuard(lock, this_thread_stripe()) {}
  LocalGuard(LocalGlobalLock& lock, std::size_t stripe) noexcept ACQUIRE_SHARED(lock)
      : lock_(lock), stripe_(stripe) {
    lock_.lock_local(stripe_);
  }
  ~LocalGuard() RELEASE() { lock_.unlock_local(stripe_); }
  LocalGuard(const LocalGuard&) = delete;
  LocalGuard& operator=(const LocalGuard&) = delete;

  std::size_t stripe() const noexcept { return stripe_; }

 private:
  LocalGlobalLock& lock_;
  const std::size_t stripe_;
};

// On the global side for a scope.
template <std::size_t kStripes>
class SCOPED_CAPABILITY LocalGlobalLock<kStripes>::GlobalGuard {
 public:
  explicit GlobalGuard(LocalGlobalLock& lock) noexcept ACQUIRE(lock) : lock_(lock) {
    for (std::size_t stripe = 0; stripe < kStripes; ++stripe) lock_.lock_local(stripe);
  }
  ~GlobalGuard() RELEASE() {
    for (std::size_t stripe = kStripes; stripe-- > 0;) lock_.unlock_local(stripe);
  }
  GlobalGuard(const GlobalGuard&) = delete;
  GlobalGuard& operator=(const GlobalGuard&) = delete;

 private:
  LocalGlobalLock& lock_;
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_LOCAL_GLOBAL_LOCK_H_
