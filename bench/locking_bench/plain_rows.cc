// Operations that meet nobody: hits, and direct writes to ranges of each thread's own; and one operation of
// each kind, alone, over a store that costs nothing.
#include <fmt/format.h>

#include "host_bench/data.h"
#include "locking_bench/rows.h"
#include "locking_bench/targets.h"
#include "locking_bench/work.h"

namespace quire::bench {
namespace {

using Targets = std::vector<std::shared_ptr<Target>>;
// Does operation `count` of thread `thread`; `at` is a page of the thread's share, drawn at random.
using Operation =
    std::function<void(Target&, unsigned thread, std::uint64_t at, std::uint64_t count)>;

// The strategies stand first and second among the sides.
void compare_strategies(Row& row, std::optional<double> range_target) {
  row.comparisons.push_back({1, 0, Comparison::Kind::kTime, range_target});
  for (std::size_t side = 2; side < row.sides.size(); ++side) {
    row.comparisons.push_back({side, 0, Comparison::Kind::kTime, std::nullopt});
  }
}

Row plain_row(const Targets& targets, std::uint64_t pages, unsigned threads, double seconds,
              const Operation& operation) {
  Row row;
  row.op_bytes = kPage;
  for (const std::shared_ptr<Target>& target : targets) {
    row.sides.push_back({target->name(), target->settings(), [=](unsigned round) {
                           const std::uint64_t share = pages / threads;
                           std::vector<Load> loads;
                           for (unsigned thread = 0; thread < threads; ++thread) {
                             auto drawn = std::make_shared<std::vector<std::uint32_t>>(
                                 draw(1 << 14, share, 64 * round + thread + 1));
                             loads.push_back([=, &target = *target](std::uint64_t count) {
                               const std::uint64_t page =
                                   thread * share + (*drawn)[count % drawn->size()];
                               operation(target, thread, page, count);
                             });
                           }
                           return run_together(seconds, loads).all() * threads;
                         }});
  }
  return row;
}

RowMaker hits(unsigned threads) {
  return {
      fmt::format("hits.{}", threads), [threads](const Context& context) {
        const std::uint64_t pages = (context.quick ? 8 : 64) * kMiB / kPage;
        const Targets targets = make_targets(
            {.directory = context.directory, .pages = pages, .memory_bytes = 3 * pages * kPage});
        for (const auto& target : targets) {
          for (std::uint64_t page = 0; page < pages; page += 256) target->read(0, page, 256);
        }
        Row row = plain_row(targets, pages, threads, round_seconds(context),
                            [](Target& target, unsigned thread, std::uint64_t page, std::uint64_t) {
                              target.read(thread, page, 1);
                            });
        row.title = fmt::format("4 KiB reads at random pages, all hits, {} thread{}", threads,
                                threads == 1 ? "" : "s");
        compare_strategies(row, 1.05);
        return row;
      }};
}

RowMaker direct_writes(unsigned threads) {
  return {fmt::format("direct.{}", threads), [threads](const Context& context) {
            const std::uint64_t pages = 64 * kMiB / kPage;
            const Targets targets = make_targets(
                {.directory = context.directory, .pages = pages, .memory_bytes = 16 * kMiB});
            Row row = plain_row(targets, pages, threads, round_seconds(context),
                                [](Target& target, unsigned thread, std::uint64_t page,
                                   std::uint64_t) { target.write_direct(thread, page, 1); });
            row.title = fmt::format(
                "direct 4 KiB writes at random pages of each thread's own share, {} thread{}",
                threads, threads == 1 ? "" : "s");
            compare_strategies(row, 1.05);
            return row;
          }};
}

RowMaker alone(const std::string& name, const std::string& title, const Operation& operation) {
  return {"one." + name, [title, operation](const Context& context) {
            // Eight times the budget: what is read at random is rarely there.
            const std::uint64_t pages = 64 * kMiB / kPage;
            const Targets targets = make_targets({.pages = pages, .memory_bytes = 8 * kMiB});
            Row row = plain_row(targets, pages, 1, round_seconds(context), operation);
            row.title = title + ", alone";
            compare_strategies(row, 1.05);
            row.limited_by = "the list of ranges, which the blocker enters and leaves";
            return row;
          }};
}

}  // namespace

std::vector<RowMaker> plain_locking_rows() {
  std::vector<RowMaker> rows;
  for (const unsigned threads : thread_counts()) rows.push_back(hits(threads));
  for (const unsigned threads : thread_counts()) rows.push_back(direct_writes(threads));
  rows.push_back(alone("miss", "4 KiB read of what is not cached",
                       [](Target& target, unsigned, std::uint64_t page, std::uint64_t) {
                         target.read(0, page, 1);
                       }));
  rows.push_back(alone("direct-write", "direct 4 KiB write",
                       [](Target& target, unsigned, std::uint64_t page, std::uint64_t) {
                         target.write_direct(0, page, 1);
                       }));
  rows.push_back(alone(
      "punch", "punch of 4 KiB",
      [](Target& target, unsigned, std::uint64_t page, std::uint64_t) { target.punch(page, 1); }));
  rows.push_back(alone("truncate", "truncate, up or down by 4 KiB",
                       [](Target& target, unsigned, std::uint64_t, std::uint64_t count) {
                         target.truncate(64 * kMiB / kPage - count % 2);
                       }));
  return rows;
}

}  // namespace quire::bench
