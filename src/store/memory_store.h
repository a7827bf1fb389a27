// The implementation of quire::MemoryStore: names, handles, the hook, what is held and what waits
// for its latency to pass. What an object is and does stands in store/memory_object.h.
//
// The way of a request:
//
//   submitted -> hook -> [held] -> [latency] -> carried out -> answered
//
// The hook is asked on the submitting thread. A held request goes to held_ and on release is
// carried out at once by the releasing thread. With hold_answer_only it is carried out before it is
// held.
//
// Lock order: mutex_ (names, handles, held, the hook) -> an object's mutex -> the quota's. None is
// held while the hook or io_done runs.
#ifndef QUIRE_STORE_MEMORY_STORE_H_
#define QUIRE_STORE_MEMORY_STORE_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "quire/store_memory.h"
#include "store/memory_object.h"
#include "store/page_quota.h"
#include "store/request_timer.h"
#include "sync/mutex.h"

namespace quire::store {

class MemoryStoreImpl final : public MemoryStore {
 public:
  explicit MemoryStoreImpl(const MemoryStoreOptions& options);
  ~MemoryStoreImpl() override;

  StoreTraits traits() const noexcept override;
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override;
  Status close(ObjectHandle object) override;
  Result<ObjectStat> stat(ObjectHandle object) override;
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode mode,
            IoDone& done) noexcept override;
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override;
  void truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept override;
  void sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept override;
  void cut(ObjectHandle object, Cut kind, std::uint64_t offset, std::uint64_t length,
           IoDone& done) noexcept override;
  void reserve(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override;
  void reserve_pages(ObjectHandle object, SpaceRequest& space, IoMode mode,
                     IoDone& done) noexcept override;
  void release(ObjectHandle object, std::uint64_t offset, std::uint64_t length,
               IoDone& done) noexcept override;
  Status set_times(ObjectHandle object, const TimeSpec* atime, const TimeSpec& mtime) override;

  void set_hook(std::function<StoreVerdict(const StoreRequest&)> hook) override;
  std::size_t release_held(std::size_t count) override;
  std::size_t held() const override;
  std::vector<std::byte> contents(const std::string& path) const override;
  std::vector<std::byte> durable_contents(const std::string& path) const override;
  void poke(const std::string& path, std::vector<std::byte> bytes) override;
  void link(const std::string& existing, const std::string& path) override;
  void crash() override;
  void set_capacity(std::uint64_t bytes) override;

 private:
  using Hook = std::function<StoreVerdict(const StoreRequest&)>;
  struct OpenObject {
    std::shared_ptr<MemoryObject> object;
    OpenFlags flags{};
  };
  struct Request {
    StoreOp op{};
    IoMode mode = IoMode::kAsync;
    std::shared_ptr<MemoryObject> object;
    OpenFlags needs{};  // the access that the handle must have
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::span<const Buffer> into;
    std::span<const ConstBuffer> from;
    Cut cut{};
    SyncKind sync{};
    SpaceRequest* space = nullptr;  // of kReserve: null for reserve()
    StoreVerdict verdict;
    bool carried_out = false;
    IoOutcome outcome;
    IoDone* done = nullptr;
  };

  OpenObject find(ObjectHandle handle) const EXCLUDES(mutex_);
  std::shared_ptr<MemoryObject> find_path(const std::string& path) const EXCLUDES(mutex_);
  std::shared_ptr<MemoryObject> make_object(const std::string& path, std::uint32_t mode)
      REQUIRES(mutex_);

  void submit(ObjectHandle handle, Request request);
  void carry_out(Request& request) const;
  static IoOutcome outcome_of(const Request& request);
  void answer(Request request) const;
  StoreVerdict ask_hook(StoreOp op, const std::string& path, std::uint64_t offset,
                        std::uint64_t length, IoMode mode) const;

  const MemoryStoreOptions options_;
  PageQuota quota_;
  RequestTimer timer_;

  mutable sync::Mutex mutex_;
  std::shared_ptr<const Hook> hook_ GUARDED_BY(mutex_);  // whoever asks it keeps it; may be null
  std::map<std::string, std::shared_ptr<MemoryObject>> objects_ GUARDED_BY(mutex_);
  std::unordered_map<std::uint64_t, OpenObject> handles_ GUARDED_BY(mutex_);
  std::deque<Request> held_ GUARDED_BY(mutex_);
  std::uint64_t last_handle_ GUARDED_BY(mutex_) = 0;
  std::uint64_t last_id_ GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::store

#endif  // QUIRE_STORE_MEMORY_STORE_H_
