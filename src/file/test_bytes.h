// Text as the bytes that the public calls take, for the tests of the public library.
#ifndef QUIRE_FILE_TEST_BYTES_H_
#define QUIRE_FILE_TEST_BYTES_H_

#include <cstddef>
#include <span>
#include <string_view>

namespace quire {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace quire

#endif  // QUIRE_FILE_TEST_BYTES_H_
