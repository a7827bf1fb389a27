#include "races/race.h"

namespace quire::races {

std::vector<Race>& all_races() {
  static std::vector<Race> races;
  return races;
}

}  // namespace quire::races
