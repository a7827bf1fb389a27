// Fd: a file descriptor that closes itself, and errno as a std::error_code.
#ifndef QUIRE_STORE_FD_H_
#define QUIRE_STORE_FD_H_

#include <unistd.h>

#include <system_error>
#include <utility>

namespace quire::store {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  // Gives the descriptor up without closing it.
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// `number` as set by a system call; 0 gives a zero code.
inline std::error_code errno_code(int number) {
  return {number, std::generic_category()};
}

}  // namespace quire::store

#endif  // QUIRE_STORE_FD_H_
