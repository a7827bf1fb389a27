// AppendPlaces: an append of more than a piece makes its place first, of zeros, and takes back what it could not fill
// (mapped_io.h). What others put there meanwhile is theirs and stays: so it is counted whether anybody changed bytes
// of the file while such an append was under way.
//
// Who calls: note_change() whoever changes bytes, under what excludes cuts of them (write range, or a held page); the
// rest such an append.
//
// Invariants:
//  1. A change to a place that was seen to be there is counted: the place is announced before it can be seen.
//  2. With no such append a change costs a look at a word that nobody writes.
#ifndef QUIRE_FILE_APPEND_PLACE_H_
#define QUIRE_FILE_APPEND_PLACE_H_

#include <cstdint>

#include "sync/atomic.h"

namespace quire::file {

class AppendPlaces {
 public:
  void note_change() noexcept {
    if (under_way_.load() != 0) [[unlikely]]
      changes_.fetch_add(1);
  }
  std::uint64_t changes() const noexcept { return changes_.load(); }

 private:
  friend class AppendPlace;
  sync::Atomic<std::uint32_t> under_way_{0};
  sync::Atomic<std::uint64_t> changes_{0};
};

// The place of one append, as long as it lasts.
class AppendPlace {
 public:
  explicit AppendPlace(AppendPlaces& places) noexcept : places_(places) {
    places_.under_way_.fetch_add(1);
    changes_ = places_.changes();
  }
  ~AppendPlace() { places_.under_way_.fetch_sub(1); }
  AppendPlace(const AppendPlace&) = delete;
  AppendPlace& operator=(const AppendPlace&) = delete;

  // What AppendPlaces::changes() was: if it still is, nobody put anything there.
  std::uint64_t changes() const noexcept { return changes_; }

 private:
  AppendPlaces& places_;
  std::uint64_t changes_ = 0;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_APPEND_PLACE_H_
