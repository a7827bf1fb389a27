#include "tool/log.h"

#include <fmt/format.h>
#include <syslog.h>

#include <string>
#include <utility>

#include "tool/message.h"

namespace quire::tool {

namespace {

int priority(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return LOG_DEBUG;
    case LogLevel::kInfo:
      return LOG_INFO;
    case LogLevel::kWarning:
      return LOG_WARNING;
    case LogLevel::kError:
      return LOG_ERR;
  }
  return LOG_ERR;
}

}  // namespace

std::string_view log_prefix(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
    case LogLevel::kInfo:
      return "";
    case LogLevel::kWarning:
      return "warning: ";
    case LogLevel::kError:
      return "error: ";
  }
  return "";
}

Log::Log(Place place) : place_(place) {
  if (place_ == Place::kSyslog) ::openlog("quire", LOG_PID, LOG_DAEMON);
}

Log::~Log() {
  if (place_ == Place::kSyslog) ::closelog();
}

void Log::write(LogLevel level, std::string_view message) {
  if (level == LogLevel::kDebug) return;
  const std::string line = fmt::format("{}{}", log_prefix(level), message);
  if (place_ == Place::kStandardError) {
    say(line);
  } else {
    ::syslog(priority(level), "%s", line.c_str());
  }
  const sync::MutexLock lock(mutex_);
  if (reader_) reader_(line);
}

void Log::copy_to(std::function<void(std::string_view)> reader) {
  const sync::MutexLock lock(mutex_);
  reader_ = std::move(reader);
}

void Log::stop_copying() {
  copy_to({});
}

}  // namespace quire::tool
