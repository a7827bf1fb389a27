// Where the library's messages go. Quire prints nothing: it calls the function that the program set
// in CacheOptions::log, or nothing at all.
//
// The callback runs on whatever thread found something to say, or on the one that writes dirty pages back, which waits
// for it: so it should be quick. Never under a lock of the library, possibly on several threads at once. It must not
// throw, nor call back into the cache that reports.
#ifndef QUIRE_LOG_H_
#define QUIRE_LOG_H_

#include <functional>
#include <string_view>

namespace quire {

enum class LogLevel {
  kDebug,    // of use to developers of Quire
  kInfo,     // worth knowing, nothing to do
  kWarning,  // something was done another way, or will fail later
  kError,    // data may be lost unless somebody acts
};

using LogFunction = std::function<void(LogLevel level, std::string_view message)>;

}  // namespace quire

#endif  // QUIRE_LOG_H_
