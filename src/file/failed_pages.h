// FailedPages: the pages of a mapping that raise SIGBUS since an access to them failed, and when accesses to each are
// to be asked about again.
//
// Thread-safety: none.
//
// Invariants:
//  1. A page is due at the time that it was added with last, and not before.
//  2. What is due has failed: no page between two that did is among it.
#ifndef QUIRE_FILE_FAILED_PAGES_H_
#define QUIRE_FILE_FAILED_PAGES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "sync/clock.h"

namespace quire::file {

class FailedPages {
 public:
  using Time = sync::Clock::time_point;
  struct Run {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
    friend bool operator==(const Run&, const Run&) = default;
  };

  // It failed, until then. False: there is no memory for that, and nothing was changed.
  [[nodiscard]] bool add(std::uint64_t page, Time until) noexcept;
  // Until when it failed; nothing if it did not.
  std::optional<Time> until(std::uint64_t page) const noexcept;
  // It has been had. REQUIRES: until(page).
  void remove(std::uint64_t page) noexcept;

  // When the next is due; kNever if none failed.
  Time next() const noexcept;
  // Of those that are due by then the one that has been longest, and its neighbours that are too.
  std::optional<Run> due(Time now) const noexcept;
  // Accesses to the run are asked about again, as far as it was due by then.
  void remove(const Run& run, Time now) noexcept;

 private:
  std::map<std::uint64_t, Time> by_page_;
  std::set<std::pair<Time, std::uint64_t>> by_time_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_FAILED_PAGES_H_
