// Assertions. QUIRE_CHECK guards what would lose data and stays in every build; QUIRE_DCHECK is for
// the rest and is compiled out of release builds. Both abort: a broken invariant of a cache is not
// something to carry on from.
#ifndef QUIRE_SYNC_CHECK_H_
#define QUIRE_SYNC_CHECK_H_

namespace quire::sync {

// Writes "file:line: check failed: expression" to standard error and aborts.
[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace quire::sync

#define QUIRE_CHECK(expression) \
  ((expression) ? void(0) : ::quire::sync::check_failed(#expression, __FILE__, __LINE__))

#ifdef QUIRE_CHECKS
#define QUIRE_DCHECK(expression) QUIRE_CHECK(expression)
#else
#define QUIRE_DCHECK(expression) ((void)sizeof(!(expression)))
#endif

#endif  // QUIRE_SYNC_CHECK_H_
