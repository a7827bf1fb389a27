#include "tool/format_stats.h"

#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire::tool {
namespace {

using mount::control::Stats;
using ::testing::HasSubstr;
using ::testing::Not;

MountReport made_up() {
  Stats stats = {};
  stats.daemon_pid = 4321;
  stats.owner_uid = 1000;
  stats.shared_mmap = 1;
  stats.uptime_ns = 7'500'000'000;
  stats.hits = 39'000;
  stats.misses = 1'000;
  stats.readahead_pages = 256;
  stats.written_pages = 3;
  stats.write_requests = 1;
  stats.memory_bytes = 256 << 20;
  stats.memory_used_bytes = 130 << 20;
  stats.cached_pages = 32 << 10;
  stats.dirty_pages = 2;
  stats.reserved_pages = 256;
  stats.requests = 1'234'567;
  stats.throttle = {4, 10'000'000, 9'000'000};
  stats.kernel_bytes_kept = 17;
  return {"/srv/a \"b\"", "/mnt/a\\b", stats, std::nullopt};
}

TEST(FormatStatsTest, TextIsInHumanUnits) {
  const std::string text = stats_text(made_up());
  EXPECT_THAT(text, HasSubstr("for 7.5 s, by process 4321, files can be mapped shared\n"));
  EXPECT_THAT(text, HasSubstr("hit rate      97.5 % (39,000 hits, 1,000 misses)\n"));
  EXPECT_THAT(text, HasSubstr("memory        130.0 MiB of 256.0 MiB, 128.0 MiB of it file data\n"));
  EXPECT_THAT(text, HasSubstr("dirty         8.0 KiB, and 0 B on its way to the source\n"));
  EXPECT_THAT(text, HasSubstr("reserved      1.0 MiB of space on the source, not written yet\n"));
  EXPECT_THAT(text, HasSubstr("written back  12.0 KiB in 1 request, of which 0 failed\n"));
  EXPECT_THAT(text, HasSubstr("requests      1,234,567,"));
  EXPECT_THAT(text, ::testing::ContainsRegex("throttle +4 +2.5 ms +9.0 ms  of writers"));
  EXPECT_THAT(text, ::testing::ContainsRegex("page +0 +- +-  for a page"));
  EXPECT_THAT(text, Not(HasSubstr("unwritten")));
}

TEST(FormatStatsTest, TextListsUnwrittenFilesForWhoMaySeeThem) {
  MountReport report = made_up();
  report.dirty = MountReport::Dirty{{{8192, ENOSPC, "x/y"}}, 3};
  EXPECT_THAT(stats_text(report), HasSubstr("\n3 files with unwritten data:\n"
                                            "  8.0 KiB  x/y: No space left on device\n"
                                            "  and 2 more\n"));
  report.dirty = MountReport::Dirty{};
  EXPECT_THAT(stats_text(report), Not(HasSubstr("unwritten")));
}

TEST(FormatStatsTest, JsonIsInBaseUnits) {
  MountReport report = made_up();
  auto json = nlohmann::json::parse(stats_json(report));
  EXPECT_EQ(json["mountpoint"], report.mountpoint);
  EXPECT_EQ(json["source"], report.source);
  EXPECT_EQ(json["shared_mmap"], true);
  EXPECT_EQ(json["uptime_seconds"], 7.5);
  EXPECT_EQ(json["page_hits"], 39'000);
  EXPECT_EQ(json["readahead_bytes"], 1 << 20);
  EXPECT_EQ(json["dirty_bytes"], 8192);
  EXPECT_EQ(json["reserved_bytes"], 1 << 20);
  EXPECT_EQ(json["memory_bytes"], 256 << 20);
  EXPECT_EQ(json["kernel_kept_bytes"], 17);
  EXPECT_EQ(json["waits"]["throttle"]["count"], 4);
  EXPECT_EQ(json["waits"]["throttle"]["total_seconds"], 0.01);
  EXPECT_EQ(json["waits"]["throttle"]["worst_seconds"], 0.009);
  EXPECT_FALSE(json.contains("unwritten"));

  report.dirty = MountReport::Dirty{{{8192, ENOSPC, "x\xff"}}, 3};
  json = nlohmann::json::parse(stats_json(report));
  EXPECT_EQ(json["unwritten_files"], 3);
  EXPECT_EQ(json["unwritten"][0]["bytes"], 8192);
  EXPECT_EQ(json["unwritten"][0]["errno"], ENOSPC);
}

// Each line as the format demands: HELP and TYPE before a family's samples, no family twice, counters
// named _total.
TEST(FormatStatsTest, PrometheusIsWellFormedAndInBaseUnits) {
  const std::string text = stats_prometheus(made_up());
  const std::regex help("# HELP (quire_[a-z_]+) [A-Z1].*\\.");
  const std::regex type("# TYPE (quire_[a-z_]+) (counter|gauge)");
  const std::regex sample("(quire_[a-z_]+)\\{(.*)\\} ([0-9.e+-]+)");
  std::map<std::string, std::string> types;
  std::map<std::string, std::string> samples;
  std::string described;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, help)) {
      described = match[1];
    } else if (std::regex_match(line, match, type)) {
      EXPECT_EQ(described, match[1]) << line;
      EXPECT_TRUE(types.emplace(match[1], match[2]).second) << line;
      EXPECT_EQ(described.ends_with("_total"), match[2] == "counter") << line;
    } else {
      ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
      EXPECT_EQ(described, match[1]) << line;
      EXPECT_THAT(match[2], HasSubstr(R"(mountpoint="/mnt/a\\b")"));
      EXPECT_TRUE(samples.emplace(line.substr(0, line.find(' ')), match[3]).second) << line;
    }
  }
  EXPECT_EQ(text.back(), '\n');
  const std::string label = R"({mountpoint="/mnt/a\\b"})";
  EXPECT_EQ(samples["quire_page_hits_total" + label], "39000");
  EXPECT_EQ(samples["quire_readahead_bytes_total" + label], "1048576");
  EXPECT_EQ(samples["quire_dirty_bytes" + label], "8192");
  EXPECT_EQ(samples["quire_uptime_seconds" + label], "7.5");
  EXPECT_EQ(samples["quire_shared_mmap" + label], "1");
  const std::string throttle = R"({mountpoint="/mnt/a\\b",kind="throttle"})";
  EXPECT_EQ(samples["quire_waits_total" + throttle], "4");
  EXPECT_EQ(samples["quire_wait_seconds_total" + throttle], "0.01");
  EXPECT_EQ(samples["quire_wait_worst_seconds" + throttle], "0.009");
}

TEST(FormatStatsTest, PrometheusLabelsAreEscaped) {
  MountReport report = made_up();
  report.mountpoint = "a\"b\\c\nd";
  EXPECT_THAT(stats_prometheus(report), HasSubstr(R"({mountpoint="a\"b\\c\nd"} )"));
}

TEST(FormatStatsTest, WatchShowsRatesOfTheTimeBetween) {
  const Stats before = made_up().stats;
  Stats now = before;
  now.uptime_ns += 2'000'000'000;
  now.hits += 30;
  now.misses += 10;
  now.requests += 2'000;
  now.written_pages += 512;
  now.dirty_pages = 0;
  now.page = {4, 8'000'000, 5'000'000};
  EXPECT_EQ(watch_line(before, now),
            "  75.0 %      1,000            5          0 B      1.0 MiB          0 B         2     "
            "2.0 ms\n");
  EXPECT_EQ(watch_heading().size(), watch_line(before, now).size());
  // A line without anything, and one of a mount that was made anew.
  EXPECT_THAT(watch_line(now, now), HasSubstr(" - "));
  EXPECT_THAT(watch_line(now, Stats{}), HasSubstr(" 0 "));
}

}  // namespace
}  // namespace quire::tool
