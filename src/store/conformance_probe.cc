#include "store/conformance_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "quire/limits.h"
#include "sync/clock.h"

namespace quire::store {

namespace {

constexpr std::byte kUntouched{0xfe};

// Where stores go that owe an answer, with the requests that they owe it to. Never emptied: the
// answer may come at any time.
struct Unanswered {
  std::shared_ptr<Store> store;
  std::vector<ProbeRequestPtr> requests;
};
void keep_for_ever(Unanswered unanswered) {
  static auto* const mutex = new sync::Mutex;
  static auto* const kept = new std::vector<Unanswered>;
  sync::MutexLock lock(*mutex);
  kept->push_back(std::move(unanswered));
}

}  // namespace

ProbeRequest::ProbeRequest(std::size_t length, std::size_t piece_bytes,
                           std::function<void()> on_done)
    : length_(length), on_done_(std::move(on_done)) {
  memory_ = static_cast<std::byte*>(
      ::operator new (std::max<std::size_t>(length, 1), std::align_val_t{limits::kPageBytes}));
  std::fill_n(memory_, length, kUntouched);
  for (std::size_t at = 0; at < length; at += std::min(piece_bytes, length - at)) {
    into_.push_back(memory().subspan(at, std::min(piece_bytes, length - at)));
  }
  from_.assign(into_.begin(), into_.end());
}

ProbeRequest::~ProbeRequest() {
  ::operator delete (memory_, std::align_val_t{limits::kPageBytes});
}

void ProbeRequest::io_done(std::error_code error, std::size_t bytes) noexcept {
  if (answers_.fetch_add(1) != 0) return;
  error_ = error;
  bytes_ = bytes;
  if (on_done_) on_done_();
  parker_.unpark();
}

bool ProbeRequest::wait(std::chrono::milliseconds patience) {
  if (!waited_) {
    waited_ = parker_.park_until({.deadline = sync::deadline_after(patience), .stop = {}}) ==
              sync::WaitStatus::kReady;
  }
  return waited_;
}

Probe::Probe(std::string check, std::shared_ptr<Store> store, const ConformanceOptions& options)
    : check_(std::move(check)), options_(options), store_(std::move(store)) {}

Probe::~Probe() {
  end();
}

bool Probe::good() const {
  sync::MutexLock lock(mutex_);
  return detail_.empty();
}

std::string Probe::detail() const {
  sync::MutexLock lock(mutex_);
  return detail_;
}

void Probe::fail(std::string detail) {
  sync::MutexLock lock(mutex_);
  if (detail_.empty()) detail_ = std::move(detail);
}

bool Probe::expect(bool condition, const std::string& otherwise) {
  if (!condition) fail(otherwise);
  return good();
}

std::string Probe::path(const std::string& suffix) const {
  return "conformance-" + check_ + "-" + suffix;
}

ObjectHandle Probe::open(const std::string& suffix, OpenFlags flags, ObjectId* id) {
  if (!good()) return {};
  const Result<OpenedObject> opened = store_->open(path(suffix), flags, 0644);
  if (!opened) {
    fail("open " + path(suffix) + ": " + opened.error().message());
    return {};
  }
  open_.push_back(opened->handle);
  if (id != nullptr) *id = opened->id;
  return opened->handle;
}

void Probe::close_all() {
  for (const ObjectHandle object : std::exchange(open_, {})) {
    if (const Status closed = store_->close(object); !closed) {
      fail("close: " + closed.error().message());
    }
  }
}

ObjectStat Probe::stat(ObjectHandle object) {
  if (!good()) return {};
  const Result<ObjectStat> stat = store_->stat(object);
  if (!stat) {
    fail("stat: " + stat.error().message());
    return {};
  }
  return *stat;
}

ProbeRequestPtr Probe::make_request(std::size_t length, std::size_t piece_bytes,
                                    std::function<void()> on_done) {
  auto request = std::make_shared<ProbeRequest>(length, piece_bytes, std::move(on_done));
  sync::MutexLock lock(mutex_);
  requests_.push_back(request);
  return request;
}

ProbeRequestPtr Probe::start_write(ObjectHandle object, std::uint64_t offset,
                                   std::span<const std::byte> bytes, IoMode mode,
                                   std::size_t piece_bytes) {
  if (!good()) return nullptr;
  ProbeRequestPtr request = make_request(bytes.size(), piece_bytes);
  std::copy(bytes.begin(), bytes.end(), request->memory().begin());
  store_->write(object, offset, request->from(), mode, *request);
  return request;
}

ProbeRequestPtr Probe::start_read(ObjectHandle object, std::uint64_t offset, std::size_t length,
                                  IoMode mode) {
  if (!good()) return nullptr;
  ProbeRequestPtr request = make_request(length, length);
  store_->read(object, offset, request->into(), mode, *request);
  return request;
}

ProbeRequestPtr Probe::start(const std::function<void(ProbeRequest&)>& submit, std::size_t length,
                             std::function<void()> on_done) {
  if (!good()) return nullptr;
  ProbeRequestPtr request = make_request(length, length, std::move(on_done));
  submit(*request);
  return request;
}

bool Probe::wait(const ProbeRequestPtr& request) {
  if (!request) return false;
  if (request->wait(options_.patience)) return true;
  fail(fmt::format("a request was not answered within {} ms", options_.patience.count()));
  sync::MutexLock lock(mutex_);
  unanswered_ = true;
  return false;
}

bool Probe::finished_well(const ProbeRequestPtr& request, const char* what) {
  if (!wait(request)) return false;
  return expect(!request->error(), fmt::format("{}: {}", what, request->error().message()));
}

void Probe::write(ObjectHandle object, std::uint64_t offset, std::span<const std::byte> bytes,
                  IoMode mode) {
  finished_well(start_write(object, offset, bytes, mode), "write");
}

std::vector<std::byte> Probe::read(ObjectHandle object, std::uint64_t offset, std::size_t length,
                                   IoMode mode) {
  const ProbeRequestPtr request = start_read(object, offset, length, mode);
  if (!finished_well(request, "read")) return {};
  if (!expect(request->bytes() <= length,
              fmt::format("a read of {} bytes reports {}", length, request->bytes()))) {
    return {};
  }
  const auto bytes = request->memory().first(request->bytes());
  return {bytes.begin(), bytes.end()};
}

void Probe::truncate(ObjectHandle object, std::uint64_t size_bytes) {
  finished_well(start([&](IoDone& done) { store_->truncate(object, size_bytes, done); }),
                "truncate");
}

void Probe::sync(ObjectHandle object, SyncKind kind) {
  finished_well(start([&](IoDone& done) { store_->sync(object, kind, done); }), "sync");
}

void Probe::expect_bytes(ObjectHandle object, std::uint64_t offset,
                         std::span<const std::byte> expected, const std::string& what,
                         IoMode mode) {
  const std::vector<std::byte> actual = read(object, offset, expected.size(), mode);
  if (!good()) return;
  const std::string text = difference(actual, expected);
  expect(text.empty(), fmt::format("{}, read from byte {}: {}", what, offset, text));
}

void Probe::crash() {
  close_all();
  if (!good()) return;
  store_ = options_.crash(std::move(store_));
  if (!store_) fail("the crash function returned no store");
}

std::vector<unsigned> Probe::end() {
  std::vector<unsigned> answers;
  std::vector<ProbeRequestPtr> requests;
  bool unanswered = false;
  {
    sync::MutexLock lock(mutex_);
    requests = std::move(requests_);
    requests_.clear();
    unanswered = unanswered_;
  }
  // A check that failed midway may have left others in flight: they get their time too.
  for (const ProbeRequestPtr& request : requests) {
    if (!unanswered && !request->wait(options_.patience)) unanswered = true;
  }
  if (unanswered) {
    keep_for_ever({std::move(store_), std::move(requests)});
    return answers;
  }
  if (store_) close_all();
  store_.reset();
  answers.reserve(requests.size());
  for (const ProbeRequestPtr& request : requests) answers.push_back(request->answers());
  return answers;
}

std::vector<std::byte> probe_pattern(std::size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  std::uint32_t state = seed * 2654435761u + 12345u;
  for (std::byte& b : bytes) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(1 + (state >> 24) % 250);
  }
  return bytes;
}

std::string difference(std::span<const std::byte> actual, std::span<const std::byte> expected) {
  const auto at = std::mismatch(actual.begin(), actual.end(), expected.begin(), expected.end());
  if (at.first != actual.end() && at.second != expected.end()) {
    return fmt::format("byte {} is {:#04x}, should be {:#04x}", at.first - actual.begin(),
                       std::to_integer<unsigned>(*at.first), std::to_integer<unsigned>(*at.second));
  }
  if (actual.size() == expected.size()) return {};
  return fmt::format("{} bytes came, should be {}", actual.size(), expected.size());
}

}  // namespace quire::store
