#include "mount_bench/awake.h"

#include <pthread.h>
#include <sched.h>

#include "host_bench/rows.h"

namespace quire::bench {
namespace {

bool bound_and_idle(std::jthread& thread, unsigned processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  const sched_param none = {};
  return ::pthread_setaffinity_np(thread.native_handle(), sizeof(only), &only) == 0 &&
         ::pthread_setschedparam(thread.native_handle(), SCHED_IDLE, &none) == 0;
}

}  // namespace

Awake::Awake() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof(allowed), &allowed);
  for (unsigned processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &allowed)) continue;
    spinners_.emplace_back([this] {
      while (!over_.load(std::memory_order_relaxed)) {
      }
    });
    if (!bound_and_idle(spinners_.back(), processor)) {
      over_ = true;
      throw NotMeasured("keeping the processors awake: not permitted");
    }
  }
}

Awake::~Awake() {
  over_ = true;
}

}  // namespace quire::bench
