#include "file/test_no_memory.h"

#include <cstdlib>
#include <new>

namespace {

thread_local bool limited = false;
thread_local std::size_t left_to_give = 0;
thread_local std::size_t left_to_refuse = 0;

bool refuse() noexcept {
  if (!limited) return false;
  if (left_to_give > 0) {
    --left_to_give;
    return false;
  }
  if (left_to_refuse == 0) return false;
  --left_to_refuse;
  return true;
}

void* allocate(std::size_t bytes) noexcept {
  return refuse() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}
void* allocate(std::size_t bytes, std::align_val_t alignment) noexcept {
  const auto to = static_cast<std::size_t>(alignment);
  return refuse() ? nullptr : std::aligned_alloc(to, (bytes + to - 1) / to * to);
}

}  // namespace

void* operator new(std::size_t bytes) {
  if (void* const memory = allocate(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (void* const memory = allocate(bytes, alignment)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace quire::file {

NoMemory::NoMemory(std::size_t left, std::size_t times) noexcept {
  left_to_give = left;
  left_to_refuse = times;
  limited = true;
}

NoMemory::~NoMemory() {
  limited = false;
}

std::size_t NoMemory::left() noexcept {
  return left_to_give;
}

std::size_t NoMemory::refusals_left() noexcept {
  return left_to_refuse;
}

}  // namespace quire::file
