#include "map/fault_thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "map/test_faults.h"
#include "map/view.h"
#include "sync/parker.h"
#include "sync/thread.h"

namespace quire::map {

// Lets the tests hold threads at a chosen place.
struct FaultThreadPeer {
  static bool stopping(const FaultThread& thread) { return thread.stopping_.load(); }
  static void enter_post(FaultThread& thread) { thread.posting_.fetch_add(1); }
  static void leave_post(FaultThread& thread) { thread.posting_.fetch_sub(1); }
};

namespace {

class Sink final : public FaultSink {
 public:
  explicit Sink(std::function<void(const Fault&)> answer) : answer_(std::move(answer)) {}
  void fault(const Fault& fault) noexcept override { answer_(fault); }

 private:
  std::function<void(const Fault&)> answer_;
};

class Task final : public Posted {
 public:
  explicit Task(std::function<void()> act) : act_(std::move(act)) {}
  void run() noexcept override { act_(); }

 private:
  std::function<void()> act_;
};

// Keeps the fault thread inside a posting until it is let go.
class Hold final : public Posted {
 public:
  void run() noexcept override {
    thread_ = ::gettid();
    held_.unpark();
    go_.park();
  }
  void wait_until_held() { held_.park(); }
  void let_go() { go_.unpark(); }
  pid_t thread() const { return thread_; }

 private:
  sync::Parker held_;
  sync::Parker go_;
  pid_t thread_ = 0;
};

class FaultThreadTest : public testing::Test {
 protected:
  static constexpr std::size_t kPages = 64;

  FaultThreadTest() {
    if (userfault_ == nullptr) return;
    view_ = std::move(View::map(*userfault_, memory_.fd(), 0, kPages, Access::kReadWrite).value());
  }
  void SetUp() override {
    if (userfault_refused()) GTEST_SKIP() << kUserfaultRefused;
    ASSERT_NE(userfault_, nullptr);
  }
  void start() { thread_ = std::move(FaultThread::start(*userfault_, sink_).value()); }
  std::byte* page(std::size_t index) const { return view_->memory().data() + index * kPage; }
  // Somebody waits for a fault that was not taken yet.
  void wait_until_pending() const {
    pollfd fd{.fd = userfault_->fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&fd, 1, 60'000), 1);
  }

  TestMemory memory_{kPages};
  std::unique_ptr<Userfault> userfault_ = userfault_refused() ? nullptr : open_userfault();
  std::unique_ptr<View> view_;
  // Puts what is missing there, as the page's number.
  Sink sink_{[this](const Fault& fault) {
    ++faults_;
    fault_thread_ = ::gettid();
    const std::size_t index = view_->page_of(fault.page).value();
    if (fault.kind == Fault::Kind::kMissing) memory_.put(index, static_cast<char>(index));
    EXPECT_TRUE(view_->resolve(index, 1, Grant::kLoadsAndStores).all());
  }};
  int faults_ = 0;  // of the fault thread, until it has stopped
  pid_t fault_thread_ = 0;
  std::unique_ptr<FaultThread> thread_;
};

TEST_F(FaultThreadTest, EachFaultIsHandedOverOnce) {
  start();
  std::vector<std::unique_ptr<Accessor>> accessors;
  for (std::size_t index = 0; index < kPages; ++index) {
    accessors.push_back(Accessor::loads(page(index)));
  }
  for (std::size_t index = 0; index < kPages; ++index) {
    EXPECT_EQ(accessors[index]->outcome(), value(static_cast<int>(index)));
  }
  thread_->stop();
  EXPECT_EQ(faults_, static_cast<int>(kPages));
  EXPECT_NE(fault_thread_, ::gettid());
}

TEST_F(FaultThreadTest, ItIsNamedAndTakesNoSignals) {
  start();
  std::string name(16, '\0');
  sigset_t blocked;
  sync::Parker done;
  Task look([&] {
    ::pthread_getname_np(::pthread_self(), name.data(), name.size());
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    done.unpark();
  });
  thread_->post(look);
  done.park();
  EXPECT_STREQ(name.c_str(), "quire-fault");
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGALRM}) {
    EXPECT_EQ(sigismember(&blocked, signal), 1) << signal;
  }
}

TEST_F(FaultThreadTest, PostingsRunInOrderOnTheThreadAndWakeNobodyAwake) {
  start();
  Hold hold;
  thread_->post(hold);
  hold.wait_until_held();
  const std::size_t before = thread_->rings();
  std::vector<int> ran;
  std::vector<std::unique_ptr<Task>> tasks;
  sync::Parker done;
  for (int i = 0; i < 10; ++i) {
    tasks.push_back(std::make_unique<Task>([&, i] {
      EXPECT_EQ(::gettid(), hold.thread());
      ran.push_back(i);
      if (i == 9) done.unpark();
    }));
  }
  for (const auto& task : tasks) thread_->post(*task);
  hold.let_go();
  done.park();
  EXPECT_EQ(ran, (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(thread_->rings(), before);
}

TEST_F(FaultThreadTest, APostingMayEndItself) {
  start();
  class Last final : public Posted {
   public:
    explicit Last(sync::Parker& done) : done_(done) {}
    void run() noexcept override {
      sync::Parker& done = done_;
      delete this;
      done.unpark();
    }

   private:
    sync::Parker& done_;
  };
  sync::Parker done;
  thread_->post(*new Last(done));
  done.park();
}

TEST_F(FaultThreadTest, APostingMayPostItselfAgain) {
  start();
  int runs = 0;
  sync::Parker done;
  Task* self = nullptr;
  Task task([&] {
    if (++runs < 1000) {
      thread_->post(*self);
    } else {
      done.unpark();
    }
  });
  self = &task;
  thread_->post(task);
  done.park();
  EXPECT_EQ(runs, 1000);
}

TEST_F(FaultThreadTest, PostingsFromManyThreadsAllRun) {
  start();
  constexpr std::size_t kThreads = 4;
  constexpr int kEach = 1000;
  std::array<int, kThreads> runs{};
  std::array<sync::Thread, kThreads> posters;
  for (std::size_t i = 0; i < kThreads; ++i) {
    posters[i] = sync::start_thread("poster", [&, i] {
      for (int n = 0; n < kEach; ++n) {
        sync::Parker done;
        Task task([&] {
          ++runs[i];
          done.unpark();
        });
        thread_->post(task);
        done.park();
      }
    });
  }
  for (sync::Thread& poster : posters) poster.join();
  thread_->stop();
  for (const int count : runs) EXPECT_EQ(count, kEach);
}

TEST_F(FaultThreadTest, AStreamOfPostingsKeepsNoFaultWaiting) {
  start();
  bool answered = false;
  Task* self = nullptr;
  // Posts itself until the fault was answered.
  sync::Parker running;
  sync::Parker done;
  Task forever([&] {
    running.unpark();
    answered = faults_ != 0;
    if (answered) {
      done.unpark();
    } else {
      thread_->post(*self);
    }
  });
  self = &forever;
  thread_->post(forever);
  running.park();
  EXPECT_EQ(load(page(5)), value(5));
  done.park();
  EXPECT_TRUE(answered);
}

TEST_F(FaultThreadTest, StopFinishesWhatIsThere) {
  start();
  Hold hold;
  thread_->post(hold);
  hold.wait_until_held();
  const auto accessor = Accessor::loads(page(7));
  wait_until_pending();
  int runs = 0;
  // The second is posted by the first, after stop() was called.
  Task second([&] { ++runs; });
  Task first([&] {
    EXPECT_TRUE(FaultThreadPeer::stopping(*thread_));
    ++runs;
    thread_->post(second);
  });
  thread_->post(first);
  sync::Thread stopper = sync::start_thread("stopper", [&] { thread_->stop(); });
  while (!FaultThreadPeer::stopping(*thread_)) sync::yield_thread();
  hold.let_go();
  stopper.join();
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(faults_, 1);
  EXPECT_EQ(accessor->outcome(), value(7));
}

// The order in which all of it ends.
TEST_F(FaultThreadTest, NobodyIsLeftWaiting) {
  Sink nobody([](const Fault&) {});
  thread_ = std::move(FaultThread::start(*userfault_, nobody).value());
  const auto taken = Accessor::loads(page(0));
  // It was taken when a posting runs that was posted after it was pending.
  Hold hold;
  thread_->post(hold);
  hold.wait_until_held();
  const auto untaken = Accessor::stores(page(1), 1);
  wait_until_pending();
  view_.reset();
  EXPECT_EQ(taken->outcome(), kSegv);
  EXPECT_EQ(untaken->outcome(), kSegv);
  hold.let_go();
  thread_->stop();
  thread_->stop();  // once more is nothing
  thread_.reset();
  userfault_.reset();
}

// Who posts last may still be about to ring when what it posted has run.
TEST_F(FaultThreadTest, StopWaitsForWhoPosts) {
  start();
  Hold hold;
  thread_->post(hold);
  hold.wait_until_held();
  FaultThreadPeer::enter_post(*thread_);
  sync::Atomic<bool> stopped{false};
  sync::Thread stopper = sync::start_thread("stopper", [&] {
    thread_->stop();
    stopped = true;
  });
  hold.let_go();
  const std::string task = "/proc/self/task/" + std::to_string(hold.thread());
  while (::access(task.c_str(), F_OK) == 0) sync::yield_thread();
  for (int i = 0; i < 1000; ++i) {
    sync::yield_thread();
    ASSERT_FALSE(stopped.load());
  }
  FaultThreadPeer::leave_post(*thread_);
  stopper.join();
}

}  // namespace
}  // namespace quire::map
