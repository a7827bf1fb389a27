// What the store tests share: requests that are waited for, patterned bytes, aligned memory.
#ifndef QUIRE_STORE_TEST_IO_H_
#define QUIRE_STORE_TEST_IO_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "quire/limits.h"
#include "quire/store.h"
#include "sync/atomic.h"
#include "sync/check.h"
#include "sync/parker.h"

namespace quire::store::testing {

inline constexpr std::size_t kPage = limits::kPageBytes;

// A request's end that can be waited for. Reports a second answer by aborting.
class Done final : public IoDone {
 public:
  ~Done() = default;
  void io_done(std::error_code error, std::size_t bytes) noexcept override {
    QUIRE_CHECK(!answered_.exchange(true));
    error_ = error;
    bytes_ = bytes;
    parker_.unpark();
  }

  bool answered() const { return answered_.load(); }
  // The error, after the answer has come.
  std::error_code wait() {
    if (!taken_) parker_.park();
    taken_ = true;
    return error_;
  }
  std::size_t bytes() {
    wait();
    return bytes_;
  }

 private:
  sync::Atomic<bool> answered_{false};
  bool taken_ = false;
  std::error_code error_;
  std::size_t bytes_ = 0;
  sync::Parker parker_;
};

// Bytes in memory aligned to a page.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size, std::byte fill = std::byte{0xee})
      : data_(static_cast<std::byte*>(
            ::operator new (size + 1, std::align_val_t{limits::kPageBytes}))),
        size_(size) {
    for (std::size_t i = 0; i < size; ++i) data_[i] = fill;
  }
  ~AlignedBytes() { ::operator delete (data_, std::align_val_t{limits::kPageBytes}); }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;

  std::byte* data() { return data_; }
  std::size_t size() const { return size_; }
  std::span<std::byte> span() { return {data_, size_}; }
  std::vector<std::byte> copy(std::size_t count) const { return {data_, data_ + count}; }

 private:
  std::byte* data_;
  std::size_t size_;
};

// Bytes that depend on the seed and on their place.
inline std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& b : bytes) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

inline std::error_code write(Store& store, ObjectHandle object, std::uint64_t offset,
                             std::span<const std::byte> bytes, IoMode mode = IoMode::kWait) {
  AlignedBytes memory(bytes.size());
  std::copy(bytes.begin(), bytes.end(), memory.data());
  const Store::ConstBuffer buffer = memory.span();
  Done done;
  store.write(object, offset, {&buffer, 1}, mode, done);
  const std::error_code error = done.wait();
  QUIRE_CHECK(error || done.bytes() == bytes.size());
  return error;
}

struct ReadResult {
  std::error_code error;
  std::vector<std::byte> bytes;
};

inline ReadResult read(Store& store, ObjectHandle object, std::uint64_t offset, std::size_t length,
                       IoMode mode = IoMode::kWait) {
  AlignedBytes memory(length);
  const Store::Buffer buffer = memory.span();
  Done done;
  store.read(object, offset, {&buffer, 1}, mode, done);
  const std::error_code error = done.wait();
  return {error, error ? std::vector<std::byte>{} : memory.copy(done.bytes())};
}

inline std::error_code truncate(Store& store, ObjectHandle object, std::uint64_t size) {
  Done done;
  store.truncate(object, size, done);
  return done.wait();
}

inline std::error_code sync(Store& store, ObjectHandle object, SyncKind kind = SyncKind::kAll) {
  Done done;
  store.sync(object, kind, done);
  return done.wait();
}

inline std::error_code cut(Store& store, ObjectHandle object, Cut kind, std::uint64_t offset,
                           std::uint64_t length) {
  Done done;
  store.cut(object, kind, offset, length, done);
  return done.wait();
}

inline std::error_code reserve(Store& store, ObjectHandle object, std::uint64_t offset,
                               std::uint64_t length) {
  Done done;
  store.reserve(object, offset, length, done);
  return done.wait();
}

constexpr OpenFlags kCreateFlags = OpenFlags::kReadWrite | OpenFlags::kCreate;

// An open object that closes itself.
class Opened {
 public:
  Opened(std::shared_ptr<Store> store, const std::string& path, OpenFlags flags = kCreateFlags)
      : store_(std::move(store)), result_(store_->open(path, flags, 0644)) {}
  ~Opened() {
    if (result_) static_cast<void>(store_->close(result_->handle));
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

  const Result<OpenedObject>& result() const { return result_; }
  ObjectHandle handle() const { return result_.value().handle; }
  ObjectId id() const { return result_.value().id; }
  ObjectStat stat() const { return store_->stat(handle()).value(); }

 private:
  std::shared_ptr<Store> store_;
  Result<OpenedObject> result_;
};

}  // namespace quire::store::testing

#endif  // QUIRE_STORE_TEST_IO_H_
