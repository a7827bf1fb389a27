// A directory of its own for a test, on a real disk, gone when the test is.
#ifndef QUIRE_STORE_TEST_DIRECTORY_H_
#define QUIRE_STORE_TEST_DIRECTORY_H_

#include <linux/magic.h>
#include <sys/vfs.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include "sync/check.h"

namespace quire::store::testing {

class TestDirectory {
 public:
  // Under $TMPDIR, else under the directory that the test runs in (the build directory): /tmp may
  // be memory.
  TestDirectory() {
    const char* const base = std::getenv("TMPDIR");
    std::string name = (base != nullptr ? std::string(base) : std::string(".")) + "/quire-XXXXXX";
    QUIRE_CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = std::filesystem::absolute(name);
  }
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  // Its file system is one that tells what has space and keeps what was allocated, by the kernel's own name for it:
  // ext4 (ext2 and ext3, which cannot, go by the same) and XFS. So space must be reserved there, whatever the library
  // says.
  bool must_reserve() const {
    struct statfs fs = {};
    QUIRE_CHECK(::statfs(path_.c_str(), &fs) == 0);
    return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC;
  }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  // The bytes of a file, by way of the kernel's cache.
  std::vector<std::byte> contents(const std::string& name) const {
    std::ifstream file(*this / name, std::ios::binary);
    std::vector<char> chars((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
    std::vector<std::byte> bytes(chars.size());
    for (std::size_t i = 0; i < chars.size(); ++i) bytes[i] = static_cast<std::byte>(chars[i]);
    return bytes;
  }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(*this / name, std::ios::binary) << text;
  }

 private:
  std::string path_;
};

}  // namespace quire::store::testing

#endif  // QUIRE_STORE_TEST_DIRECTORY_H_
