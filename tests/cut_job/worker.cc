#include "cut_job/worker.h"

#include <algorithm>

namespace quire::cut_job {

void Counts::add(const Counts& more) {
  for (std::size_t i = 0; i < kCountedKinds; ++i) {
    operations[i] += more.operations[i];
  }
  written_bytes += more.written_bytes;
  checked_bytes += more.checked_bytes;
}

Worker::Worker(const Round& round, std::uint64_t number)
    : round_(round), rng_{round.seed, round.number, number}, buffer_(kRunMaxPages + 2) {
  for (const auto& file : round.files) {
    open_.emplace_back(round.cache, file->path, OpenFlags::kReadWrite, round.stop);
  }
}

ConstBytes Worker::read(std::size_t file, std::uint64_t offset, std::size_t length, IoPath path) {
  if (path == IoPath::kDirect) {
    const std::uint64_t end = (offset + length + kPage - 1) / kPage * kPage;
    offset = offset / kPage * kPage;
    length = end - offset;
  }
  const Bytes bytes = buffer(length);
  const Look look(*round_.files[file], offset, length);
  const ConstBytes got = bytes.first(open_[file].read(bytes, offset, path));
  look.check(got);
  counts_.count(Counted::kRead);
  counts_.checked_bytes += got.size();
  return got;
}

std::uint64_t Worker::some_pages(std::uint64_t limit) {
  const std::uint64_t most = rng_.one_in(24) ? kRunMaxPages : 16;
  return rng_.between(1, std::min(limit, most));
}

bool Worker::goes_on(std::uint64_t steps, std::uint64_t steps_min) const {
  round_.stop.check();
  return steps < steps_min || std::chrono::steady_clock::now() < round_.until;
}

void Worker::count_write(IoPath path, std::size_t bytes) {
  counts_.count(path == IoPath::kDirect ? Counted::kDirect : Counted::kBuffered);
  counts_.written_bytes += bytes;
}

}  // namespace quire::cut_job
