#include "store/host_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "quire/error.h"
#include "quire/limits.h"
#include "store/host_space.h"
#include "store/path.h"
#include "store/task.h"
#include "sync/check.h"

namespace quire::store {

namespace {

constexpr unsigned kThreadsMax = 64;
constexpr unsigned kStatxWanted = STATX_BASIC_STATS | STATX_DIOALIGN;
// Rounds of "open what is there, or else make it" before a file that others make and remove all the
// time is opened without asking who made it.
constexpr int kCreateRounds = 4;

HostFile& file_of(ObjectHandle object) {
  QUIRE_DCHECK(object.value != 0);
  return *reinterpret_cast<HostFile*>(static_cast<std::uintptr_t>(object.value));
}

ObjectHandle handle_of(HostFile* file) {
  return {reinterpret_cast<std::uintptr_t>(file)};
}

TimeSpec time_of(const statx_timestamp& time) {
  return {time.tv_sec, time.tv_nsec};
}

timespec time_of(const TimeSpec& time) {
  timespec result = {};
  result.tv_sec = time.seconds;
  result.tv_nsec = static_cast<long>(time.nanoseconds);
  return result;
}

ObjectStat stat_of(const struct statx& stat) {
  ObjectStat result;
  result.size_bytes = stat.stx_size;
  result.allocated_bytes = stat.stx_blocks * 512;
  result.atime = time_of(stat.stx_atime);
  result.mtime = time_of(stat.stx_mtime);
  result.ctime = time_of(stat.stx_ctime);
  result.mode = stat.stx_mode;
  result.links = stat.stx_nlink;
  return result;
}

// 0 or an errno.
int statx_of(int fd, struct statx& stat) {
  return ::statx(fd, "", AT_EMPTY_PATH, kStatxWanted, &stat) == 0 ? 0 : errno;
}

// `call` returns 0, or -1 and sets errno. Repeats what was interrupted.
template <class Call>
int errno_of(Call call) {
  while (call() != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

Error open_error(std::error_code code, std::string_view path) {
  std::string context = "open " + quote_path(path);
  if (code == Errc::kPathEscapes) {
    context +=
        ": a symbolic link on the way leads out of the store's root; replace the link by what "
        "it points to, or open the store at a directory above both";
  } else if (code == std::errc::cross_device_link) {
    context +=
        ": a mount point lies below the store's root; open a store on what is mounted there "
        "instead";
  }
  return Error(code, std::move(context));
}

template <class Call>
class CallTask final : public Task {
 public:
  CallTask(IoDone& done, Call call) : done_(done), call_(std::move(call)) {}
  void run() noexcept override { done_.io_done(errno_code(call_()), 0); }

 private:
  IoDone& done_;
  Call call_;
};

}  // namespace

HostStore::HostStore(HostDirectory directory, const HostStoreOptions& options,
                     std::unique_ptr<UringEngine> uring)
    : directory_(std::move(directory)),
      direct_(options.direct),
      pool_(options.threads),
      uring_(std::move(uring)) {}

HostStore::~HostStore() {
  QUIRE_CHECK(open_objects_ == 0);
}

Status HostStore::sync_store() {
  // Of the whole file system: what was closed has no descriptor of ours any more.
  if (syncfs(directory_.fd()) == 0) return {};
  return Error(std::error_code(errno, std::generic_category()), "syncing " + directory_.path());
}

StoreTraits HostStore::traits() const noexcept {
  StoreTraits traits;
  traits.io_alignment_bytes = direct_ ? kDirectAlignmentBytes : 1;
  traits.reserves_space = directory_.reserves_space();
  traits.sets_times = true;
  traits.syncs_store = true;
  traits.cuts = directory_.cuts();
  traits.runs_inline = true;
  return traits;
}

HostStore::OpenedFd HostStore::open_fd(const std::string& path, int access, OpenFlags flags,
                                       std::uint32_t mode) const {
  // O_NONBLOCK: opening a FIFO would wait for its other end.
  const int how = access | O_NONBLOCK | O_NOCTTY;
  const auto attempt = [&](int more) {
    return open_beneath(directory_.method(), directory_.fd(), path, how | more, mode & 07777);
  };
  const bool creates = has(flags, OpenFlags::kCreate);
  if (creates && has(flags, OpenFlags::kExclusive)) {
    BeneathResult result = attempt(O_CREAT | O_EXCL);
    return {std::move(result.fd), true, result.error};
  }
  // One call that makes the file if need be does not tell whether it did.
  for (int round = 0; round < kCreateRounds; ++round) {
    BeneathResult result = attempt(0);
    if (!creates || result.error != std::errc::no_such_file_or_directory) {
      return {std::move(result.fd), false, result.error};
    }
    result = attempt(O_CREAT | O_EXCL);
    if (result.error != std::errc::file_exists) {
      return {std::move(result.fd), true, result.error};
    }
  }
  // A symbolic link to nothing gets here too: what it points to is made.
  BeneathResult result = attempt(O_CREAT);
  return {std::move(result.fd), true, result.error};
}

Result<OpenedObject> HostStore::open(std::string_view path, OpenFlags flags, std::uint32_t mode) {
  const Result<std::string> name = normalise_path(path);
  if (!name) return name.error();
  const bool reads = has(flags, OpenFlags::kRead);
  const bool writes = has(flags, OpenFlags::kWrite);
  if (!reads && !writes) {
    return Error(std::errc::invalid_argument,
                 "open " + quote_path(path) + " for neither read nor write");
  }
  if (has(flags, OpenFlags::kTruncate) && !writes) {
    return Error(std::errc::invalid_argument,
                 "open " + quote_path(path) + ": kTruncate needs kWrite");
  }
  const int access = reads && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY;
  OpenedFd opened = open_fd(*name, access, flags, mode);
  // What a socket, or a FIFO without a reader, answers.
  if (opened.error == std::errc::no_such_device_or_address) {
    return Error(std::errc::invalid_argument, quote_path(path) + " is not a regular file");
  }
  if (opened.error) return open_error(opened.error, path);

  const bool truncate = has(flags, OpenFlags::kTruncate);
  return object_of(std::move(opened.fd), access, *name, opened.created, truncate);
}

Result<OpenedObject> HostStore::adopt(Fd fd, int access, std::string_view name, bool created) {
  const Result<std::string> path = normalise_path(name);
  if (!path) return path.error();
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || (flags & O_PATH) != 0 || (flags & O_ACCMODE) != access) {
    return Error(std::errc::bad_file_descriptor, "adopt a descriptor of " + quote_path(name));
  }
  return object_of(std::move(fd), access, *path, created, false);
}

Result<OpenedObject> HostStore::object_of(Fd fd, int access, const std::string& name, bool created,
                                          bool truncate) {
  struct statx stat = {};
  if (const int number = statx_of(fd.get(), stat); number != 0) {
    return Error(errno_code(number), "stat " + quote_path(name));
  }
  if (S_ISDIR(stat.stx_mode)) return open_error(errno_code(EISDIR), name);
  if (!S_ISREG(stat.stx_mode)) {
    return Error(std::errc::invalid_argument, quote_path(name) + " is not a regular file");
  }
  if (truncate && stat.stx_size != 0) {
    int number = errno_of([&fd] { return ::ftruncate(fd.get(), 0); });
    if (number == 0) number = statx_of(fd.get(), stat);
    if (number != 0) return Error(errno_code(number), "truncate " + quote_path(name));
  }

  OpenedObject object;
  object.id = {::makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino};
  object.stat = stat_of(stat);
  object.created = created;
  auto file = std::make_unique<HostFile>(std::move(fd), access, stat, direct_);
  if (created) file->set_made_at(name);
  object.handle = handle_of(file.release());
  open_objects_.fetch_add(1);
  return object;
}

Status HostStore::close(ObjectHandle object) {
  const std::unique_ptr<HostFile> file(&file_of(object));
  open_objects_.fetch_sub(1);
  if (const std::error_code error = file->close()) return Error(error, "close a file");
  return {};
}

Result<ObjectStat> HostStore::stat(ObjectHandle object) {
  struct statx stat = {};
  if (const int number = statx_of(file_of(object).fd(), stat); number != 0) {
    return Error(errno_code(number), "stat an open file");
  }
  return stat_of(stat);
}

template <class Buffers>
void HostStore::transfer(ObjectHandle object, std::uint64_t offset, const Buffers& buffers,
                         IoMode mode, IoDone& done) noexcept {
  HostFile& file = file_of(object);
  if (mode == IoMode::kWait) {
    Transfer transfer(file, offset, buffers);
    run_inline(transfer);
    done.io_done(transfer.error(), transfer.bytes());
    return;
  }
  auto task = std::make_unique<TransferTask>(file, offset, buffers, done);
  const bool by_ring = uring_ != nullptr && (task->transfer().kind() == Transfer::Kind::kRead ||
                                             file.enter_ring(task->held()));
  const std::error_code refused =
      by_ring ? uring_->submit(std::move(task)) : pool_.submit(std::move(task));
  if (refused) done.io_done(refused, 0);
}

void HostStore::read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers,
                     IoMode mode, IoDone& done) noexcept {
  transfer(object, offset, buffers, mode, done);
}

void HostStore::write(ObjectHandle object, std::uint64_t offset,
                      std::span<const ConstBuffer> buffers, IoMode mode, IoDone& done) noexcept {
  transfer(object, offset, buffers, mode, done);
}

template <class Call>
void HostStore::run_on_pool(IoDone& done, Call call) noexcept {
  if (const std::error_code refused =
          pool_.submit(std::make_unique<CallTask<Call>>(done, std::move(call)))) {
    done.io_done(refused, 0);
  }
}

void HostStore::truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept {
  run_on_pool(done, [&file = file_of(object), size_bytes] {
    if (!file.writable()) return EBADF;
    if (size_bytes > limits::kFileSizeMaxBytes) return EFBIG;
    const sync::GateToken alone = file.enter_truncate();
    return errno_of([&] { return ::ftruncate(file.fd(), static_cast<off_t>(size_bytes)); });
  });
}

void HostStore::sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept {
  run_on_pool(done, [this, &file = file_of(object), kind] {
    const int number = errno_of(
        [&] { return kind == SyncKind::kData ? ::fdatasync(file.fd()) : ::fsync(file.fd()); });
    if (number != 0) return number;
    file.synced();
    return file.sync_name(directory_);
  });
}

void HostStore::cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
                    IoDone& done) noexcept {
  run_on_pool(done, [&file = file_of(object), kind, offset, length] {
    if (offset > limits::kFileSizeMaxBytes || length > limits::kFileSizeMaxBytes) return EFBIG;
    return errno_of([&] {
      return ::fallocate(file.fd(), fallocate_mode(kind), static_cast<off_t>(offset),
                         static_cast<off_t>(length));
    });
  });
}

void HostStore::reserve(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
                        IoDone& done) noexcept {
  if (!directory_.reserves_space()) {
    Store::reserve(object, offset, length, done);
    return;
  }
  run_on_pool(done, [&file = file_of(object), offset, length] {
    if (offset > limits::kFileSizeMaxBytes || length > limits::kFileSizeMaxBytes) return EFBIG;
    return errno_of([&] {
      return ::fallocate(file.fd(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                         static_cast<off_t>(length));
    });
  });
}

void HostStore::reserve_pages(ObjectHandle object, SpaceRequest& request, IoMode mode,
                              IoDone& done) noexcept {
  if (!directory_.reserves_space()) {
    Store::reserve_pages(object, request, mode, done);
    return;
  }
  const auto call = [&file = file_of(object), &request] {
    return file.writable() ? store::reserve_pages(file.fd(), request) : EBADF;
  };
  if (mode == IoMode::kWait) {
    done.io_done(errno_code(call()), 0);
    return;
  }
  run_on_pool(done, call);
}

void HostStore::release(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
                        IoDone& done) noexcept {
  if (!directory_.reserves_space()) {
    Store::release(object, offset, length, done);
    return;
  }
  run_on_pool(done, [&file = file_of(object), offset, length] {
    return file.writable() ? release_pages(file.fd(), offset, length) : EBADF;
  });
}

Status HostStore::set_times(ObjectHandle object, const TimeSpec* atime, const TimeSpec& mtime) {
  std::array<timespec, 2> times = {};
  times[0].tv_nsec = UTIME_OMIT;
  if (atime != nullptr) times[0] = time_of(*atime);
  times[1] = time_of(mtime);
  if (::futimens(file_of(object).fd(), times.data()) != 0) {
    return Error(errno_code(errno), "set the time stamps of a file");
  }
  return {};
}

Result<std::shared_ptr<Store>> HostStore::open_directory(const std::string& directory,
                                                         const HostStoreOptions& options,
                                                         StartUring start_uring) {
  if (options.threads < 1 || options.threads > kThreadsMax) {
    return Error(std::errc::invalid_argument,
                 "HostStoreOptions::threads is " + std::to_string(options.threads) +
                     "; it must be 1 to " + std::to_string(kThreadsMax));
  }
  Result<HostDirectory> root = HostDirectory::open(directory);
  if (!root) return root.error();

  std::unique_ptr<UringEngine> uring;
  if (options.engine != HostStoreOptions::Engine::kThreads) {
    Result<std::unique_ptr<UringEngine>> started = start_uring(options.threads);
    if (started) {
      uring = std::move(*started);
    } else if (options.engine == HostStoreOptions::Engine::kUring) {
      return Error(std::errc::function_not_supported,
                   "Engine::kUring: the kernel refuses io_uring (" + started.error().message() +
                       "); use Engine::kAuto");
    } else if (options.log) {
      options.log(LogLevel::kInfo, "the kernel refuses io_uring (" + started.error().message() +
                                       "); reads and writes of " + quote_path(directory) +
                                       " use threads, at most " + std::to_string(options.threads));
    }
  }
  return std::shared_ptr<Store>(
      std::make_shared<HostStore>(std::move(*root), options, std::move(uring)));
}

}  // namespace quire::store

namespace quire {

Result<std::shared_ptr<Store>> open_host_store(const std::string& directory,
                                               const HostStoreOptions& options) {
  return store::HostStore::open_directory(directory, options, &store::UringEngine::start);
}

}  // namespace quire
