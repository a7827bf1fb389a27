// Names: many small files made, looked at and removed; an archive unpacked; git looking for changes.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "host_bench/data.h"
#include "host_bench/process.h"
#include "mount_bench/mounted.h"
#include "mount_bench/rows.h"

namespace quire::bench {
namespace {

constexpr unsigned kNameRowSecondsMax = 900;
// Rounds of rows that take seconds.
constexpr unsigned kLongRounds = 7;
constexpr std::size_t kSmallFileBytes = 1024;

struct NameSide {
  std::string name;
  std::string settings;
  MountSettings mount_settings;
  std::string source;
  std::optional<Mounted> mount;
  const std::string& path() const { return mount ? mount->path() : source; }
};

struct NameSides {
  explicit NameSides(const Context& context) {
    const std::array<const char*, 3> names = {"Quire", "do-nothing daemon", "ext4"};
    const std::array<const char*, 3> directories = {"/quire", "/nothing", "/plain"};
    for (std::size_t i = 0; i < sides.size(); ++i) {
      NameSide& side = sides[i];
      side.name = names[i];
      side.source = context.directory + directories[i];
      std::filesystem::create_directory(side.source);
      side.mount_settings.source = side.source;
    }
    sides[1].mount_settings.daemon = MountSettings::Daemon::kNothing;
    sides[1].mount_settings.threads = 3;
    sides[0].settings = sides[0].mount_settings.text();
    sides[1].settings = sides[1].mount_settings.text();
    sides[2].settings = "the kernel's cache";
  }
  void mount() {
    for (std::size_t i = 0; i < 2; ++i) mount(sides[i]);
  }
  static void mount(NameSide& side) {
    side.mount.reset();
    side.mount.emplace(side.mount_settings);
  }

  const RowTimeout timeout{kNameRowSecondsMax};
  std::array<NameSide, 3> sides;
};

[[noreturn]] void failed(const std::string& what) {
  throw std::runtime_error(fmt::format("{}: {}", what, std::strerror(errno)));
}

// --- files

struct Phases {
  std::vector<double> create, stat, unlink;
};

struct FileData : NameSides {
  explicit FileData(const Context& context)
      : NameSides(context), count(context.quick ? 500 : 20'000) {
    mount();
  }
  const std::size_t count;
  std::array<Phases, 3> phases;
};

NanosecondsPerOp make_and_remove(FileData& d, std::size_t which, unsigned round) {
  const std::string directory = d.sides[which].path() + "/files";
  if (::mkdir(directory.c_str(), 0700) != 0) failed(directory);
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < d.count; ++i) paths.push_back(fmt::format("{}/{:05}", directory, i));
  const std::array<char, kSmallFileBytes> bytes = {};
  const auto count = static_cast<double>(d.count);
  const double create =
      timed([&] {
        for (const std::string& path : paths) {
          const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
          if (fd < 0 ||
              ::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
            failed(path);
          }
          ::close(fd);
        }
      }) /
      count;
  const double stat =
      timed([&] {
        struct stat s = {};
        for (const std::string& path : paths) {
          if (::stat(path.c_str(), &s) != 0 || s.st_size != static_cast<off_t>(bytes.size())) {
            failed(path);
          }
        }
      }) /
      count;
  const double unlink = timed([&] {
                          for (const std::string& path : paths) {
                            if (::unlink(path.c_str()) != 0) failed(path);
                          }
                        }) /
                        count;
  if (::rmdir(directory.c_str()) != 0) failed(directory);
  if (round > 0) {
    d.phases[which].create.push_back(create);
    d.phases[which].stat.push_back(stat);
    d.phases[which].unlink.push_back(unlink);
  }
  return create + stat + unlink;
}

Row files_row(const Context& context) {
  const auto d = std::make_shared<FileData>(context);
  Row row;
  row.title = fmt::format("{} files of {} bytes made, then looked at, then removed; per file",
                          d->count, kSmallFileBytes);
  row.rounds = kLongRounds;
  for (std::size_t i = 0; i < d->sides.size(); ++i) {
    row.sides.push_back({d->sides[i].name, d->sides[i].settings,
                         [d, i](unsigned round) { return make_and_remove(*d, i, round); }});
  }
  row.comparisons = beside_both();
  row.remark = [d] {
    std::string text = "microseconds to create / stat / unlink one:";
    for (std::size_t i = 0; i < d->sides.size(); ++i) {
      const Phases& p = d->phases[i];
      text += fmt::format("{} {} {:.1f} / {:.1f} / {:.1f}", i == 0 ? "" : ",", d->sides[i].name,
                          spread_of(p.create).median / 1e3, spread_of(p.stat).median / 1e3,
                          spread_of(p.unlink).median / 1e3);
    }
    return text;
  };
  return row;
}

// --- trees

// A tree of real files that a development machine has.
std::string real_tree(bool quick) {
  if (!quick) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/usr/share", ignored)) {
      if (entry.path().filename().string().rfind("cmake-", 0) == 0) return entry.path().string();
    }
  }
  if (std::filesystem::is_directory("/usr/include/linux")) return "/usr/include/linux";
  throw NotMeasured("needs files under /usr/share/cmake-* or /usr/include/linux");
}

std::size_t files_in(const std::string& directory) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) ++count;
  }
  return count;
}

struct TreeData : NameSides {
  explicit TreeData(const Context& context)
      : NameSides(context),
        tree(real_tree(context.quick)),
        files(files_in(tree)),
        archive(context.directory + "/tree.tar") {
    output_of({"tar", "-cf", archive, "-C", tree, "."});
    mount();
  }
  const std::string tree;
  const std::size_t files;
  const std::string archive;
};

Row untar_row(const Context& context) {
  const auto d = std::make_shared<TreeData>(context);
  Row row;
  row.title = fmt::format("tar -x of {}, {} files, {:.0f} MiB; per file", d->tree, d->files,
                          static_cast<double>(std::filesystem::file_size(d->archive)) / kMiB);
  row.rounds = kLongRounds;
  for (NameSide& side : d->sides) {
    row.sides.push_back(
        {side.name, side.settings, [d, &side](unsigned round) {
           const std::string to = fmt::format("{}/{}", side.path(), round);
           std::filesystem::create_directory(to);
           const double took = timed([&] { output_of({"tar", "-xf", d->archive, "-C", to}); });
           if (files_in(to) != d->files) {
             throw std::runtime_error(side.name + ": files are missing");
           }
           std::filesystem::remove_all(to);
           return took / static_cast<double>(d->files);
         }});
  }
  row.comparisons = beside_both();
  return row;
}

std::vector<std::string> git(const std::string& repository, std::vector<std::string> arguments) {
  std::vector<std::string> all = {"git",
                                  "-C",
                                  repository,
                                  "-c",
                                  "user.name=bench",
                                  "-c",
                                  "user.email=bench@localhost",
                                  "-c",
                                  "safe.directory=*",
                                  "-c",
                                  "gc.auto=0"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

struct GitData : NameSides {
  explicit GitData(const Context& context) : NameSides(context), tree(real_tree(context.quick)) {
    for (NameSide& side : sides) {
      const std::string repository = side.source + "/repository";
      output_of({"cp", "-rL", "--no-preserve=ownership", tree, repository});
      output_of(git(repository, {"init", "-q"}));
      output_of(git(repository, {"add", "-A"}));
      output_of(git(repository, {"commit", "-q", "-m", "everything"}));
    }
    files = files_in(tree);
    mount();
  }
  const std::string tree;
  std::size_t files = 0;
};

Row git_row(const Context& context, bool fresh) {
  const auto d = std::make_shared<GitData>(context);
  Row row;
  row.title = fmt::format("git status in a checkout of {} files, {}; per file", d->files,
                          fresh ? "the first after mounting" : "again and again");
  row.rounds = kLongRounds;
  for (NameSide& side : d->sides) {
    row.sides.push_back(
        {side.name, side.settings, [d, &side, fresh](unsigned /*round*/) {
           if (fresh && side.mount) NameSides::mount(side);
           std::string changes;
           const double took = timed([&] {
             changes = output_of(git(side.path() + "/repository", {"status", "--porcelain"}));
           });
           if (!changes.empty()) {
             throw std::runtime_error(side.name + ": git sees " + changes);
           }
           return took / static_cast<double>(d->files);
         }});
  }
  row.comparisons = beside_both();
  return row;
}

}  // namespace

std::vector<RowMaker> mounted_name_rows() {
  return {
      {"mount.files", files_row},
      {"mount.untar", untar_row},
      {"mount.git-status.first", [](const Context& c) { return git_row(c, true); }},
      {"mount.git-status.again", [](const Context& c) { return git_row(c, false); }},
  };
}

}  // namespace quire::bench
