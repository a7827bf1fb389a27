// The version of the headers a program was compiled against. `quire::version()` tells the version of
// the library it runs with. There is no ABI promise before 1.0: the SOVERSION stays 0 until then and
// a program should be rebuilt with each release.
#ifndef QUIRE_VERSION_H_
#define QUIRE_VERSION_H_

#include "quire/export.h"

#define QUIRE_VERSION_MAJOR 0
#define QUIRE_VERSION_MINOR 1
#define QUIRE_VERSION_PATCH 0
#define QUIRE_VERSION_STRING "0.1.0"
// 10000 * major + 100 * minor + patch, for comparisons in #if.
#define QUIRE_VERSION \
  (QUIRE_VERSION_MAJOR * 10000 + QUIRE_VERSION_MINOR * 100 + QUIRE_VERSION_PATCH)

namespace quire {

// "MAJOR.MINOR.PATCH" of the library in use. A static string; thread-safe.
QUIRE_EXPORT const char* version() noexcept;

}  // namespace quire

#endif  // QUIRE_VERSION_H_
