// map-mid-fill, played: a page is about to be shown to a program when it is dropped, and added again by somebody whose
// read the store has not answered. For the test that it is not shown then, and for a program with planted faults, in
// which it is (tests/planted).
#ifndef QUIRE_FILE_TEST_MAP_MID_FILL_H_
#define QUIRE_FILE_TEST_MAP_MID_FILL_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "cache/fill.h"
#include "cache/page_wait.h"
#include "cache/seal.h"
#include "cache/test_pagemap.h"
#include "cache/test_pages.h"
#include "file/fault_service.h"
#include "file/file_view.h"
#include "file/file_views.h"
#include "file/test_engine.h"
#include "map/view.h"
#include "sync/atomic.h"
#include "sync/thread.h"
#include "sync/waker.h"

namespace quire::file {

// Who waits for the page to be unpinned: holds up whoever unpins it until another has dropped the page and added it.
class HoldsUpUnpin final : public sync::Waker {
 public:
  void wake() noexcept override {
    unpinned = true;
    cache::until([this] { return filling.load(); });
  }

  sync::Atomic<bool> unpinned{false};
  sync::Atomic<bool> filling{false};
};

// Whether the page is in the program's sight while it is being filled.
inline bool shows_a_page_mid_fill(Locking locking) {
  Engine engine({.initial_bytes = limits::kPageBytes, .locking = locking});
  const auto views = std::make_shared<FileViews>();
  auto begun = engine.inode->begin_mapped(views);
  EXPECT_TRUE(begun.ok());
  Result<FaultService::Use> service = FaultService::of_process();
  EXPECT_TRUE(service.ok());
  auto made = map::View::map((*service)->userfault(), engine.inode->memory()->fd(), 0, 1,
                             map::Access::kReadWrite);
  EXPECT_TRUE(made.ok());
  const auto view = std::make_shared<FileView>(std::move(*service), engine.inode, std::move(*begun),
                                               std::move(*made), 0);
  EXPECT_TRUE(views->add(view->view(), 0, view->inode()));

  EXPECT_EQ(engine.read(0, 1).size(), 1u);
  HoldsUpUnpin holds_up;
  cache::PageWaitLot::Waiter waiter(holds_up);
  EXPECT_TRUE(engine.inode->enqueue_changed(0, *engine.inode->find(0), engine.value(0), waiter));
  sync::Thread evictor = cache::start_thread("evictor", [&] {
    cache::until([&] { return holds_up.unpinned.load(); });
    cache::drop_clean(*engine.inode, 0, 0);
    EXPECT_TRUE(engine.value(0).absent());
    // Bytes are in place, and do not count yet.
    engine.store->set_hook(cache::when(StoreOp::kRead, cache::held_answer()));
    EXPECT_EQ(cache::start_fill(*engine.inode, 0, 1, cache::Marker::kNone).pages, 1u);
    EXPECT_EQ(engine.value(0).state(), cache::PageState::kFilling);
    holds_up.filling = true;
  });
  std::size_t moves = 0;
  (void)view->show(0, 1, &moves);
  evictor.join();
  EXPECT_EQ(engine.value(0).state(), cache::PageState::kFilling);
  const bool shown = cache::Pagemap().in_sight(view->view().memory().data());
  views->remove(view->view());
  engine.store->set_hook({});
  engine.store->release_held();
  return shown;
}

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_MAP_MID_FILL_H_
