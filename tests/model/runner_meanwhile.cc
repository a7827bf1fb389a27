// The Runner's accesses to mappings in the middle of other operations: to pages that a cut or a direct write keeps from
// everybody until it has ended, and to those beside them.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>

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

}  // namespace

void Runner::begin_meanwhile(const Operation& op, std::uint64_t number) {
  Rng rng{seed_, number, 3};
  if (rng.one_in(4) || op.failure || op.way != Way::kNone || op.submitted) return;
  const TestedHandle& handle = this->handle(op);
  if (!handle.file.is_open() || !has(handle.flags, OpenFlags::kWrite)) return;
  const ModelFile& model = this->model(op);
  // What a failed sync is about is written first, by whomever.
  if (model.may_be_lost(0, kLastPage)) return;
  const auto kept = kept_by(op, handle.flags, model.size());
  if (!kept) return;
  const bool inside = kept->first < kept->end && op.kind != Kind::kTruncate && !rng.one_in(3);
  std::uint64_t page = kept->first + rng.below(4);
  if (inside) {
    if (page >= kept->end) page = kept->first;
  } else {
    const std::uint64_t beside = 1 + rng.below(3);
    const bool behind = kept->end_touched != kLastPage && rng.one_in(3);
    if (!behind && kept->first_touched < beside) return;
    page = behind ? kept->end_touched + beside - 1 : kept->first_touched - beside;
  }
  const std::uint64_t offset = page * kPageBytes + rng.below(kPageBytes - 8);
  if (model.size() < 8 || offset > model.size() - 8) return;
  const unsigned first_mapping = static_cast<unsigned>(rng.below(kMappings));
  for (unsigned i = 0; i < kMappings; ++i) {
    const unsigned number_of = (first_mapping + i) % kMappings;
    TestedMapping& mapping = world_.mapping(number_of);
    if (!mapping.mapping.is_mapped() || mapping.number != handle.number) continue;
    if (page < mapping.first_page || page - mapping.first_page >= mapping.pages.size()) continue;
    const auto place = static_cast<std::size_t>(page - mapping.first_page);
    const State state = mapping.pages[place];
    if (state == State::kUnmapped) continue;
    Meanwhile::Plan plan;
    plan.mapping = number_of;
    plan.page = page;
    plan.in_page = static_cast<std::size_t>(offset % kPageBytes);
    plan.address = mapping.mapping.data() + place * kPageBytes + plan.in_page;
    if (state == State::kReadWrite && !rng.one_in(3)) {
      plan.stored = pattern_bytes(rng.next(), 8);
    } else {
      plan.loaded.resize(8);
    }
    meanwhile_.emplace(std::move(plan));
    world_.script().interrupt(kept->at, kShapes[handle.number].path,
                              [this] { meanwhile_->begin(); });
    return;
  }
}

bool Runner::stored_meanwhile() const {
  return meanwhile_ && meanwhile_->begun() && !meanwhile_->plan().stored.empty();
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
    // It is there, for everybody.
    got.resize(plan.stored.size());
    const Access again = model::load(plan.address, got);
    if (again.signal != 0) return may_raise(op, plan.page);
  }
  const std::string wrong = file.model.check_load(offset, got);
  expect(wrong.empty(), "in the middle: " + wrong);
}

}  // namespace quire::model
