// Races at the file's lock itself.
#include <optional>

#include "cache/cache_lock.h"
#include "file/buffered.h"
#include "file/resize.h"
#include "races/race.h"
#include "sync/test_handler.h"

namespace quire::races {
namespace {

using cache::CacheLock;
using sync::RwMode;
using sync::WaitStatus;

constexpr const char* kNoStripes = "its adders have one counter, no stripes";

// What a reader who misses holds while he adds, and what a cut holds. The test's, not its thread's.
struct Adding {
  CacheLock::Operation operation;
  CacheLock::Add add;

  void begin(CacheLock& lock, std::uint64_t page) {
    // By a thread of its own, which is not held to the order of what else the test does.
    start_thread("adder", [&] {
      EXPECT_EQ(operation.begin(lock, RwMode::kRead, {}), WaitStatus::kReady);
      EXPECT_EQ(add.begin(lock, page, page, {}), WaitStatus::kReady);
    }).join();
  }
};
struct Blocking {
  CacheLock::Operation operation;
  CacheLock::Block block;

  void begin(CacheLock& lock, std::uint64_t page) {
    EXPECT_EQ(operation.begin(lock, RwMode::kWrite, {}), WaitStatus::kReady);
    EXPECT_EQ(block.begin(lock, page, page, {}), WaitStatus::kReady);
    operation.hand_over();
    block.hand_over();
  }
};

// Somebody adds, a cut waits for him, and another comes to add: he queues behind the cut, or adders who come in
// a row would keep it out for ever. Fails with kAddersOvertake: the lock admits whoever shares the present state.
RACE(AddStarvesBlock, kAddersOvertake) {
  QuietEngine engine(locking, 4);
  std::optional<Adding> first(std::in_place);
  first->begin(engine.inode->lock(), 3);
  bool cut = false;
  sync::Thread cutter = start_thread("cutter", [&] {
    engine.truncate(3 * kPage);
    cut = true;
  });
  until([&] { return engine.waiting(GateSide::kBlock) == 1; });
  bool read = false;
  sync::Thread newcomer = start_thread("newcomer", [&] {
    EXPECT_TRUE(engine.read(3 * kPage, kPage).empty()) << "a page that was to be cut away";
    read = true;
  });
  until([&] { return read || engine.waiting(GateSide::kAdd) == 1; });
  EXPECT_FALSE(read) << "overtook a cut that waits";
  first.reset();
  cutter.join();
  newcomer.join();
}

// The mirror: a cut is under way, a reader waits for it, and another cut comes. It queues behind the reader.
// Fails with kBlockersOvertake: cuts come in by the one that is there, or before whoever waits.
RACE(BlockStarvesAdd, kBlockersOvertake) {
  QuietEngine engine(locking, 4);
  std::optional<Blocking> first(std::in_place);
  first->begin(engine.inode->lock(), 0);
  sync::Thread reader = start_thread("reader", [&] { (void)engine.read(0, kPage); });
  until([&] { return engine.waiting(GateSide::kAdd) == 1; });
  engine.store->set_hook([&](const StoreRequest& request) {
    EXPECT_TRUE(request.op != StoreOp::kCut || !engine.value(0).absent())
        << "overtook a reader who waits";
    return StoreVerdict{};
  });
  bool cut = false;
  sync::Thread newcomer = start_thread("newcomer", [&] {
    EXPECT_FALSE(file::clear(engine.inode, Cut::kPunch, 0, kPage, true, {}));
    cut = true;
  });
  until([&] { return cut || engine.waiting(GateSide::kBlock) == 1; });
  first.reset();
  reader.join();
  newcomer.join();
  engine.store->set_hook({});
  engine.expect_all(pages_of(" iii"));
}

// The same with a page fault in the reader's place, which no thread waits for: a cut is under way, the fault is
// parked, and another cut comes. It queues behind the fault, which holds no thread up and has a turn all the same.
// Fails with kBlockersOvertake.
RACE(ParkedFaultStarves, kBlockersOvertake) {
  QuietEngine engine(locking, 4);
  CacheLock& lock = engine.inode->lock();
  std::optional<Blocking> first(std::in_place);
  first->begin(lock, 0);
  sync::CountingWaker waker;
  CacheLock::Operation operation;
  CacheLock::OperationWaiter at_operation(waker);
  CacheLock::Add add;
  CacheLock::AddWaiter at_add(waker);
  const bool operates = operation.begin_async(lock, RwMode::kRead, at_operation);
  EXPECT_FALSE(operates && add.begin_async(lock, 0, 0, at_add));
  EXPECT_EQ(engine.waiting(GateSide::kAdd), 1u);
  engine.store->set_hook([&](const StoreRequest& request) {
    EXPECT_TRUE(request.op != StoreOp::kCut || waker.wakes == 1) << "overtook a fault that waits";
    return StoreVerdict{};
  });
  bool cut = false;
  sync::Thread newcomer = start_thread("newcomer", [&] {
    EXPECT_FALSE(file::clear(engine.inode, Cut::kPunch, 0, kPage, true, {}));
    cut = true;
  });
  until([&] { return cut || engine.waiting(GateSide::kBlock) == 1; });
  EXPECT_EQ(waker.wakes, 0);
  first.reset();
  waker.expect_woken();
  if (operates) {
    add.granted(at_add);
  } else {
    operation.granted(at_operation);
  }
  add.end();
  operation.end();
  newcomer.join();
  engine.store->set_hook({});
  engine.expect_all(pages_of(" iii"));
}

// Readers miss while a cut waits. Under a fair lock one who adds twice at once waits for the cut, which waits
// for him: so nobody does, and the lock order aborts who would, the first time. Fails with kNestAdds: fill_run()
// begins an Add within an Add.
RACE(FairNesting, kNestAdds) {
  QuietEngine engine(locking, 4);
  sync::Thread reader = start_thread("reader", [&] { (void)engine.read(0, 2 * kPage); });
  sync::Thread cutter = start_thread("cutter", [&] { engine.truncate(3 * kPage); });
  (void)engine.read(2 * kPage, kPage);
  reader.join();
  cutter.join();
  engine.expect_all(pages_of("iii"));
}

// Readers miss when memory is short, and what would free some is a cut. Nobody waits for memory while he adds,
// or the cut would wait for him; the lock order aborts who would, the first time. Fails with kFramesUnderAdd:
// fill_run() takes frames after its Add began.
RACE(MemoryWaitUnderAdd, kFramesUnderAdd) {
  Engine engine({.initial_bytes = 24 * kPage, .frames = 12, .locking = locking});
  const auto read_some = [&] {
    for (std::uint64_t page = 0; page < 8; ++page) (void)engine.read(page * kPage, kPage);
  };
  sync::Thread reader = start_thread("reader", read_some);
  sync::Thread writer = start_thread("writer", [&] {
    for (std::uint64_t page = 8; page < 16; ++page) engine.write(page * kPage, kPage, 'w');
  });
  sync::Thread cutter = start_thread("cutter", [&] { engine.truncate(12 * kPage); });
  read_some();
  reader.join();
  writer.join();
  cutter.join();
}

// Adders of a busy file count themselves in stripes, and one may end in another thread than he began in. He
// leaves by the stripe that he came in by, or a cut would wait for ever, or not at all. Fails with
// kLeaveOwnStripe: an adder leaves by the stripe of the thread that ends it.
RACE(StripeMismatch, kLeaveOwnStripe, {Locking::kInvalidate, kNoStripes},
     {Locking::kInode, kNoStripes}) {
  CacheLock lock(locking);
  lock.heat();
  Adding first;
  first.begin(lock, 0);
  first.add.end();
  first.operation.end();
  EXPECT_EQ(lock.is_striped(), locking == Locking::kGate || locking == Locking::kRange);
  std::optional<Adding> second(std::in_place);
  second->begin(lock, 1);
  bool ended = false;
  sync::Thread cutter = start_thread("cutter", [&] {
    Blocking cut;
    cut.begin(lock, 1);
    EXPECT_TRUE(ended) << "a cut beside an adder";
  });
  sync::yield_thread();
  ended = true;
  second.reset();
  cutter.join();
}

}  // namespace
}  // namespace quire::races
