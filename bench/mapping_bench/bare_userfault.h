// BareUserfault: the least that answers faults by a thread of its own. A memfd that is in memory as a whole is
// mapped; the thread sleeps in read(2) of a userfaultfd and answers each fault by one call for its page. What a
// fault costs here no library that answers by a thread can go below, but by sleeping less: the rest is the machine's.
#ifndef QUIRE_BENCH_MAPPING_BENCH_BARE_USERFAULT_H_
#define QUIRE_BENCH_MAPPING_BENCH_BARE_USERFAULT_H_

#include <cstddef>
#include <thread>

namespace quire::bench {

class BareUserfault {
 public:
  // Throws NotMeasured where userfaultfd is refused or cannot do it.
  explicit BareUserfault(std::size_t bytes);
  BareUserfault(const BareUserfault&) = delete;
  BareUserfault& operator=(const BareUserfault&) = delete;
  ~BareUserfault();

  std::byte* data() const { return view_; }
  // The mapping shows nothing: each page's next access is a fault.
  void hide() const;
  // Shows these bytes, without a fault.
  void show(std::size_t at, std::size_t bytes) const;
  // The next store to each page, all of which are shown, is a fault.
  void protect() const;

 private:
  void answer() const noexcept;
  void close() noexcept;

  const std::size_t bytes_;
  int memory_ = -1;
  int fd_ = -1;
  int end_ = -1;  // eventfd: the thread ends
  std::byte* view_ = nullptr;
  std::jthread thread_;
};

}  // namespace quire::bench

#endif  // QUIRE_BENCH_MAPPING_BENCH_BARE_USERFAULT_H_
