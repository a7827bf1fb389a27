// A complete store of one's own in a hundred lines: objects are vectors in a map, and every request
// is answered before the call returns. Below it: the conformance suite over this store, then a
// cache.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/cache.h"
#include "quire/error.h"
#include "quire/limits.h"
#include "quire/store_conformance.h"

namespace {

class MapStore final : public quire::Store {
 public:
  // No alignment, no reservations, no cuts, no time stamps; requests run in the calling thread.
  quire::StoreTraits traits() const noexcept override { return {.runs_inline = true}; }

  quire::Result<quire::OpenedObject> open(std::string_view path, quire::OpenFlags flags,
                                          std::uint32_t) override {
    using quire::OpenFlags;
    if (path.empty() || path.front() == '/' || path.find("..") != path.npos) {
      return quire::Error(quire::Errc::kPathEscapes, "open " + std::string(path));
    }
    if (path.size() > quire::limits::kNameMaxBytes) {
      return quire::Error(std::errc::filename_too_long, "open a long name");
    }
    const std::lock_guard lock(mutex_);
    const bool exists = objects_.contains(std::string(path));
    if (!exists && !has(flags, OpenFlags::kCreate)) {
      return quire::Error(std::errc::no_such_file_or_directory, "open " + std::string(path));
    }
    if (exists && has(flags, OpenFlags::kCreate | OpenFlags::kExclusive)) {
      return quire::Error(std::errc::file_exists, "open " + std::string(path));
    }
    Object& object = objects_[std::string(path)];  // a map's elements stay where they are
    if (!exists) object.number = objects_.size();
    if (has(flags, OpenFlags::kTruncate)) object.bytes.clear();
    return quire::OpenedObject{.handle = {reinterpret_cast<std::uintptr_t>(&object)},
                               .id = {0, object.number},
                               .stat = {.size_bytes = object.bytes.size()},
                               .created = !exists};
  }
  quire::Status close(quire::ObjectHandle) override { return {}; }
  quire::Result<quire::ObjectStat> stat(quire::ObjectHandle object) override {
    const std::lock_guard lock(mutex_);
    return quire::ObjectStat{.size_bytes = of(object).bytes.size()};
  }

  void read(quire::ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers,
            quire::IoMode, quire::IoDone& done) noexcept override {
    std::size_t moved = 0;
    {
      const std::lock_guard lock(mutex_);  // given back before io_done: rule 1
      const std::vector<std::byte>& bytes = of(object).bytes;
      for (const Buffer& buffer : buffers) {
        const std::uint64_t at = offset + moved;
        if (at >= bytes.size()) break;  // fewer bytes at the end, no error: rule 3
        const std::size_t count = std::min<std::uint64_t>(buffer.size(), bytes.size() - at);
        std::memcpy(buffer.data(), bytes.data() + at, count);
        moved += count;
      }
    }
    done.io_done({}, moved);
  }
  void write(quire::ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             quire::IoMode, quire::IoDone& done) noexcept override {
    std::size_t moved = 0;
    {
      const std::lock_guard lock(mutex_);
      std::vector<std::byte>& bytes = of(object).bytes;
      for (const ConstBuffer& buffer : buffers) {
        if (buffer.empty()) continue;
        const std::uint64_t end = offset + moved + buffer.size();
        if (end > bytes.size()) bytes.resize(end);  // exactly to the end of the write: rule 5
        std::memcpy(bytes.data() + offset + moved, buffer.data(), buffer.size());
        moved += buffer.size();
      }
    }
    done.io_done({}, moved);
  }
  void truncate(quire::ObjectHandle object, std::uint64_t size,
                quire::IoDone& done) noexcept override {
    const bool fits = size <= kSizeMaxBytes;
    if (fits) {
      const std::lock_guard lock(mutex_);
      of(object).bytes.resize(size);
    }
    done.io_done(fits ? std::error_code() : make_error_code(std::errc::file_too_large), 0);
  }
  // Memory is as durable as it gets.
  void sync(quire::ObjectHandle, quire::SyncKind, quire::IoDone& done) noexcept override {
    done.io_done({}, 0);
  }

 private:
  static constexpr std::uint64_t kSizeMaxBytes = std::uint64_t{1} << 30;
  struct Object {
    std::uint64_t number = 0;
    std::vector<std::byte> bytes;
  };
  static Object& of(quire::ObjectHandle object) {
    return *reinterpret_cast<Object*>(static_cast<std::uintptr_t>(object.value));
  }
  std::mutex mutex_;
  std::map<std::string, Object, std::less<>> objects_;
};

// Writes through a cache, reads back, and looks at what arrived in the store.
bool cache_works() {
  auto cache = quire::Cache::create(std::make_shared<MapStore>(), {.memory_bytes = 8 << 20});
  if (!cache) return false;
  auto file = (*cache)->open("greeting", quire::OpenFlags::kReadWrite | quire::OpenFlags::kCreate);
  if (!file) return false;
  const std::string text = "a store in a hundred lines";
  std::string back(text.size(), '\0');
  return file->write(std::as_bytes(std::span(text)), 0) && file->sync() &&
         file->read(std::as_writable_bytes(std::span(back)), 0) && back == text && file->close() &&
         (*cache)->close();
}

}  // namespace

int main() {
  const quire::ConformanceReport report =
      quire::run_store_conformance([] { return std::make_shared<MapStore>(); });
  std::fputs(report.text().c_str(), stdout);
  const bool ok = report.ok() && cache_works();
  std::printf("hundred line store: %s\n", ok ? "ok" : "FAILED");
  return ok ? 0 : 1;
}
