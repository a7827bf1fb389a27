#include "sync/lock_rank.h"

#ifdef QUIRE_CHECKS

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "sync/check.h"
#include "sync/thread_local.h"

namespace quire::sync::lock_rank {
namespace {

struct Entry {
  Rank rank;
  const void* what;
};

struct HeldTag {};

// In how many handlers this thread is. No fiber has any: bare, for what costs memory is not to be had there.
constinit thread_local int handlers = 0;

// What this thread holds, in the order taken. The ranks never fall from one entry to the next.
std::vector<Entry>& held() {
  return ThreadLocal<std::vector<Entry>, HeldTag>::get();
}

const char* name(Rank rank) noexcept {
  switch (rank) {
    case Rank::kNames:
      return "names";
    case Rank::kKernelPages:
      return "kernel pages";
    case Rank::kFileStructure:
      return "file structure";
    case Rank::kWriteRange:
      return "write range";
    case Rank::kGate:
      return "gate";
    case Rank::kTree:
      return "tree";
    case Rank::kPage:
      return "page";
    case Rank::kStoreInternals:
      return "store internals";
    case Rank::kFileViews:
      return "file views";
    case Rank::kView:
      return "view";
  }
  return "unknown rank";
}

bool has_order_of_its_own(Rank rank) noexcept {
  return rank == Rank::kPage || rank == Rank::kStoreInternals;
}

[[noreturn]] void fail(const char* act, Rank rank, const void* what,
                       const Entry& holding) noexcept {
  std::array<char, 200> text{};
  std::snprintf(text.data(), text.size(), "lock order: %s %s %p while holding %s %p", act,
                name(rank), what, name(holding.rank), holding.what);
  check_failed(text.data(), __FILE__, __LINE__);
}

[[noreturn]] void fail(const char* act, const Entry& holding) noexcept {
  std::array<char, 200> text{};
  std::snprintf(text.data(), text.size(), "lock order: %s while holding %s %p", act,
                name(holding.rank), holding.what);
  check_failed(text.data(), __FILE__, __LINE__);
}

// Removes this thread's newest hold of `what`, if it has one.
void drop(Rank rank, const void* what) noexcept {
  auto& entries = held();
  const auto newest = std::find_if(entries.rbegin(), entries.rend(), [&](const Entry& entry) {
    return entry.rank == rank && entry.what == what;
  });
  if (newest != entries.rend()) entries.erase(std::next(newest).base());
}

}  // namespace

Interrupting::Interrupting() noexcept {
  ++handlers;
}
Interrupting::~Interrupting() {
  --handlers;
}

void acquired(Rank rank, const void* what) noexcept {
  if (handlers > 0) return;
  auto& entries = held();
  if (!entries.empty()) {
    const Entry& innermost = entries.back();
    const bool in_order =
        innermost.rank < rank || (innermost.rank == rank && has_order_of_its_own(rank));
    if (!in_order) fail("taking", rank, what, innermost);
  }
  entries.push_back({rank, what});
}

void released(Rank rank, const void* what) noexcept {
  if (handlers > 0) return;
  drop(rank, what);
}

void handed_over(Rank rank, const void* what) noexcept {
  if (handlers > 0) return;
  drop(rank, what);
}

void assert_may_wait_for_memory() noexcept {
  if (handlers > 0) return;
  const auto& entries = held();
  if (entries.empty() || entries.back().rank < Rank::kGate) return;
  fail("waiting for memory or touching the caller's", entries.back());
}

void assert_none_held() noexcept {
  if (handlers > 0) return;
  const auto& entries = held();
  if (!entries.empty()) fail("leaving the library", entries.back());
}

std::size_t held_count() noexcept {
  return held().size();
}

}  // namespace quire::sync::lock_rank

#endif  // QUIRE_CHECKS
