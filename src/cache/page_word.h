// The page word: eight bytes that are the whole state of one page of one file in the cache. It
// lives in a leaf of the file's page tree; zero means that the page is absent. All of the engine
// that touches pages does so through the functions here; nothing else changes a word.
//
//   bits  0..2   state                          bit  3      writing: one thread stores into the page
//   bit   4      sealed: being dropped          bit  5      waiters: somebody parks on this page
//   bit   6      marker: reading it starts      bit  7      stored: the bytes were stored here
//                the next readahead             bits 8..23  counted pins
//   bit  24      in file: the bytes are in the  bit  25     watched: programs may store into the
//                file's memory (file_memory.h)              page, and nobody hears of it
//   bit  26      quiet: dirty for no other      bits 32..63 frame number
//                reason than being watched
//
//               begin_fill            end_fill
//      absent ---------------> filling --------> clean <----------------------+
//        ^ ^      fail_fill     |  |               |                          |
//        | +--------------------+  | end_fill_     | end_write                | end_writeback(ok)
//        |                         |   dirty       v    begin_writeback       |
//        |                         +-----------> dirty ----------------> writeback
//        |                                        ^ ^   end_writeback(failed) | |
//        |  drop (clean or dirty, sealed)         | +-------------------------+ | end_write
//        +----------------------------------------+                             v
//                                                 +------------------------ rewritten
//                                                    end_writeback(either)
//
// What a state guarantees:
//   absent     No frame. Only who is in an Add of the file's lock may leave this state.
//   filling    The frame belongs to one thread or one store request. Nobody else reads or writes
//              it. Ends only in clean, dirty or absent.
//   clean      The frame's bytes are the store's.
//   dirty      The frame's bytes are newer than the store's; the page is on its file's dirty list.
//   writeback  As dirty, and one request to the store carries a snapshot of the bytes. Not on the
//              list.
//   rewritten  As writeback, and the bytes have changed since the snapshot, or may have: it is watched.
//              On the dirty list.
//
// Watched pages. A view through which stores are not heard of (views.h) shows no page but a watched one, and each
// of these counts as dirty from before it is in sight until it is out of sight again. So all that must know of
// dirty pages knows of them. Who writes one back asks the views whether it was stored into since they were last asked:
//   - a page that is not quiet is written whatever they say, and so is a quiet one that was stored into;
//   - while it stays in sight (keep_watching) it is rewritten from then on: whatever is stored after the question is
//     for the next to ask. So a sync that finds it under writeback asks again.
//
// Transitions, and the function that makes each:
//   absent -> filling             begin_fill       under an Add (cache_lock.h)
//   filling -> clean (+ pins)     end_fill         the filler
//   filling -> dirty              end_fill_dirty   the filler, who wrote every byte of the page
//   filling -> absent             fail_fill        the filler
//   + writing (up to date)        begin_write      then wait for pins and hazards to leave
//   clean -> dirty                end_write        the holder of `writing`, which it clears;
//   writeback -> rewritten                         dirty and rewritten stay what they are
//   - writing                     cancel_write     the holder, who changed nothing
//   dirty -> writeback            begin_writeback  not while writing or sealed
//   writeback -> clean            end_writeback    the request succeeded
//   writeback -> dirty            end_writeback    it failed
//   rewritten -> dirty            end_writeback    either way
//   + sealed (clean, dirty)       begin_seal       then wait for pins and hazards to leave
//   + sealed (clean, unused)      begin_evict      for an instant, by eviction
//   - sealed                      unseal           the sealer
//   dirty -> clean (sealed)        end_sealed_write the sealer, whose request to the store succeeded
//   clean, dirty -> absent        drop             the sealer
//   + sealed (clean, dirty, unused) begin_move      for an instant, by who moves the page into its frame, or out
//   + watched (+ quiet, if clean)  begin_watch      the holder of `writing`: a view that watches is about to show it
//   clean -> dirty, as end_write   end_watch        the same, which clears `writing`
//   writeback -> rewritten, quiet  keep_watching    the flush, which holds a pin: views were asked, and go on
//   - watched, - quiet             stop_watching    the flush, which holds a pin, the sealer, or the holder of
//                                                   `writing`: the page is out of their sight
//   - quiet                        note_stored      who unmaps a view
//   + in file                      move_to_file     the sealer, or the holder of `writing`, who has copied the bytes
//   - in file                      move_to_frame    the same
//   +- 1 pin                      try_pin, unpin
//
// Invariants:
//  1. A page that is sealed or being written takes no new pin; whoever wants one waits for the
//     page. So a writer is preferred to readers that come after it.
//  2. The engine changes bytes only in `filling`, or under `writing` when no pin and no hazard slot is left: a read of
//     one page is untorn, unless a view lets programs store into it (views.h). Those change them when they like.
//  3. The frame number changes only between absent and filling; so does `in file`, but that a page that is sealed or
//     being written may go over to the file's memory, and back.
//  4. `sealed` and `writing` exclude each other, and sealed pages are clean or dirty: a sealer
//     waits for filling and writeback to end before it seals.
//  5. Whoever clears `waiters` wakes the waiters (PageWaitLot).
//  6. `stored` is set by end_write and end_fill_dirty and stays until the page is dropped: the frame
//     has been the page's since the last store into it, so that its bytes are what was stored, whatever
//     has become of them at the store since. Of a watched page who asks the views sets it, if they say so.
//  7. A watched page is dirty, under writeback or rewritten, or `writing` for who is about to make it so. A
//     quiet page is watched, and every store into it that no view will tell of is at the store, or in the request of
//     its writeback.
#ifndef QUIRE_CACHE_PAGE_WORD_H_
#define QUIRE_CACHE_PAGE_WORD_H_

#include <cstdint>

#include "fault/planted.h"
#include "sync/atomic.h"
#include "sync/check.h"

namespace quire::cache {

using FrameNumber = std::uint32_t;

enum class PageState : std::uint8_t {
  kAbsent = 0,
  kFilling = 1,
  kClean = 2,
  kDirty = 3,
  kWriteback = 4,
  kRewritten = 5,
};

// A page word's value, taken apart.
struct PageValue {
  static constexpr std::uint64_t kStateMask = 7;
  static constexpr std::uint64_t kWriting = 1u << 3;
  static constexpr std::uint64_t kSealed = 1u << 4;
  static constexpr std::uint64_t kWaiters = 1u << 5;
  static constexpr std::uint64_t kMarker = 1u << 6;
  static constexpr std::uint64_t kStored = 1u << 7;
  static constexpr unsigned kPinShift = 8;
  static constexpr std::uint64_t kOnePin = 1u << kPinShift;
  static constexpr std::uint64_t kPinMask = std::uint64_t{0xffff} << kPinShift;
  static constexpr std::uint64_t kInFile = 1u << 24;
  static constexpr std::uint64_t kWatched = 1u << 25;
  static constexpr std::uint64_t kQuiet = 1u << 26;
  static constexpr unsigned kFrameShift = 32;

  std::uint64_t bits = 0;

  static constexpr PageValue make(PageState state, FrameNumber frame) {
    return {static_cast<std::uint64_t>(state) | std::uint64_t{frame} << kFrameShift};
  }

  constexpr PageState state() const { return static_cast<PageState>(bits & kStateMask); }
  constexpr FrameNumber frame() const { return static_cast<FrameNumber>(bits >> kFrameShift); }
  constexpr unsigned pins() const { return static_cast<unsigned>((bits & kPinMask) >> kPinShift); }
  constexpr bool absent() const { return bits == 0; }
  constexpr bool writing() const { return (bits & kWriting) != 0; }
  constexpr bool sealed() const { return (bits & kSealed) != 0; }
  constexpr bool waiters() const { return (bits & kWaiters) != 0; }
  constexpr bool marker() const { return (bits & kMarker) != 0; }
  constexpr bool stored() const { return (bits & kStored) != 0; }
  constexpr bool in_file() const { return (bits & kInFile) != 0; }
  constexpr bool watched() const { return (bits & kWatched) != 0; }
  constexpr bool quiet() const { return (bits & kQuiet) != 0; }
  // The frame holds the file's bytes: clean, dirty, writeback or rewritten.
  constexpr bool uptodate() const { return (bits & kStateMask) >= 2; }
  // A reader may take a pin, or copy under a hazard slot.
  constexpr bool readable() const { return uptodate() && (bits & (kWriting | kSealed)) == 0; }
  constexpr bool dirty() const { return (bits & kStateMask) >= 3; }

  constexpr PageValue with_state(PageState s) const {
    return {(bits & ~kStateMask) | static_cast<std::uint64_t>(s)};
  }
  constexpr PageValue with(std::uint64_t flags) const { return {bits | flags}; }
  constexpr PageValue without(std::uint64_t flags) const { return {bits & ~flags}; }
};

// Transitions that may wake somebody return the value they replaced: where `waiters()` is set in it
// the caller must call PageWaitLot::wake.
class PageWord {
 public:
  PageWord() = default;

  // Sequentially consistent: half of the handshake with hazard slots (hazard.h).
  PageValue load() const noexcept { return {word_.load(std::memory_order_seq_cst)}; }

  // absent -> filling, `flags` being 0 or kInFile. False if somebody was faster.
  bool begin_fill(FrameNumber frame, std::uint64_t flags = 0) noexcept {
    std::uint64_t expected = 0;
    return word_.compare_exchange_strong(
        expected, PageValue::make(PageState::kFilling, frame).with(flags).bits);
  }
  // filling -> clean, holding `pins` pins for the caller, `flags` being 0 or kMarker.
  PageValue end_fill(unsigned pins, std::uint64_t flags = 0) noexcept {
    return change([&](PageValue v) {
      QUIRE_CHECK(v.state() == PageState::kFilling);
      return PageValue{v.with_state(PageState::kClean).bits + pins * PageValue::kOnePin}.with(
          flags);
    });
  }
  PageValue end_fill_dirty() noexcept {
    return change([](PageValue v) {
      QUIRE_CHECK(v.state() == PageState::kFilling);
      return v.with_state(PageState::kDirty).with(PageValue::kStored);
    });
  }
  PageValue fail_fill() noexcept {
    return change([](PageValue v) {
      QUIRE_CHECK(v.state() == PageState::kFilling);
      return PageValue{};
    });
  }

  // Takes a pin if `seen` is still the value and readable. Updates `seen` where it fails.
  bool try_pin(PageValue& seen) noexcept {
    while (seen.readable() && seen.pins() < 0xffff) {
      if (word_.compare_exchange_weak(seen.bits, seen.bits + PageValue::kOnePin)) return true;
    }
    return false;
  }
  // Gives a pin back. The value returned asks for a wake-up only if this was the last pin.
  PageValue unpin() noexcept {
    PageValue v = load();
    for (;;) {
      QUIRE_CHECK(v.pins() > 0);
      const bool last = v.pins() == 1;
      PageValue next{v.bits - PageValue::kOnePin};
      if (last) next = next.without(PageValue::kWaiters);
      if (word_.compare_exchange_weak(v.bits, next.bits)) {
        return last ? v : v.without(PageValue::kWaiters);
      }
    }
  }

  // Sets `writing` if the page is up to date and neither sealed nor being written.
  bool begin_write(PageValue& seen) noexcept {
    while (seen.readable() || (fault::planted(fault::Planted::kWriteTakesWriting) &&
                               seen.without(PageValue::kWriting).readable())) {
      if (word_.compare_exchange_weak(seen.bits, seen.with(PageValue::kWriting).bits)) return true;
    }
    return false;
  }
  // `flags` being 0 or kWatched.
  PageValue end_write(std::uint64_t flags = 0) noexcept {
    return change([&](PageValue v) {
      QUIRE_CHECK(v.writing() && v.uptodate());
      return v.with_state(after_store(v.state()))
          .with(PageValue::kStored | flags)
          .without(PageValue::kWriting | PageValue::kQuiet);
    });
  }
  // For a page that a program is about to load through a view that watches, instead of end_write(): begin_watch()
  // before the view shows it, since from then on it may be stored into, and the view asked and unmapped; end_watch()
  // afterwards. `stored`: what the view told of the page before it shows it, if it was watched.
  void begin_watch() noexcept {
    (void)alter([](PageValue v) {
      QUIRE_CHECK(v.writing() && v.uptodate());
      return v.with(PageValue::kWatched | (v.state() == PageState::kClean ? PageValue::kQuiet : 0));
    });
  }
  PageValue end_watch(bool stored) noexcept {
    return change([&](PageValue v) {
      QUIRE_CHECK(v.writing() && v.watched());
      if (stored) v = v.with(PageValue::kStored).without(PageValue::kQuiet);
      return v.with_state(after_store(v.state())).without(PageValue::kWriting);
    });
  }
  PageValue cancel_write() noexcept {
    return change([](PageValue v) {
      QUIRE_CHECK(v.writing());
      return v.without(PageValue::kWriting);
    });
  }

  // dirty -> writeback. False, and nothing done, in any other state and while writing or sealed.
  bool begin_writeback() noexcept {
    PageValue v = load();
    while (v.state() == PageState::kDirty && !v.writing() &&
           (!v.sealed() || fault::planted(fault::Planted::kWritebackTakesSealed))) {
      if (word_.compare_exchange_weak(v.bits, v.with_state(PageState::kWriteback).bits))
        return true;
    }
    return false;
  }
  PageValue end_writeback(bool ok) noexcept {
    return change([&](PageValue v) {
      QUIRE_CHECK(v.state() == PageState::kWriteback || v.state() == PageState::kRewritten);
      const bool clean = ok && (v.state() == PageState::kWriteback ||
                                fault::planted(fault::Planted::kRewrittenBecomesClean));
      QUIRE_CHECK(!clean || !v.watched() || v.writing());
      // Of a watched page that is not rewritten nobody has asked: then what the views have to tell is with them still.
      if (!ok && v.state() == PageState::kRewritten) v = v.without(PageValue::kQuiet);
      return v.with_state(clean ? PageState::kClean : PageState::kDirty);
    });
  }

  // Of a watched page under writeback that nobody can bring into sight: the views were asked, and watch it still.
  // `stored`: what they said. True: its bytes must go to the store.
  bool keep_watching(bool stored) noexcept {
    const PageValue before = alter([&](PageValue v) {
      QUIRE_CHECK(v.watched() && v.pins() > 0);
      if (v.state() == PageState::kWriteback) v = v.with(PageValue::kQuiet);
      return v.with_state(PageState::kRewritten).with(stored ? PageValue::kStored : 0);
    });
    return stored || !before.quiet();
  }
  // The page is out of sight, and nobody can bring it back now. Returns what keep_watching() does.
  bool stop_watching(bool stored) noexcept {
    const PageValue before = alter([&](PageValue v) {
      return v.without(PageValue::kWatched | PageValue::kQuiet)
          .with(stored ? PageValue::kStored : 0);
    });
    return stored || !before.quiet();
  }
  // Of a watched page: it was stored into through a view that will not be asked any more.
  void note_stored() noexcept {
    (void)alter([](PageValue v) {
      return v.watched() ? v.with(PageValue::kStored).without(PageValue::kQuiet) : v;
    });
  }

  // Sets `sealed` on a clean or dirty page that nobody writes or seals. Pins may remain.
  bool begin_seal(PageValue& seen) noexcept {
    while (sealable(seen)) {
      if (word_.compare_exchange_weak(seen.bits, seen.with(PageValue::kSealed).bits)) return true;
    }
    return false;
  }
  // The same for eviction: only a clean page without pins and waiters.
  bool begin_evict(PageValue& seen) noexcept {
    while (evictable(seen)) {
      if (word_.compare_exchange_weak(seen.bits, seen.with(PageValue::kSealed).bits)) return true;
    }
    return false;
  }
  // The same for a page that is to be moved, be it clean or dirty.
  bool begin_move(PageValue& seen) noexcept {
    while (sealable(seen) && (seen.bits & (PageValue::kWaiters | PageValue::kPinMask)) == 0) {
      if (word_.compare_exchange_weak(seen.bits, seen.with(PageValue::kSealed).bits)) return true;
    }
    return false;
  }
  // dirty -> clean of a sealed page: its bytes, which nobody could change, are at the store.
  PageValue end_sealed_write() noexcept {
    return change([](PageValue v) {
      QUIRE_CHECK(v.sealed() && v.state() == PageState::kDirty);
      return v.with_state(PageState::kClean);
    });
  }
  // The bytes of a page that is sealed or being written, and that nobody uses, are in the file's memory from now on.
  void move_to_file() noexcept {
    const PageValue before{word_.fetch_or(PageValue::kInFile)};
    QUIRE_CHECK(before.sealed() != before.writing() && !before.in_file());
  }
  // They are in the frame.
  void move_to_frame() noexcept {
    const PageValue before{word_.fetch_and(~PageValue::kInFile)};
    QUIRE_CHECK(before.sealed() != before.writing() && before.in_file());
  }
  PageValue unseal() noexcept {
    return change([](PageValue v) {
      QUIRE_CHECK(v.sealed());
      return v.without(PageValue::kSealed);
    });
  }
  // sealed -> absent. REQUIRES: no pin and no hazard slot is left.
  PageValue drop() noexcept {
    return change([](PageValue v) {
      QUIRE_CHECK(v.sealed() && v.pins() == 0 && v.uptodate());
      return PageValue{};
    });
  }

  // Clears the marker; true for the one caller that cleared it.
  bool take_marker() noexcept {
    return (word_.fetch_and(~PageValue::kMarker) & PageValue::kMarker) != 0;
  }
  // For PageWaitLot: announces a waiter if the value is still `seen`.
  bool announce_waiter(PageValue seen) noexcept {
    return word_.compare_exchange_strong(seen.bits, seen.with(PageValue::kWaiters).bits);
  }

 private:
  static bool sealable(PageValue v) noexcept {
    if (fault::planted(fault::Planted::kSealTakesWriteback) && v.dirty()) {
      v = v.with_state(PageState::kDirty);
    }
    return (v.state() == PageState::kClean || v.state() == PageState::kDirty) && !v.writing() &&
           !v.sealed();
  }
  static bool evictable(PageValue v) noexcept {
    if (fault::planted(fault::Planted::kEvictTakesWriting)) v = v.without(PageValue::kWriting);
    if (fault::planted(fault::Planted::kEvictTakesFilling) && v.state() == PageState::kFilling) {
      v = v.with_state(PageState::kClean);
    }
    return v.state() == PageState::kClean &&
           (v.bits & (PageValue::kWriting | PageValue::kSealed | PageValue::kWaiters |
                      PageValue::kPinMask)) == 0;
  }
  static constexpr PageState after_store(PageState state) noexcept {
    if (state == PageState::kClean) return PageState::kDirty;
    return state == PageState::kWriteback ? PageState::kRewritten : state;
  }
  // Replaces the value by next(value), and returns the old one. For what nobody waits for.
  template <class Next>
  PageValue alter(Next next) noexcept {
    PageValue v = load();
    while (!word_.compare_exchange_weak(v.bits, next(v).bits)) {
    }
    return v;
  }
  // Replaces the value by next(value) with the waiters flag cleared, and returns the old value.
  template <class Next>
  PageValue change(Next next) noexcept {
    PageValue v = load();
    while (!word_.compare_exchange_weak(v.bits, next(v).without(PageValue::kWaiters).bits)) {
    }
    return v;
  }

  sync::Atomic<std::uint64_t> word_{0};
};

static_assert(sizeof(PageWord) == 8);

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PAGE_WORD_H_
