// NoMemory: as long as one exists no memory is to be had by `new`, in the thread that made it. For test programs with
// test_no_memory.cc among their sources.
#ifndef QUIRE_FILE_TEST_NO_MEMORY_H_
#define QUIRE_FILE_TEST_NO_MEMORY_H_

#include <cstddef>

namespace quire::file {

class NoMemory {
 public:
  // After `left` more times that there is some; and so often.
  explicit NoMemory(std::size_t left = 0, std::size_t times = ~std::size_t{0}) noexcept;
  ~NoMemory();
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;

  // Of `left`, those that there are still; and of `times`.
  static std::size_t left() noexcept;
  static std::size_t refusals_left() noexcept;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_NO_MEMORY_H_
