#include "mount/server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include "file/cache_impl.h"
#include "mount/dispatcher.h"
#include "mount/filesystem.h"
#include "mount/housekeeper.h"
#include "mount/limits.h"
#include "mount/served.h"
#include "mount/session.h"
#include "store/host_store.h"

namespace quire::mount {
namespace {

Error errno_error(int number, std::string text) {
  return Error(std::error_code(number, std::generic_category()), std::move(text));
}

// The absolute path of a directory, through symbolic links.
Result<std::string> real_directory(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (real == nullptr) return errno_error(errno, path);
  struct stat s = {};
  if (::stat(real.get(), &s) != 0) return errno_error(errno, path);
  if (!S_ISDIR(s.st_mode)) return errno_error(ENOTDIR, path);
  return std::string(real.get());
}

// The share of the process's descriptors that each of the caches of descriptors may have.
std::size_t descriptors_max(std::size_t most) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return most;
  return std::clamp<std::size_t>(limit.rlim_cur / limits::kDescriptorsPart, 8, most);
}

// Tells the end to whoever asked for it. Best effort: nobody may be listening any more.
void tell_end(const std::string& name, const std::vector<OpenFiles::Failure>& lost) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (name.empty() || name.size() + 1 > sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const store::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (!fd.ok() || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return;
  }
  const auto ended = std::make_unique<control::Ended>();
  ended->version = control::kVersion;
  ended->lost = static_cast<std::uint32_t>(lost.size());
  ended->length =
      static_cast<std::uint32_t>(format_failures(lost, ended->text, sizeof(ended->text)));
  (void)::send(fd.get(), ended.get(), sizeof(*ended), MSG_NOSIGNAL);
}

}  // namespace

class Server::Impl {
 public:
  static Result<std::unique_ptr<Impl>> start(const Options& options);
  ~Impl();

  Ended run();
  void stop();
  bool shared_mmap() const { return session_->shared_mmap(); }

 private:
  explicit Impl(Options options) : options_(std::move(options)) {}
  Status prepare();
  Status open_engine();
  Status connect();
  void describe(control::Stats& stats) const;
  // Recalls, writes back and detaches, while the workers still serve. False if something else is mounted over the
  // mount point: nothing is detached then.
  bool end_by_stop();
  Ended finish();
  void log(LogLevel level, const std::string& text) const {
    if (options_.log) options_.log(level, text);
  }

  Options options_;
  const sync::Clock::time_point began_ = sync::Clock::now();
  store::Fd root_;
  std::shared_ptr<store::HostStore> store_;
  std::shared_ptr<CacheImpl> cache_;
  std::optional<Tree> tree_;
  std::unique_ptr<NodeTable> nodes_;
  std::unique_ptr<OpenFiles> files_;
  std::unique_ptr<FileSystem> filesystem_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Notifier> notifier_;
  std::unique_ptr<Housekeeper> housekeeper_;

  sync::Mutex mutex_;
  sync::Condition changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool served_ GUARDED_BY(mutex_) = false;
};

Status Server::Impl::prepare() {
  auto source = real_directory(options_.source);
  if (!source.ok()) return std::move(source).error();
  auto mountpoint = real_directory(options_.mountpoint);
  if (!mountpoint.ok()) return std::move(mountpoint).error();
  options_.source = std::move(*source);
  options_.mountpoint = std::move(*mountpoint);
  auto table = mounts();
  if (!table.ok()) return std::move(table).error();
  if (Status fine = check_served(options_.source, options_.mountpoint, *table); !fine.ok()) {
    return fine;
  }
  for (const std::string& below : submounts(options_.source, *table)) {
    log(LogLevel::kWarning,
        fmt::format("{} is a mount of its own and will not be shown; mount it by "
                    "itself, or on the mount point afterwards",
                    below));
  }
  return {};
}

Status Server::Impl::open_engine() {
  root_ = store::Fd(::open(options_.source.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_.ok()) return errno_error(errno, "opening " + options_.source);

  HostStoreOptions store_options;
  store_options.engine = options_.engine;
  store_options.log = options_.log;
  auto store = open_host_store(options_.source, store_options);
  if (!store.ok()) return std::move(store).error();
  store_ = std::static_pointer_cast<store::HostStore>(*store);

  CacheOptions cache_options;
  cache_options.memory_bytes = options_.memory_bytes;
  cache_options.locking = options_.locking;
  cache_options.dirty_max_bytes = options_.dirty_max_bytes;
  cache_options.dirty_background_bytes = options_.dirty_max_bytes / 4;
  cache_options.dirty_age = options_.dirty_age;
  cache_options.worker_threads = 1;  // the mount submits nothing
  cache_options.log = options_.log;
  auto cache = CacheImpl::create(std::move(*store), cache_options);
  if (!cache.ok()) return std::move(cache).error();
  cache_ = std::move(*cache);

  auto tree = Tree::open(root_.get(), descriptors_max(limits::kDirectoryFdsMax));
  if (!tree.ok()) return std::move(tree).error();
  tree_.emplace(std::move(*tree));
  nodes_ =
      std::make_unique<NodeTable>(tree_->root_id(), [this](Node& node) { tree_->forget(node); });
  tree_->attach(*nodes_);
  files_ = std::make_unique<OpenFiles>(*cache_, *store_, *nodes_, *tree_,
                                       descriptors_max(limits::kLingeringFilesMax));
  filesystem_ = std::make_unique<FileSystem>(
      FileSystem::Parts{*cache_, *nodes_, *tree_, *files_, options_.log});
  return {};
}

Status Server::Impl::connect() {
  auto session = Session::mount(
      {options_.source, options_.mountpoint, options_.allow_other, options_.shared_mmap},
      FileSystem::operations(), filesystem_.get());
  if (!session.ok()) return std::move(session).error();
  session_ = std::move(*session);

  // Another one may have begun at the same time.
  auto table = mounts();
  if (!table.ok()) return std::move(table).error();
  if (Status fine = check_served(options_.source, options_.mountpoint, *table, options_.mountpoint);
      !fine.ok()) {
    return fine;
  }

  for (const MountLine& line : *table) {
    if (line.mountpoint == options_.mountpoint) session_->set_device(line.device);
  }

  auto notifier = Notifier::start(Notifier::through(session_->raw()));
  if (!notifier.ok()) return std::move(notifier).error();
  notifier_ = std::move(*notifier);
  auto housekeeper =
      Housekeeper::start("quire-tidy", limits::kTidyInterval, [this] { files_->tidy(); });
  if (!housekeeper.ok()) return std::move(housekeeper).error();
  housekeeper_ = std::move(*housekeeper);
  Session* const raw = session_.get();
  dispatcher_ = std::make_unique<Dispatcher>(
      Dispatcher::Limits{session_->request_bytes_max(), limits::kWorkersMax + 1, limits::kQueueMax,
                         limits::kReviewRequests},
      [raw](std::byte* memory, std::size_t capacity) { return raw->read(memory, capacity); },
      [this, raw](std::byte* request, std::size_t size) {
        if (options_.on_request) options_.on_request({request, size});
        raw->serve(request, size);
      });
  filesystem_->begin(*notifier_, session_->shared_mmap(),
                     [this](control::Stats& stats) { describe(stats); });
  if (!session_->shared_mmap()) {
    log(LogLevel::kInfo,
        fmt::format(
            "files cannot be mapped shared{}: mmap(2) with MAP_SHARED fails with ENODEV there",
            options_.shared_mmap ? ", which needs Linux 6.6" : ""));
  }
  return {};
}

Result<std::unique_ptr<Server::Impl>> Server::Impl::start(const Options& options) {
  std::unique_ptr<Impl> impl(new Impl(options));
  if (Status ready = impl->prepare(); !ready.ok()) return std::move(ready).error();
  if (Status opened = impl->open_engine(); !opened.ok()) return std::move(opened).error();
  if (Status connected = impl->connect(); !connected.ok()) return std::move(connected).error();
  return impl;
}

Server::Impl::~Impl() {
  housekeeper_.reset();
  notifier_.reset();
  dispatcher_.reset();
  session_.reset();
  if (files_ != nullptr) files_->close_all();
  filesystem_.reset();
  files_.reset();
  nodes_.reset();
}

void Server::Impl::describe(control::Stats& stats) const {
  stats.uptime_ns = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(sync::Clock::now() - began_).count());
  const Dispatcher::Counts counts = dispatcher_->counts();
  stats.requests = counts.served;
  stats.requests_queued = counts.queued;
  stats.requests_waiting = counts.waiting;
  stats.request = {counts.served, counts.total_ns, counts.worst_ns};
}

void Server::Impl::stop() {
  sync::MutexLock lock(mutex_);
  stopping_ = true;
  // Under the mutex: run() takes it before it returns, and this may be gone after that.
  changed_.notify_all();
}

bool Server::Impl::end_by_stop() {
  if (!filesystem_->recall()) {
    log(LogLevel::kWarning,
        "the kernel did not give back all that it holds of mapped files in time");
  }
  for (const OpenFiles::Failure& failure : files_->sync_all({})) {
    log(LogLevel::kError, fmt::format("{}: {} bytes are not written: {}", failure.path,
                                      failure.dirty_bytes, std::strerror(failure.error)));
  }
  int failed = session_->detach(false);
  if (failed == EBUSY) {
    log(LogLevel::kWarning,
        fmt::format("{} is in use; programs that have files open there will see "
                    "ENOTCONN",
                    options_.mountpoint));
    failed = session_->detach(true);
    // What was mapped and stored into meanwhile.
    (void)filesystem_->recall();
    if (failed != EADDRINUSE && !session_->cut_off()) {
      log(LogLevel::kWarning,
          "/sys/fs/fuse/connections cannot be used, so this ends when the last "
          "program closes its last file there");
    }
  }
  if (failed == EADDRINUSE) {
    log(LogLevel::kError, fmt::format("something else is mounted over {}; unmount that first, then "
                                      "end this again",
                                      options_.mountpoint));
    return false;
  }
  if (failed != 0) {
    log(LogLevel::kError,
        fmt::format("unmounting {}: {}", options_.mountpoint, std::strerror(failed)));
    (void)session_->cut_off();
  }
  return true;
}

Ended Server::Impl::finish() {
  Ended ended;
  housekeeper_.reset();
  notifier_.reset();
  filesystem_->close_handles();
  CallOptions call;
  if (filesystem_->discards()) call.deadline = sync::deadline_after(limits::kDiscardMax);
  const std::vector<OpenFiles::Failure> failures = files_->sync_all(call);
  files_->close_all();
  std::vector<OpenFiles::Failure> lost;
  // Tries again what failed, a few times.
  if (const Status closed = cache_->close(call); !closed.ok()) {
    log(LogLevel::kError, closed.error().message());
    lost = failures;
    if (lost.empty()) lost.push_back({closed.error().message(), 0, errno_of(closed.code())});
  }
  for (const OpenFiles::Failure& failure : lost) {
    ended.lost.push_back(fmt::format("{}: {}", failure.path, std::strerror(failure.error)));
  }
  tell_end(filesystem_->end_socket(), lost);
  return ended;
}

Ended Server::Impl::run() {
  auto stopper = sync::Thread::start("quire-stop", [this] {
    sync::MutexLock lock(mutex_);
    for (bool ended = false; !ended;) {
      while (!stopping_ && !served_) changed_.wait(mutex_);
      if (served_) return;
      lock.unlock();
      ended = end_by_stop();
      lock.lock();
      if (!ended) stopping_ = false;
    }
  });
  if (!stopper.ok()) log(LogLevel::kError, "starting a thread: " + stopper.error().message());
  if (const Status served = dispatcher_->run(); !served.ok()) {
    log(LogLevel::kError, "starting a thread: " + served.error().message());
  }
  bool stopped = false;
  {
    sync::MutexLock lock(mutex_);
    served_ = true;
    stopped = stopping_;
  }
  changed_.notify_all();
  if (stopper.ok()) stopper->join();
  Ended ended = finish();
  ended.stopped = stopped;
  return ended;
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::start(const Options& options) {
  auto impl = Impl::start(options);
  if (!impl.ok()) return std::move(impl).error();
  return std::unique_ptr<Server>(new Server(std::move(*impl)));
}

Ended Server::run() {
  return impl_->run();
}

void Server::stop() {
  impl_->stop();
}

bool Server::shared_mmap() const {
  return impl_->shared_mmap();
}

}  // namespace quire::mount
