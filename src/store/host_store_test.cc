#include "store/host_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "quire/error.h"
#include "quire/store_host.h"
#include "store/test_directory.h"
#include "store/test_io.h"
#include "store/test_mount.h"
#include "sync/thread.h"

namespace quire::store::testing {
namespace {

namespace fs = std::filesystem;
using Engine = HostStoreOptions::Engine;
HostFile& file_of(ObjectHandle handle) {
  return *reinterpret_cast<HostFile*>(static_cast<std::uintptr_t>(handle.value));
}
// The object was made by this open, and no sync has made its name durable.
bool name_unsynced(ObjectHandle handle) {
  return file_of(handle).name_unsynced();
}

class HostStoreTest : public ::testing::TestWithParam<std::tuple<Engine, bool>> {
 protected:
  void SetUp() override {
    HostStoreOptions options;
    options.engine = std::get<0>(GetParam());
    options.direct = std::get<1>(GetParam());
    Result<std::shared_ptr<Store>> opened = open_host_store(directory_.path(), options);
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = *opened;
  }

  TestDirectory directory_;
  std::shared_ptr<Store> store_;
};

TEST_P(HostStoreTest, BytesReachTheHostAndComeBack) {
  const std::size_t sizes[] = {1,         100,           kPage - 1,         kPage,
                               kPage + 1, 3 * kPage + 7, 64 * kPage + 4095, 256 * kPage};
  for (const IoMode mode : {IoMode::kWait, IoMode::kAsync}) {
    for (const std::size_t size : sizes) {
      SCOPED_TRACE(size);
      const auto bytes = pattern(size, static_cast<unsigned>(size));
      {
        Opened file(store_, "file", kCreateFlags | OpenFlags::kTruncate);
        ASSERT_TRUE(file.result());
        EXPECT_FALSE(write(*store_, file.handle(), 0, bytes, mode));
        EXPECT_EQ(file.stat().size_bytes, size);
        const std::size_t rounded = std::min((size / kPage + 1) * kPage, limits::kStoreIoMaxBytes);
        EXPECT_EQ(read(*store_, file.handle(), 0, rounded, mode).bytes, bytes);
        EXPECT_FALSE(sync(*store_, file.handle(), SyncKind::kData));
      }
      EXPECT_EQ(directory_.contents("file"), bytes);
    }
  }
}

// A file grows as an append-only writer makes it grow: the tail page is written again and again,
// first through the kernel's cache, then, once it is full, by direct IO.
TEST_P(HostStoreTest, AGrowingTailIsNeverSeenLonger) {
  Opened file(store_, "file");
  const auto bytes = pattern(5 * kPage, 9);
  for (std::size_t size = 0; size < bytes.size();) {
    const std::size_t begin = size / kPage * kPage;
    size = std::min(size + 700, bytes.size());
    const IoMode mode = size % 2 == 0 ? IoMode::kWait : IoMode::kAsync;
    ASSERT_FALSE(
        write(*store_, file.handle(), begin, std::span(bytes).subspan(begin, size - begin), mode));
    ASSERT_EQ(file.stat().size_bytes, size);
    ASSERT_EQ(read(*store_, file.handle(), begin, 2 * kPage, mode).bytes,
              std::vector<std::byte>(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                                     bytes.begin() + static_cast<std::ptrdiff_t>(size)));
  }
  EXPECT_EQ(directory_.contents("file"), bytes);
}

TEST_P(HostStoreTest, DirectAndBufferedPartsOfAFileAgree) {
  Opened file(store_, "file");
  auto bytes = pattern(4 * kPage + 10, 1);
  ASSERT_FALSE(write(*store_, file.handle(), 0, bytes));
  // Off alignment: through the kernel's cache, over pages that went past it.
  const auto middle = pattern(kPage, 2);
  ASSERT_FALSE(write(*store_, file.handle(), kPage + 50, middle));
  std::copy(middle.begin(), middle.end(), bytes.begin() + kPage + 50);
  EXPECT_EQ(read(*store_, file.handle(), 0, 5 * kPage).bytes, bytes);
  // And past it again, over pages that are dirty there.
  const auto aligned = pattern(2 * kPage, 3);
  ASSERT_FALSE(write(*store_, file.handle(), kPage, aligned));
  std::copy(aligned.begin(), aligned.end(), bytes.begin() + kPage);
  EXPECT_EQ(read(*store_, file.handle(), 3, 5 * kPage).bytes,
            std::vector<std::byte>(bytes.begin() + 3, bytes.end()));
  EXPECT_EQ(directory_.contents("file"), bytes);
}

TEST_P(HostStoreTest, WaitingRequestsEndBeforeTheCallReturns) {
  Opened file(store_, "file");
  AlignedBytes memory(kPage);
  const Store::ConstBuffer from = memory.span();
  Done written;
  store_->write(file.handle(), 0, {&from, 1}, IoMode::kWait, written);
  EXPECT_TRUE(written.answered());
  const Store::Buffer into = memory.span();
  Done done;
  store_->read(file.handle(), 0, {&into, 1}, IoMode::kWait, done);
  EXPECT_TRUE(done.answered());
  EXPECT_EQ(done.bytes(), kPage);
}

TEST_P(HostStoreTest, ManyRequestsAtOnceFromManyThreads) {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kRequests = 300;  // more than the ring holds, together
  Opened file(store_, "file");
  const auto bytes = pattern(kThreads * kRequests * kPage, 4);
  AlignedBytes memory(bytes.size());
  std::copy(bytes.begin(), bytes.end(), memory.data());
  std::vector<sync::Thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.push_back(*sync::Thread::start("writer", [&, t] {
      std::vector<Done> done(kRequests);
      std::vector<Store::ConstBuffer> buffers(kRequests);
      for (std::size_t i = 0; i < kRequests; ++i) {
        const std::size_t offset = (i * kThreads + t) * kPage;
        buffers[i] = memory.span().subspan(offset, kPage);
        store_->write(file.handle(), offset, {&buffers[i], 1}, IoMode::kAsync, done[i]);
      }
      for (Done& d : done) EXPECT_FALSE(d.wait());
    }));
  }
  for (sync::Thread& thread : threads) thread.join();
  EXPECT_EQ(directory_.contents("file"), bytes);
}

TEST_P(HostStoreTest, OpenErrors) {
  EXPECT_EQ(store_->open("none", OpenFlags::kRead, 0).code(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(store_->open("none/file", kCreateFlags, 0644).code(),
            std::errc::no_such_file_or_directory);
  EXPECT_EQ(store_->open("/etc/passwd", OpenFlags::kRead, 0).code(), Errc::kPathEscapes);
  EXPECT_EQ(store_->open("a", OpenFlags::kCreate, 0).code(), std::errc::invalid_argument);
  EXPECT_EQ(store_->open("a", OpenFlags::kRead | OpenFlags::kTruncate, 0).code(),
            std::errc::invalid_argument);
  EXPECT_EQ(store_->open(std::string(256, 'n'), kCreateFlags, 0644).code(),
            std::errc::filename_too_long);

  fs::create_directory(directory_ / "dir");
  EXPECT_EQ(store_->open("dir", OpenFlags::kRead, 0).code(), std::errc::is_a_directory);
  EXPECT_EQ(store_->open("dir", OpenFlags::kReadWrite, 0).code(), std::errc::is_a_directory);

  ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(store_->open("fifo", OpenFlags::kRead, 0).code(), std::errc::invalid_argument);
  EXPECT_EQ(store_->open("fifo", OpenFlags::kWrite, 0).code(), std::errc::invalid_argument);
  EXPECT_EQ(store_->open("fifo", OpenFlags::kReadWrite, 0).code(), std::errc::invalid_argument);

  fs::create_symlink("/etc/passwd", directory_ / "escape");
  const Result<OpenedObject> escape = store_->open("escape", OpenFlags::kRead, 0);
  EXPECT_EQ(escape.code(), Errc::kPathEscapes);
  EXPECT_NE(escape.error().context.find("symbolic link"), std::string::npos);
}

TEST_P(HostStoreTest, OpenSaysWhatItFoundOrMade) {
  {
    Opened made(store_, "file");
    ASSERT_TRUE(made.result());
    EXPECT_TRUE(made.result()->created);
    EXPECT_FALSE(write(*store_, made.handle(), 0, pattern(100, 1)));
    Opened found(store_, "file");
    EXPECT_FALSE(found.result()->created);
    EXPECT_EQ(found.result()->stat.size_bytes, 100u);
    EXPECT_EQ(found.id(), made.id());
    EXPECT_EQ(store_->open("file", kCreateFlags | OpenFlags::kExclusive, 0644).code(),
              std::errc::file_exists);
    ASSERT_EQ(::link((directory_ / "file").c_str(), (directory_ / "hard").c_str()), 0);
    Opened hard(store_, "hard", OpenFlags::kRead);
    EXPECT_EQ(hard.id(), made.id());
    EXPECT_EQ(hard.stat().links, 2u);
    Opened other(store_, "other");
    EXPECT_NE(other.id(), made.id());
  }
  Opened truncated(store_, "file", OpenFlags::kWrite | OpenFlags::kTruncate);
  EXPECT_EQ(truncated.result()->stat.size_bytes, 0u);
}

TEST_P(HostStoreTest, HandlesGrantWhatTheyWereOpenedFor) {
  Opened file(store_, "file");
  ASSERT_FALSE(write(*store_, file.handle(), 0, pattern(10, 1)));
  Opened reader(store_, "file", OpenFlags::kRead);
  EXPECT_EQ(write(*store_, reader.handle(), 0, pattern(10, 2)), std::errc::bad_file_descriptor);
  EXPECT_EQ(truncate(*store_, reader.handle(), 0), std::errc::bad_file_descriptor);
  Opened writer(store_, "file", OpenFlags::kWrite);
  EXPECT_EQ(read(*store_, writer.handle(), 0, 10).error, std::errc::bad_file_descriptor);
  EXPECT_FALSE(write(*store_, writer.handle(), 0, pattern(10, 3)));
  EXPECT_EQ(directory_.contents("file"), pattern(10, 3));
}

// XFS would lose the write. Fails without enter_truncate() in HostStore::truncate.
TEST_P(HostStoreTest, ATruncateWaitsForWritesThatAreUnderWayInTheRing) {
  Opened opened(store_, "file");
  HostFile& file = file_of(opened.handle());
  sync::GateToken under_way;
  ASSERT_TRUE(file.enter_ring(under_way));
  Done truncated;
  store_->truncate(opened.handle(), 5 * kPage, truncated);
  while (file.size_gate().waiting_count(sync::GateSide::kBlock) == 0 && !truncated.answered()) {
    sync::yield_thread();
  }
  EXPECT_FALSE(truncated.answered());
  EXPECT_EQ(opened.stat().size_bytes, 0);
  // Who comes now is not kept waiting: it goes another way.
  const auto bytes = pattern(kPage, 4);
  EXPECT_FALSE(write(*store_, opened.handle(), kPage, bytes, IoMode::kAsync));
  EXPECT_FALSE(truncated.answered());
  under_way.release();
  EXPECT_FALSE(truncated.wait());
  EXPECT_EQ(opened.stat().size_bytes, 5 * kPage);
  EXPECT_EQ(read(*store_, opened.handle(), kPage, kPage).bytes, bytes);
}

// Answered on the ring's thread, it sends a second write and looks at the gate: the ring cannot have ended that
// one, since its thread is here.
class SendsAnother final : public IoDone {
 public:
  SendsAnother(Store& store, ObjectHandle handle, Store::ConstBuffer bytes)
      : store_(store), handle_(handle), bytes_(bytes) {}
  void io_done(std::error_code /*error*/, std::size_t /*bytes*/) noexcept override {
    before_ = file_of(handle_).size_gate().holders_count(sync::GateSide::kAdd);
    store_.write(handle_, 0, {&bytes_, 1}, IoMode::kAsync, second_);
    during_ = file_of(handle_).size_gate().holders_count(sync::GateSide::kAdd);
    parker_.unpark();
  }
  void wait() {
    parker_.park();
    EXPECT_FALSE(second_.wait());
  }
  std::size_t before() const { return before_; }
  std::size_t during() const { return during_; }

 private:
  Store& store_;
  const ObjectHandle handle_;
  const Store::ConstBuffer bytes_;
  std::size_t before_ = 99;
  std::size_t during_ = 99;
  Done second_;
  sync::Parker parker_;
};

// Fails if the ring's writes do not enter the gate, or leave it only after they have answered.
TEST_P(HostStoreTest, WritesOfTheRingAreInTheGateUntilTheyAnswer) {
  Opened opened(store_, "file");
  AlignedBytes memory(kPage);
  const Store::ConstBuffer from = memory.span();
  SendsAnother first(*store_, opened.handle(), from);
  store_->write(opened.handle(), 0, {&from, 1}, IoMode::kAsync, first);
  first.wait();
  EXPECT_EQ(first.before(), 0u);
  EXPECT_EQ(first.during(), std::get<0>(GetParam()) == Engine::kUring ? 1u : 0u);
}

TEST_P(HostStoreTest, Truncate) {
  Opened file(store_, "file");
  auto bytes = pattern(3 * kPage, 1);
  ASSERT_FALSE(write(*store_, file.handle(), 0, bytes));
  ASSERT_FALSE(truncate(*store_, file.handle(), kPage + 10));
  ASSERT_FALSE(truncate(*store_, file.handle(), 2 * kPage));
  bytes.resize(kPage + 10);
  bytes.resize(2 * kPage);
  EXPECT_EQ(directory_.contents("file"), bytes);
  EXPECT_EQ(read(*store_, file.handle(), 0, 4 * kPage).bytes, bytes);
  EXPECT_EQ(truncate(*store_, file.handle(), ~std::uint64_t{0}), std::errc::file_too_large);
}

TEST_P(HostStoreTest, CutsAsFarAsTheFileSystemHasThem) {
  const struct {
    Cut kind;
    std::size_t offset, length;
  } cases[] = {{Cut::kPunch, kPage, kPage},
               {Cut::kPunch, 100, 2 * kPage},
               {Cut::kZero, 100, 2 * kPage},
               {Cut::kInsert, kPage, kPage},
               {Cut::kCollapse, kPage, kPage}};
  int checked = 0;
  for (const auto& c : cases) {
    if ((store_->traits().cuts & (1u << static_cast<unsigned>(c.kind))) == 0) continue;
    SCOPED_TRACE(static_cast<int>(c.kind));
    ++checked;
    Opened file(store_, "file", kCreateFlags | OpenFlags::kTruncate);
    auto bytes = pattern(4 * kPage + 33, 1);
    ASSERT_FALSE(write(*store_, file.handle(), 0, bytes));
    ASSERT_FALSE(cut(*store_, file.handle(), c.kind, c.offset, c.length));
    const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(c.offset);
    if (c.kind == Cut::kInsert) {
      bytes.insert(at, c.length, std::byte{0});
    } else if (c.kind == Cut::kCollapse) {
      bytes.erase(at, at + static_cast<std::ptrdiff_t>(c.length));
    } else {
      std::fill_n(at, c.length, std::byte{0});
    }
    EXPECT_EQ(directory_.contents("file"), bytes);
    EXPECT_EQ(read(*store_, file.handle(), 0, 8 * kPage).bytes, bytes);
  }
  EXPECT_GE(checked, 2) << "every file system that Quire runs on can punch";
}

TEST_P(HostStoreTest, ReservingChangesNeitherBytesNorSize) {
  Opened file(store_, "file");
  ASSERT_FALSE(write(*store_, file.handle(), 0, pattern(10, 1)));
  const std::error_code error = reserve(*store_, file.handle(), 0, 16 * kPage);
  if (!store_->traits().reserves_space) {
    EXPECT_EQ(error, std::errc::operation_not_supported);
    return;
  }
  EXPECT_FALSE(error);
  EXPECT_EQ(directory_.contents("file"), pattern(10, 1));
  EXPECT_GE(file.stat().allocated_bytes, 16 * kPage);
}

TEST_P(HostStoreTest, TimeStamps) {
  Opened file(store_, "file");
  const TimeSpec then{1'000'000, 123};
  ASSERT_TRUE(store_->set_times(file.handle(), &then, {2'000'000, 456}));
  ASSERT_TRUE(store_->set_times(file.handle(), nullptr, {3'000'000, 789}));
  EXPECT_EQ(file.stat().atime, then);
  EXPECT_EQ(file.stat().mtime, (TimeSpec{3'000'000, 789}));
  struct stat host = {};
  ASSERT_EQ(::stat((directory_ / "file").c_str(), &host), 0);
  EXPECT_EQ(host.st_mtim.tv_sec, 3'000'000);
  EXPECT_EQ(host.st_mtim.tv_nsec, 789);
}

TEST_P(HostStoreTest, ASecondQuireIsRefused) {
  const Result<std::shared_ptr<Store>> second = open_host_store(directory_.path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.code(), Errc::kInUse);
  EXPECT_NE(second.error().context.find("another Quire owns"), std::string::npos);
  store_.reset();
  EXPECT_TRUE(open_host_store(directory_.path()));
}

// Fails when the sync leaves the directory out.
TEST_P(HostStoreTest, TheFirstSyncOfANewFileMakesItsNameDurable) {
  fs::create_directory(directory_ / "dir");
  for (const SyncKind kind : {SyncKind::kData, SyncKind::kAll}) {
    const std::string name = kind == SyncKind::kData ? "data" : "dir/all";
    Opened made(store_, name);
    EXPECT_TRUE(name_unsynced(made.handle()));
    EXPECT_FALSE(sync(*store_, made.handle(), kind));
    EXPECT_FALSE(name_unsynced(made.handle()));
    Opened again(store_, name);
    EXPECT_FALSE(name_unsynced(again.handle())) << "not made by this open";
  }
}

// A file that the caller opened is the same object as one opened by name, with direct IO of its own.
// Fails if the id, the size or the access is not the descriptor's.
TEST_P(HostStoreTest, AnAdoptedDescriptorIsTheObject) {
  auto& store = dynamic_cast<HostStore&>(*store_);
  const auto bytes = pattern(2 * kPage + 10, 3);
  Opened file(store_, "file");
  ASSERT_FALSE(write(*store_, file.handle(), 0, bytes));
  // As one does who holds an O_PATH descriptor, and no name.
  const Fd path(::open((directory_ / "file").c_str(), O_PATH | O_CLOEXEC));
  const std::string link = "/proc/self/fd/" + std::to_string(path.get());
  fs::rename(directory_ / "file", directory_ / "moved");
  for (const int access : {O_RDONLY, O_RDWR}) {
    Fd fd(::open(link.c_str(), access | O_CLOEXEC));
    ASSERT_TRUE(fd.ok());
    const auto adopted = store.adopt(std::move(fd), access, "moved", false);
    ASSERT_TRUE(adopted) << adopted.error().message();
    EXPECT_EQ(adopted->id, file.id());
    EXPECT_EQ(adopted->stat.size_bytes, bytes.size());
    EXPECT_FALSE(adopted->created);
    EXPECT_EQ(read(*store_, adopted->handle, 0, 3 * kPage).bytes, bytes);
    const auto page = pattern(kPage, 4);
    EXPECT_EQ(!write(*store_, adopted->handle, 0, page), access == O_RDWR);
    EXPECT_TRUE(store_->close(adopted->handle).ok());
  }
}

// Fails if a created name is not remembered: then no sync makes it durable.
TEST_P(HostStoreTest, AnAdoptedNewFileHasANameToSync) {
  auto& store = dynamic_cast<HostStore&>(*store_);
  for (const bool created : {false, true}) {
    Fd fd(::open((directory_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const auto adopted = store.adopt(std::move(fd), O_RDWR, "file", created);
    ASSERT_TRUE(adopted);
    EXPECT_EQ(adopted->created, created);
    EXPECT_EQ(name_unsynced(adopted->handle), created);
    EXPECT_FALSE(sync(*store_, adopted->handle, SyncKind::kData));
    EXPECT_FALSE(name_unsynced(adopted->handle));
    EXPECT_TRUE(store_->close(adopted->handle).ok());
  }
}

// Fails if one of these is accepted, or its descriptor stays open.
TEST_P(HostStoreTest, WhatCannotBeAdoptedIsClosed) {
  auto& store = dynamic_cast<HostStore&>(*store_);
  fs::create_directory(directory_ / "dir");
  directory_.put("file", "text");
  ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  const auto refused = [&](const std::string& path, int flags, int access) {
    Fd fd(::open((directory_ / path).c_str(), flags | O_CLOEXEC | O_NONBLOCK));
    EXPECT_TRUE(fd.ok()) << path;
    const int number = fd.get();
    const std::error_code error = store.adopt(std::move(fd), access, path, false).code();
    EXPECT_EQ(::fcntl(number, F_GETFD), -1) << path;
    return error;
  };
  EXPECT_EQ(refused("dir", O_RDONLY, O_RDONLY), std::errc::is_a_directory);
  EXPECT_EQ(refused("fifo", O_RDONLY, O_RDONLY), std::errc::invalid_argument);
  EXPECT_EQ(refused("file", O_RDONLY, O_RDWR), std::errc::bad_file_descriptor);
  EXPECT_EQ(refused("file", O_PATH, O_RDONLY), std::errc::bad_file_descriptor);
  EXPECT_EQ(store.adopt(Fd(), O_RDONLY, "file", false).code(), std::errc::bad_file_descriptor);
  Fd fd(::open((directory_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(store.adopt(std::move(fd), O_RDONLY, "../file", false));
}

std::string engine_name(const ::testing::TestParamInfo<std::tuple<Engine, bool>>& info) {
  return std::string(std::get<0>(info.param) == Engine::kUring ? "Uring" : "Threads") +
         (std::get<1>(info.param) ? "Direct" : "Buffered");
}
INSTANTIATE_TEST_SUITE_P(, HostStoreTest,
                         ::testing::Combine(::testing::Values(Engine::kUring, Engine::kThreads),
                                            ::testing::Bool()),
                         engine_name);

TEST(HostStoreOpen, Errors) {
  TestDirectory directory;
  EXPECT_EQ(open_host_store(directory / "none").code(), std::errc::no_such_file_or_directory);
  directory.put("file", "");
  EXPECT_EQ(open_host_store(directory / "file").code(), std::errc::not_a_directory);
  HostStoreOptions options;
  options.threads = 0;
  EXPECT_EQ(open_host_store(directory.path(), options).code(), std::errc::invalid_argument);
  options.threads = 65;
  EXPECT_EQ(open_host_store(directory.path(), options).code(), std::errc::invalid_argument);
}

Result<std::unique_ptr<UringEngine>> refuse_uring(unsigned /*workers_max*/) {
  return Error(std::errc::operation_not_permitted, "set up io_uring");
}

TEST(HostStoreOpen, WhereTheRingIsRefusedThreadsServe) {
  TestDirectory directory;
  std::vector<std::string> log;
  HostStoreOptions options;
  options.log = [&](LogLevel, std::string_view line) { log.emplace_back(line); };
  options.engine = Engine::kUring;
  EXPECT_EQ(HostStore::open_directory(directory.path(), options, &refuse_uring).code(),
            std::errc::function_not_supported);
  EXPECT_TRUE(log.empty());
  options.engine = Engine::kAuto;
  const auto opened = HostStore::open_directory(directory.path(), options, &refuse_uring);
  ASSERT_TRUE(opened) << opened.error().message();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("io_uring"), std::string::npos);
  const std::shared_ptr<Store> store = *opened;
  Opened file(store, "file");
  EXPECT_FALSE(write(*store, file.handle(), 0, pattern(kPage, 1), IoMode::kAsync));
  EXPECT_EQ(directory.contents("file"), pattern(kPage, 1));
}

TEST(HostStoreOpen, AMountPointBelowTheRootIsRefusedWithAWayOut) {
  TestMounts mounts;
  const std::string trouble = mounts.prepare();
  if (!trouble.empty()) GTEST_SKIP() << trouble;
  TestDirectory directory;
  fs::create_directory(directory / "mounted");
  ASSERT_TRUE(mounts.tmpfs(directory / "mounted"));
  const std::shared_ptr<Store> store = *open_host_store(directory.path());
  const auto opened = store->open("mounted/file", kCreateFlags, 0644);
  ASSERT_EQ(opened.code(), std::errc::cross_device_link);
  EXPECT_NE(opened.error().context.find("open a store on what is mounted there"),
            std::string::npos);
  EXPECT_TRUE(open_host_store(directory / "mounted"));
}

// Fails when the lock is left to the last close of the directory: the child has it open still.
TEST(HostStoreOpen, AClosedStoreIsFreeThoughAChildOfAForkLives) {
  TestDirectory directory;
  std::array<int, 2> end = {};
  ASSERT_EQ(::pipe(end.data()), 0);
  std::shared_ptr<Store> store = *open_host_store(directory.path());
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(end[1]);
    char none = 0;
    ::_exit(::read(end[0], &none, 1) == 0 ? 0 : 1);  // until the parent lets go
  }
  store.reset();
  const auto again = open_host_store(directory.path());
  EXPECT_TRUE(again) << again.error().message();
  ::close(end[0]);
  ::close(end[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// Fails when the copy of a child unlocks.
TEST(HostStoreOpen, AChildThatDestroysItsCopyDoesNotUnlock) {
  TestDirectory directory;
  const auto locked = HostDirectory::open(directory.path());
  ASSERT_TRUE(locked);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::destroy_at(&*locked);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(open_host_store(directory.path()).code(), Errc::kInUse);
}

// Where the file is found in its directory that is synced; else the file system.
TEST(HostStoreOpen, NamesAreSyncedWhereverTheyAre) {
  TestDirectory directory;
  fs::create_directory(directory / "dir");
  fs::create_directory(directory / "other");
  fs::create_directory_symlink("dir", directory / "link");
  const auto root = HostDirectory::open(directory.path());
  ASSERT_TRUE(root);
  const auto way_of = [&](const std::string& path, const auto& change) {
    const Fd fd(::open((directory / path).c_str(), O_RDWR | O_CREAT, 0600));
    EXPECT_TRUE(fd.ok());
    change();
    NameSync way = NameSync::kGone;
    EXPECT_EQ(sync_name(*root, path, fd.get(), way), 0);
    return way;
  };
  EXPECT_EQ(way_of("top", [] {}), NameSync::kDirectory);
  EXPECT_EQ(way_of("dir/a", [] {}), NameSync::kDirectory);
  EXPECT_EQ(way_of("link/b", [] {}), NameSync::kDirectory);
  EXPECT_EQ(way_of("dir/c", [&] { fs::rename(directory / "dir/c", directory / "other/c"); }),
            NameSync::kStore);
  EXPECT_EQ(way_of("dir/d",
                   [&] {
                     fs::rename(directory / "dir/d", directory / "other/d");
                     directory.put("dir/d", "another file");
                   }),
            NameSync::kStore);
  EXPECT_EQ(way_of("dir/e", [&] { fs::rename(directory / "dir", directory / "moved"); }),
            NameSync::kStore);
  EXPECT_EQ(way_of("f", [&] { fs::remove(directory / "f"); }), NameSync::kGone);
  fs::create_symlink("target", directory / "dangling");
  EXPECT_EQ(way_of("dangling", [] {}), NameSync::kStore);
}

// A thread that submitted a request and ended is no reason for the request to fail.
TEST(HostStoreOpen, RequestsOutliveTheThreadThatSubmittedThem) {
  TestDirectory directory;
  const std::shared_ptr<Store> store = *open_host_store(directory.path());
  Opened file(store, "file");
  AlignedBytes memory(64 * kPage);
  const Store::ConstBuffer buffer = memory.span().first(64 * kPage - 1);
  for (int round = 0; round < 50; ++round) {
    Done done;
    sync::Thread thread = *sync::Thread::start("short", [&] {
      store->write(file.handle(), 0, {&buffer, 1}, IoMode::kAsync, done);
    });
    thread.join();
    ASSERT_FALSE(done.wait());
  }
}

}  // namespace
}  // namespace quire::store::testing
