// Meanwhile: an access to mapped memory by a thread of its own, made while an operation is in the middle of what it
// does: when the store is asked for it. Such an access goes through, or it waits until the operation has ended.
//
// Thread-safety: begin() from the thread that is in the middle, the rest from the one that runs the operations.
#ifndef QUIRE_TESTS_MODEL_MEANWHILE_H_
#define QUIRE_TESTS_MODEL_MEANWHILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "file/fault_service.h"
#include "model/access.h"

namespace quire::model {

class Meanwhile {
 public:
  // Stores `stored`, or, if that is empty, loads as much as `loaded` has room for. Of page `page` of the file, in
  // mapping `mapping`, at `in_page`.
  struct Plan {
    unsigned mapping = 0;
    std::uint64_t page = 0;
    std::size_t in_page = 0;
    std::byte* address = nullptr;
    file::FaultWay way;  // in which it is answered
    std::vector<std::byte> stored;
    std::vector<std::byte> loaded;
  };

  explicit Meanwhile(Plan plan) : plan_(std::move(plan)) {}
  // Waits for the access.
  ~Meanwhile() { wait(); }
  Meanwhile(const Meanwhile&) = delete;
  Meanwhile& operator=(const Meanwhile&) = delete;

  // Begins, and returns when the access has gone through, or waits for an answer.
  void begin();
  bool begun() const { return begun_.load(); }
  // Waits for its end. What came of it.
  const Access& wait();
  const Plan& plan() const { return plan_; }

 private:
  Plan plan_;
  Access access_;
  std::atomic<bool> begun_{false};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_MEANWHILE_H_
