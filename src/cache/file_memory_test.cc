// The memory of a mapped file by itself.
#include "cache/file_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

namespace quire::cache {
namespace {

constexpr std::uint64_t kWindowPages = limits::kMapWindowBytes / limits::kPageBytes;

std::uint64_t pages_held(const FileMemory& memory) {
  struct stat status = {};
  EXPECT_EQ(::fstat(memory.fd(), &status), 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512 / limits::kPageBytes;
}

// Fails if a window shows another part of the file than its own.
TEST(FileMemory, AByteHasTheOffsetThatItHasInTheFile) {
  const std::uint64_t pages = 5 * kWindowPages;
  const auto memory = std::move(FileMemory::create(pages).value());
  EXPECT_FALSE(memory->has_window(0));
  ASSERT_FALSE(memory->open_windows(kWindowPages - 1, 2));
  EXPECT_TRUE(memory->has_window(0));
  EXPECT_TRUE(memory->has_window(kWindowPages));
  EXPECT_FALSE(memory->has_window(2 * kWindowPages));
  ASSERT_FALSE(memory->open_windows(4 * kWindowPages + 7, 1));
  for (const std::uint64_t page :
       {std::uint64_t{0}, kWindowPages - 1, kWindowPages, 4 * kWindowPages + 7}) {
    std::memset(memory->at(page), 'a', limits::kPageBytes);
    char byte = 0;
    ASSERT_EQ(::pread(memory->fd(), &byte, 1, static_cast<off_t>(page * limits::kPageBytes)), 1);
    EXPECT_EQ(byte, 'a');
  }
  EXPECT_EQ(pages_held(*memory), 4u);
}

// Fails if a window, or a hole, reaches beyond what can be mapped.
TEST(FileMemory, TheLargestFileHasAllPagesButTheLast) {
  const std::uint64_t pages = (limits::kFileSizeMaxBytes + 1) / limits::kPageBytes;
  const auto memory = std::move(FileMemory::create(pages).value());
  EXPECT_EQ(memory->size_pages(), pages);
  ASSERT_FALSE(memory->open_windows(pages - 2, 1));
  std::memset(memory->at(pages - 2), 'a', limits::kPageBytes);
  EXPECT_EQ(memory->open_windows(pages - 1, 1), std::errc::value_too_large);
  EXPECT_TRUE(memory->has_window(pages - 2));
  EXPECT_FALSE(memory->has_window(pages - 1)) << "its window is a page shorter than others";
  EXPECT_EQ(pages_held(*memory), 1u);
  memory->punch(pages - 1, 1);
  EXPECT_EQ(pages_held(*memory), 1u);
  memory->punch(pages - 2, 2);
  EXPECT_EQ(pages_held(*memory), 0u);
}

// Fails if a page that was punched, or lay beyond the end, comes back with what it held.
TEST(FileMemory, WhatIsTakenOutIsGone) {
  const auto memory = std::move(FileMemory::create(8).value());
  ASSERT_FALSE(memory->open_windows(0, 8));
  for (std::uint64_t page = 0; page < 8; ++page)
    std::memset(memory->at(page), 'a', limits::kPageBytes);
  memory->punch(2, 2);
  EXPECT_EQ(pages_held(*memory), 6u);
  EXPECT_EQ(*memory->at(1), std::byte{'a'});
  EXPECT_EQ(*memory->at(2), std::byte{0});
  ASSERT_FALSE(memory->resize(5));
  ASSERT_FALSE(memory->resize(8));
  EXPECT_EQ(*memory->at(4), std::byte{'a'});
  EXPECT_EQ(*memory->at(5), std::byte{0});
  memory->punch(7, 100);  // as far as it reaches
  memory->punch(100, 1);
  EXPECT_EQ(memory->size_pages(), 8u);
}

}  // namespace
}  // namespace quire::cache
