// The Runner's steps that change what a file has room for: truncate, allocate, punch, zero, insert, collapse.
#include <algorithm>

#include "model/runner.h"
#include "model/step.h"

namespace quire::model {

void Runner::truncate(const Operation& op) {
  TestedHandle& handle = this->handle(op);
  const CallOptions call = call_options(op);
  std::error_code error;
  if (op.submitted) {
    error = submit(handle.file, TruncateOp{op.offset}, call).code();
  } else {
    error = handle.file.truncate(op.offset, call).code();
  }
  ended(error);

  if (op.submitted && left(op, error) && !world_.script().saw(StoreOp::kTruncate)) return;
  if (!has(handle.flags, OpenFlags::kWrite)) {
    return expect(is(error, std::errc::bad_file_descriptor), "truncate of a read-only handle");
  }
  if (op.offset > kMax) return expect(is(error, std::errc::file_too_large), "truncate too far");
  if (error) {
    // Whom it is left by, it is finished without, once the store has been asked.
    const bool done = left(op, error) && world_.script().saw(StoreOp::kTruncate);
    expect(left(op, error) ||
               (world_.script().struck(StoreOp::kTruncate) && world_.script().gave(error)),
           "truncate failed");
    if (!done) return;
  } else {
    expect(!world_.script().failed_own(StoreOp::kTruncate), "truncate hides an error");
  }
  model(op).set_size(op.offset);
  note_change(file(op));
}

void Runner::allocate(const Operation& op) {
  TestedHandle& handle = this->handle(op);
  const std::error_code error =
      handle.file.allocate(op.offset, op.length, op.keep_size, call_options(op)).code();
  ended(error);

  if (!has(handle.flags, OpenFlags::kWrite)) {
    return expect(is(error, std::errc::bad_file_descriptor), "allocate on a read-only handle");
  }
  if (op.length == 0 || op.offset + op.length < op.offset) {
    return expect(is(error, std::errc::invalid_argument), "allocate nothing");
  }
  const std::uint64_t end = op.offset + op.length;
  if (end > kMax) return expect(is(error, std::errc::file_too_large), "allocate too far");
  if (error) {
    const bool done = left(op, error) && world_.script().saw(StoreOp::kReserve);
    expect(left(op, error) || world_.script().gave(error), "allocate failed");
    if (!done) return;
  }
  if (!op.keep_size && end > model(op).size()) model(op).set_size(end);
  note_change(file(op));
}

void Runner::cut(const Operation& op) {
  TestedHandle& handle = this->handle(op);
  const CallOptions call = call_options(op);
  std::error_code error;
  switch (op.cut) {
    case Cut::kPunch:
      error = handle.file.punch(op.offset, op.length, call).code();
      break;
    case Cut::kZero:
      error = handle.file.zero(op.offset, op.length, op.keep_size, call).code();
      break;
    case Cut::kInsert:
      error = handle.file.insert(op.offset, op.length, call).code();
      break;
    case Cut::kCollapse:
      error = handle.file.collapse(op.offset, op.length, call).code();
      break;
  }
  ended(error);

  if (!has(handle.flags, OpenFlags::kWrite)) {
    return expect(is(error, std::errc::bad_file_descriptor), "cut of a read-only handle");
  }
  const std::uint64_t end = op.offset + op.length;
  if (op.length == 0 || end < op.offset) {
    return expect(is(error, std::errc::invalid_argument), "cut of nothing");
  }
  if (end > kMax) return expect(is(error, std::errc::file_too_large), "cut too far");
  const std::uint64_t size = model(op).size();
  if (op.cut == Cut::kPunch || op.cut == Cut::kZero) {
    const bool grows = op.cut == Cut::kZero && !op.keep_size && end > size;
    if (error) {
      expect(left(op, error) || world_.script().gave(error), "cut failed");
      const auto now = handle.file.stat();
      expect(now.ok() && (now->size_bytes == size || (grows && now->size_bytes == end)),
             "the size after a cut that failed");
      see_cleared(op);
      if (now->size_bytes != size) model(op).set_size(end);
      // An edge may have been cleared, or nothing.
      file(op).stamps = {};
      return;
    }
    expect(!world_.script().failed_own(StoreOp::kCut), "cut hides an error");
    model(op).clear(op.offset, end);
    if (grows) model(op).set_size(end);
    return note_change(file(op));
  }

  const bool inserts = op.cut == Cut::kInsert;
  const bool misplaced = op.offset % kPageBytes != 0 || op.length % kPageBytes != 0 ||
                         op.offset >= size || (!inserts && end >= size);
  if (misplaced)
    return expect(is(error, std::errc::invalid_argument), "shift of what is not there");
  if (inserts && op.length > kMax - size) {
    return expect(is(error, std::errc::file_too_large), "insert too much");
  }
  if (error) {
    const bool sick = world_.script().gave(error) || may_fail_to_sync(handle.number, error);
    expect(left(op, error) || sick, "shift failed");
    if (!left(op, error) || !world_.script().saw(StoreOp::kCut)) return;
  }
  expect(!world_.script().failed_own(StoreOp::kWrite), "shift hides an error");
  if (inserts) {
    model(op).insert(page_of(op.offset), op.length / kPageBytes);
  } else {
    model(op).collapse(page_of(op.offset), op.length / kPageBytes);
  }
  note_change(file(op));
}

void Runner::see_cleared(const Operation& op) {
  ModelFile& model = this->model(op);
  const std::uint64_t end = op.offset + op.length;
  auto reader = world_.cache().open(kShapes[handle(op).number].path, OpenFlags::kRead);
  expect(reader.ok(), "open failed");
  for (std::uint64_t index = page_of(op.offset); index < pages_up_to(end); ++index) {
    const std::uint64_t from = std::max(op.offset, index * kPageBytes);
    const std::uint64_t to = std::min({end, index * kPageBytes + kPageBytes, model.size()});
    if (from >= to) return;
    Bytes bytes(to - from);
    const auto got = reader->read(bytes, from);
    expect(got.ok() && *got == bytes.size(), "reading what was cut");
    const bool cleared = std::all_of(bytes.begin(), bytes.end(),
                                     [](std::byte byte) { return byte == std::byte{0}; });
    if (cleared) model.see_cleared(from, to);
    const std::string wrong = model.check_read(from, bytes);
    expect(wrong.empty(), wrong);
  }
}

}  // namespace quire::model
