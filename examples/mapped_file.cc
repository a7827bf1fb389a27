// One file that four threads at once load from, store into, read, write, write directly and cut up, through two
// mappings and a cache of a quarter of its size. In the end every byte is compared with what the threads know: by
// reads, by loads, and on the host once the cache is closed.
//
//   mapped_file DIRECTORY [MIB [OPERATIONS [MISTAKE]]]
//
// Makes DIRECTORY/mapped, of 16 to 4096 MIB (64), and does so many OPERATIONS (5000) a thread. Exit status 0: every
// byte was right; 1: the last line says what was not, or what failed; 2: bad arguments. A MISTAKE has to be found:
// "store" leaves out one store to the mapping, "byte" changes a byte on the host. Where userfaultfd(2) is refused
// nothing can be mapped: then it says how to allow that, and reads and writes instead.
#include <quire/cache.h>
#include <quire/limits.h>
#include <quire/mapping.h>
#include <quire/store_host.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace quire;

constexpr std::size_t kPage = limits::kPageBytes;
constexpr std::size_t kThreads = 4;
constexpr std::size_t kRun = 24;  // pages of one operation, at most

// What a page holds: zeros, or the words of one stamp, which tell the page that was stamped, and when.
struct Stamp {
  std::uint32_t page = 0;
  std::uint32_t generation = 0;  // 0: zeros
};
struct alignas(kPage) Page {
  std::array<std::uint64_t, kPage / 8> words{};
};
Page contents(Stamp stamp) {
  Page page;
  if (stamp.generation == 0) return page;
  for (std::size_t i = 0; i < page.words.size(); ++i) {
    page.words[i] = std::uint64_t{stamp.generation} << 32 | stamp.page << 9 | i;
  }
  return page;
}

template <class T>
T must(Result<T> result, const char* doing) {
  if (!result) throw std::runtime_error(std::string(doing) + ": " + result.error().message());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// A part of the file that one thread alone changes, so that it always knows what is there.
class Region {
 public:
  // What is stored through one mapping is loaded through the other; both show the file from its first byte on. The
  // last region has half its pages at least: it also moves what is behind a place, and ends where it likes.
  Region(File& file, Mapping& stores, Mapping& loads, std::size_t first, std::size_t pages,
         bool last)
      : file_(file),
        stores_(stores),
        loads_(loads),
        first_(first),
        most_(pages),
        last_(last),
        stamps_(pages),
        random_(first) {}

  void work(unsigned operations) {
    for (unsigned i = 0; i < operations; ++i) {
      const std::size_t pages = 1 + below(kRun);
      const std::size_t at = below(stamps_.size() - pages);
      switch (below(7)) {
        case 0:
          stamp(at, pages), store(at, pages, kPage);
          break;
        case 1:
          load(at, pages), compare("a load", at, pages);
          break;
        case 2:
          read(at, pages), compare("a read", at, pages);
          break;
        case 3:
          stamp(at, pages), write(at, pages, {});
          break;
        case 4:
          stamp(at, pages), write(at, pages, {.path = IoPath::kDirect});
          break;
        case 5:
          copy(at, pages, below(stamps_.size() - pages));
          break;
        case 6:
          cut(at, pages, last_ ? below(4) : 0);
          break;
      }
    }
  }
  // Stamps a page, but for its last word.
  void leave_out_a_store() { stamp(0, 1), store(0, 1, kPage - 8); }

  // By reads and by loads; then on the host.
  void compare_all() {
    for (std::size_t at = 0, pages; at < stamps_.size(); at += pages) {
      pages = std::min(kRun, stamps_.size() - at);
      read(at, pages), compare("in the end, a read", at, pages);
      load(at, pages), compare("in the end, a load", at, pages);
    }
  }
  void compare_on_host(std::istream& host) {
    for (std::size_t at = 0; at < stamps_.size(); ++at) {
      host.seekg(static_cast<std::streamoff>(offset(at)));
      host.read(reinterpret_cast<char*>(bytes(1).data()), kPage);
      compare("on the host, a read", at, 1);
    }
  }
  std::size_t end() const { return offset(stamps_.size()); }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }
  std::size_t offset(std::size_t at) const { return (first_ + at) * kPage; }
  std::span<std::byte> bytes(std::size_t pages) {
    return std::as_writable_bytes(std::span(buffer_).first(pages));
  }
  // The pages get new contents, in stamps_ and in the buffer.
  void stamp(std::size_t at, std::size_t pages) {
    for (std::size_t i = 0; i < pages; ++i) {
      stamps_[at + i] = {static_cast<std::uint32_t>(first_ + at + i), ++generation_};
      buffer_[i] = contents(stamps_[at + i]);
    }
  }
  void store(std::size_t at, std::size_t pages, std::size_t page_bytes) {
    if (!stores_.is_mapped()) return write(at, pages, {});
    for (std::size_t i = 0; i < pages; ++i) {
      std::memcpy(stores_.data() + offset(at + i), &buffer_[i], page_bytes);
    }
  }
  void load(std::size_t at, std::size_t pages) {
    if (!loads_.is_mapped()) return read(at, pages);
    std::memcpy(bytes(pages).data(), loads_.data() + offset(at), pages * kPage);
  }
  void read(std::size_t at, std::size_t pages) {
    must(file_.read(bytes(pages), offset(at)), "read");
  }
  void write(std::size_t at, std::size_t pages, const CallOptions& how) {
    must(file_.write(bytes(pages), offset(at), how), "write");
  }
  // A direct write whose buffer is the mapping: pages of the file, put elsewhere in it.
  void copy(std::size_t at, std::size_t pages, std::size_t from) {
    if (!loads_.is_mapped()) return;
    must(file_.write(loads_.bytes().subspan(offset(from), pages * kPage), offset(at),
                     {.path = IoPath::kDirect}),
         "copy");
    const std::vector<Stamp> stamps(&stamps_[from], &stamps_[from + pages]);
    std::copy(stamps.begin(), stamps.end(), &stamps_[at]);
  }
  void cut(std::size_t at, std::size_t pages, std::size_t kind) {
    const auto begin = stamps_.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = begin + static_cast<std::ptrdiff_t>(pages);
    if (kind == 0) {
      if (did(file_.punch(offset(at), pages * kPage))) std::fill(begin, end, Stamp());
    } else if (kind == 1 && stamps_.size() > most_ / 2 + pages) {
      if (did(file_.collapse(offset(at), pages * kPage))) stamps_.erase(begin, end);
    } else if (kind == 2 && stamps_.size() + pages <= most_) {
      if (did(file_.insert(offset(at), pages * kPage))) stamps_.insert(begin, pages, Stamp());
    } else if (kind == 3) {
      const std::size_t size = most_ / 2 + 1 + below(most_ / 2);
      if (did(file_.truncate(offset(size)))) stamps_.resize(size);
    }
  }
  // Not every file system can do every cut.
  static bool did(const Status& status) {
    if (status.code() == std::errc::operation_not_supported) return false;
    must(status, "cut");
    return true;
  }
  // The buffer with what must be there.
  void compare(const char* what, std::size_t at, std::size_t pages) const {
    for (std::size_t i = 0; i < pages; ++i) {
      const Page expected = contents(stamps_[at + i]);
      const auto [is, should] = std::ranges::mismatch(buffer_[i].words, expected.words);
      if (should == expected.words.end()) continue;
      std::array<char, 160> text;
      std::snprintf(text.data(), text.size(), "%s at offset %zu gave %016llx instead of %016llx",
                    what,
                    offset(at + i) + 8 * static_cast<std::size_t>(should - expected.words.begin()),
                    static_cast<unsigned long long>(*is), static_cast<unsigned long long>(*should));
      throw std::runtime_error(text.data());
    }
  }

  File& file_;
  Mapping& stores_;
  Mapping& loads_;
  const std::size_t first_;
  const std::size_t most_;
  const bool last_;
  std::vector<Stamp> stamps_;
  std::uint32_t generation_ = 0;
  std::mt19937_64 random_;
  std::vector<Page> buffer_ = std::vector<Page>(kRun);
};

// Nothing where it is refused.
Mapping map(File& file, std::size_t bytes, MapAccess access) {
  Result<Mapping> mapped = file.map(0, bytes, {.access = access});
  if (mapped) return *std::move(mapped);
  std::printf("  %s\n", mapped.error().message().c_str());
  return {};
}

void run(const std::string& directory, std::size_t mib, unsigned operations,
         const std::string& mistake) {
  const std::size_t size = mib << 20;
  auto cache = must(
      Cache::create(must(open_host_store(directory), "open the directory"),
                    {.memory_bytes = std::max<std::size_t>(size / 4, limits::kMemoryMinBytes)}),
      "make a cache");
  using enum OpenFlags;
  File file = must(cache->open("mapped", kReadWrite | kCreate | kTruncate), "open");
  must(file.truncate(size), "make it long");
  Mapping stores = map(file, size, MapAccess::kReadWrite);
  Mapping loads = stores.is_mapped() ? map(file, size, MapAccess::kRead) : Mapping();

  std::vector<Region> regions;
  const std::size_t pages = size / kPage / kThreads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    regions.emplace_back(file, stores, loads, i * pages, pages, i + 1 == kThreads);
  }
  std::mutex mutex;
  std::string failure;
  {
    std::vector<std::jthread> threads;
    for (Region& region : regions) {
      threads.emplace_back([&] {
        try {
          region.work(operations);
        } catch (const std::exception& error) {
          const std::lock_guard lock(mutex);
          failure = error.what();
        }
      });
    }
  }
  if (!failure.empty()) throw std::runtime_error(failure);
  if (mistake == "store") regions[0].leave_out_a_store();
  for (Region& region : regions) region.compare_all();

  const bool mapped = stores.is_mapped();
  must(stores.unmap(), "unmap");
  must(loads.unmap(), "unmap");
  must(file.sync(), "sync");
  must(file.close(), "close");
  must(cache->close(), "close the cache");
  std::fstream host(directory + "/mapped", std::ios::in | std::ios::out | std::ios::binary);
  if (mistake == "byte") host.seekp(12345), host.put('?').flush();
  for (Region& region : regions) region.compare_on_host(host);
  host.seekg(0, std::ios::end);
  if (host.tellg() != static_cast<std::streamoff>(regions.back().end())) {
    throw std::runtime_error("the file on the host has another length");
  }
  std::printf("  %zu threads, %u operations each, %s; %zu bytes compared, thrice: all right\n",
              kThreads, operations, mapped ? "by mappings too" : "by reads and writes alone",
              regions.back().end());
}

int main(int argc, char** argv) {
  const auto number = [&](int at, unsigned without) {
    return argc > at ? static_cast<unsigned>(std::strtoul(argv[at], nullptr, 10)) : without;
  };
  const unsigned mib = number(2, 64);
  const std::string mistake = argc == 5 ? argv[4] : "";
  if (argc < 2 || argc > 5 || mib < 16 || mib > 4096 ||
      (!mistake.empty() && mistake != "store" && mistake != "byte")) {
    std::fprintf(stderr, "usage: mapped_file DIRECTORY [MIB [OPERATIONS [store | byte]]]\n");
    return 2;
  }
  try {
    run(argv[1], mib, number(3, 5000), mistake);
  } catch (const std::exception& error) {
    std::printf("mapped_file: FAILED (%s)\n", error.what());
    return 1;
  }
  std::printf("mapped_file: ok\n");
  return 0;
}
