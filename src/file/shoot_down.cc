#include "file/shoot_down.h"

#include <utility>

#include "cache/block_holders.h"
#include "cache/sealed_write.h"
#include "fault/planted.h"
#include "file/sync_file.h"

namespace quire::file {
namespace {

// The last byte of the page.
std::uint64_t last_byte(std::uint64_t page) {
  return page >= cache::page_index(~std::uint64_t{0})
             ? ~std::uint64_t{0}
             : cache::page_offset(page) + limits::kPageBytes - 1;
}

}  // namespace

ShotDown::~ShotDown() {
  pages_.unseal();
  block_.end();
  unlock_bytes();
}

std::error_code ShotDown::lock_bytes(std::uint64_t first, std::uint64_t last,
                                     const sync::WaitLimit& limit) {
  if (!begun_) {
    const sync::WaitStatus status = operation_.begin(inode_->lock(), sync::RwMode::kWrite, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
    begun_ = true;
  }
  if (fault::planted(fault::Planted::kCutTakesNoRange)) return {};
  const sync::WaitStatus status = inode_->lock_range(range_, first, last, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  range_held_ = true;
  // A shift that we waited for may have failed midway.
  return inode_->broken() ? std::make_error_code(std::errc::io_error) : std::error_code();
}

void ShotDown::unlock_bytes() noexcept {
  if (!range_held_) return;
  range_held_ = false;
  inode_->ranges().unlock(range_);
}

std::error_code ShotDown::lock_pages(std::uint64_t first_page, std::uint64_t last_page,
                                     const sync::WaitLimit& limit,
                                     sync::Clock::duration users_wait) {
  first_page_ = first_page;
  last_page_ = last_page;
  if (!fault::planted(fault::Planted::kCutBeginsNoBlock)) {
    const sync::WaitStatus status = block_.begin(inode_->lock(), first_page, last_page, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  }
  return pages_.seal(first_page, last_page, limit, users_wait);
}

std::error_code ShotDown::lock(std::uint64_t first_page, std::uint64_t last_page,
                               const sync::WaitLimit& limit) {
  // Whole pages, so that no writer of a part of one has it while we wait for it.
  const std::error_code error =
      lock_bytes(cache::page_offset(first_page), last_byte(last_page), limit);
  return error ? error : lock_pages(first_page, last_page, limit);
}

void ShotDown::hand_over_bytes() noexcept {
  if (std::exchange(bytes_handed_over_, true)) return;
  operation_.hand_over();
  if (range_held_) inode_->ranges().hand_over();
}

void ShotDown::hand_over() noexcept {
  hand_over_bytes();
  if (!std::exchange(handed_over_, true)) block_.hand_over();
}

std::error_code ShotDown::write(const std::shared_ptr<ShotDown>& self,
                                const sync::WaitLimit& limit) {
  self->hand_over();
  return cache::write_sealed(*self->inode_, self->first_page_, self->last_page_, self, limit);
}

std::error_code write_and_invalidate(const std::shared_ptr<Inode>& inode, std::uint64_t first_page,
                                     std::uint64_t last_page, const sync::WaitLimit& limit) {
  // What a failed sync is about must be written again while it is known.
  std::error_code error = rewrite_failed(*inode, limit);
  if (error) return error;
  {
    const cache::BlockHolders::Scope scope;
    const auto down = std::make_shared<ShotDown>(inode);
    error = down->lock(first_page, last_page, limit);
    if (!error) error = ShotDown::write(down, limit);
    if (!error) down->drop();
  }
  if (inode->unpushed()) inode->after_flush();
  return error;
}

std::error_code invalidate(Inode& inode, std::uint64_t first_page, std::uint64_t last_page,
                           const sync::WaitLimit& limit, cache::Stayed* stayed) {
  cache::CacheLock::Operation operation;
  sync::WaitStatus status = operation.begin(inode.lock(), sync::RwMode::kWrite, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  cache::CacheLock::Block block;
  status = block.begin(inode.lock(), first_page, last_page, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  return cache::invalidate_pages(inode, first_page, last_page, limit, limits::kPinnedWaitMax,
                                 stayed);
}

}  // namespace quire::file
