#include "cut_job/writer.h"

#include <fmt/format.h>

#include <algorithm>

namespace quire::cut_job {
namespace {

constexpr std::uint64_t kWriterDecksMin = 4;
constexpr std::uint64_t kOddMaxBytes = 40'000;
constexpr std::uint64_t kAppendMaxPages = 12;
// Where strips of bytes begin in their page: nothing is a multiple of it.
constexpr std::uint64_t kOddByte = 1237;

std::uint64_t page_up(std::uint64_t offset) {
  return (offset + kPage - 1) / kPage;
}

}  // namespace

Writer::Writer(const Round& round, std::uint64_t number, unsigned index)
    : Worker(round, number), index_(index), deck_(kinds(round.abilities)) {}

std::vector<Writer::Kind> Writer::kinds(const Abilities& abilities) {
  using enum Kind;
  std::vector<Kind> kinds = {kWritePages, kWritePages, kWritePagesDirect, kWritePagesDirect,
                             kWriteBytes, kWriteBytes, kWriteBytesDirect, kWriteBytesDirect,
                             kDrop,       kSync};
  if (abilities.punch) {
    kinds.insert(kinds.end(), {kPunchPages, kPunchBytes});
  }
  if (abilities.zero) {
    kinds.insert(kinds.end(), {kZeroPages, kZeroBytes});
  }
  if (abilities.allocate) {
    kinds.push_back(kAllocate);
  }
  return kinds;
}

void Writer::run() {
  const std::uint64_t steps_min = kWriterDecksMin * deck_.size();
  for (std::uint64_t n = 0; goes_on(n, steps_min); ++n) {
    step();
  }
}

Writer::Strip Writer::pages_of(const JobFile& file) const {
  const std::uint64_t pages = file.pages.pages();
  return {pages * index_ / round_.writers, pages * (index_ + 1) / round_.writers};
}

Writer::Strip Writer::bytes_of(const JobFile& file) const {
  const std::uint64_t length = file.bytes.end() - file.bytes.begin();
  const auto bound = [&](unsigned index) {
    if (index == 0 || index == round_.writers) {
      return file.bytes.begin() + length * index / round_.writers;
    }
    return file.bytes.begin() + length * index / round_.writers / kPage * kPage + kOddByte;
  };
  return {bound(index_), bound(index_ + 1)};
}

Writer::Strip Writer::part_of(Strip pages) {
  const std::uint64_t count = some_pages(pages.end - pages.begin);
  const std::uint64_t first = rng_.between(pages.begin, pages.end - count);
  return {first, first + count};
}

Writer::Strip Writer::odd_part_of(Strip bytes) {
  const std::uint64_t length = rng_.between(1, std::min(kOddMaxBytes, bytes.end - bytes.begin));
  // At times up to where the neighbour's bytes begin, in the same page.
  const std::uint64_t begin =
      rng_.one_in(4) ? bytes.end - length : rng_.between(bytes.begin, bytes.end - length);
  return {begin, begin + length};
}

void Writer::step() {
  const std::size_t index = rng_.below(round_.files.size());
  const JobFile& file = *round_.files[index];
  const bool has_strips = file.pages.pages() > 0;
  const bool appends = round_.is_appended_to(file) && round_.appender_of(file) == index_;
  if (appends && (!has_strips || rng_.one_in(4))) {
    append(index);
  } else if (has_strips) {
    change(index, deck_.draw(rng_));
  } else {
    read(index, rng_.below(round_.tail_pages * kPage), some_pages(kRunMaxPages) * kPage,
         any_path());
  }
}

void Writer::change(std::size_t index, Kind kind) {
  switch (kind) {
    case Kind::kWritePages:
    case Kind::kWritePagesDirect:
    case Kind::kPunchPages:
    case Kind::kZeroPages:
    case Kind::kAllocate:
      change_pages(index, kind);
      break;
    case Kind::kWriteBytes:
    case Kind::kWriteBytesDirect:
    case Kind::kPunchBytes:
    case Kind::kZeroBytes:
      change_bytes(index, kind);
      break;
    case Kind::kDrop:
      drop(index, part_of(pages_of(*round_.files[index])));
      break;
    case Kind::kSync: {
      const Strip pages = part_of(pages_of(*round_.files[index]));
      open_[index].sync_range(pages.begin * kPage, (pages.end - pages.begin) * kPage);
      break;
    }
  }
}

void Writer::change_pages(std::size_t index, Kind kind) {
  JobFile& file = *round_.files[index];
  const Strip pages = part_of(pages_of(file));
  const std::uint64_t count = pages.end - pages.begin;
  const std::uint64_t offset = pages.begin * kPage;
  const std::uint64_t length = count * kPage;
  switch (kind) {
    case Kind::kPunchPages:
    case Kind::kZeroPages: {
      const bool punch = kind == Kind::kPunchPages;
      file.pages.begin_zero(pages.begin, count);
      open_[index].change(CutOp{punch ? Cut::kPunch : Cut::kZero, offset, length, rng_.one_in(2)});
      counts_.count(punch ? Counted::kPunch : Counted::kZero);
      file.pages.end(pages.begin, count);
      break;
    }
    case Kind::kAllocate:
      open_[index].change(AllocateOp{offset, length, rng_.one_in(2)});
      counts_.count(Counted::kAllocate);
      break;
    default: {
      const IoPath path = kind == Kind::kWritePages ? IoPath::kCached : IoPath::kDirect;
      const Bytes bytes = pages_buffer(count);
      file.pages.begin_write(pages.begin, bytes);
      open_[index].change(WriteOp{bytes, offset}, path);
      count_write(path, length);
      file.pages.end(pages.begin, count);
      break;
    }
  }
  if (rng_.one_in(2)) {
    read(index, offset, length, any_path());
  }
}

void Writer::change_bytes(std::size_t index, Kind kind) {
  JobFile& file = *round_.files[index];
  const Strip strip = bytes_of(file);
  Strip part = odd_part_of(strip);
  switch (kind) {
    case Kind::kPunchBytes:
    case Kind::kZeroBytes: {
      const bool punch = kind == Kind::kPunchBytes;
      const std::uint64_t length = part.end - part.begin;
      open_[index].change(
          CutOp{punch ? Cut::kPunch : Cut::kZero, part.begin, length, rng_.one_in(2)});
      counts_.count(punch ? Counted::kPunch : Counted::kZero);
      file.bytes.clear(part.begin, length);
      break;
    }
    default: {
      IoPath path = IoPath::kCached;
      if (kind == Kind::kWriteBytesDirect) {
        // Whole pages, of the strip's own.
        path = IoPath::kDirect;
        part = part_of({page_up(strip.begin), strip.end / kPage});
        part = {part.begin * kPage, part.end * kPage};
      }
      const Bytes bytes = buffer(part.end - part.begin);
      file.bytes.write(part.begin, ++writes_, bytes);
      open_[index].change(WriteOp{bytes, part.begin}, path);
      count_write(path, bytes.size());
      break;
    }
  }
  read_own_bytes(index, part, any_path());
}

void Writer::append(std::size_t index) {
  JobFile& file = *round_.files[index];
  if (file.tail.appended_pages() > round_.tail_pages) {
    read(index, file.tail_begin() + rng_.below(round_.tail_pages * kPage), kPage, any_path());
    return;
  }
  const Tail::Look look(file.tail);
  const Bytes bytes = pages_buffer(rng_.between(1, kAppendMaxPages));
  file.tail.begin_append(bytes);
  const IoPath path = any_path();
  const std::uint64_t offset = open_[index].append(bytes, path);
  if (offset < file.tail_begin() || !look.may_have_appended_at(offset - file.tail_begin())) {
    throw Failure(
        fmt::format("{}: an append went to {}, which was never the end", file.path, offset));
  }
  file.tail.end_append();
  counts_.count(Counted::kAppend);
  counts_.written_bytes += bytes.size();
}

void Writer::drop(std::size_t index, Strip pages) {
  const std::uint64_t offset = pages.begin * kPage;
  const std::uint64_t length = (pages.end - pages.begin) * kPage;
  switch (rng_.below(3)) {
    case 0:
      open_[index].invalidate(offset, length);
      break;
    case 1:
      open_[index].write_and_invalidate(offset, length);
      break;
    default:
      open_[index].advise(offset, length, Advice::kDontNeed);
      break;
  }
  read(index, offset, length, any_path());
}

void Writer::read_own_bytes(std::size_t index, Strip bytes, IoPath path) {
  const JobFile& file = *round_.files[index];
  if (path == IoPath::kDirect) {
    bytes = {page_up(bytes.begin) * kPage, bytes.end / kPage * kPage};
    if (bytes.begin >= bytes.end) {
      return;
    }
  }
  const ConstBytes got = read(index, bytes.begin, bytes.end - bytes.begin, path);
  if (const std::string wrong = file.bytes.check_own(bytes.begin, got); !wrong.empty()) {
    throw Failure(fmt::format("{}: a read of {} bytes at {} gave {}", file.path, got.size(),
                              bytes.begin, wrong));
  }
}

}  // namespace quire::cut_job
