#include "main_job/stamped_pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "quire/limits.h"

namespace quire::main_job {
namespace {

constexpr std::size_t kPage = limits::kPageBytes;
constexpr std::uint64_t kRunMaxPages = 8;
constexpr unsigned kPageBits = 24;  // of the word, for the page's number

void fill(Bytes page, std::uint64_t index, std::uint64_t stamp) {
  const std::uint64_t word = (stamp << kPageBits) | index;
  for (std::size_t i = 0; i < page.size(); i += sizeof word) {
    std::memcpy(page.data() + i, &word, sizeof word);
  }
}

// Pages [first, first + count) with one stamp, in the worker's buffer.
ConstBytes make_run(Worker& worker, std::uint64_t first, std::uint64_t count, std::uint64_t stamp) {
  const Bytes run = worker.scratch().first(count * kPage);
  for (std::uint64_t i = 0; i < count; ++i) {
    fill(run.subspan(i * kPage, kPage), first + i, stamp);
  }
  return run;
}

}  // namespace

void check_stamped_pages(const std::string& path, ConstBytes bytes, std::uint64_t offset) {
  const std::uint64_t first = (offset + kPage - 1) / kPage;
  const std::uint64_t last = (offset + bytes.size()) / kPage;
  for (std::uint64_t index = first; index < last; ++index) {
    const ConstBytes page = bytes.subspan(index * kPage - offset, kPage);
    std::uint64_t word = 0;
    std::memcpy(&word, page.data(), sizeof word);
    if ((word & ((std::uint64_t{1} << kPageBits) - 1)) != index) {
      throw Failure(fmt::format("{}: page {} holds page {}", path, index,
                                word & ((std::uint64_t{1} << kPageBits) - 1)));
    }
    if (std::memcmp(page.data(), page.data() + sizeof word, kPage - sizeof word) != 0) {
      throw Failure(fmt::format("{}: page {} is torn between two writes", path, index));
    }
  }
}

void make_stamped_pages(Worker& worker, const FilePair& file, std::uint64_t pages) {
  for (std::uint64_t at = 0; at < pages; at += kRunMaxPages) {
    const std::uint64_t count = std::min(kRunMaxPages, pages - at);
    worker.write(file, make_run(worker, at, count, 1), at * kPage);
  }
}

void change_stamped_pages(Worker& worker, const FilePair& file, unsigned thread,
                          std::uint64_t pages, bool check, Rng rng, const Stop& stop) {
  for (std::uint64_t n = 0; n < pages; ++n) {
    stop.check();
    const std::uint64_t count = rng.between(1, kRunMaxPages);
    const std::uint64_t first = rng.below(pages - count + 1);
    if (rng.one_in(2)) {
      const std::uint64_t stamp = ((n + 2) << 8) | thread;
      const ConstBytes run = make_run(worker, first, count, stamp);
      file.target->write(run, first * kPage);
      worker.written_bytes += run.size();
    } else {
      const std::uint64_t offset = first * kPage + (rng.one_in(2) ? 0 : rng.below(kPage));
      const std::size_t length =
          std::min<std::uint64_t>((count + 1) * kPage, pages * kPage - offset);
      const Bytes run = worker.scratch().first(length);
      const std::size_t moved = file.target->read(run, offset);
      worker.read_bytes += moved;
      if (check) {
        if (moved != length) {
          throw Failure(fmt::format("{}: a read of {} bytes at {} gave {}", *file.path, length,
                                    offset, moved));
        }
        check_stamped_pages(*file.path, run, offset);
      }
    }
  }
}

}  // namespace quire::main_job
