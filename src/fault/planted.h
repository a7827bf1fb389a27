// Planted faults: one-line mistakes in the engine that a program built with QUIRE_PLANTED_FAULTS can turn
// on by name, to see that its tests notice. In every other build planted() is a constant false, and what
// depends on it is not there. Four programs are built so: model_faults (tests/model), cut_job_faults
// (tests/cut_job), mapping_faults (tests/planted), and the simulation, whose races (tests/races) each name the fault
// that breaks them.
//
//   if (!fault::planted(Planted::kSkipTailZeroing)) zero_the_tail();
//
// Who calls: the engine, anywhere. plant(): before the first cache is made, by one thread.
#ifndef QUIRE_FAULT_PLANTED_H_
#define QUIRE_FAULT_PLANTED_H_

#include <cstdint>

namespace quire::fault {

enum class Planted : std::uint8_t {
  kSkipTailZeroing,
  kPublishSizeFirst,
  kSkipTruncateDrop,
  kForgetADirtyPage,
  kClearWritebackEarly,
  kWriteWholeTail,
  kReadPastEnd,
  kDropDirtyOnInvalidate,
  kInvalidateSkipsDirty,
  kLoseAppendOffset,
  kIgnoreAppendFlag,
  kVectorRestarts,
  kSkipPartialRead,
  kFillSkipsZeros,
  kSyncForgetsError,
  kForgetLostPages,
  kSyncSkipsStore,
  kSyncedWriteIsNot,
  kCloseHidesError,
  kLoseACredit,
  kLoseAFrame,
  kWriteKeepsStamps,
  kPunchKeepsPages,
  kPunchSkipsEdges,
  kShiftKeepsPages,
  kDirectWriteKeepsPages,
  kDirectReadSkipsDirty,
  kDirectWriteKeepsSize,
  kDirectWriteUntold,
  // Of the races.
  kSealSkipsFilling,
  kSealTakesWriteback,
  kSealIgnoresPins,
  kEvictTakesFilling,
  kEvictTakesWriting,
  kReadTakesWriting,
  kWriteTakesWriting,
  kWritebackTakesSealed,
  kRewrittenBecomesClean,
  kFailedFillStays,
  kTrustFirstCovers,
  kWaiterLooksOnce,
  kNestAdds,
  kFramesUnderAdd,
  kFlushWantsNew,
  kDirectUnblocksEarly,
  kDirectLocksAreTheCallers,
  kDirectReadTakesNoRange,
  kAppendTrustsOldSize,
  kCutTakesNoRange,
  kCutBeginsNoBlock,
  kShiftLocksItsRange,
  kShiftFailsUnnoticed,
  kZeroGrowsInItsRange,
  kClearPartToTheEnd,
  kAddersOvertake,
  kBlockersOvertake,
  kLeaveOwnStripe,
  kTrimLocksNothing,
  kSkipProtect,
  kFirstStoreIgnoresPins,
  kSkipTailSettling,
  kFirstViewAlone,
  kSecondViewEarly,
  kShowUnpinned,
  kStoresAheadForgotten,
  kStoresAheadCountedEarly,
  kStoreListedLate,
  kStoresAheadListedLate,
  kTrimKeepsPromises,
  kSnapshotUnpinned,
  kSealHidesNothing,
  kSkipPunch,
  kComeBackInSight,
  kComeBackWithTail,
  kComeBackWhileRead,
  kMoveWhileRead,
  kAroundOverBlock,
  kLoseAFaultsWake,
  kLoseAPagesWake,
  kNone,
};

#ifdef QUIRE_PLANTED_FAULTS
inline Planted planted_fault = Planted::kNone;
inline void plant(Planted fault) noexcept {
  planted_fault = fault;
}
inline bool planted(Planted fault) noexcept {
  return planted_fault == fault;
}
// What a test does between two steps of the engine that no store comes between.
inline void (*between)() noexcept = nullptr;
inline void meet_between() noexcept {
  if (between != nullptr) between();
}
#else
constexpr bool planted(Planted /*fault*/) noexcept {
  return false;
}
constexpr void meet_between() noexcept {}
static_assert(!planted(Planted::kSkipTailZeroing), "no fault is planted in a normal build");
#endif

}  // namespace quire::fault

#endif  // QUIRE_FAULT_PLANTED_H_
