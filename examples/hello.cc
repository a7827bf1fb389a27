// The smallest useful program with Quire: write a file of a directory through the cache, read it
// back, make it durable.
//
//   hello DIRECTORY
//
// Built against an installed Quire:
//   g++ -std=c++20 hello.cc $(pkg-config --cflags --libs quire) -o hello
#include <quire/cache.h>
#include <quire/store_host.h>
#include <quire/version.h>

#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>

// Stores `text` in DIRECTORY/hello.txt and returns what the cache then reads there. Every call says
// by its result whether it worked; nothing throws, nothing is printed.
quire::Result<std::string> hello(const std::string& directory, std::string_view text) {
  auto store = quire::open_host_store(directory);
  if (!store) return store.error();
  auto cache = quire::Cache::create(*store, {.memory_bytes = 64 << 20});
  if (!cache) return cache.error();

  using enum quire::OpenFlags;
  auto file = (*cache)->open("hello.txt", kReadWrite | kCreate | kTruncate);
  if (!file) return file.error();
  auto written = file->write(std::as_bytes(std::span(text)), 0);  // now in the cache
  if (!written) return written.error();
  std::string back(*written, '\0');
  auto got = file->read(std::as_writable_bytes(std::span(back)), 0);
  if (!got) return got.error();

  if (auto synced = file->sync(); !synced) return synced.error();  // now on the disk
  if (auto closed = file->close(); !closed) return closed.error();
  if (auto ended = (*cache)->close(); !ended) return ended.error();
  return back.substr(0, *got);
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: hello DIRECTORY\n");
    return 2;
  }
  const auto back = hello(argv[1], "hello, page cache\n");
  if (!back) {
    // The context says what was being done and to what, the code what went wrong.
    std::fprintf(stderr, "hello: %s\n", back.error().message().c_str());
    return 1;
  }
  std::printf("quire %s read back: %s", quire::version(), back->c_str());
  return 0;
}
