// What the simulation's versions of Thread, Clock and random_u64 need of the scheduler.
#ifndef QUIRE_SYNC_SIM_ENGINE_H_
#define QUIRE_SYNC_SIM_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "sync/clock.h"
#include "sync/sim/fiber.h"

namespace quire::sync::sim {

// A fiber of the run in progress; it runs from the starter's next yield point on. REQUIRES: inside
// a run.
std::shared_ptr<Fiber> start_fiber(std::string name, std::function<void()> body);
// The run's time; outside a run, the time at which runs begin.
Clock::time_point virtual_now() noexcept;
// The run's next random number, apart from those that the schedule uses.
std::uint64_t engine_random() noexcept;

}  // namespace quire::sync::sim

#endif  // QUIRE_SYNC_SIM_ENGINE_H_
