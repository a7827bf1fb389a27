#include "model/operation.h"

#include <fmt/format.h>

#include <algorithm>

#include "main_job/rng.h"
#include "model/page.h"

namespace quire::model {
namespace {

using main_job::Rng;

constexpr std::uint64_t kKiB = 1024;
// Of the operations so many are about mappings.
constexpr std::uint64_t kMappedOneIn = 8;

constexpr std::array<Zone, 1> kSmall = {{{0, 96 * kKiB}}};
// More than the cache's memory holds, with the others.
constexpr std::array<Zone, 1> kMedium = {{{0, 10 * kKiB* kKiB}}};
constexpr std::array<Zone, 4> kHuge = {{{0, 64 * kKiB},
                                        {std::uint64_t{1} << 32, 64 * kKiB},
                                        {(std::uint64_t{1} << 62) - 16 * kKiB, 64 * kKiB},
                                        {kMax - 64 * kKiB, 64 * kKiB}}};

std::uint64_t nudged(std::uint64_t offset, Rng& rng) {
  switch (rng.below(3)) {
    case 0:
      return offset == 0 ? 0 : offset - 1;
    case 1:
      return offset + 1;
    default:
      return offset;
  }
}

std::uint64_t pick_offset(const HandleView& handle, Rng& rng) {
  const auto zones = kShapes[handle.file].zones;
  const Zone& zone = zones[rng.below(zones.size())];
  switch (rng.below(12)) {
    case 0:
      return std::min(nudged(handle.size, rng), kMax);
    case 1: {
      const std::uint64_t back = rng.below(3 * kPageBytes);
      return handle.size > back ? handle.size - back : 0;
    }
    case 2:
    case 3:
      return std::min(nudged((zone.base + rng.below(zone.bytes)) / kPageBytes * kPageBytes, rng),
                      kMax);
    case 4:
      return std::min(nudged((zone.base + rng.below(zone.bytes)) / 512 * 512, rng), kMax);
    case 5:
      return zone.base;
    case 6:
    case 7:  // where it is often
      return zone.base + rng.below(8 * kPageBytes);
    default:
      return zone.base + rng.below(zone.bytes);
  }
}

std::uint64_t pick_length(const HandleView& handle, Rng& rng) {
  switch (rng.below(24)) {
    case 0:
      return rng.below(4) == 0 ? 0 : 1;
    case 1:
    case 2:
    case 3:
      return 1 + rng.below(64);
    case 4:
    case 5:
      return nudged(512 * (1 + rng.below(8)), rng);
    case 6:
    case 7:
    case 8:
    case 9:
      return nudged(kPageBytes * (1 + rng.below(4)), rng);
    case 10:
      return 1 + rng.below(16 * kPageBytes);
    case 11:
      // A large one, for which one request to the store is not enough.
      return handle.file == 1 && rng.one_in(12) ? 1 + rng.below(300 * kPageBytes)
                                                : 1 + rng.below(32 * kPageBytes);
    default:
      return 1 + rng.below(2 * kPageBytes);
  }
}

OpenFlags pick_flags(Rng& rng) {
  OpenFlags flags = OpenFlags::kReadWrite;
  if (rng.one_in(10)) flags = OpenFlags::kRead;
  if (rng.one_in(10)) flags = OpenFlags::kWrite;
  if (rng.one_in(2)) flags = flags | OpenFlags::kCreate;
  if (has(flags, OpenFlags::kWrite)) {
    if (rng.one_in(6)) flags = flags | OpenFlags::kAppend;
    if (rng.one_in(10)) flags = flags | OpenFlags::kTruncate;
    if (rng.one_in(10)) flags = flags | OpenFlags::kSync;
    if (rng.one_in(10)) flags = flags | OpenFlags::kDataSync;
  }
  if (rng.one_in(8)) flags = flags | OpenFlags::kDirect;
  if (rng.one_in(40)) flags = flags | OpenFlags::kCreate | OpenFlags::kExclusive;
  return flags;
}

Kind pick_kind(Rng& rng, const HandleView& handle) {
  if (!handle.open) return Kind::kReopen;
  if (handle.may_be_lost && rng.one_in(8)) return Kind::kCure;
  struct Weight {
    Kind kind;
    unsigned of_1000;
  };
  static constexpr std::array<Weight, 20> kWeights = {{
      {Kind::kRead, 310},      {Kind::kWrite, 300},    {Kind::kAppend, 60},
      {Kind::kTruncate, 60},   {Kind::kAllocate, 15},  {Kind::kSync, 18},
      {Kind::kDataSync, 18},   {Kind::kSyncRange, 15}, {Kind::kAdvise, 30},
      {Kind::kInvalidate, 30}, {Kind::kStat, 30},      {Kind::kWriteAndInvalidate, 30},
      {Kind::kSetTimes, 10},   {Kind::kReopen, 40},    {Kind::kCacheSync, 5},
      {Kind::kCrowd, 4},       {Kind::kVerify, 2},     {Kind::kCrash, 4},
      {Kind::kLose, 3},        {Kind::kCut, 16},
  }};
  std::uint64_t turn = rng.below(1000);
  for (const Weight& weight : kWeights) {
    if (turn < weight.of_1000) return weight.kind;
    turn -= weight.of_1000;
  }
  return Kind::kStat;
}

bool syncs_writes(const HandleView& handle) {
  return has(handle.flags, OpenFlags::kSync) || has(handle.flags, OpenFlags::kDataSync);
}

bool moves_bytes(Kind kind) {
  return kind == Kind::kRead || kind == Kind::kWrite || kind == Kind::kAppend;
}

// Some of what moves bytes passes the cache by; most of that as the store takes it.
void choose_path(Operation& operation, const HandleView& handle, Rng& rng) {
  const bool opened_so = has(handle.flags, OpenFlags::kDirect);
  if (rng.one_in(opened_so ? 4 : 8)) {
    operation.path = opened_so ? IoPath::kCached : IoPath::kDirect;
  }
  if (!is_direct(operation, handle.flags)) return;
  operation.misplaced = rng.one_in(16);
  if (rng.one_in(16)) return;
  const std::uint64_t alignment = handle.alignment_bytes;
  operation.offset -= operation.offset % alignment;
  operation.length -= operation.length % alignment;
  if (operation.length == 0) operation.length = alignment;
}

bool is_shift(Cut cut) {
  return cut == Cut::kInsert || cut == Cut::kCollapse;
}

// The requests that the operation may make while it runs; what can be held while the caller leaves.
std::optional<StoreOp> pick_request(const Operation& operation, const HandleView& handle,
                                    Rng& rng) {
  const bool second = rng.one_in(2);
  const bool direct = moves_bytes(operation.kind) && is_direct(operation, handle.flags);
  switch (operation.kind) {
    case Kind::kRead:
      return direct && second ? StoreOp::kWrite : StoreOp::kRead;
    case Kind::kWrite:
    case Kind::kAppend:
      if (direct) return syncs_writes(handle) ? StoreOp::kSync : StoreOp::kWrite;
      // How much of a write came in before it failed is known from what it returns; but not if the
      // sync that follows is what it returns. So either the one fails or the other.
      if (!syncs_writes(handle)) return StoreOp::kRead;
      return second ? StoreOp::kWrite : StoreOp::kSync;
    case Kind::kTruncate:
      return StoreOp::kTruncate;
    case Kind::kAllocate:
      return second ? StoreOp::kTruncate : StoreOp::kReserve;
    case Kind::kCut:
      if (rng.one_in(4)) return StoreOp::kTruncate;
      // A shift that fails midway leaves a file that must be closed: that is for the units' tests.
      if (is_shift(operation.cut) && operation.way == Way::kNone) return StoreOp::kWrite;
      return second ? StoreOp::kCut : StoreOp::kRead;
    case Kind::kSync:
    case Kind::kDataSync:
    case Kind::kSyncRange:
    case Kind::kCacheSync:
      return second ? StoreOp::kWrite : StoreOp::kSync;
    case Kind::kReopen:
      if (rng.one_in(3)) return StoreOp::kTruncate;
      return second ? StoreOp::kWrite : StoreOp::kSync;
    case Kind::kWriteAndInvalidate:
      return StoreOp::kWrite;
    case Kind::kAdvise:
      return second ? StoreOp::kWrite : StoreOp::kRead;
    default:
      return std::nullopt;
  }
}

// ---- Mappings ----

constexpr std::uint64_t kMappedMaxPages = 48;

Kind pick_mapped_kind(Rng& rng, bool mapped) {
  if (!mapped) return Kind::kMap;
  const std::uint64_t turn = rng.below(100);
  if (turn < 30) return Kind::kLoad;
  if (turn < 68) return Kind::kStore;
  if (turn < 72) return Kind::kUnmap;
  if (turn < 76) return Kind::kProtect;
  if (turn < 82) return Kind::kMapSync;
  if (turn < 86) return Kind::kMapAdvise;
  if (turn < 90) return Kind::kPopulate;
  return turn < 95 ? Kind::kReadInto : Kind::kWriteFrom;
}

// Places in the mapping: at the end of the file, at edges of pages, anywhere.
std::uint64_t pick_place(const MappingView& mapping, Rng& rng) {
  std::uint64_t place = rng.below(mapping.bytes);
  const bool shows_end =
      mapping.file_bytes >= mapping.offset && mapping.file_bytes - mapping.offset < mapping.bytes;
  switch (rng.below(8)) {
    case 0:
    case 1:
      if (shows_end) {
        place = mapping.file_bytes - mapping.offset;
        place -= std::min(place, rng.below(2) * rng.below(kPageBytes));
        place += rng.below(3) * rng.below(64);
      }
      break;
    case 2:
      place = nudged(place / kPageBytes * kPageBytes, rng);
      break;
    case 3:
      place %= 4 * kPageBytes;
      break;
    default:
      break;
  }
  return std::min(place, mapping.bytes - 1);
}

void choose_map(Operation& operation, const HandleView& handle, Rng& rng) {
  operation.offset = operation.offset / kPageBytes * kPageBytes;
  // Where others are, too.
  if (rng.one_in(2)) {
    operation.offset = kShapes[handle.file].zones[0].base + rng.below(2) * 2 * kPageBytes;
  }
  if (rng.one_in(4) && !rng.one_in(3)) {
    operation.offset = handle.size / kPageBytes * kPageBytes;
    operation.offset -= std::min(operation.offset, rng.below(3) * kPageBytes);
  }
  operation.length = 1 + rng.below((rng.one_in(2) ? 8 : kMappedMaxPages) * kPageBytes);
  if (rng.one_in(60)) operation.offset += 1 + rng.below(kPageBytes - 1);
  if (rng.one_in(100)) operation.length = rng.one_in(2) ? 0 : kMax;
  operation.access = rng.one_in(5) ? MapAccess::kRead : MapAccess::kReadWrite;
  operation.in_thread = rng.one_in(3);
  operation.async_stores = rng.one_in(3);
}

void add_mapped_trouble(Operation& operation, Rng& rng) {
  const bool leaves = operation.kind == Kind::kMapSync ||
                      (operation.kind == Kind::kPopulate && operation.access == MapAccess::kRead);
  if (leaves && rng.one_in(20)) {
    static constexpr std::array<Way, 3> kWays = {Way::kPassed, Way::kSoon, Way::kStopped};
    operation.way = kWays[rng.below(kWays.size())];
  }
  if (!rng.one_in(operation.way != Way::kNone ? 2 : 24)) return;
  Failure failure;
  const bool second = rng.one_in(2);
  switch (operation.kind) {
    case Kind::kLoad:
      failure.op = StoreOp::kRead;
      break;
    case Kind::kStore:
      failure.op = second ? StoreOp::kReserve : StoreOp::kRead;
      break;
    case Kind::kPopulate:
      failure.op =
          operation.access == MapAccess::kReadWrite && second ? StoreOp::kReserve : StoreOp::kRead;
      break;
    case Kind::kMapSync:
      failure.op = second ? StoreOp::kWrite : StoreOp::kSync;
      break;
    case Kind::kUnmap:
      failure.op = StoreOp::kWrite;
      break;
    default:
      return;
  }
  failure.count = rng.one_in(2) ? 1000 : 1 + static_cast<unsigned>(rng.below(2));
  if (failure.op == StoreOp::kReserve || rng.one_in(3))
    failure.error = std::errc::no_space_on_device;
  failure.hold = operation.way != Way::kNone;
  operation.failure = failure;
}

Operation generate_mapped(const HandleView& handle, unsigned handle_number,
                          const std::array<MappingView, kMappings>& mappings, Rng& rng) {
  Operation operation;
  operation.handle = handle_number;
  operation.mapping = static_cast<unsigned>(rng.below(kMappings));
  const MappingView& mapping = mappings[operation.mapping];
  operation.kind = pick_mapped_kind(rng, mapping.mapped);
  operation.pattern = rng.next();
  operation.offset = pick_offset(handle, rng);
  if (operation.kind == Kind::kMap) {
    choose_map(operation, handle, rng);
    return operation;
  }
  operation.at = operation.offset;
  operation.offset = pick_place(mapping, rng);
  operation.length = std::min(pick_length(handle, rng), 12 * kPageBytes);
  if (operation.length == 0 && (operation.kind == Kind::kLoad || operation.kind == Kind::kStore)) {
    operation.length = 1;
  }
  operation.access = rng.one_in(3) ? MapAccess::kRead : MapAccess::kReadWrite;
  operation.advice = static_cast<Advice>(rng.below(5));
  const bool bad = rng.one_in(60) && operation.kind != Kind::kLoad &&
                   operation.kind != Kind::kStore && operation.kind != Kind::kReadInto &&
                   operation.kind != Kind::kWriteFrom;
  if (!bad) operation.length = std::min(operation.length, mapping.bytes - operation.offset);
  if (operation.kind == Kind::kUnmap && rng.one_in(2)) operation.offset = operation.length = 0;
  if (operation.kind == Kind::kReadInto || operation.kind == Kind::kWriteFrom) {
    if (rng.one_in(4)) operation.at = mapping.offset + operation.offset;  // perhaps onto itself
    if (rng.one_in(4)) {
      operation.path = IoPath::kDirect;
      const std::uint64_t alignment = handle.alignment_bytes;
      operation.at -= operation.at % alignment;
      operation.offset -= operation.offset % alignment;
      operation.length -= operation.length % alignment;
    }
  }
  add_mapped_trouble(operation, rng);
  return operation;
}

bool takes_way(const Operation& operation, const HandleView& handle) {
  switch (operation.kind) {
    case Kind::kWrite:
    case Kind::kAppend:
      return !syncs_writes(handle);  // as in pick_request()
    case Kind::kRead:
    case Kind::kTruncate:
    case Kind::kAllocate:
    case Kind::kCut:
    case Kind::kSync:
    case Kind::kDataSync:
    case Kind::kSyncRange:
    case Kind::kInvalidate:
    case Kind::kWriteAndInvalidate:
      return true;
    default:
      return false;
  }
}

void add_trouble(Operation& operation, const HandleView& handle, Rng& rng) {
  if (takes_way(operation, handle) && rng.one_in(40)) {
    static constexpr std::array<Way, 3> kWays = {Way::kPassed, Way::kSoon, Way::kStopped};
    operation.way = kWays[rng.below(3)];
  }
  // Of what is rare more must fail.
  const bool rare = operation.kind == Kind::kReopen || operation.kind == Kind::kTruncate ||
                    operation.kind == Kind::kAllocate || operation.kind == Kind::kCut;
  const bool wanted = rng.one_in(operation.way != Way::kNone ? 2 : rare ? 12 : 40);
  if (!wanted) return;
  const auto request = pick_request(operation, handle, rng);
  if (!request) return;
  Failure failure;
  failure.op = *request;
  failure.skip = rng.one_in(3) ? static_cast<unsigned>(rng.below(4)) : 0;
  failure.count = rng.one_in(3) ? 1000 : 1 + static_cast<unsigned>(rng.below(2));
  // A write that waits until others of its pages are written gives up, in part, if none ever is.
  const bool writes = operation.kind == Kind::kWrite || operation.kind == Kind::kAppend;
  if (writes && failure.op == StoreOp::kWrite) failure.count = std::min(failure.count, 2u);
  failure.error = rng.one_in(3) ? std::errc::no_space_on_device : std::errc::io_error;
  // A caller who leaves does so because the store does not answer, and the answer that comes when he
  // has left is a good one: a failure that nobody was told of is for the units' tests.
  failure.hold = operation.way != Way::kNone;
  // The memory store forgets more than a file system does: size, cuts and stamps too. So only where none
  // were made. One such failure at a time: the model knows two contents of a page, not three.
  failure.drop = *request == StoreOp::kSync && !failure.hold && rng.one_in(2) &&
                 operation.kind != Kind::kReopen && operation.kind != Kind::kCacheSync && !writes &&
                 !handle.may_be_lost && !handle.reshaped;
  operation.failure = failure;
}

}  // namespace

const std::array<FileShape, kFiles> kShapes = {
    {{"small", 1, kSmall}, {"medium", 2, kMedium}, {"huge", 1, kHuge}}};

Operation generate(std::uint64_t seed, std::uint64_t number,
                   const std::array<HandleView, kHandles>& handles,
                   const std::array<MappingView, kMappings>& mappings) {
  Rng rng{seed, number};
  Operation operation;
  operation.handle = static_cast<unsigned>(rng.below(kHandles));
  const HandleView& handle = handles[operation.handle];
  // As for paths below.
  if (Rng map_rng{seed, number, 2}; handle.open && map_rng.one_in(kMappedOneIn)) {
    return generate_mapped(handle, operation.handle, mappings, map_rng);
  }
  operation.kind = pick_kind(rng, handle);
  operation.offset = pick_offset(handle, rng);
  operation.length = pick_length(handle, rng);
  operation.pattern = rng.next();
  if (rng.one_in(8)) operation.pieces = 2 + static_cast<unsigned>(rng.below(5));
  const bool wide = rng.one_in(6);  // a range of pages: everything
  switch (operation.kind) {
    case Kind::kTruncate:
      if (rng.one_in(200)) operation.offset = kMax + rng.below(2);
      // Not so often that nothing is ever far from the end.
      if (operation.offset < handle.size / 2 && !rng.one_in(4)) {
        operation.offset = std::max(handle.size, operation.offset);
        operation.offset -= std::min(operation.offset, rng.below(5 * kPageBytes));
      }
      break;
    case Kind::kRead:
    case Kind::kWrite:
      if (rng.one_in(500)) operation.offset = kMax - 1 + rng.below(4);
      break;
    case Kind::kAllocate:
      operation.keep_size = rng.one_in(2);
      break;
    case Kind::kCut: {
      static constexpr std::array<Cut, 4> kCuts = {Cut::kPunch, Cut::kZero, Cut::kInsert,
                                                   Cut::kCollapse};
      operation.cut = kCuts[rng.below(kCuts.size())];
      operation.keep_size = operation.cut == Cut::kZero && rng.one_in(2);
      if (is_shift(operation.cut) && !rng.one_in(10)) {
        operation.offset = std::min(operation.offset, handle.size) / kPageBytes * kPageBytes;
        operation.length = (1 + rng.below(8)) * kPageBytes;
      }
      break;
    }
    case Kind::kAdvise: {
      static constexpr std::array<Advice, 5> kAdvice = {Advice::kNormal, Advice::kSequential,
                                                        Advice::kRandom, Advice::kWillNeed,
                                                        Advice::kDontNeed};
      operation.advice = kAdvice[rng.below(kAdvice.size())];
      [[fallthrough]];
    }
    case Kind::kInvalidate:
    case Kind::kWriteAndInvalidate:
      if (wide) operation.offset = operation.length = 0;
      break;
    case Kind::kReopen:
      operation.flags = pick_flags(rng);
      operation.name = static_cast<unsigned>(rng.below(kNames.size()));
      break;
    case Kind::kCrash:
      operation.clean = rng.one_in(2);
      break;
    case Kind::kLose:
      // What add_trouble() says of stores that forget holds here too.
      operation.forgets = rng.one_in(2) && !handle.reshaped;
      break;
    default:
      break;
  }
  const bool can_submit = operation.kind == Kind::kRead || operation.kind == Kind::kWrite ||
                          operation.kind == Kind::kAppend || operation.kind == Kind::kTruncate ||
                          operation.kind == Kind::kSync || operation.kind == Kind::kDataSync;
  operation.submitted = can_submit && rng.one_in(12);
  if (operation.submitted) operation.pieces = 1;
  // Numbers of its own, so that those of everything else stay what they were without it.
  if (moves_bytes(operation.kind)) {
    Rng path_rng{seed, number, 1};
    choose_path(operation, handle, path_rng);
  }
  add_trouble(operation, handle, rng);
  return operation;
}

namespace {

const char* name_of(Kind kind) {
  static constexpr std::array<const char*, 31> kKinds = {
      "read",  "write",     "append",     "truncate",   "allocate",   "cut",
      "sync",  "datasync",  "sync_range", "advise",     "invalidate", "write_and_invalidate",
      "stat",  "set_times", "reopen",     "cache_sync", "lose",       "cure",
      "crowd", "verify",    "map",        "unmap",      "protect",    "load",
      "store", "map_sync",  "map_advise", "populate",   "read_into",  "write_from",
      "crash"};
  return kKinds[static_cast<std::size_t>(kind)];
}

const char* name_of(Cut cut) {
  static constexpr std::array<const char*, 4> kCuts = {"punch", "zero", "insert", "collapse"};
  return kCuts[static_cast<std::size_t>(cut)];
}

const char* name_of(StoreOp op) {
  static constexpr std::array<const char*, 8> kOps = {"read", "write",   "truncate", "sync",
                                                      "cut",  "reserve", "release",  "open"};
  return kOps[static_cast<std::size_t>(op)];
}

std::string flags_text(OpenFlags flags) {
  static constexpr std::array<std::pair<OpenFlags, const char*>, 9> kFlags = {
      {{OpenFlags::kRead, "read"},
       {OpenFlags::kWrite, "write"},
       {OpenFlags::kCreate, "create"},
       {OpenFlags::kExclusive, "exclusive"},
       {OpenFlags::kTruncate, "truncate"},
       {OpenFlags::kAppend, "append"},
       {OpenFlags::kSync, "sync"},
       {OpenFlags::kDataSync, "datasync"},
       {OpenFlags::kDirect, "direct"}}};
  std::string text;
  for (const auto& [flag, name] : kFlags) {
    if (has(flags, flag)) text += (text.empty() ? "" : "|") + std::string(name);
  }
  return text;
}

}  // namespace

std::string to_string(const Operation& operation) {
  const char* const what =
      operation.kind == Kind::kCut ? name_of(operation.cut) : name_of(operation.kind);
  std::string text = fmt::format("h{} {}", operation.handle, what);
  switch (operation.kind) {
    case Kind::kReopen:
      text += fmt::format(" {} {}", kNames[operation.name].path, flags_text(operation.flags));
      break;
    case Kind::kTruncate:
      text += fmt::format(" to {}", operation.offset);
      break;
    case Kind::kAppend:
      text += fmt::format(" {}", operation.length);
      break;
    case Kind::kRead:
    case Kind::kWrite:
    case Kind::kAllocate:
    case Kind::kCut:
    case Kind::kSyncRange:
    case Kind::kAdvise:
    case Kind::kInvalidate:
    case Kind::kWriteAndInvalidate:
      text += fmt::format(" {} at {}", operation.length, operation.offset);
      break;
    case Kind::kMap:
      text += fmt::format(" m{}: {} at {}", operation.mapping, operation.length, operation.offset);
      break;
    case Kind::kUnmap:
    case Kind::kProtect:
    case Kind::kLoad:
    case Kind::kStore:
    case Kind::kMapSync:
    case Kind::kMapAdvise:
    case Kind::kPopulate:
      text = fmt::format("m{} {} {} at {}", operation.mapping, what, operation.length,
                         operation.offset);
      break;
    case Kind::kReadInto:
    case Kind::kWriteFrom:
      text += fmt::format(" m{}: {} at {}, file at {}", operation.mapping, operation.length,
                          operation.offset, operation.at);
      break;
    default:
      break;
  }
  const bool with_access = operation.kind == Kind::kMap || operation.kind == Kind::kProtect ||
                           operation.kind == Kind::kPopulate;
  if (with_access && operation.access == MapAccess::kReadWrite) text += ", for stores";
  if (operation.kind == Kind::kAdvise || operation.kind == Kind::kMapAdvise) {
    text += fmt::format(", advice {}", static_cast<int>(operation.advice));
  }
  if (operation.in_thread) text += ", in the thread";
  if (operation.async_stores) text += ", unheard";
  if (operation.keep_size) text += ", keeping the size";
  if (operation.forgets) text += ", the store forgets";
  if (operation.clean) text += ", closed before";
  if (operation.pieces > 1) text += fmt::format(", {} pieces", operation.pieces);
  if (operation.submitted) text += ", submitted";
  if (operation.path == IoPath::kDirect) text += ", direct";
  if (operation.path == IoPath::kCached) text += ", cached";
  if (operation.misplaced) text += ", misplaced";
  if (operation.way == Way::kPassed) text += ", deadline passed";
  if (operation.way == Way::kSoon) text += ", deadline soon";
  if (operation.way == Way::kStopped) text += ", stopped";
  if (operation.failure) {
    const Failure& f = *operation.failure;
    text += fmt::format("; store {} {} to {}{}", name_of(f.op), f.skip,
                        std::uint64_t{f.skip} + f.count - 1, f.hold ? " held" : " fails");
    if (!f.hold) text += f.error == std::errc::io_error ? " EIO" : " ENOSPC";
    if (f.drop) text += " and forgets";
  }
  return text;
}

}  // namespace quire::model
