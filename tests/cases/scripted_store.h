// ScriptedStore: a store in front of another one. The test decides for each request whether it goes
// through, fails, or gets no answer until the test says so: a host directory on a disk that is
// sick.
//
// Thread-safety: all calls from any thread; set_hook while no request is being submitted.
#ifndef QUIRE_TESTS_CASES_SCRIPTED_STORE_H_
#define QUIRE_TESTS_CASES_SCRIPTED_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "quire/store.h"
#include "quire/store_memory.h"

namespace quire::cases {

class ScriptedStore final : public Store {
 public:
  // Of the verdict, `error` and `hold` are looked at; of an open only `error`.
  using Hook = std::function<StoreVerdict(const StoreRequest&)>;

  explicit ScriptedStore(std::shared_ptr<Store> inner) : inner_(std::move(inner)) {}

  // Asked for each request, under no lock of the store. Empty: everything goes through.
  void set_hook(Hook hook);
  // Called by each set_times before it is carried out.
  void set_stamp_hook(std::function<void()> hook);
  // From now on an open of `path` says that the object is `id`, as a file system does that uses the
  // number of a deleted file again.
  void set_id(const std::string& path, ObjectId id);
  // Passes on what was held. Returns how many requests there were.
  std::size_t release_held();
  std::size_t held() const;

  StoreTraits traits() const noexcept override { return inner_->traits(); }
  Result<OpenedObject> open(std::string_view path, OpenFlags flags, std::uint32_t mode) override;
  Status close(ObjectHandle object) override;
  Result<ObjectStat> stat(ObjectHandle object) override { return inner_->stat(object); }
  void read(ObjectHandle object, std::uint64_t offset, std::span<const Buffer> buffers, IoMode mode,
            IoDone& done) noexcept override;
  void write(ObjectHandle object, std::uint64_t offset, std::span<const ConstBuffer> buffers,
             IoMode mode, IoDone& done) noexcept override;
  void truncate(ObjectHandle object, std::uint64_t size_bytes, IoDone& done) noexcept override;
  void sync(ObjectHandle object, SyncKind kind, IoDone& done) noexcept override;
  Status set_times(ObjectHandle object, const TimeSpec* atime, const TimeSpec& mtime) override;
  // Asked for as a sync of no file.
  Status sync_store() override;

 private:
  // Passes the request on, fails it or keeps it. `pass` submits it to the store behind.
  void decide(ObjectHandle object, StoreRequest request, IoDone& done,
              const std::function<void(IoMode)>& pass) noexcept;

  const std::shared_ptr<Store> inner_;
  mutable std::mutex mutex_;
  Hook hook_;
  std::function<void()> stamp_hook_;
  std::map<std::uint64_t, std::string> paths_;  // of open objects
  std::map<std::string, ObjectId> ids_;
  std::vector<std::function<void(IoMode)>> held_;
};

}  // namespace quire::cases

#endif  // QUIRE_TESTS_CASES_SCRIPTED_STORE_H_
