// Mounted: a directory served through Quire for a test: a daemon in a child process, so that the test's own
// system calls and page faults never wait for threads of their own process.
//
// It always ends: with the object, when the test's time is up (the mount is aborted through the kernel's
// control file system, and the daemon killed), or with the test's process.
#ifndef QUIRE_TESTS_MOUNT_MOUNTED_H_
#define QUIRE_TESTS_MOUNT_MOUNTED_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "mount/server.h"
#include "store/fd.h"
#include "store/test_directory.h"
#include "sync/condition.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace quire::mount::testing {

inline constexpr std::size_t kPage = 4096;

class Mounted {
 public:
  // Empty, or why nothing can be mounted on this machine and how to allow it.
  static std::string cannot();

  Mounted();
  ~Mounted();
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  // Serves source() on root(). `adapt` changes the options, in the child. Empty, or what went wrong.
  // REQUIRES: this process has one thread, or the mount was begun and ended before.
  std::string begin(const std::function<void(Options&)>& adapt = {});
  // Unmounts and waits for the daemon's end. Its exit status: 0, or 3 if it lost something; -1 if it had to be
  // killed or ended by a signal.
  int end();
  // Sends the daemon a signal. SIGTERM ends it in order, SIGKILL at once.
  void signal(int number);
  // Waits for its end after a signal. As end().
  int wait();

  // Paths: the source, what is mounted, and a name in either.
  const std::string& source() const { return source_; }
  const std::string& root() const { return root_; }
  std::string in_source(const std::string& name) const { return source_ + "/" + name; }
  std::string at(const std::string& name) const { return root_ + "/" + name; }
  pid_t daemon() const { return daemon_; }

 private:
  [[noreturn]] void serve(const std::function<void(Options&)>& adapt, int ready);
  void watch();
  void unwatch();
  void abort();
  // 0 or an errno.
  int unmount() const;

  store::testing::TestDirectory directory_;
  std::string source_, root_;
  std::string device_;  // of the mount, by which the kernel names its connection
  pid_t daemon_ = -1;

  sync::Mutex mutex_;
  sync::Condition changed_;
  bool over_ GUARDED_BY(mutex_) = false;
  bool aborted_ GUARDED_BY(mutex_) = false;
  sync::Thread watcher_;
};

// Holds a request in the daemon until the test lets it go: the place where a test chooses an interleaving.
// Made before Mounted::begin(), whose options get on_request().
class Held {
 public:
  using Which = std::function<bool(std::span<const std::byte>)>;

  // The first request for which `which` is true, once arm() was called, waits for let_go().
  explicit Held(Which which);
  std::function<void(std::span<const std::byte>)> on_request();

  void arm();
  // Waits until the request is there; false after a minute.
  bool is_there();
  void let_go();

 private:
  struct Shared;
  Which which_;
  std::shared_ptr<Shared> shared_;
};

// Waits, for at most a minute and by giving way, until `what` holds.
bool eventually(const std::function<bool()>& what);

// Bytes of a file read by its path; the test fails if it cannot be.
std::string contents(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);

}  // namespace quire::mount::testing

#endif  // QUIRE_TESTS_MOUNT_MOUNTED_H_
