#include "sync/thread.h"

#include <pthread.h>
#include <signal.h>

#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "sync/check.h"

namespace quire::sync {
namespace {

constexpr std::size_t kNameMaxBytes = 15;  // the kernel's TASK_COMM_LEN, less the zero

// A new thread inherits its creator's mask, so that it has none unblocked even before it runs.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    QUIRE_CHECK(pthread_sigmask(SIG_SETMASK, &all, &before_) == 0);
  }
  ~AllSignalsBlocked() { QUIRE_CHECK(pthread_sigmask(SIG_SETMASK, &before_, nullptr) == 0); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

struct Thread::State {
  std::thread thread;
};

Thread::Thread() noexcept = default;
Thread::Thread(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Thread::Thread(Thread&&) noexcept = default;

Thread& Thread::operator=(Thread&& other) noexcept {
  QUIRE_CHECK(!joinable());
  state_ = std::move(other.state_);
  return *this;
}

Thread::~Thread() {
  QUIRE_CHECK(!joinable());
}

Result<Thread> Thread::start(const char* name, std::function<void()> body) {
  QUIRE_CHECK(std::strlen(name) <= kNameMaxBytes);
  std::string own_name = name;
  auto state = std::make_unique<State>();
  const AllSignalsBlocked blocked;
  try {
    state->thread = std::thread([own_name, body = std::move(body)]() noexcept {
      pthread_setname_np(pthread_self(), own_name.c_str());
      body();
    });
  } catch (const std::system_error& error) {
    return Error(error.code(), "cannot start thread " + own_name);
  }
  return Thread(std::move(state));
}

bool Thread::joinable() const noexcept {
  return state_ != nullptr && state_->thread.joinable();
}

void Thread::join() {
  QUIRE_CHECK(joinable());
  state_->thread.join();
  state_.reset();
}

void yield_thread() noexcept {
  std::this_thread::yield();
}

}  // namespace quire::sync
