#include "cache/ghost.h"

#include "sync/check.h"

namespace quire::cache {

Ghost::Ghost(std::uint32_t capacity)
    : capacity_(capacity),
      buckets_(static_cast<std::uint32_t>(
          std::uint64_t{capacity} * kSlotsPerCapacityNum / kSlotsPerCapacityDen / kWays + 1)),
      entries_(std::make_unique<Entry[]>(std::size_t{buckets_} * kWays)) {
  QUIRE_CHECK(capacity > 0 && capacity < std::uint32_t{1} << 31);
}

Ghost::Entry* Ghost::bucket_of(std::uint32_t print) const {
  const std::uint64_t bucket = std::uint64_t{print} * buckets_ >> 32;
  return &entries_[bucket * kWays];
}

bool Ghost::is_fresh(const Entry& entry) const {
  return entry.time != 0 && time_ - entry.time < capacity_;
}

void Ghost::remember(std::uint32_t print) {
  if (++time_ == 0) ++time_;
  Entry* const bucket = bucket_of(print);
  Entry* victim = bucket;
  for (Entry* entry = bucket; entry != bucket + kWays; ++entry) {
    if (entry->time == 0 || entry->print == print) {
      victim = entry;
      break;
    }
    if (time_ - entry->time > time_ - victim->time) victim = entry;
  }
  *victim = {print, time_};
}

bool Ghost::recall(std::uint32_t print) {
  Entry* const bucket = bucket_of(print);
  for (Entry* entry = bucket; entry != bucket + kWays; ++entry) {
    if (entry->print == print && is_fresh(*entry)) {
      entry->time = 0;
      return true;
    }
  }
  return false;
}

}  // namespace quire::cache
