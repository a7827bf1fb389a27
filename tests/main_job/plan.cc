#include "main_job/plan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "main_job/rng.h"
#include "quire/limits.h"

namespace quire::main_job {
namespace {

constexpr std::size_t kGroupFilesMax = 32;
constexpr std::uint64_t kGroupBytesMax = std::uint64_t{16} << 20;
constexpr std::size_t kLargestFiles = 4;
constexpr std::uint64_t kSynchronousSizeMax = std::uint64_t{128} << 10;

enum PlanPurpose : std::uint64_t { kFileTraits = 1, kDivide, kTail };

struct Candidate {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::uint32_t mode = 0;
  TimeSpec mtime;
  std::uint64_t key = 0;
};

std::vector<Candidate> walk(const std::string& source, std::uint64_t seed, const Stop& stop) {
  namespace fs = std::filesystem;
  std::vector<Candidate> found;
  std::error_code error;
  fs::recursive_directory_iterator it(source, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    stop.check();
    struct ::stat s {};
    if (::lstat(it->path().c_str(), &s) != 0 || !S_ISREG(s.st_mode)) {
      continue;
    }
    Candidate c;
    c.path = it->path().lexically_relative(source).string();
    c.size_bytes = static_cast<std::uint64_t>(s.st_size);
    c.mode = s.st_mode & 0777u;
    c.mtime = {s.st_mtim.tv_sec, static_cast<std::uint32_t>(s.st_mtim.tv_nsec)};
    c.key = XXH3_64bits_withSeed(c.path.data(), c.path.size(), seed);
    found.push_back(std::move(c));
  }
  if (error) {
    throw Failure(fmt::format("reading the directories of {}: {}", source, error.message()));
  }
  return found;
}

// The order in which files are taken.
void order(std::vector<Candidate>& all, std::uint64_t size_bytes) {
  const auto largest_first = [&](const Candidate& a, const Candidate& b) {
    const bool a_fits = a.size_bytes <= size_bytes / 8;
    const bool b_fits = b.size_bytes <= size_bytes / 8;
    return std::tuple(b_fits, b.size_bytes, a.path) < std::tuple(a_fits, a.size_bytes, b.path);
  };
  const auto large = static_cast<std::ptrdiff_t>(std::min(kLargestFiles, all.size()));
  std::partial_sort(all.begin(), all.begin() + large, all.end(), largest_first);
  std::sort(all.begin() + large, all.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.key, a.path) < std::tie(b.key, b.path);
  });
}

}  // namespace

std::uint64_t TailOp::end_after() const {
  switch (kind) {
    case Kind::kTruncate:
      return offset;
    case Kind::kWrite:
      return std::max(end, offset + length);
    case Kind::kAppend:
      return end + length;
  }
  return end;
}

Division divide(const Plan& plan, std::size_t index, int round) {
  const std::uint64_t size = plan.files[index].size_bytes[static_cast<std::size_t>(round) - 1];
  Rng rng{plan.seed, kDivide, index, static_cast<std::uint64_t>(round)};
  Division d;
  d.tail = size - rng.below(size / 4 + 1);
  d.tail_owner = static_cast<unsigned>(rng.below(plan.threads));
  d.strips.push_back(0);
  for (unsigned t = 1; t < plan.threads; ++t) {
    const std::uint64_t even = d.tail / plan.threads;
    d.strips.push_back(even * t + rng.below(even / 2 + 1));
  }
  d.strips.push_back(d.tail);
  return d;
}

std::vector<TailOp> tail_ops(const Plan& plan, std::size_t index, int round) {
  const Division d = divide(plan, index, round);
  Rng rng{plan.seed, kTail, index, static_cast<std::uint64_t>(round)};
  std::uint64_t end = plan.files[index].size_bytes[static_cast<std::size_t>(round) - 1];
  const bool long_hole = rng.one_in(64);
  std::vector<TailOp> ops;
  for (std::uint64_t n = rng.between(2, 7); n > 0; --n) {
    TailOp op;
    op.end = end;
    op.asynchronous = rng.one_in(4);
    switch (rng.below(5)) {
      case 0:  // cut
        op.offset = rng.between(d.tail, end);
        break;
      case 1:  // extend by nothing but size
        op.offset = end + rng.below(long_hole ? 1 << 20 : 24 << 10);
        break;
      case 2:  // write within the tail, perhaps across the end
        op.kind = TailOp::Kind::kWrite;
        op.offset = rng.between(d.tail, end);
        op.length = rng.between(1, 40000);
        break;
      case 3:  // write beyond the end
        op.kind = TailOp::Kind::kWrite;
        op.offset = end + rng.below(20000);
        op.length = rng.between(1, 12000);
        break;
      default:
        op.kind = TailOp::Kind::kAppend;
        op.length = rng.between(1, 20000);
        break;
    }
    end = op.end_after();
    ops.push_back(op);
  }
  // Half of the files end about where they began, so that the tree does not grow without need.
  if (rng.one_in(2)) {
    TailOp op;
    op.end = end;
    op.offset = rng.between(d.tail, end);
    ops.push_back(op);
  }
  return ops;
}

Plan make_plan(const std::string& source, std::uint64_t size_bytes, unsigned threads,
               std::uint64_t seed, const Stop& stop) {
  Plan plan;
  plan.source = source;
  plan.seed = seed;
  plan.threads = threads;
  plan.record_bytes = std::max<std::uint64_t>(size_bytes / 32, 256 << 10);
  plan.stamped_pages = std::clamp<std::uint64_t>(size_bytes / limits::kPageBytes / 64, 64, 4096);

  std::vector<Candidate> all = walk(source, seed, stop);
  order(all, size_bytes);
  for (Candidate& c : all) {
    if (plan.source_bytes >= size_bytes) {
      break;
    }
    const std::string name = source + "/" + c.path;
    if (c.size_bytes > size_bytes / 8 || ::access(name.c_str(), R_OK) != 0) {
      continue;
    }
    const std::size_t index = plan.files.size();
    Rng rng{seed, kFileTraits, index};
    PlannedFile file;
    file.path = "tree/" + c.path;
    file.mode = c.mode | 0600u;
    file.mtime = c.mtime;
    file.size_bytes[0] = c.size_bytes;
    if (rng.one_in(16)) {
      file.link = fmt::format("links/{}", index);
    }
    file.synchronous = c.size_bytes <= kSynchronousSizeMax && rng.one_in(48);
    plan.source_bytes += c.size_bytes;
    plan.files.push_back(std::move(file));
    for (int round = 1; round <= kRounds; ++round) {
      const auto ops = tail_ops(plan, index, round);
      plan.files[index].size_bytes[static_cast<std::size_t>(round)] = ops.back().end_after();
    }
    plan.disk_bytes += *std::max_element(plan.files[index].size_bytes.begin(),
                                         plan.files[index].size_bytes.end()) +
                       limits::kPageBytes;
  }
  if (plan.source_bytes < size_bytes) {
    throw Failure(
        fmt::format("{} holds {} MiB in regular files that can be read and are no larger "
                    "than an eighth of the {} MiB asked for; give another --source",
                    source, plan.source_bytes >> 20, size_bytes >> 20));
  }
  plan.disk_bytes += 2 * plan.record_bytes + plan.stamped_pages * limits::kPageBytes;

  for (std::size_t i = 0; i < plan.files.size(); ++i) {
    if (plan.groups.empty() || i - plan.groups.back().first >= kGroupFilesMax ||
        plan.groups.back().bytes >= kGroupBytesMax) {
      plan.groups.push_back({i, i, 0});
    }
    plan.groups.back().last = i + 1;
    plan.groups.back().bytes += plan.files[i].size_bytes[0];
  }
  return plan;
}

}  // namespace quire::main_job
