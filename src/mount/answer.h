// Answer: what the mount's own functions return: a value, or the errno that the kernel will be told.
#ifndef QUIRE_MOUNT_ANSWER_H_
#define QUIRE_MOUNT_ANSWER_H_

#include <system_error>
#include <tl/expected.hpp>

namespace quire::mount {

// The error is an errno, above 0.
template <class T>
using Answer = tl::expected<T, int>;

inline tl::unexpected<int> fails(int number) {
  return tl::unexpected<int>(number);
}

// The errno for an error of the engine's.
int errno_of(const std::error_code& error) noexcept;

}  // namespace quire::mount

#endif  // QUIRE_MOUNT_ANSWER_H_
