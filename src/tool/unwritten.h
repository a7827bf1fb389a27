// Files with unwritten data, as a daemon lists them (control::Files::text) and as people read them.
//
// Thread-safety: pure functions.
#ifndef QUIRE_TOOL_UNWRITTEN_H_
#define QUIRE_TOOL_UNWRITTEN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quire::tool {

struct UnwrittenFile {
  std::uint64_t bytes = 0;
  int error = 0;  // an errno; 0: none was met
  std::string path;
};

// The lines that are whole; what is not "BYTES<tab>ERROR<tab>PATH" is left out.
std::vector<UnwrittenFile> parse_unwritten(std::string_view text);

// A line for each file, and one for those of `total` that are not among them.
std::string describe_unwritten(const std::vector<UnwrittenFile>& files, std::uint64_t total);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_UNWRITTEN_H_
