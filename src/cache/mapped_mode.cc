#include "cache/mapped_mode.h"

#include "sync/check.h"

namespace quire::cache {

MappedMode::~MappedMode() {
  QUIRE_CHECK(uses_.load() == 0 && mappings_.load() == 0);
}

std::error_code MappedMode::begin(std::uint64_t size_pages, std::shared_ptr<Views> views) {
  QUIRE_CHECK(uses_.load() == 0);
  auto made = FileMemory::create(size_pages);
  if (!made.ok()) return made.error().code;
  if (views_ == nullptr) views_ = std::move(views);
  // Who ends the last use of the memory before this one has its address already.
  memory_.store(made.value().release());
  mappings_.fetch_add(1);
  uses_.store(1);
  return {};
}

bool MappedMode::join() noexcept {
  if (!enter()) return false;
  mappings_.fetch_add(1);
  return true;
}

void MappedMode::end() noexcept {
  QUIRE_CHECK(mappings_.fetch_sub(1) > 0);
  leave();
}

bool MappedMode::enter() noexcept {
  std::uint64_t uses = uses_.load();
  while (uses != 0) {
    if (uses_.compare_exchange_weak(uses, uses + 1)) return true;
  }
  return false;
}

void MappedMode::leave() noexcept {
  FileMemory* memory = memory_.load();
  const std::uint64_t before = uses_.fetch_sub(1);
  QUIRE_CHECK(before > 0);
  if (before > 1) return;
  // Nobody has it, and nobody finds it any more. There may be another by now.
  const std::unique_ptr<FileMemory> last(memory);
  memory_.compare_exchange_strong(memory, nullptr);
}

}  // namespace quire::cache
