// Log: where a mount's messages go: to standard error in the foreground, to syslog(3) from a daemon,
// and to whoever waits for the mount until it is there.
//
// Thread-safety: any thread.
#ifndef QUIRE_TOOL_LOG_H_
#define QUIRE_TOOL_LOG_H_

#include <functional>
#include <string_view>

#include "quire/log.h"
#include "sync/mutex.h"

namespace quire::tool {

class Log {
 public:
  enum class Place { kStandardError, kSyslog };

  explicit Log(Place place);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();

  // kDebug is left out.
  void write(LogLevel level, std::string_view message);

  // What is written from now on goes to `reader` too, until stop_copying(). `reader` is called under a
  // lock: it must not call back.
  void copy_to(std::function<void(std::string_view)> reader);
  void stop_copying();

 private:
  const Place place_;
  sync::Mutex mutex_;
  std::function<void(std::string_view)> reader_ GUARDED_BY(mutex_);
};

// "warning: " and the like; nothing for what is only worth knowing.
std::string_view log_prefix(LogLevel level);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_LOG_H_
