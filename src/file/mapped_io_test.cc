// Buffers that lie in mappings, through the calls of an open file: every read and write looks, and what it moves
// through a bounce is right in full and in part. Under all locking strategies. (What else happens meanwhile:
// mapped_io_sim_test.cc.)
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "file/bounce.h"
#include "file/test_cache.h"
#include "file/test_cuts.h"
#include "file/test_mappings.h"

namespace quire::file {
namespace {

const CallOptions kDirectly = {.path = IoPath::kDirect};

class Mapped : public testing::TestWithParam<Locking> {
 protected:
  void SetUp() override { make({}); }
  void make(CacheOptions options, std::uint32_t alignment = 512) {
    end();
    options.memory_bytes = limits::kMemoryMinBytes;
    options.locking = GetParam();
    options.worker_threads = 1;
    store_ = MemoryStore::create({.io_alignment_bytes = alignment});
    impl_ = CacheImpl::create(store_, options).value();
    file_ = open("f");
    other_ = open("g");
  }
  void TearDown() override { end(); }
  void end() {
    if (impl_ == nullptr) return;
    EXPECT_TRUE(MappingTable::of_process().empty());
    EXPECT_TRUE(file_->close().ok());
    EXPECT_TRUE(other_->close().ok());
    EXPECT_TRUE(impl_->close({}).ok());
    EXPECT_EQ(impl_->pages().turns().held_count(), 0u) << "a turn was lost";
    file_.reset();
    other_.reset();
    impl_.reset();
  }
  std::unique_ptr<FileImpl> open(const std::string& path) {
    return impl_->open(path, kRw, 0644).value();
  }
  Inode& inode(const FileImpl& file) { return *impl_->inodes().known(file.id(), nullptr); }
  // Pages of the file, read from it when they are touched; EFAULT past its end.
  std::unique_ptr<StandIn> map(FileImpl& file, std::uint64_t page, std::size_t pages) {
    return map(file, page, pages, [&file](std::uint64_t offset, std::span<std::byte> out) {
      if (offset >= file.size_bytes()) return kEfault;
      return file.read(out, offset, {}).code();
    });
  }
  std::unique_ptr<StandIn> map(const FileImpl& file, std::uint64_t page, std::size_t pages,
                               StandIn::Fault fault) {
    return std::make_unique<StandIn>(inode(file).serial(), page * kPage, pages, std::move(fault));
  }
  static std::size_t put(FileImpl& file, std::uint64_t offset, std::span<const std::byte> bytes,
                         const CallOptions& call = {}) {
    return file.writev({&bytes, 1}, &offset, call).value();
  }
  static std::vector<std::byte> get(FileImpl& file) {
    std::vector<std::byte> bytes(file.size_bytes());
    EXPECT_EQ(file.read(bytes, 0, {}).value(), bytes.size());
    return bytes;
  }
  static Result<std::size_t> submit(FileImpl& file, const Op& op, const CallOptions& call) {
    std::promise<Result<std::size_t>> promise;
    EXPECT_TRUE(file.submit(
                        op, [&](Result<std::size_t> r) { promise.set_value(std::move(r)); }, call)
                    .ok());
    return promise.get_future().get();
  }
  std::size_t piece_bytes() { return Bounce::bytes_max(impl_->pages()); }

  std::shared_ptr<MemoryStore> store_;
  std::shared_ptr<CacheImpl> impl_;
  std::unique_ptr<FileImpl> file_;
  std::unique_ptr<FileImpl> other_;
};

INSTANTIATE_TEST_SUITE_P(Strategies, Mapped, kStrategies, strategy_name);

std::vector<std::byte> letters(std::string_view each, std::size_t bytes) {
  std::vector<std::byte> all;
  for (const char letter : each) {
    const auto some = filled(bytes, letter);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

// Each way to write finds that its buffer is a mapping of another file. Fails, by a signal, where one of
// FileImpl's does not look.
TEST_P(Mapped, EveryWriteLooks) {
  put(*other_, 0, letters("xy", kPage));
  const auto mapping = map(*other_, 0, 2);
  const auto bytes = std::span<const std::byte>(mapping->bytes());
  for (const CallOptions& call : {CallOptions{}, kDirectly}) {
    const auto good = [&](const char* what) {
      EXPECT_EQ(get(*file_), letters("xy", kPage)) << what;
      EXPECT_GE(mapping->prepared(), 2u) << what;
      mapping->evict();
      EXPECT_TRUE(file_->truncate(0, {}).ok());
    };
    EXPECT_EQ(put(*file_, 0, bytes, call), 2 * kPage);
    good("write");
    const std::array<std::span<const std::byte>, 3> parts = {
        bytes.first(512), bytes.subspan(512, 0), bytes.subspan(512)};
    std::uint64_t offset = 0;
    EXPECT_EQ(file_->writev(parts, &offset, call).value(), 2 * kPage);
    good("writev");
    EXPECT_EQ(file_->append(bytes, call).value(), 0u);
    good("append");
    EXPECT_EQ(submit(*file_, WriteOp{bytes, 0}, call).value(), 2 * kPage);
    good("submitted write");
    EXPECT_EQ(submit(*file_, AppendOp{bytes}, call).value(), 2 * kPage);
    good("submitted append");
  }
}

// The same of reading, from the cache and from the store.
TEST_P(Mapped, EveryReadLooks) {
  put(*file_, 0, letters("ab", kPage));
  put(*other_, 0, letters("xy", kPage));
  const auto mapping = map(*other_, 0, 2);
  const auto bytes = mapping->bytes();
  for (const CallOptions& call : {CallOptions{}, kDirectly}) {
    for (const bool cached : {true, false}) {
      const auto good = [&](const char* what) {
        EXPECT_EQ(mapping->contents(), letters("ab", kPage)) << what;
        mapping->fill('?');
        EXPECT_TRUE(cached || file_->write_and_invalidate(0, kLast, {}).ok());
      };
      mapping->fill('?');
      EXPECT_EQ(file_->read(bytes, 0, call).value(), 2 * kPage);
      good("read");
      const std::array<std::span<std::byte>, 3> parts = {bytes.first(512), bytes.subspan(512, 0),
                                                         bytes.subspan(512)};
      EXPECT_EQ(file_->readv(parts, 0, call).value(), 2 * kPage);
      good("readv");
      EXPECT_EQ(submit(*file_, ReadOp{bytes, 0}, call).value(), 2 * kPage);
      good("submitted read");
    }
  }
  // What waits for nothing does not copy to where a fault would wait.
  EXPECT_EQ(file_->read(bytes, 0, {}).value(), 2 * kPage);
  mapping->evict();
  EXPECT_EQ(file_->read_hits(bytes, 0), 0u);
}

// A buffer beside the mappings goes where it always went. Fails if the table says yes to all once it has one.
TEST_P(Mapped, OtherBuffersAreNotCopied) {
  make({}, 1);
  const auto mapping = map(*other_, 0, 2);
  const auto data = filled(2 * kPage, 'a');
  const auto before = impl_->stats().memory_used_bytes;
  std::uint64_t used = 0;
  store_->set_hook([&](const StoreRequest&) {
    used = std::max(used, impl_->stats().memory_used_bytes);
    return StoreVerdict{};
  });
  EXPECT_EQ(put(*file_, 0, data, kDirectly), 2 * kPage);
  EXPECT_EQ(used, before);
  store_->set_hook({});
}

// One piece of the vector lies in a mapping, and ends within a page. Fails if only the first buffer is looked
// at, or if what lies beside a mapping is prepared with it.
TEST_P(Mapped, PartOfAVector) {
  put(*other_, 0, filled(kPage, 'm'));
  const auto mapping = map(*other_, 0, 1);
  const auto left = filled(700, 'l');
  const auto right = filled(5000, 'r');
  const auto middle = std::span<const std::byte>(mapping->bytes()).subspan(100, 1000);
  const std::array<std::span<const std::byte>, 3> parts = {left, middle, right};
  std::uint64_t offset = 3;
  EXPECT_EQ(file_->writev(parts, &offset, {}).value(), 6700u);
  auto expected = filled(3, 0);
  for (const auto& part : {left, filled(1000, 'm'), right}) {
    expected.insert(expected.end(), part.begin(), part.end());
  }
  EXPECT_EQ(get(*file_), expected);
  EXPECT_EQ(mapping->prepared(), 1u);

  auto to_left = filled(700, '?');
  auto to_right = filled(5000, '?');
  const std::array<std::span<std::byte>, 3> into = {to_left, mapping->bytes().subspan(100, 1000),
                                                    to_right};
  mapping->evict();
  EXPECT_EQ(file_->readv(into, 3, {}).value(), 6700u);
  EXPECT_EQ(to_left, left);
  EXPECT_EQ(to_right, right);
}

// Much at once goes in pieces, paid from the budget while they last. Fails if a piece takes more than it may, or
// if its end or the page it begins in is counted wrongly.
TEST_P(Mapped, LargeRequestsGoInPieces) {
  make({}, 1);
  const std::size_t pages = 3 * piece_bytes() / kPage;
  const std::size_t bytes = pages * kPage;
  std::uint64_t used_most = 0;
  std::uint64_t used_least = ~std::uint64_t{0};
  const auto pattern = [](std::uint64_t offset) {
    return static_cast<std::byte>(offset / 7 % 251);
  };
  const auto mapping = map(*other_, 0, pages, [&](std::uint64_t offset, std::span<std::byte> page) {
    for (std::size_t i = 0; i < page.size(); ++i) page[i] = pattern(offset + i);
    const std::uint64_t used = impl_->pages().turns().held_count();
    used_most = std::max(used_most, used);
    used_least = std::min(used_least, used);
    return std::error_code{};
  });
  for (const CallOptions& call : {CallOptions{}, kDirectly}) {
    const std::uint64_t offset = call.path == IoPath::kDirect ? 512 : 4000;
    EXPECT_TRUE(file_->truncate(0, {}).ok());
    mapping->evict();
    const auto requests = impl_->stats().direct_write_bytes;
    EXPECT_EQ(put(*file_, offset, mapping->bytes(), call), bytes);
    EXPECT_EQ(impl_->stats().direct_write_bytes - requests,
              call.path == IoPath::kDirect ? bytes : 0);
    std::vector<std::byte> got(bytes);
    EXPECT_EQ(file_->read(got, offset, {}).value(), bytes);
    bool right = true;
    for (std::size_t i = 0; i < bytes; ++i) right = right && got[i] == pattern(i);
    EXPECT_TRUE(right);

    mapping->fill('?');
    EXPECT_EQ(file_->read(mapping->bytes(), offset, call).value(), bytes);
    EXPECT_TRUE(mapping->contents() == got);
    mapping->fill('?');
    EXPECT_EQ(file_->read(mapping->bytes(), offset + kPage, call).value(), bytes - kPage)
        << "up to the end of the file";
  }
  EXPECT_EQ(used_most, 1u);
  EXPECT_EQ(used_least, 1u);
}

// The memory of a piece is the cache's own, no more than is said, and given back. Fails if the bounce is made of
// other memory, or is not given back before the next is taken.
TEST_P(Mapped, TheBudgetPaysForABounce) {
  make({.readahead_max_bytes = 0}, 1);
  const std::size_t bytes = 3 * piece_bytes();
  put(*file_, 0, filled(bytes, 'a'));
  ASSERT_TRUE(file_->write_and_invalidate(0, kLast, {}).ok());
  const auto before = impl_->stats().memory_used_bytes;
  std::vector<std::uint64_t> used;
  const auto mapping =
      map(*other_, 0, bytes / kPage, [&](std::uint64_t /*offset*/, std::span<std::byte> /*page*/) {
        used.push_back(impl_->stats().memory_used_bytes - before);
        return std::error_code{};
      });
  EXPECT_EQ(file_->read(mapping->bytes(), 0, kDirectly).value(), bytes);
  ASSERT_EQ(used.size(), bytes / kPage);
  for (const std::uint64_t now : used) EXPECT_EQ(now, piece_bytes());
  EXPECT_EQ(impl_->stats().memory_used_bytes, before);
}

// While the caller's memory is touched nothing is held: whatever else a fault there might wait for can be done by
// others. Fails if the copying is done under the write range, a block, or the operation as a whole.
TEST_P(Mapped, CopyingHoldsNothing) {
  const auto shoot_down_all = [&] {
    const CallOptions within = {.deadline =
                                    std::chrono::steady_clock::now() + std::chrono::seconds(20)};
    sync::Thread other = start_thread("other", [&] {
      for (FileImpl* const file : {file_.get(), other_.get()}) {
        EXPECT_TRUE(file->write_and_invalidate(0, kLast, within).ok());
        std::vector<std::byte> page(kPage);
        EXPECT_TRUE(file->read(page, 0, within).ok());
        EXPECT_TRUE(file->truncate(file->size_bytes() + 1, within).ok());
        EXPECT_TRUE(file->truncate(file->size_bytes() - 1, within).ok());
      }
    });
    other.join();
  };
  put(*file_, 0, filled(4 * kPage, 'a'));
  put(*other_, 0, filled(4 * kPage, 'b'));
  for (FileImpl* const mapped : {file_.get(), other_.get()}) {
    const auto mapping =
        map(*mapped, 0, 2, [&](std::uint64_t /*offset*/, std::span<std::byte> page) {
          shoot_down_all();
          std::fill(page.begin(), page.end(), std::byte{'m'});
          return std::error_code{};
        });
    for (const CallOptions& call : {CallOptions{}, kDirectly}) {
      EXPECT_EQ(put(*file_, kPage, mapping->bytes(), call), 2 * kPage);
      mapping->evict();
      EXPECT_EQ(file_->append(mapping->bytes(), call).value(), 4 * kPage);
      mapping->evict();
      EXPECT_EQ(file_->read(mapping->bytes(), 0, call).value(), 2 * kPage);
      EXPECT_EQ(mapping->contents(), letters("am", kPage));
      EXPECT_EQ(mapping->prepared() % 6, 0u);
      EXPECT_TRUE(file_->truncate(4 * kPage, {}).ok());
      mapping->evict();
    }
  }
}

// An append of more than a piece stays in one place, whoever appends between its pieces. Fails if each piece is
// appended for itself.
TEST_P(Mapped, AppendIsInOnePlace) {
  const std::size_t bytes = 2 * piece_bytes() + kPage;
  for (const CallOptions& call : {CallOptions{}, kDirectly}) {
    EXPECT_TRUE(file_->truncate(0, {}).ok());
    put(*file_, 0, filled(512, 'o'));
    const auto mapping =
        map(*other_, 0, bytes / kPage, [&](std::uint64_t offset, std::span<std::byte> page) {
          std::fill(page.begin(), page.end(), std::byte{'m'});
          // Somebody appends before the first copy, and between the pieces.
          if (offset == 0) {
            EXPECT_EQ(file_->append(filled(512, 'x'), {}).value(), 512 + bytes);
          }
          if (offset == piece_bytes()) {
            EXPECT_EQ(file_->append(filled(512, 'y'), {}).value(), 1024 + bytes);
          }
          return std::error_code{};
        });
    EXPECT_EQ(file_->append(mapping->bytes(), call).value(), 512u);
    auto expected = filled(512 + bytes, 'm');
    std::fill_n(expected.begin(), 512, std::byte{'o'});
    const auto behind = letters("xy", 512);
    expected.insert(expected.end(), behind.begin(), behind.end());
    EXPECT_TRUE(get(*file_) == expected);
  }
}

// Such an append that ends early takes back what it had made room for; but not if somebody has put something behind it,
// or into it. Fails without cut_back(), or if that does not look at the size, or at changes().
TEST_P(Mapped, AnAppendThatEndsEarly) {
  const std::size_t bytes = 2 * piece_bytes();
  enum Company { kNobody, kBehind, kInside };
  for (const Company company : {kNobody, kBehind, kInside}) {
    for (const CallOptions& call : {CallOptions{}, kDirectly}) {
      EXPECT_TRUE(file_->truncate(0, {}).ok());
      put(*file_, 0, filled(512, 'o'));
      const auto mapping =
          map(*other_, 0, bytes / kPage, [&](std::uint64_t offset, std::span<std::byte> page) {
            if (offset < piece_bytes() + kPage) {
              std::fill(page.begin(), page.end(), std::byte{'m'});
              return std::error_code{};
            }
            EXPECT_TRUE(company != kBehind || file_->append(filled(512, 'x'), {}).ok());
            if (company == kInside) put(*file_, bytes, filled(512, 'x'));
            return kEfault;
          });
      EXPECT_EQ(file_->append(mapping->bytes(), call).code(), kEfault);
      auto expected = filled(512, 'o');
      const auto came = filled(piece_bytes() + kPage, 'm');
      expected.insert(expected.end(), came.begin(), came.end());
      if (company != kNobody) {
        expected.resize(company == kBehind ? 512 + bytes : bytes);
        expected.resize(expected.size() + 512, std::byte{'x'});
      }
      EXPECT_TRUE(get(*file_) == expected) << company;
    }
  }
}

// The file is cut between two of its pieces, and others append where it was to go on: that stays theirs, and it ends
// there. Fails if WriteLocks::lock() does not look at cuts(), or CutBackCall.
TEST_P(Mapped, AnAppendWhosePlaceIsCutAway) {
  const std::size_t bytes = 2 * piece_bytes() + kPage;
  for (const bool shifted : {false, true}) {
    for (const CallOptions& call : {CallOptions{}, kDirectly}) {
      EXPECT_TRUE(file_->truncate(0, {}).ok());
      put(*file_, 0, filled(2 * kPage, 'o'));
      const auto mapping =
          map(*other_, 0, bytes / kPage, [&](std::uint64_t offset, std::span<std::byte> page) {
            std::fill(page.begin(), page.end(), std::byte{'m'});
            if (offset == piece_bytes()) {
              const Status cut = shifted ? file_->cut(Cut::kCollapse, 0, kPage, false, {})
                                         : file_->truncate(kPage, {});
              EXPECT_TRUE(cut.ok());
              // As long as the append had made it.
              const std::size_t missing = 2 * kPage + bytes - file_->size_bytes();
              EXPECT_TRUE(file_->append(filled(missing, 'x'), {}).ok());
            }
            return std::error_code{};
          });
      EXPECT_EQ(file_->append(mapping->bytes(), call).code(), std::errc::operation_canceled);
      auto expected = filled(kPage, 'o');
      if (shifted) {
        expected.insert(expected.end(), piece_bytes(), std::byte{'m'});
        expected.insert(expected.end(), bytes - piece_bytes(), std::byte{0});
      }
      expected.resize(2 * kPage + bytes, std::byte{'x'});
      EXPECT_TRUE(get(*file_) == expected) << shifted;
    }
  }
}

// One that is left in the middle takes it back too, if nobody is in the way. Fails if cut_back() waits for what it
// could have at once: it has no time to.
TEST_P(Mapped, AnAppendThatIsLeft) {
  const std::size_t bytes = 2 * piece_bytes();
  for (const IoPath path : {IoPath::kCached, IoPath::kDirect}) {
    EXPECT_TRUE(file_->truncate(0, {}).ok());
    put(*file_, 0, filled(512, 'o'));
    std::stop_source stop;
    const auto mapping =
        map(*other_, 0, bytes / kPage, [&](std::uint64_t offset, std::span<std::byte> page) {
          std::fill(page.begin(), page.end(), std::byte{'m'});
          if (offset < piece_bytes()) return std::error_code{};
          stop.request_stop();
          return make_error_code(Errc::kInterrupted);
        });
    const auto appended = file_->append(mapping->bytes(), {.stop = stop.get_token(), .path = path});
    EXPECT_EQ(appended.code(), Errc::kInterrupted);
    const std::vector<std::byte> now = get(*file_);
    EXPECT_LT(now.size(), 512 + bytes);
    auto expected = filled(now.size(), 'm');
    std::fill_n(expected.begin(), 512, std::byte{'o'});
    EXPECT_TRUE(now == expected);
  }
}

// An append past the largest size is cut there, and one whose end the store does not take is refused, before room
// is made. Fails if extend() does not look at either.
TEST_P(Mapped, LimitsOfAppends) {
  const std::size_t bytes = piece_bytes() + kPage;
  const auto mapping = map(
      *other_, 0, bytes / kPage,
      [](std::uint64_t /*offset*/, std::span<std::byte> /*page*/) { return std::error_code{}; });
  put(*file_, 0, filled(100, 'o'));
  std::atomic<int> cuts{0};
  store_->set_hook([&](const StoreRequest& request) {
    cuts += request.op == StoreOp::kTruncate ? 1 : 0;
    return StoreVerdict{};
  });
  const auto refused = file_->append(mapping->bytes(), kDirectly);
  store_->set_hook({});
  EXPECT_EQ(cuts, 0);
  EXPECT_EQ(refused.code(), std::errc::invalid_argument);
  EXPECT_NE(refused.error().message().find("offset 100 is not a multiple of 512"),
            std::string::npos);
  EXPECT_EQ(file_->size_bytes(), 100u);
  ASSERT_TRUE(file_->truncate(limits::kFileSizeMaxBytes - 10, {}).ok());
  EXPECT_EQ(file_->append(mapping->bytes(), {}).code(), std::errc::file_too_large);
  EXPECT_EQ(file_->size_bytes(), limits::kFileSizeMaxBytes);
  EXPECT_EQ(file_->append(mapping->bytes(), {}).code(), std::errc::file_too_large);
  EXPECT_TRUE(file_->truncate(0, {}).ok());
}

// partial-dio-fault: the second page of the buffer cannot be had. What came before it was moved, and counts; as
// much of it as the store takes. Fails if the error hides the bytes, if more is written than was copied, or if
// what is no multiple of the store's goes to it.
TEST_P(Mapped, PartialDioFault) {
  put(*other_, 0, filled(kPage, 'm'));
  const auto mapping = map(*other_, 0, 3);  // the file ends after the first of them
  const auto bytes = std::span<const std::byte>(mapping->bytes());
  for (const CallOptions& call : {CallOptions{}, kDirectly}) {
    const bool direct = call.path == IoPath::kDirect;
    EXPECT_TRUE(file_->truncate(0, {}).ok());
    put(*file_, 0, filled(3 * kPage, 'a'));
    EXPECT_EQ(put(*file_, 512, bytes.first(2 * kPage), call), kPage);
    auto expected = filled(3 * kPage, 'a');
    std::fill_n(expected.begin() + 512, kPage, std::byte{'m'});
    EXPECT_EQ(get(*file_), expected);
    // 700 bytes can be had, of which the store takes 512.
    EXPECT_EQ(put(*file_, 2 * kPage, bytes.subspan(kPage - 700, 1024), call), direct ? 512u : 700u);
    std::fill_n(expected.begin() + 2 * kPage, direct ? 512 : 700, std::byte{'m'});
    EXPECT_EQ(get(*file_), expected);
    // Not as much as the store takes, or nothing at all.
    const auto few = bytes.subspan(kPage - 300, 1024);
    std::uint64_t offset = 0;
    const auto wrote = file_->writev({&few, 1}, &offset, call);
    if (direct) {
      EXPECT_EQ(wrote.code(), kEfault);
    } else {
      EXPECT_EQ(wrote.value(), 300u);
      std::fill_n(expected.begin(), 300, std::byte{'m'});
    }
    const auto none = bytes.subspan(kPage);
    offset = 0;
    EXPECT_EQ(file_->writev({&none, 1}, &offset, call).code(), kEfault);
    EXPECT_EQ(get(*file_), expected);

    const auto into = mapping->bytes();
    mapping->evict();
    EXPECT_EQ(file_->read(into, 0, call).value(), kPage);
    auto got = mapping->contents();
    got.resize(kPage);
    expected.resize(kPage);
    EXPECT_EQ(got, expected);
    mapping->evict();
    EXPECT_EQ(file_->read(into.subspan(kPage), 0, call).code(), kEfault);
  }
}

// dio-onto-itself: direct IO from bytes of a file to themselves, and back, succeeds. Only a strict cache refuses
// it, and nothing else. Fails without refused(), or if that looks at less than file, place and path.
TEST_P(Mapped, DioOntoItself) {
  for (const Deadlock deadlock : {Deadlock::kBounce, Deadlock::kStrict}) {
    make({.deadlock = deadlock});
    const bool strict = deadlock == Deadlock::kStrict;
    const auto error = std::make_error_code(std::errc::resource_deadlock_would_occur);
    put(*file_, 0, letters("abcd", kPage));
    put(*other_, 0, letters("wxyz", kPage));
    const auto mapping = map(*file_, 1, 2);  // "bc"
    const auto bytes = std::span<const std::byte>(mapping->bytes());
    const auto write = [&](FileImpl& file, std::uint64_t page, const CallOptions& call) {
      mapping->evict();
      std::uint64_t offset = page * kPage;
      return file.writev({&bytes, 1}, &offset, call);
    };
    const auto read = [&](FileImpl& file, std::uint64_t page, const CallOptions& call) {
      mapping->evict();
      return file.read(mapping->bytes(), page * kPage, call);
    };
    const auto is_refused = [&](const Result<std::size_t>& result) {
      if (strict) return result.code() == error;
      return result.ok() && *result == 2 * kPage;
    };
    EXPECT_TRUE(is_refused(write(*file_, 1, kDirectly)));
    EXPECT_EQ(get(*file_), letters("abcd", kPage));
    EXPECT_TRUE(is_refused(read(*file_, 1, kDirectly)));
    EXPECT_TRUE(strict || mapping->contents() == letters("bc", kPage));
    EXPECT_TRUE(is_refused(read(*file_, 0, kDirectly))) << "the last page of it is the first";
    EXPECT_TRUE(is_refused(read(*file_, 2, kDirectly)));
    // Beside it, in another file, or through the cache: as ever.
    EXPECT_EQ(read(*file_, 3, kDirectly).value(), kPage);
    EXPECT_EQ(write(*file_, 3, kDirectly).value(), 2 * kPage);
    EXPECT_EQ(get(*file_), letters("abcbc", kPage));
    EXPECT_EQ(write(*other_, 1, kDirectly).value(), 2 * kPage);
    EXPECT_EQ(get(*other_), letters("wbcz", kPage));
    EXPECT_EQ(file_->append(bytes, kDirectly).value(), 5 * kPage);
    EXPECT_EQ(write(*file_, 1, {}).value(), 2 * kPage);
    EXPECT_EQ(write(*file_, 0, {}).value(), 2 * kPage);
    EXPECT_EQ(get(*file_), letters("bccbcbc", kPage));
    EXPECT_EQ(read(*file_, 1, {}).value(), 2 * kPage);
    // An end that the file had already grown to.
    const auto behind = map(*file_, 7, 1);
    const auto appended = file_->append(behind->bytes(), kDirectly);
    EXPECT_EQ(appended.code(), strict ? error : kEfault);
  }
}

// Who may leave does, also while others have all the turns. Fails if a turn is waited for without a limit.
TEST_P(Mapped, AWayOutOfTheQueue) {
  put(*other_, 0, filled(kPage, 'm'));
  const auto mapping = map(*other_, 0, 1);
  std::array<std::optional<cache::Turns::Turn>, cache::Turns::kCount> turns;
  for (auto& turn : turns) {
    EXPECT_EQ(turn.emplace(impl_->pages().turns()).take({}), sync::WaitStatus::kReady);
  }
  const CallOptions passed = {.deadline = std::chrono::steady_clock::now()};
  EXPECT_EQ(file_->append(mapping->bytes(), passed).code(), Errc::kTimedOut);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(file_->read(mapping->bytes(), 0, {.stop = stop.get_token()}).code(),
            Errc::kInterrupted);
  // The next goes on with the first turn that is given back.
  sync::Thread writer =
      start_thread("writer", [&] { EXPECT_EQ(put(*file_, 0, mapping->bytes()), kPage); });
  until([&] { return impl_->pages().turns().waiting_count() == 1; });
  for (auto& turn : turns) turn.reset();
  writer.join();
  EXPECT_EQ(get(*file_), filled(kPage, 'm'));
}

// Fails if plan_budget() lets it pass.
TEST(MappedOption, ThatIsNotOneOfThem) {
  const auto cache = Cache::create(MemoryStore::create(), {.deadlock = static_cast<Deadlock>(7)});
  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.code(), std::errc::invalid_argument);
  EXPECT_NE(cache.error().message().find("CacheOptions::deadlock"), std::string::npos);
}

}  // namespace
}  // namespace quire::file
