// One pass over a file eight times as large as the memory: Quire under its budget, the kernel's
// cache under a cgroup of the same size. Each pass is a process of its own, which times itself.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "host_bench/data.h"
#include "host_bench/memory_limit.h"
#include "host_bench/process.h"
#include "host_bench/rows.h"

namespace quire::bench {
namespace {

constexpr char kPassesFile[] = "passes";
constexpr std::size_t kPiece = 128 << 10;

struct PassData {
  explicit PassData(const Context& context)
      : self(context.self),
        path(context.directory + "/" + kPassesFile),
        memory_bytes((context.quick ? 16 : 64) * kMiB),
        bytes(8 * memory_bytes),
        limit(memory_bytes) {
    fill_file(path, bytes, kMiB);
  }

  NanosecondsPerOp run(const char* side, const char* what) const {
    drop_from_kernel(path);
    const std::string output =
        output_of({self, kPassChildFlag, side, what, path, std::to_string(bytes),
                   std::to_string(memory_bytes), limit.path()});
    return std::strtod(output.c_str(), nullptr) / (static_cast<double>(bytes) / kMiB);
  }

  const std::string self;
  const std::string path;
  const std::uint64_t memory_bytes;
  const std::uint64_t bytes;
  const MemoryLimit limit;
};

Row pass(const Context& context, const char* what, const char* title) {
  const auto d = std::make_shared<PassData>(context);
  Row row;
  row.title = fmt::format("{} {} MiB in pieces of {} KiB under {} MiB (per MiB)", title,
                          d->bytes / kMiB, kPiece >> 10, d->memory_bytes / kMiB);
  row.op_bytes = kMiB;
  row.rounds = 7;
  row.sides.push_back({"Quire", fmt::format("budget {} MiB, direct IO", d->memory_bytes / kMiB),
                       [d, what](unsigned) { return d->run("quire", what); }});
  row.sides.push_back({"kernel",
                       fmt::format("{} limit {} MiB", d->limit.version(), d->memory_bytes / kMiB),
                       [d, what](unsigned) { return d->run("kernel", what); }});
  row.comparisons = {{0, 1, Comparison::Kind::kRate, 1.0}};
  row.limited_by = std::string_view(what) == "write"
                       ? "each page is copied twice, into the cache and into the snapshot that its "
                         "request carries; "
                         "the kernel writes the page itself"
                       : "the processors: the reader copies while another thread reaps requests "
                         "and starts more; the "
                         "kernel does both in the reader";
  return row;
}

double quire_pass(bool write, const std::string& path, std::uint64_t bytes, std::uint64_t memory) {
  const std::filesystem::path p(path);
  CacheOptions options;
  options.memory_bytes = memory;
  QuireFile quire(p.parent_path().string(), p.filename().string(), options);
  std::vector<std::byte> buffer(kPiece, std::byte{0x42});
  const double ns = timed([&] {
    for (std::uint64_t at = 0; at < bytes; at += kPiece) {
      if (write) {
        take(quire.file.write(buffer, at));
      } else {
        take(quire.file.read(buffer, at));
      }
    }
    if (write) {
      take(quire.file.sync());
    }
  });
  take(quire.file.close());
  return ns;
}

double kernel_pass(bool write, const std::string& path, std::uint64_t bytes) {
  const Fd fd(path, O_RDWR);
  std::vector<std::byte> buffer(kPiece, std::byte{0x42});
  return timed([&] {
    bool ok = true;
    for (std::uint64_t at = 0; at < bytes && ok; at += kPiece) {
      const auto offset = static_cast<off_t>(at);
      const ssize_t n = write ? ::pwrite(fd.get(), buffer.data(), kPiece, offset)
                              : ::pread(fd.get(), buffer.data(), kPiece, offset);
      ok = n == static_cast<ssize_t>(kPiece);
    }
    if (!ok || (write && ::fsync(fd.get()) != 0)) {
      throw std::runtime_error("a transfer came back short");
    }
  });
}

}  // namespace

std::vector<RowMaker> pass_rows() {
  return {{"pass.read", [](const Context& context) { return pass(context, "read", "reading"); }},
          {"pass.write", [](const Context& context) {
             return pass(context, "write", "overwriting and syncing");
           }}};
}

int run_pass_child(int argc, char** argv) {
  // FLAG quire|kernel read|write PATH BYTES MEMORY CGROUP
  if (argc != 8) {
    return 2;
  }
  const bool quire = std::strcmp(argv[2], "quire") == 0;
  const bool write = std::strcmp(argv[3], "write") == 0;
  const std::uint64_t bytes = std::strtoull(argv[5], nullptr, 10);
  try {
    if (!quire) {
      MemoryLimit::join(argv[7]);
    }
    const double ns = quire ? quire_pass(write, argv[4], bytes, std::strtoull(argv[6], nullptr, 10))
                            : kernel_pass(write, argv[4], bytes);
    fmt::print("{}\n", ns);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace quire::bench
