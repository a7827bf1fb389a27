// What the Runner's steps share: comparing errors, and the bytes that a seed stands for.
#ifndef QUIRE_TESTS_MODEL_STEP_H_
#define QUIRE_TESTS_MODEL_STEP_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <vector>

#include "main_job/rng.h"

namespace quire::model {

inline bool is(std::error_code error, std::errc code) {
  return error == std::make_error_code(code);
}

inline std::vector<std::byte> pattern_bytes(std::uint64_t pattern, std::size_t count) {
  std::vector<std::byte> bytes(count + sizeof(std::uint64_t));
  main_job::Rng rng{pattern};
  for (std::size_t at = 0; at < count; at += sizeof(std::uint64_t)) {
    // No byte is 0, which would look like one that was never written.
    const std::uint64_t word = rng.next() | 0x0101010101010101u;
    std::memcpy(bytes.data() + at, &word, sizeof(word));
  }
  bytes.resize(count);
  return bytes;
}

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_STEP_H_
