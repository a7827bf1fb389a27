#include "mount/open_files.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>

#include "mount/limits.h"
#include "quire/limits.h"
#include "sync/check.h"

namespace quire::mount {
namespace {

constexpr std::uint64_t kLastPage = ~std::uint64_t{0};

OpenFlags access_of(bool write) {
  return write ? OpenFlags::kReadWrite : OpenFlags::kRead;
}

}  // namespace

NodeFile::NodeFile(Node& node) : node_(node) {}

NodeFile::~NodeFile() {
  QUIRE_CHECK(read_ == nullptr && write_ == nullptr);
}

OpenFiles::OpenFiles(CacheImpl& cache, store::HostStore& store, NodeTable& nodes, const Tree& tree,
                     std::size_t lingering_max)
    : cache_(cache), store_(store), nodes_(nodes), tree_(tree), lingering_max_(lingering_max) {
  nodes_.tell_forgotten([this](Node& node) { forgotten(node); });
}

void OpenFiles::enlist(NodeFile& file, std::list<NodeFile*>& list) {
  file.since_ = sync::Clock::now();
  file.place_ = list.insert(list.end(), &file);
  file.lingers_ = &list;
}

void OpenFiles::delist(NodeFile& file) {
  if (file.lingers_ == nullptr) return;
  file.lingers_->erase(file.place_);
  file.lingers_ = nullptr;
}

FileImpl* OpenFiles::any_of(const NodeFile& file) {
  return file.write_ != nullptr ? file.write_.get() : file.read_.get();
}

void OpenFiles::begin_use(NodeFile& file) {
  ++file.users_;
  sync::MutexLock lock(mutex_);
  delist(file);
}

Answer<FileImpl*> OpenFiles::opened(Node& node, NodeFile& file, bool write) {
  std::unique_ptr<FileImpl>& place = write ? file.write_ : file.read_;
  const int access = write ? O_RDWR : O_RDONLY;
  store::Fd fd;
  std::string name;
  {
    NamesGuard names(nodes_, sync::RangeMode::kShared);
    auto opened = tree_.open(node, access);
    if (!opened) return fails(opened.error());
    fd = std::move(*opened);
    name = nodes_.path(node);
  }
  auto object = store_.adopt(std::move(fd), access, name, false);
  if (!object.ok()) return fails(errno_of(object.code()));
  auto adopted = cache_.adopt(*object, name, access_of(write));
  if (!adopted.ok()) return fails(errno_of(adopted.code()));
  if (any_of(file) == nullptr) {
    nodes_.hold(node);
    sync::MutexLock lock(mutex_);
    ++open_;
  }
  place = std::move(*adopted);
  return place.get();
}

Answer<FileImpl*> OpenFiles::use(Node& node, bool write) {
  const int full = make_room();
  NodeFile& file = node.file();
  sync::MutexLock lock(file.mutex_);
  if (FileImpl* const any = any_of(file); any != nullptr && any->broken() && file.users_ == 0) {
    lock.unlock();
    mend(file);
    lock.lock();
  }
  FileImpl* found = file.write_ != nullptr ? file.write_.get() : write ? nullptr : file.read_.get();
  if (found == nullptr) {
    if (write && full != 0) return fails(full);
    auto fresh = opened(node, file, write);
    if (!fresh) return fresh;
    found = *fresh;
  }
  begin_use(file);
  return found;
}

void OpenFiles::mend(NodeFile& file) {
  (void)write_now(file);  // what another file failed for says nothing of this one
  (void)close(file, false);
}

Answer<FileImpl*> OpenFiles::use_created(Node& node, store::Fd fd, std::string_view name) {
  NodeFile& file = node.file();
  sync::MutexLock lock(file.mutex_);
  if (file.write_ == nullptr) {
    auto object = store_.adopt(std::move(fd), O_RDWR, name, true);
    if (!object.ok()) return fails(errno_of(object.code()));
    auto adopted = cache_.adopt(*object, name, OpenFlags::kReadWrite);
    if (!adopted.ok()) return fails(errno_of(adopted.code()));
    if (any_of(file) == nullptr) {
      nodes_.hold(node);
      sync::MutexLock counting(mutex_);
      ++open_;
    }
    file.write_ = std::move(*adopted);
  }
  begin_use(file);
  return file.write_.get();
}

FileImpl* OpenFiles::use_if_open(Node& node) noexcept {
  NodeFile& file = node.file();
  sync::MutexLock lock(file.mutex_);
  FileImpl* const found = any_of(file);
  if (found != nullptr) begin_use(file);
  return found;
}

void OpenFiles::unuse(Node& node) noexcept {
  NodeFile& file = node.file();
  {
    sync::MutexLock lock(file.mutex_);
    QUIRE_CHECK(file.users_ > 0);
    if (--file.users_ > 0) return;
    if (!file.unlinked_) {
      sync::MutexLock listing(mutex_);
      enlist(file, lingering_);
      return;
    }
    nodes_.hold(node);
  }
  const NodeHold held(nodes_, &node);
  (void)close(file, false);
}

void OpenFiles::unlinked(Node& node) {
  NodeFile& file = node.file();
  {
    sync::MutexLock lock(file.mutex_);
    file.unlinked_ = true;
    sync::MutexLock listing(mutex_);
    if (file.lingers_ == nullptr) return;  // in use, closed, or somebody is closing it
    delist(file);
  }
  (void)close(file, false);
}

void OpenFiles::forgotten(Node& node) {
  NodeFile& file = node.file();
  {
    sync::MutexLock lock(file.mutex_);
    if (!file.unlinked_) return;  // unlinked() comes, and finds that nobody knows it
    sync::MutexLock listing(mutex_);
    if (file.lingers_ == nullptr) return;
    delist(file);
  }
  (void)close(file, false);
}

bool OpenFiles::close(NodeFile& file, bool at_end) {
  Closing closing;
  {
    sync::MutexLock lock(file.mutex_);
    if (file.users_ > 0 || any_of(file) == nullptr) return false;
    {
      sync::MutexLock listing(mutex_);
      // Used, and left again, since it was taken from its list.
      if (file.lingers_ != nullptr) return false;
    }
    // Once the kernel has forgotten a node without a name, no request can be about it any more.
    const bool gone = file.unlinked_ && (at_end || !nodes_.is_known(file.node_));
    if (gone) {
      // What nobody can read any more needs no writing. Where that fails, closing writes it.
      const Status discarded = any_of(file)->discard();
      if (!discarded.ok()) cache_.log(LogLevel::kWarning, discarded.error().message());
    } else if (!at_end && (file.unlinked_ || any_of(file)->dirty_pages() > 0)) {
      sync::MutexLock listing(mutex_);
      enlist(file, file.unlinked_ ? nameless_ : lingering_);
      return false;
    }
    // Under the mutex, so that whoever opens the file next finds the engine done with it.
    closing.read = std::move(file.read_);
    closing.write = std::move(file.write_);
    if (closing.read != nullptr && closing.write != nullptr) {
      closing.read->leave();
      closing.read.reset();
    }
    FileImpl& last = closing.write != nullptr ? *closing.write : *closing.read;
    last.close_and_log();
    sync::MutexLock counting(mutex_);
    --open_;
  }
  closing = {};
  nodes_.release(file.node_);
  return true;
}

void OpenFiles::write_back(NodeFile& file) {
  {
    sync::MutexLock lock(mutex_);
    if (sync::Clock::now() < try_again_) return;
  }
  const int number = write_now(file);
  if (number == 0) return;
  sync::MutexLock lock(mutex_);
  try_again_ = sync::Clock::now() + limits::kTidyBackOff;
  write_error_ = number;
}

int OpenFiles::write_now(NodeFile& file) {
  FileImpl* const used = use_if_open(file.node_);
  if (used == nullptr) return 0;
  Status written;
  {
    const FileUse use(*this, file.node_, used);
    written = used->write_back({});
  }
  bool say = false;
  {
    sync::MutexLock lock(mutex_);
    delist(file);
    say = !written.ok() && !file.write_failed_;
    file.write_failed_ = !written.ok();
  }
  if (say) cache_.log(LogLevel::kWarning, written.error().message());
  return written.ok() ? 0 : errno_of(written.code());
}

int OpenFiles::make_room() {
  {
    sync::MutexLock lock(mutex_);
    if (lingering_.size() <= 2 * lingering_max_) return 0;
  }
  tidy(limits::kTidyAtOpenMax);
  sync::MutexLock lock(mutex_);
  const bool full = lingering_.size() > limits::kLingeringHardMaxTimes * lingering_max_;
  return full && sync::Clock::now() < try_again_ ? write_error_ : 0;
}

void OpenFiles::tidy() {
  tidy(2 * lingering_max_);
}

void OpenFiles::tidy(std::size_t count) {
  const sync::Clock::time_point old = sync::Clock::now() - limits::kLingerMin;
  std::size_t looked_at = 0;
  for (;;) {
    NodeFile* file = nullptr;
    bool too_many = false;
    {
      sync::MutexLock lock(mutex_);
      too_many = lingering_.size() > lingering_max_;
      if (lingering_.empty() || (!too_many && lingering_.front()->since_ > old) ||
          looked_at++ >= count) {
        return;
      }
      file = lingering_.front();
      delist(*file);
      // Held: once off the list nothing else keeps it.
      nodes_.hold(file->node_);
    }
    const NodeHold held(nodes_, &file->node_);
    if (too_many) write_back(*file);
    (void)close(*file, false);
  }
}

template <class Act>
std::vector<OpenFiles::Failure> OpenFiles::for_each_written(const Act& act) {
  std::vector<Failure> failures;
  nodes_.for_each_file([&](Node& node) {
    FileImpl* const file = use_if_open(node);
    if (file == nullptr) return;
    const FileUse use(*this, node, file);
    if (!file->writable() && file->dirty_pages() == 0) return;
    const Status done = act(*file);
    if (done.ok()) return;
    failures.push_back({nodes_.path(node), file->dirty_pages() * quire::limits::kPageBytes,
                        errno_of(done.code())});
  });
  return failures;
}

std::vector<OpenFiles::Failure> OpenFiles::sync_all(const CallOptions& call) {
  const auto sync_each = [&] {
    return for_each_written(
        [&](FileImpl& file) { return file.sync(0, kLastPage, SyncKind::kAll, call); });
  };
  // All is on its way before the first of the source's syncs, which have the less to wait for then.
  if (!for_each_written([&](FileImpl& file) { return file.write_back(call); }).empty()) {
    auto failures = sync_each();
    if (!failures.empty()) return failures;
  }
  const Status synced = cache_.sync(call);
  if (synced.ok()) return {};
  auto failures = sync_each();  // which ones it is
  if (failures.empty()) {
    failures.push_back({synced.error().message(), 0, errno_of(synced.code())});
  }
  return failures;
}

std::vector<OpenFiles::Failure> OpenFiles::dirty() {
  std::vector<Failure> files;
  nodes_.for_each_file([&](Node& node) {
    FileImpl* const file = use_if_open(node);
    if (file == nullptr) return;
    const FileUse use(*this, node, file);
    if (const std::size_t pages = file->dirty_pages(); pages > 0) {
      files.push_back({nodes_.path(node), pages * quire::limits::kPageBytes, 0});
    }
  });
  return files;
}

void OpenFiles::close_all() {
  for (;;) {
    NodeFile* file = nullptr;
    {
      sync::MutexLock lock(mutex_);
      if (lingering_.empty() && nameless_.empty()) return;
      file = lingering_.empty() ? nameless_.front() : lingering_.front();
      delist(*file);
      nodes_.hold(file->node_);
    }
    NodeHold held(nodes_, &file->node_);
    (void)close(*file, true);
  }
}

std::size_t OpenFiles::count() const {
  sync::MutexLock lock(mutex_);
  return open_;
}

}  // namespace quire::mount
