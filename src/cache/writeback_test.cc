// Writeback and the flusher against stores that fail or do not answer. Requests are held by the store's
// hook, pages by the test itself; no test sleeps.
#include "cache/writeback.h"

#include <gtest/gtest.h>

#include <vector>

#include "cache/test_pages.h"
#include "sync/lock_rank.h"

namespace quire::cache {
namespace {

constexpr std::size_t kPage = limits::kPageBytes;
constexpr std::uint64_t kAll = ~std::uint64_t{0};

// A sync owes the bytes that a page had when it began, also if another flush had them under way, the
// page was rewritten meanwhile, and that flush failed. Fails if DirtyList::put_back leaves the page the
// number that its rewrite gave it: the sync then finds nothing to write again.
TEST(Writeback, ASyncOwesARewrittenPageWhoseEarlierFlushFailed) {
  OneFile file;
  ASSERT_FALSE(file.write(0, 'a'));
  StoreVerdict answers[] = {held(), held()};
  answers[0].error = std::make_error_code(std::errc::io_error);
  std::size_t asked = 0;
  file.store->set_hook([&](const StoreRequest& request) {
    return request.op == StoreOp::kWrite && asked < 2 ? answers[asked++] : StoreVerdict{};
  });
  sync::Thread first = start_thread(
      "first", [&] { EXPECT_EQ(flush_all(*file.pages, 0, kAll, {}).error, std::errc::io_error); });
  until([&] { return file.store->held() == 1; });
  ASSERT_FALSE(file.write(2, 'c'));
  sync::Thread second =
      start_thread("second", [&] { EXPECT_FALSE(flush_all(*file.pages, 0, kAll, {}).error); });
  until([&] { return file.store->held() == 2; });  // it knows by now what it owes
  ASSERT_FALSE(file.write(0, 'b'));
  EXPECT_EQ(file.store->release_held(1), 1u);
  first.join();
  file.store->release_held();
  second.join();
  EXPECT_EQ(file.stored().substr(0, kPage), std::string(kPage, 'b'));
  EXPECT_EQ(file.value(0).state(), PageState::kClean);
}

}  // namespace
}  // namespace quire::cache
