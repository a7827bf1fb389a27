// What each subcommand was asked to do.
#ifndef QUIRE_TOOL_ARGUMENTS_H_
#define QUIRE_TOOL_ARGUMENTS_H_

#include <cstdint>
#include <string>

#include "quire/limits.h"
#include "quire/options.h"
#include "quire/store.h"
#include "quire/store_host.h"

namespace quire::tool {

struct MountArguments {
  std::string source;
  std::string mountpoint;
  std::uint64_t memory_bytes = limits::kMemoryDefaultBytes;
  std::uint64_t dirty_max_bytes = 0;  // 0: the cache's own default
  HostStoreOptions::Engine engine = HostStoreOptions::Engine::kAuto;
  Locking locking = CacheOptions().locking;
  bool allow_other = false;
  bool shared_mmap = true;
  bool foreground = false;
};

struct UnmountArguments {
  std::string mountpoint;
  bool discard = false;
};

struct StatsArguments {
  std::string mountpoint;
  bool json = false;
  bool prometheus = false;
  bool watch = false;
};

struct FallocateArguments {
  std::string file;
  Cut kind = Cut::kPunch;
  bool keep_size = false;  // of kZero
  std::uint64_t offset = 0;
  std::uint64_t length_bytes = 0;
};

struct DoctorArguments {
  std::string directory;  // empty: only the machine
  bool json = false;
};

struct VersionArguments {};

}  // namespace quire::tool

#endif  // QUIRE_TOOL_ARGUMENTS_H_
