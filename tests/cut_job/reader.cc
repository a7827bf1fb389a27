#include "cut_job/reader.h"

namespace quire::cut_job {
namespace {

constexpr std::uint64_t kStepsMin = 50;
constexpr std::uint64_t kSequenceMax = 8;

}  // namespace

void Reader::run() {
  for (std::uint64_t n = 0; goes_on(n, kStepsMin); ++n) {
    read_somewhere();
  }
}

void Reader::read_somewhere() {
  const std::size_t index = rng_.below(round_.files.size());
  std::uint64_t at = somewhere_in(*round_.files[index]);
  const IoPath path = any_path();
  if (rng_.one_in(16)) {
    open_[index].advise(at, some_pages(kRunMaxPages) * kPage, Advice::kWillNeed);
  }
  // A few one behind the other: readahead.
  const std::uint64_t sequence = rng_.one_in(4) ? kSequenceMax : 1;
  const std::size_t length = some_pages(kRunMaxPages) * kPage - rng_.below(kPage);
  for (std::uint64_t i = 0; i < sequence; ++i) {
    if (read(index, at, length, path).empty()) {
      return;
    }
    at += length;
  }
}

std::uint64_t Reader::somewhere_in(const JobFile& file) {
  // The tail may be shorter by then, or longer: past the end there is nothing to read.
  const std::uint64_t tail_end =
      file.tail_begin() + (round_.tail_pages + file.tail.appended_pages()) * kPage;
  if (file.pages.pages() == 0) {
    return rng_.below(tail_end);
  }
  switch (rng_.below(3)) {
    case 0:
      return rng_.below(file.bytes.begin());
    case 1:
      return rng_.between(file.bytes.begin(), file.bytes.end() - 1);
    default:
      return rng_.between(file.bytes.end(), tail_end);
  }
}

}  // namespace quire::cut_job
