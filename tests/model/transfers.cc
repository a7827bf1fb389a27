// The Runner's steps that move bytes: read, write, append.
#include <algorithm>
#include <span>
#include <vector>

#include "model/runner.h"
#include "model/step.h"

namespace quire::model {
namespace {

// Cuts a buffer into pieces of uneven sizes, some of them empty.
template <class T>
std::vector<std::span<T>> pieces_of(std::span<T> bytes, unsigned pieces, std::uint64_t pattern) {
  main_job::Rng rng{pattern, 1};
  std::vector<std::span<T>> result;
  for (; pieces > 1; --pieces) {
    const std::size_t n = static_cast<std::size_t>(rng.below(bytes.size() + 1));
    result.push_back(bytes.first(n));
    bytes = bytes.subspan(n);
  }
  result.push_back(bytes);
  return result;
}

}  // namespace

void Runner::read(const Operation& op) {
  Bytes buffer(op.length);
  TestedHandle& handle = this->handle(op);
  const CallOptions call = call_options(op.way);
  Result<std::size_t> got = std::size_t{0};
  if (op.submitted) {
    got = submit(handle.file, ReadOp{buffer, op.offset}, call);
  } else if (op.pieces > 1) {
    const auto pieces = pieces_of(std::span(buffer), op.pieces, op.pattern);
    got = handle.file.readv(pieces, op.offset, call);
  } else {
    got = handle.file.read(buffer, op.offset, call);
  }
  ended(got.code(), got.ok() ? *got : 0);

  // A submitted call whose time is over before its turn ends then.
  if (op.submitted && left(op, got.code())) return;
  if (!has(handle.flags, OpenFlags::kRead)) {
    return expect(is(got.code(), std::errc::bad_file_descriptor), "read of a write-only handle");
  }
  if (op.offset > kMax || op.length > kMax - op.offset) {
    // A vectored read finds out when it is there: the pieces before are read.
    if (op.pieces > 1 && got.ok()) {
      const std::string wrong = model(op).check_read(op.offset, std::span(buffer).first(*got));
      return expect(wrong.empty() && *got <= model(op).readable(op.offset, op.length), wrong);
    }
    return expect(is(got.code(), std::errc::invalid_argument) ||
                      (op.pieces > 1 && (left(op, got.code()) || world_.script().gave(got.code()))),
                  "read past the largest file");
  }
  const bool troubled = op.way != Way::kNone || world_.script().struck(StoreOp::kRead);
  if (!got.ok()) {
    return expect(left(op, got.code()) || world_.script().gave(got.code()), "read failed");
  }
  const std::uint64_t readable = model(op).readable(op.offset, op.length);
  expect(*got <= readable, "read past the end");
  expect(*got == readable || troubled, "read came back short");
  const std::string wrong = model(op).check_read(op.offset, std::span(buffer).first(*got));
  expect(wrong.empty(), wrong);
}

void Runner::write(const Operation& op) {
  const Bytes data = pattern_bytes(op.pattern, op.length);
  const std::span<const std::byte> bytes(data);
  TestedHandle& handle = this->handle(op);
  const CallOptions call = call_options(op.way);
  const bool appends = has(handle.flags, OpenFlags::kAppend) || op.kind == Kind::kAppend;
  const std::uint64_t offset = appends ? model(op).size() : op.offset;
  Result<std::size_t> put = std::size_t{0};
  if (op.kind == Kind::kAppend) {
    put = submit(handle.file, AppendOp{bytes}, call);
  } else if (op.submitted) {
    put = submit(handle.file, WriteOp{bytes, op.offset}, call);
  } else if (op.pieces > 1) {
    put = handle.file.writev(pieces_of(bytes, op.pieces, op.pattern), op.offset, call);
  } else {
    put = handle.file.write(bytes, op.offset, call);
  }
  ended(put.code(), put.ok() ? *put : 0);

  if (op.submitted && left(op, put.code())) return;  // as in read()
  if (!has(handle.flags, OpenFlags::kWrite)) {
    return expect(is(put.code(), std::errc::bad_file_descriptor), "write of a read-only handle");
  }
  if (offset > kMax || (offset == kMax && op.length > 0)) {
    return expect(is(put.code(), std::errc::file_too_large), "write past the largest file");
  }
  const std::uint64_t most = std::min(op.length, kMax - offset);
  const bool all = has(handle.flags, OpenFlags::kSync);
  const bool syncs = all || has(handle.flags, OpenFlags::kDataSync);
  if (!put.ok()) {
    if (!syncs) {
      const bool read_failed =
          world_.script().struck(StoreOp::kRead) && world_.script().gave(put.code());
      return expect(left(op, put.code()) || read_failed, "write failed");
    }
    // It is the sync that failed: nothing else could.
    expect(may_fail_to_sync(handle.number, put.code()), "synced write failed");
    model(op).write(offset, bytes.first(most));
    model(op).sync_tried();
    return note_change(file(op));
  }
  expect(*put <= most, "wrote too much");
  expect(*put == most || op.way != Way::kNone || world_.script().struck(StoreOp::kRead),
         "wrote too little");
  if (*put == 0) return;
  model(op).write(offset, bytes.first(*put));
  note_change(file(op));
  if (!syncs) return;
  model(op).sync_tried();
  const std::uint64_t first = page_of(offset);
  const std::uint64_t last = page_of(offset + *put - 1);
  expect(!world_.script().failed_own(StoreOp::kSync) && !model(op).is_lost(first, last),
         "a synced write hides that the sync failed");
  world_.check_stored(handle.number, first, last, false);
  model(op).synced(first, last);
}

void Runner::append(const Operation& op) {
  const Bytes data = pattern_bytes(op.pattern, op.length);
  const std::span<const std::byte> bytes(data);
  TestedHandle& handle = this->handle(op);
  const std::uint64_t size = model(op).size();
  const auto at = handle.file.append(bytes, call_options(op.way));
  ended(at.code(), at.ok() ? *at : 0);

  if (!has(handle.flags, OpenFlags::kWrite)) {
    return expect(is(at.code(), std::errc::bad_file_descriptor), "append to a read-only handle");
  }
  if (at.ok()) {
    expect(*at == size, "appended elsewhere");
    expect(op.length <= kMax - size, "appended past the largest file");
  }
  const bool syncs = has(handle.flags, OpenFlags::kSync) || has(handle.flags, OpenFlags::kDataSync);
  std::uint64_t stayed = op.length;
  if (!at.ok()) {
    // What came in before the failure stays, and the size tells how much that is.
    const auto now = handle.file.stat();
    expect(now.ok() && now->size_bytes >= size && now->size_bytes - size <= op.length,
           "the size after an append that failed");
    stayed = now->size_bytes - size;
    if (is(at.code(), std::errc::file_too_large)) {
      expect(op.length > kMax - size && stayed == kMax - size, "append cut by the largest size");
    } else if (syncs) {
      expect(may_fail_to_sync(handle.number, at.code()), "synced append failed");
      expect(stayed == std::min(op.length, kMax - size), "synced append in part");
    } else {
      expect(left(op, at.code()) || world_.script().gave(at.code()), "append failed");
      expect(stayed == 0 || (size + stayed) % kPageBytes == 0, "append stopped within a page");
    }
  }
  if (stayed == 0) return;
  model(op).write(size, bytes.first(stayed));
  note_change(file(op));
  if (syncs) model(op).sync_tried();
  if (!syncs || !at.ok()) return;
  const std::uint64_t first = page_of(size);
  const std::uint64_t last = page_of(size + stayed - 1);
  expect(!world_.script().failed_own(StoreOp::kSync) && !model(op).is_lost(first, last),
         "a synced append hides that the sync failed");
  world_.check_stored(handle.number, first, last, false);
  model(op).synced(first, last);
}

}  // namespace quire::model
