#include "quire/error.h"

#include <string>
#include <system_error>

namespace quire {
namespace {

class QuireCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "quire"; }

  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::kForked:
        return "this process is a fork of the one that owns the cache";
      case Errc::kInterrupted:
        return "the caller asked to stop waiting";
      case Errc::kTimedOut:
        return "the caller's deadline passed";
      case Errc::kClosed:
        return "already closed";
      case Errc::kPathEscapes:
        return "the path leads out of the store's root directory";
      case Errc::kInUse:
        return "another Quire is using this store or directory tree";
      case Errc::kOpenFiles:
        return "files are still open";
      case Errc::kBusy:
        return "too many requests are outstanding; try again when one has completed";
    }
    return "unknown quire error " + std::to_string(code);
  }

  // What a program may compare with instead, where a portable condition means the same.
  std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<Errc>(code)) {
      case Errc::kInterrupted:
        return std::errc::operation_canceled;
      case Errc::kTimedOut:
        return std::errc::timed_out;
      case Errc::kClosed:
        return std::errc::bad_file_descriptor;
      case Errc::kInUse:
      case Errc::kOpenFiles:
        return std::errc::device_or_resource_busy;
      case Errc::kBusy:
        return std::errc::resource_unavailable_try_again;
      case Errc::kForked:
      case Errc::kPathEscapes:
        break;
    }
    return {code, *this};
  }
};

// Initialised before any code runs and never destroyed: error codes are compared by the address of
// their category, and may be printed by destructors that run at exit.
union Undying {
  constexpr Undying() : category() {}
  ~Undying() {}  // a defaulted one would be deleted
  QuireCategory category;
};
constinit const Undying kUndying;

}  // namespace

const std::error_category& quire_category() noexcept {
  return kUndying.category;
}

}  // namespace quire
