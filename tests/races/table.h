// The table of the races: race × strategy, with the code as it is and with the race's planted fault.
//
// Who calls: sim_suite --races, by one thread, outside runs.
#ifndef QUIRE_TESTS_RACES_TABLE_H_
#define QUIRE_TESTS_RACES_TABLE_H_

#include <cstdint>
#include <string_view>

namespace quire::races {

// Runs every race whose name contains `part`, each with `seeds` seeds and in a process of its own, for a fault
// may end it. Prints a row for each race, what is wrong, and, last, "races: N passed, N failed"; of a `part` that
// is not empty also how each was seen to fail. True: none failed, and there was one.
bool show_table(std::string_view part, std::uint64_t seeds);

}  // namespace quire::races

#endif  // QUIRE_TESTS_RACES_TABLE_H_
