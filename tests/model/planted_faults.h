// The planted faults (src/fault/planted.h) by name, and within how many operations the random tester
// must have noticed each: five times or more what it took at worst in 12 runs.
#ifndef QUIRE_TESTS_MODEL_PLANTED_FAULTS_H_
#define QUIRE_TESTS_MODEL_PLANTED_FAULTS_H_

#include <array>
#include <cstdint>
#include <optional>

#include "fault/planted.h"
#include "quire/options.h"

namespace quire::model {

struct PlantedFault {
  const char* name;
  fault::Planted fault;
  std::uint64_t operations_max;
  const char* what;
  std::optional<Locking> locking = std::nullopt;  // only then it does harm
  bool maps = false;                              // only to mappings
};

inline constexpr std::array<PlantedFault, 39> kPlantedFaults = {{
    {"skip-tail-zeroing", fault::Planted::kSkipTailZeroing, 10'000,
     "truncate leaves what was beyond the new end in the last page"},
    {"publish-size-first", fault::Planted::kPublishSizeFirst, 10'000,
     "truncate sets the size before the store has agreed"},
    {"skip-truncate-drop", fault::Planted::kSkipTruncateDrop, 2000,
     "truncate leaves pages beyond the new end in the cache"},
    {"forget-a-dirty-page", fault::Planted::kForgetADirtyPage, 500,
     "writeback counts a page as written that it did not send"},
    {"clear-writeback-early", fault::Planted::kClearWritebackEarly, 10'000,
     "a page is clean before its write has succeeded"},
    {"write-whole-tail", fault::Planted::kWriteWholeTail, 500,
     "writeback writes the last page past the end of the file"},
    {"read-past-end", fault::Planted::kReadPastEnd, 2000, "a read gives the rest of the last page"},
    {"drop-dirty-on-invalidate", fault::Planted::kDropDirtyOnInvalidate, 5000,
     "invalidate drops dirty pages"},
    {"invalidate-skips-dirty", fault::Planted::kInvalidateSkipsDirty, 3000,
     "write_and_invalidate drops without writing"},
    {"lose-append-offset", fault::Planted::kLoseAppendOffset, 500,
     "an append goes to the beginning of the last page"},
    {"ignore-append-flag", fault::Planted::kIgnoreAppendFlag, 3000,
     "a write to a file opened with kAppend goes to its offset"},
    {"vector-restarts", fault::Planted::kVectorRestarts, 3000,
     "each piece of a vectored read is read from the first offset"},
    {"skip-partial-read", fault::Planted::kSkipPartialRead, 2000,
     "a write to a part of a page that is not cached zeroes the rest"},
    {"fill-skips-zeros", fault::Planted::kFillSkipsZeros, 6000,
     "what the store did not give of a page is what the frame held before"},
    {"sync-forgets-error", fault::Planted::kSyncForgetsError, 10'000,
     "pages of a failed sync are not written again"},
    {"forget-lost-pages", fault::Planted::kForgetLostPages, 10'000,
     "syncs succeed over pages that a failed sync lost"},
    {"sync-skips-store", fault::Planted::kSyncSkipsStore, 6000,
     "sync writes the pages and does not sync the store"},
    {"synced-write-is-not", fault::Planted::kSyncedWriteIsNot, 4000,
     "kSync and kDataSync are ignored"},
    {"close-hides-error", fault::Planted::kCloseHidesError, 60'000,
     "close does not say what could not be written"},
    {"lose-a-credit", fault::Planted::kLoseACredit, 40'000,
     "a write that fails keeps dirty credits"},
    {"lose-a-frame", fault::Planted::kLoseAFrame, 30'000,
     "frames of some dropped pages are not given back"},
    {"write-keeps-stamps", fault::Planted::kWriteKeepsStamps, 8000,
     "a write changes no time stamp"},
    {"punch-keeps-pages", fault::Planted::kPunchKeepsPages, 40'000,
     "punch and zero leave the whole pages in the cache"},
    {"punch-skips-edges", fault::Planted::kPunchSkipsEdges, 15'000,
     "punch and zero leave the parts of pages at their ends"},
    {"shift-keeps-pages", fault::Planted::kShiftKeepsPages, 15'000,
     "insert and collapse leave pages in the cache at their old places"},
    {"direct-write-keeps-pages", fault::Planted::kDirectWriteKeepsPages, 8000,
     "a direct write leaves the pages that it writes in the cache"},
    {"direct-read-skips-dirty", fault::Planted::kDirectReadSkipsDirty, 8000,
     "a direct read does not write back what is dirty before it"},
    {"direct-write-keeps-size", fault::Planted::kDirectWriteKeepsSize, 2000,
     "a direct write past the end does not make the file longer"},
    {"direct-write-untold", fault::Planted::kDirectWriteUntold, 30'000,
     "a sync does not know of direct writes"},
    {"skip-protect", fault::Planted::kSkipProtect, 10'000,
     "writeback leaves a page that can be stored into without a fault", std::nullopt, true},
    {"first-view-alone", fault::Planted::kFirstViewAlone, 40'000,
     "of several mappings of a page only the first is told", std::nullopt, true},
    {"second-view-early", fault::Planted::kSecondViewEarly, 25'000,
     "a dirty page can be stored into through all mappings, also while it is written back",
     std::nullopt, true},
    {"stores-ahead-forgotten", fault::Planted::kStoresAheadForgotten, 200'000,
     "pages that are let through with a first store do not count as dirty", std::nullopt, true},
    {"skip-tail-settling", fault::Planted::kSkipTailSettling, 70'000,
     "what was stored behind the end of a file is in it when it grows", std::nullopt, true},
    {"skip-punch", fault::Planted::kSkipPunch, 10'000,
     "pages that leave the cache stay in the memory of mapped files", std::nullopt, true},
    {"seal-hides-nothing", fault::Planted::kSealHidesNothing, 100'000,
     "what is being cut or written directly can be stored into", std::nullopt, true},
    {"around-over-block", fault::Planted::kAroundOverBlock, 50'000,
     "a fault reads the pages around its own where a cut keeps everybody out", Locking::kRange,
     true},
    {"lose-a-faults-wake", fault::Planted::kLoseAFaultsWake, 1000,
     "a fault that waits is not woken", std::nullopt, true},
    {"lose-a-pages-wake", fault::Planted::kLoseAPagesWake, 40'000,
     "who waits for a page is not woken", std::nullopt, true},
}};

}  // namespace quire::model

#endif  // QUIRE_TESTS_MODEL_PLANTED_FAULTS_H_
