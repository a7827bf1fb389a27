// The memory store: objects in memory, with latency and errors on request. For tests of Quire and of
// programs that use it: a disk that is slow, full, sick or silent, as the test chooses.
//
// Durability is modelled: a write is volatile until a sync of its object succeeds; crash() throws
// away what is volatile, and a sync that fails by injection throws away, at the test's choice, what
// was written since the last good one (as ext4 was seen to do). Names are durable at once: an object
// that was never synced is empty after a crash. Time stamps become durable with SyncKind::kAll.
//
// Directories need not be made: any path names an object. Links are objects with two names.
//
// Threads: one, "quire-mem", and only if latency is not zero. A request is carried out as one step,
// at the end of its latency or when it is released; in the simulation some reads are carried out when
// they are submitted and answered later, which a store may do too.
#ifndef QUIRE_STORE_MEMORY_H_
#define QUIRE_STORE_MEMORY_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "quire/export.h"
#include "quire/store.h"

namespace quire {

enum class StoreOp { kRead, kWrite, kTruncate, kSync, kCut, kReserve, kRelease, kOpen };

// One request as the store sees it, for MemoryStore::set_hook. kReserve is reserve_pages() too: with the range
// that is asked for, which may be empty.
struct StoreRequest {
  StoreOp op;
  std::string path;  // the name the object was made under
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  IoMode mode = IoMode::kAsync;
};

// What the hook answers. Of an open only `error` is looked at.
struct StoreVerdict {
  std::error_code error = {};  // non-zero: fail with this, changing nothing
  // With an error: carry the request out all the same, as a store that failed after it had changed things.
  bool change_then_fail = false;
  bool hold = false;  // keep the request until release_held()
  // With kSync and an error: forget what was written since the last good sync.
  bool drop_unsynced = false;
  // With `hold`: carry the request out now, and keep back only its answer.
  bool hold_answer_only = false;
};

struct MemoryStoreOptions {
  // Each request takes this long, in the calling thread with IoMode::kWait, else while the caller
  // goes on. 0: it completes before the call returns.
  std::chrono::microseconds latency{0};
  // Bytes that all objects together may allocate, in pages; more gives ENOSPC.
  std::uint64_t capacity_bytes = ~std::uint64_t{0};
  // As a device would ask for, a power of two up to 4096; requests off alignment fail with EINVAL.
  std::uint32_t io_alignment_bytes = 1;
  bool reserves_space = false;
};

class QUIRE_EXPORT MemoryStore : public Store {
 public:
  static std::shared_ptr<MemoryStore> create(MemoryStoreOptions options = {});

  // Called for each request before it is carried out, on the submitting thread, under no lock, and
  // perhaps by several threads at once. Replaced at any time; a request that is being submitted then
  // may still ask the one before. release_held() does not ask it again.
  virtual void set_hook(std::function<StoreVerdict(const StoreRequest&)> hook) = 0;
  // Carries out what was held: the oldest `count` of them. Returns how many there were to carry out.
  virtual std::size_t release_held(std::size_t count = ~std::size_t{0}) = 0;
  virtual std::size_t held() const = 0;

  // The bytes of an object as a reader of the medium would see them now / after a crash now. Empty
  // where there is no such object.
  virtual std::vector<std::byte> contents(const std::string& path) const = 0;
  virtual std::vector<std::byte> durable_contents(const std::string& path) const = 0;
  // Changes an object behind the cache's back, stamps included. Durable at once; makes the object if
  // it is not there. REQUIRES: `path` is one that open() would take.
  virtual void poke(const std::string& path, std::vector<std::byte> bytes) = 0;
  // Gives `existing` another name. REQUIRES: there is such an object, and none at `path`.
  virtual void link(const std::string& existing, const std::string& path) = 0;
  // Forgets everything that no sync made durable. REQUIRES: no request in flight.
  virtual void crash() = 0;
  virtual void set_capacity(std::uint64_t bytes) = 0;
};

}  // namespace quire

#endif  // QUIRE_STORE_MEMORY_H_
