#include "tool/directory_checks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "quire/limits.h"
#include "quire/store.h"
#include "store/fd.h"
#include "store/host_directory.h"
#include "store/host_file.h"
#include "store/host_space.h"
#include "tool/mount_table.h"
#include "tool/units.h"

namespace quire::tool {

namespace {

using store::Fd;

constexpr off_t kBlock = 4096;
constexpr std::size_t kShownMax = 5;

// The mount that the open directory is on.
std::string file_system(int directory, const std::vector<Mount>& mounts) {
  struct statx stat = {};
  if (::statx(directory, "", AT_EMPTY_PATH, STATX_MNT_ID, &stat) != 0) return "unknown";
  const auto found = std::ranges::find(mounts, stat.stx_mnt_id, &Mount::id);
  return found == mounts.end() ? "unknown" : printable(found->type);
}

// A file of the directory that nobody else sees.
Fd scratch_file(int directory, const std::string& path) {
  Fd file(::openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file.ok() || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return file;
  // File systems without O_TMPFILE.
  std::string name = path + "/.quire-doctor-XXXXXX";
  Fd named(::mkostemp(name.data(), O_CLOEXEC));
  if (named.ok()) ::unlink(name.c_str());
  return named;
}

Check served(int directory) {
  const std::string name = "no other Quire serves this directory";
  const std::string instead = "a second one is refused: there is one cache to a directory";
  const std::string allow = "unmount the other, or end the program that has it open";
  // A shared lock meets Quire's, which is exclusive, and no other's look.
  const bool free = ::flock(directory, LOCK_SH | LOCK_NB) == 0;
  const int error = errno;
  if (free) ::flock(directory, LOCK_UN);
  if (!free && error != EWOULDBLOCK) return untried_check(name, reason(error));
  return needed(make_check(name, free, "", instead, allow));
}

Check submounts(const std::string& path, const std::vector<Mount>& mounts) {
  const std::vector<std::string> below = mounts_below(mounts, path);
  std::string found;
  for (std::size_t i = 0; i < std::min(below.size(), kShownMax); ++i) {
    found += (i == 0 ? "" : ", ") + printable(below[i]);
  }
  if (below.size() > kShownMax) found += fmt::format(" and {} more", below.size() - kShownMax);
  return make_check("nothing is mounted below this directory", below.empty(), found,
                    "what is mounted there is not served: EXDEV",
                    "mount each of them with Quire by itself");
}

Check direct_io(int file) {
  struct statx stat = {};
  const bool told = ::statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stat) == 0 &&
                    (stat.stx_mask & STATX_DIOALIGN) != 0;
  bool there = ::fcntl(file, F_SETFL, O_DIRECT) == 0;
  std::string found;
  if (told) {
    there = there && stat.stx_dio_offset_align != 0 && stat.stx_dio_offset_align <= kBlock &&
            stat.stx_dio_mem_align <= kBlock;
    found = stat.stx_dio_offset_align == 0
                ? "the file system says no"
                : fmt::format("the file system's is aligned to {} in the file and {} in memory",
                              counted(stat.stx_dio_offset_align, "byte"),
                              counted(stat.stx_dio_mem_align, "byte"));
  } else if (there) {
    found = "the file system does not say which alignment it needs";
  }
  if (!found.empty()) found += "; ";
  // The store's, whatever the file system does with it (store/host_file.h).
  found += fmt::format("O_DIRECT through Quire needs offsets and lengths that are multiples of {}",
                       counted(store::kDirectAlignmentBytes, "byte"));
  ::fcntl(file, F_SETFL, 0);
  return make_check("direct IO", there, found,
                    "data passes through the kernel's cache and is dropped there",
                    "use a directory on ext4, XFS or btrfs");
}

Check reserving(int file) {
  SpaceRequest request;
  request.pages = request.end = 16;
  const int error = store::reserve_pages(file, request);
  const bool kept = store::keeps_allocation(file);
  std::string found = reason(error);
  if (error == 0) {
    found = !kept ? "fallocate works, but a write goes to a new place, which there may not be"
            : request.told ? fmt::format(
                                 "{} at a time for a file that is written on and on; what is not "
                                 "needed is given back when it is closed",
                                 human_bytes(limits::kReservePagesMax * limits::kPageBytes))
                           : "for the pages of each write (no FIEMAP)";
  }
  return make_check("space is reserved (fallocate): a full disk shows at the write",
                    error == 0 && kept, found, "a full disk may show only at fsync, or at unmount",
                    "use a directory on ext4, XFS or tmpfs");
}

Check cut(int file, const char* name, Cut kind) {
  const bool there = ::ftruncate(file, 16 * kBlock) == 0 &&
                     ::fallocate(file, store::fallocate_mode(kind), kBlock, kBlock) == 0;
  return make_check(fmt::format("{} range", name), there, there ? "" : reason(errno),
                    "that mode of fallocate fails with EOPNOTSUPP",
                    "use a directory on ext4 or XFS");
}

std::vector<Check> scratch_checks(int directory, const std::string& path) {
  const Fd file = scratch_file(directory, path);
  if (!file.ok()) {
    return {untried_check("direct IO, reserving space, and which cuts",
                          fmt::format("no file can be made here: {}", reason(errno)))};
  }
  std::vector<Check> checks = {direct_io(file.get()), reserving(file.get())};
  checks.push_back(cut(file.get(), "punch", Cut::kPunch));
  checks.push_back(cut(file.get(), "zero", Cut::kZero));
  checks.push_back(cut(file.get(), "insert", Cut::kInsert));
  checks.push_back(cut(file.get(), "collapse", Cut::kCollapse));
  return checks;
}

}  // namespace

std::vector<Check> directory_checks(const std::string& directory) {
  const Fd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const int error = errno;
  const std::string name = printable(directory) + " can be opened";
  if (!opened.ok()) {
    return {needed(make_check(name, false, reason(error), "there is nothing to serve",
                              "name a directory that you may read"))};
  }
  const std::vector<Mount> all = mounts();
  std::vector<Check> checks = {
      make_check(name, true, "file system: " + file_system(opened.get(), all), "", "")};
  checks.push_back(served(opened.get()));
  const auto path = resolve_mountpoint(directory);
  checks.push_back(
      path ? submounts(*path, all)
           : untried_check("nothing is mounted below this directory", path.error().context));
  for (Check& check : scratch_checks(opened.get(), directory)) checks.push_back(std::move(check));
  return checks;
}

}  // namespace quire::tool
