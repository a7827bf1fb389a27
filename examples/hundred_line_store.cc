// A complete store of one's own in a hundred lines: objects are byte vectors in a map, and every request
// is answered before the call returns. Below it, the conformance suite over this store, then a cache.
#include <quire/cache.h>
#include <quire/error.h>
#include <quire/limits.h>
#include <quire/store_conformance.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <vector>

using namespace quire;

class MapStore final : public Store {
 public:
  // No alignment, no reservations, no cuts, no time stamps; requests run in the calling thread.
  StoreTraits traits() const noexcept override { return {.runs_inline = true}; }

  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t) override {
    const std::string name(path);
    if (name.empty() || name[0] == '/' || name.find("..") != name.npos) {
      return Error(Errc::kPathEscapes, "open " + name);
    }
    if (name.size() > limits::kNameMaxBytes) return Error(std::errc::filename_too_long, "open");
    const std::lock_guard lock(mutex_);
    const bool exists = objects_.contains(name);
    if (!exists && !has(flags, OpenFlags::kCreate)) {
      return Error(std::errc::no_such_file_or_directory, "open " + name);
    }
    if (exists && has(flags, OpenFlags::kCreate | OpenFlags::kExclusive)) {
      return Error(std::errc::file_exists, "open " + name);
    }
    Bytes& bytes = objects_[name];  // a map's elements stay where they are: a handle and an id
    if (has(flags, OpenFlags::kTruncate)) bytes.clear();
    const auto place = reinterpret_cast<std::uintptr_t>(&bytes);
    return OpenedObject{{place}, {0, place}, {.size_bytes = bytes.size()}, !exists};
  }
  Status close(ObjectHandle) override { return {}; }
  Result<ObjectStat> stat(ObjectHandle object) override {
    const std::lock_guard lock(mutex_);
    return ObjectStat{.size_bytes = of(object).size()};
  }
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode,
            IoDone& done) noexcept override {
    std::unique_lock lock(mutex_);
    const Bytes& bytes = of(object);
    std::size_t moved = 0;
    for (const Buffer& buffer : buffers) {
      const std::uint64_t at = std::min<std::uint64_t>(offset + moved, bytes.size());
      const std::size_t count = std::min(buffer.size(), bytes.size() - at);
      std::copy_n(bytes.data() + at, count, buffer.begin());
      moved += count;  // fewer bytes at the end, and no error: rule 3
    }
    lock.unlock();  // before io_done: rule 1
    done.io_done({}, moved);
  }
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode, IoDone& done) noexcept override {
    std::unique_lock lock(mutex_);
    Bytes& bytes = of(object);
    std::uint64_t at = offset;
    for (const ConstBuffer& buffer : buffers) {
      if (buffer.empty()) continue;
      if (at + buffer.size() > bytes.size()) bytes.resize(at + buffer.size());  // rule 5
      std::copy_n(buffer.begin(), buffer.size(), bytes.data() + at);
      at += buffer.size();
    }
    lock.unlock();
    done.io_done({}, at - offset);
  }
  void truncate(ObjectHandle object, std::uint64_t size, IoDone& done) noexcept override {
    const bool fits = size <= std::uint64_t{1} << 30;
    if (const std::lock_guard lock(mutex_); fits) of(object).resize(size);
    done.io_done(fits ? std::error_code() : make_error_code(std::errc::file_too_large), 0);
  }
  // Memory is as durable as it gets.
  void sync(ObjectHandle, SyncKind, IoDone& done) noexcept override { done.io_done({}, 0); }

 private:
  using Bytes = std::vector<std::byte>;
  static Bytes& of(ObjectHandle object) { return *reinterpret_cast<Bytes*>(object.value); }
  std::mutex mutex_;
  std::map<std::string, Bytes> objects_;
};

int main() {
  const auto report = run_store_conformance([] { return std::make_shared<MapStore>(); });
  std::fputs(report.text().c_str(), stdout);
  auto cache = Cache::create(std::make_shared<MapStore>(), {.memory_bytes = 8 << 20}).value();
  auto file = cache->open("greeting", OpenFlags::kReadWrite | OpenFlags::kCreate).value();
  std::string text = "a store in a hundred lines", back(text.size(), '\0');
  const bool works = file.write(std::as_bytes(std::span(text)), 0) && file.sync() &&
                     file.read(std::as_writable_bytes(std::span(back)), 0) && back == text &&
                     file.close() && cache->close();
  std::printf("hundred line store: %s\n", report.ok() && works ? "ok" : "FAILED");
  return report.ok() && works ? 0 : 1;
}
