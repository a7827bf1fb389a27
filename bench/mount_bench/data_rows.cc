// Data of one file that is all in the cache: of Quire, of the do-nothing daemon's process, of the kernel.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "host_bench/data.h"
#include "mount_bench/mounted.h"
#include "mount_bench/rows.h"

namespace quire::bench {
namespace {

constexpr char kFileName[] = "data";
constexpr unsigned kDataRowSecondsMax = 600;
// Of the rounds of single requests: some tens of milliseconds each.
constexpr unsigned kTurns = 16;

// One of the three files, open.
struct DataSide {
  std::string name;
  std::string settings;
  std::optional<Mounted> mount;
  std::optional<Fd> fd;
};

std::uint64_t stamp_of(std::uint64_t page) {
  return page * 0x9e3779b97f4a7c15ULL + 1;
}

struct DataSides {
  DataSides(const Context& context, unsigned threads)
      : bytes((context.quick ? 32 : 128) * kMiB), pages(bytes / kPage) {
    const std::string quire = context.directory + "/quire";
    const std::string nothing = context.directory + "/nothing";
    const std::string plain = context.directory + "/plain";
    for (const std::string& directory : {quire, nothing, plain}) {
      std::filesystem::create_directory(directory);
      make_file(directory + "/" + kFileName);
    }
    MountSettings settings;
    settings.source = quire;
    settings.memory_bytes = 8 * bytes;
    settings.dirty_max_bytes = 4 * bytes;  // writing begins at a quarter of that: never
    settings.write_when_old = false;
    begin(sides[0], "Quire", settings);
    settings.daemon = MountSettings::Daemon::kNothing;
    settings.source = nothing;
    settings.in_memory = kFileName;
    settings.threads = threads + 1;
    begin(sides[1], "do-nothing daemon", settings);
    sides[2].name = "ext4";
    sides[2].settings = "the kernel's cache";
    sides[2].fd.emplace(plain + "/" + kFileName, O_RDWR);
    for (DataSide& side : sides) check_stamps(side);
  }

  void make_file(const std::string& path) const {
    const Fd file(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    std::vector<std::uint64_t> piece(kMiB / sizeof(std::uint64_t));
    for (std::uint64_t at = 0; at < bytes; at += kMiB) {
      for (std::size_t page = 0; page < kMiB / kPage; ++page) {
        piece[page * (kPage / sizeof(std::uint64_t))] = stamp_of(at / kPage + page);
      }
      if (::pwrite(file.get(), piece.data(), kMiB, static_cast<off_t>(at)) !=
          static_cast<ssize_t>(kMiB)) {
        throw NotMeasured("writing " + path);
      }
    }
    ::fsync(file.get());
  }

  static void begin(DataSide& side, const std::string& name, const MountSettings& settings) {
    side.name = name;
    side.settings = settings.text();
    side.mount.emplace(settings);
    side.fd.emplace(side.mount->path() + "/" + kFileName, O_RDWR);
  }

  // Reads all of it, so that it is in the cache, and sees that each side serves the same bytes.
  void check_stamps(const DataSide& side) const {
    std::vector<std::uint64_t> piece(kMiB / sizeof(std::uint64_t));
    for (std::uint64_t at = 0; at < bytes; at += kMiB) {
      if (::pread(side.fd->get(), piece.data(), kMiB, static_cast<off_t>(at)) !=
          static_cast<ssize_t>(kMiB)) {
        throw std::runtime_error(side.name + ": a read came back short");
      }
      for (std::size_t page = 0; page < kMiB / kPage; ++page) {
        if (piece[page * (kPage / sizeof(std::uint64_t))] != stamp_of(at / kPage + page)) {
          throw std::runtime_error(side.name + ": wrong bytes");
        }
      }
    }
  }

  const RowTimeout timeout{kDataRowSecondsMax};
  const std::uint64_t bytes;
  const std::uint64_t pages;
  std::array<DataSide, 3> sides;
};

enum class Act { kRead, kWrite };

void move(Act act, int fd, std::byte* buffer, std::size_t size, std::uint64_t at) {
  const auto offset = static_cast<off_t>(at);
  const ssize_t moved =
      act == Act::kRead ? ::pread(fd, buffer, size, offset) : ::pwrite(fd, buffer, size, offset);
  if (moved != static_cast<ssize_t>(size)) {
    throw std::runtime_error(
        fmt::format("a request of {} bytes: {}", size, moved < 0 ? std::strerror(errno) : "short"));
  }
}

// Each thread at random pages of its own drawing; nanoseconds for one request of one thread.
NanosecondsPerOp at_random(const DataSide& side, Act act, std::uint64_t pages, unsigned threads,
                           std::size_t count, unsigned turn) {
  std::vector<std::vector<std::uint32_t>> picks;
  for (unsigned t = 0; t < threads; ++t) picks.push_back(draw(count, pages, 16 * turn + t + 1));
  const double took = timed_on_threads(threads, [&](unsigned t) {
    alignas(kPage) std::byte buffer[kPage] = {};
    for (const std::uint32_t page : picks[t]) {
      // A write keeps the page's stamp.
      const std::uint64_t stamp = stamp_of(page);
      std::memcpy(buffer, &stamp, sizeof(stamp));
      move(act, side.fd->get(), buffer, kPage, std::uint64_t{page} * kPage);
    }
  });
  return took / static_cast<double>(count);
}

NanosecondsPerOp in_order(const DataSide& side, Act act, std::uint64_t bytes) {
  const Region buffer(kMiB, Region::Kind::kSmallPages);
  return timed([&] {
           for (std::uint64_t at = 0; at < bytes; at += kMiB) {
             move(act, side.fd->get(), buffer.data(), kMiB, at);
           }
         }) /
         static_cast<double>(bytes / kMiB);
}

// `run` gets the side and the turn. Each round begins with nothing unwritten.
template <class Run>
Row data_row(const std::shared_ptr<DataSides>& d, Act act, unsigned turns, const Run& run) {
  Row row;
  row.turns = turns;
  for (DataSide& side : d->sides) {
    row.sides.push_back({side.name, side.settings, [d, &side, act, turns, run](unsigned turn) {
                           if (act == Act::kWrite && turn % turns == 0) ::fsync(side.fd->get());
                           return run(side, turn);
                         }});
  }
  row.remark = [d] {
    return fmt::format("the daemons' processor time over all: Quire {:.1f} s, do-nothing {:.1f} s",
                       d->sides[0].mount->cpu_seconds(), d->sides[1].mount->cpu_seconds());
  };
  return row;
}

Row random_row(const Context& context, Act act, unsigned threads) {
  const auto d = std::make_shared<DataSides>(context, threads);
  const std::size_t count = (context.quick ? 2048 : 16384) / kTurns;
  Row row = data_row(d, act, kTurns, [=](const DataSide& side, unsigned turn) {
    return at_random(side, act, d->pages, threads, count, turn);
  });
  row.title = fmt::format("4 KiB {} at random pages of {} MiB, all in the cache, {} thread{}",
                          act == Act::kRead ? "reads" : "overwrites", d->bytes / kMiB, threads,
                          threads == 1 ? "" : "s");
  row.op_bytes = kPage;
  row.comparisons = beside_both(kOverNothingMax);
  row.limited_by =
      act == Act::kRead
          ? "one copy more, out of the cache into the reply, and the request's way through the "
            "daemon: locks, an INTERRUPT's way in"
          : "beside the copy: the range lock, the pages' words and stamps, and the daemon's locks; "
            "a "
            "file's writes come one by one, since the kernel holds its inode";
  return row;
}

Row sequential_row(const Context& context, Act act) {
  const auto d = std::make_shared<DataSides>(context, 1);
  Row row = data_row(d, act, 1, [d, act](const DataSide& side, unsigned /*turn*/) {
    return in_order(side, act, d->bytes);
  });
  row.title = fmt::format("1 MiB sequential {} of {} MiB, all in the cache",
                          act == Act::kRead ? "reads" : "overwrites", d->bytes / kMiB);
  row.op_bytes = kMiB;
  row.comparisons = beside_both();
  return row;
}

}  // namespace

std::vector<RowMaker> mounted_data_rows() {
  std::vector<RowMaker> rows;
  for (const Act act : {Act::kRead, Act::kWrite}) {
    for (const unsigned threads : {1u, 2u}) {
      rows.push_back({fmt::format("mount.{}-4k.{}", act == Act::kRead ? "read" : "write", threads),
                      [=](const Context& c) { return random_row(c, act, threads); }});
    }
  }
  rows.push_back({"mount.read-1m", [](const Context& c) { return sequential_row(c, Act::kRead); }});
  rows.push_back(
      {"mount.write-1m", [](const Context& c) { return sequential_row(c, Act::kWrite); }});
  return rows;
}

}  // namespace quire::bench
