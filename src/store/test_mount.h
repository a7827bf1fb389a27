// Mounts that only the calling thread, and threads it starts from then on, can see. They end with the
// object, or with the process. They need root.
#ifndef QUIRE_STORE_TEST_MOUNT_H_
#define QUIRE_STORE_TEST_MOUNT_H_

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace quire::store::testing {

class TestMounts {
 public:
  TestMounts() = default;
  ~TestMounts() {
    for (const std::string& place : places_) ::umount2(place.c_str(), MNT_DETACH);
  }
  TestMounts(const TestMounts&) = delete;
  TestMounts& operator=(const TestMounts&) = delete;

  // Before the first mount. Empty, or why there can be none.
  std::string prepare() {
    if (::geteuid() != 0) return "mounting needs root";
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return "no mount namespace of our own can be made here";
    }
    return {};
  }
  bool tmpfs(const std::string& place) {
    return keep(::mount("tmpfs", place.c_str(), "tmpfs", 0, "size=1m"), place);
  }
  bool bind(const std::string& what, const std::string& place) {
    return keep(::mount(what.c_str(), place.c_str(), nullptr, MS_BIND, nullptr), place);
  }

 private:
  bool keep(int result, const std::string& place) {
    if (result == 0) places_.push_back(place);
    return result == 0;
  }

  std::vector<std::string> places_;
};

}  // namespace quire::store::testing

#endif  // QUIRE_STORE_TEST_MOUNT_H_
