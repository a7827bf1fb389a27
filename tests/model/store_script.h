// StoreScript: what goes wrong at the store while one operation runs, and what came of it. Sits in the
// memory store's hook.
//
// A Failure strikes requests of one kind, after `skip` of them, `count` times: they fail, or their
// answer is held back until the operation has been left. The journal says which requests were struck,
// and by whom they were submitted: a failure that met the library's own writeback is not the caller's.
//
// Thread-safety: verdict() from any thread, the rest from the thread that runs the operations.
#ifndef QUIRE_TESTS_MODEL_STORE_SCRIPT_H_
#define QUIRE_TESTS_MODEL_STORE_SCRIPT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "quire/store_memory.h"

namespace quire::model {

struct Failure {
  StoreOp op = StoreOp::kRead;
  std::errc error = std::errc::io_error;
  unsigned skip = 0;
  unsigned count = 1;
  bool hold = false;  // instead of the error
  bool drop = false;  // kSync: the store forgets what was not durable
};

struct Struck {
  StoreOp op;
  std::string path;       // the name that the object was made under
  std::error_code error;  // none: held
  bool by_caller = false;
  bool dropped = false;
};

class StoreScript {
 public:
  // Installs itself in the store, whose hook it must stay.
  explicit StoreScript(std::shared_ptr<MemoryStore> store);
  ~StoreScript();
  StoreScript(const StoreScript&) = delete;
  StoreScript& operator=(const StoreScript&) = delete;

  // From now on, until end().
  void begin(const std::optional<Failure>& failure);
  // Calls `act`, once, when the thread that runs the operation asks for `op` of the object, before that is done; until
  // end().
  void interrupt(StoreOp op, const std::string& path, std::function<void()> act);
  // Nothing is struck any more; what was held goes through.
  void end();
  // Until revive(): nothing reaches the store any more. What has been written can still be synced: after a
  // sync that fails pages become dirty again, which takes seconds where as many are dirty as may be.
  void die();
  void revive();

  // Of the operation that began last. Asked after end().
  bool struck(StoreOp op) const;
  // Some request that the caller's own thread submitted failed so.
  bool failed_own(StoreOp op) const;
  // A sync of the object failed; `*dropped`: and the store forgot.
  bool sync_failed(const std::string& path, bool* dropped) const;
  // The objects that were asked to be made durable, by whomever, and were not struck; since this was last asked.
  std::set<std::string> take_synced();
  // `error` is one that was given.
  bool gave(std::error_code error) const;
  // Requests of that kind were submitted, struck or not.
  bool saw(StoreOp op) const;

 private:
  StoreVerdict verdict(const StoreRequest& request);

  const std::shared_ptr<MemoryStore> store_;
  mutable std::mutex mutex_;
  std::optional<Failure> failure_;
  bool dead_ = false;
  std::thread::id owner_;  // who runs the operation
  std::size_t held_ = 0;   // verdicts
  unsigned seen_ = 0;      // requests that failure_ is about
  std::vector<Struck> struck_;
  struct Interrupt {
    StoreOp op;
    std::string path;
    std::function<void()> act;
  };
  std::optional<Interrupt> interrupt_;
  std::set<std::string> synced_;
  unsigned kinds_seen_ = 0;  // a bit (1 << op) each
};

// While it lives, requests of this thread are not the library's: they always go through.
class StoreBypass {
 public:
  StoreBypass();
  ~StoreBypass();
  StoreBypass(const StoreBypass&) = delete;
  StoreBypass& operator=(const StoreBypass&) = delete;
  static bool active();
};

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_STORE_SCRIPT_H_
