// Keeps every processor from sleeping while it exists: on each, a thread of SCHED_IDLE that spins, and gives
// way at once to whoever has something to do. On a virtual machine it takes tens of microseconds to wake a
// processor, several times what a request through FUSE costs; with this that is not measured.
#ifndef QUIRE_BENCH_MOUNT_BENCH_AWAKE_H_
#define QUIRE_BENCH_MOUNT_BENCH_AWAKE_H_

#include <atomic>
#include <thread>
#include <vector>

namespace quire::bench {

class Awake {
 public:
  // Throws NotMeasured where a thread may not be bound to a processor or made idle.
  Awake();
  Awake(const Awake&) = delete;
  Awake& operator=(const Awake&) = delete;
  ~Awake();

 private:
  std::atomic<bool> over_{false};
  std::vector<std::jthread> spinners_;
};

}  // namespace quire::bench

#endif  // QUIRE_BENCH_MOUNT_BENCH_AWAKE_H_
