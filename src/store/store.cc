#include "quire/store.h"

namespace quire {

namespace {

std::error_code unsupported() {
  return std::make_error_code(std::errc::operation_not_supported);
}

}  // namespace

void Store::cut(ObjectHandle /*object*/, Cut /*kind*/, std::uint64_t /*offset*/,
                std::uint64_t /*length*/, IoDone& done) noexcept {
  done.io_done(unsupported(), 0);
}

void Store::reserve(ObjectHandle /*object*/, std::uint64_t /*offset*/, std::uint64_t /*length*/,
                    IoDone& done) noexcept {
  done.io_done(unsupported(), 0);
}

Status Store::set_times(ObjectHandle /*object*/, const TimeSpec* /*atime*/,
                        const TimeSpec& /*mtime*/) {
  return Error(unsupported(), "set the time stamps of an object");
}

Status Store::sync_store() {
  return Error(unsupported(), "sync a whole store");
}

}  // namespace quire
