#include "main_job/compare.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <vector>

#include "main_job/rng.h"
#include "main_job/target.h"

namespace quire::main_job {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

std::set<std::string> regular_files(const std::string& root) {
  namespace fs = std::filesystem;
  std::set<std::string> paths;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (entry.symlink_status().type() == fs::file_type::regular) {
      paths.insert(entry.path().lexically_relative(root).string());
    }
  }
  return paths;
}

void compare_names(const std::string& root, const std::string& copy_root) {
  const std::set<std::string> ours = regular_files(root);
  const std::set<std::string> theirs = regular_files(copy_root);
  std::vector<std::string> differences;
  std::set_symmetric_difference(ours.begin(), ours.end(), theirs.begin(), theirs.end(),
                                std::back_inserter(differences));
  if (!differences.empty()) {
    throw Failure(fmt::format("{} files exist on one side only, the first is {}",
                              differences.size(), differences.front()));
  }
}

struct ::stat stat_of(const std::string& path) {
  struct ::stat s {};
  if (::stat(path.c_str(), &s) != 0) {
    throw Failure(fmt::format("stat of {}: {}", path, std::strerror(errno)));
  }
  return s;
}

class Comparer {
 public:
  Comparer(const std::string& root, const std::string& copy_root)
      : target_(make_kernel_target(root)),
        copy_(make_kernel_target(copy_root)),
        ours_(kBufferBytes),
        theirs_(kBufferBytes) {}

  std::uint64_t compare_bytes(const std::string& path) {
    const auto ours = target_->open(path, OpenFlags::kRead, 0);
    const auto theirs = copy_->open(path, OpenFlags::kRead, 0);
    const std::uint64_t size = ours->stat().size_bytes;
    if (const std::uint64_t wanted = theirs->stat().size_bytes; size != wanted) {
      throw Failure(fmt::format("{}: {} bytes on the host instead of {}", path, size, wanted));
    }
    for (std::uint64_t at = 0; at < size;) {
      const std::size_t got = ours->read(ours_, at);
      if (theirs->read(Bytes(theirs_).first(got), at) != got || got == 0) {
        throw Failure(fmt::format("{}: changed during the comparison", path));
      }
      if (std::memcmp(ours_.data(), theirs_.data(), got) != 0) {
        report_difference(path, at, got);
      }
      at += got;
    }
    return size;
  }

  void compare_stamps(const std::string& path, const Stamp& shown) const {
    const struct ::stat ours = stat_of(target_->root() + "/" + path);
    const struct ::stat theirs = stat_of(copy_->root() + "/" + path);
    if (static_cast<std::uint64_t>(ours.st_size) != shown.size_bytes) {
      throw Failure(fmt::format("{}: {} bytes on the host, stat() showed {}", path, ours.st_size,
                                shown.size_bytes));
    }
    if (ours.st_mode != theirs.st_mode || (ours.st_mode & 07777u) != shown.mode) {
      throw Failure(fmt::format("{}: mode {:o} on the host, {:o} of the copy, stat() showed {:o}",
                                path, ours.st_mode, theirs.st_mode, shown.mode));
    }
    if (ours.st_nlink != theirs.st_nlink || ours.st_nlink != shown.links) {
      throw Failure(fmt::format("{}: {} links on the host, {} of the copy, stat() showed {}", path,
                                ours.st_nlink, theirs.st_nlink, shown.links));
    }
    const TimeSpec mtime{ours.st_mtim.tv_sec, static_cast<std::uint32_t>(ours.st_mtim.tv_nsec)};
    if (mtime != shown.mtime) {
      throw Failure(fmt::format("{}: mtime {}.{:09} on the host, stat() showed {}.{:09}", path,
                                mtime.seconds, mtime.nanoseconds, shown.mtime.seconds,
                                shown.mtime.nanoseconds));
    }
  }

  void compare_link(const PlannedFile& file) const {
    if (!file.link.empty() && stat_of(target_->root() + "/" + file.path).st_ino !=
                                  stat_of(target_->root() + "/" + file.link).st_ino) {
      throw Failure(fmt::format("{} and {} are no longer one file", file.path, file.link));
    }
  }

 private:
  [[noreturn]] void report_difference(const std::string& path, std::uint64_t base,
                                      std::size_t length) const {
    std::size_t wrong = 0;
    std::size_t first = length;
    for (std::size_t i = 0; i < length; ++i) {
      if (ours_[i] != theirs_[i]) {
        first = std::min(first, i);
        ++wrong;
      }
    }
    throw Failure(fmt::format(
        "{}: {:#04x} at offset {} on the host instead of {:#04x}, and {} more bytes differ nearby",
        path, std::to_integer<unsigned>(ours_[first]), base + first,
        std::to_integer<unsigned>(theirs_[first]), wrong - 1));
  }

  const std::unique_ptr<Target> target_;
  const std::unique_ptr<Target> copy_;
  std::vector<std::byte> ours_;
  std::vector<std::byte> theirs_;
};

}  // namespace

Comparison compare_trees(const Plan& plan, const Stamps& stamps, const std::string& root,
                         const std::string& copy_root, Progress& progress, const Stop& stop) {
  progress.start_phase("compare on the host", plan.source_bytes);
  compare_names(root, copy_root);
  Comparer comparer(root, copy_root);
  Comparison result;
  for (std::size_t i = 0; i < plan.files.size(); ++i) {
    stop.check();
    const PlannedFile& file = plan.files[i];
    const std::uint64_t bytes = comparer.compare_bytes(file.path);
    comparer.compare_stamps(file.path, stamps[i]);
    comparer.compare_link(file);
    progress.count(bytes);
    result.bytes += bytes;
    ++result.files;
  }
  for (const char* path : {"records/by-append", "records/by-write", "stamped/pages"}) {
    result.bytes += comparer.compare_bytes(path);
    ++result.files;
  }
  return result;
}

std::string flip_a_byte(const Plan& plan, const std::string& root) {
  std::vector<const PlannedFile*> candidates;
  for (const PlannedFile& file : plan.files) {
    if (file.size_bytes[kRounds] > 0) {
      candidates.push_back(&file);
    }
  }
  Rng rng{plan.seed, 0xf11b};
  const PlannedFile& chosen = *candidates.at(rng.below(candidates.size()));
  const auto file = make_kernel_target(root)->open(chosen.path, OpenFlags::kReadWrite, 0);
  const Stamp stamp = file->stat();
  const std::uint64_t offset = rng.below(stamp.size_bytes);
  std::byte byte{};
  file->read(Bytes(&byte, 1), offset);
  byte ^= std::byte{1};
  file->write(ConstBytes(&byte, 1), offset);
  file->set_mtime(stamp.mtime);
  return chosen.path;
}

}  // namespace quire::main_job
