// Sizes as people write them in arguments: "256M", "1GiB", "65536".
//
// A whole number, then nothing or B for bytes, or K, M, G or T, alone or followed by "iB": powers of
// 1024. Case does not matter. "KB" and the like are refused: they mean 1000 to some and 1024 to others.
//
// Thread-safety: pure functions.
#ifndef QUIRE_TOOL_SIZE_H_
#define QUIRE_TOOL_SIZE_H_

#include <cstdint>
#include <string_view>

#include "quire/result.h"

namespace quire::tool {

// Bytes. An error's context is a sentence that quotes the text and says what to write.
Result<std::uint64_t> parse_size(std::string_view text);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_SIZE_H_
