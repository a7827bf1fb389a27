#include "tool/command_line.h"

#include <string>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "quire/version.h"

namespace quire::tool {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Result<Command> parse(const std::vector<const char*>& arguments) {
  std::vector<const char*> words = {"quire"};
  for (const char* const argument : arguments) words.push_back(argument);
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

template <class Arguments>
Arguments parsed(const std::vector<const char*>& words) {
  const auto command = parse(words);
  EXPECT_TRUE(command.ok()) << command.error().context;
  return std::get<Arguments>(*command);
}

// What is said about wrong arguments: one line, which ends in where to look.
std::string refused(const std::vector<const char*>& words) {
  const auto command = parse(words);
  EXPECT_FALSE(command.ok());
  if (command) return "";
  const std::string said = command.error().context;
  EXPECT_THAT(said, Not(HasSubstr("\n")));
  EXPECT_THAT(said, HasSubstr("; see quire"));
  EXPECT_TRUE(said.ends_with("--help")) << said;
  return said;
}

std::string shown(const std::vector<const char*>& words) {
  return parsed<Shown>(words).text;
}

TEST(CommandLineTest, Mount) {
  const auto plain = parsed<MountArguments>({"mount", "a", "b"});
  EXPECT_EQ(plain.source, "a");
  EXPECT_EQ(plain.mountpoint, "b");
  EXPECT_EQ(plain.memory_bytes, std::size_t{256} << 20);
  EXPECT_EQ(plain.dirty_max_bytes, 0u);
  EXPECT_EQ(plain.engine, HostStoreOptions::Engine::kAuto);
  EXPECT_EQ(plain.locking, CacheOptions().locking);
  EXPECT_FALSE(plain.allow_other);
  EXPECT_TRUE(plain.shared_mmap);
  EXPECT_FALSE(plain.foreground);

  const auto all =
      parsed<MountArguments>({"mount", "--memory", "1G", "a", "--dirty=64M", "b", "--io", "threads",
                              "--allow-other", "--no-shared-mmap", "--foreground"});
  EXPECT_EQ(all.source, "a");
  EXPECT_EQ(all.mountpoint, "b");
  EXPECT_EQ(all.memory_bytes, std::size_t{1} << 30);
  EXPECT_EQ(all.dirty_max_bytes, std::size_t{64} << 20);
  EXPECT_EQ(all.engine, HostStoreOptions::Engine::kThreads);
  EXPECT_TRUE(all.allow_other);
  EXPECT_FALSE(all.shared_mmap);
  EXPECT_TRUE(all.foreground);
  EXPECT_EQ(parsed<MountArguments>({"mount", "a", "b", "--io", "uring"}).engine,
            HostStoreOptions::Engine::kUring);
  for (const auto& [name, strategy] :
       {std::pair{"gate", Locking::kGate}, std::pair{"range", Locking::kRange},
        std::pair{"invalidate", Locking::kInvalidate}, std::pair{"inode", Locking::kInode}}) {
    EXPECT_EQ(parsed<MountArguments>({"mount", "a", "b", "--locking", name}).locking, strategy);
  }
  EXPECT_EQ(parsed<MountArguments>({"mount", "--", "-a", "-b"}).source, "-a");
}

TEST(CommandLineTest, TheOthers) {
  EXPECT_EQ(parsed<UnmountArguments>({"unmount", "b"}).mountpoint, "b");
  EXPECT_FALSE(parsed<UnmountArguments>({"unmount", "b"}).discard);
  EXPECT_TRUE(parsed<UnmountArguments>({"unmount", "b", "--discard"}).discard);
  EXPECT_TRUE(parsed<StatsArguments>({"stats", "--json", "b"}).json);
  EXPECT_TRUE(parsed<StatsArguments>({"stats", "--prometheus", "b"}).prometheus);
  EXPECT_TRUE(parsed<StatsArguments>({"stats", "--watch", "b"}).watch);
  EXPECT_EQ(parsed<DoctorArguments>({"doctor"}).directory, "");
  EXPECT_EQ(parsed<DoctorArguments>({"doctor", "a", "--json"}).directory, "a");
  EXPECT_TRUE(parsed<DoctorArguments>({"doctor", "--json"}).json);
  parsed<VersionArguments>({"version"});
}

TEST(CommandLineTest, Fallocate) {
  const auto insert = parsed<FallocateArguments>({"fallocate", "f", "--insert", "64K", "1M"});
  EXPECT_EQ(insert.file, "f");
  EXPECT_EQ(insert.kind, Cut::kInsert);
  EXPECT_EQ(insert.offset, 65536u);
  EXPECT_EQ(insert.length_bytes, 1048576u);
  EXPECT_EQ(parsed<FallocateArguments>({"fallocate", "--collapse", "f", "0", "1"}).kind,
            Cut::kCollapse);
  EXPECT_EQ(parsed<FallocateArguments>({"fallocate", "f", "0", "1", "--punch"}).kind, Cut::kPunch);
  const auto zero = parsed<FallocateArguments>({"fallocate", "f", "--zero", "0", "1"});
  EXPECT_EQ(zero.kind, Cut::kZero);
  EXPECT_FALSE(zero.keep_size);
  EXPECT_TRUE(
      parsed<FallocateArguments>({"fallocate", "f", "--zero", "--keep-size", "0", "1"}).keep_size);
  EXPECT_THAT(refused({"fallocate", "f", "0", "1"}), HasSubstr("--punch"));
  EXPECT_THAT(refused({"fallocate", "f", "--punch", "--zero", "0", "1"}), HasSubstr("--zero"));
  EXPECT_THAT(refused({"fallocate", "f", "--punch", "--keep-size", "0", "1"}), HasSubstr("--zero"));
  EXPECT_THAT(refused({"fallocate", "f", "--punch", "0"}), HasSubstr("LENGTH"));
  EXPECT_THAT(refused({"fallocate", "f", "--punch", "0", "0"}), HasSubstr("out of range"));
  EXPECT_THAT(refused({"fallocate", "f", "--punch", "here", "1"}), HasSubstr("'here' is no size"));
  EXPECT_THAT(refused({"fallocate", "", "--punch", "0", "1"}), HasSubstr("name a file"));
}

TEST(CommandLineTest, WhatIsMissingIsNamed) {
  EXPECT_THAT(refused({}), HasSubstr("subcommand"));
  EXPECT_THAT(refused({"mount"}), HasSubstr("SOURCE"));
  EXPECT_THAT(refused({"mount", "a"}), HasSubstr("MOUNTPOINT"));
  EXPECT_THAT(refused({"mount", "a"}), HasSubstr("see quire mount --help"));
  EXPECT_THAT(refused({"unmount"}), HasSubstr("MOUNTPOINT"));
  EXPECT_THAT(refused({"stats"}), HasSubstr("MOUNTPOINT"));
  EXPECT_THAT(refused({"mount", "a", "b", "--memory"}), HasSubstr("--memory"));
  EXPECT_THAT(refused({"unmount", ""}), HasSubstr("is empty"));
}

TEST(CommandLineTest, WhatIsTooMuchIsQuoted) {
  EXPECT_THAT(refused({"fly"}), HasSubstr("there is no command 'fly'"));
  EXPECT_THAT(refused({"mount", "a", "b", "c"}), HasSubstr("'c' is one argument too many"));
  EXPECT_THAT(refused({"mount", "a", "b", "--fast"}), HasSubstr("there is no option '--fast'"));
  EXPECT_THAT(refused({"version", "x"}), HasSubstr("'x'"));
  EXPECT_THAT(refused({"stats", "b", "--json", "--watch"}), HasSubstr("--watch"));
  EXPECT_THAT(refused({"stats", "b", "--prometheus", "--watch"}), HasSubstr("--watch"));
  EXPECT_THAT(refused({"stats", "b", "--json", "--prometheus"}), HasSubstr("--prometheus"));
}

TEST(CommandLineTest, SizesAreChecked) {
  EXPECT_THAT(refused({"mount", "a", "b", "--memory", "lots"}), HasSubstr("'lots' is no size"));
  EXPECT_THAT(refused({"mount", "a", "b", "--memory", "1M"}),
              HasSubstr("'1M' is out of range: from 8.0 MiB to 8.0 TiB"));
  EXPECT_THAT(refused({"mount", "a", "b", "--memory", "9T"}), HasSubstr("out of range"));
  EXPECT_THAT(refused({"mount", "a", "b", "--dirty", "1"}), HasSubstr("out of range"));
  EXPECT_THAT(refused({"mount", "a", "b", "--dirty", "129M"}),
              HasSubstr("129.0 MiB is more than half of --memory, which is 256.0 MiB"));
  EXPECT_THAT(refused({"mount", "a", "b", "--io", "magic"}),
              HasSubstr("'magic' is no way to do IO: write uring, threads or auto"));
  EXPECT_THAT(refused({"mount", "a", "b", "--locking", "magic"}),
              HasSubstr("'magic' is no locking strategy: write gate, range, invalidate or inode"));
}

TEST(CommandLineTest, HelpOfEveryCommandHasExamplesAndItsArguments) {
  EXPECT_THAT(shown({"--help"}), HasSubstr("quire mount /srv/data /mnt/data"));
  for (const std::string name : {"mount", "unmount", "stats", "fallocate", "doctor", "version"}) {
    EXPECT_THAT(shown({"--help"}), HasSubstr("  " + name + " "));
    const std::string help = shown({name.c_str(), "--help"});
    EXPECT_THAT(help, HasSubstr("Example"));
    EXPECT_THAT(help, HasSubstr("quire " + name));
    EXPECT_THAT(help, HasSubstr("--help"));
    EXPECT_TRUE(help.ends_with('\n'));
  }
  for (const char* const option :
       {"--memory SIZE", "--dirty SIZE", "--io WAY", "--locking STRATEGY", "--allow-other",
        "--no-shared-mmap", "--foreground"}) {
    EXPECT_THAT(shown({"mount", "--help"}), HasSubstr(option));
  }
  // Nothing is asked about arguments that are missing.
  EXPECT_THAT(shown({"unmount", "--help", "--discard"}), HasSubstr("--discard"));
}

TEST(CommandLineTest, Version) {
  EXPECT_EQ(shown({"--version"}), std::string("quire ") + QUIRE_VERSION_STRING + "\n");
}

}  // namespace
}  // namespace quire::tool
