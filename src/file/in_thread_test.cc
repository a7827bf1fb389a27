// Mappings with MapOptions::in_thread: what the library's handler of SIGBUS does with what is its own, and with what is
// not. What a mapping is, whoever answers, is in mapping_test.cc. Where the handlers of the process matter, in a
// process of its own. Each test names the change to the code that makes it fail.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "file/test_cache.h"
#include "file/test_cuts.h"
#include "file/test_mapping.h"
#include "map/test_faults.h"
#include "quire/mapping.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::file {
namespace {

using testing::ExitedWithCode;
using testing::KilledBySignal;

constexpr std::size_t kInThreadPages = 40;

// By the handler that the process has: the library's, or where a test of another file was here before the one of
// map::access(), which asks the library.
char bare_load(const std::byte* at) {
  return static_cast<char>(*static_cast<const volatile std::byte*>(at));
}
void bare_store(std::byte* at, char what) {
  *static_cast<volatile std::byte*>(at) = static_cast<std::byte>(what);
}

void lets_bus_through() {
  sigset_t bus;
  sigemptyset(&bus);
  sigaddset(&bus, SIGBUS);
  ::pthread_sigmask(SIG_UNBLOCK, &bus, nullptr);
}

struct sigaction installed() {
  struct sigaction now = {};
  ::sigaction(SIGBUS, nullptr, &now);
  return now;
}

void install(void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = flags | SA_SIGINFO;
  sigaddset(&action.sa_mask, SIGUSR1);
  ::sigaction(SIGBUS, &action, nullptr);
}
void install_default(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  ::sigaction(SIGBUS, &action, nullptr);
}

// What the program's own handler was called with, before it left by longjmp.
struct Called {
  int times = 0;
  int code = 0;
  const void* address = nullptr;
  bool usr1_blocked = false;
  bool usr2_blocked = false;
  bool bus_blocked = false;
};
Called called;
sigjmp_buf after_call;

void programs_handler(int, siginfo_t* info, void*) {
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  called = {called.times + 1,
            info->si_code,
            info->si_addr,
            sigismember(&mask, SIGUSR1) == 1,
            sigismember(&mask, SIGUSR2) == 1,
            sigismember(&mask, SIGBUS) == 1};
  siglongjmp(after_call, 1);
}
// The program's handler was called for that.
template <class Act>
bool calls_handler(Act&& act) {
  const int before = called.times;
  if (sigsetjmp(after_call, 1) == 0) {
    act();
    return false;
  }
  return called.times == before + 1;
}

// A failure of what a process of its own finds.
void need(bool is_so, const char* what) {
  if (is_so) return;
  static_cast<void>(::write(STDERR_FILENO, what, std::strlen(what)));
  ::_exit(1);
}

// A file of pages of 'i', none of them cached.
class InThread : public MappedFile {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    MappedFile::SetUp();
    if (IsSkipped()) return;
    make_uncached(filled(kInThreadPages * kPage, 'i'));
  }
  void read_in() {
    std::vector<std::byte> bytes(kInThreadPages * kPage);
    ASSERT_EQ(file_.read(bytes, 0).value(), bytes.size());
  }
};

INSTANTIATE_TEST_SUITE_P(Strategies, InThread,
                         testing::Values(MappedAs{Locking::kRange, true},
                                         MappedAs{Locking::kInode, true}),
                         mapped_as_name);

// Loads of what is cached and what is not, first stores to pages in sight and out of it. Fails if answer_sigbus() does
// not keep errno, or the accesses are not answered.
TEST_P(InThread, ErrnoIsKept) {
  map(kInThreadPages);
  errno = 77;
  EXPECT_EQ(bare_load(at(20)), 'i');
  EXPECT_EQ(errno, 77);
  read_in();
  ASSERT_TRUE(map_->populate(4 * kPage, kPage, MapAccess::kRead).ok());
  errno = 77;
  EXPECT_EQ(bare_load(at(7)), 'i')
      << "a call of the kernel fails: what leads up to the page is in sight";
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(bare_load(at(2)), 'i');
  EXPECT_EQ(bare_load(at(3)), 'i');
  bare_store(at(2), 'x');
  bare_store(at(35), 'y');
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(bare_load(at(2)), 'x');
  ASSERT_TRUE(map_->sync().ok());
  bare_store(at(2), 'z');
  ASSERT_TRUE(map_->sync().ok());
  EXPECT_EQ(static_cast<char>(store_->contents("f")[2 * kPage]), 'z');
  EXPECT_EQ(static_cast<char>(store_->contents("f")[35 * kPage]), 'y');
}

// While the service's thread is busy for another. Fails, by a hang, if a load of what is cached or a store to it needs
// it; if they take more calls of the kernel than one for each block of loads, and one for each store.
TEST_P(InThread, WhatIsCachedNeedsNobody) {
  if (GetParam() == Locking::kInode) return;  // an operation, which may have to wait
  map(kInThreadPages);
  ASSERT_TRUE(map_->populate(0, 32 * kPage, MapAccess::kRead).ok());
  map_.reset();
  ASSERT_TRUE(file_.invalidate(32 * kPage, 0).ok());
  ASSERT_EQ(cache_->stats().dirty_pages, 0u) << "the first dirty page is no other matter";
  map(kInThreadPages);
  sync::Atomic<bool> is_busy{false};
  sync::Atomic<bool> go{false};
  store_->set_hook([&](const StoreRequest& request) {
    if (request.op != StoreOp::kRead) return StoreVerdict{};
    is_busy = true;
    until([&] { return go.load(); });
    return StoreVerdict{};
  });
  sync::Thread other = start_thread("other", [&] {
    lets_bus_through();
    EXPECT_EQ(bare_load(at(35)), 'i');
  });
  until([&] { return is_busy.load(); });
  map::Userfault& userfault = service()->userfault();
  const auto counted = [&] {
    std::array<std::uint64_t, map::kCalls> calls{};
    for (std::size_t call = 0; call < calls.size(); ++call) {
      calls[call] = userfault.calls(static_cast<map::Call>(call));
    }
    return calls;
  };
  auto expected = counted();
  expected[static_cast<std::size_t>(map::Call::kResolve)] += 2;
  expected[static_cast<std::size_t>(map::Call::kUnprotect)] += 16;
  for (std::size_t page = 0; page < 16; ++page) EXPECT_EQ(bare_load(at(page)), 'i');
  bare_store(at(17), 'o');
  // In no order that would let several through at once.
  for (std::size_t page = 16; page-- > 0;) bare_store(at(page, 8), 's');
  EXPECT_EQ(counted(), expected);
  EXPECT_EQ(cache_->stats().dirty_pages, 17u);
  go = true;
  other.join();
}

// What cannot be had, what is beyond the end, what is of others: all go to the handler from before, as the kernel would
// call it. Fails if pass_on() lets one of them out, or sets another mask; if an error is not noted, that of an access
// beyond the end among them.
TEST_P(InThread, AHandlerFromBeforeGetsTheRest) {
  const auto process = [&] {
    install(programs_handler, 0);
    map(kInThreadPages + 8);
    store_->set_hook([](const StoreRequest& request) {
      const bool bad = request.op == StoreOp::kRead && request.offset <= 17 * kPage &&
                       request.offset + request.length > 17 * kPage;
      return bad ? failing(std::errc::io_error) : StoreVerdict{};
    });
    need(bare_load(at(3)) == 'i' && called.times == 0, "a page that can be had");
    need(calls_handler([&] { bare_load(at(17, 5)); }), "a page that cannot");
    need(called.address == at(17, 5) && called.code == BUS_ADRERR, "the same siginfo");
    need(called.usr1_blocked && called.bus_blocked && !called.usr2_blocked, "the mask");
    need(map_->last_error() == std::errc::io_error, "EIO");
    need(calls_handler([&] { bare_store(at(17), 'x'); }), "a store to it");
    store_->set_hook({});
    need(bare_load(at(17)) == 'i' && called.times == 2, "asked again at once");
    need(calls_handler([&] { bare_load(at(kInThreadPages)); }), "beyond the end");
    need(calls_handler([&] { bare_store(at(kInThreadPages + 7), 'x'); }), "a store there");
    need(map_->last_error() == std::errc::bad_address, "EFAULT");
    const int nothing = ::memfd_create("nothing", MFD_CLOEXEC);
    void* const foreign = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, nothing, 0);
    need(calls_handler([&] { bare_load(static_cast<std::byte*>(foreign)); }), "no mapping of ours");
    need(calls_handler([] { ::raise(SIGBUS); }) && called.code == SI_TKILL, "sent");
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    need(sigismember(&mask, SIGUSR1) == 0, "the mask from before");
    need(bare_load(at(30)) == 'i', "as before");
    ::_exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), "");
}

// Fails if a handler that is to be called once is called twice, or none ends in a loop.
TEST_P(InThread, AHandlerThatIsCalledOnce) {
  const auto process = [&] {
    install(programs_handler, static_cast<int>(SA_RESETHAND));
    map(kInThreadPages + 1);
    need(calls_handler([&] { bare_load(at(kInThreadPages)); }), "the first");
    static_cast<void>(calls_handler([&] { bare_load(at(kInThreadPages)); }));
  };
  EXPECT_EXIT(process(), KilledBySignal(SIGBUS), "");
}

// Without a handler from before. Fails, by a loop, if act_by_default() leaves the library's handler in place.
TEST_P(InThread, TheDefaultActionKills) {
  const auto with = [&](void (*before)(int)) {
    install_default(before);
    map(kInThreadPages + 1);
    need(bare_load(at(0)) == 'i', "what can be had");
  };
  EXPECT_EXIT((with(SIG_DFL), bare_load(at(kInThreadPages))), KilledBySignal(SIGBUS), "");
  EXPECT_EXIT((with(SIG_DFL), ::raise(SIGBUS)), KilledBySignal(SIGBUS), "");
  EXPECT_EXIT((with(SIG_IGN), bare_load(at(kInThreadPages))), KilledBySignal(SIGBUS), "");
  EXPECT_EXIT((with(SIG_IGN), ::raise(SIGBUS), ::_exit(bare_load(at(30)) == 'i' ? 0 : 1)),
              ExitedWithCode(0), "");
}

// Fails if unmapping takes away what other threads and other handlers may still call.
TEST_P(InThread, TheHandlerStays) {
  const auto process = [&] {
    map(kInThreadPages);
    const struct sigaction first = installed();
    need((first.sa_flags & SA_ONSTACK) != 0, "on the alternate stack");
    map_.reset();
    need(installed().sa_sigaction == first.sa_sigaction, "without a mapping");
    map(kInThreadPages);
    need(installed().sa_sigaction == first.sa_sigaction, "with the next one");
    need(bare_load(at(1)) == 'i', "as before");
    ::_exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), "");
}

// The kernel asks nobody and raises no signal for its own accesses. Fails if File's calls do not bring the pages in.
TEST_P(InThread, SystemCallsFailAndFilesDoNot) {
  map(kInThreadPages);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  EXPECT_EQ(::write(pipe[1], at(1), 10), -1);
  EXPECT_EQ(errno, EFAULT);
  ASSERT_TRUE(map_->populate(kPage, kPage, MapAccess::kRead).ok());
  EXPECT_EQ(::write(pipe[1], at(1), 10), 10);
  EXPECT_EQ(::read(pipe[0], at(1), 10), -1) << "clean, and to be stored into";
  EXPECT_EQ(errno, EFAULT);
  ::close(pipe[0]);
  ::close(pipe[1]);
  ASSERT_EQ(file_.write(filled(kPage, 'w'), 0).value(), kPage);
  EXPECT_EQ(file_.read({at(5), 2 * kPage}, 0).value(), 2 * kPage);
  EXPECT_EQ(bare_load(at(5)), 'w');
  EXPECT_EQ(bare_load(at(6)), 'i');
  EXPECT_EQ(file_.write({at(5), kPage}, 20 * kPage).value(), kPage);
  EXPECT_EQ(bare_load(at(20)), 'w');
}

// Threads that have all signals blocked copy to a mapping whose pages are taken away all the time. Fails, by the death
// of the process, without LetsSignalsThrough.
TEST_P(InThread, TheLibrarysThreadsCopyToIt) {
  map(kInThreadPages);
  File source = cache_->open("source", kRw).value();
  const auto data = filled(kInThreadPages * kPage, 's');
  ASSERT_EQ(source.write(data, 0).value(), data.size());
  sync::Atomic<bool> ended{false};
  sync::Atomic<int> taken_away{0};
  sync::Thread taker = start_thread("taker", [&] {
    while (!ended) {
      static_cast<void>(file_.write_and_invalidate(0, 0));
      taken_away.fetch_add(1);
    }
  });
  // start_thread() blocks all signals, as for the library's own.
  sync::Thread reader = start_thread("reader", [&] {
    for (int i = 0; i < 40; ++i) EXPECT_EQ(source.read(map_->bytes(), 0).value(), data.size());
  });
  reader.join();
  sync::Atomic<int> done{0};
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(source
                    .submit(ReadOp{map_->bytes(), 0},
                            [&](Result<std::size_t> got) {
                              EXPECT_EQ(got.value(), data.size());
                              done.fetch_add(1);
                            })
                    .ok());
    until([&] { return done.load() == i + 1; });
  }
  ended = true;
  taker.join();
  EXPECT_GT(taken_away.load(), 0);
  EXPECT_EQ(bare_load(at(39)), 's');
}

// Two threads at one page that is being read. Fails if one of them is not woken, or gets a signal.
TEST_P(InThread, TwoThreadsAtOnePage) {
  map(kInThreadPages);
  store_->set_hook(when(StoreOp::kRead, held()));
  std::array<char, 3> got{};
  std::vector<sync::Thread> threads;
  for (std::size_t i = 0; i < got.size(); ++i) {
    threads.push_back(start_thread("loads", [&, i] {
      lets_bus_through();
      got[i] = bare_load(at(9, i));
    }));
  }
  until([&] { return service()->under_way() == 3 && store_->held() == 1; });
  store_->set_hook({});
  store_->release_held();
  for (sync::Thread& thread : threads) thread.join();
  EXPECT_EQ(got, (std::array<char, 3>{'i', 'i', 'i'}));
}

// Without space. Fails if let_store_at_once() does not look whether there is some: the sync fails then, and not the
// store.
TEST_P(InThread, AStoreThatHasToWaitIsAsked) {
  const auto process = [&] {
    make({.capacity_bytes = 4 * kPage, .reserves_space = true});
    need(file_.truncate(8 * kPage).ok(), "a file of 8 pages");
    install(programs_handler, 0);
    map(8);
    for (std::size_t page = 0; page < 8; ++page) need(bare_load(at(page)) == 0, "zeros");
    for (std::size_t page = 0; page < 4; ++page) bare_store(at(page), 'a');
    need(calls_handler([&] { bare_store(at(6), 'x'); }), "no space");
    need(map_->last_error() == std::errc::no_space_on_device, "ENOSPC");
    need(bare_load(at(6)) == 0, "as before");
    need(file_.sync().ok() && cache_->stats().writeback_errors == 0, "the rest has space");
    ::_exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), "");
}

// Fails if a page that another thread has shown meanwhile is taken for one that cannot be.
TEST_P(InThread, ThreadsThatMeet) {
  read_in();
  for (int round = 0; round < 50; ++round) {
    map_.reset();
    map(kInThreadPages);
    sync::Atomic<int> ready{0};
    const auto accesses = [&](std::size_t in_page) {
      lets_bus_through();
      ready.fetch_add(1);
      until([&] { return ready.load() == 2; });
      for (std::size_t page = 0; page < kInThreadPages; ++page) {
        ASSERT_EQ(bare_load(at(page)), 'i');
        bare_store(at(page, in_page), 'x');
      }
    };
    sync::Thread one = start_thread("one", [&] { accesses(8); });
    sync::Thread two = start_thread("two", [&] { accesses(16); });
    one.join();
    two.join();
  }
}

sync::Atomic<bool> released{false};
sync::Atomic<int> handled{0};
sync::Atomic<bool> handled_after_release{false};

bool usr1_is_blocked(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("SigBlk:", 0) != 0) continue;
    return (std::strtoull(line.c_str() + 7, nullptr, 16) >> (SIGUSR1 - 1) & 1) != 0;
  }
  return false;
}

// A signal for a thread whose access waits: it comes when that has been answered. Fails if the library's handler blocks
// nothing: a program's handler then runs inside it, and may leave it by longjmp.
TEST_P(InThread, SignalsWaitWithTheAccess) {
  const auto process = [&] {
    map(kInThreadPages);
    struct sigaction action = {};
    action.sa_handler = [](int) {
      handled_after_release = released.load();
      handled.fetch_add(1);
    };
    ::sigaction(SIGUSR1, &action, nullptr);
    store_->set_hook(when(StoreOp::kRead, held()));
    sync::Atomic<pid_t> id{0};
    sync::Thread thread = start_thread("loads", [&] {
      sigset_t none;
      sigemptyset(&none);
      ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
      id = ::gettid();
      need(bare_load(at(9)) == 'i', "the load");
    });
    until([&] { return store_->held() == 1; });
    ::tgkill(::getpid(), id.load(), SIGUSR1);
    need(usr1_is_blocked(id.load()), "blocked in the handler");
    released = true;
    store_->set_hook({});
    store_->release_held();
    thread.join();
    need(handled.load() == 1, "once");
    need(handled_after_release.load(), "after the access");
    ::_exit(0);
  };
  EXPECT_EXIT(process(), ExitedWithCode(0), "");
}

// Fails, by a hang, if a marker that an access in its own thread comes to is lost: what follows is then read when an
// access needs it.
TEST_P(InThread, LoadsInOrderReadAhead) {
  constexpr std::size_t kMany = 600;
  make({});
  store_->poke("f", filled(kMany * kPage, 'i'));
  file_ = cache_->open("f", kRw).value();
  map(kMany);
  sync::Atomic<std::uint64_t> read_to{0};  // a page
  store_->set_hook([&](const StoreRequest& request) {
    if (request.op != StoreOp::kRead) return StoreVerdict{};
    const std::uint64_t end = (request.offset + request.length) / kPage;
    std::uint64_t before = read_to.load();
    while (before < end && !read_to.compare_exchange_weak(before, end)) {
    }
    return StoreVerdict{};
  });
  for (std::size_t page = 0; page < kMany; ++page) {
    // Later than the first windows nobody comes to a page that nobody has asked for.
    if (page >= 128) until([&] { return read_to.load() > page; });
    EXPECT_EQ(bare_load(at(page)), 'i');
  }
}

}  // namespace
}  // namespace quire::file
