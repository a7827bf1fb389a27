// Loads and stores that may end in a signal: byte by byte, so that it is known how far one came.
//
// Thread-safety: from any thread. A signal of any other access ends the program, as it would.
#ifndef QUIRE_TESTS_MODEL_ACCESS_H_
#define QUIRE_TESTS_MODEL_ACCESS_H_

#include <cstddef>
#include <span>

namespace quire::model {

struct Access {
  std::size_t bytes = 0;  // that went through
  int signal = 0;         // that the next one raised; 0: all went through
};

// From now on a signal of an access ends it, and not the program. Each access sees to it; before the first mapping with
// MapOptions::in_thread, whose handler then finds this one there.
void handle_signals();

Access load(const std::byte* from, std::span<std::byte> to);
Access store(std::byte* to, std::span<const std::byte> from);

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_ACCESS_H_
