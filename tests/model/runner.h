// Runner: does one operation after the other on the engine and on the model, and compares: result, error,
// bytes, size, stamps. Where a failure of the store or a caller who leaves makes the outcome one of
// several, it is the operation's result that says which; and which results there may be, the store's
// script says, which knows what it did to whom.
//
// Throws Mismatch at the first difference.
//
// Thread-safety: none, but progress() from any thread.
#ifndef QUIRE_TESTS_MODEL_RUNNER_H_
#define QUIRE_TESTS_MODEL_RUNNER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "model/meanwhile.h"
#include "model/operation.h"
#include "model/world.h"

namespace quire::model {

class Runner {
 public:
  Runner(Locking locking, std::uint64_t seed, bool trace);

  void run_one();
  // Everything is compared once more.
  void finish();
  // Operations so far.
  std::uint64_t progress() const { return done_.load(); }
  // The last operations with their results, oldest first, and the library's last messages.
  std::string history() const;

 private:
  using Bytes = std::vector<std::byte>;

  void perform(const Operation& operation);
  // Perhaps a load or a store is made in the middle of the operation; and what came of it.
  void begin_meanwhile(const Operation& operation, std::uint64_t number);
  void end_meanwhile();
  // One that is on no store yet, as far as is known, and that a program has mapped; any of them.
  std::optional<std::uint64_t> mapped_dirty_page(unsigned file, std::uint64_t pattern);
  // An access to the page, when the operation asks the store for `at`.
  void plan_meanwhile(unsigned file, std::uint64_t page, StoreOp at, std::uint64_t pattern);
  // A store was made in the middle of what is being looked at.
  bool stored_meanwhile() const;
  // As World::check_stored(), but for what was stored in the middle.
  void check_synced(unsigned file, std::uint64_t first, std::uint64_t last, bool size_too);
  void read(const Operation& operation);
  void write(const Operation& operation);
  void append(const Operation& operation);
  // What direct IO is refused for (EINVAL): `offset`, or a buffer's length or place.
  template <class Byte>
  bool misaligned(const Operation& operation, std::uint64_t offset,
                  std::span<const std::span<Byte>> buffers) const;
  // An error that a read or write past the cache may give.
  bool may_fail_directly(const Operation& operation, std::error_code error);
  // A direct write of `data` failed, was left, or came back short: how many bytes of it are there when all of
  // it has ended, from the first on.
  std::size_t arrived(const Operation& operation, std::uint64_t offset,
                      std::span<const std::byte> data);
  // A direct write has ended: its bytes are on the store, and its pages in no cache.
  void passed_by(const Operation& operation, std::uint64_t offset, std::size_t bytes);
  void truncate(const Operation& operation);
  void allocate(const Operation& operation);
  void cut(const Operation& operation);
  // A punch or zero failed or was left: reads which of its pages are zero.
  void see_cleared(const Operation& operation);
  void sync(const Operation& operation);
  void advise(const Operation& operation);
  void invalidate(const Operation& operation);
  void write_and_invalidate(const Operation& operation);
  void stat(const Operation& operation);
  void set_times(const Operation& operation);
  void reopen(const Operation& operation);
  void open(const Operation& operation);
  void close(const Operation& operation);
  void map(const Operation& operation);
  void unmap(const Operation& operation);
  void protect(const Operation& operation);
  void load(const Operation& operation);
  void store(const Operation& operation);
  // An access to the page raised SIGBUS: it may have.
  void may_raise(const Operation& operation, std::uint64_t page);
  // What failed goes through again, before long.
  void retry(const Operation& operation, std::size_t offset);
  // An access to one page; `from` the pattern's bytes if it stores.
  bool load_part(const Operation& operation, std::size_t offset, std::size_t bytes);
  bool store_part(const Operation& operation, std::size_t offset, std::span<const std::byte> from);
  // The page is dirty, or was before: its file's stamps are newer, or as they were.
  void note_stored(const TestedMapping& mapping, std::uint64_t page, bool for_certain);
  // EINVAL is due, and came.
  bool out_of_range(const Operation& operation, std::error_code error);
  void map_sync(const Operation& operation);
  void map_advise(const Operation& operation);
  void populate(const Operation& operation);
  void read_into(const Operation& operation);
  void write_from(const Operation& operation);
  void cache_sync();
  void lose(const Operation& operation);
  void cure(const Operation& operation);
  void verify();

  CallOptions call_options(const Operation& operation);
  Result<std::size_t> submit(File& file, const Op& op, const CallOptions& call);
  // Notes what was returned, and ends what the store's script does.
  void ended(std::error_code error, std::uint64_t value = 0);
  // The caller asked to leave, and did.
  bool left(const Operation& operation, std::error_code error) const;
  // An error that writing back or syncing `file` may give now.
  bool may_fail_to_sync(unsigned file, std::error_code error);
  // Syncs that failed in this operation, whatever it was.
  void note_failed_syncs();
  void note_syncs();
  void note_dropped(TestedFile& file);
  void note_change(TestedFile& file);
  void check_stamps(TestedFile& file, const FileStat& now, bool watched);
  void expect(bool right, std::string_view what) const;
  TestedHandle& handle(const Operation& op) { return world_.handle(op.handle); }
  TestedMapping& mapping(const Operation& op) { return world_.mapping(op.mapping); }
  TestedFile& mapped_file(const Operation& op) { return world_.file(mapping(op).number); }
  TestedFile& file(const Operation& op) { return world_.file(handle(op).number); }
  ModelFile& model(const Operation& op) { return file(op).model; }

  const std::uint64_t seed_;
  const bool trace_;
  World world_;
  std::atomic<std::uint64_t> done_{0};
  TimeSpec began_;  // the operation, by the clock of stamps
  std::stop_source stopped_;
  struct Past {
    std::uint64_t number;
    Operation operation;
    std::string result;
  };
  std::deque<Past> past_;
  std::optional<Meanwhile> meanwhile_;
};

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_RUNNER_H_
