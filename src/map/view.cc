#include "map/view.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "sync/check.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24  // Linux 5.18
#endif

namespace quire::map {
namespace {

constexpr std::size_t kPage = limits::kPageBytes;

Error failed(const char* what) {
  return Error(std::error_code(errno, std::generic_category()), what);
}

Error no_memory() {
  return Error(std::errc::not_enough_memory,
               "a mapping cannot be changed: out of memory, or at the limit vm.max_map_count");
}

int protection(Access access) {
  return access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
}

// mmap(2) of a memfd over what is mapped at `at`. By the bare call: ThreadSanitizer takes mmap() for a store to all of
// the memory, and knows nothing of the kernel having those who access it wait.
bool map_over(std::span<std::byte> at, int access, int memfd, std::uint64_t offset) {
  return ::syscall(SYS_mmap, at.data(), at.size(), access, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                   memfd, static_cast<off_t>(offset)) != -1;
}

// Maps `bytes` of the memfd and enrols them; over what is at `at`, unless that is null. Until they are enrolled they
// cannot be accessed at all: nobody knows the address of a new one, but mlockall(MCL_FUTURE) would have it
// populated. Returns the address.
Result<std::byte*> install(Userfault& userfault, std::byte* at, std::size_t bytes, int memfd,
                           std::uint64_t offset, Access access) {
  userfault.count(Call::kMap);
  void* mapped = at;
  if (at == nullptr) {
    mapped = ::mmap(nullptr, bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, memfd,
                    static_cast<off_t>(offset));
    if (mapped == MAP_FAILED) return failed("mmap");
  } else if (!map_over({at, bytes}, PROT_NONE, memfd, offset)) {
    return failed("mmap");
  }
  auto* const address = static_cast<std::byte*>(mapped);
  const auto give_up = [&](Error error) {
    if (at == nullptr) QUIRE_CHECK(::munmap(mapped, bytes) == 0);
    return error;
  };
  if (::madvise(mapped, bytes, MADV_DONTFORK) != 0) return give_up(failed("madvise"));
  if (Status enrolled = userfault.enroll({address, bytes}); !enrolled) {
    return give_up(std::move(enrolled).error());
  }
  if (::mprotect(mapped, bytes, protection(access)) != 0) return give_up(failed("mprotect"));
  return address;
}

// The kernel does most operations in one of its mappings at a time, and a program may have cut ours up: mlock() or
// madvise() of a part is enough. Then each page by itself.
template <class Operation>
Done together_or_by_page(std::span<std::byte> range, Operation&& operation) {
  Done done = operation(range);
  if (done.stop != Stop::kGone || range.size() == kPage) return done;
  std::size_t bytes = 0;
  while (bytes < range.size()) {
    done = operation(range.subspan(bytes, kPage));
    if (!done.all()) return {bytes, done.stop};
    bytes += kPage;
  }
  return {bytes, Stop::kNothing};
}

}  // namespace

// Holds the view's lock for a scope.
class View::Shared {
 public:
  explicit Shared(const View& view) : lock_(const_cast<sync::RwLock&>(view.lock_)) {
    QUIRE_CHECK(lock_.lock(sync::RwMode::kRead) == sync::WaitStatus::kReady);
  }
  ~Shared() { lock_.unlock(sync::RwMode::kRead); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

 private:
  sync::RwLock& lock_;
};

class View::Alone {
 public:
  explicit Alone(View& view) : lock_(view.lock_) {
    QUIRE_CHECK(lock_.lock(sync::RwMode::kWrite) == sync::WaitStatus::kReady);
  }
  ~Alone() { lock_.unlock(sync::RwMode::kWrite); }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;

 private:
  sync::RwLock& lock_;
};

template <class Wanted, class Act>
void View::for_each(std::size_t first, std::size_t count, Wanted&& wanted, Act&& act) const {
  runs_.visit(first, count, [&](const Run& run) {
    if (wanted(run.state)) act(run);
  });
}

template <class Wanted, class Act, class Change>
Status View::for_each_change(std::size_t first, std::size_t count, Wanted&& wanted, Act&& act,
                             Change&& change) {
  const std::size_t end = first + count;
  while (first < end) {
    const Run whole = runs_.at(first);
    const Run run = {first, std::min(whole.end(), end) - first, whole.state};
    first = run.end();
    if (!wanted(run.state)) continue;
    // What is all of a run needs no place for the rest.
    if (run.count < whole.count && !runs_.reserve()) return no_memory();
    if (Status acted = act(run); !acted) return acted;
    State state = run.state;
    change(state);
    runs_.assign(run.first, run.count, state);
  }
  return {};
}

Result<std::unique_ptr<View>> View::map(Userfault& userfault, int memfd, std::uint64_t offset,
                                        std::size_t pages, Access access) {
  QUIRE_CHECK(pages > 0 && offset % kPage == 0);
  const Result<std::byte*> address =
      install(userfault, nullptr, pages * kPage, memfd, offset, access);
  if (!address) return address.error();
  return std::unique_ptr<View>(
      new View(userfault, memfd, offset, {*address, pages * kPage}, access));
}

View::View(Userfault& userfault, int memfd, std::uint64_t offset, std::span<std::byte> memory,
           Access access)
    : userfault_(userfault),
      memfd_(memfd),
      offset_(offset),
      memory_(memory),
      runs_(memory.size() / kPage,
            State{.mapped = true, .closed = false, .replaced = false, .access = access}) {
  userfault_.view_made();
}

View::~View() {
  // What the kernel does not unmap, at the limit of mappings, stays: nobody has its address, and it is lost.
  static_cast<void>(unmap(0, pages()));
  userfault_.view_gone();
}

std::size_t View::mapped_pages() const {
  const Shared lock(*this);
  std::size_t mapped = 0;
  for_each(
      0, pages(), [](const State& state) { return state.mapped; },
      [&](const Run& run) { mapped += run.count; });
  return mapped;
}

bool View::allows(std::size_t first, std::size_t count, Access access) const {
  const Shared lock(*this);
  bool allowed = true;
  for_each(
      first, count, [&](const State& state) { return !state.mapped || state.access < access; },
      [&](const Run&) { allowed = false; });
  return allowed;
}

std::optional<std::size_t> View::page_of(const std::byte* address) const {
  // As numbers: pointers into different objects have no order.
  const std::uintptr_t distance =
      reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(memory_.data());
  if (distance >= memory_.size()) return std::nullopt;
  return distance / kPage;
}

Done View::resolve(std::size_t first, std::size_t count, Grant grant) {
  const Shared lock(*this);
  const Run& run = runs_.at(first);
  if (!run.state.mapped || run.state.replaced) return {0, Stop::kGone};
  // Where stores cannot go through anyway they need not be barred; set_access() sees to the rest.
  const bool read_only = run.state.access == Access::kRead;
  if (read_only && !userfault_.has(Feature::kResolveProtected)) grant = Grant::kLoadsAndStores;
  const std::size_t here = std::min(count, run.end() - first);
  const Done done = together_or_by_page(bytes(first, here), [&](std::span<std::byte> range) {
    return userfault_.resolve(range, grant);
  });
  return done.all() && here < count ? Done{done.bytes, Stop::kPartly} : done;
}

Done View::unprotect(std::size_t first, std::size_t count) {
  const Shared lock(*this);
  const Run& run = runs_.at(first);
  if (!run.state.mapped || run.state.replaced) return {0, Stop::kGone};
  const std::size_t here = std::min(count, run.end() - first);
  const Done done = together_or_by_page(
      bytes(first, here), [&](std::span<std::byte> range) { return userfault_.unprotect(range); });
  return done.all() && here < count ? Done{done.bytes, Stop::kPartly} : done;
}

void View::protect(std::size_t first, std::size_t count) noexcept {
  const Shared lock(*this);
  for_each(
      first, count, [](const State& state) { return state.mapped && !state.replaced; },
      [&](const Run& run) {
        const std::span<std::byte> range = bytes(run.first, run.count);
        // Without a translation a store is asked about too.
        if (!userfault_.protect(range).all()) drop_translations(range);
      });
}

View::Stored View::stored(std::size_t first, std::size_t count) noexcept {
  const Shared lock(*this);
  Stored all;
  for_each(
      first, count, [](const State& state) { return state.mapped || state.closed; },
      [&](const Run& run) {
        userfault_.count(Call::kScan);
        const StoreMarks::Pages taken = userfault_.store_marks()->take(bytes(run.first, run.count));
        for (std::size_t i = 0; i < run.count; ++i) {
          const std::size_t at = run.first - first + i;
          all.mapped.set(at, run.state.mapped);
          // What was replaced shows nothing; nobody knows what it has shown before.
          all.stored.set(at, run.state.replaced || taken.test(i));
        }
      });
  return all;
}

void View::zap(std::size_t first, std::size_t count) noexcept {
  const Shared lock(*this);
  for_each(
      first, count, [](const State& state) { return state.mapped && !state.replaced; },
      [&](const Run& run) { drop_translations(bytes(run.first, run.count)); });
}

void View::wake(std::size_t first, std::size_t count) noexcept {
  userfault_.wake(bytes(first, count));
}

void View::drop_translations(std::span<std::byte> range) noexcept {
  userfault_.count(Call::kZap);
  // Of what the program has locked in memory too. ENOMEM: it has unmapped a part, and the rest is done.
  QUIRE_CHECK(::madvise(range.data(), range.size(), MADV_DONTNEED_LOCKED) == 0 || errno == ENOMEM);
}

Status View::fail(std::size_t first, std::size_t count) {
  const Alone lock(*this);
  const auto there = [](const State& state) { return state.mapped && !state.replaced; };
  if (!userfault_.has(Feature::kPoison)) {
    return for_each_change(
        first, count, there, [&](const Run& run) { return replace(run); },
        [](State& state) { state.replaced = true; });
  }
  poisoned_.store(true);
  Status status;
  for_each(first, count, there, [&](const Run& run) {
    if (status.ok()) status = poison(bytes(run.first, run.count));
  });
  return status;
}

Status View::poison(std::span<std::byte> range) {
  bool dropped = false;
  while (!range.empty()) {
    const Done done = together_or_by_page(
        range, [&](std::span<std::byte> part) { return userfault_.poison(part); });
    range = range.subspan(done.bytes);
    switch (done.stop) {
      case Stop::kNothing:
      case Stop::kPartly:
        break;
      case Stop::kMapped:
        // A translation goes, and then the mark that it leaves if it barred stores. Nobody makes new ones meanwhile.
        if (std::exchange(dropped, true)) return no_memory();
        drop_translations(range);
        static_cast<void>(together_or_by_page(range, [&](std::span<std::byte> part) {
          return userfault_.unprotect(part, Wake::kNo);
        }));
        break;
      case Stop::kPastEnd:
      case Stop::kGone:
        // The kernel raises a signal by itself.
        userfault_.wake(range);
        return {};
      default:
        return no_memory();
    }
  }
  return {};
}

Status View::replace(const Run& run) {
  const std::span<std::byte> range = bytes(run.first, run.count);
  const std::uint64_t offset = offset_ + run.first * kPage;
  userfault_.count(Call::kMap);
  if (!map_over(range, protection(run.state.access), userfault_.empty_file(), offset)) {
    return no_memory();
  }
  // That it reaches a child of fork() would do no harm.
  static_cast<void>(::madvise(range.data(), range.size(), MADV_DONTFORK));
  userfault_.wake(range);
  return {};
}

Status View::clear_failed(std::size_t first, std::size_t count) {
  if (userfault_.has(Feature::kPoison)) {
    if (poisoned_.load()) zap(first, count);
    return {};
  }
  const Alone lock(*this);
  return for_each_change(
      first, count, [](const State& state) { return state.mapped && state.replaced; },
      [&](const Run& run) { return restore(run); }, [](State& state) { state.replaced = false; });
}

Status View::restore(const Run& run) {
  const std::span<std::byte> range = bytes(run.first, run.count);
  const Result<std::byte*> installed = install(userfault_, range.data(), range.size(), memfd_,
                                               offset_ + run.first * kPage, run.state.access);
  if (installed.ok()) return {};
  static_cast<void>(replace(run));
  return no_memory();
}

View::Changed View::change_protection(const Run& run, int to) noexcept {
  const std::span<std::byte> range = bytes(run.first, run.count);
  userfault_.count(Call::kAccess);
  if (::mprotect(range.data(), range.size(), to) == 0) return Changed::kAll;
  // The kernel does one of its mappings after the other, and may have come to some. What has been joined by that has
  // left room for being parted again, unless another thread was faster.
  const int from = protection(run.state.access);
  return ::mprotect(range.data(), range.size(), from) == 0 ? Changed::kNone : Changed::kSome;
}

Status View::set_access(std::size_t first, std::size_t count, Access access) {
  const Alone lock(*this);
  return for_each_change(
      // Whatever they have: of some it may be unknown, see below.
      first, count, [](const State& state) { return state.mapped; },
      [&](const Run& run) -> Status {
        const bool grants = run.state.access < access;
        // Where stores were not barred because none could go through.
        if (grants && !userfault_.has(Feature::kResolveProtected)) {
          drop_translations(bytes(run.first, run.count));
        }
        const Changed changed = change_protection(run, protection(access));
        if (changed == Changed::kAll) return {};
        if (grants && changed == Changed::kSome) {
          // Stores are asked about from now on as if all of it might be stored into.
          State state = run.state;
          state.access = access;
          runs_.assign(run.first, run.count, state);
        }
        return no_memory();
      },
      [&](State& state) { state.access = access; });
}

Status View::close_off(std::size_t first, std::size_t* count) {
  const Alone lock(*this);
  std::size_t closed = 0;
  Status status = for_each_change(
      first, *count, [](const State& state) { return state.mapped; },
      [&](const Run& run) -> Status {
        const Changed changed = change_protection(run, PROT_NONE);
        // Some of it may be closed to who waits: he must not wait for ever.
        if (changed != Changed::kNone) userfault_.wake(bytes(run.first, run.count));
        if (changed != Changed::kAll) return no_memory();
        closed = run.end() - first;
        return {};
      },
      [](State& state) {
        state = {
            .mapped = false, .closed = true, .replaced = state.replaced, .access = Access::kRead};
      });
  if (!status.ok()) *count = closed;
  return status;
}

Status View::unmap(std::size_t first, std::size_t count) {
  const Alone lock(*this);
  return for_each_change(
      first, count, [](const State& state) { return state.mapped || state.closed; },
      [&](const Run& run) -> Status {
        const std::span<std::byte> range = bytes(run.first, run.count);
        userfault_.count(Call::kUnmap);
        if (::munmap(range.data(), range.size()) != 0) return no_memory();
        // The kernel leaves them asleep.
        userfault_.wake(range);
        return {};
      },
      [](State& state) {
        state = {.mapped = false, .closed = false, .replaced = false, .access = Access::kRead};
      });
}

}  // namespace quire::map
