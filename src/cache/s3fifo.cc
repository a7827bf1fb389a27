#include "cache/s3fifo.h"

namespace quire::cache {

namespace {

// What is kept of a page's hash. The upper half: multiplicative hashes mix it best.
std::uint32_t print_of(std::uint64_t key_hash) {
  return static_cast<std::uint32_t>(key_hash >> 32);
}

// As many as main may hold.
std::uint32_t ghost_capacity(std::uint32_t frames) {
  return std::max(1u, frames - frames / static_cast<std::uint32_t>(S3Fifo::kSmallShare));
}

}  // namespace

S3Fifo::S3Fifo(std::uint32_t frames)
    : queues_(frames),
      ghost_(ghost_capacity(frames)),
      uses_(std::make_unique<sync::Atomic<std::uint8_t>[]>(frames)),
      print_(std::make_unique_for_overwrite<std::uint32_t[]>(frames)) {}

std::size_t S3Fifo::bytes_per_frame() {
  return Queues::bytes_per_frame() + Ghost::bytes_per_print() + sizeof(uses_[0]) +
         sizeof(print_[0]);
}

void S3Fifo::insert(std::uint32_t frame, std::uint64_t key_hash) {
  const std::uint32_t print = print_of(key_hash);
  const bool seen_lately = ghost_.recall(print);
  if (seen_lately) ++ghost_hits_;
  uses_[frame].store(0, std::memory_order_relaxed);
  print_[frame] = print;
  queues_.push(seen_lately ? kMain : kSmall, frame);
}

void S3Fifo::remove(std::uint32_t frame) {
  queues_.remove(frame);
}

}  // namespace quire::cache
