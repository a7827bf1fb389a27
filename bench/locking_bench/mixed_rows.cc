// One kind of operation beside another: hits and misses in one half of a file while the other half is cut or
// written directly, direct and buffered IO on one range, and storms of cuts.
#include <fmt/format.h>

#include "host_bench/data.h"
#include "locking_bench/rows.h"
#include "locking_bench/targets.h"
#include "locking_bench/work.h"

namespace quire::bench {
namespace {

constexpr char kLimitOfDisjointWork[] =
    "a miss under gate waits for the rest of one write only, and while it reads the next write "
    "goes "
    "on beside it: with requests of one length at most twice the time";

using Targets = std::vector<std::shared_ptr<Target>>;

constexpr std::uint64_t kPages = 64 * kMiB / kPage;
constexpr std::uint64_t kHalf = kPages / 2;

// Leaves `state` at the page it returns.
std::uint64_t next_page(std::uint64_t& state, std::uint64_t pages) {
  return state = page_after(state, pages);
}

// What the first thread and what the second one does; both may keep a place. `second` may be empty.
using Half = std::function<void(Target&, std::uint64_t& state)>;
struct Mix {
  Half first;
  Half second;
  bool count_all = false;  // else the time of the first thread's operations is what counts
};

Side side_of(const std::shared_ptr<Target>& target, const std::string& name, const Mix& mix,
             double for_seconds) {
  return {name, target->settings(), [=](unsigned round) {
            std::uint64_t states[2] = {round, round + 1000};
            std::vector<Load> loads = {[&](std::uint64_t) { mix.first(*target, states[0]); }};
            if (mix.second) {
              loads.push_back([&](std::uint64_t) { mix.second(*target, states[1]); });
            }
            const Done done = run_together(for_seconds, loads);
            return mix.count_all ? done.all() : done.each[0];
          }};
}

Row mixed_row(const Targets& targets, const Mix& mix, double for_seconds) {
  Row row;
  row.op_bytes = kPage;
  for (const auto& target : targets) {
    row.sides.push_back(side_of(target, target->name(), mix, for_seconds));
  }
  for (std::size_t side = 1; side < row.sides.size(); ++side) {
    row.comparisons.push_back({side, 0, Comparison::Kind::kRate, std::nullopt});
  }
  return row;
}

void read_first_half(Target& target, std::uint64_t& state) {
  target.read(0, next_page(state, kHalf), 1);
}
void miss_in_first_half(Target& target, std::uint64_t& state) {
  const std::uint64_t page = next_page(state, kHalf);
  target.read(0, page, 1);
  target.forget(page, 1);
}
void write_second_half_directly(Target& target, std::uint64_t& state) {
  target.write_direct(1, kHalf + next_page(state, kHalf), 1);
}
void write_much_of_second_half_directly(Target& target, std::uint64_t& state) {
  constexpr std::uint64_t kMany = 256;
  target.write_direct(1, (kHalf + next_page(state, kHalf)) & ~(kMany - 1), kMany);
}
void punch_second_half(Target& target, std::uint64_t& state) {
  target.punch(kHalf + next_page(state, kHalf), 1);
}
void truncate_second_half(Target& target, std::uint64_t& state) {
  target.truncate(++state % 2 == 0 ? kPages : kPages - kHalf / 2);
}

// Each strategy twice: with nobody else, and while a cut of the other half is under way nearly all the time.
Row hits_beside_cuts(const Context& context) {
  const Targets targets = make_targets({.latency = std::chrono::milliseconds(1),
                                        .pages = kPages,
                                        .memory_bytes = 3 * kPages * kPage});
  Row row;
  row.title = "hits in one half of a file, while cuts of the other half take a millisecond each";
  row.op_bytes = kPage;
  for (const auto& target : targets) {
    for (std::uint64_t page = 0; page < kHalf; page += 256) target->read(0, page, 256);
    row.sides.push_back(
        side_of(target, target->name(), {read_first_half, {}, false}, round_seconds(context)));
    row.sides.push_back(side_of(target, target->name() + ", cuts",
                                {read_first_half, punch_second_half, false},
                                round_seconds(context)));
    const std::size_t cuts = row.sides.size() - 1;
    const bool promised = target->name() == "gate" || target->name() == "range";
    row.comparisons.push_back(
        {cuts, cuts - 1, Comparison::Kind::kTime, promised ? std::optional(1.05) : std::nullopt});
  }
  return row;
}

// What is measured is who waits for whom, so the store takes its time and no processor.
Row misses_beside_direct_writes(const Context& context, std::uint64_t pages_written,
                                bool disjoint) {
  const Targets targets = make_targets(
      {.latency = std::chrono::microseconds(200), .pages = kPages, .memory_bytes = 8 * kMiB});
  const Half write = [=](Target& target, std::uint64_t& state) {
    const std::uint64_t page = next_page(state, kHalf) & ~(pages_written - 1);
    target.write_direct(1, (disjoint ? kHalf : 0) + page, pages_written);
  };
  Row row = mixed_row(targets, {read_first_half, write, false}, round_seconds(context));
  row.title = fmt::format("misses in one half of a file, direct writes of {} KiB in {}",
                          pages_written * kPage / 1024, disjoint ? "the other" : "the same");
  if (disjoint) {
    row.comparisons[0].target = 1.8;
    row.limited_by = kLimitOfDisjointWork;
  } else {
    row.comparisons[0] = {1, 0, Comparison::Kind::kTime, std::nullopt};
  }
  return row;
}

Row on_disk(const Context& context, const std::string& title, const Mix& mix) {
  const Targets targets =
      make_targets({.directory = context.directory, .pages = kPages, .memory_bytes = 8 * kMiB});
  Row row = mixed_row(targets, mix, round_seconds(context));
  row.title = title;
  return row;
}

}  // namespace

std::vector<RowMaker> mixed_locking_rows() {
  constexpr std::uint64_t kOneRange = 256;
  const auto disk = [](const std::string& name, const std::string& title, const Mix& mix,
                       std::optional<double> range_over_gate = std::nullopt) {
    return RowMaker{name, [=](const Context& context) {
                      Row row = on_disk(context, title, mix);
                      row.comparisons[0].target = range_over_gate;
                      if (range_over_gate) row.limited_by = kLimitOfDisjointWork;
                      return row;
                    }};
  };
  return {
      {"hits-beside-cuts", hits_beside_cuts},
      {"misses-beside-direct",
       [](const Context& c) { return misses_beside_direct_writes(c, 1, true); }},
      {"misses-among-direct",
       [](const Context& c) { return misses_beside_direct_writes(c, 1, false); }},
      disk("disk.misses-beside-direct",
           "misses in one half of a file, direct 4 KiB writes in the other, on the disk; both "
           "counted",
           {miss_in_first_half, write_second_half_directly, true}),
      disk("disk.misses-beside-large-direct",
           "misses in one half of a file, direct 1 MiB writes in the other, on the disk; reads "
           "counted",
           {miss_in_first_half, write_much_of_second_half_directly, false}, 1.8),
      disk("disk.direct-against-buffered",
           "buffered reads and direct 4 KiB writes of one range of 1 MiB; both counted",
           {[](Target& t, std::uint64_t& s) { t.read(0, next_page(s, kOneRange), 1); },
            [](Target& t, std::uint64_t& s) { t.write_direct(1, next_page(s, kOneRange), 1); },
            true}),
      disk("disk.punch-storm",
           "misses in one half of a file, punches of 4 KiB in the other; reads counted",
           {miss_in_first_half, punch_second_half, false}),
      disk("disk.truncate-storm",
           "misses in one half of a file, whose other half is cut off and grows again; reads "
           "counted",
           {miss_in_first_half, truncate_second_half, false}),
  };
}

}  // namespace quire::bench
