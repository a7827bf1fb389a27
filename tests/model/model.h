// ModelFile: a file as it must be, in plain memory, beside the engine that is tested. What the file holds
// is known exactly at every moment; what the store holds is known as a set.
//
// For each page: `now`, what a reader gets. In addition
//  1. unsynced: every content that the page has had since a sync last made it durable, that one first.
//     After a crash the store has one of them. A page that is in no such list is durable as it is.
//  2. instead: the page may have left the cache before a sync failed whose store then forgot it. Then
//     a reader gets `instead` from now on; which of the two, the first reader finds out.
//  3. may_be_lost, is_lost: after a failed sync a page that had left the cache cannot be written again,
//     and each sync of it fails until it is written over as a whole or cut away. Whether it had left the
//     cache the model does not know, so a failed sync makes all that it was about may_be_lost; a page
//     that was seen to be `instead` is_lost.
//  4. fresh: written since a sync was last tried. If a sync that fails finds them gone from the cache, they
//     are lost for certain.
//  5. maybe_dirty: nothing has shown yet that the page was written to the store.
//  6. torn: a program stored into the page through a mapping, byte by byte: what was written back meanwhile may hold
//     some of the bytes.
// Of the whole: behind, what was last stored behind the end of the file in its last page. A program may see it
// there, until the page leaves the cache, and zeros from then on; it is gone when the size changes.
//
// Thread-safety: none.
#ifndef QUIRE_TESTS_MODEL_MODEL_H_
#define QUIRE_TESTS_MODEL_MODEL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "model/page.h"

namespace quire::model {

inline constexpr std::uint64_t kLastPage = ~std::uint64_t{0};

class ModelFile {
 public:
  std::uint64_t size() const { return size_; }
  // Bytes from `offset` on that a read of `length` gives.
  std::uint64_t readable(std::uint64_t offset, std::uint64_t length) const;
  PageRef page(std::uint64_t index) const;

  void write(std::uint64_t offset, std::span<const std::byte> bytes);
  // A program stored through a mapping, into pages that the file has. Never makes it longer.
  void store(std::uint64_t offset, std::span<const std::byte> bytes);
  // These pages were made dirty as they are, as far as the file has them.
  void touch(std::uint64_t first, std::uint64_t last);
  // A mapping with async_stores, or one told kSequential, shows these pages. Until stop_watching() they may be dirty at
  // any time, and be written again as they are: by the first writeback after they came into sight, or were let through
  // with others, and after one during which they were stored into.
  void watch(std::uint64_t first, std::uint64_t last);
  void stop_watching() { watched_.clear(); }
  bool has_behind() const { return behind_ != nullptr; }
  void set_size(std::uint64_t size);
  // Bytes in [offset, end) are zero, as far as the file reaches. Whole pages go, parts are written.
  void clear(std::uint64_t offset, std::uint64_t end);
  // Whole pages: zeros are put in at `first`, or taken out from there, and what is behind moves.
  void insert(std::uint64_t first, std::uint64_t pages);
  void collapse(std::uint64_t first, std::uint64_t pages);
  // A clear() failed or was left, and these bytes of one page, within the file, were seen to be zero.
  void see_cleared(std::uint64_t from, std::uint64_t to);

  // What a reader got at `offset`, all of it within the file. Returns what is wrong with it, if anything.
  std::string check_read(std::uint64_t offset, std::span<const std::byte> got);

  // The same of a load, of one page that may be the last.
  std::string check_load(std::uint64_t offset, std::span<const std::byte> got);

  // Pages were written to the store, and perhaps made durable.
  void flushed(std::uint64_t first, std::uint64_t last);
  void synced(std::uint64_t first, std::uint64_t last);
  // A sync of the file failed. `dropped`: the store forgot what was not durable; `stored` says what it
  // has of a page now.
  void sync_failed(bool dropped, const std::function<PageRef(std::uint64_t)>& stored);

  // The same, when no page of the file is cached: returns whether some are lost for certain.
  bool sync_failed_uncached(bool dropped, const std::function<PageRef(std::uint64_t)>& stored);
  // A sync of any of it was tried, whatever came of it.
  void sync_tried() { fresh_.clear(); }

  bool may_be_dirty(std::uint64_t first, std::uint64_t last) const;
  bool may_be_lost(std::uint64_t first, std::uint64_t last) const;
  bool is_lost(std::uint64_t first, std::uint64_t last) const;
  // The first page that may be lost; kLastPage if none.
  std::uint64_t first_lost() const;
  // The store was asked for more than to write, since the last sync: to set the size, or to cut.
  bool reshaped() const { return cut_ || size_min_ != size_max_; }

  // All pages that hold or held something since the last sync.
  std::set<std::uint64_t> known_pages() const;
  std::vector<std::uint64_t> unsynced_pages() const;
  // Whether the store may have this after a crash.
  bool may_survive(std::uint64_t index, const PageRef& got) const;
  bool size_may_survive(std::uint64_t size) const { return size_min_ <= size && size <= size_max_; }

  // Begins again with what the store has. `pages` without those of zeros.
  void adopt(std::uint64_t size, std::map<std::uint64_t, PageRef> pages);

 private:
  struct Lost {
    bool for_certain = false;
    bool differs = false;
    PageRef instead;  // if `differs`
  };

  void change(std::uint64_t index, PageRef page);
  // `cures`: pages that it covers are not lost any more.
  void put(std::uint64_t offset, std::span<const std::byte> bytes, bool cures);
  void grow_or_shrink(std::uint64_t size);
  void clear_part(std::uint64_t from, std::uint64_t to);
  // Moves what is known of pages from `first` on: from(index) is where a page was, kLastPage nowhere.
  template <class From, class To>
  void shift(std::uint64_t first, From from, To to);

  bool cut_ = false;  // since the last sync
  std::uint64_t size_ = 0;
  std::uint64_t size_min_ = 0;  // since the last sync
  std::uint64_t size_max_ = 0;
  std::map<std::uint64_t, PageRef> pages_;
  std::map<std::uint64_t, std::vector<PageRef>> unsynced_;
  std::map<std::uint64_t, Lost> lost_;
  std::set<std::uint64_t> maybe_dirty_;
  std::set<std::uint64_t> fresh_;
  std::set<std::uint64_t> torn_;
  std::set<std::uint64_t> watched_;
  PageRef behind_;
};

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_MODEL_H_
