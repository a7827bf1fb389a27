// A file as memory: store into it, read it back, cut the bytes away, and see that they are gone from the mapping.
//
//   map DIRECTORY
#include <quire/cache.h>
#include <quire/mapping.h>
#include <quire/store_host.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

// Stores `text` in DIRECTORY/mapped.txt by a mapping, and returns what a read finds there.
quire::Result<std::string> hello(const std::string& directory, std::string_view text) {
  auto store = quire::open_host_store(directory);
  if (!store) return store.error();
  auto cache = quire::Cache::create(*store, {.memory_bytes = 64 << 20});
  if (!cache) return cache.error();

  using enum quire::OpenFlags;
  auto file = (*cache)->open("mapped.txt", kReadWrite | kCreate | kTruncate);
  if (!file) return file.error();
  if (auto sized = file->truncate(1 << 20); !sized) return sized.error();
  std::string back(text.size(), '\0');

  auto map = file->map(0, 1 << 20);  // memory that is the file
  if (!map) return map.error();      // where userfaultfd(2) is refused it says how to allow it
  std::memcpy(map->data(), text.data(), text.size());  // now in the cache, a dirty page
  auto got = file->read(std::as_writable_bytes(std::span(back)), 0);  // sees the store
  if (!got) return got.error();
  if (auto cut = file->punch(0, 4096); !cut) return cut.error();
  const bool gone = map->data()[0] == std::byte{0};  // from every mapping, before punch() returned

  if (auto unmapped = map->unmap(); !unmapped) return unmapped.error();
  if (auto closed = file->close(); !closed) return closed.error();
  if (auto ended = (*cache)->close(); !ended) return ended.error();
  return back + (gone ? " (and gone)" : " (and still there)");
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: map DIRECTORY\n");
    return 2;
  }
  const auto back = hello(argv[1], "hello, mapping");
  if (!back) {
    std::fprintf(stderr, "map: %s\n", back.error().message().c_str());
    return 1;
  }
  std::printf("%s\n", back->c_str());
  return 0;
}
