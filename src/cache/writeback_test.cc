// Writeback and the flusher against stores that fail or do not answer. Requests are held by the store's
// hook, pages by the test itself; no test sleeps.
#include "cache/writeback.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/test_pages.h"
#include "cache/test_views.h"
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

// Fails requests that begin before page `end`, counting them.
std::function<StoreVerdict(const StoreRequest&)> bad_before(std::uint64_t end,
                                                            sync::Atomic<int>& failed) {
  return [=, &failed](const StoreRequest& request) {
    if (request.op != StoreOp::kWrite || request.offset >= page_offset(end)) return StoreVerdict{};
    failed.fetch_add(1);
    return failing(std::errc::io_error);
  };
}

// More bad pages than a batch holds do not keep a sync from the healthy ones, and are tried once. Fails
// if flush_all stops at the first batch with an error, or begins each batch at the oldest page.
TEST(Writeback, AFlushGoesOnPastPagesThatFail) {
  constexpr std::uint64_t kBad = FlushBatch::kPagesMax;
  OneFile file({}, small_budget(kBad + 64, kBad + 8));
  sync::Atomic<int> failed{0};
  file.store->set_hook(bad_before(kBad, failed));
  for (std::uint64_t i = 0; i < kBad + 8; ++i) ASSERT_FALSE(file.write(i, 'a'));
  EXPECT_EQ(flush_all(*file.pages, 0, kAll, {}).error, std::errc::io_error);
  EXPECT_EQ(file.cache->dirty().taken(), kBad);
  EXPECT_EQ(failed.load(), static_cast<int>(kBad / 4)) << "by four pages a request";
  for (std::uint64_t i = kBad; i < kBad + 8; ++i) {
    EXPECT_EQ(file.value(i).state(), PageState::kClean);
  }
  file.store->set_hook({});
  EXPECT_FALSE(flush_all(*file.pages, 0, kAll, {}).error);
  EXPECT_EQ(file.cache->dirty().taken(), 0u);
}

// The flusher likewise. Fails (hangs) if end_turn leaves pass_tried_ at 0.
TEST(Flusher, GoesOnPastPagesThatFail) {
  constexpr std::uint64_t kBad = FlushBatch::kPagesMax;
  Budget budget = small_budget(kBad + 64, kBad + 8);
  budget.dirty_background_pages = kBad + 7;
  OneFile file({}, budget);
  sync::Atomic<int> failed{0};
  file.store->set_hook(bad_before(kBad, failed));
  for (std::uint64_t i = 0; i < kBad + 8; ++i) ASSERT_FALSE(file.write(i, 'a'));
  file.cache->balance_dirty();
  until([&] { return file.cache->dirty().taken() == kBad; });
  EXPECT_GE(failed.load(), static_cast<int>(kBad / 4));
}

// Another file of the same cache.
class OtherFile {
 public:
  explicit OtherFile(OneFile& one) : one_(one) {
    opened_ = one.store->open("g", OpenFlags::kReadWrite | OpenFlags::kCreate, 0644).value();
    pages = std::make_shared<FilePages>(*one.cache, 0);
    pages->set_handles(opened_.handle, opened_.handle);
  }
  ~OtherFile() {
    one_.cache->flusher().stop();
    EXPECT_EQ(pages->wait_idle({}), sync::WaitStatus::kReady);
    one_.cache->dirty_files().remove(*pages);
    pages->forget_all();
    pages.reset();
    EXPECT_TRUE(one_.store->close(opened_.handle).ok());
  }
  OtherFile(const OtherFile&) = delete;
  OtherFile& operator=(const OtherFile&) = delete;

  std::error_code write(std::uint64_t index) {
    const std::error_code error = one_.cache->dirty().take(1, {});
    if (error) return error;
    PageWrite page(*pages);
    const std::error_code begun = page.begin(index, 0, kPage, {});
    if (!begun) page.finish(page_offset(index) + kPage);
    return begun;
  }

  std::shared_ptr<FilePages> pages;

 private:
  OneFile& one_;
  OpenedObject opened_;
};

// A request that the store does not answer keeps its own file waiting, no other; and that file has its
// turn again when the answer has come. Fails (hangs) if take_turn waits for the end of its batch, or if
// end_turns does not look.
TEST(Flusher, AHungRequestStopsNoOtherFile) {
  Budget budget = small_budget(64, 16);
  budget.dirty_background_pages = 0;
  OneFile hung({}, budget);
  OtherFile healthy(hung);
  hung.store->set_hook([](const StoreRequest& request) {
    return request.op == StoreOp::kWrite && request.path == "f" ? held() : StoreVerdict{};
  });
  ASSERT_FALSE(hung.write(0, 'a'));
  hung.cache->balance_dirty();
  until([&] { return hung.store->held() == 1; });
  ASSERT_FALSE(healthy.write(0));
  hung.cache->balance_dirty();
  until([&] { return healthy.pages->dirty().size() == 0; });
  ASSERT_FALSE(hung.write(5, 'b'));
  EXPECT_EQ(hung.pages->requests(), 2u) << "the request, and the turn that holds the handles";
  EXPECT_EQ(hung.store->release_held(), 1u);
  until([&] { return hung.store->held() == 1; });
  hung.store->release_held();
  until([&] { return hung.cache->dirty().taken() == 0; });
}

// A flush waits for a writer who holds a page that it has taken, but not past its limit: that page is
// left out, the others are written. Fails (hangs) if append() waits without the limit.
TEST(Writeback, APageThatItsWriterKeepsIsLeftOut) {
  OneFile file;
  ASSERT_FALSE(file.write(0, 'a'));
  ASSERT_FALSE(file.write(1, 'a'));
  // No buffer is free until the page, taken by the flush, has its writer.
  SnapshotPool& snapshots = file.cache->snapshots();
  std::vector<std::byte*> buffers;
  while (std::byte* const buffer = snapshots.try_acquire()) buffers.push_back(buffer);
  std::stop_source stop;
  sync::Thread flusher = start_thread("flusher", [&] {
    EXPECT_EQ(flush_all(*file.pages, 0, kAll, {sync::Clock::kNever, stop.get_token()}).error,
              Errc::kInterrupted);
  });
  until([&] { return file.value(0).state() == PageState::kWriteback; });
  ASSERT_FALSE(file.cache->dirty().take(1, {}));
  PageWrite writer(*file.pages);
  ASSERT_FALSE(writer.begin(0, 0, kPage, {}));
  for (std::byte* const buffer : buffers) snapshots.release(buffer);
  until([&] { return file.value(0).waiters(); });
  stop.request_stop();
  flusher.join();
  EXPECT_EQ(file.value(0).state(), PageState::kDirty);
  EXPECT_EQ(file.pages->dirty().size(), 1u);
  until([&] { return file.value(1).state() == PageState::kClean; });
  std::memset(writer.bytes(), 'b', kPage);
  writer.finish(2 * kPage);
  EXPECT_FALSE(flush_all(*file.pages, 0, kAll, {}).error);
  EXPECT_EQ(file.stored(), std::string(kPage, 'b') + std::string(kPage, 'a'));
}

// A page that is listed and not yet dirty is waited for by giving way, within the limit. Fails (hangs)
// if wait_busy does not look at the deadline.
TEST(Writeback, AWriterAboutToLetGoIsWaitedForWithinTheLimit) {
  OneFile file;
  ASSERT_FALSE(file.write(0, 'a'));
  ASSERT_FALSE(flush_all(*file.pages, 0, kAll, {}).error);
  ASSERT_FALSE(file.cache->dirty().take(1, {}));
  PageWrite writer(*file.pages);
  ASSERT_FALSE(writer.begin(0, 0, kPage, {}));
  file.pages->dirty().add(file.value(0).frame());  // as finish() does before it lets go
  EXPECT_EQ(flush_all(*file.pages, 0, kAll, {sync::Clock::now(), {}}).error, Errc::kTimedOut);
  writer.finish(kPage);
  EXPECT_FALSE(flush_all(*file.pages, 0, kAll, {}).error);
}

// The first mapping comes, and stores, while a flush waits for a writer in the middle of its run: what is copied
// afterwards is copied when no store goes through any more. Fails if Run asks whether the file is mapped before it has
// the page pinned, when it is made say.
TEST(Writeback, TheFirstMappingComesInTheMiddleOfARun) {
  OneFile file(filled(4 * kPage, 'i'));
  for (const std::uint64_t page : {0, 1, 2, 3}) ASSERT_FALSE(file.write(page, 'a'));
  file.cache->flusher().stop();
  // No buffer is free until page 1, taken by the flush, has its writer.
  SnapshotPool& snapshots = file.cache->snapshots();
  std::vector<std::byte*> buffers;
  while (std::byte* const buffer = snapshots.try_acquire()) buffers.push_back(buffer);
  const auto views = std::make_shared<TestViews>(4);
  sync::Atomic<int> requests{0};
  file.store->set_hook([&](const StoreRequest& request) {
    if (request.op == StoreOp::kWrite) {
      ++requests;
      for (const std::uint64_t page : {1, 2, 3}) {
        EXPECT_FALSE(views->stores(page)) << "copied while it was stored into: page " << page;
      }
    }
    return StoreVerdict{};
  });
  sync::Thread flusher =
      start_thread("flusher", [&] { EXPECT_FALSE(flush_all(*file.pages, 0, kAll, {}).error); });
  until([&] { return file.value(3).state() == PageState::kWriteback; });
  ASSERT_FALSE(file.cache->dirty().take(1, {}));
  PageWrite writer(*file.pages);
  ASSERT_FALSE(writer.begin(1, 0, kPage, {}));
  sync::lock_rank::handed_over(sync::Rank::kPage, file.pages->find(1));
  for (std::byte* const buffer : buffers) snapshots.release(buffer);
  until([&] { return file.value(1).waiters(); });  // page 0 is copied

  auto mapped = file.pages->begin_mapped(views);
  ASSERT_TRUE(mapped.ok());
  views->map(*file.pages);
  for (const std::uint64_t page : {2, 3}) {
    ASSERT_FALSE(views->answer_store(page));
    *views->at(page, 0) = std::byte{'b'};
  }
  // As long as it may, the program goes on storing.
  views->on_protect = [&](std::uint64_t first, std::uint64_t count) {
    EXPECT_EQ(first, 1u);
    EXPECT_EQ(count, 3u);
    views->store_all(2, 'c');
  };
  writer.finish(kPage);
  flusher.join();
  EXPECT_EQ(requests.load(), 1);
  EXPECT_EQ(file.stored().find_first_not_of('c', 2 * kPage), 3 * kPage);
  views->unmap();
}

// A file was dirty, and was forgotten when it was clean, before the flusher looked at it again. Fails if DirtyFiles,
// which links files that keep themselves, does not let them go at its end.
TEST(DirtyFilesTest, WhatWasForgottenGoesWithTheCache) {
  const auto store = MemoryStore::create();
  auto cache = std::move(PageCache::create(store, small_budget(64, 16), {}).value());
  cache->flusher().stop();
  const OpenedObject opened =
      store->open("f", OpenFlags::kReadWrite | OpenFlags::kCreate, 0644).value();
  auto pages = std::make_shared<FilePages>(*cache, 0);
  pages->set_handles(opened.handle, opened.handle);
  ASSERT_FALSE(cache->dirty().take(1, {}));
  {
    PageWrite page(*pages);
    ASSERT_FALSE(page.begin(0, 0, limits::kPageBytes, {}));
    page.finish(limits::kPageBytes);
  }
  EXPECT_FALSE(flush_all(*pages, 0, ~std::uint64_t{0}, {}).error);
  pages->forget_all();
  const std::weak_ptr<FilePages> forgotten = pages;
  pages.reset();
  EXPECT_FALSE(forgotten.expired());
  cache.reset();
  EXPECT_TRUE(forgotten.expired());
  EXPECT_TRUE(store->close(opened.handle).ok());
}

// More is to be said than anybody says. Fails if the queue has no bound, or hides that it was full.
TEST(PageCacheLog, WhatWaitsToBeSaidIsBounded) {
  std::vector<std::string> said;
  CacheOptions options;
  options.log = [&](LogLevel, std::string_view text) { said.emplace_back(text); };
  auto cache =
      std::move(PageCache::create(MemoryStore::create(), small_budget(64, 16), options).value());
  cache->flusher().stop();
  for (std::size_t i = 0; i < limits::kUnsaidMax + 3; ++i) {
    cache->log_soon(LogLevel::kInfo, [&] { return std::to_string(i); });
  }
  EXPECT_TRUE(said.empty());
  cache->say();
  ASSERT_EQ(said.size(), limits::kUnsaidMax + 1);
  EXPECT_EQ(said.front(), "0");
  EXPECT_EQ(said.back(), "3 more messages were left out");
  cache->say();
  EXPECT_EQ(said.size(), limits::kUnsaidMax + 1);
}

}  // namespace
}  // namespace quire::cache
