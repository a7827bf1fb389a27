// The Runner's steps that are about mappings: how they come and go, loads and stores, reads and writes whose buffer
// lies in one.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>

#include "model/access.h"
#include "model/runner.h"
#include "model/step.h"
#include "quire/mapping.h"

namespace quire::model {
namespace {

using State = TestedMapping::Page;
using SteadyClock = std::chrono::steady_clock;

// A page that failed may fail for so long without the store being asked again. Generous: the machine is shared.
constexpr std::chrono::seconds kFailedMax{5};

bool all_pages(const TestedMapping& mapping, const Operation& op, State least) {
  const std::size_t last = page_of(op.offset + op.length - 1);
  for (std::size_t place = page_of(op.offset); place <= last; ++place) {
    if (mapping.pages[place] < least) return false;
  }
  return true;
}

// Calls part(offset, bytes) for each page of the mapping that [offset, offset + length) touches.
template <class Part>
void for_each_page(std::uint64_t offset, std::uint64_t length, Part part) {
  for (std::uint64_t at = 0; at < length;) {
    const std::uint64_t bytes = std::min(length - at, kPageBytes - (offset + at) % kPageBytes);
    part(static_cast<std::size_t>(offset + at), static_cast<std::size_t>(bytes));
    at += bytes;
  }
}

}  // namespace

void Runner::map(const Operation& op) {
  TestedHandle& handle = this->handle(op);
  auto made = handle.file.map(
      op.offset, op.length,
      {.access = op.access, .async_stores = op.async_stores, .in_thread = op.in_thread});
  ended(made.code());
  if (op.length == 0 || op.offset % kPageBytes != 0) {
    return expect(is(made.code(), std::errc::invalid_argument), "mapped what is not aligned");
  }
  if (op.offset >= kMax || op.length > kMax - op.offset) {
    return expect(is(made.code(), std::errc::value_too_large), "mapped too much");
  }
  const bool writable = has(handle.flags, OpenFlags::kWrite);
  if (!has(handle.flags, OpenFlags::kRead) || (!writable && op.access == MapAccess::kReadWrite)) {
    return expect(is(made.code(), std::errc::permission_denied), "mapped what was not opened so");
  }
  const bool watches = op.async_stores && writable;
  if (watches && !world_.lets_stores_through()) {
    return expect(is(made.code(), std::errc::not_supported), "mapped what nobody would hear of");
  }
  if (World::maps_nothing()) {
    return expect(is(made.code(), std::errc::operation_not_permitted) ||
                      is(made.code(), std::errc::permission_denied) ||
                      is(made.code(), std::errc::function_not_supported),
                  "mapped without userfaultfd(2)");
  }
  if (pages_up_to(op.offset + op.length) > kMax / kPageBytes) {
    // No address space of the kernel's has the last page of the largest file.
    return expect(is(made.code(), std::errc::value_too_large) ||
                      is(made.code(), std::errc::not_enough_memory),
                  "mapped the very last page: " + made.code().message());
  }
  expect(made.ok(), "mapping failed: " + made.code().message());
  expect(made->size() == pages_up_to(op.length) * kPageBytes, "the mapping has another size");
  TestedMapping& mapping = this->mapping(op);
  mapping = {};
  mapping.mapping = std::move(*made);
  mapping.number = handle.number;
  mapping.first_page = page_of(op.offset);
  mapping.writable = writable;
  mapping.way = {.in_thread = op.in_thread, .async_stores = watches};
  mapping.pages.assign(pages_up_to(op.length),
                       op.access == MapAccess::kRead ? State::kRead : State::kReadWrite);
  if (watches) model(op).watch(mapping.first_page, page_of(op.offset + op.length - 1));
}

bool Runner::out_of_range(const Operation& op, std::error_code error) {
  const std::uint64_t size = mapping(op).pages.size() * kPageBytes;
  if (op.offset < size && op.length <= size - op.offset) return false;
  expect(is(error, std::errc::invalid_argument), "a range that is not the mapping's");
  return true;
}

void Runner::unmap(const Operation& op) {
  TestedMapping& mapping = this->mapping(op);
  const std::error_code error = mapping.mapping.unmap(op.offset, op.length).code();
  ended(error);
  if (out_of_range(op, error)) return;
  const std::size_t end =
      op.length == 0 ? mapping.pages.size() : pages_up_to(op.offset + op.length);
  for (std::size_t place = page_of(op.offset); place < end; ++place) {
    mapping.pages[place] = State::kUnmapped;
  }
  const bool gone = std::all_of(mapping.pages.begin(), mapping.pages.end(),
                                [](State page) { return page == State::kUnmapped; });
  expect(gone != mapping.mapping.is_mapped(), "parts of a mapping are counted wrong");
  if (!gone) return expect(!error, "unmapping a part failed");
  const unsigned number = mapping.number;
  // It was asked for the last time.
  if (mapping.may_store_unheard()) world_.file(number).stamps.known = false;
  mapping = {};
  // As close().
  ModelFile& model = world_.file(number).model;
  model.sync_tried();
  if (error) return expect(may_fail_to_sync(number, error), "unmapping failed");
  expect(!world_.script().failed_own(StoreOp::kWrite), "unmapping hides an error");
  if (!model.may_be_lost(0, kLastPage)) world_.check_stored(number, 0, kLastPage, true);
  model.flushed(0, kLastPage);
}

void Runner::protect(const Operation& op) {
  TestedMapping& mapping = this->mapping(op);
  const std::uint64_t size = mapping.pages.size() * kPageBytes;
  const bool inside = op.offset < size && op.length <= size - op.offset;
  Operation range = op;
  if (inside && op.length == 0) range.length = size - op.offset;
  if (inside && !all_pages(mapping, range, State::kRead)) return;
  const std::error_code error = mapping.mapping.protect(op.offset, op.length, op.access).code();
  ended(error);
  if (out_of_range(op, error)) return;
  if (op.access == MapAccess::kReadWrite && !mapping.writable) {
    return expect(is(error, std::errc::permission_denied), "stores to a file opened for reading");
  }
  expect(!error, "protecting failed");
  for_each_page(range.offset, range.length, [&](std::size_t at, std::size_t) {
    mapping.pages[page_of(at)] = op.access == MapAccess::kRead ? State::kRead : State::kReadWrite;
  });
}

void Runner::may_raise(const Operation& op, std::uint64_t page) {
  TestedMapping& mapping = this->mapping(op);
  const std::error_code why = mapping.mapping.last_error();
  const auto now = SteadyClock::now();
  if (why && world_.script().gave(why)) {
    // In the accessing thread the next access asks again.
    if (!mapping.way.in_thread) mapping.failed[page] = now;
    return;
  }
  const auto failed = mapping.failed.find(page);
  const bool still = failed != mapping.failed.end() && now - failed->second < kFailedMax;
  expect(why && still, fmt::format("SIGBUS at page {}: {}", page, why.message()));
}

bool Runner::load_part(const Operation& op, std::size_t offset, std::size_t bytes) {
  TestedMapping& mapping = this->mapping(op);
  const std::uint64_t page = mapping.first_page + page_of(offset);
  Bytes got(bytes);
  const Access access = model::load(mapping.mapping.data() + offset, got);
  if (page >= pages_up_to(mapped_file(op).model.size())) {
    expect(access.signal == SIGBUS && access.bytes == 0, "a load beyond the last page");
    return true;
  }
  expect(access.signal == 0 || access.signal == SIGBUS, "SIGSEGV at a load");
  if (access.signal != 0) {
    may_raise(op, page);
  } else {
    mapping.failed.erase(page);
  }
  if (mapping.way.async_stores) mapped_file(op).model.touch(page, page);
  const std::string wrong = mapped_file(op).model.check_load(
      mapping.first_page * kPageBytes + offset, std::span(got).first(access.bytes));
  expect(wrong.empty(), wrong);
  return access.signal == 0;
}

void Runner::note_stored(const TestedMapping& mapping, std::uint64_t page, bool for_certain) {
  TestedFile& file = world_.file(mapping.number);
  // A page that is clean cannot be stored into without the library.
  const bool first = !file.model.may_be_dirty(page, page);
  if (for_certain && first && !mapping.may_store_unheard()) return note_change(file);
  file.stamps.known = false;
}

bool Runner::store_part(const Operation& op, std::size_t offset, std::span<const std::byte> from) {
  TestedMapping& mapping = this->mapping(op);
  const std::uint64_t page = mapping.first_page + page_of(offset);
  ModelFile& model = mapped_file(op).model;
  const Access access = model::store(mapping.mapping.data() + offset, from);
  if (mapping.pages[page_of(offset)] == State::kRead) {
    expect(access.signal == SIGSEGV && access.bytes == 0, "a store to what is read-only");
    return true;
  }
  if (page >= pages_up_to(model.size())) {
    expect(access.signal == SIGBUS && access.bytes == 0, "a store beyond the last page");
    return true;
  }
  expect(access.signal == 0 || access.signal == SIGBUS, "SIGSEGV at a store");
  if (access.signal != 0) {
    may_raise(op, page);
  } else {
    mapping.failed.erase(page);
  }
  note_stored(mapping, page, access.bytes > 0);
  model.store(mapping.first_page * kPageBytes + offset, from.first(access.bytes));
  return access.signal == 0;
}

void Runner::retry(const Operation& op, std::size_t offset) {
  // Each time would take long.
  if (op.pattern % 8 != 0) return;
  const auto until = SteadyClock::now() + kFailedMax;
  const Bytes data = pattern_bytes(op.pattern, 1);
  const bool stores = op.kind == Kind::kStore;
  while (stores ? !store_part(op, offset, data) : !load_part(op, offset, 1)) {
    expect(SteadyClock::now() < until, "a page that failed fails for ever");
    std::this_thread::yield();
  }
}

void Runner::load(const Operation& op) {
  std::optional<std::size_t> failed;
  for_each_page(op.offset, op.length, [&](std::size_t at, std::size_t bytes) {
    if (mapping(op).pages[page_of(at)] == State::kUnmapped) return;
    if (!load_part(op, at, bytes)) failed = at;
  });
  ended(failed ? mapping(op).mapping.last_error() : std::error_code());
  if (failed) retry(op, *failed);
}

void Runner::store(const Operation& op) {
  const Bytes data = pattern_bytes(op.pattern, op.length);
  std::optional<std::size_t> failed;
  for_each_page(op.offset, op.length, [&](std::size_t at, std::size_t bytes) {
    if (mapping(op).pages[page_of(at)] == State::kUnmapped) return;
    if (!store_part(op, at, std::span(data).subspan(at - op.offset, bytes))) failed = at;
  });
  ended(failed ? mapping(op).mapping.last_error() : std::error_code());
  if (failed) retry(op, *failed);
}

void Runner::map_sync(const Operation& op) {
  TestedMapping& mapping = this->mapping(op);
  const std::error_code error = mapping.mapping.sync(op.offset, op.length, call_options(op)).code();
  ended(error);
  if (out_of_range(op, error)) return;
  ModelFile& model = mapped_file(op).model;
  model.sync_tried();
  if (error) {
    return expect(left(op, error) || may_fail_to_sync(mapping.number, error), "msync failed");
  }
  expect(
      !world_.script().failed_own(StoreOp::kWrite) && !world_.script().failed_own(StoreOp::kSync),
      "msync hides an error");
  const std::uint64_t end =
      op.length == 0 ? mapping.pages.size() * kPageBytes : op.offset + op.length;
  const std::uint64_t first = mapping.first_page + page_of(op.offset);
  const std::uint64_t last = mapping.first_page + page_of(end - 1);
  expect(!model.is_lost(first, last), "msync succeeds over lost pages");
  world_.check_stored(mapping.number, first, last, false);
  model.synced(first, last);
}

void Runner::map_advise(const Operation& op) {
  TestedMapping& mapping = this->mapping(op);
  const std::error_code error = mapping.mapping.advise(op.offset, op.length, op.advice).code();
  ended(error);
  if (out_of_range(op, error)) return;
  expect(!error, "advice about a mapping failed");
  if (op.advice != Advice::kSequential || !mapping.writable) return;
  // From now on pages may be dirty that nobody stored into; until they have been written back once more, whatever
  // advice comes next.
  mapping.stores_ahead = true;
  mapped_file(op).model.watch(mapping.first_page, mapping.first_page + mapping.pages.size() - 1);
}

void Runner::populate(const Operation& op) {
  TestedMapping& mapping = this->mapping(op);
  const std::uint64_t size = mapping.pages.size() * kPageBytes;
  const bool inside = op.offset < size && op.length <= size - op.offset && op.length > 0;
  if (inside && !all_pages(mapping, op, State::kRead)) return;
  if (!inside && op.offset < size && op.length <= size - op.offset) return;
  const bool stores = op.access == MapAccess::kReadWrite;
  ModelFile& model = mapped_file(op).model;
  const std::uint64_t first = mapping.first_page + page_of(op.offset);
  const std::uint64_t last = mapping.first_page + page_of(op.offset + op.length - 1);
  const std::error_code error =
      mapping.mapping.populate(op.offset, op.length, op.access, call_options(op)).code();
  ended(error);
  if (out_of_range(op, error)) return;
  if (stores && !mapping.writable) {
    return expect(is(error, std::errc::not_supported), "populated for stores what is read-only");
  }
  if (stores && !all_pages(mapping, op, State::kReadWrite)) {
    return expect(is(error, std::errc::permission_denied),
                  "populated for stores what is protected");
  }
  if (stores) {
    mapped_file(op).stamps.known = false;
    model.touch(first, last);
  }
  const bool beyond = last >= pages_up_to(model.size());
  if (!error) return expect(!beyond, "populated what is beyond the end");
  expect(left(op, error) || world_.script().gave(error) ||
             (beyond && is(error, std::errc::bad_address)),
         "populating failed");
}

void Runner::read_into(const Operation& op) {
  TestedMapping& mapping = this->mapping(op);
  TestedHandle& handle = this->handle(op);
  if (op.length == 0 || !handle.file.is_open() || !has(handle.flags, OpenFlags::kRead)) return;
  if (!all_pages(mapping, op, State::kReadWrite)) return;
  const bool direct = is_direct(op, handle.flags);
  ModelFile& source = model(op);
  ModelFile& target = mapped_file(op).model;
  const std::uint64_t to = mapping.first_page * kPageBytes + op.offset;
  std::uint64_t from = op.at;
  // Partly onto itself has no meaning that can be told.
  const bool meets =
      handle.number == mapping.number && from < to + op.length && to < from + op.length;
  if (meets) from = to;
  if (op.length > kMax || from > kMax - op.length) return;
  if (direct && (from % world_.alignment_bytes() != 0 ||
                 op.length % world_.alignment_bytes() != 0 || source.may_be_lost(0, kLastPage))) {
    return;
  }
  const std::uint64_t end = pages_up_to(target.size()) * kPageBytes;
  const std::uint64_t room = to < end ? std::min(op.length, end - to) : 0;
  const std::uint64_t readable = source.readable(from, op.length);
  const std::uint64_t expected = std::min(readable, room);
  const auto got =
      handle.file.read({mapping.mapping.data() + op.offset, op.length}, from, {.path = op.path});
  ended(got.code(), got.ok() ? *got : 0);
  if (direct && is(got.code(), std::errc::invalid_argument)) {
    return expect(op.offset % world_.alignment_bytes() != 0, "direct read into a mapping");
  }
  if (readable > 0 && expected == 0) {
    return expect(is(got.code(), std::errc::bad_address), "read into what is beyond the end");
  }
  expect(got.ok() && *got == expected,
         fmt::format("read into a mapping: {} bytes, not {}: {}", got.ok() ? *got : 0, expected,
                     got.code().message()));
  if (expected == 0) return;
  Bytes bytes(expected);
  const Access access = model::load(mapping.mapping.data() + op.offset, bytes);
  expect(access.signal == 0, "what was read into a mapping cannot be loaded");
  const auto kept = static_cast<std::size_t>(target.readable(to, expected));
  const std::string wrong = source.check_read(from, std::span(bytes).first(kept));
  expect(wrong.empty(), wrong);
  for (std::uint64_t page = page_of(to); page <= page_of(to + expected - 1); ++page) {
    note_stored(mapping, page, true);
    mapping.failed.erase(page);
  }
  target.store(to, bytes);
}

void Runner::write_from(const Operation& op) {
  TestedMapping& mapping = this->mapping(op);
  TestedHandle& handle = this->handle(op);
  if (!handle.file.is_open() || !has(handle.flags, OpenFlags::kWrite)) return;
  if (has(handle.flags, OpenFlags::kSync) || has(handle.flags, OpenFlags::kDataSync)) return;
  if (op.length == 0 || !all_pages(mapping, op, State::kRead)) return;
  const bool direct = is_direct(op, handle.flags);
  ModelFile& source = mapped_file(op).model;
  ModelFile& target = model(op);
  if (source.may_be_lost(0, kLastPage) || (direct && target.may_be_lost(0, kLastPage))) return;
  const std::uint64_t alignment = direct ? world_.alignment_bytes() : 1;
  const std::uint64_t from = mapping.first_page * kPageBytes + op.offset;
  const bool same_file = handle.number == mapping.number;
  const bool appends = has(handle.flags, OpenFlags::kAppend);
  std::uint64_t length = op.length;
  std::uint64_t end = pages_up_to(source.size()) * kPageBytes;
  // What lies behind the end is one of two things; and it moves while the file grows.
  if (source.has_behind() || same_file) {
    end = source.size();
    if (from >= end) return;
    length = std::min(length, end - from) / alignment * alignment;
    if (length == 0) return;
  }
  std::uint64_t to = appends ? target.size() : op.at;
  const bool meets = same_file && from < to + length && to < from + length;
  if (meets && !appends) to = from;
  if (to > kMax || length > kMax - to) return;
  if (direct && (to % alignment != 0 || length % alignment != 0)) return;
  std::uint64_t expected = from < end ? std::min(length, end - from) / alignment * alignment : 0;
  Bytes data(expected);
  for_each_page(from, expected, [&](std::size_t at, std::size_t bytes) {
    const Page& page = bytes_of(source.page(page_of(at)));
    std::copy_n(page.begin() + static_cast<std::ptrdiff_t>(at % kPageBytes), bytes,
                data.begin() + static_cast<std::ptrdiff_t>(at - from));
  });
  const auto put =
      handle.file.write(std::span<const std::byte>(mapping.mapping.data() + op.offset, length), to,
                        {.path = op.path});
  ended(put.code(), put.ok() ? *put : 0);
  if (direct && is(put.code(), std::errc::invalid_argument)) {
    return expect(op.offset % alignment != 0, "direct write from a mapping");
  }
  if (expected == 0) {
    file(op).stamps.known = false;
    return expect(is(put.code(), std::errc::bad_address), "wrote what is beyond the end");
  }
  expect(put.ok() && *put == expected,
         fmt::format("write from a mapping: {} bytes, not {}: {}", put.ok() ? *put : 0, expected,
                     put.code().message()));
  target.write(to, data);
  note_change(file(op));
  if (direct) passed_by(op, to, expected);
}

}  // namespace quire::model
