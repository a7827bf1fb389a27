// Slices: goes through the buffers of a vectored transfer, and cuts off what fits into one request to the
// store, or copies it.
#ifndef QUIRE_FILE_SLICES_H_
#define QUIRE_FILE_SLICES_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

namespace quire::file {

// Byte: std::byte to store into the buffers, const std::byte to read from them.
template <class Byte>
class Slices {
 public:
  explicit Slices(std::span<const std::span<Byte>> buffers) : buffers_(buffers) {}

  // The next bytes without a gap in memory, at most `bytes_max`; empty at the end.
  std::span<Byte> next(std::size_t bytes_max) noexcept {
    while (!buffers_.empty() && at_ == buffers_.front().size()) {
      buffers_ = buffers_.subspan(1);
      at_ = 0;
    }
    if (buffers_.empty()) return {};
    const std::span<Byte> rest = buffers_.front().subspan(at_);
    const std::span<Byte> slice = rest.first(std::min(rest.size(), bytes_max));
    at_ += slice.size();
    return slice;
  }
  // The next `bytes_max` bytes, or as many as there are and as `out` has room for. Returns how many;
  // `count`: in so many pieces.
  std::size_t take(std::size_t bytes_max, std::span<std::span<Byte>> out,
                   std::size_t* count) noexcept {
    std::size_t bytes = 0;
    *count = 0;
    while (bytes < bytes_max && *count < out.size()) {
      const std::span<Byte> slice = next(bytes_max - bytes);
      if (slice.empty()) break;
      out[(*count)++] = slice;
      bytes += slice.size();
    }
    return bytes;
  }
  // Calls `act` with the next `bytes` bytes, slice by slice. REQUIRES: there are as many.
  template <class Act>
  void for_each(std::size_t bytes, Act&& act) {
    while (bytes > 0) {
      const std::span<Byte> slice = next(bytes);
      bytes -= slice.size();
      act(slice);
    }
  }

 private:
  std::span<const std::span<Byte>> buffers_;
  std::size_t at_ = 0;  // in the first of them
};

// The next bytes, into `out` or from `in`. REQUIRES: there are as many.
inline void copy_out(Slices<const std::byte>& from, std::span<std::byte> out) {
  from.for_each(out.size(), [&](std::span<const std::byte> slice) {
    std::memcpy(out.data(), slice.data(), slice.size());
    out = out.subspan(slice.size());
  });
}
inline void copy_in(Slices<std::byte>& to, std::span<const std::byte> in) {
  to.for_each(in.size(), [&](std::span<std::byte> slice) {
    std::memcpy(slice.data(), in.data(), slice.size());
    in = in.subspan(slice.size());
  });
}
inline void fill_zero(Slices<std::byte>& to, std::size_t bytes) {
  to.for_each(bytes,
              [](std::span<std::byte> slice) { std::memset(slice.data(), 0, slice.size()); });
}

}  // namespace quire::file

#endif  // QUIRE_FILE_SLICES_H_
