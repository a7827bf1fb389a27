// What tests of reservations share: what the store says of a file's space, and whether the book agrees.
#ifndef QUIRE_FILE_TEST_SPACE_H_
#define QUIRE_FILE_TEST_SPACE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <system_error>

#include "file/inode.h"
#include "file/reserve.h"
#include "quire/store.h"
#include "sync/parker.h"

namespace quire::file {

// A request to a store, made and waited for by a test.
class Asked final : public IoDone {
 public:
  explicit Asked(const std::function<void(IoDone&)>& submit) {
    submit(*this);
    parker_.park();
  }
  void io_done(std::error_code with, std::size_t) noexcept override {
    error = with;
    parker_.unpark();
  }
  std::error_code error;

 private:
  sync::Parker parker_;
};

// Which of 256 pages from `first` on have space at the store, whatever the book says.
inline SpaceRequest::Pages space_of(Inode& inode, std::uint64_t first) {
  SpaceRequest request;
  request.offset = cache::page_offset(first);
  request.pages = limits::kReservePagesMax;
  const Asked asked([&](IoDone& done) {
    inode.cache().store().reserve_pages(inode.write_handle(), request, IoMode::kWait, done);
  });
  EXPECT_FALSE(asked.error) << asked.error.message();
  EXPECT_TRUE(request.told);
  return request.had_space;
}

inline std::uint64_t allocated_pages(Inode& inode) {
  return inode.cache().store().stat(inode.write_handle())->allocated_bytes / limits::kPageBytes;
}

// Every dirty page has a place at the store. REQUIRES: nobody else is at work on the file.
inline void expect_reserved(Inode& inode) {
  const cache::FilePages::Walker walker(inode);
  inode.tree().for_each(0, ~std::uint64_t{0}, [&](std::uint64_t page, cache::PageWord& word) {
    if (!word.load().dirty()) return true;
    const std::uint64_t first = page - page % limits::kReservePagesMax;
    EXPECT_TRUE(space_of(inode, first)[page - first])
        << "page " << page << " is dirty and has no space";
    return true;
  });
}

// reserved >= dirty and unallocated; and equal once it has been trimmed. Forgets the book. REQUIRES: as above.
inline void expect_balanced(const std::shared_ptr<Inode>& inode) {
  SpaceBook* const space = inode->space();
  if (space == nullptr) return;
  if (inode->cache().reserving() && !inode->broken()) {
    expect_reserved(*inode);
    const std::error_code error = trim(inode, {});
    EXPECT_FALSE(error) << error.message();
    expect_reserved(*inode);
    for (const PageRange range : space->fresh({0, ~std::uint64_t{0}})) {
      for (std::uint64_t page = range.first; page < range.end; ++page) {
        const cache::PageWord* const word = inode->find(page);
        EXPECT_TRUE(word != nullptr && word->load().dirty())
            << "page " << page << " is reserved after trimming, and not dirty";
      }
    }
  }
  space->forget();
}

// The store keeps no space in the file for bytes that were never written. For files of which nobody has asked
// for any by allocate() or zero().
inline void expect_no_spare_space(Inode& inode) {
  const std::uint64_t before = allocated_pages(inode);
  const Asked asked([&](IoDone& done) {
    inode.cache().store().release(inode.write_handle(), 0, std::uint64_t{1} << 40, done);
  });
  EXPECT_FALSE(asked.error);
  EXPECT_EQ(allocated_pages(inode), before) << "space that was reserved was not given back";
}

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_SPACE_H_
