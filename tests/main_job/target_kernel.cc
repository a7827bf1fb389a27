#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <type_traits>
#include <variant>
#include <vector>

#include "main_job/target.h"

namespace quire::main_job {
namespace {

[[noreturn]] void fail(const char* what, const std::string& path) {
  throw Failure(fmt::format("{} of {} through the kernel: {}", what, path, std::strerror(errno)));
}

int open_flags(OpenFlags flags) {
  int result = O_CLOEXEC;
  if (has(flags, OpenFlags::kReadWrite)) {
    result |= O_RDWR;
  } else {
    result |= has(flags, OpenFlags::kWrite) ? O_WRONLY : O_RDONLY;
  }
  const std::pair<OpenFlags, int> rest[] = {
      {OpenFlags::kCreate, O_CREAT},   {OpenFlags::kExclusive, O_EXCL},
      {OpenFlags::kTruncate, O_TRUNC}, {OpenFlags::kAppend, O_APPEND},
      {OpenFlags::kSync, O_SYNC},      {OpenFlags::kDataSync, O_DSYNC}};
  for (auto [ours, theirs] : rest) {
    result |= has(flags, ours) ? theirs : 0;
  }
  return result;
}

class KernelFile final : public TargetFile {
 public:
  KernelFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~KernelFile() override {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }

  std::size_t read(Bytes buffer, std::uint64_t offset) override {
    std::size_t done = 0;
    while (done < buffer.size()) {
      const ssize_t n = ::pread(fd_, buffer.data() + done, buffer.size() - done,
                                static_cast<off_t>(offset + done));
      if (n < 0) {
        fail("read", path_);
      }
      if (n == 0) {
        break;
      }
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  std::size_t readv(std::span<const Bytes> buffers, std::uint64_t offset) override {
    std::vector<iovec> pieces;
    for (Bytes buffer : buffers) {
      pieces.push_back({buffer.data(), buffer.size()});
    }
    const ssize_t n =
        ::preadv(fd_, pieces.data(), static_cast<int>(pieces.size()), static_cast<off_t>(offset));
    if (n < 0) {
      fail("readv", path_);
    }
    return static_cast<std::size_t>(n);
  }

  void write(ConstBytes buffer, std::uint64_t offset) override {
    const ssize_t n = ::pwrite(fd_, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (n != static_cast<ssize_t>(buffer.size())) {
      fail("write", path_);
    }
  }

  void writev(std::span<const ConstBytes> buffers, std::uint64_t offset) override {
    std::vector<iovec> pieces;
    ssize_t want = 0;
    for (ConstBytes buffer : buffers) {
      pieces.push_back({const_cast<std::byte*>(buffer.data()), buffer.size()});
      want += static_cast<ssize_t>(buffer.size());
    }
    if (::pwritev(fd_, pieces.data(), static_cast<int>(pieces.size()),
                  static_cast<off_t>(offset)) != want) {
      fail("writev", path_);
    }
  }

  // The offset is only right while nobody else appends.
  std::uint64_t append(ConstBytes buffer) override {
    const iovec piece{const_cast<std::byte*>(buffer.data()), buffer.size()};
    if (::pwritev2(fd_, &piece, 1, 0, RWF_APPEND) != static_cast<ssize_t>(buffer.size())) {
      fail("append", path_);
    }
    return stat().size_bytes - buffer.size();
  }

  void truncate(std::uint64_t size_bytes) override {
    if (::ftruncate(fd_, static_cast<off_t>(size_bytes)) != 0) {
      fail("truncate", path_);
    }
  }

  void datasync() override {
    if (::fdatasync(fd_) != 0) {
      fail("fdatasync", path_);
    }
  }

  void sync_range(std::uint64_t, std::uint64_t) override { datasync(); }

  void advise(std::uint64_t offset, std::uint64_t length, Advice advice) override {
    const int values[] = {POSIX_FADV_NORMAL, POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
                          POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED};
    ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(length),
                    values[static_cast<int>(advice)]);
  }

  Stamp stat() override {
    struct ::stat s {};
    if (::fstat(fd_, &s) != 0) {
      fail("stat", path_);
    }
    return {static_cast<std::uint64_t>(s.st_size),
            {s.st_mtim.tv_sec, static_cast<std::uint32_t>(s.st_mtim.tv_nsec)},
            s.st_mode & 07777u,
            s.st_nlink};
  }

  void set_mtime(TimeSpec mtime) override {
    const timespec times[2] = {{0, UTIME_OMIT},
                               {mtime.seconds, static_cast<long>(mtime.nanoseconds)}};
    if (::futimens(fd_, times) != 0) {
      fail("set_times", path_);
    }
  }

  void submit(Op op, OnDone on_done) override {
    const std::size_t moved = std::visit(
        [this](const auto& o) -> std::size_t {
          using T = std::decay_t<decltype(o)>;
          if constexpr (std::is_same_v<T, ReadOp>) {
            return read(o.buffer, o.offset);
          } else if constexpr (std::is_same_v<T, WriteOp>) {
            write(o.buffer, o.offset);
            return o.buffer.size();
          } else if constexpr (std::is_same_v<T, AppendOp>) {
            append(o.buffer);
            return o.buffer.size();
          } else if constexpr (std::is_same_v<T, TruncateOp>) {
            truncate(o.size_bytes);
            return 0;
          } else {
            datasync();
            return 0;
          }
        },
        op);
    on_done(moved);
  }

  void close() override {
    const int fd = std::exchange(fd_, -1);
    if (::close(fd) != 0) {
      fail("close", path_);
    }
  }

 private:
  int fd_;
  const std::string path_;
};

class KernelTarget final : public Target {
 public:
  explicit KernelTarget(std::string root) : root_(std::move(root)) {}

  std::unique_ptr<TargetFile> open(const std::string& path, OpenFlags flags,
                                   std::uint32_t mode) override {
    const int fd = ::open((root_ + "/" + path).c_str(), open_flags(flags), mode);
    if (fd < 0) {
      fail("open", path);
    }
    return std::make_unique<KernelFile>(fd, path);
  }

  void sync() override {
    const int fd = ::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && ::syncfs(fd) == 0;
    if (fd >= 0) {
      ::close(fd);
    }
    if (!ok) {
      fail("syncfs", root_);
    }
  }

  const std::string& root() const override { return root_; }

 private:
  const std::string root_;
};

}  // namespace

std::unique_ptr<Target> make_kernel_target(std::string root) {
  return std::make_unique<KernelTarget>(std::move(root));
}

}  // namespace quire::main_job
