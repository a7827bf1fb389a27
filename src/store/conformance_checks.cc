#include "store/conformance_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <utility>

#include "quire/error.h"
#include "quire/limits.h"
#include "store/conformance_space.h"
#include "sync/thread.h"

namespace quire::store {

namespace {

constexpr std::size_t kPage = limits::kPageBytes;
constexpr std::array kBothModes = {IoMode::kWait, IoMode::kAsync};
constexpr std::array kAllCuts = {Cut::kPunch, Cut::kZero, Cut::kInsert, Cut::kCollapse};
constexpr OpenFlags kExisting = OpenFlags::kReadWrite;

const char* cut_name(Cut kind) {
  constexpr std::array names = {"punch", "zero", "insert", "collapse"};
  return names[static_cast<std::size_t>(kind)];
}

std::span<const std::byte> part(const std::vector<std::byte>& bytes, std::size_t offset,
                                std::size_t length) {
  return std::span(bytes).subspan(offset, length);
}

// ---- Rule 1: io_done is called exactly once, with no lock held.

void answers_once(Probe& probe) {
  const ObjectHandle object = probe.open();
  const auto page = probe_pattern(kPage, 1);
  Store& store = probe.store();
  for (const IoMode mode : kBothModes) {
    probe.wait(probe.start_write(object, 0, page, mode));
    probe.wait(probe.start_write(object, kPage, page, mode, kPage / 2));
    probe.wait(probe.start_read(object, 0, kPage, mode));
    probe.wait(probe.start_read(object, 16 * kPage, kPage, mode));
  }
  probe.wait(probe.start([&](IoDone& done) { store.truncate(object, 4 * kPage, done); }));
  for (const SyncKind kind : {SyncKind::kData, SyncKind::kAll}) {
    probe.wait(probe.start([&](IoDone& done) { store.sync(object, kind, done); }));
  }
  // Whether these succeed is not asked here: a refusal is an answer.
  for (const Cut kind : kAllCuts) {
    probe.wait(probe.start([&](IoDone& done) { store.cut(object, kind, kPage, kPage, done); }));
  }
  probe.wait(probe.start([&](IoDone& done) { store.reserve(object, 0, kPage, done); }));
  SpaceRequest space;
  space.pages = space.end = 2;
  for (const IoMode mode : kBothModes) {
    probe.wait(start_reserving(probe, object, space, mode));
  }
  probe.wait(probe.start([&](IoDone& done) { store.release(object, kPage, kPage, done); }));
  if (!probe.good()) return;
  // A second answer may come until the store is gone.
  for (const unsigned answers : probe.end()) {
    probe.expect(answers == 1, fmt::format("a request was answered {} times", answers));
  }
}

// While io_done runs another thread makes a request. If that call does not come back before io_done
// does, the store holds a lock across io_done.
void answers_without_a_lock(Probe& probe) {
  const ObjectHandle object = probe.open();
  probe.write(object, 0, probe_pattern(kPage, 1));
  Store& store = probe.store();
  const auto patience = probe.options().patience;

  const auto check = [&](const char* what, std::size_t length,
                         const std::function<void(ProbeRequest&)>& submit) {
    if (!probe.good()) return;
    sync::Parker called, came_back;
    bool stuck = false;
    ProbeRequestPtr second;
    Result<sync::Thread> helper = sync::Thread::start("quire-conform", [&] {
      called.park();
      second = probe.start_read(object, 0, kPage, IoMode::kAsync);
      came_back.unpark();
    });
    if (!probe.expect(helper.ok(), "could not start a thread")) return;
    const ProbeRequestPtr first = probe.start(submit, length, [&] {
      called.unpark();
      stuck = came_back.park_until({.deadline = sync::deadline_after(patience), .stop = {}}) !=
              sync::WaitStatus::kReady;
    });
    probe.wait(first);
    called.unpark();  // in case io_done was never called
    helper->join();
    if (second) probe.wait(second);
    probe.expect(!stuck, fmt::format("a read cannot be submitted while io_done of a {} runs: the "
                                     "store holds a lock across io_done",
                                     what));
  };

  check("write", kPage, [&](ProbeRequest& request) {
    store.write(object, kPage, request.from(), IoMode::kAsync, request);
  });
  check("read", kPage, [&](ProbeRequest& request) {
    store.read(object, 0, request.into(), IoMode::kAsync, request);
  });
  check("truncate", 0, [&](ProbeRequest& request) { store.truncate(object, 2 * kPage, request); });
  check("sync", 0, [&](ProbeRequest& request) { store.sync(object, SyncKind::kData, request); });
}

// ---- Rule 2: reads see completed writes; requests on disjoint ranges do not disturb each other.

void read_sees_completed_writes(Probe& probe) {
  const ObjectHandle object = probe.open();
  const ObjectHandle other = probe.open("a", kExisting);
  unsigned seed = 0;
  for (const IoMode write_mode : kBothModes) {
    for (const IoMode read_mode : kBothModes) {
      for (int round = 0; round < 4; ++round) {
        const auto page = probe_pattern(kPage, ++seed);
        probe.write(object, 0, page, write_mode);
        probe.expect_bytes(object, 0, page, "a page just written", read_mode);
        probe.expect_bytes(other, 0, page, "a page just written through another handle", read_mode);
      }
    }
  }
}

void requests_together(Probe& probe) {
  constexpr std::size_t thread_count = 2;
  constexpr std::size_t pages_each = 24;
  const ObjectHandle object = probe.open();
  const auto bytes = probe_pattern(thread_count * pages_each * kPage, 7);
  std::vector<sync::Thread> threads;
  for (std::size_t t = 0; t < thread_count; ++t) {
    Result<sync::Thread> thread = sync::Thread::start("quire-conform", [&, t] {
      std::vector<ProbeRequestPtr> writes;
      for (std::size_t i = 0; i < pages_each; ++i) {
        const std::size_t offset = (i * thread_count + t) * kPage;
        writes.push_back(
            probe.start_write(object, offset, part(bytes, offset, kPage), IoMode::kAsync));
      }
      for (const ProbeRequestPtr& write : writes) {
        if (!probe.wait(write)) return;
        probe.expect(!write->error(), "write: " + write->error().message());
      }
    });
    if (!probe.expect(thread.ok(), "could not start a thread")) break;
    threads.push_back(std::move(*thread));
  }
  for (sync::Thread& thread : threads) thread.join();
  probe.expect_bytes(object, 0, bytes, "pages written in flight together");

  std::vector<ProbeRequestPtr> reads;
  for (std::size_t at = 0; at < bytes.size(); at += kPage) {
    reads.push_back(probe.start_read(object, at, kPage, IoMode::kAsync));
  }
  for (std::size_t i = 0; i < reads.size(); ++i) {
    if (!probe.wait(reads[i])) return;
    const std::string text = difference(reads[i]->memory(), part(bytes, i * kPage, kPage));
    probe.expect(text.empty(), fmt::format("page {}, read in flight with others: {}", i, text));
  }
}

// ---- Rule 3: reads at the end are short; holes are zeros.

void reads_end_with_the_object(Probe& probe) {
  const ObjectHandle object = probe.open();
  const auto bytes = probe_pattern(3 * kPage, 3);
  constexpr std::size_t size = 2 * kPage + 777;
  probe.write(object, 0, bytes);
  probe.truncate(object, size);
  const struct {
    std::uint64_t offset;
    std::size_t length, expected;
  } cases[] = {{2 * kPage, kPage, 777},
               {0, 4 * kPage, size},
               {3 * kPage, kPage, 0},
               {64 * kPage, 2 * kPage, 0},
               {std::uint64_t{1} << 40, kPage, 0}};
  for (const auto& c : cases) {
    for (const IoMode mode : kBothModes) {
      const auto actual = probe.read(object, c.offset, c.length, mode);
      if (!probe.good()) return;
      const std::string text =
          difference(actual, c.expected == 0 ? std::span<const std::byte>()
                                             : part(bytes, c.offset, c.expected));
      probe.expect(text.empty(), fmt::format("a read of {} bytes at {} of an object of {}: {}",
                                             c.length, c.offset, size, text));
    }
  }
}

void holes_read_as_zeros(Probe& probe) {
  const ObjectHandle object = probe.open();
  constexpr std::uint64_t far = 64 * kPage;
  probe.write(object, far, probe_pattern(kPage, 4));
  for (const IoMode mode : kBothModes) {
    probe.expect_bytes(object, 0, std::vector<std::byte>(4 * kPage), "a hole", mode);
    probe.expect_bytes(object, far - kPage, std::vector<std::byte>(kPage), "a hole", mode);
  }
}

// ---- Rule 4: a write moves all its bytes, and only those.

void writes_move_all_bytes(Probe& probe) {
  const ObjectHandle object = probe.open();
  std::uint64_t offset = 0;
  for (const std::size_t pieces : {std::size_t{2}, std::size_t{17}, limits::kStoreIoMaxPieces}) {
    for (const IoMode mode : kBothModes) {
      const auto bytes = probe_pattern(pieces * kPage, static_cast<unsigned>(pieces));
      const ProbeRequestPtr write = probe.start_write(object, offset, bytes, mode, kPage);
      if (!probe.wait(write)) return;
      probe.expect(!write->error() && write->bytes() == bytes.size(),
                   fmt::format("a write of {} bytes in {} pieces reports {} bytes, {}",
                               bytes.size(), pieces, write->bytes(), write->error().message()));
      probe.expect_bytes(object, offset, bytes, "what was written in pieces");
      offset += bytes.size();
    }
  }
}

void writes_touch_only_their_range(Probe& probe) {
  const ObjectHandle object = probe.open();
  const auto bytes = probe_pattern(8 * kPage, 5);
  probe.write(object, 0, bytes);
  for (const std::size_t page : {3u, 1u, 6u}) {
    probe.write(object, page * kPage, part(bytes, page * kPage, kPage));
  }
  for (std::size_t page = 0; page < 8; ++page) {
    probe.expect_bytes(object, page * kPage, part(bytes, page * kPage, kPage),
                       "after its neighbours were written, a page");
  }
}

void failed_writes_touch_only_their_range(Probe& probe) {
  const ObjectHandle object = probe.open();
  const auto bytes = probe_pattern(8 * kPage, 6);
  probe.write(object, 0, bytes);
  probe.options().fail_writes(probe.store(), true);
  const ProbeRequestPtr write =
      probe.start_write(object, 3 * kPage, probe_pattern(2 * kPage, 7), IoMode::kAsync);
  const bool answered = probe.wait(write);
  probe.options().fail_writes(probe.store(), false);
  if (!answered) return;
  probe.expect(static_cast<bool>(write->error()), "a write that was to fail succeeded");
  probe.expect_bytes(object, 0, part(bytes, 0, 3 * kPage), "before a failed write");
  probe.expect_bytes(object, 5 * kPage, part(bytes, 5 * kPage, 3 * kPage), "after a failed write");
  probe.expect(probe.stat(object).size_bytes == bytes.size(), "a failed write changed the size");
}

// ---- Rule 5: a write past the end grows the object to its end.

void writes_grow_to_their_end(Probe& probe) {
  int number = 0;
  for (const IoMode mode : kBothModes) {
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{511}, kPage - 1, kPage, kPage + 1, 5 * kPage + 2049}) {
      const ObjectHandle object = probe.open(std::to_string(++number));
      const auto bytes = probe_pattern(size, 8);
      probe.write(object, 0, bytes, mode);
      const auto seen = probe.stat(object).size_bytes;
      probe.expect(seen == size,
                   fmt::format("after a write of {} bytes to an empty object its size "
                               "is {}",
                               size, seen));
      // On from the page that the end is in, as the cache does.
      const std::size_t begin = size / kPage * kPage;
      auto more = probe_pattern(2 * kPage + 5, 9);
      probe.write(object, begin, more, mode);
      const auto grown = probe.stat(object).size_bytes;
      probe.expect(grown == begin + more.size(),
                   fmt::format("after a write of [{}, {}) the size is {}", begin,
                               begin + more.size(), grown));
    }
  }
}

// ---- Rule 6: what was synced survives a crash.

void synced_bytes_survive(Probe& probe) {
  const auto bytes = probe_pattern(12 * kPage, 10);
  std::size_t size = 0;
  for (const SyncKind kind : {SyncKind::kData, SyncKind::kAll}) {
    for (const std::size_t more : {kPage, 4 * kPage}) {
      const ObjectHandle object = size == 0 ? probe.open() : probe.open("a", kExisting);
      probe.write(object, size, part(bytes, size, more), IoMode::kAsync);
      size += more;
      probe.sync(object, kind);
      probe.crash();
      if (!probe.good()) return;
      const ObjectHandle after = probe.open("a", kExisting);
      const auto seen = probe.stat(after).size_bytes;
      probe.expect(seen == size,
                   fmt::format("{} bytes were synced; after a crash the size is {}", size, seen));
      probe.expect_bytes(after, 0, part(bytes, 0, size), "synced before a crash");
    }
  }
}

// ---- Rule 7: an id names one object.

void ids_tell_objects_apart(Probe& probe) {
  std::vector<ObjectId> ids(4);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    probe.open(std::to_string(i), OpenFlags::kReadWrite | OpenFlags::kCreate | OpenFlags::kTruncate,
               &ids[i]);
  }
  if (!probe.good()) return;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ObjectId again;
    probe.open(std::to_string(i), kExisting, &again);
    probe.expect(again == ids[i], "two opens of one object give different ids");
    for (std::size_t j = 0; j < i; ++j) {
      probe.expect(ids[i] != ids[j], "two objects have the same id");
    }
  }
}

void links_have_one_id(Probe& probe) {
  ObjectId id, linked_id;
  const ObjectHandle object = probe.open("a", kExisting | OpenFlags::kCreate, &id);
  if (!probe.good()) return;
  if (!probe.expect(probe.options().link(probe.store(), probe.path("a"), probe.path("link")),
                    "the link function did not make a link")) {
    return;
  }
  const ObjectHandle linked = probe.open("link", kExisting, &linked_id);
  probe.expect(id == linked_id, "two names of one object give different ids");
  const auto bytes = probe_pattern(kPage, 11);
  probe.write(object, 0, bytes);
  probe.expect_bytes(linked, 0, bytes, "a page written through the other name");
}

// ---- What the comments of the operations promise.

void traits_are_possible(Probe& probe) {
  const StoreTraits traits = probe.store().traits();
  probe.expect(std::has_single_bit(traits.io_alignment_bytes) && traits.io_alignment_bytes <= kPage,
               fmt::format("io_alignment_bytes is {}; it must be a power of two, 1 to {}",
                           traits.io_alignment_bytes, kPage));
  probe.expect((traits.cuts >> kAllCuts.size()) == 0, "cuts has bits that stand for no Cut");
}

void opens_as_asked(Probe& probe) {
  Store& store = probe.store();
  constexpr OpenFlags make = OpenFlags::kReadWrite | OpenFlags::kCreate;
  const auto expect_code = [&](const std::string& path, OpenFlags flags, std::error_condition code,
                               const char* what) {
    const Result<OpenedObject> opened = store.open(path, flags, 0644);
    if (opened) static_cast<void>(store.close(opened->handle));
    probe.expect(opened.code() == code,
                 fmt::format("{} gives \"{}\", should be \"{}\"", what,
                             opened ? "success" : opened.code().message(), code.message()));
  };
  expect_code(probe.path("none"), OpenFlags::kRead,
              std::make_error_condition(std::errc::no_such_file_or_directory),
              "opening what is not there");
  const ObjectHandle object = probe.open();
  expect_code(probe.path(), make | OpenFlags::kExclusive,
              std::make_error_condition(std::errc::file_exists), "making what is there");
  expect_code("../" + probe.path(), make,
              make_error_code(Errc::kPathEscapes).default_error_condition(),
              "a path that leaves the root");
  expect_code(std::string(limits::kNameMaxBytes + 1, 'n'), make,
              std::make_error_condition(std::errc::filename_too_long), "a name that is too long");
  probe.write(object, 0, probe_pattern(kPage, 12));
  const ObjectHandle emptied = probe.open("a", kExisting | OpenFlags::kTruncate);
  probe.expect(probe.stat(emptied).size_bytes == 0, "kTruncate leaves bytes behind");
}

void truncate_sets_the_size(Probe& probe) {
  const ObjectHandle object = probe.open();
  auto bytes = probe_pattern(4 * kPage, 13);
  probe.write(object, 0, bytes);
  for (const std::size_t size : {3 * kPage + 100, 2 * kPage, 2 * kPage - 1, kPage + 1}) {
    probe.truncate(object, size);
    const auto seen = probe.stat(object).size_bytes;
    probe.expect(seen == size, fmt::format("truncate to {} gives a size of {}", size, seen));
  }
  probe.truncate(object, 4 * kPage);
  bytes.resize(kPage + 1);
  bytes.resize(4 * kPage);
  probe.expect_bytes(object, 0, bytes, "after truncates down to 4097 and up again");
  // Sparse growth is not asked of every store; but a refusal must leave the object alone.
  constexpr std::uint64_t huge = std::uint64_t{1} << 40;
  const ProbeRequestPtr grow =
      probe.start([&](ProbeRequest& request) { probe.store().truncate(object, huge, request); });
  if (!probe.wait(grow)) return;
  const std::uint64_t expected = grow->error() ? 4 * kPage : huge;
  const auto seen = probe.stat(object).size_bytes;
  probe.expect(seen == expected,
               fmt::format("truncate to 2^40 answers \"{}\" and gives a size of {}",
                           grow->error().message(), seen));
  probe.truncate(object, 0);
}

void cuts_do_what_they_say(Probe& probe) {
  const std::uint32_t supported = probe.store().traits().cuts;
  for (const Cut kind : kAllCuts) {
    const ObjectHandle object = probe.open(cut_name(kind));
    auto bytes = probe_pattern(8 * kPage, 14);
    probe.write(object, 0, bytes);
    const ProbeRequestPtr cut = probe.start(
        [&](IoDone& done) { probe.store().cut(object, kind, 2 * kPage, 3 * kPage, done); });
    if (!probe.wait(cut)) return;
    const bool claimed = (supported & (1u << static_cast<unsigned>(kind))) != 0;
    if (!claimed) {
      probe.expect(static_cast<bool>(cut->error()),
                   fmt::format("{} succeeds, though traits().cuts denies it", cut_name(kind)));
      continue;
    }
    probe.expect(!cut->error(), fmt::format("{}, which traits().cuts claims: {}", cut_name(kind),
                                            cut->error().message()));
    const auto at = bytes.begin() + 2 * kPage;
    switch (kind) {
      case Cut::kPunch:
      case Cut::kZero:
        std::fill_n(at, 3 * kPage, std::byte{0});
        break;
      case Cut::kInsert:
        bytes.insert(at, 3 * kPage, std::byte{0});
        break;
      case Cut::kCollapse:
        bytes.erase(at, at + 3 * kPage);
        break;
    }
    const auto seen = probe.stat(object).size_bytes;
    probe.expect(seen == bytes.size(), fmt::format("after {} the size is {}, should be {}",
                                                   cut_name(kind), seen, bytes.size()));
    probe.expect_bytes(object, 0, bytes, fmt::format("after {} of [8192, 20480)", cut_name(kind)));
  }
}

// One cut that the store claims to have, of an object of 8 pages. Where it must be refused it must have changed
// nothing.
void expect_cut(Probe& probe, Cut kind, std::uint64_t offset, std::uint64_t length, bool refused) {
  if ((probe.store().traits().cuts & (1u << static_cast<unsigned>(kind))) == 0) return;
  const ObjectHandle object = probe.open(fmt::format("{}-{}", cut_name(kind), offset));
  auto bytes = probe_pattern(8 * kPage, 16);
  probe.write(object, 0, bytes);
  const ProbeRequestPtr cut =
      probe.start([&](IoDone& done) { probe.store().cut(object, kind, offset, length, done); });
  if (!probe.wait(cut)) return;
  const std::string what = fmt::format("{} of {} bytes at {} in an object of {}", cut_name(kind),
                                       length, offset, bytes.size());
  if (refused) {
    probe.expect(static_cast<bool>(cut->error()), what + " succeeds");
  } else {
    probe.expect(!cut->error(), what + ": " + cut->error().message());
    const std::size_t end = std::min<std::size_t>(offset + length, bytes.size());
    for (std::size_t at = offset; at < end; ++at) bytes[at] = std::byte{0};
  }
  const auto seen = probe.stat(object).size_bytes;
  probe.expect(seen == bytes.size(), fmt::format("{}: the size is {} afterwards", what, seen));
  probe.expect_bytes(object, 0, bytes, "after " + what);
}

// What the cache relies on: it rounds and clips nothing for the store.
void cuts_end_where_they_should(Probe& probe) {
  for (const Cut kind : {Cut::kPunch, Cut::kZero}) {
    expect_cut(probe, kind, 7 * kPage, 8 * kPage, false);  // over the end: the size stays
    expect_cut(probe, kind, 16 * kPage, kPage, false);
  }
  expect_cut(probe, Cut::kInsert, 100, kPage, true);
  expect_cut(probe, Cut::kInsert, 9 * kPage, kPage, true);
  expect_cut(probe, Cut::kCollapse, 100, kPage, true);
  expect_cut(probe, Cut::kCollapse, 7 * kPage, 2 * kPage, true);
}

void reserving_changes_nothing(Probe& probe) {
  const ObjectHandle object = probe.open();
  const auto bytes = probe_pattern(2 * kPage, 15);
  probe.write(object, 0, bytes);
  const ProbeRequestPtr reserve =
      probe.start([&](IoDone& done) { probe.store().reserve(object, 0, 64 * kPage, done); });
  if (!probe.wait(reserve)) return;
  if (probe.store().traits().reserves_space) {
    probe.expect(!reserve->error(),
                 "reserve, which traits() claims: " + reserve->error().message());
  }
  probe.expect(probe.stat(object).size_bytes == bytes.size(), "reserve changed the size");
  probe.expect_bytes(object, 0, bytes, "after reserve");
}

void time_stamps_are_kept(Probe& probe) {
  const ObjectHandle object = probe.open();
  if (!probe.good()) return;
  const TimeSpec atime{1'000'000'000, 1000};
  const TimeSpec mtime{1'100'000'000, 2000};
  const Status set = probe.store().set_times(object, &atime, mtime);
  if (!probe.store().traits().sets_times) {
    probe.expect(!set.ok(), "set_times succeeds, though traits() denies it");
    return;
  }
  if (!probe.expect(set.ok(), "set_times, which traits() claims, fails")) return;
  const ObjectStat stat = probe.stat(object);
  probe.expect(stat.atime == atime && stat.mtime == mtime, "stat shows other stamps than were set");
  const TimeSpec later{1'200'000'000, 3000};
  probe.expect(probe.store().set_times(object, nullptr, later).ok(),
               "set_times without atime fails");
  probe.expect(probe.stat(object).atime == atime, "set_times without atime changed it");
  probe.expect(probe.stat(object).mtime == later, "set_times without atime did not set mtime");
}

const char* nothing(const ConformanceOptions&) {
  return nullptr;
}
const char* needs_crash(const ConformanceOptions& options) {
  return options.crash ? nullptr : "ConformanceOptions::crash is not set";
}
const char* needs_link(const ConformanceOptions& options) {
  return options.link ? nullptr : "ConformanceOptions::link is not set";
}
const char* needs_fail_writes(const ConformanceOptions& options) {
  return options.fail_writes ? nullptr : "ConformanceOptions::fail_writes is not set";
}

constexpr ConformanceCheck kChecks[] = {
    {"answers-once", 1, answers_once, nothing},
    {"answers-without-a-lock", 1, answers_without_a_lock, nothing},
    {"read-sees-completed-writes", 2, read_sees_completed_writes, nothing},
    {"requests-together", 2, requests_together, nothing},
    {"reads-end-with-the-object", 3, reads_end_with_the_object, nothing},
    {"holes-read-as-zeros", 3, holes_read_as_zeros, nothing},
    {"writes-move-all-bytes", 4, writes_move_all_bytes, nothing},
    {"writes-touch-only-their-range", 4, writes_touch_only_their_range, nothing},
    {"failed-writes-touch-only-their-range", 4, failed_writes_touch_only_their_range,
     needs_fail_writes},
    {"writes-grow-to-their-end", 5, writes_grow_to_their_end, nothing},
    {"synced-bytes-survive", 6, synced_bytes_survive, needs_crash},
    {"ids-tell-objects-apart", 7, ids_tell_objects_apart, nothing},
    {"links-have-one-id", 7, links_have_one_id, needs_link},
    {"traits-are-possible", 0, traits_are_possible, nothing},
    {"opens-as-asked", 0, opens_as_asked, nothing},
    {"truncate-sets-the-size", 0, truncate_sets_the_size, nothing},
    {"cuts-do-what-they-say", 0, cuts_do_what_they_say, nothing},
    {"cuts-end-where-they-should", 0, cuts_end_where_they_should, nothing},
    {"reserving-changes-nothing", 0, reserving_changes_nothing, nothing},
    {"space-is-told-page-by-page", 0, space_is_told_page_by_page, nothing},
    {"time-stamps-are-kept", 0, time_stamps_are_kept, nothing},
};

}  // namespace

std::span<const ConformanceCheck> conformance_checks() {
  return kChecks;
}

}  // namespace quire::store
