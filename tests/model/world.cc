#include "model/world.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "model/access.h"

namespace quire::model {
namespace {

constexpr const char* kCrowdPath = "crowd";
constexpr std::size_t kCrowdBytes = std::size_t{8} << 20;
constexpr std::size_t kLogLinesMax = 20;
// Nodes of page trees, of the few places where pages lie.
constexpr std::uint64_t kNodesMax = 96;

constexpr std::array<file::FaultWay, file::FaultWay::kCount> kWays = {
    {{false, false}, {true, false}, {false, true}, {true, true}}};

const std::error_code kStale(ESTALE, std::generic_category());

// Bytes that the memory of mapped files takes, of all caches.
std::uint64_t mapped_memory_bytes() {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string name = std::filesystem::read_symlink(entry.path(), error).string();
    struct stat stat = {};
    if (error || name.rfind("/memfd:quire", 0) != 0) continue;
    if (::stat(entry.path().c_str(), &stat) != 0) continue;
    bytes += static_cast<std::uint64_t>(stat.st_blocks) * 512;
  }
  return bytes;
}

bool kernel_is_at_least(int major, int minor) {
  utsname name = {};
  int has_major = 0;
  int has_minor = 0;
  if (::uname(&name) != 0) return false;
  if (std::sscanf(name.release, "%d.%d", &has_major, &has_minor) != 2) return false;
  return has_major > major || (has_major == major && has_minor >= minor);
}

class Waited final : public IoDone {
 public:
  void io_done(std::error_code error, std::size_t bytes) noexcept override {
    error_ = error;
    bytes_ = bytes;
  }
  std::error_code error_;
  std::size_t bytes_ = 0;
};

std::string where(unsigned file) {
  return kShapes[file].path;
}

}  // namespace

World::World(Locking locking, std::uint64_t seed) : locking_(locking), seed_(seed) {
  handle_signals();
  static constexpr std::array<std::uint32_t, 3> kAlignments = {1, 512, 4096};
  store_ = MemoryStore::create(
      {.io_alignment_bytes = kAlignments[seed % kAlignments.size()], .reserves_space = true});
  store_->poke(kCrowdPath, std::vector<std::byte>(kCrowdBytes, std::byte{'c'}));
  for (unsigned i = 0; i < kFiles; ++i) {
    constexpr OpenFlags kMake = OpenFlags::kRead | OpenFlags::kCreate;
    files_[i].inspected = store_->open(kShapes[i].path, kMake, 0644).value().handle;
  }
  for (const Name& name : kNames) {
    const std::string path = kShapes[name.file].path;
    if (path != name.path) store_->link(path, name.path);
  }
  script_ = std::make_unique<StoreScript>(store_);
  begin_life();
}

World::~World() {
  script_->end();
  script_->revive();
  for (TestedMapping& mapping : mappings_) (void)mapping.mapping.unmap();
  for (TestedHandle& handle : handles_) {
    if (handle.file.is_open()) (void)handle.file.close();
  }
  (void)cache_->close();
  cache_.reset();
  for (const TestedFile& file : files_) (void)store_->close(file.inspected);
}

void World::begin_life() {
  CacheOptions options;
  options.memory_bytes = limits::kMemoryMinBytes;
  options.dirty_max_bytes = std::size_t{1} << 20;
  options.dirty_background_bytes = std::size_t{128} << 10;
  options.dirty_age = std::chrono::milliseconds(20);
  options.locking = locking_;
  options.worker_threads = 1;
  reserves_space_ = (seed_ + lives_++) % 2 == 0;
  options.reserve_space = reserves_space_;
  options.log = [this](LogLevel, std::string_view text) {
    const std::lock_guard lock(log_mutex_);
    log_.emplace_back(text);
    if (log_.size() > kLogLinesMax) log_.pop_front();
  };
  auto cache = Cache::create(store_, options);
  if (!cache.ok()) throw Mismatch("making a cache: " + cache.error().message());
  cache_ = std::move(*cache);
  nodes_and_fixed_bytes_ = cache_->stats().memory_used_bytes + kNodesMax * kPageBytes;
  for (TestedFile& file : files_) {
    file.stamps = {};
    file.may_be_stale = false;
  }
}

bool World::is_watched(unsigned file) const {
  return std::any_of(mappings_.begin(), mappings_.end(), [&](const TestedMapping& mapping) {
    return mapping.mapping.is_mapped() && mapping.number == file && mapping.may_store_unheard();
  });
}

bool World::maps_nothing() {
  static const bool refused = [] {
    const long fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (fd >= 0) ::close(static_cast<int>(fd));
    return fd < 0;
  }();
  return refused;
}

bool World::lets_stores_through() const {
  static const bool kernel_does = kernel_is_at_least(6, 7);
  return kernel_does && !reserves_space_;
}

std::array<HandleView, kHandles> World::view() const {
  std::array<HandleView, kHandles> views;
  for (unsigned i = 0; i < kHandles; ++i) {
    const TestedHandle& handle = handles_[i];
    const ModelFile& model = files_[handle.number].model;
    views[i] = {.open = handle.file.is_open(),
                .file = handle.number,
                .size = model.size(),
                .flags = handle.flags,
                .may_be_lost = model.may_be_lost(0, kLastPage),
                .reshaped = model.reshaped(),
                .alignment_bytes = alignment_bytes()};
  }
  return views;
}

std::array<MappingView, kMappings> World::mapping_view() const {
  std::array<MappingView, kMappings> views;
  for (unsigned i = 0; i < kMappings; ++i) {
    const TestedMapping& mapping = mappings_[i];
    views[i] = {.mapped = mapping.mapping.is_mapped(),
                .file = mapping.number,
                .offset = mapping.first_page * kPageBytes,
                .bytes = mapping.mapping.size(),
                .file_bytes = files_[mapping.number].model.size()};
  }
  return views;
}

PageRef World::stored(unsigned file, std::uint64_t index) {
  const StoreBypass bypass;
  alignas(kPageBytes) static Page bytes;  // aligned as the store asks
  bytes.fill(std::byte{0});
  const Store::Buffer piece(bytes);
  Waited done;
  store_->read(files_[file].inspected, index * kPageBytes, {&piece, 1}, IoMode::kWait, done);
  if (done.error_) throw Mismatch("inspecting the store: " + done.error_.message());
  return bytes == kZeros ? nullptr : std::make_shared<Page>(bytes);
}

void World::check_stored(unsigned file, std::uint64_t first, std::uint64_t last, bool size_too) {
  const ModelFile& model = files_[file].model;
  for (const std::uint64_t index : model.unsynced_pages()) {
    if (index < first || index > last || index >= pages_up_to(model.size())) continue;
    if (!same(stored(file, index), model.page(index))) {
      throw Mismatch(fmt::format("{}: page {} is not on the store", where(file), index));
    }
  }
  if (!size_too) return;
  const std::uint64_t size = store_->stat(files_[file].inspected)->size_bytes;
  if (size != model.size()) {
    throw Mismatch(
        fmt::format("{}: {} bytes on the store instead of {}", where(file), size, model.size()));
  }
}

void World::check_contents(unsigned number) {
  auto opened = cache_->open(kShapes[number].path, OpenFlags::kRead);
  if (!opened.ok()) throw Mismatch("opening: " + opened.error().message());
  ModelFile& model = files_[number].model;
  std::vector<std::byte> buffer(16 * kPageBytes);
  std::uint64_t next = 0;
  const auto compare = [&](std::uint64_t index) {
    if (index < next) return;
    const std::uint64_t offset = index * kPageBytes;
    const std::uint64_t expected = model.readable(offset, buffer.size());
    if (expected == 0) return;
    const auto got = opened->read({buffer.data(), static_cast<std::size_t>(expected)}, offset);
    if (!got.ok() || *got != expected) {
      throw Mismatch(fmt::format("{}: verify read {} bytes at {}: {}", where(number), expected,
                                 offset,
                                 got.ok() ? fmt::format("{} bytes", *got) : got.error().message()));
    }
    const std::string wrong = model.check_read(offset, {buffer.data(), *got});
    if (!wrong.empty()) throw Mismatch(where(number) + ": " + wrong);
    next = index + buffer.size() / kPageBytes;
  };
  for (const std::uint64_t index : model.known_pages()) compare(index);
  next = 0;
  compare(page_of(model.size()));
  const Status closed = opened->close();
  const bool stale = closed.code() == kStale && files_[number].may_be_stale;
  if (!closed.ok() && !model.may_be_lost(0, kLastPage) && !stale) {
    throw Mismatch("closing: " + closed.error().message());
  }
}

void World::check_books() {
  const bool lost = std::any_of(files_.begin(), files_.end(), [](const TestedFile& file) {
    return file.model.may_be_lost(0, kLastPage);
  });
  if (lost) return;  // no sync succeeds, so nothing is promised
  // A program that was answered goes on while the answer ends, and gives back what it held.
  for (const file::FaultWay way : kWays) {
    const auto service = file::FaultService::of_process(way);
    while (service.ok() && (*service)->under_way() > 0) std::this_thread::yield();
  }
  if (Status synced = sync_all(); !synced.ok()) {
    throw Mismatch("books: " + synced.error().message());
  }
  for (unsigned i = 0; i < kFiles; ++i) {
    check_stored(i, 0, kLastPage, true);
    files_[i].model.synced(0, kLastPage);
  }
  const CacheStats clean = cache_->stats();
  if (clean.dirty_pages > pages_watched() || clean.writeback_pages != 0) {
    throw Mismatch(fmt::format("books: {} pages are dirty and {} being written after a sync",
                               clean.dirty_pages, clean.writeback_pages));
  }
  if (clean.memory_used_bytes > clean.memory_bytes) {
    throw Mismatch(
        fmt::format("books: {} of {} bytes are used", clean.memory_used_bytes, clean.memory_bytes));
  }
  std::set<std::string> paths = {kCrowdPath};
  for (const FileShape& shape : kShapes) paths.insert(shape.path);
  for (const std::string& path : paths) {
    auto opened = cache_->open(path, OpenFlags::kRead);
    if (!opened.ok()) throw Mismatch("opening: " + opened.error().message());
    Status dropped = opened->write_and_invalidate(0, 0);
    if (dropped.ok()) dropped = opened->close();
    if (!dropped.ok()) throw Mismatch("books: " + dropped.error().message());
  }
  const CacheStats empty = cache_->stats();
  if (empty.cached_pages != 0 || empty.dirty_pages != 0 ||
      empty.memory_used_bytes > nodes_and_fixed_bytes_) {
    throw Mismatch(
        fmt::format("books: {} pages are cached, {} dirty, and {} bytes used when all is dropped",
                    empty.cached_pages, empty.dirty_pages, empty.memory_used_bytes));
  }
  for (unsigned i = 0; i < kFiles; ++i) {
    if (!is_watched(i)) files_[i].model.stop_watching();
  }
  if (const std::uint64_t bytes = mapped_memory_bytes(); bytes != 0) {
    throw Mismatch(fmt::format("books: mapped files have {} bytes when all is dropped", bytes));
  }
}

std::uint64_t World::pages_watched() const {
  std::uint64_t count = 0;
  for (const TestedMapping& mapping : mappings_) {
    if (!mapping.mapping.is_mapped() || !mapping.way.async_stores) continue;
    count += static_cast<std::uint64_t>(std::count_if(
        mapping.pages.begin(), mapping.pages.end(),
        [](TestedMapping::Page page) { return page != TestedMapping::Page::kUnmapped; }));
  }
  return count;
}

Status World::sync_all() {
  for (;;) {
    Status synced = cache_->sync();
    bool stale = false;
    for (TestedFile& file : files_) stale |= std::exchange(file.may_be_stale, false);
    if (synced.ok() || !stale || synced.code() != kStale) return synced;
  }
}

void World::read_crowd(std::uint64_t pattern) {
  auto opened = cache_->open(kCrowdPath, OpenFlags::kRead);
  if (!opened.ok()) throw Mismatch("opening: " + opened.error().message());
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  const std::size_t parts = kCrowdBytes / buffer.size();
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint64_t offset = (pattern + i) % parts * buffer.size();
    const auto got = opened->read(buffer, offset);
    const bool right = got.ok() && *got == buffer.size() &&
                       std::all_of(buffer.begin(), buffer.end(),
                                   [](std::byte byte) { return byte == std::byte{'c'}; });
    if (!right) throw Mismatch("reading the crowd");
  }
  if (!opened->close().ok()) throw Mismatch("closing the crowd");
}

void World::crash(bool clean) {
  const bool lost = std::any_of(files_.begin(), files_.end(), [](const TestedFile& file) {
    return file.model.may_be_lost(0, kLastPage);
  });
  if (!clean) script_->die();
  const auto check_closed = [&](const Status& closed, unsigned file) {
    const bool stale = closed.code() == kStale && files_[file].may_be_stale;
    if (!closed.ok() && clean && !lost && !stale) {
      throw Mismatch("closing: " + closed.error().message());
    }
  };
  for (TestedMapping& mapping : mappings_) {
    check_closed(mapping.mapping.unmap(), mapping.number);
    mapping = {};
  }
  for (TestedHandle& handle : handles_) {
    if (handle.file.is_open()) check_closed(handle.file.close(), handle.number);
  }
  const Status closed = cache_->close();
  const bool stale = closed.code() == kStale &&
                     std::any_of(files_.begin(), files_.end(),
                                 [](const TestedFile& file) { return file.may_be_stale; });
  if (clean && !closed.ok() && !lost && !stale)
    throw Mismatch("closing: " + closed.error().message());
  cache_.reset();
  script_->revive();
  store_->crash();
  for (unsigned i = 0; i < kFiles; ++i) check_survived(i, closed.ok());
  begin_life();
}

void World::check_survived(unsigned number, bool all) {
  TestedFile& file = files_[number];
  const std::uint64_t size = store_->stat(file.inspected)->size_bytes;
  const bool size_right = all ? size == file.model.size() : file.model.size_may_survive(size);
  if (!size_right) {
    throw Mismatch(fmt::format("{}: {} bytes after a crash, {} before", where(number), size,
                               file.model.size()));
  }
  std::map<std::uint64_t, PageRef> pages;
  for (const std::uint64_t index : file.model.known_pages()) {
    PageRef got = stored(number, index);
    const bool right = all ? same(got, file.model.page(index)) : file.model.may_survive(index, got);
    if (!right) throw Mismatch(fmt::format("{}: page {} after a crash", where(number), index));
    if (got != nullptr) pages.emplace(index, std::move(got));
  }
  file.model.adopt(size, std::move(pages));
}

std::string World::log() const {
  const std::lock_guard lock(log_mutex_);
  std::string text;
  for (const std::string& line : log_) text += "  " + line + "\n";
  return text;
}

}  // namespace quire::model
