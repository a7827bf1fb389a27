// The Runner's steps that move bytes: read, write, append, through the cache and past it.
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "model/runner.h"
#include "model/step.h"

namespace quire::model {
namespace {

// So many bytes of what was to be written may be what was there before.
constexpr std::size_t kByChance = 8;

// The caller's memory: where every store takes it, or a byte beside.
class Buffer {
 public:
  Buffer(std::size_t bytes, bool misplaced) : memory_(bytes + kPageBytes), bytes_(bytes) {
    const auto in_page = reinterpret_cast<std::uintptr_t>(memory_.data()) % kPageBytes;
    begin_ =
        kPageBytes - (in_page != 0 ? in_page : kPageBytes) + (misplaced && in_page != 1 ? 1 : 0);
  }
  std::span<std::byte> bytes() { return std::span(memory_).subspan(begin_, bytes_); }

 private:
  std::vector<std::byte> memory_;
  std::size_t begin_ = 0;
  std::size_t bytes_;
};

// Cuts a buffer into pieces of uneven sizes, some of them empty; as a rule at multiples of `alignment`.
template <class T>
std::vector<std::span<T>> pieces_of(std::span<T> bytes, const Operation& op,
                                    std::uint64_t alignment) {
  main_job::Rng rng{op.pattern, 1};
  if (rng.one_in(16)) alignment = 1;
  std::vector<std::span<T>> result;
  for (unsigned pieces = op.pieces; pieces > 1; --pieces) {
    std::size_t n = static_cast<std::size_t>(rng.below(bytes.size() + 1));
    n -= n % alignment;
    result.push_back(bytes.first(n));
    bytes = bytes.subspan(n);
  }
  result.push_back(bytes);
  return result;
}

}  // namespace

template <class Byte>
bool Runner::misaligned(const Operation& op, std::uint64_t offset,
                        std::span<const std::span<Byte>> buffers) const {
  const std::uint64_t alignment = world_.alignment_bytes();
  if (offset % alignment != 0) return true;
  return std::any_of(buffers.begin(), buffers.end(), [&](const std::span<Byte>& buffer) {
    // What is copied may lie anywhere.
    const bool copied = op.way != Way::kNone;
    const auto place = reinterpret_cast<std::uintptr_t>(buffer.data());
    return buffer.size() % alignment != 0 || (!copied && place % alignment != 0);
  });
}

bool Runner::may_fail_directly(const Operation& op, std::error_code error) {
  if (left(op, error) || world_.script().gave(error)) return true;
  // What failed syncs were about cannot be written again by who has the file open for reading only.
  return is(error, std::errc::io_error) && model(op).may_be_lost(0, kLastPage);
}

std::size_t Runner::arrived(const Operation& op, std::uint64_t offset,
                            std::span<const std::byte> data) {
  // Past the cache too: so it waits for requests that were left behind.
  auto reader = world_.cache().open(kShapes[handle(op).number].path, OpenFlags::kRead);
  expect(reader.ok(), "open failed");
  Buffer memory(data.size(), false);
  const auto got = reader->read(memory.bytes(), offset, {.path = IoPath::kDirect});
  expect(got.ok(), "reading what was written directly");
  const auto bytes = memory.bytes().first(*got);
  const auto end = std::mismatch(bytes.begin(), bytes.end(), data.begin()).first;
  const auto count = static_cast<std::size_t>(end - bytes.begin());
  if (count == data.size()) return count;
  // Pieces end where pages do. A byte more may be what was there before.
  const std::uint64_t whole = (offset + count) / kPageBytes * kPageBytes;
  return whole > offset ? static_cast<std::size_t>(whole - offset) : 0;
}

void Runner::passed_by(const Operation& op, std::uint64_t offset, std::size_t bytes) {
  const std::uint64_t first = page_of(offset);
  const std::uint64_t last = page_of(offset + bytes - 1);
  if (model(op).may_be_lost(0, kLastPage)) return;
  // What was stored in the middle may be there already; the model hears of it when this has ended.
  if (!stored_meanwhile()) world_.check_stored(handle(op).number, first, last, false);
  model(op).flushed(first, last);
}

void Runner::read(const Operation& op) {
  Buffer memory(op.length, op.misplaced);
  const std::span<std::byte> buffer = memory.bytes();
  TestedHandle& handle = this->handle(op);
  const bool direct = is_direct(op, handle.flags);
  const CallOptions call = call_options(op);
  const auto pieces = pieces_of(buffer, op, direct ? world_.alignment_bytes() : 1);
  Result<std::size_t> got = std::size_t{0};
  if (op.submitted) {
    got = submit(handle.file, ReadOp{buffer, op.offset}, call);
  } else if (op.pieces > 1) {
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
      const std::string wrong = model(op).check_read(op.offset, buffer.first(*got));
      return expect(wrong.empty() && *got <= model(op).readable(op.offset, op.length), wrong);
    }
    return expect(is(got.code(), std::errc::invalid_argument) ||
                      (op.pieces > 1 && (left(op, got.code()) || world_.script().gave(got.code()))),
                  "read past the largest file");
  }
  if (direct && misaligned<std::byte>(op, op.offset, pieces)) {
    return expect(is(got.code(), std::errc::invalid_argument),
                  "direct read of what is not aligned");
  }
  const bool flush_failed = direct && world_.script().struck(StoreOp::kWrite);
  const bool troubled =
      op.way != Way::kNone || world_.script().struck(StoreOp::kRead) || flush_failed;
  if (!got.ok()) {
    if (direct) return expect(may_fail_directly(op, got.code()), "direct read failed");
    return expect(left(op, got.code()) || world_.script().gave(got.code()), "read failed");
  }
  const std::uint64_t readable = model(op).readable(op.offset, op.length);
  expect(*got <= readable, "read past the end");
  expect(*got == readable || troubled, "read came back short");
  const std::string wrong = model(op).check_read(op.offset, buffer.first(*got));
  expect(wrong.empty(), wrong);
}

void Runner::write(const Operation& op) {
  Buffer memory(op.length, op.misplaced);
  pattern_bytes(op.pattern, memory.bytes());
  const std::span<const std::byte> bytes = memory.bytes();
  TestedHandle& handle = this->handle(op);
  const bool direct = is_direct(op, handle.flags);
  const std::uint64_t alignment = direct ? world_.alignment_bytes() : 1;
  const CallOptions call = call_options(op);
  const auto pieces = pieces_of(bytes, op, alignment);
  const bool appends = has(handle.flags, OpenFlags::kAppend) || op.kind == Kind::kAppend;
  const std::uint64_t offset = appends ? model(op).size() : op.offset;
  Result<std::size_t> put = std::size_t{0};
  if (op.kind == Kind::kAppend) {
    put = submit(handle.file, AppendOp{bytes}, call);
  } else if (op.submitted) {
    put = submit(handle.file, WriteOp{bytes, op.offset}, call);
  } else if (op.pieces > 1) {
    put = handle.file.writev(pieces, op.offset, call);
  } else {
    put = handle.file.write(bytes, op.offset, call);
  }
  ended(put.code(), put.ok() ? *put : 0);

  if (op.submitted && left(op, put.code())) {
    // As in read(); but a direct one may have begun, and goes on without its caller.
    const bool taken = direct && has(handle.flags, OpenFlags::kWrite) && offset <= kMax &&
                       !misaligned<const std::byte>(op, offset, pieces);
    if (!taken) return;
    const std::uint64_t most = std::min(op.length, (kMax - offset) / alignment * alignment);
    model(op).write(offset, bytes.first(arrived(op, offset, bytes.first(most))));
    file(op).stamps = {};
    return;
  }
  if (!has(handle.flags, OpenFlags::kWrite)) {
    return expect(is(put.code(), std::errc::bad_file_descriptor), "write of a read-only handle");
  }
  // Under `inode` it may have to wait before that is looked at.
  const bool too_large = is(put.code(), std::errc::file_too_large) || left(op, put.code());
  if (offset > kMax) return expect(too_large, "write past the largest file");
  if (direct && op.length > 0 && misaligned<const std::byte>(op, offset, pieces)) {
    // Where the file ends an append finds out when it is there.
    return expect(is(put.code(), std::errc::invalid_argument) ||
                      (appends && may_fail_directly(op, put.code())),
                  "direct write of what is not aligned");
  }
  const std::uint64_t room = (kMax - offset) / alignment * alignment;
  if (room == 0 && op.length > 0) return expect(too_large, "write past the largest file");
  const std::uint64_t most = std::min(op.length, room);
  const bool all = has(handle.flags, OpenFlags::kSync);
  const bool syncs = all || has(handle.flags, OpenFlags::kDataSync);
  if (!put.ok() && direct) {
    const bool sync_failed = syncs && may_fail_to_sync(handle.number, put.code());
    expect(sync_failed || may_fail_directly(op, put.code()), "direct write failed");
    const std::size_t there = arrived(op, offset, bytes.first(most));
    expect(there <= kByChance || left(op, put.code()) || syncs,
           "a direct write hides what it has written");
    model(op).write(offset, bytes.first(there));
    if (syncs) model(op).sync_tried();
    // They change before the store is asked.
    file(op).stamps = {};
    return;
  }
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
  const StoreOp needed = direct ? StoreOp::kWrite : StoreOp::kRead;
  expect(*put == most || op.way != Way::kNone || world_.script().struck(needed),
         "wrote too little");
  // A full store is asked a second time, when what is reserved in vain has been given back.
  expect(!direct || *put < most || !world_.script().failed_own(StoreOp::kWrite) ||
             world_.script().gave(std::make_error_code(std::errc::no_space_on_device)),
         "a direct write hides an error");
  if (*put == 0) return;
  std::size_t there = *put;
  if (direct && *put < most) {
    there = arrived(op, offset, bytes.first(most));
    const bool more = there - *put > kByChance;
    expect(there >= *put && (op.way != Way::kNone || !more), "wrote more, or less, than said");
  }
  model(op).write(offset, bytes.first(there));
  note_change(file(op));
  if (direct) passed_by(op, offset, there);
  if (!syncs) return;
  model(op).sync_tried();
  const std::uint64_t first = page_of(offset);
  const std::uint64_t last = page_of(offset + *put - 1);
  expect(!world_.script().failed_own(StoreOp::kSync) && !model(op).is_lost(first, last),
         "a synced write hides that the sync failed");
  if (!stored_meanwhile()) world_.check_stored(handle.number, first, last, false);
  model(op).synced(first, last);
}

void Runner::append(const Operation& op) {
  Buffer memory(op.length, op.misplaced);
  pattern_bytes(op.pattern, memory.bytes());
  const std::span<const std::byte> bytes = memory.bytes();
  TestedHandle& handle = this->handle(op);
  const bool direct = is_direct(op, handle.flags);
  const std::uint64_t alignment = direct ? world_.alignment_bytes() : 1;
  const std::uint64_t size = model(op).size();
  const auto at = handle.file.append(bytes, call_options(op));
  ended(at.code(), at.ok() ? *at : 0);

  if (!has(handle.flags, OpenFlags::kWrite)) {
    return expect(is(at.code(), std::errc::bad_file_descriptor), "append to a read-only handle");
  }
  if (direct && op.length > 0 && misaligned<const std::byte>(op, size, {&bytes, 1})) {
    return expect(is(at.code(), std::errc::invalid_argument) || may_fail_directly(op, at.code()),
                  "direct append of what is not aligned");
  }
  const std::uint64_t room = (kMax - size) / alignment * alignment;
  if (at.ok()) {
    expect(*at == size, "appended elsewhere");
    expect(op.length <= room, "appended past the largest file");
  }
  const bool syncs = has(handle.flags, OpenFlags::kSync) || has(handle.flags, OpenFlags::kDataSync);
  std::uint64_t stayed = op.length;
  if (!at.ok()) {
    // What came in before the failure stays, and the size tells how much that is, when all of it has ended.
    if (direct) stayed = arrived(op, size, bytes.first(std::min(op.length, room)));
    const auto now = handle.file.stat();
    expect(now.ok() && now->size_bytes >= size && now->size_bytes - size <= op.length,
           "the size after an append that failed");
    expect(!direct || stayed == now->size_bytes - size,
           "the size is not that of what was appended");
    stayed = now->size_bytes - size;
    if (direct) file(op).stamps = {};
    if (is(at.code(), std::errc::file_too_large)) {
      expect(op.length > room && stayed == room, "append cut by the largest size");
    } else if (direct) {
      const bool sync_failed = syncs && may_fail_to_sync(handle.number, at.code());
      expect(sync_failed || may_fail_directly(op, at.code()), "direct append failed");
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
  if (direct) passed_by(op, size, stayed);
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
