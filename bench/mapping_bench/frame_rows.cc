// Loads of what was cached before it was mapped: its pages lie in frames, and move to where they can be mapped.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <memory>
#include <optional>
#include <string>

#include "host_bench/data.h"
#include "mapping_bench/rows.h"
#include "quire/mapping.h"

namespace quire::bench {
namespace {

struct FrameData {
  explicit FrameData(const Context& context)
      : directory(context.directory), bytes((context.quick ? 16 : 128) * kMiB) {
    fill_file(directory + "/" + kName, bytes, kMiB);
    options.memory_bytes = 3 * bytes;
    load_into_kernel(directory + "/" + kName, bytes);
    settings =
        fmt::format("file of {} MiB, read before it is mapped for the first time", bytes / kMiB);
  }

  // Nanoseconds for each page of a pass, or of populate().
  double pass(bool in_thread, bool populates) {
    mapping.reset();
    quire.reset();
    quire.emplace(directory, kName, options);
    quire->load(bytes);
    mapping.emplace(take(quire->file.map(0, bytes, {.in_thread = in_thread})));
    return timed([&] {
             if (populates) {
               take(mapping->populate(0, 0, MapAccess::kRead));
             } else {
               load_each(mapping->data());
             }
           }) /
           static_cast<double>(bytes / kPage);
  }
  void load_each(const std::byte* base) const {
    for (std::size_t at = 0; at < bytes; at += kPage) {
      (void)*static_cast<const volatile std::byte*>(base + at);
    }
  }

  static constexpr char kName[] = "frames";
  const std::string directory;
  const std::uint64_t bytes;
  CacheOptions options;
  std::optional<QuireFile> quire;
  std::optional<Mapping> mapping;
  std::string settings;
};

Row around_frames(const Context& context) {
  auto d = std::make_shared<FrameData>(context);
  Row row;
  row.name = "fault/around-frames";
  row.title = "loads of page after page, what was cached before it was mapped: per page";
  row.op_bytes = kPage;
  row.sides.push_back({"Quire", d->settings, [d](unsigned) { return d->pass(false, false); }});
  row.sides.push_back({"kernel", "fault-around", [d](unsigned) {
                         const Fd file(d->directory + "/" + FrameData::kName, O_RDONLY);
                         void* const at =
                             ::mmap(nullptr, d->bytes, PROT_READ, MAP_SHARED, file.get(), 0);
                         if (at == MAP_FAILED) throw NotMeasured("mmap of a file");
                         const double ns =
                             timed([&] { d->load_each(static_cast<std::byte*>(at)); }) /
                             static_cast<double>(d->bytes / kPage);
                         ::munmap(at, d->bytes);
                         return ns;
                       }});
  row.sides.push_back(
      {"Quire, in the thread", "in_thread", [d](unsigned) { return d->pass(true, false); }});
  row.sides.push_back(
      {"Quire, on request", "Mapping::populate()", [d](unsigned) { return d->pass(false, true); }});
  row.comparisons = {{0, 1, Comparison::Kind::kTime, {}}};
  row.limited_by =
      "each page is copied once, into memory that the kernel makes for it, and its frame's is "
      "given back";
  return row;
}

}  // namespace

std::vector<RowMaker> frame_rows() {
  return {{"fault/around-frames", around_frames}};
}

}  // namespace quire::bench
