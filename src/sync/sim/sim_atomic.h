// SimAtomic<T>: what sync::Atomic<T> is in the simulation build. The interface of std::atomic<T> as
// far as Quire uses it, size and alignment included; each operation is a yield point, then happens
// at once. Memory orders are accepted and not modelled: interleavings are explored, reorderings are
// not. compare_exchange_weak fails for no reason when the seed says so.
#ifndef QUIRE_SYNC_SIM_SIM_ATOMIC_H_
#define QUIRE_SYNC_SIM_SIM_ATOMIC_H_

#include <atomic>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "sync/sim/hooks.h"

namespace quire::sync::sim {

template <class T>
class SimAtomic {
  static_assert(std::is_trivially_copyable_v<T>);
  // What fetch_add() counts in: elements for pointers, as in the standard.
  using Difference = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;

 public:
  using value_type = T;
  static constexpr bool is_always_lock_free = std::atomic<T>::is_always_lock_free;

  constexpr SimAtomic() noexcept : value_() {}
  constexpr SimAtomic(T value) noexcept : value_(value) {}  // implicit, as std::atomic's is
  SimAtomic(const SimAtomic&) = delete;
  SimAtomic& operator=(const SimAtomic&) = delete;

  T load(std::memory_order = std::memory_order_seq_cst) const noexcept {
    yield_point(Op::kLoad);
    return value_;
  }
  void store(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kStore);
    value_ = value;
  }
  T exchange(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kExchange);
    return replace(value);
  }
  bool compare_exchange_strong(T& expected, T desired,
                               std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kCompareExchange);
    return compare_and_replace(expected, desired);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                               std::memory_order) noexcept {
    return compare_exchange_strong(expected, desired, success);
  }
  bool compare_exchange_weak(T& expected, T desired,
                             std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kCompareExchange);
    if (chance(kSpuriousOneIn)) {
      expected = value_;
      return false;
    }
    return compare_and_replace(expected, desired);
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                             std::memory_order) noexcept {
    return compare_exchange_weak(expected, desired, success);
  }

  T fetch_add(Difference n, std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kFetch);
    return replace(static_cast<T>(value_ + n));
  }
  T fetch_sub(Difference n, std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kFetch);
    return replace(static_cast<T>(value_ - n));
  }
  T fetch_and(T bits, std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kFetch);
    return replace(static_cast<T>(value_ & bits));
  }
  T fetch_or(T bits, std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kFetch);
    return replace(static_cast<T>(value_ | bits));
  }
  T fetch_xor(T bits, std::memory_order = std::memory_order_seq_cst) noexcept {
    yield_point(Op::kFetch);
    return replace(static_cast<T>(value_ ^ bits));
  }

  operator T() const noexcept { return load(); }
  T operator=(T value) noexcept {
    store(value);
    return value;
  }
  T operator++() noexcept { return static_cast<T>(fetch_add(1) + 1); }
  T operator--() noexcept { return static_cast<T>(fetch_sub(1) - 1); }
  T operator++(int) noexcept { return fetch_add(1); }
  T operator--(int) noexcept { return fetch_sub(1); }
  T operator+=(Difference n) noexcept { return static_cast<T>(fetch_add(n) + n); }
  T operator-=(Difference n) noexcept { return static_cast<T>(fetch_sub(n) - n); }
  T operator&=(T bits) noexcept { return static_cast<T>(fetch_and(bits) & bits); }
  T operator|=(T bits) noexcept { return static_cast<T>(fetch_or(bits) | bits); }
  T operator^=(T bits) noexcept { return static_cast<T>(fetch_xor(bits) ^ bits); }

 private:
  static constexpr std::uint64_t kSpuriousOneIn = 8;

  T replace(T value) noexcept {
    const T before = value_;
    value_ = value;
    return before;
  }
  bool compare_and_replace(T& expected, T desired) noexcept {
    // By representation, as the standard says.
    if (std::memcmp(&value_, &expected, sizeof(T)) != 0) {
      expected = value_;
      return false;
    }
    value_ = desired;
    return true;
  }

  alignas(std::atomic<T>) T value_;
};

static_assert(sizeof(SimAtomic<std::uint64_t>) == sizeof(std::uint64_t));

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_SIM_ATOMIC_H_
