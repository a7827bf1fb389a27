// What tests of file data over a mount share: files opened, read, written and mapped.
#ifndef QUIRE_TESTS_MOUNT_MAP_H_
#define QUIRE_TESTS_MOUNT_MAP_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "mount/mount_test.h"

namespace quire::mount::testing {

// The first bytes of a file, mapped.
class Map {
 public:
  Map(int fd, std::size_t size, int protection, int flags)
      : size_(size), memory_(::mmap(nullptr, size, protection, flags, fd, 0)) {}
  ~Map() {
    if (ok()) ::munmap(memory_, size_);
  }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  bool ok() const { return memory_ != MAP_FAILED; }
  volatile char* bytes() const { return static_cast<volatile char*>(memory_); }
  std::string text(std::size_t from, std::size_t size) const {
    std::string result;
    for (std::size_t i = from; i < from + size; ++i) result += bytes()[i];
    return result;
  }
  void sync() const { EXPECT_EQ(::msync(memory_, size_, MS_SYNC), 0); }

 private:
  std::size_t size_;
  void* memory_;
};

class FilesOfMount : public MountTest {
 protected:
  store::Fd open(const std::string& name, int flags = O_RDWR) {
    store::Fd fd(::open(mounted_.at(name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd.ok()) << std::strerror(errno);
    return fd;
  }
  std::string read(int fd, std::size_t size, off_t offset = 0) {
    std::string text(size, '?');
    const ssize_t got = ::pread(fd, text.data(), size, offset);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }
  void write(int fd, const std::string& text, off_t offset = 0) {
    EXPECT_EQ(::pwrite(fd, text.data(), text.size(), offset), static_cast<ssize_t>(text.size()));
  }
};

}  // namespace quire::mount::testing

#endif  // QUIRE_TESTS_MOUNT_MAP_H_
