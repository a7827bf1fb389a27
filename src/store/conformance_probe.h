// Probe: the hands of one conformance check. It opens objects, makes requests and waits for them
// with a limit, and keeps the first thing that went wrong. After that its calls do nothing, so that
// a check reads as a straight line.
//
// Lifetimes: a store under test may answer twice, late, or never. So requests and the memory they
// point to live on the heap until the store is gone, and for ever if one of them was not answered.
//
// Thread-safety: one thread, but start_*() and wait(), which any thread may call.
#ifndef QUIRE_STORE_CONFORMANCE_PROBE_H_
#define QUIRE_STORE_CONFORMANCE_PROBE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "quire/store.h"
#include "quire/store_conformance.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/parker.h"

namespace quire::store {

// One request under test: its memory, and how often and how it was answered.
class ProbeRequest final : public IoDone {
 public:
  // Memory of `length` bytes on a page boundary, in pieces of `piece_bytes` (the last may be
  // shorter), filled with a byte that no check writes.
  ProbeRequest(std::size_t length, std::size_t piece_bytes,
               std::function<void()> on_done = nullptr);
  ~ProbeRequest();
  ProbeRequest(const ProbeRequest&) = delete;
  ProbeRequest& operator=(const ProbeRequest&) = delete;

  void io_done(std::error_code error, std::size_t bytes) noexcept override;
  bool wait(std::chrono::milliseconds patience);
  unsigned answers() const { return answers_.load(); }
  // After wait() returned true: the first answer.
  std::error_code error() const { return error_; }
  std::size_t bytes() const { return bytes_; }

  std::span<std::byte> memory() { return {memory_, length_}; }
  std::span<const Store::Buffer> into() const { return into_; }
  std::span<const Store::ConstBuffer> from() const { return from_; }

 private:
  std::byte* memory_ = nullptr;
  const std::size_t length_;
  std::vector<Store::Buffer> into_;
  std::vector<Store::ConstBuffer> from_;
  const std::function<void()> on_done_;
  sync::Atomic<unsigned> answers_{0};
  bool waited_ = false;
  std::error_code error_;
  std::size_t bytes_ = 0;
  sync::Parker parker_;
};

using ProbeRequestPtr = std::shared_ptr<ProbeRequest>;

class Probe {
 public:
  Probe(std::string check, std::shared_ptr<Store> store, const ConformanceOptions& options);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  Store& store() { return *store_; }
  const ConformanceOptions& options() const { return options_; }

  // The verdict. expect() returns whether the check is still good.
  bool good() const EXCLUDES(mutex_);
  bool expect(bool condition, const std::string& otherwise);
  void fail(std::string detail) EXCLUDES(mutex_);
  std::string detail() const EXCLUDES(mutex_);

  // "conformance-", the check's name, and `suffix`.
  std::string path(const std::string& suffix = "a") const;
  // Opens path(suffix). Every object is closed when the probe ends.
  ObjectHandle open(const std::string& suffix = "a",
                    OpenFlags flags = OpenFlags::kReadWrite | OpenFlags::kCreate |
                                      OpenFlags::kTruncate,
                    ObjectId* id = nullptr);
  void close_all();
  ObjectStat stat(ObjectHandle object);

  // Begin a request; null once the check has failed.
  ProbeRequestPtr start_write(ObjectHandle object, std::uint64_t offset,
                              std::span<const std::byte> bytes, IoMode mode,
                              std::size_t piece_bytes = ~std::size_t{0});
  ProbeRequestPtr start_read(ObjectHandle object, std::uint64_t offset, std::size_t length,
                             IoMode mode);
  // A request of any kind, with `length` bytes of memory, which `submit` makes. `on_done` runs
  // within io_done, on the store's thread.
  ProbeRequestPtr start(const std::function<void(ProbeRequest&)>& submit, std::size_t length = 0,
                        std::function<void()> on_done = nullptr);
  // Waits. False, and the check has failed, if no answer came.
  bool wait(const ProbeRequestPtr& request);

  // Make a request and wait for it; that it fails is a failure of the check.
  void write(ObjectHandle object, std::uint64_t offset, std::span<const std::byte> bytes,
             IoMode mode = IoMode::kWait);
  std::vector<std::byte> read(ObjectHandle object, std::uint64_t offset, std::size_t length,
                              IoMode mode = IoMode::kWait);
  void truncate(ObjectHandle object, std::uint64_t size_bytes);
  void sync(ObjectHandle object, SyncKind kind);
  // Reads and compares; `what` says what the bytes are.
  void expect_bytes(ObjectHandle object, std::uint64_t offset, std::span<const std::byte> expected,
                    const std::string& what, IoMode mode = IoMode::kWait);

  // Exchanges the store for what options().crash makes of it. REQUIRES: options().crash is set.
  void crash();
  // Closes what is open and lets go of the store. Of what was asked for, how often each was
  // answered.
  std::vector<unsigned> end();

 private:
  ProbeRequestPtr make_request(std::size_t length, std::size_t piece_bytes,
                               std::function<void()> on_done = nullptr) EXCLUDES(mutex_);
  bool finished_well(const ProbeRequestPtr& request, const char* what);

  const std::string check_;
  const ConformanceOptions& options_;
  std::shared_ptr<Store> store_;
  std::vector<ObjectHandle> open_;

  mutable sync::Mutex mutex_;
  std::vector<ProbeRequestPtr> requests_ GUARDED_BY(mutex_);
  bool unanswered_ GUARDED_BY(mutex_) = false;
  std::string detail_ GUARDED_BY(mutex_);  // empty: good
};

// Bytes that depend on the seed and on their place, none of them zero.
std::vector<std::byte> probe_pattern(std::size_t size, unsigned seed);
// "byte 17 is 0x00, should be 0x5a", or empty if they are equal.
std::string difference(std::span<const std::byte> actual, std::span<const std::byte> expected);

}  // namespace quire::store

#endif  // QUIRE_STORE_CONFORMANCE_PROBE_H_
