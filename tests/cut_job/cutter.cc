#include "cut_job/cutter.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace quire::cut_job {
namespace {

constexpr std::uint64_t kCutterDecksMin = 3;
constexpr std::uint64_t kShiftMaxPages = 48;
constexpr std::uint64_t kGrowMaxBytes = 300'000;
constexpr std::uint64_t kAppendMaxBytes = 30'000;
constexpr std::size_t kLookBackPages = 2;
constexpr std::size_t kLookPages = 24;

}  // namespace

Cutter::Cutter(const Round& round, std::uint64_t number, std::size_t index)
    : Worker(round, number),
      index_(index),
      file_(*round.files[index]),
      appended_to_(round.is_appended_to(file_)),
      deck_(kinds()) {}

std::vector<Cutter::Kind> Cutter::kinds() const {
  using enum Kind;
  const Abilities& can = round_.abilities;
  std::vector<Kind> kinds = {kWrite, kWrite, kWriteDirect, kWriteDirect};
  const auto add = [&](bool possible, std::initializer_list<Kind> more) {
    if (possible) {
      kinds.insert(kinds.end(), more);
    }
  };
  add(can.insert, {kInsert, kInsert});
  add(can.collapse, {kCollapse, kCollapse});
  add(can.punch, {kPunch});
  add(can.zero, {kZero});
  add(can.allocate, {kAllocate});
  add(!appended_to_, {kShrink, kGrow, kAppend, kAppend, kWritePastEnd});
  add(!appended_to_ && can.zero, {kZeroPastEnd});
  add(!appended_to_ && can.allocate, {kAllocatePastEnd});
  return kinds;
}

void Cutter::run() {
  const std::uint64_t steps_min = kCutterDecksMin * deck_.size();
  for (std::uint64_t n = 0; goes_on(n, steps_min); ++n) {
    step(deck_.draw(rng_));
  }
}

void Cutter::step(Kind kind) {
  Layout layout = file_.tail.now();
  if (!appended_to_ && layout.pages() > 2 * round_.tail_pages) {
    return truncate(std::move(layout), true);
  }
  switch (kind) {
    case Kind::kInsert:
      return insert(std::move(layout));
    case Kind::kCollapse:
      return collapse(std::move(layout));
    case Kind::kPunch:
      return zero(std::move(layout), Cut::kPunch, false);
    case Kind::kZero:
      return zero(std::move(layout), Cut::kZero, false);
    case Kind::kAllocate:
      return allocate(std::move(layout), false);
    case Kind::kWrite:
      return write(std::move(layout), false, IoPath::kCached);
    case Kind::kWriteDirect:
      return write(std::move(layout), false, IoPath::kDirect);
    case Kind::kZeroPastEnd:
      return zero(std::move(layout), Cut::kZero, true);
    case Kind::kAllocatePastEnd:
      return allocate(std::move(layout), true);
    case Kind::kWritePastEnd:
      return write(std::move(layout), true, any_path());
    case Kind::kShrink:
      return truncate(std::move(layout), true);
    case Kind::kGrow:
      return truncate(std::move(layout), false);
    case Kind::kAppend:
      return append(std::move(layout));
  }
}

Cutter::Run Cutter::some_run(const Layout& layout) {
  const std::uint64_t count = some_pages(layout.pages());
  return {rng_.one_in(4) ? 0 : rng_.between(0, layout.pages() - count), count};
}

void Cutter::insert(Layout layout) {
  if (layout.pages() > 2 * round_.tail_pages && round_.abilities.collapse) {
    return collapse(std::move(layout));
  }
  // At the very beginning of the tail too, beside pages that others change.
  const Run run{rng_.one_in(4) ? 0 : rng_.below(layout.pages()), rng_.between(1, kShiftMaxPages)};
  layout.insert(run.first, run.count);
  change(std::move(layout), Counted::kInsert,
         CutOp{Cut::kInsert, offset_of(run.first), run.count * kPage, false});
  check_around(run.first);
}

void Cutter::collapse(Layout layout) {
  if (layout.pages() < round_.tail_pages / 2 && round_.abilities.insert) {
    return insert(std::move(layout));
  }
  Run run{0, rng_.between(1, std::min(kShiftMaxPages, layout.pages() - 1))};
  run.first = rng_.one_in(4) ? 0 : rng_.below(layout.pages() - run.count);
  layout.collapse(run.first, run.count);
  change(std::move(layout), Counted::kCollapse,
         CutOp{Cut::kCollapse, offset_of(run.first), run.count * kPage, false});
  check_around(run.first);
}

void Cutter::zero(Layout layout, Cut kind, bool past_end) {
  const Run run = some_run(layout);
  std::uint64_t end = offset_of(run.first + run.count);
  layout.zero(run.first, run.count);
  if (past_end) {
    const std::uint64_t size = size_past_end(layout);
    layout.zero(run.first, layout.pages());
    layout.resize(size);
    end = file_.tail_begin() + size;
  }
  change(std::move(layout), kind == Cut::kPunch ? Counted::kPunch : Counted::kZero,
         CutOp{kind, offset_of(run.first), end - offset_of(run.first), !past_end});
  check_around(run.first);
}

void Cutter::allocate(Layout layout, bool past_end) {
  const Run run = some_run(layout);
  std::uint64_t end = offset_of(run.first + run.count);
  if (past_end) {
    const std::uint64_t size = size_past_end(layout);
    layout.resize(size);
    end = file_.tail_begin() + size;
  }
  change(std::move(layout), Counted::kAllocate,
         AllocateOp{offset_of(run.first), end - offset_of(run.first), !past_end});
  check_around(run.first);
}

void Cutter::write(Layout layout, bool past_end, IoPath path) {
  Run run = some_run(layout);
  if (past_end) {
    // At times a hole is left behind the old end.
    run.first = layout.pages() + (rng_.one_in(2) ? 0 : rng_.below(kShiftMaxPages));
  }
  const std::uint32_t serial = file_.tail.fresh_serials(run.count);
  layout.write(run.first, run.count, serial);
  const Bytes bytes = pages_buffer(run.count);
  file_.tail.render(layout, run.first * kPage, bytes);
  change(std::move(layout), path == IoPath::kDirect ? Counted::kDirect : Counted::kBuffered,
         WriteOp{bytes, offset_of(run.first)}, path);
  counts_.written_bytes += bytes.size();
  check_around(run.first);
}

void Cutter::truncate(Layout layout, bool shrink) {
  const std::uint64_t most = round_.tail_pages * 2 * kPage;
  const std::uint64_t least = round_.tail_pages / 2 * kPage;
  std::uint64_t size = layout.size_bytes();
  if (size > most) {
    size = rng_.between(least, most);
  } else if (shrink && size > least) {
    size = rng_.between(std::max(least, size - std::min(size, kGrowMaxBytes)), size);
  } else {
    size += rng_.between(1, kGrowMaxBytes);
  }
  if (rng_.one_in(3)) {
    size = size / kPage * kPage;
  }
  layout.resize(size);
  change(std::move(layout), Counted::kTruncate, TruncateOp{file_.tail_begin() + size});
  check_around(size / kPage);
}

void Cutter::append(Layout layout) {
  const std::uint64_t first = layout.pages();
  const bool direct = layout.size_bytes() % kPage == 0 && rng_.one_in(2);
  if (!layout.continues()) {
    // The end is made one that a write of this kind can carry on from.
    layout.resize((layout.size_bytes() + kPage - 1) / kPage * kPage);
    const std::uint64_t end = file_.tail_begin() + layout.size_bytes();
    change(std::move(layout), Counted::kTruncate, TruncateOp{end});
    return;
  }
  const std::uint64_t offset = layout.size_bytes();
  const std::size_t length =
      direct ? some_pages(kRunMaxPages) * kPage : rng_.between(1, kAppendMaxBytes);
  layout.append(length, file_.tail.fresh_serials(length / kPage + 2));
  const Bytes bytes = buffer(length);
  file_.tail.render(layout, offset, bytes);
  file_.tail.begin(std::move(layout));
  const std::uint64_t there =
      open_[index_].append(bytes, direct ? IoPath::kDirect : IoPath::kCached);
  if (there != file_.tail_begin() + offset) {
    throw Failure(fmt::format("{}: an append went to {} although the file ended at {}", file_.path,
                              there, file_.tail_begin() + offset));
  }
  counts_.count(Counted::kAppend);
  counts_.written_bytes += length;
  file_.tail.end();
  check_around(first);
}

void Cutter::change(Layout layout, Counted kind, const Op& op, IoPath path) {
  file_.tail.begin(std::move(layout));
  open_[index_].change(op, path);
  file_.tail.end();
  counts_.count(kind);
}

void Cutter::check_around(std::uint64_t first_page) {
  if (!appended_to_) {
    const std::uint64_t wanted = file_.size_bytes();
    if (const std::uint64_t shown = open_[index_].size_bytes(); shown != wanted) {
      throw Failure(
          fmt::format("{}: stat shows {} bytes instead of {}", file_.path, shown, wanted));
    }
  }
  if (rng_.one_in(2)) {
    const std::uint64_t before = std::min<std::uint64_t>(first_page, kLookBackPages);
    read(index_, offset_of(first_page - before), kLookPages * kPage, any_path());
  }
}

std::uint64_t Cutter::size_past_end(const Layout& layout) {
  return layout.size_bytes() + rng_.between(1, kGrowMaxBytes);
}

}  // namespace quire::cut_job
