#include "tool/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "store/fd.h"

namespace quire::tool {

std::string text_of_file(const char* path) {
  const store::Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 16384> piece = {};
  while (file.ok()) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got > 0) text.append(piece.data(), static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  return text;
}

}  // namespace quire::tool
