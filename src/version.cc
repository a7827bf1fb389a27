#include "quire/version.h"

namespace quire {

const char* version() noexcept {
  return QUIRE_VERSION_STRING;
}

}  // namespace quire
