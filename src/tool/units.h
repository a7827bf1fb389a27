// Numbers and names as people read them on a terminal.
//
// Thread-safety: pure functions.
#ifndef QUIRE_TOOL_UNITS_H_
#define QUIRE_TOOL_UNITS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace quire::tool {

// "0 B", "1023 B", "1.0 KiB", "256.0 MiB".
std::string human_bytes(std::uint64_t bytes);
// "0 ns", "850 ns", "12.5 us", "3.1 ms", "2.0 s", and from two minutes on "2 min 5 s", "3 h 20 min",
// "4 d 1 h".
std::string human_duration(std::uint64_t nanoseconds);
// "1,234,567".
std::string human_count(std::uint64_t count);
// "97.5 %"; "-" of nothing.
std::string human_share(std::uint64_t part, std::uint64_t whole);
// A name that may contain anything, on one line: control bytes and backslashes as "\x0a".
std::string printable(std::string_view name);
// "1 file", "2 files".
std::string counted(std::uint64_t count, std::string_view noun);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_UNITS_H_
