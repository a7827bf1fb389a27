// The conditions that have no errno of their own. Everything else is reported with std::errc values
// in std::generic_category() (ENOSPC, EIO, ESTALE, ...).
#ifndef QUIRE_ERROR_H_
#define QUIRE_ERROR_H_

#include <system_error>

#include "quire/export.h"

namespace quire {

enum class Errc {
  kForked = 1,   // a call in the child of a fork: the cache belongs to the parent
  kInterrupted,  // the caller's stop token was triggered during a wait
  kTimedOut,     // the caller's deadline passed during a wait
  kClosed,       // the File or the Cache was closed
  kPathEscapes,  // the path leaves the store's root
  kInUse,        // another Cache has the store, or another process the directory tree
  kOpenFiles,    // the Cache cannot be closed while Files are open
  kBusy,         // a bounded queue is full; try again when an earlier request has completed
};

QUIRE_EXPORT const std::error_category& quire_category() noexcept;

inline std::error_code make_error_code(Errc e) noexcept {
  return {static_cast<int>(e), quire_category()};
}

}  // namespace quire

template <>
struct std::is_error_code_enum<quire::Errc> : std::true_type {};

#endif  // QUIRE_ERROR_H_
