#include "cut_job/job_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace quire::cut_job {
namespace {

// What of [offset, offset + length) lies in [begin, end), as places in the buffer.
struct Part {
  std::size_t at = 0;
  std::size_t length = 0;
};
Part part_in(std::uint64_t offset, std::size_t length, std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t from = std::clamp(begin, offset, offset + length);
  const std::uint64_t to = std::clamp(end, from, offset + length);
  return {from - offset, to - from};
}

}  // namespace

void JobFile::render(std::uint64_t offset, Bytes out) const {
  const Part in_pages = part_in(offset, out.size(), 0, bytes.begin());
  for (std::size_t at = 0; at < in_pages.length;) {
    const std::uint64_t page = (offset + at) / kPage;
    const std::size_t in_page = (offset + at) % kPage;
    const std::size_t length = std::min(in_pages.length - at, kPage - in_page);
    cut_job::render(pages.content(page), in_page, out.subspan(at, length));
    at += length;
  }
  const Part in_bytes = part_in(offset, out.size(), bytes.begin(), bytes.end());
  if (in_bytes.length > 0) {
    std::memcpy(out.data() + in_bytes.at,
                bytes.content(offset + in_bytes.at, in_bytes.length).data(), in_bytes.length);
  }
  const std::size_t behind = in_pages.length + in_bytes.length;
  if (behind < out.size()) {
    tail.render(tail.now(), offset + behind - tail_begin(), out.subspan(behind));
  }
}

Look::Look(JobFile& file, std::uint64_t offset, std::size_t length)
    : file_(file), offset_(offset), length_(length), tail_(file.tail) {
  const std::uint64_t end = std::min((offset + length + kPage - 1) / kPage, file.pages.pages());
  for (std::uint64_t page = offset / kPage; page < end; ++page) {
    ended_.push_back(file.pages.ended(page));
  }
}

std::string Look::check_pages(ConstBytes got) const {
  const Part part = part_in(offset_, got.size(), 0, file_.bytes.begin());
  for (std::size_t at = 0; at < part.length;) {
    const std::uint64_t page = (offset_ + at) / kPage;
    const std::size_t in_page = (offset_ + at) % kPage;
    const std::size_t length = std::min(part.length - at, kPage - in_page);
    std::string wrong =
        file_.pages.check(page, ended_[page - offset_ / kPage], in_page, got.subspan(at, length));
    if (!wrong.empty()) {
      return wrong;
    }
    at += length;
  }
  return {};
}

void Look::check(ConstBytes got) const {
  std::string wrong = check_pages(got);
  const Part in_bytes = part_in(offset_, got.size(), file_.bytes.begin(), file_.bytes.end());
  if (wrong.empty() && in_bytes.length > 0) {
    wrong = file_.bytes.check(offset_ + in_bytes.at, got.subspan(in_bytes.at, in_bytes.length));
  }
  if (wrong.empty() && offset_ + length_ > file_.tail_begin()) {
    const std::uint64_t from = std::max(offset_, file_.tail_begin());
    const std::size_t before = from - offset_;
    wrong = got.size() < before
                ? fmt::format("only {} bytes", got.size())
                : tail_.check(from - file_.tail_begin(), length_ - before, got.subspan(before));
  } else if (wrong.empty() && got.size() < length_) {
    wrong = fmt::format("only {} bytes", got.size());
  }
  if (!wrong.empty()) {
    throw Failure(
        fmt::format("{}: a read of {} bytes at {} gave {}", file_.path, length_, offset_, wrong));
  }
}

}  // namespace quire::cut_job
