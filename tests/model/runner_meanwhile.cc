// The Runner's accesses to mappings in the middle of other operations: to pages that a cut or a direct write keeps from
// everybody until it has ended, and to those beside them; and to pages that a sync is writing.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>
#include <vector>

#include "main_job/rng.h"
#include "model/runner.h"
#include "model/step.h"

namespace quire::model {
namespace {

using main_job::Rng;
using State = TestedMapping::Page;

// Direct writes of more go in pieces, each by itself.
constexpr std::uint64_t kDirectMax = 16 * kPageBytes;

// What an operation keeps from everybody while the store does `at`: pages [first, end). Of those up to `first_touched`
// and from `end_touched` on nothing is changed.
struct Kept {
  StoreOp at = StoreOp::kCut;
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  std::uint64_t first_touched = 0;
  std::uint64_t end_touched = 0;
};

std::optional<Kept> kept_by(const Operation& op, OpenFlags flags, std::uint64_t size) {
  const std::uint64_t end = op.offset + op.length;
  switch (op.kind) {
    case Kind::kCut: {
      if (op.length == 0 || end < op.offset || end > kMax) return std::nullopt;
      if (op.cut == Cut::kInsert || op.cut == Cut::kCollapse) {
        const std::uint64_t first = page_of(op.offset);
        return Kept{StoreOp::kCut, first, kLastPage, first, kLastPage};
      }
      // Who makes the file longer holds its tail.
      if (end > size) return std::nullopt;
      return Kept{StoreOp::kCut, pages_up_to(op.offset), page_of(end), page_of(op.offset),
                  pages_up_to(end)};
    }
    case Kind::kTruncate: {
      if (op.offset >= size) return std::nullopt;
      const std::uint64_t first = pages_up_to(op.offset);
      return Kept{StoreOp::kTruncate, first, kLastPage, page_of(op.offset), kLastPage};
    }
    case Kind::kWrite: {
      if (!is_direct(op, flags) || has(flags, OpenFlags::kAppend)) return std::nullopt;
      if (op.length == 0 || op.length > kDirectMax || end > size) return std::nullopt;
      return Kept{StoreOp::kWrite, page_of(op.offset), pages_up_to(end), page_of(op.offset),
                  pages_up_to(end)};
    }
    default:
      return std::nullopt;
  }
}

// A page, inside what is kept or beside it.
std::optional<std::uint64_t> pick_kept(const Kept& kept, Kind kind, Rng& rng) {
  const bool inside = kept.first < kept.end && kind != Kind::kTruncate && !rng.one_in(3);
  const std::uint64_t page = kept.first + rng.below(4);
  if (inside) return page >= kept.end ? kept.first : page;
  const std::uint64_t beside = 1 + rng.below(3);
  const bool behind = kept.end_touched != kLastPage && rng.one_in(3);
  if (!behind && kept.first_touched < beside) return std::nullopt;
  return behind ? kept.end_touched + beside - 1 : kept.first_touched - beside;
}

bool is_sync(Kind kind) {
  return kind == Kind::kSync || kind == Kind::kDataSync || kind == Kind::kSyncRange;
}

}  // namespace

void Runner::begin_meanwhile(const Operation& op, std::uint64_t number) {
  Rng rng{seed_, number, 3};
  if (rng.one_in(4) || op.failure || op.way != Way::kNone || op.submitted) return;
  const TestedHandle& handle = this->handle(op);
  if (!handle.file.is_open()) return;
  const ModelFile& model = this->model(op);
  // What a failed sync is about is written first, by whomever.
  if (model.may_be_lost(0, kLastPage)) return;
  std::optional<std::uint64_t> page;
  StoreOp at = StoreOp::kWrite;
  if (is_sync(op.kind)) {
    page = mapped_dirty_page(handle.number, rng.next());
  } else if (has(handle.flags, OpenFlags::kWrite)) {
    const auto kept = kept_by(op, handle.flags, model.size());
    if (kept) {
      page = pick_kept(*kept, op.kind, rng);
      at = kept->at;
    }
  }
  if (page) plan_meanwhile(handle.number, *page, at, rng.next());
}

std::optional<std::uint64_t> Runner::mapped_dirty_page(unsigned file, std::uint64_t pattern) {
  std::vector<std::uint64_t> found;
  for (const std::uint64_t page : world_.file(file).model.unsynced_pages()) {
    for (unsigned i = 0; i < kMappings; ++i) {
      if (world_.mapping(i).shows(file, page)) {
        found.push_back(page);
        break;
      }
    }
  }
  if (found.empty()) return std::nullopt;
  return found[pattern % found.size()];
}

void Runner::plan_meanwhile(unsigned file, std::uint64_t page, StoreOp at, std::uint64_t pattern) {
  Rng rng{pattern};
  const ModelFile& model = world_.file(file).model;
  const std::uint64_t offset = page * kPageBytes + rng.below(kPageBytes - 8);
  if (model.size() < 8 || offset > model.size() - 8) return;
  const unsigned first_mapping = static_cast<unsigned>(rng.below(kMappings));
  for (unsigned i = 0; i < kMappings; ++i) {
    const unsigned number_of = (first_mapping + i) % kMappings;
    TestedMapping& mapping = world_.mapping(number_of);
    if (!mapping.shows(file, page)) continue;
    const auto place = static_cast<std::size_t>(page - mapping.first_page);
    const State state = mapping.pages[place];
    Meanwhile::Plan plan;
    plan.mapping = number_of;
    plan.page = page;
    plan.in_page = static_cast<std::size_t>(offset % kPageBytes);
    plan.way = mapping.way;
    plan.address = mapping.mapping.data() + place * kPageBytes + plan.in_page;
    if (state == State::kReadWrite && !rng.one_in(3)) {
      plan.stored = pattern_bytes(rng.next(), 8);
    } else {
      plan.loaded.resize(8);
    }
    meanwhile_.emplace(std::move(plan));
    world_.script().interrupt(at, kShapes[file].path, [this] { meanwhile_->begin(); });
    return;
  }
}

bool Runner::stored_meanwhile() const {
  return meanwhile_ && meanwhile_->begun() && !meanwhile_->plan().stored.empty();
}

void Runner::check_synced(unsigned file, std::uint64_t first, std::uint64_t last, bool size_too) {
  if (!stored_meanwhile()) return world_.check_stored(file, first, last, size_too);
  // It may be there already; the model hears of it when this has ended.
  const std::uint64_t page = meanwhile_->plan().page;
  if (page > 0) world_.check_stored(file, first, std::min(last, page - 1), size_too);
  world_.check_stored(file, std::max(first, page + 1), last, size_too);
}

void Runner::end_meanwhile() {
  if (!meanwhile_) return;
  const Access access = meanwhile_->wait();
  const bool begun = meanwhile_->begun();
  const Meanwhile::Plan plan = meanwhile_->plan();
  meanwhile_.reset();
  if (!begun) return;
  const bool stores = !plan.stored.empty();
  past_.back().result +=
      fmt::format("; meanwhile a {} through m{}, at {} of page {}: signal {}",
                  stores ? "store" : "load", plan.mapping, plan.in_page, plan.page, access.signal);
  Operation op;
  op.mapping = plan.mapping;
  TestedMapping& mapping = this->mapping(op);
  TestedFile& file = mapped_file(op);
  if (plan.page >= pages_up_to(file.model.size())) {
    return expect(access.signal == SIGBUS && access.bytes == 0,
                  "an access in the middle, beyond what is the last page afterwards");
  }
  expect(access.signal == 0 || access.signal == SIGBUS, "SIGSEGV in the middle");
  if (access.signal != 0) return may_raise(op, plan.page);
  const std::uint64_t offset = plan.page * kPageBytes + plan.in_page;
  Bytes got = plan.loaded;
  if (stores) {
    note_stored(mapping, plan.page, false);
    file.model.store(offset, plan.stored);
    // A sync may have written it and made it durable: it is not for certain newer.
    if (is_sync(past_.back().operation.kind)) file.model.sync_tried();
    // It is there, for everybody.
    got.resize(plan.stored.size());
    const Access again = model::load(plan.address, got);
    if (again.signal != 0) return may_raise(op, plan.page);
  }
  const std::string wrong = file.model.check_load(offset, got);
  expect(wrong.empty(), "in the middle: " + wrong);
}

}  // namespace quire::model
