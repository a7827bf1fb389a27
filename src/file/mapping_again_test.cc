// Faults whose answer the kernel has asked again (EAGAIN of UFFDIO_CONTINUE with nothing done), as it does where it
// takes away, just then, the page table that the page is in (madvise(2) of 2 MiB and more, Linux 6.14). Here ioctl(2)
// plays it.
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include "file/test_mapping.h"
#include "map/test_faults.h"
#include "sync/atomic.h"

namespace {

// How many calls, in whatever thread, are to be made again.
quire::sync::Atomic<int> calls_again{0};

bool to_be_made_again() noexcept {
  int left = calls_again.load();
  while (left > 0) {
    if (calls_again.compare_exchange_weak(left, left - 1)) return true;
  }
  return false;
}

}  // namespace

extern "C" int ioctl(int fd, unsigned long request, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == UFFDIO_CONTINUE && to_be_made_again()) {
    static_cast<uffdio_continue*>(argument)->mapped = -EAGAIN;
    errno = EAGAIN;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_ioctl, fd, request, argument));
}

namespace quire::file {
namespace {

class MappingAgain : public MappedFile {};
INSTANTIATE_TEST_SUITE_P(Strategies, MappingAgain, kMappedAs, mapped_as_name);

// Fails, by a hang, if PageFault takes it for an answer: who made the access sleeps on.
TEST_P(MappingAgain, TheAccessIsAnswered) {
  for (int times = 1; times < 5; ++times) {
    for (const bool stores : {false, true}) {
      SCOPED_TRACE(times);
      ASSERT_TRUE(file_.write(filled(4 * kPage, 'i'), 0).ok());
      map(4);
      calls_again = times;
      if (stores) {
        EXPECT_EQ(map::store(at(1), 's'), map::value('s'));
      } else {
        EXPECT_EQ(map::load(at(1)), map::value('i'));
      }
      EXPECT_EQ(calls_again.load(), 0);
      calls_again = 0;
      map_.reset();
    }
  }
}

}  // namespace
}  // namespace quire::file
