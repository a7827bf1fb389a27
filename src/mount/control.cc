// What the tool asks for by ioctl (control.h). filesystem.h says what is where.
#include "mount/control.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "mount/filesystem.h"
#include "mount/limits.h"
#include "mount/request.h"
#include "quire/limits.h"
#include "sync/condition.h"

namespace quire::mount {
namespace {

enum class Who { kAll, kOwner };

// The request's structure, if it is whole, of our version, and of somebody who may ask; otherwise null, and the
// request is answered.
template <class T>
std::unique_ptr<T> take(fuse_req_t request, std::span<const std::byte> in, Who may_ask) {
  auto asked = std::make_unique<T>();
  if (in.size() >= sizeof(T)) std::memcpy(asked.get(), in.data(), sizeof(T));
  const uid_t user = fuse_req_ctx(request)->uid;
  int number = 0;
  if (asked->version != control::kVersion) {
    number = EPROTONOSUPPORT;
  } else if (may_ask == Who::kOwner && user != 0 && user != ::geteuid()) {
    number = EPERM;
  }
  if (number == 0) return asked;
  fuse_reply_err(request, number);
  return nullptr;
}

control::Waits waits_of(const WaitStats& waits) {
  return {waits.count, waits.total_ns, waits.worst_ns};
}

template <class T>
void answer(fuse_req_t request, const T& value) {
  fuse_reply_ioctl(request, 0, &value, sizeof(T));
}

}  // namespace

std::size_t format_failures(const std::vector<OpenFiles::Failure>& failures, char* text,
                            std::size_t size) {
  std::size_t used = 0;
  for (const OpenFiles::Failure& failure : failures) {
    const std::string line =
        fmt::format("{}\t{}\t{}\n", failure.dirty_bytes, failure.error, failure.path);
    if (line.size() > size - used) break;
    std::copy(line.begin(), line.end(), text + used);
    used += line.size();
  }
  return used;
}

void FileSystem::control(fuse_req_t request, OpenFile* open, unsigned command,
                         std::span<const std::byte> in) {
  switch (command) {
    case static_cast<unsigned>(control::kStats):
      return control_stats(request, in);
    case static_cast<unsigned>(control::kFiles):
      return control_files(request, in);
    case static_cast<unsigned>(control::kWriteBack):
      return control_write_back(request, in);
    case static_cast<unsigned>(control::kShift):
      return control_shift(request, open, in);
    default:
      fuse_reply_err(request, ENOTTY);
  }
}

void FileSystem::control_stats(fuse_req_t request, std::span<const std::byte> in) {
  if (take<control::Stats>(request, in, Who::kAll) == nullptr) return;
  control::Stats stats = {};
  stats.version = control::kVersion;
  stats.daemon_pid = static_cast<std::uint32_t>(::getpid());
  stats.owner_uid = ::geteuid();
  stats.shared_mmap = parts_.shared_mmap ? 1 : 0;
  const CacheStats cache = parts_.cache.stats();
  stats.hits = cache.hits;
  stats.misses = cache.misses;
  stats.readahead_pages = cache.readahead_pages;
  stats.evicted_pages = cache.evicted_pages;
  stats.written_pages = cache.written_pages;
  stats.read_requests = cache.read_requests;
  stats.write_requests = cache.write_requests;
  stats.writeback_errors = cache.writeback_errors;
  stats.memory_bytes = cache.memory_bytes;
  stats.memory_used_bytes = cache.memory_used_bytes;
  stats.cached_pages = cache.cached_pages;
  stats.dirty_pages = cache.dirty_pages;
  stats.writeback_pages = cache.writeback_pages;
  stats.reserved_pages = cache.reserved_pages;
  stats.page = waits_of(cache.page_waits);
  stats.throttle = waits_of(cache.throttle_waits);
  stats.memory = waits_of(cache.memory_waits);
  stats.range = waits_of(cache.range_waits);
  stats.open_files = parts_.files.count();
  stats.nodes = parts_.nodes.size();
  stats.kernel_recalls = notifier_->recalls();
  stats.kernel_bytes_kept = kernel_bytes_kept_.load();
  describe_(stats);
  answer(request, stats);
}

void FileSystem::control_files(fuse_req_t request, std::span<const std::byte> in) {
  const auto files = take<control::Files>(request, in, Who::kOwner);
  if (files == nullptr) return;
  const auto dirty = parts_.files.dirty();
  *files = {};
  files->version = control::kVersion;
  files->total = static_cast<std::uint32_t>(dirty.size());
  files->length =
      static_cast<std::uint32_t>(format_failures(dirty, files->text, sizeof(files->text)));
  answer(request, *files);
}

void FileSystem::control_write_back(fuse_req_t request, std::span<const std::byte> in) {
  const auto asked = take<control::WriteBack>(request, in, Who::kOwner);
  if (asked == nullptr) return;
  const std::uint32_t flags = asked->flags;
  std::string socket;
  if ((flags & control::kUnmounting) != 0) {
    socket.assign(asked->text, std::min<std::size_t>(asked->length, 100));
  }
  const bool recalled = recall();
  CallOptions call;
  if ((flags & control::kDiscard) != 0) {
    call.deadline = sync::deadline_after(limits::kDiscardMax);
  }
  const auto failures = parts_.files.sync_all(call);
  const bool ends =
      (flags & control::kUnmounting) != 0 && (failures.empty() || (flags & control::kDiscard) != 0);
  if (ends) {
    sync::MutexLock lock(mutex_);
    end_socket_ = socket;
    discards_.store((flags & control::kDiscard) != 0);
  }
  *asked = {};
  asked->version = control::kVersion;
  asked->flags = flags;
  asked->daemon_pid = static_cast<std::uint32_t>(::getpid());
  asked->error = !failures.empty() ? failures.front().error : recalled ? 0 : ETIMEDOUT;
  asked->total = static_cast<std::uint32_t>(failures.size());
  asked->length =
      static_cast<std::uint32_t>(format_failures(failures, asked->text, sizeof(asked->text)));
  answer(request, *asked);
}

std::string FileSystem::end_socket() const {
  sync::MutexLock lock(mutex_);
  return end_socket_;
}

namespace {

// Files that the kernel was asked to give back. Shared with the notifier, which may outlast our patience.
class Recall {
 public:
  static void ask(const std::shared_ptr<Recall>& self, Notifier& notifier, std::uint64_t number) {
    {
      sync::MutexLock lock(self->mutex_);
      ++self->left_;
    }
    notifier.drop(number, {0, 0}, [self](int error) {
      sync::MutexLock lock(self->mutex_);
      --self->left_;
      // One that it does not know it holds nothing of.
      if (error != 0 && error != ENOENT) self->kept_ = true;
      self->changed_.notify_all();
    });
  }
  // False if limits::kRecallMax passed before.
  bool wait() {
    const sync::Clock::time_point deadline = sync::deadline_after(limits::kRecallMax);
    sync::MutexLock lock(mutex_);
    while (left_ > 0) {
      if (!changed_.wait_until(mutex_, deadline)) return left_ == 0;
    }
    return true;
  }
  // It would not give some of them back.
  bool kept() const {
    sync::MutexLock lock(mutex_);
    return kept_;
  }

 private:
  mutable sync::Mutex mutex_;
  sync::Condition changed_;
  std::size_t left_ GUARDED_BY(mutex_) = 0;
  bool kept_ GUARDED_BY(mutex_) = false;
};

}  // namespace

bool FileSystem::recall() {
  const auto all = std::make_shared<Recall>();
  parts_.nodes.for_each_file([&](Node& node) {
    if (node.file().kernel_pages().any()) Recall::ask(all, *notifier_, parts_.nodes.number(node));
  });
  return all->wait();
}

bool FileSystem::recall(Node& node) {
  bool done = false;
  if (recalling_.fetch_add(1) < limits::kRecallsMax) {
    const auto one = std::make_shared<Recall>();
    Recall::ask(one, *notifier_, parts_.nodes.number(node));
    done = one->wait() && !one->kept();
  }
  recalling_.fetch_sub(1);
  return done;
}

void FileSystem::control_shift(fuse_req_t request, OpenFile* open, std::span<const std::byte> in) {
  const auto asked = take<control::Shift>(request, in, Who::kAll);
  if (asked == nullptr) return;
  int number = 0;
  if (open == nullptr) {
    number = EISDIR;
  } else if (asked->kind != control::kInsert && asked->kind != control::kCollapse) {
    number = EOPNOTSUPP;
  } else if (!has(open->file->flags(), OpenFlags::kWrite)) {
    number = EBADF;
  } else {
    const Interruptible interruptible(request);
    const Cut kind = asked->kind == control::kInsert ? Cut::kInsert : Cut::kCollapse;
    number = shift(request, *open, kind, asked->offset, asked->length, interruptible);
  }
  if (number != 0) {
    fuse_reply_err(request, number);
    return;
  }
  asked->size_bytes = open->file->size_bytes();
  answer(request, *asked);
}

void FileSystem::begin(Notifier& notifier, bool shared_mmap, Describe describe) {
  notifier_ = &notifier;
  parts_.shared_mmap = shared_mmap;
  describe_ = std::move(describe);
}

}  // namespace quire::mount
