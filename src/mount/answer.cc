#include "mount/answer.h"

#include <cerrno>

#include "quire/error.h"

namespace quire::mount {

int errno_of(const std::error_code& error) noexcept {
  if (error.category() == quire_category()) {
    switch (static_cast<Errc>(error.value())) {
      case Errc::kInterrupted:
        return EINTR;
      case Errc::kTimedOut:
        return ETIMEDOUT;
      case Errc::kPathEscapes:
        return EXDEV;
      case Errc::kBusy:
        return EAGAIN;
      case Errc::kInUse:
      case Errc::kOpenFiles:
        return EBUSY;
      case Errc::kForked:
      case Errc::kClosed:
        return EIO;
    }
    return EIO;
  }
  const std::error_condition condition = error.default_error_condition();
  if (condition.category() == std::generic_category() && condition.value() > 0) {
    return condition.value();
  }
  return EIO;
}

}  // namespace quire::mount
