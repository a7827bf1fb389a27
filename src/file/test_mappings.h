// StandIn: what tests take for a mapping of a file: memory that is in the table of mappings, whose pages cannot be
// accessed before the library has asked for them. So a read or write that touches them in any other way ends the
// test by a signal. What a fault does there the test says; as a rule it reads the file.
#ifndef QUIRE_FILE_TEST_MAPPINGS_H_
#define QUIRE_FILE_TEST_MAPPINGS_H_

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "file/mapping_table.h"
#include "quire/limits.h"

namespace quire::file {

inline const std::error_code kEfault = std::make_error_code(std::errc::bad_address);

class StandIn {
 public:
  // Fills a page, which shows the file from `offset` on, or says why it cannot.
  using Fault = std::function<std::error_code(std::uint64_t offset, std::span<std::byte> page)>;

  // `pages` pages that show the file with that serial from `offset` on.
  StandIn(std::uint64_t file, std::uint64_t offset, std::size_t pages, Fault fault)
      : bytes_(reserve(pages)),
        memory_(std::make_shared<Memory>(bytes_, offset, std::move(fault))) {
    MappingTable::of_process().add(
        {.bytes = bytes_, .file = file, .offset = offset, .memory = memory_});
  }
  ~StandIn() {
    MappingTable::of_process().remove(bytes_);
    EXPECT_EQ(::munmap(bytes_.data(), bytes_.size()), 0);
  }
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }
  // Pages that were brought in, each time counted.
  std::size_t prepared() const { return memory_->prepared; }
  // What is in it now, whether it could be accessed or not.
  std::vector<std::byte> contents() const {
    memory_->protect(bytes_, PROT_READ | PROT_WRITE);
    return {bytes_.begin(), bytes_.end()};
  }
  void fill(char with) {
    memory_->protect(bytes_, PROT_READ | PROT_WRITE);
    std::memset(bytes_.data(), with, bytes_.size());
    evict();
  }
  // No page can be accessed, until it is prepared again.
  void evict() {
    memory_->protect(bytes_, PROT_NONE);
    memory_->present.assign(memory_->present.size(), false);
  }

 private:
  struct Memory final : MappedMemory {
    Memory(std::span<std::byte> all_bytes, std::uint64_t file_offset, Fault on_fault)
        : all(all_bytes),
          offset(file_offset),
          fault(std::move(on_fault)),
          present(all_bytes.size() / limits::kPageBytes) {}

    Copied load(std::span<const std::byte> part, std::span<std::byte> to,
                const sync::WaitLimit& /*limit*/) override {
      const Copied ready = prepare(part);
      std::memcpy(to.data(), part.data(), ready.bytes);
      return ready;
    }
    Copied store(std::span<std::byte> part, std::span<const std::byte> from,
                 const sync::WaitLimit& /*limit*/) override {
      const Copied ready = prepare(part);
      std::memcpy(part.data(), from.data(), ready.bytes);
      return ready;
    }
    Copied prepare(std::span<const std::byte> part) {
      const auto begin = static_cast<std::size_t>(part.data() - all.data());
      const std::size_t end = begin + part.size();
      constexpr std::size_t kStep = limits::kPageBytes;
      for (std::size_t at = begin / kStep * kStep; at < end; at += kStep) {
        if (present[at / kStep]) continue;
        // What is brought in elsewhere first, as a frame is, and then shown.
        std::vector<std::byte> page(kStep);
        if (const std::error_code error = fault(offset + at, page)) {
          return {at < begin ? 0 : at - begin, error};
        }
        protect(all.subspan(at, kStep), PROT_READ | PROT_WRITE);
        std::memcpy(all.data() + at, page.data(), kStep);
        present[at / kStep] = true;
        ++prepared;
      }
      return {part.size(), {}};
    }
    static void protect(std::span<std::byte> bytes, int how) {
      EXPECT_EQ(::mprotect(bytes.data(), bytes.size(), how), 0);
    }

    const std::span<std::byte> all;
    const std::uint64_t offset;
    const Fault fault;
    std::vector<bool> present;  // by page
    std::size_t prepared = 0;
  };

  static std::span<std::byte> reserve(std::size_t pages) {
    const std::size_t bytes = pages * limits::kPageBytes;
    void* const begin = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(begin, MAP_FAILED);
    return {static_cast<std::byte*>(begin), bytes};
  }

  const std::span<std::byte> bytes_;
  const std::shared_ptr<Memory> memory_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_TEST_MAPPINGS_H_
