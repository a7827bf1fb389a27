// World: the engine that is tested, over a memory store, and beside it the models of its files. Looks at
// both from outside the operations: all bytes through the cache, what the store holds, what survives a
// crash, and the cache's books.
//
// Throws Mismatch where the engine is not what the model is.
//
// Thread-safety: none.
#ifndef QUIRE_TESTS_MODEL_WORLD_H_
#define QUIRE_TESTS_MODEL_WORLD_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "file/fault_service.h"
#include "model/model.h"
#include "model/operation.h"
#include "model/store_script.h"
#include "quire/cache.h"
#include "quire/mapping.h"
#include "quire/store_memory.h"

namespace quire::model {

struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Time stamps as they were last seen, and whether something has changed them since.
struct SeenStamps {
  bool known = false;
  bool moved = false;
  TimeSpec mtime, ctime;
  TimeSpec moved_at;  // mtime is no older, if `moved`
};

struct TestedFile {
  ModelFile model;
  SeenStamps stamps;
  // A sync may fail with ESTALE, once: the store forgot stamps too, as no file system does, so that an
  // open found others than the cache had left there.
  bool may_be_stale = false;
  ObjectHandle inspected;  // the store's
};

struct TestedHandle {
  File file;
  unsigned number = 0;  // of the file
  OpenFlags flags{};
};

struct TestedMapping {
  enum class Page : std::uint8_t { kUnmapped, kRead, kReadWrite };

  bool shows(unsigned file, std::uint64_t page) const {
    return mapping.is_mapped() && number == file && page >= first_page &&
           page - first_page < pages.size() && pages[page - first_page] != Page::kUnmapped;
  }

  // Not every store to a clean page is a fault of its own.
  bool may_store_unheard() const { return way.async_stores || stores_ahead; }

  Mapping mapping;
  unsigned number = 0;  // of the file
  std::uint64_t first_page = 0;
  bool writable = false;      // the file was open for writing
  file::FaultWay way;         // `async_stores`: and stores can ever be allowed
  bool stores_ahead = false;  // Advice::kSequential was given
  std::vector<Page> pages;
  // Pages of the file to which an access failed, when, and none has gone through since.
  std::map<std::uint64_t, std::chrono::steady_clock::time_point> failed;
};

class World {
 public:
  World(Locking locking, std::uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Cache& cache() { return *cache_; }
  StoreScript& script() { return *script_; }
  // Of direct IO, as the store asks.
  std::uint32_t alignment_bytes() const { return store_->traits().io_alignment_bytes; }
  TestedFile& file(unsigned number) { return files_[number]; }
  TestedHandle& handle(unsigned number) { return handles_[number]; }
  TestedMapping& mapping(unsigned number) { return mappings_[number]; }
  // Stores through mappings of `file` may go unheard of.
  bool is_watched(unsigned file) const;
  // The kernel refuses userfaultfd(2): nothing can be mapped.
  static bool maps_nothing();
  // Mappings with async_stores are possible in this life of the cache.
  bool lets_stores_through() const;
  std::array<HandleView, kHandles> view() const;
  std::array<MappingView, kMappings> mapping_view() const;

  // One page as the store has it; zeros past its end.
  PageRef stored(unsigned file, std::uint64_t index);
  // The store has these pages, and of a sync of the whole file also the size, as the model has them.
  void check_stored(unsigned file, std::uint64_t first, std::uint64_t last, bool size_too);
  // Everything that the model knows of the file, read through the cache.
  void check_contents(unsigned file);
  // Nothing but clean pages is in use when all is written; nothing is when all is dropped.
  void check_books();
  // Cache::sync, and again if ESTALE may have been due.
  Status sync_all();
  void read_crowd(std::uint64_t pattern);
  // Closes the cache, lets the store lose what is volatile, and begins again with what it has then.
  void crash(bool clean);
  // The library's last messages.
  std::string log() const;

 private:
  void begin_life();
  void check_survived(unsigned file, bool all);
  // That mappings with async_stores show, and that may count as dirty.
  std::uint64_t pages_watched() const;

  const Locking locking_;
  const std::uint64_t seed_;
  std::uint64_t lives_ = 0;
  bool reserves_space_ = true;  // in this one
  std::shared_ptr<MemoryStore> store_;
  std::unique_ptr<StoreScript> script_;
  std::array<TestedFile, kFiles> files_;
  mutable std::mutex log_mutex_;
  std::deque<std::string> log_;
  std::unique_ptr<Cache> cache_;
  std::uint64_t nodes_and_fixed_bytes_ = 0;  // of the memory of a cache without pages
  std::array<TestedHandle, kHandles> handles_;
  std::array<TestedMapping, kMappings> mappings_;
};

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_WORLD_H_
