#include "cache/fill.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>

#include "cache/block_holders.h"
#include "fault/planted.h"
#include "sync/check.h"
#include "sync/waker.h"

namespace quire::cache {

// One request that reads a run of filling pages. Shared by the store and by the reader who waits for it, a
// thread or not; the last of them deletes it.
//
//             CAS by io_done                store by io_done
//   waited ------------------> publishing ------------------> done     the reader gets the pins
//      | CAS by the reader, who gives up
//      v
//   unwatched ---- io_done publishes without pins ----> deleted
class FillRequest final : public IoDone {
 public:
  // `reader` waits for it, or nobody.
  FillRequest(FilePages& pages, std::uint64_t first, sync::Waker* reader)
      : pages_(pages.shared_from_this()),
        first_(first),
        reader_(reader),
        phase_(reader != nullptr ? Phase::kWaited : Phase::kUnwatched),
        owners_(reader != nullptr ? 2 : 1) {}

  FilePages& pages() noexcept { return *pages_; }
  std::uint64_t first() const noexcept { return first_; }
  std::size_t count() const noexcept { return count_; }
  std::byte* page_bytes(std::size_t i) noexcept {
    return pages_->bytes(first_ + i, word(i).load());
  }
  FrameNumber* frames() noexcept { return frames_.data(); }
  void set_added(std::size_t count, std::uint64_t size_bytes) noexcept {
    count_ = count;
    size_bytes_ = size_bytes;
  }
  void set_marker(std::uint64_t index) noexcept { marker_index_ = index; }
  // What the lock holds until the pages are filled.
  void keep(CacheLock::Add&& add) noexcept { add_ = std::move(add); }
  std::error_code error() const noexcept { return error_; }

  void submit(IoMode mode) noexcept;
  // By the reader. True: the request goes on alone, and `this` may be gone. False: he is being woken.
  bool give_up() noexcept;
  void disown() noexcept {
    if (owners_.fetch_sub(1) == 1) delete this;
  }
  // A page's pin, taken for the reader.
  void unpin(std::size_t i) noexcept;

  void io_done(std::error_code error, std::size_t bytes) noexcept override;

 private:
  enum class Phase : std::uint8_t { kWaited, kUnwatched, kPublishing, kDone };

  void publish(std::error_code error, std::size_t bytes, unsigned pins) noexcept;
  PageWord& word(std::size_t i) noexcept { return *pages_->find(first_ + i); }

  const std::shared_ptr<FilePages> pages_;
  const std::uint64_t first_;
  sync::Waker* const reader_;
  CacheLock::Add add_;
  std::size_t count_ = 0;
  std::uint64_t size_bytes_ = 0;  // of the file when the pages were added
  std::uint64_t marker_index_ = ~std::uint64_t{0};
  std::error_code error_;
  sync::Atomic<Phase> phase_;
  sync::Atomic<std::uint32_t> owners_;
  std::array<FrameNumber, limits::kStoreIoMaxPieces> frames_;
  std::array<Store::Buffer, limits::kStoreIoMaxPieces> buffers_;
};

void FillRequest::submit(IoMode mode) noexcept {
  // Pages that lie side by side are one piece.
  std::size_t pieces = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    const PageValue value = word(i).load();
    if (value.in_file()) pages_->cache().memory().pool().lend_unused(frames_[i]);
    std::byte* const bytes = pages_->bytes(first_ + i, value);
    if (pieces > 0 && buffers_[pieces - 1].data() + buffers_[pieces - 1].size() == bytes) {
      buffers_[pieces - 1] = {buffers_[pieces - 1].data(),
                              buffers_[pieces - 1].size() + limits::kPageBytes};
    } else {
      buffers_[pieces++] = {bytes, limits::kPageBytes};
    }
  }
  PageCache& cache = pages_->cache();
  // A store that accesses a mapping of these pages would wait for its own thread.
  std::optional<BlockHolders::Scope> scope;
  if (pages_->memory() != nullptr) scope.emplace();
  pages_->begin_request(FilePages::Request::kLooks);
  cache.counters().read_requests.fetch_add(1);
  cache.store().read(pages_->read_handle(), page_offset(first_), {buffers_.data(), pieces}, mode,
                     *this);
}

void FillRequest::publish(std::error_code error, std::size_t bytes, unsigned pins) noexcept {
  Memory& memory = pages_->cache().memory();
  // What the store did not give, and what it has past our end of the file, reads as zeros.
  const std::uint64_t in_file = size_bytes_ - std::min(size_bytes_, page_offset(first_));
  const std::size_t valid = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, in_file));
  for (std::size_t i = 0; i < count_; ++i) {
    PageWord& page = word(i);
    if (error && !fault::planted(fault::Planted::kFailedFillStays)) {
      memory.remove(frames_[i]);
      pages_->release_bytes(first_ + i, page.load());
      const PageValue before = page.fail_fill();
      pages_->forget_page(first_ + i, page, frames_[i]);
      pages_->wake(first_ + i, before);
      continue;
    }
    const std::size_t begin = i * limits::kPageBytes;
    const std::size_t have = std::clamp(valid, begin, begin + limits::kPageBytes) - begin;
    if (!fault::planted(fault::Planted::kFillSkipsZeros)) {
      std::memset(page_bytes(i) + have, 0, limits::kPageBytes - have);
    }
    const std::uint64_t flags = first_ + i == marker_index_ ? PageValue::kMarker : 0;
    pages_->wake(first_ + i, page.end_fill(pins, flags));
  }
  if (!error && pins == 0) memory.note_evictable();
}

void FillRequest::io_done(std::error_code error, std::size_t bytes) noexcept {
  Phase expected = Phase::kWaited;
  const bool waited = phase_.compare_exchange_strong(expected, Phase::kPublishing);
  error_ = error;
  publish(error, bytes, waited ? 1 : 0);
  add_.end();
  pages_->end_request(FilePages::Request::kLooks);
  if (waited) {
    phase_.store(Phase::kDone);
    reader_->wake();
  }
  disown();
}

bool FillRequest::give_up() noexcept {
  Phase expected = Phase::kWaited;
  if (!phase_.compare_exchange_strong(expected, Phase::kUnwatched)) return false;
  disown();
  return true;
}

void FillRequestDeleter::operator()(FillRequest* request) const noexcept {
  delete request;
}

void FillRequest::unpin(std::size_t i) noexcept {
  pages_->wake(first_ + i, word(i).unpin());
}

PinnedRun::~PinnedRun() {
  if (request_ == nullptr) return;
  for (std::size_t i = 0; i < request_->count(); ++i) request_->unpin(i);
  request_->pages().cache().memory().note_evictable();
  request_->disown();
}

std::size_t PinnedRun::pages() const noexcept {
  return request_ == nullptr ? 0 : request_->count();
}
std::uint64_t PinnedRun::first() const noexcept {
  return request_->first();
}
const std::byte* PinnedRun::bytes(std::size_t i) const noexcept {
  return request_->page_bytes(i);
}

namespace {

// Adds up to `pages_max` pages from `first` on to the request, which keeps `add`.
void add_pages(FilePages& pages, std::uint64_t first, std::size_t pages_max, FrameSet& frames,
               CacheLock::Add&& add, FillRequest& request) {
  // Nobody shrinks the file here and now. It may grow, by bytes that are not in these pages.
  const std::uint64_t size = pages.size_bytes();
  const std::uint64_t end = pages_of(size);
  if (first >= end) return;
  const std::size_t count = static_cast<std::size_t>(
      std::min<std::uint64_t>(std::min(pages_max, limits::kStoreIoMaxPieces), end - first));
  request.set_added(pages.add_run(first, count, frames, request.frames()), size);
  add.added();
  request.keep(std::move(add));
}

std::size_t frames_wanted(FilePages& pages, std::uint64_t first) noexcept {
  const FilePages::Walker walker(pages);
  return pages.frames_for(first);
}

constexpr bool kRefused = true;

// Of [first, first + pages_max) what lies in the file. A hint: it may be cut or grow.
std::size_t pages_in_file(FilePages& pages, std::uint64_t first, std::size_t pages_max) noexcept {
  const std::uint64_t end = pages_of(pages.size_bytes());
  return first >= end ? 0
                      : static_cast<std::size_t>(std::min<std::uint64_t>(pages_max, end - first));
}

}  // namespace

std::error_code fill_run(FilePages& pages, std::uint64_t first, std::size_t pages_max,
                         const sync::WaitLimit& limit, PinnedRun& run) {
  // Frames are taken, and other pages evicted, for what will be added and no more.
  pages_max = pages_in_file(pages, first, std::min(pages_max, limits::kStoreIoMaxPieces));
  pages_max = pages.absent_run(first, pages_max);
  if (pages_max == 0) return {};

  Memory& memory = pages.cache().memory();
  FrameSet frames(memory);
  const std::size_t need = frames_wanted(pages, first);
  sync::WaitStatus status = memory.acquire(frames, need, limit);
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  if (pages_max > 1) memory.try_acquire(frames, need - 1 + pages_max);

  pages.open_memory(first, pages_max);
  sync::SleepingWaker self;
  std::unique_ptr<FillRequest> request(new (std::nothrow) FillRequest(pages, first, &self));
  if (request == nullptr) return std::make_error_code(std::errc::not_enough_memory);
  CacheLock::Add add;
  if (!add.try_begin(pages.lock(), first, first + pages_max - 1)) {
    // Who waits behind a cut keeps what one page takes, and leaves the rest to others.
    frames.shrink(need);
    status = add.begin(pages.lock(), first, first + pages_max - 1, limit);
    if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  }
  if (fault::planted(fault::Planted::kFramesUnderAdd)) {
    (void)memory.acquire(frames, frames.size() + 1, limit);
  }
  if (fault::planted(fault::Planted::kNestAdds)) {
    (void)CacheLock::Add().begin(pages.lock(), first, first, limit);
  }
  add_pages(pages, first, pages_max, frames, std::move(add), *request);
  if (request->count() == 0) return {};

  frames.give_back();
  memory.insert({request->frames(), request->count()}, pages.serial());
  pages.cache().counters().misses.fetch_add(request->count());
  // A caller who may want to leave must not be the one who is inside the store.
  FillRequest* const shared = request.release();
  {
    const WaitCount::Timer timer(pages.cache().lot().waits());
    shared->submit(limit.may_leave() ? IoMode::kAsync : IoMode::kWait);
    status = self.park(limit, [&] { return shared->give_up(); });
  }
  if (status != sync::WaitStatus::kReady) return sync::to_error(status);
  const std::error_code error = shared->error();
  if (error) {
    shared->disown();
    return error;
  }
  run = PinnedRun(shared);
  return {};
}

ParkedFill::~ParkedFill() {
  // It was granted after all.
  if (step_ == Step::kGranted) add_.granted(at_add_);
  take_run();
}

void ParkedFill::take_run() noexcept {
  FillRequest* const request = std::exchange(sent_, nullptr);
  if (request == nullptr) return;
  error_ = request->error();
  if (error_) {
    request->disown();
  } else {
    run_ = PinnedRun(request);
  }
}

bool ParkedFill::begin(std::uint64_t first, std::size_t pages_max) noexcept {
  QUIRE_DCHECK(step_ == Step::kIdle);
  first_ = first;
  pages_max_ = pages_in_file(pages_, first, std::min(pages_max, limits::kStoreIoMaxPieces));
  pages_max_ = pages_.absent_run(first, pages_max_);
  if (pages_max_ == 0) return end({});
  need_ = frames_wanted(pages_, first);
  step_ = Step::kMemory;
  if (!pages_.cache().memory().acquire_async(frames_, need_, at_memory_)) return false;
  return add();
}

bool ParkedFill::resume() noexcept {
  switch (step_) {
    case Step::kMemory:
      return pages_.cache().memory().resume(at_memory_) && add();
    case Step::kAdd:
      add_.granted(at_add_);
      return submit();
    case Step::kStore:
      read_wait_.reset();
      take_run();
      return end(error_);
    case Step::kIdle:
    case Step::kEnded:
    case Step::kGranted:
      break;
  }
  QUIRE_CHECK(false);
  return true;
}

bool ParkedFill::cancel() noexcept {
  const Step step = std::exchange(step_, Step::kEnded);
  switch (step) {
    case Step::kMemory: {
      const bool taken_back = pages_.cache().memory().cancel(at_memory_);
      frames_.give_back();
      return taken_back;
    }
    case Step::kAdd:
      frames_.give_back();
      if (at_add_.cancel()) return true;
      step_ = Step::kGranted;
      return false;
    case Step::kStore:
      read_wait_.reset();
      if (!sent_->give_up()) return false;
      sent_ = nullptr;
      return true;
    case Step::kIdle:
    case Step::kEnded:
    case Step::kGranted:
      break;
  }
  QUIRE_CHECK(false);
  return true;
}

// The frames are there.
bool ParkedFill::add() noexcept {
  Memory& memory = pages_.cache().memory();
  if (pages_max_ > 1) memory.try_acquire(frames_, need_ - 1 + pages_max_);
  pages_.open_memory(first_, pages_max_);
  unsent_.reset(new (std::nothrow) FillRequest(pages_, first_, &waker_));
  if (unsent_ == nullptr) return end(std::make_error_code(std::errc::not_enough_memory));
  const bool alone = fault::planted(fault::Planted::kAroundOverBlock);
  const std::uint64_t last = alone ? first_ : first_ + pages_max_ - 1;
  if (!add_.try_begin(pages_.lock(), first_, last)) {
    // As fill_run().
    frames_.shrink(need_);
    step_ = Step::kAdd;
    if (!add_.begin_async(pages_.lock(), first_, last, at_add_)) return false;
  }
  return submit();
}

// The Add has begun.
bool ParkedFill::submit() noexcept {
  add_pages(pages_, first_, pages_max_, frames_, std::move(add_), *unsent_);
  add_.end();
  frames_.give_back();
  if (unsent_->count() == 0) return end({});
  pages_.cache().memory().insert({unsent_->frames(), unsent_->count()}, pages_.serial());
  pages_.cache().counters().misses.fetch_add(unsent_->count());
  step_ = Step::kStore;
  sent_ = unsent_.release();
  read_wait_.emplace(pages_.cache().lot().waits());
  sent_->submit(IoMode::kAsync);  // from here on it may be resumed
  return false;
}

bool ParkedFill::end(std::error_code error) noexcept {
  step_ = Step::kEnded;
  error_ = error;
  unsent_.reset();
  frames_.give_back();
  return true;
}

Started start_fill(FilePages& pages, std::uint64_t first, std::size_t pages_max,
                   Marker marker) noexcept {
  pages_max = pages_in_file(pages, first, pages_max);
  std::size_t present = 0;
  std::size_t absent = 0;
  while (present < pages_max && absent == 0) {
    absent = pages.absent_run(first + present, pages_max - present);
    if (absent == 0) ++present;
  }
  if (absent == 0) return {present, false};
  first += present;
  absent = std::min(absent, limits::kStoreIoMaxPieces);

  Memory& memory = pages.cache().memory();
  FrameSet frames(memory);
  const std::size_t need = frames_wanted(pages, first);
  memory.try_acquire(frames, need - 1 + absent);
  if (frames.size() < need) return {present, kRefused};
  pages.open_memory(first, absent);
  std::unique_ptr<FillRequest> request(new (std::nothrow) FillRequest(pages, first, nullptr));
  if (request == nullptr) return {present, kRefused};
  if (marker == Marker::kFirst) request->set_marker(first);
  CacheLock::Add add;
  if (!add.try_begin(pages.lock(), first, first + absent - 1)) return {present, kRefused};
  add_pages(pages, first, absent, frames, std::move(add), *request);
  const std::size_t started = request->count();
  if (started == 0) return {present, false};  // somebody was faster

  frames.give_back();
  memory.insert({request->frames(), started}, pages.serial());
  pages.cache().counters().readahead_pages.fetch_add(started);
  request.release()->submit(IoMode::kAsync);
  return {present + started, false};
}

}  // namespace quire::cache
