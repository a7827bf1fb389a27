#include "store/conformance_space.h"

#include <fmt/format.h>

#include <new>

#include "quire/limits.h"

namespace quire::store {
namespace {

// The answer to one that has ended well; nothing told if it has not.
SpaceRequest space_answer(Probe& probe, const ProbeRequestPtr& request) {
  if (!probe.wait(request)) return {};
  if (!probe.expect(!request->error(), "reserve_pages: " + request->error().message())) return {};
  return *std::launder(reinterpret_cast<const SpaceRequest*>(request->memory().data()));
}

}  // namespace

ProbeRequestPtr start_reserving(Probe& probe, ObjectHandle object, const SpaceRequest& asked,
                                IoMode mode) {
  return probe.start(
      [&](ProbeRequest& request) {
        auto* const space = new (request.memory().data()) SpaceRequest(asked);
        probe.store().reserve_pages(object, *space, mode, request);
      },
      sizeof(SpaceRequest));
}

void space_is_told_page_by_page(Probe& probe) {
  using limits::kPageBytes;
  Store& store = probe.store();
  if (!store.traits().reserves_space) return;
  const ObjectHandle object = probe.open();
  const auto bytes = probe_pattern(2 * kPageBytes, 21);
  probe.write(object, 0, bytes);
  probe.truncate(object, 16 * kPageBytes);
  probe.write(object, 8 * kPageBytes, bytes);
  const auto ask = [&](std::uint64_t offset, std::size_t first, std::size_t end, IoMode mode) {
    SpaceRequest space;
    space.offset = offset;
    space.pages = 16;
    space.first = first;
    space.end = end;
    return space_answer(probe, start_reserving(probe, object, space, mode));
  };
  const auto is = [](std::size_t page) { return page < 2 || page == 8 || page == 9; };
  const SpaceRequest first = ask(0, 4, 12, IoMode::kWait);
  probe.expect(probe.stat(object).size_bytes == 16 * kPageBytes, "reserve_pages changed the size");
  if (!first.told) {
    probe.expect(first.had_space.none() && first.had_none.none(),
                 "reserve_pages tells, and says that it does not");
    return;
  }
  for (std::size_t page = 0; page < 16; ++page) {
    probe.expect(first.had_space[page] == is(page) && first.had_none[page] != is(page),
                 fmt::format("reserve_pages is wrong about page {}", page));
  }
  const auto expect_space = [&](std::size_t page, bool expected, const char* when) {
    const SpaceRequest now = ask(0, 0, 0, IoMode::kAsync);
    probe.expect(now.had_space[page] == expected && now.had_none[page] != expected,
                 fmt::format("{} page {} has {} space", when, page, expected ? "no" : "still"));
  };
  expect_space(4, true, "after reserve_pages");
  expect_space(12, false, "after reserve_pages");
  const ProbeRequestPtr released =
      probe.start([&](IoDone& done) { store.release(object, 0, 11 * kPageBytes, done); });
  if (!probe.wait(released)) return;
  probe.expect(!released->error(), "release: " + released->error().message());
  for (const std::size_t page : {0u, 8u, 11u}) expect_space(page, true, "after release");
  for (const std::size_t page : {4u, 10u}) expect_space(page, false, "after release");
  probe.expect(probe.stat(object).size_bytes == 16 * kPageBytes, "release changed the size");
  probe.expect_bytes(object, 0, bytes, "after release");
  probe.expect_bytes(object, 8 * kPageBytes, bytes, "after release");

  // Behind the end it is truncate() that gives back, be it to the size that the object has.
  const SpaceRequest beyond = ask(16 * kPageBytes, 0, 4, IoMode::kAsync);
  probe.expect(beyond.had_none.count() == 16, "there is space behind the end");
  const SpaceRequest taken = ask(16 * kPageBytes, 0, 0, IoMode::kWait);
  probe.expect(taken.had_space.count() == 4, "no space was taken behind the end");
  probe.truncate(object, 16 * kPageBytes);
  const SpaceRequest gone = ask(16 * kPageBytes, 0, 0, IoMode::kWait);
  probe.expect(gone.had_none.count() == 16,
               "truncate to the size that it has leaves space behind the end");
}

}  // namespace quire::store
