// What every call of Quire returns: a value, or an Error that says what failed and why.
//
// An Error carries a std::error_code for programs (compare it with std::errc or quire::Errc) and a
// line of context for people: the operation, the file, the range, and what to do where that is
// known. No call of Quire throws because a request failed; std::bad_alloc is the one exception that
// can pass through, from the calls that open and create things, never from read or write.
//
// Thread-safety: these are plain values.
#ifndef QUIRE_RESULT_H_
#define QUIRE_RESULT_H_

#include <cassert>
#include <exception>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

namespace quire {

namespace internal {
inline void require(bool there) noexcept {
  if (!there) std::terminate();
}
}  // namespace internal

struct [[nodiscard]] Error {
  std::error_code code;
  std::string context;

  Error() = default;
  Error(std::error_code c, std::string text) : code(c), context(std::move(text)) {}
  Error(std::errc c, std::string text) : code(std::make_error_code(c)), context(std::move(text)) {}

  // "context: the code's own message", for logs and terminals.
  std::string message() const {
    return context.empty() ? code.message() : context + ": " + code.message();
  }
};

// A T or an Error. `*result` and `result.value()` require ok(), `result.error()` requires !ok(); a
// program that asks for what is not there ends at once (std::terminate), in every build.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}     // implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {  // implicit
    assert(std::get_if<1>(&state_)->code && "an Error must carry a non-zero code");
  }

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & noexcept {
    internal::require(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& noexcept {
    internal::require(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && noexcept {
    internal::require(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(*this).value(); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }

  const Error& error() const& noexcept {
    internal::require(state_.index() == 1);
    return *std::get_if<1>(&state_);
  }
  Error&& error() && noexcept {
    internal::require(state_.index() == 1);
    return std::move(*std::get_if<1>(&state_));
  }
  // The error's code, or a zero code.
  std::error_code code() const noexcept { return ok() ? std::error_code() : error().code; }

 private:
  std::variant<T, Error> state_;
};

// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {  // implicit
    assert(error_.code && "an Error must carry a non-zero code");
  }

  bool ok() const noexcept { return !error_.code; }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const& noexcept {
    internal::require(!ok());
    return error_;
  }
  Error&& error() && noexcept {
    internal::require(!ok());
    return std::move(error_);
  }
  std::error_code code() const noexcept { return error_.code; }

 private:
  Error error_;
};

using Status = Result<void>;

}  // namespace quire

#endif  // QUIRE_RESULT_H_
