#include "tool/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <map>

#include "tool/size.h"
#include "tool/units.h"
#include "tool/version.h"

namespace quire::tool {

namespace {

using Engine = HostStoreOptions::Engine;

// What the options are parsed into, whichever subcommand it is.
struct Parsed {
  MountArguments mount;
  UnmountArguments unmount;
  StatsArguments stats;
  FallocateArguments fallocate;
  DoctorArguments doctor;
};

constexpr const char* kExamples =
    "Examples:\n"
    "  quire doctor /srv/data\n"
    "  quire mount /srv/data /mnt/data --memory 1G\n"
    "  quire stats /mnt/data\n"
    "  quire unmount /mnt/data\n\n"
    "quire COMMAND --help tells more of each; the manual page is quire(1).";

constexpr const char* kMountNotes =
    "Examples:\n"
    "  quire mount /srv/data /mnt/data --memory 1G\n"
    "  quire mount ~/work /tmp/work --foreground --io threads\n\n"
    "SIZE is a whole number of bytes, or one followed by K, M, G or T (powers of 1024).\n"
    "Data reaches SOURCE after fsync, after 30 seconds, and at unmount; sync(1) alone does not "
    "write\n"
    "it.";

constexpr const char* kUnmountNotes =
    "Examples:\n"
    "  quire unmount /mnt/data\n"
    "  quire unmount /mnt/data --discard\n\n"
    "If data cannot be written, the files are listed, nothing is unmounted, and the exit status is "
    "3.";

constexpr const char* kStatsNotes =
    "Examples:\n"
    "  quire stats /mnt/data\n"
    "  quire stats /mnt/data --watch\n"
    "  quire stats /mnt/data --prometheus >/var/lib/node_exporter/quire.prom";

constexpr const char* kFallocateNotes =
    "Examples:\n"
    "  quire fallocate /mnt/data/disk.img --punch 1G 64M\n"
    "  quire fallocate /mnt/data/log --collapse 0 16M\n\n"
    "OFFSET and LENGTH are bytes, or numbers followed by K, M, G or T (powers of 1024). Inserting "
    "and\n"
    "collapsing take multiples of the source's block, and a source that can: ext4 and XFS.";

constexpr const char* kDoctorNotes =
    "Examples:\n"
    "  quire doctor\n"
    "  quire doctor /srv/data --json\n\n"
    "The exit status is 0 if a mount would work, 1 if not.";

// An option, or an argument, whose value is a size in [min, max].
CLI::Option* add_size(CLI::App& command, const std::string& name, std::uint64_t& bytes,
                      std::uint64_t min, std::uint64_t max, const std::string& help) {
  return command
      .add_option_function<std::string>(
          name,
          [&bytes, name, min, max](const std::string& text) {
            const auto size = parse_size(text);
            if (!size) throw CLI::ValidationError(name, size.error().context);
            if (*size < min || *size > max) {
              throw CLI::ValidationError(
                  name, fmt::format("'{}' is out of range: from {} to {}", text, human_bytes(min),
                                    human_bytes(max)));
            }
            bytes = *size;
          },
          help)
      ->type_name("SIZE");
}

// An existing directory or file is not asked for here: a mount point whose daemon hangs cannot be looked at.
void add_place(CLI::App& command, const std::string& name, std::string& place,
               const std::string& help, const std::string& what = "directory") {
  command
      .add_option_function<std::string>(
          name,
          [&place, name, what](const std::string& text) {
            if (text.empty()) throw CLI::ValidationError(name, "is empty: name a " + what);
            place = text;
          },
          help)
      ->type_name("");
}

CLI::App* add_mount(CLI::App& app, MountArguments& mount) {
  CLI::App* const command =
      app.add_subcommand("mount", "Serve the directory SOURCE at MOUNTPOINT, through the cache.");
  command->footer(kMountNotes);
  add_place(*command, "SOURCE", mount.source, "The directory to serve.");
  add_place(*command, "MOUNTPOINT", mount.mountpoint, "An empty directory outside SOURCE.");
  add_size(*command, "--memory", mount.memory_bytes, limits::kMemoryMinBytes,
           limits::kMemoryMaxBytes, "The cache's memory budget; 256M if not given.");
  add_size(
      *command, "--dirty", mount.dirty_max_bytes, limits::kPageBytes, limits::kMemoryMaxBytes / 2,
      "Data not yet written to SOURCE, at most; then writers wait. Up to half of --memory; 40 % of "
      "it if not given.");
  command
      ->add_option_function<std::string>(
          "--io",
          [&mount](const std::string& text) {
            static const std::map<std::string, Engine> engines = {
                {"auto", Engine::kAuto}, {"uring", Engine::kUring}, {"threads", Engine::kThreads}};
            const auto found = engines.find(text);
            if (found == engines.end()) {
              throw CLI::ValidationError(
                  "--io",
                  fmt::format("'{}' is no way to do IO: write uring, threads or auto", text));
            }
            mount.engine = found->second;
          },
          "How SOURCE is read and written: uring, threads, or auto, which is uring where the "
          "kernel "
          "allows it (default).")
      ->type_name("WAY");
  command
      ->add_option_function<std::string>(
          "--locking",
          [&mount](const std::string& text) {
            static const std::map<std::string, Locking> strategies = {
                {"gate", Locking::kGate},
                {"range", Locking::kRange},
                {"invalidate", Locking::kInvalidate},
                {"inode", Locking::kInode}};
            const auto found = strategies.find(text);
            if (found == strategies.end()) {
              throw CLI::ValidationError(
                  "--locking",
                  fmt::format("'{}' is no locking strategy: write gate, range, invalidate or inode",
                              text));
            }
            mount.locking = found->second;
          },
          "How reads are kept out of a file while it is cut or written directly: range (default), "
          "gate, or, to compare with, invalidate or inode.")
      ->type_name("STRATEGY");
  command->add_flag("--allow-other", mount.allow_other,
                    "Let other users in; the kernel checks permissions. Not for users unless "
                    "user_allow_other stands in /etc/fuse.conf.");
  command->add_flag_callback(
      "--no-shared-mmap", [&mount] { mount.shared_mmap = false; },
      "Refuse to map files shared, as kernels before 6.6 do.");
  command->add_flag(
      "--foreground", mount.foreground,
      "Do not become a daemon: serve until the mount ends, messages on standard error.");
  return command;
}

CLI::App* add_unmount(CLI::App& app, UnmountArguments& unmount) {
  CLI::App* const command =
      app.add_subcommand("unmount", "Write everything back and end the mount at MOUNTPOINT.");
  command->footer(kUnmountNotes);
  add_place(*command, "MOUNTPOINT", unmount.mountpoint, "Where it is mounted.");
  command->add_flag("--discard", unmount.discard, "Give up what cannot be written.");
  return command;
}

CLI::App* add_stats(CLI::App& app, StatsArguments& stats) {
  CLI::App* const command =
      app.add_subcommand("stats", "Show what the mount at MOUNTPOINT does and has done.");
  command->footer(kStatsNotes);
  add_place(*command, "MOUNTPOINT", stats.mountpoint, "Where it is mounted.");
  CLI::Option* const json = command->add_flag("--json", stats.json, "As JSON.");
  CLI::Option* const prometheus =
      command->add_flag("--prometheus", stats.prometheus, "In Prometheus's text format.");
  CLI::Option* const watch =
      command->add_flag("--watch", stats.watch, "A line every second, until interrupted.");
  json->excludes(prometheus, watch);
  prometheus->excludes(watch);
  return command;
}

CLI::App* add_fallocate(CLI::App& app, FallocateArguments& fallocate) {
  CLI::App* const command = app.add_subcommand(
      "fallocate", "Cut a file of a mount: what fallocate(2) does, and what it cannot do on FUSE.");
  command->footer(kFallocateNotes);
  add_place(*command, "FILE", fallocate.file, "A file in a mount of Quire.", "file");
  add_size(*command, "OFFSET", fallocate.offset, 0, limits::kFileSizeMaxBytes, "Where it begins.")
      ->type_name("");
  add_size(*command, "LENGTH", fallocate.length_bytes, 1, limits::kFileSizeMaxBytes,
           "How many bytes.")
      ->type_name("");
  CLI::Option_group* const kinds = command->add_option_group("What to do");
  const auto add_kind = [&](const std::string& name, Cut kind, const std::string& help) {
    return kinds->add_flag_callback(
        name, [&fallocate, kind] { fallocate.kind = kind; }, help);
  };
  add_kind("--punch", Cut::kPunch, "Make the bytes zero, and give their space back.");
  CLI::Option* const zero =
      add_kind("--zero", Cut::kZero, "Make the bytes zero; the file may become longer.");
  add_kind("--insert", Cut::kInsert, "Put zero bytes in; what is there and behind moves up.");
  add_kind("--collapse", Cut::kCollapse, "Take the bytes out; what is behind moves down.");
  kinds->require_option(1);
  command
      ->add_flag("--keep-size", fallocate.keep_size,
                 "With --zero: the file stays as long as it is.")
      ->needs(zero);
  return command;
}

CLI::App* add_doctor(CLI::App& app, DoctorArguments& doctor) {
  CLI::App* const command = app.add_subcommand(
      "doctor", "Say what this machine allows, and for each \"no\" what Quire does instead.");
  command->footer(kDoctorNotes);
  add_place(*command, "DIRECTORY", doctor.directory, "A directory to serve.");
  command->add_flag("--json", doctor.json, "As JSON.");
  return command;
}

CLI::App* add_version(CLI::App& app) {
  CLI::App* const command = app.add_subcommand("version", "Show the version.");
  command->footer("Example:\n  quire version");
  return command;
}

// What CLI11 cannot express.
void check(const CLI::App& command, const Parsed& parsed) {
  if (command.get_name() == "mount" &&
      parsed.mount.dirty_max_bytes > parsed.mount.memory_bytes / 2) {
    throw CLI::ValidationError("--dirty",
                               fmt::format("{} is more than half of --memory, which is {}",
                                           human_bytes(parsed.mount.dirty_max_bytes),
                                           human_bytes(parsed.mount.memory_bytes)));
  }
}

Error wrong(const CLI::App& used, std::string what) {
  std::ranges::replace(what, '\n', ' ');
  const std::string command = used.get_parent() == nullptr ? "quire" : "quire " + used.get_name();
  return {std::errc::invalid_argument, fmt::format("{}; see {} --help", what, command)};
}

// What was not understood comes before what is missing because of it; else in CLI11's own words.
std::string explain(const CLI::App& app, const CLI::App& used, const CLI::ParseError& error) {
  const std::vector<std::string> extras = app.remaining(true);
  if (error.get_name() == "ValidationError" || extras.empty()) return error.what();
  const std::string& extra = extras.front();
  if (extra.starts_with('-')) return fmt::format("there is no option '{}'", extra);
  if (&used == &app) return fmt::format("there is no command '{}'", extra);
  return fmt::format("'{}' is one argument too many", extra);
}

}  // namespace

Result<Command> parse_command_line(int argc, const char* const* argv) {
  Parsed parsed;
  CLI::App app("Quire: serves a directory to any program through a page cache of its own.",
               "quire");
  app.footer(kExamples);
  app.set_version_flag("--version", version_text(), "Show the version.");
  app.set_help_flag("--help", "Show this.");
  app.require_subcommand(1);
  CLI::App* const mount = add_mount(app, parsed.mount);
  CLI::App* const unmount = add_unmount(app, parsed.unmount);
  CLI::App* const stats = add_stats(app, parsed.stats);
  CLI::App* const fallocate = add_fallocate(app, parsed.fallocate);
  CLI::App* const doctor = add_doctor(app, parsed.doctor);
  const std::initializer_list<CLI::App*> with_place = {mount, unmount, stats, fallocate};
  add_version(app);
  for (CLI::App* const command : with_place) {
    for (CLI::Option* const option : command->get_options()) {
      if (option->get_positional()) option->required();
    }
  }

  const auto used = [&app]() -> const CLI::App& {
    return app.get_subcommands().empty() ? app : *app.get_subcommands().front();
  };
  try {
    app.parse(argc, argv);
    check(used(), parsed);
  } catch (const CLI::CallForHelp&) {
    return Command(Shown{used().help()});
  } catch (const CLI::CallForVersion&) {
    return Command(Shown{version_text() + '\n'});
  } catch (const CLI::ParseError& error) {
    return wrong(used(), explain(app, used(), error));
  }
  if (&used() == mount) return Command(parsed.mount);
  if (&used() == unmount) return Command(parsed.unmount);
  if (&used() == stats) return Command(parsed.stats);
  if (&used() == fallocate) return Command(parsed.fallocate);
  if (&used() == doctor) return Command(parsed.doctor);
  return Command(VersionArguments{});
}

}  // namespace quire::tool
