// Ghost: remembers the last pages that were given up, by 32 bits of their hash each. A queue in
// effect, kept as the S3-FIFO paper keeps it: a table of (print, time), where time counts what was
// remembered since, and an entry older than the capacity is as good as gone. Nothing has to be
// unlinked, and memory is bounded.
//
// An entry may be lost early, when its bucket is full of younger ones, and a print may be another
// page's: with 2^f frames one question in about 2^(32 - f) is answered wrongly with yes. Both only
// shift which queue a page starts in.
//
// Not thread-safe.
#ifndef QUIRE_CACHE_GHOST_H_
#define QUIRE_CACHE_GHOST_H_

#include <cstddef>
#include <cstdint>
#include <memory>

namespace quire::cache {

class Ghost {
 public:
  // Remembers the last `capacity` prints. REQUIRES: 0 < capacity < 2^31.
  explicit Ghost(std::uint32_t capacity);

  // Upper bound of the memory taken per print of the capacity, but for one bucket.
  static constexpr std::size_t bytes_per_print() {
    return sizeof(Entry) * kSlotsPerCapacityNum / kSlotsPerCapacityDen;
  }

  void remember(std::uint32_t print);

  // True if `print` was among the last; it is forgotten.
  bool recall(std::uint32_t print);

 private:
  struct Entry {
    std::uint32_t print;
    std::uint32_t time;  // 0: never used
  };
  static constexpr std::uint32_t kWays = 8;
  // Slots for each remembered print, so that few buckets overflow: five quarters.
  static constexpr std::size_t kSlotsPerCapacityNum = 5;
  static constexpr std::size_t kSlotsPerCapacityDen = 4;

  Entry* bucket_of(std::uint32_t print) const;
  bool is_fresh(const Entry& entry) const;

  const std::uint32_t capacity_;
  const std::uint32_t buckets_;
  const std::unique_ptr<Entry[]> entries_;
  std::uint32_t time_ = 0;  // of the youngest entry; never 0 once there is one
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_GHOST_H_
