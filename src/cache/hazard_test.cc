// Hazard slots on real threads: who sleeps for a slot is woken by its clearing, whatever else the
// owner does, and a thread without a slot or at its end still reads.
#include "cache/hazard.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "cache/page_read.h"
#include "cache/test_pages.h"
#include "sync/asymmetric_fence.h"
#include "sync/atomic.h"
#include "sync/parker.h"

namespace quire::cache {

struct HazardPeer {
  static void await_sleeper(std::uint32_t slot) {
    until([slot] { return Hazards::slots_[slot].wanted.load() != 0; });
  }
  static std::uint32_t wanted(std::uint32_t slot) { return Hazards::slots_[slot].wanted.load(); }
};

namespace {

constexpr PageKey key_of(std::uint64_t index) {
  return PageKey::of(77, index);
}

TEST(Hazards, TheFenceThatSleepersRelyOnWorksHere) {
  EXPECT_TRUE(sync::heavy_fence_works()) << "sleepers look again every millisecond instead";
}

// Fails if the owner's clear does not look at `wanted`.
TEST(Hazards, ClearingWakesWhoSleepsForTheSlot) {
  const std::uint32_t slot = Hazards::slot_of_thread();
  ASSERT_NE(slot, Hazards::kNoSlot);
  sync::Thread waiter;
  {
    const Hazards::Guard guard(slot, key_of(5));
    EXPECT_TRUE(Hazards::named(key_of(5)));
    waiter = start_thread(
        "waiter", [] { EXPECT_EQ(Hazards::wait_clear(key_of(5), {}), sync::WaitStatus::kReady); });
    HazardPeer::await_sleeper(slot);
  }
  waiter.join();
  EXPECT_EQ(HazardPeer::wanted(slot), 0u);
  EXPECT_FALSE(Hazards::named(key_of(5)));
}

// Fails if an owner who wakes somebody forgets those who sleep for what it names next.
TEST(Hazards, WakingOneDoesNotForgetAnother) {
  const std::uint32_t slot = Hazards::slot_of_thread();
  auto first = std::make_unique<Hazards::Guard>(slot, key_of(1));
  sync::Thread one = start_thread(
      "one", [] { EXPECT_EQ(Hazards::wait_clear(key_of(1), {}), sync::WaitStatus::kReady); });
  HazardPeer::await_sleeper(slot);
  first.reset();
  one.join();
  auto second = std::make_unique<Hazards::Guard>(slot, key_of(2));
  sync::Thread two = start_thread(
      "two", [] { EXPECT_EQ(Hazards::wait_clear(key_of(2), {}), sync::WaitStatus::kReady); });
  HazardPeer::await_sleeper(slot);
  second.reset();
  two.join();
}

TEST(Hazards, AWaitCanBeLeft) {
  const std::uint32_t slot = Hazards::slot_of_thread();
  const Hazards::Guard guard(slot, key_of(9));
  EXPECT_EQ(Hazards::wait_clear(key_of(9), {sync::Clock::now(), {}}), sync::WaitStatus::kTimedOut);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(Hazards::wait_clear(key_of(9), {sync::Clock::kNever, stop.get_token()}),
            sync::WaitStatus::kInterrupted);
  EXPECT_EQ(HazardPeer::wanted(slot), 0u) << "who left is no longer counted";
  EXPECT_EQ(Hazards::wait_clear(key_of(10), {}), sync::WaitStatus::kReady);
}

TEST(Hazards, NamedInARange) {
  const std::uint32_t slot = Hazards::slot_of_thread();
  const Hazards::Guard guard(slot, key_of(600));
  EXPECT_TRUE(Hazards::named_in(77, 512, 1023));
  EXPECT_TRUE(Hazards::named_in(77, 600, 600));
  EXPECT_FALSE(Hazards::named_in(77, 601, 1023));
  EXPECT_FALSE(Hazards::named_in(78, 512, 1023));
}

// Threads that hold every slot there is, until the object ends.
class EverySlotTaken {
 public:
  EverySlotTaken() {
    for (sync::Parker& end : ends_) {
      threads_.push_back(start_thread("taker", [this, &end] {
        (void)Hazards::slot_of_thread();
        started_.fetch_add(1);
        end.park();
      }));
    }
    until([this] { return started_.load() == limits::kHazardSlots; });
  }
  ~EverySlotTaken() {
    for (sync::Parker& end : ends_) end.unpark();
    for (sync::Thread& thread : threads_) thread.join();
  }
  EverySlotTaken(const EverySlotTaken&) = delete;
  EverySlotTaken& operator=(const EverySlotTaken&) = delete;

 private:
  sync::Atomic<std::size_t> started_{0};
  std::array<sync::Parker, limits::kHazardSlots> ends_;
  std::vector<sync::Thread> threads_;
};

// Fails if any path takes a slot for granted.
TEST(Hazards, AThreadWithoutASlotReadsAndWritesByPins) {
  OneFile file(filled(2 * limits::kPageBytes, 'i'));
  ASSERT_FALSE(file.write(0, 'a'));
  const EverySlotTaken taken;
  start_thread("slotless", [&] {
    ASSERT_EQ(Hazards::slot_of_thread(), Hazards::kNoSlot);
    std::vector<std::byte> out(limits::kPageBytes);
    EXPECT_EQ(copy_page_pinned(*file.pages, 0, out).look, PageLook::kCopied);
    EXPECT_EQ(out, filled(limits::kPageBytes, 'a'));
    EXPECT_FALSE(file.write(0, 'b'));
    EXPECT_FALSE(file.write(1, 'c', 10, 20)) << "reads the rest of the page first";
    EXPECT_EQ(copy_page_pinned(*file.pages, 0, out).look, PageLook::kCopied);
    EXPECT_EQ(out, filled(limits::kPageBytes, 'b'));
    EXPECT_EQ(file.pages->wait_unreadable(0, {}), sync::WaitStatus::kReady);
  }).join();
}

// A destructor of thread-local state that looks for the slot after the slot was given back.
struct LateLook {
  ~LateLook() {
    if (slot != nullptr) slot->store(Hazards::slot_of_thread());
  }
  sync::Atomic<std::uint32_t>* slot = nullptr;
};

// Fails if the ending thread uses a slot that may be another's by now.
TEST(Hazards, AnEndingThreadHasNoSlot) {
  sync::Atomic<std::uint32_t> seen{0};
  start_thread("ending", [&] {
    struct LateTag {};
    sync::ThreadLocal<LateLook, LateTag>::get().slot = &seen;  // made first, so destroyed last
    EXPECT_NE(Hazards::slot_of_thread(), Hazards::kNoSlot);
  }).join();
  EXPECT_EQ(seen.load(), Hazards::kNoSlot);
}

}  // namespace
}  // namespace quire::cache
