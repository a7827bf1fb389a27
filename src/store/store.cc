#include "quire/store.h"

#include <algorithm>

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

void Store::reserve_pages(ObjectHandle object, SpaceRequest& request, IoMode /*mode*/,
                          IoDone& done) noexcept {
  if (request.first == request.end) {
    done.io_done({}, 0);
    return;
  }
  const std::uint64_t begin = request.offset + request.first * limits::kPageBytes;
  const std::uint64_t end =
      std::min(request.offset + request.end * limits::kPageBytes, limits::kFileSizeMaxBytes);
  reserve(object, begin, end - begin, done);
}

void Store::release(ObjectHandle /*object*/, std::uint64_t /*offset*/, std::uint64_t /*length*/,
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
