// FaultService: answers the page faults of all mappings of this process, of all caches, that are answered in one way
// (FaultWay). It has one userfaultfd and one thread (map/fault_thread.h), made with the first such mapping and ended
// with the last.
//
//   a program's access -> the kernel -> FaultThread -> FaultService: whose page is it (mapping_table.h)? -> PageFault
//
// Who calls: FileView, for as long as it lives (Use); faults, on the service's thread.
//
// Invariants:
//  1. The service is there while a FileView is. It is ended by the thread that destroys the last one, unless that is
//     a service's: then it stays for the next.
//  2. Nothing that is called on its thread waits for anything but a mutex, and nobody waits for the thread under one.
//  3. It answers for the views that keep it, and for no others. The kernel may tell of an access that is over: its
//     thread left it by a signal, unmapped the memory, and the address is another mapping's. If that is answered in the
//     same way the access counts as one to it, if it allows such: a page is shown, made dirty, or fails for a while,
//     for nothing.
//  4. The child of a fork has its own, if any: its parent's is neither used nor freed there.
#ifndef QUIRE_FILE_FAULT_SERVICE_H_
#define QUIRE_FILE_FAULT_SERVICE_H_

#include <cstddef>
#include <map>
#include <memory>
#include <utility>

#include "file/fork_guard.h"
#include "map/fault_thread.h"
#include "map/userfault.h"
#include "quire/result.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"

namespace quire::file {

class FileView;

// What a userfaultfd is asked for once, when it is opened, and so is the same for all of its mappings.
struct FaultWay {
  bool in_thread = false;     // MapOptions::in_thread
  bool async_stores = false;  // MapOptions::async_stores

  static constexpr std::size_t kCount = 4;
  std::size_t index() const noexcept {
    return static_cast<std::size_t>(in_thread) + 2 * static_cast<std::size_t>(async_stores);
  }
};

class FaultService final : public map::FaultSink {
 public:
  // Keeps the service.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept : service_(std::exchange(other.service_, nullptr)) {}
    Use& operator=(Use&&) = delete;
    ~Use();

    FaultService& operator*() const noexcept { return *service_; }
    FaultService* operator->() const noexcept { return service_; }

   private:
    friend class FaultService;
    explicit Use(FaultService& service) : service_(&service) {}

    FaultService* service_ = nullptr;
  };
  // The one of this process for that way. Errors: those of Userfault::open() and FaultThread::start().
  static Result<Use> of_process(FaultWay way = {});
  // For tests: what services treat as lacking from now on. REQUIRES: nothing is mapped.
  static void refuse(map::FeatureSet features) noexcept;

  FaultWay way() const noexcept { return way_; }
  map::Userfault& userfault() noexcept { return *userfault_; }
  // Accesses that wait for an answer, and what is wanted ahead of them.
  std::size_t under_way() const noexcept { return under_way_.load(); }
  void note_begun() noexcept { under_way_.fetch_add(1); }
  void note_ended() noexcept { under_way_.fetch_sub(1); }
  // Has it run on the service's thread.
  void post(map::Posted& posted) noexcept { thread_->post(posted); }
  // The service's own thread, by its kernel id.
  pid_t thread_id() const noexcept { return thread_->id(); }
  // A page of the view failed: it is asked to retry when that is due. On the service's thread.
  void note_failed(const std::shared_ptr<FileView>& view) noexcept;
  void fault(const map::Fault& fault) noexcept override;
  sync::Clock::time_point tick() noexcept override;

 private:
  friend struct FaultServicePeer;  // lets the tests hold the mutex of all services of this process

  static sync::Mutex& mutex_of_process() noexcept;
  explicit FaultService(FaultWay way) : way_(way) {}
  ~FaultService() override = default;
  // Errors: those of FaultThread::start().
  Status start();
  void leave() noexcept;

  const FaultWay way_;
  const unsigned generation_ = fork_generation();  // of the process that has the thread
  std::unique_ptr<map::Userfault> userfault_;
  // Of the service's thread.
  std::map<const FileView*, std::weak_ptr<FileView>> failed_;
  sync::Atomic<std::size_t> under_way_{0};
  std::unique_ptr<map::FaultThread> thread_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_FAULT_SERVICE_H_
