// Reads of what is not in the cache, beside fio with direct IO on the same file.
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "host_bench/data.h"
#include "host_bench/process.h"
#include "host_bench/rows.h"

namespace quire::bench {
namespace {

constexpr char kMissesFile[] = "misses";
constexpr std::size_t kSequentialPiece = 128 << 10;
constexpr std::size_t kSlice = 64;  // operations between looks at the clock

struct MissData {
  MissData(const Context& context, Advice advice)
      : bytes((context.quick ? 256 : 2048) * kMiB),
        pages(bytes / kPage),
        seconds(context.quick ? 0.3 : 1.5),
        path(context.directory + "/" + kMissesFile) {
    fill_file(path, bytes, kMiB);
    drop_from_kernel(path);
    CacheOptions options;
    options.memory_bytes = (context.quick ? 16 : 64) * kMiB;
    quire = std::make_unique<QuireFile>(context.directory, kMissesFile, options);
    // Each thread reads through a File of its own, as fio's jobs do.
    for (File& file : files) {
      file = take(quire->cache->open(kMissesFile, OpenFlags::kRead));
      take(file.advise(0, 0, advice));
    }
    settings = fmt::format("budget {} MiB, file {} MiB, host store on direct IO",
                           options.memory_bytes / kMiB, bytes / kMiB);
    before = quire->cache->stats();
  }

  std::string remark() const {
    const CacheStats now = quire->cache->stats();
    return fmt::format(
        "of Quire during the rounds: {} pages missed, {} hit, {} read ahead, in {} "
        "requests to the store",
        now.misses - before.misses, now.hits - before.hits,
        now.readahead_pages - before.readahead_pages, now.read_requests - before.read_requests);
  }

  const std::uint64_t bytes;
  const std::uint64_t pages;
  const double seconds;
  const std::string path;
  std::unique_ptr<QuireFile> quire;
  std::array<File, 2> files;
  std::string settings;
  CacheStats before;
  // Where each thread goes on in the next round.
  std::uint64_t positions[2] = {};
};
using SharedMisses = std::shared_ptr<MissData>;

// Runs `op` on `threads` threads for about `seconds`; nanoseconds of wall time for each op.
template <class Op>
NanosecondsPerOp for_a_while(double seconds, unsigned threads, std::size_t slice, const Op& op) {
  std::atomic<std::uint64_t> ops{0};
  const double ns = timed_on_threads(threads, [&](unsigned thread) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    std::uint64_t mine = 0;
    while (std::chrono::steady_clock::now() < end) {
      for (std::size_t i = 0; i < slice; ++i) {
        op(thread);
      }
      mine += slice;
    }
    ops += mine;
  });
  return ns / static_cast<double>(ops.load());
}

// Each thread visits all pages of its share before it sees one again, as fio's own order does.
NanosecondsPerOp random_misses(MissData& d, unsigned threads) {
  const std::uint64_t share = d.pages / threads;  // a power of two
  return for_a_while(d.seconds, threads, kSlice, [&](unsigned thread) {
    alignas(kPage) thread_local std::byte buffer[kPage];
    std::uint64_t& x = d.positions[thread];
    x = page_after(x, share);
    take(d.files[thread].read(buffer, (thread * share + x) * kPage));
  });
}

NanosecondsPerOp sequential_misses(MissData& d, unsigned threads) {
  const std::uint64_t share = d.bytes / threads;
  const NanosecondsPerOp piece = for_a_while(d.seconds, threads, 1, [&](unsigned thread) {
    thread_local std::vector<std::byte> buffer(kSequentialPiece);
    std::uint64_t& x = d.positions[thread];
    take(d.files[thread].read(buffer, thread * share + x));
    x = (x + kSequentialPiece) % share;
  });
  return piece * (static_cast<double>(kMiB) / kSequentialPiece);
}

// fio on the same file; nanoseconds for each `op_bytes` read.
NanosecondsPerOp fio(const MissData& d, const std::vector<std::string>& how, unsigned threads,
                     std::uint64_t op_bytes) {
  std::vector<std::string> arguments = {"fio",
                                        "--name=fio",
                                        "--filename=" + d.path,
                                        "--direct=1",
                                        "--invalidate=0",
                                        "--thread",
                                        "--group_reporting",
                                        "--time_based",
                                        "--randrepeat=0",
                                        "--output-format=json",
                                        fmt::format("--runtime={}ms", d.seconds * 1000),
                                        fmt::format("--numjobs={}", threads),
                                        fmt::format("--size={}", d.bytes / threads),
                                        fmt::format("--offset_increment={}", d.bytes / threads)};
  arguments.insert(arguments.end(), how.begin(), how.end());
  const std::string output = output_of(arguments);
  const auto json = nlohmann::json::parse(output.substr(output.find('{')));
  const auto& read = json.at("jobs").at(0).at("read");
  const double bytes = read.at("io_bytes").get<double>();
  const double milliseconds = read.at("runtime").get<double>();
  return milliseconds * 1e6 / (bytes / static_cast<double>(op_bytes));
}

Side fio_side(const SharedMisses& d, const std::string& name, std::vector<std::string> how,
              unsigned threads, std::uint64_t op_bytes) {
  std::string settings = "direct=1";
  for (const std::string& option : how) {
    settings += " " + option.substr(2);
  }
  return {name, std::move(settings), [d, how = std::move(how), threads, op_bytes](unsigned) {
            return fio(*d, how, threads, op_bytes);
          }};
}

double target(unsigned threads) {
  return threads == 1 ? 0.95 : 0.85;
}

Row random_row(const Context& context, unsigned threads) {
  const auto d = std::make_shared<MissData>(context, Advice::kRandom);
  Row row;
  row.title = fmt::format("4 KiB reads at random pages, misses, threads: {}", threads);
  row.op_bytes = kPage;
  row.rounds = 7;
  row.sides.push_back({"Quire", d->settings + ", Advice::kRandom",
                       [d, threads](unsigned) { return random_misses(*d, threads); }});
  row.sides.push_back(
      fio_side(d, "fio psync", {"--rw=randread", "--bs=4k", "--ioengine=psync"}, threads, kPage));
  row.sides.push_back(fio_side(d, "fio io_uring",
                               {"--rw=randread", "--bs=4k", "--ioengine=io_uring", "--iodepth=1"},
                               threads, kPage));
  row.comparisons = {{0, 1, Comparison::Kind::kRate, target(threads)},
                     {0, 2, Comparison::Kind::kRate, target(threads)}};
  row.remark = [d] { return d->remark(); };
  row.limited_by =
      "finding a frame, adding the page and publishing it come on top of the device's answer, with "
      "processor caches that are cold after the sleep";
  return row;
}

Row sequential_row(const Context& context, unsigned threads) {
  const auto d = std::make_shared<MissData>(context, Advice::kNormal);
  Row row;
  row.title = fmt::format("sequential reads of {} KiB, misses, threads: {} (per MiB)",
                          kSequentialPiece >> 10, threads);
  row.op_bytes = kMiB;
  row.rounds = 7;
  row.sides.push_back({"Quire", d->settings + ", readahead up to 1 MiB",
                       [d, threads](unsigned) { return sequential_misses(*d, threads); }});
  row.sides.push_back(
      fio_side(d, "fio 1 MiB", {"--rw=read", "--bs=1m", "--ioengine=psync"}, threads, kMiB));
  row.sides.push_back(
      fio_side(d, "fio 128 KiB", {"--rw=read", "--bs=128k", "--ioengine=psync"}, threads, kMiB));
  row.sides.push_back(fio_side(d, "fio 1 MiB, 2 deep",
                               {"--rw=read", "--bs=1m", "--ioengine=io_uring", "--iodepth=2"},
                               threads, kMiB));
  row.comparisons = {{0, 1, Comparison::Kind::kRate, target(threads)},
                     {0, 2, Comparison::Kind::kRate},
                     {0, 3, Comparison::Kind::kRate}};
  row.remark = [d] { return d->remark(); };
  row.limited_by =
      "the reader, the thread that reaps requests and the device's interrupts share the "
      "processors";
  return row;
}

}  // namespace

std::vector<RowMaker> miss_rows() {
  std::vector<RowMaker> rows;
  for (const unsigned threads : {1u, 2u}) {
    rows.push_back({fmt::format("miss.random.{}t", threads),
                    [threads](const Context& context) { return random_row(context, threads); }});
    rows.push_back({fmt::format("miss.sequential.{}t", threads), [threads](const Context& context) {
                      return sequential_row(context, threads);
                    }});
  }
  return rows;
}

}  // namespace quire::bench
