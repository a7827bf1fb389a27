// StoreMarks: which pages of this process's mappings were stored into, where the kernel lets stores through by itself
// (Userfault::Options::async_stores). A translation that bears the kernel's write protection was not stored through
// since it was made so, and neither was what has no translation any more but bears the mark that a protected one leaves
// when it is taken away. Everything else may have been.
//
//   a page                                         what is said of it
//   protected translation, or the mark of one      not stored into since it was protected
//   any other translation                          may have been; protected now
//   nothing; poison; whatever else there may be    may have been
//
// The protection is put back by the system call that finds it gone, page by page under the page table's lock, and
// processors have forgotten what they knew of the page when it returns. So a store is either in memory by then, or
// lifts the protection again.
//
// Who calls: any thread, at any time. One system call for each kPagesMax, more where marks lie scattered.
#ifndef QUIRE_MAP_STORE_MARKS_H_
#define QUIRE_MAP_STORE_MARKS_H_

#include <bitset>
#include <cstddef>
#include <memory>
#include <span>

#include "quire/result.h"

namespace quire::map {

class StoreMarks {
 public:
  static constexpr std::size_t kPagesMax = 256;
  using Pages = std::bitset<kPagesMax>;

  // Errors: ENOTSUP, with what to do about it.
  static Result<std::unique_ptr<StoreMarks>> open();
  ~StoreMarks();
  StoreMarks(const StoreMarks&) = delete;
  StoreMarks& operator=(const StoreMarks&) = delete;

  // The pages of the range that may have been stored into, which are protected again where they have a translation.
  // What the kernel cannot tell it says of all. REQUIRES: kPagesMax pages at most.
  Pages take(std::span<std::byte> range) noexcept;

 private:
  explicit StoreMarks(int pagemap) : pagemap_(pagemap) {}

  const int pagemap_;
};

}  // namespace quire::map

#endif  // QUIRE_MAP_STORE_MARKS_H_
