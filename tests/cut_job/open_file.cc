#include "cut_job/open_file.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace quire::cut_job {
namespace {

constexpr std::uint64_t kSubmittedOneIn = 5;

template <class T>
T take(const char* what, const std::string& path, Result<T> result) {
  if (!result.ok()) {
    throw Failure(fmt::format("{} of {}: {}", what, path, result.error().message()));
  }
  return std::move(*result);
}

std::size_t moved_by(const Op& op) {
  const auto* const write = std::get_if<WriteOp>(&op);
  return write == nullptr ? 0 : write->buffer.size();
}

const char* name_of(const CutOp& op) {
  switch (op.kind) {
    case Cut::kPunch:
      return "punch";
    case Cut::kZero:
      return "zero";
    case Cut::kInsert:
      return "insert";
    case Cut::kCollapse:
      return "collapse";
  }
  return "cut";
}

Status cut(File& file, const CutOp& op, const CallOptions& call) {
  switch (op.kind) {
    case Cut::kPunch:
      return file.punch(op.offset, op.length, call);
    case Cut::kZero:
      return file.zero(op.offset, op.length, op.keep_size, call);
    case Cut::kInsert:
      return file.insert(op.offset, op.length, call);
    case Cut::kCollapse:
      return file.collapse(op.offset, op.length, call);
  }
  return {};
}

}  // namespace

OpenFile::OpenFile(Cache& cache, std::string path, OpenFlags flags, const main_job::Stop& stop)
    : path_(std::move(path)),
      stop_(stop),
      file_(take("open", path_, cache.open(path_, flags, 0644))) {}

std::size_t OpenFile::read(Bytes buffer, std::uint64_t offset, IoPath path) {
  return take("read", path_, file_.read(buffer, offset, next_call(path)));
}

std::uint64_t OpenFile::append(ConstBytes buffer, IoPath path) {
  return take("append", path_, file_.append(buffer, next_call(path)));
}

void OpenFile::change(const Op& op, IoPath path) {
  if (calls_ % kSubmittedOneIn == 0) {
    submit(op, path, moved_by(op));
    return;
  }
  const CallOptions call = next_call(path);
  std::visit(
      [&](const auto& asked) {
        using Asked = std::decay_t<decltype(asked)>;
        if constexpr (std::is_same_v<Asked, WriteOp>) {
          const std::size_t moved =
              take("write", path_, file_.write(asked.buffer, asked.offset, call));
          if (moved != asked.buffer.size()) {
            throw Failure(
                fmt::format("write of {} moved {} of {} bytes", path_, moved, asked.buffer.size()));
          }
        } else if constexpr (std::is_same_v<Asked, TruncateOp>) {
          check("truncate", file_.truncate(asked.size_bytes, call));
        } else if constexpr (std::is_same_v<Asked, AllocateOp>) {
          check("allocate", file_.allocate(asked.offset, asked.length, asked.keep_size, call));
        } else if constexpr (std::is_same_v<Asked, CutOp>) {
          check(name_of(asked), cut(file_, asked, call));
        } else {
          throw Failure("this request changes nothing");
        }
      },
      op);
}

void OpenFile::invalidate(std::uint64_t offset, std::uint64_t length) {
  check_unless_busy("invalidate", file_.invalidate(offset, length, next_call(IoPath::kCached)));
}

void OpenFile::write_and_invalidate(std::uint64_t offset, std::uint64_t length) {
  check_unless_busy("write_and_invalidate",
                    file_.write_and_invalidate(offset, length, next_call(IoPath::kCached)));
}

void OpenFile::advise(std::uint64_t offset, std::uint64_t length, Advice advice) {
  check("advise", file_.advise(offset, length, advice));
}

void OpenFile::sync_range(std::uint64_t offset, std::uint64_t length) {
  check("sync_range", file_.sync_range(offset, length, next_call(IoPath::kCached)));
}

std::uint64_t OpenFile::size_bytes() {
  return take("stat", path_, file_.stat()).size_bytes;
}

void OpenFile::close() {
  check("close", file_.close());
}

CallOptions OpenFile::next_call(IoPath path) {
  CallOptions call;
  call.path = path;
  if (++calls_ % 2 == 0) {
    call.stop = stop_.token();
  }
  return call;
}

void OpenFile::submit(const Op& op, IoPath path, std::size_t moved) {
  std::mutex mutex;
  std::condition_variable answered;
  std::optional<Result<std::size_t>> answer;
  const OnDone on_done = [&](Result<std::size_t> result) {
    const std::lock_guard lock(mutex);
    answer = std::move(result);
    // Under the lock: all of this is gone as soon as it is released.
    answered.notify_all();
  };
  check("submit", file_.submit(op, on_done, next_call(path)));
  std::unique_lock lock(mutex);
  answered.wait(lock, [&] { return answer.has_value(); });
  const std::size_t did = take("a submitted request", path_, *answer);
  if (did != moved) {
    throw Failure(fmt::format("a submitted request of {} moved {} of {} bytes", path_, did, moved));
  }
}

void OpenFile::check(const char* what, const Status& status) const {
  if (!status.ok()) {
    throw Failure(fmt::format("{} of {}: {}", what, path_, status.error().message()));
  }
}

void OpenFile::check_unless_busy(const char* what, const Status& status) const {
  if (status.code() != std::errc::device_or_resource_busy) {
    check(what, status);
  }
}

}  // namespace quire::cut_job
