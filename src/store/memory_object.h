// MemoryObject: the bytes, size and time stamps of one object of a memory store, twice: as they are
// now (live) and as a crash would leave them (durable).
//
// Each image is a sparse map of pages. The two share the pages in which they agree: a write to a
// shared page first makes a copy, sync() moves the pages changed since the last one. So a sync
// costs what was written, not what there is.
//
// Who calls: the memory store, from any thread; every call is atomic towards every other.
//
// Invariants:
//  1. A page that is in the live image, or reserved, is paid for in the quota, exactly once.
//  2. No page is both in the live image and reserved.
//  3. Bytes of a live page at or past the size are zero.
//  4. A page in which the images differ is in changed_, or everything_changed_ is set.
#ifndef QUIRE_STORE_MEMORY_OBJECT_H_
#define QUIRE_STORE_MEMORY_OBJECT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "quire/limits.h"
#include "quire/store.h"
#include "store/page_quota.h"
#include "sync/mutex.h"

namespace quire::store {

// How a request ended: what IoDone::io_done is told.
struct IoOutcome {
  std::error_code error;
  std::size_t bytes = 0;
};

// How many bytes the buffers of a request hold together.
template <class Buffers>
std::uint64_t total_bytes(const Buffers& buffers) {
  std::uint64_t total = 0;
  for (const auto& buffer : buffers) total += buffer.size();
  return total;
}

class MemoryObject {
 public:
  // `path`: the name that the object was made under, for messages and hooks.
  MemoryObject(ObjectId id, std::string path, std::uint32_t permissions,
               std::uint32_t io_alignment_bytes, PageQuota& quota);
  ~MemoryObject();
  MemoryObject(const MemoryObject&) = delete;
  MemoryObject& operator=(const MemoryObject&) = delete;

  ObjectId id() const { return id_; }
  const std::string& path() const { return path_; }

  // The operations of Store. Errors: EINVAL off alignment, EFBIG, ENOSPC; nothing has changed then.
  IoOutcome read(std::uint64_t offset, std::span<const Store::Buffer> buffers) EXCLUDES(mutex_);
  IoOutcome write(std::uint64_t offset, std::span<const Store::ConstBuffer> buffers)
      EXCLUDES(mutex_);
  IoOutcome truncate(std::uint64_t size_bytes) EXCLUDES(mutex_);
  IoOutcome cut(Cut kind, std::uint64_t offset, std::uint64_t length) EXCLUDES(mutex_);
  IoOutcome reserve(std::uint64_t offset, std::uint64_t length) EXCLUDES(mutex_);
  IoOutcome reserve_pages(SpaceRequest& request) EXCLUDES(mutex_);
  IoOutcome release(std::uint64_t offset, std::uint64_t length) EXCLUDES(mutex_);
  IoOutcome sync(SyncKind kind) EXCLUDES(mutex_);
  ObjectStat stat() const EXCLUDES(mutex_);
  void set_times(const TimeSpec* atime, const TimeSpec& mtime) EXCLUDES(mutex_);

  // Makes the live image the durable one again; reservations are lost.
  void revert() EXCLUDES(mutex_);
  // Replaces both images, whatever the quota says. The stamps advance even within one clock tick.
  void replace(std::span<const std::byte> bytes) EXCLUDES(mutex_);
  void add_link() EXCLUDES(mutex_);
  std::vector<std::byte> contents() const EXCLUDES(mutex_);
  std::vector<std::byte> durable_contents() const EXCLUDES(mutex_);

 private:
  using Page = std::array<std::byte, limits::kPageBytes>;
  using PageMap = std::map<std::uint64_t, std::shared_ptr<Page>>;
  struct Stamps {
    TimeSpec atime, mtime, ctime;
  };
  struct Image {
    PageMap pages;
    std::uint64_t size_bytes = 0;
    Stamps stamps;
  };

  static std::vector<std::byte> bytes_of(const Image& image);

  template <class Buffers>
  bool misaligned(std::uint64_t offset, const Buffers& buffers, std::uint64_t end) const
      REQUIRES(mutex_);
  // Pages of [first, end) that nobody has paid for yet.
  std::uint64_t unpaid_pages(std::uint64_t first, std::uint64_t end) const REQUIRES(mutex_);
  // The live page, made or copied so that writing it leaves the durable image alone.
  Page& writable_page(std::uint64_t index) REQUIRES(mutex_);
  // Zeroes part of one page; a hole stays a hole.
  void zero_in_page(std::uint64_t index, std::size_t from, std::size_t to) REQUIRES(mutex_);
  // Zeroes bytes; whole pages leave the image and, unless `keep_allocated`, their space is
  // returned.
  void zero_bytes(std::uint64_t offset, std::uint64_t end, bool keep_allocated) REQUIRES(mutex_);
  // Pays for [first, end), or nothing and false.
  bool reserve_range(std::uint64_t first, std::uint64_t end) REQUIRES(mutex_);
  void drop_reserved(std::uint64_t first, std::uint64_t end) REQUIRES(mutex_);
  IoOutcome shift(Cut kind, std::uint64_t offset, std::uint64_t length) REQUIRES(mutex_);
  void modified() REQUIRES(mutex_);

  const ObjectId id_;
  const std::string path_;
  const std::uint32_t permissions_;
  const std::uint32_t io_alignment_bytes_;
  PageQuota& quota_;

  mutable sync::Mutex mutex_;
  Image live_ GUARDED_BY(mutex_);
  Image durable_ GUARDED_BY(mutex_);
  std::set<std::uint64_t> reserved_ GUARDED_BY(mutex_);
  std::set<std::uint64_t> changed_ GUARDED_BY(mutex_);
  bool everything_changed_ GUARDED_BY(mutex_) = false;
  std::uint32_t links_ GUARDED_BY(mutex_) = 1;
};

}  // namespace quire::store

#endif  // QUIRE_STORE_MEMORY_OBJECT_H_
