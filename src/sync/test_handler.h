// What tests use for a thread that serves many who wait and waits itself for none of them: each is a Task,
// whose wake() puts it into the handler's queue and whose run() goes on with it.
//
// A Task that is woken although it is in the queue already fails the test; one that is woken although it waits
// for nothing must find that out itself. For one who is to be cancelled, by the thread that began, there is
// CountingWaker.
#ifndef QUIRE_SYNC_TEST_HANDLER_H_
#define QUIRE_SYNC_TEST_HANDLER_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <deque>

#include "sync/mutex.h"
#include "sync/parker.h"
#include "sync/test_threads.h"
#include "sync/thread.h"
#include "sync/waker.h"

namespace quire::sync {

class CountingWaker final : public Waker {
 public:
  void wake() noexcept override {
    ++wakes;
    woken_.unpark();
  }
  // Waits for the one wake() that is owed.
  void expect_woken() {
    woken_.park();
    EXPECT_EQ(wakes, 1);
  }

  int wakes = 0;

 private:
  Parker woken_;
};

class TestHandler {
 public:
  class Task : public Waker {
   public:
    explicit Task(TestHandler& handler) : handler_(handler) {}
    virtual ~Task() { EXPECT_FALSE(posted_); }
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    void wake() noexcept final { handler_.post(*this); }

   protected:
    // In the handler's thread. May destroy the task, if nothing wakes it any more.
    virtual void run() = 0;

   private:
    friend class TestHandler;

    TestHandler& handler_;
    bool posted_ = false;
  };

  TestHandler() : thread_(start_thread("handler", [this] { serve(); })) {}
  ~TestHandler() {
    {
      MutexLock lock(mutex_);
      over_ = true;
    }
    parker_.unpark();
    thread_.join();
    EXPECT_TRUE(posted_.empty());
  }
  TestHandler(const TestHandler&) = delete;
  TestHandler& operator=(const TestHandler&) = delete;

  void post(Task& task) noexcept {
    {
      MutexLock lock(mutex_);
      EXPECT_FALSE(task.posted_) << "woken twice";
      task.posted_ = true;
      posted_.push_back(&task);
    }
    parker_.unpark();
  }

 private:
  void serve() {
    for (;;) {
      Task* task = nullptr;
      {
        MutexLock lock(mutex_);
        if (!posted_.empty()) {
          task = posted_.front();
          posted_.pop_front();
          task->posted_ = false;
        } else if (over_) {
          return;
        }
      }
      if (task != nullptr) {
        task->run();
        yield_thread();
      } else {
        parker_.park();
      }
    }
  }

  Mutex mutex_;
  std::deque<Task*> posted_ GUARDED_BY(mutex_);
  bool over_ GUARDED_BY(mutex_) = false;
  Parker parker_;
  Thread thread_;
};

}  // namespace quire::sync

#endif  // QUIRE_SYNC_TEST_HANDLER_H_
