// The conformance suite is itself tested: stores that keep the rules pass all of it, and for each
// check there is a store with one fault, which fails that check and no other.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "quire/store_conformance.h"
#include "quire/store_host.h"
#include "quire/store_memory.h"
#include "store/test_directory.h"
#include "store/test_io.h"
#include "sync/mutex.h"

namespace quire::store::testing {
namespace {

// Passes everything on. Faulty stores override what they do wrong.
class Forwarding : public Store {
 public:
  explicit Forwarding(MemoryStoreOptions options = {}) : inner_(MemoryStore::create(options)) {}

  StoreTraits traits() const noexcept override { return inner_->traits(); }
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override {
    return inner_->open(path, flags, mode);
  }
  Status close(ObjectHandle object) override { return inner_->close(object); }
  Result<ObjectStat> stat(ObjectHandle object) override { return inner_->stat(object); }
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode mode,
            IoDone& done) noexcept override {
    inner_->read(object, offset, buffers, mode, done);
  }
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    inner_->write(object, offset, buffers, mode, done);
  }
  void truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept override {
    inner_->truncate(object, size_bytes, done);
  }
  void sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept override {
    inner_->sync(object, kind, done);
  }
  void cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
           IoDone& done) noexcept override {
    inner_->cut(object, kind, offset, length, done);
  }
  void reserve(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override {
    inner_->reserve(object, offset, length, done);
  }
  void reserve_pages(ObjectHandle object, SpaceRequest& request, IoMode mode,
                     IoDone& done) noexcept override {
    inner_->reserve_pages(object, request, mode, done);
  }
  void release(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override {
    inner_->release(object, offset, length, done);
  }
  Status set_times(ObjectHandle object, const TimeSpec* atime, const TimeSpec& mtime) override {
    return inner_->set_times(object, atime, mtime);
  }

  void crash() { inner_->crash(); }
  void link(const std::string& existing, const std::string& path) { inner_->link(existing, path); }
  virtual void fail_writes(bool fail) {
    inner_->set_hook([fail](const StoreRequest& request) {
      StoreVerdict verdict;
      if (fail && request.op == StoreOp::kWrite) {
        verdict.error = std::make_error_code(std::errc::io_error);
      }
      return verdict;
    });
  }

 protected:
  std::uint64_t size_of(ObjectHandle object) const { return inner_->stat(object)->size_bytes; }
  static std::uint64_t length_of(std::span<const ConstBuffer> buffers) {
    std::uint64_t length = 0;
    for (const ConstBuffer& buffer : buffers) length += buffer.size();
    return length;
  }
  void put(ObjectHandle object, std::uint64_t offset, std::vector<std::byte> bytes) const {
    const ConstBuffer buffer = bytes;
    Done done;
    inner_->write(object, offset, {&buffer, 1}, IoMode::kWait, done);
    done.wait();
  }

  const std::shared_ptr<MemoryStore> inner_;
};

ConformanceOptions all_options() {
  ConformanceOptions options;
  options.crash = [](std::shared_ptr<Store> store) {
    static_cast<Forwarding&>(*store).crash();
    return store;
  };
  options.link = [](Store& store, const std::string& existing, const std::string& path) {
    static_cast<Forwarding&>(store).link(existing, path);
    return true;
  };
  options.fail_writes = [](Store& store, bool fail) {
    static_cast<Forwarding&>(store).fail_writes(fail);
  };
  return options;
}

std::vector<std::string> failures(const ConformanceReport& report) {
  std::vector<std::string> names;
  for (const ConformanceResult& result : report.results) {
    if (result.checked && !result.passed) names.push_back(result.name);
  }
  return names;
}

template <class Faulty>
void expect_fails(const std::string& check, ConformanceOptions options = all_options()) {
  const ConformanceReport report =
      run_store_conformance([] { return std::make_shared<Faulty>(); }, options);
  EXPECT_EQ(failures(report), std::vector<std::string>{check}) << report.text();
  EXPECT_FALSE(report.ok());
}

// ---- Stores that keep the rules.

TEST(Conformance, TheMemoryStoreKeepsEveryRule) {
  const ConformanceReport report =
      run_store_conformance([] { return std::make_shared<Forwarding>(); }, all_options());
  EXPECT_TRUE(report.ok()) << report.text();
  for (const ConformanceResult& result : report.results) EXPECT_TRUE(result.checked) << result.name;
}

TEST(Conformance, SoItDoesWithAlignmentReservationsAndLatency) {
  const MemoryStoreOptions memory{
      .latency = std::chrono::microseconds(20), .io_alignment_bytes = 4096, .reserves_space = true};
  const ConformanceReport report =
      run_store_conformance([&] { return std::make_shared<Forwarding>(memory); }, all_options());
  EXPECT_TRUE(report.ok()) << report.text();
}

TEST(Conformance, WhatCannotBeCheckedIsSaid) {
  const ConformanceReport report = run_store_conformance([] { return MemoryStore::create(); }, {});
  EXPECT_TRUE(report.ok()) << report.text();
  int unchecked = 0;
  for (const ConformanceResult& result : report.results) {
    if (result.checked) continue;
    ++unchecked;
    EXPECT_NE(result.detail.find("ConformanceOptions::"), std::string::npos);
  }
  EXPECT_EQ(unchecked, 3);
  EXPECT_NE(report.text().find("not checked"), std::string::npos);
}

TEST(Conformance, TheHostStoreKeepsEveryRuleThatCanBeChecked) {
  for (const auto engine : {HostStoreOptions::Engine::kUring, HostStoreOptions::Engine::kThreads}) {
    for (const bool direct : {true, false}) {
      TestDirectory directory;
      HostStoreOptions host;
      host.engine = engine;
      host.direct = direct;
      ConformanceOptions options;
      options.link = [&](Store&, const std::string& existing, const std::string& path) {
        return ::link((directory / existing).c_str(), (directory / path).c_str()) == 0;
      };
      const ConformanceReport report = run_store_conformance(
          [&]() -> std::shared_ptr<Store> {
            const auto store = open_host_store(directory.path(), host);
            return store ? *store : nullptr;
          },
          options);
      EXPECT_TRUE(report.ok()) << report.text();
    }
  }
}

TEST(Conformance, AStoreThatCannotBeMadeFails) {
  const ConformanceReport report = run_store_conformance([] { return nullptr; }, {});
  EXPECT_FALSE(report.ok());
}

// ---- Rule 1

struct AnswersTwice : Forwarding {
  void sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept override {
    Done inner;
    inner_->sync(object, kind, inner);
    const std::error_code error = inner.wait();
    done.io_done(error, 0);
    done.io_done(error, 0);
  }
};
TEST(Conformance, AnswersTwice) {
  expect_fails<AnswersTwice>("answers-once");
}

// The suite gives up on it, and goes on.
struct NeverAnswers : Forwarding {
  void reserve(ObjectHandle, std::uint64_t, std::uint64_t, IoDone&) noexcept override {}
};
TEST(Conformance, NeverAnswers) {
  ConformanceOptions options = all_options();
  options.patience = std::chrono::milliseconds(100);
  const ConformanceReport report =
      run_store_conformance([] { return std::make_shared<NeverAnswers>(); }, options);
  EXPECT_EQ(failures(report),
            (std::vector<std::string>{"answers-once", "reserving-changes-nothing"}))
      << report.text();
}

struct AnswersUnderItsLock : Forwarding {
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    sync::MutexLock lock(mutex_);
    inner_->write(object, offset, buffers, mode, done);
  }
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode mode,
            IoDone& done) noexcept override {
    { sync::MutexLock lock(mutex_); }
    inner_->read(object, offset, buffers, mode, done);
  }
  sync::Mutex mutex_;
};
TEST(Conformance, AnswersUnderItsLock) {
  ConformanceOptions options = all_options();
  options.patience = std::chrono::milliseconds(200);
  expect_fails<AnswersUnderItsLock>("answers-without-a-lock", options);
}

// ---- Rule 2

struct LosesOverwrites : Forwarding {
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    if (mode == IoMode::kWait && offset + length_of(buffers) <= size_of(object)) {
      done.io_done({}, length_of(buffers));
      return;
    }
    inner_->write(object, offset, buffers, mode, done);
  }
};
TEST(Conformance, LosesOverwrites) {
  expect_fails<LosesOverwrites>("read-sees-completed-writes");
}

// Of writes in flight together it carries out some for the wrong page.
struct MixesUpWrites : Forwarding {
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    bool apart = false;
    if (mode == IoMode::kAsync && buffers.size() == 1 && buffers[0].size() == kPage) {
      sync::MutexLock lock(mutex_);
      apart =
          last_object_ == object.value && last_offset_ + kPage != offset && last_offset_ != offset;
      last_object_ = object.value;
      last_offset_ = offset;
    }
    inner_->write(object, apart ? offset + kPage : offset, buffers, mode, done);
  }
  sync::Mutex mutex_;
  std::uint64_t last_object_ = 0;
  std::uint64_t last_offset_ = 0;
};
TEST(Conformance, MixesUpWrites) {
  expect_fails<MixesUpWrites>("requests-together");
}

// ---- Rule 3

struct FailsAtTheEnd : Forwarding {
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode mode,
            IoDone& done) noexcept override {
    if (offset >= size_of(object)) {
      done.io_done(std::make_error_code(std::errc::invalid_argument), 0);
      return;
    }
    inner_->read(object, offset, buffers, mode, done);
  }
};
TEST(Conformance, FailsAtTheEnd) {
  expect_fails<FailsAtTheEnd>("reads-end-with-the-object");
}

// Claims to have read all that was asked for.
struct ReadsPastTheEnd : Forwarding {
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode mode,
            IoDone& done) noexcept override {
    Done inner;
    inner_->read(object, offset, buffers, mode, inner);
    const std::error_code error = inner.wait();
    std::size_t asked = 0;
    for (const Buffer& buffer : buffers) asked += buffer.size();
    done.io_done(error, asked);
  }
};
TEST(Conformance, ReadsPastTheEnd) {
  expect_fails<ReadsPastTheEnd>("reads-end-with-the-object");
}

// A write beyond the end leaves what was on the medium in the gap.
struct ShowsOldBytesInHoles : Forwarding {
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    if (const std::uint64_t size = size_of(object); mode == IoMode::kWait && offset > size) {
      put(object, size, std::vector<std::byte>(offset - size, std::byte{0xaa}));
    }
    inner_->write(object, offset, buffers, mode, done);
  }
};
TEST(Conformance, ShowsOldBytesInHoles) {
  expect_fails<ShowsOldBytesInHoles>("holes-read-as-zeros");
}

// ---- Rule 4

struct WritesTheFirstPieceOnly : Forwarding {
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    inner_->write(object, offset, buffers.first(1), mode, done);
  }
};
TEST(Conformance, WritesTheFirstPieceOnly) {
  expect_fails<WritesTheFirstPieceOnly>("writes-move-all-bytes");
}

// It writes whole blocks of two pages, and fills them up with zeros.
struct DamagesTheNeighbour : Forwarding {
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    const std::uint64_t end = offset + length_of(buffers);
    if (mode == IoMode::kWait && end < size_of(object)) {
      put(object, end, std::vector<std::byte>(1));
    }
    inner_->write(object, offset, buffers, mode, done);
  }
};
TEST(Conformance, DamagesTheNeighbour) {
  expect_fails<DamagesTheNeighbour>("writes-touch-only-their-range");
}

struct DamagesTheNeighbourWhenItFails : Forwarding {
  void fail_writes(bool fail) override { fails_ = fail; }
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    if (!fails_) {
      inner_->write(object, offset, buffers, mode, done);
      return;
    }
    put(object, offset + length_of(buffers), std::vector<std::byte>(1));
    done.io_done(std::make_error_code(std::errc::io_error), 0);
  }
  bool fails_ = false;
};
TEST(Conformance, DamagesTheNeighbourWhenItFails) {
  expect_fails<DamagesTheNeighbourWhenItFails>("failed-writes-touch-only-their-range");
}

// ---- Rule 5

struct PadsTheTail : Forwarding {
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override {
    const std::uint64_t end = offset + length_of(buffers);
    if (end % kPage != 0 && end >= size_of(object)) {
      put(object, end, std::vector<std::byte>(kPage - end % kPage));
    }
    inner_->write(object, offset, buffers, mode, done);
  }
};
TEST(Conformance, PadsTheTail) {
  expect_fails<PadsTheTail>("writes-grow-to-their-end");
}

// ---- Rule 6

struct LiesAboutSync : Forwarding {
  void sync(ObjectHandle, SyncKind, IoDone& done) noexcept override { done.io_done({}, 0); }
};
TEST(Conformance, LiesAboutSync) {
  expect_fails<LiesAboutSync>("synced-bytes-survive");
}

// ---- Rule 7

struct OneIdForAll : Forwarding {
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override {
    Result<OpenedObject> opened = inner_->open(path, flags, mode);
    if (opened) opened->id = {1, 1};
    return opened;
  }
};
TEST(Conformance, OneIdForAll) {
  expect_fails<OneIdForAll>("ids-tell-objects-apart");
}

struct IdsFromNames : Forwarding {
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override {
    Result<OpenedObject> opened = inner_->open(path, flags, mode);
    if (opened) opened->id = {7, std::hash<std::string_view>()(path)};
    return opened;
  }
};
TEST(Conformance, IdsFromNames) {
  expect_fails<IdsFromNames>("links-have-one-id");
}

// ---- What the operations' comments promise

struct OddAlignment : Forwarding {
  StoreTraits traits() const noexcept override {
    StoreTraits traits = inner_->traits();
    traits.io_alignment_bytes = 3;
    return traits;
  }
};
TEST(Conformance, OddAlignment) {
  expect_fails<OddAlignment>("traits-are-possible");
}

struct IgnoresExclusive : Forwarding {
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override {
    const auto bits =
        static_cast<std::uint32_t>(flags) & ~static_cast<std::uint32_t>(OpenFlags::kExclusive);
    return inner_->open(path, static_cast<OpenFlags>(bits), mode);
  }
};
TEST(Conformance, IgnoresExclusive) {
  expect_fails<IgnoresExclusive>("opens-as-asked");
}

struct IgnoresTruncate : Forwarding {
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override {
    const auto bits =
        static_cast<std::uint32_t>(flags) & ~static_cast<std::uint32_t>(OpenFlags::kTruncate);
    return inner_->open(path, static_cast<OpenFlags>(bits), mode);
  }
};
TEST(Conformance, IgnoresTruncate) {
  expect_fails<IgnoresTruncate>("opens-as-asked");
}

struct ShowsOldBytesWhenItGrows : Forwarding {
  void truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept override {
    const std::uint64_t size = size_of(object);
    inner_->truncate(object, size_bytes, done);
    if (size_bytes > size && size > 0) put(object, size, std::vector<std::byte>(1, std::byte{9}));
  }
};
TEST(Conformance, ShowsOldBytesWhenItGrows) {
  expect_fails<ShowsOldBytesWhenItGrows>("truncate-sets-the-size");
}

struct PunchesTooMuch : Forwarding {
  void cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
           IoDone& done) noexcept override {
    inner_->cut(object, kind, offset, kind == Cut::kPunch ? length + kPage : length, done);
  }
};
TEST(Conformance, PunchesTooMuch) {
  expect_fails<PunchesTooMuch>("cuts-do-what-they-say");
}

// As fallocate(2) does without FALLOC_FL_KEEP_SIZE.
struct ZeroingGrows : Forwarding {
  void cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
           IoDone& done) noexcept override {
    const std::uint64_t size = size_of(object);
    inner_->cut(object, kind, offset, length, done);
    if (kind == Cut::kZero && offset + length > size) {
      put(object, offset + length - 1, std::vector<std::byte>(1));
    }
  }
};
TEST(Conformance, ZeroingGrows) {
  expect_fails<ZeroingGrows>("cuts-end-where-they-should");
}

struct CutsWithoutSayingSo : Forwarding {
  StoreTraits traits() const noexcept override {
    StoreTraits traits = inner_->traits();
    traits.cuts = 0;
    return traits;
  }
};
TEST(Conformance, CutsWithoutSayingSo) {
  expect_fails<CutsWithoutSayingSo>("cuts-do-what-they-say");
}

struct ReservingGrows : Forwarding {
  ReservingGrows() : Forwarding({.reserves_space = true}) {}
  void reserve(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override {
    inner_->truncate(object, offset + length, done);
  }
};
TEST(Conformance, ReservingGrows) {
  expect_fails<ReservingGrows>("reserving-changes-nothing");
}

struct ReleasesWhatIsWritten : Forwarding {
  ReleasesWhatIsWritten() : Forwarding({.reserves_space = true}) {}
  void release(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override {
    inner_->cut(object, Cut::kPunch, offset, length, done);
  }
};
TEST(Conformance, ReleasesWhatIsWritten) {
  expect_fails<ReleasesWhatIsWritten>("space-is-told-page-by-page");
}

struct ReleasesNothing : Forwarding {
  ReleasesNothing() : Forwarding({.reserves_space = true}) {}
  void release(ObjectHandle, std::uint64_t, std::uint64_t, IoDone& done) noexcept override {
    done.io_done({}, 0);
  }
};
TEST(Conformance, ReleasesNothing) {
  expect_fails<ReleasesNothing>("space-is-told-page-by-page");
}

// As SEEK_HOLE does: what was allocated and never written counts as having no space.
struct TellsHolesForSpace : Forwarding {
  TellsHolesForSpace() : Forwarding({.reserves_space = true}) {}
  void reserve_pages(ObjectHandle object, SpaceRequest& request, IoMode,
                     IoDone& done) noexcept override {
    inner_->reserve_pages(object, request, IoMode::kWait, done_);
    request.had_space.reset();
    for (std::size_t page = 0; page < request.pages; ++page) {
      request.had_space[page] = page < 2 || page == 8 || page == 9;
      request.had_none[page] = !request.had_space[page];
    }
    done.io_done({}, 0);
  }
  class Ignored final : public IoDone {
   public:
    ~Ignored() = default;
    void io_done(std::error_code, std::size_t) noexcept override {}
  };
  Ignored done_;
};
TEST(Conformance, TellsHolesForSpace) {
  expect_fails<TellsHolesForSpace>("space-is-told-page-by-page");
}

struct ForgetsAtime : Forwarding {
  Status set_times(ObjectHandle object, const TimeSpec*, const TimeSpec& mtime) override {
    return inner_->set_times(object, nullptr, mtime);
  }
};
TEST(Conformance, ForgetsAtime) {
  expect_fails<ForgetsAtime>("time-stamps-are-kept");
}

}  // namespace
}  // namespace quire::store::testing
