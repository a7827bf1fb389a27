// What the Runner's steps share: comparing errors, and the bytes that a seed stands for.
#ifndef QUIRE_TESTS_MODEL_STEP_H_
#define QUIRE_TESTS_MODEL_STEP_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <system_error>
#include <vector>

#include "main_job/rng.h"

namespace quire::model {

inline bool is(std::error_code error, std::errc code) {
  return error == std::make_error_code(code);
}

inline void pattern_bytes(std::uint64_t pattern, std::span<std::byte> out) {
  main_job::Rng rng{pattern};
  while (!out.empty()) {
    // No byte is 0, which would look like one that was never written.
    const std::uint64_t word = rng.next() | 0x0101010101010101u;
    const std::size_t count = std::min(out.size(), sizeof(word));
    std::memcpy(out.data(), &word, count);
    out = out.subspan(count);
  }
}
inline std::vector<std::byte> pattern_bytes(std::uint64_t pattern, std::size_t count) {
  std::vector<std::byte> bytes(count);
  pattern_bytes(pattern, std::span(bytes));
  return bytes;
}

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_STEP_H_
