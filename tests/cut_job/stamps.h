// What the pages of the cuts section hold: each is filled with words that tell whose page it is and which
// write made it, and that differ within the page. So whoever reads a page can say what it ought to hold,
// and whether it is the right page, whole, in its place and of the right age.
#ifndef QUIRE_TESTS_CUT_JOB_STAMPS_H_
#define QUIRE_TESTS_CUT_JOB_STAMPS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "main_job/target.h"
#include "quire/limits.h"

namespace quire::cut_job {

using main_job::Bytes;
using main_job::ConstBytes;
using main_job::Failure;

inline constexpr std::size_t kPage = limits::kPageBytes;

struct Stamp {
  std::uint32_t file = 0;    // below 2^8
  std::uint32_t place = 0;   // below 2^24: the page's number, or kTailPlace for pages that move
  std::uint32_t serial = 0;  // of the write; 0: no write, the page is zero
};
inline constexpr std::uint32_t kTailPlace = 0xffffff;

// What a page holds: the first `valid_bytes` of what `stamp` says, then zeros.
struct PageContent {
  Stamp stamp;
  std::uint32_t valid_bytes = kPage;
};

// Writes what bytes [in_page, in_page + part.size()) of such a page hold.
void render(const PageContent& content, std::size_t in_page, Bytes part);
// Whether they hold that.
bool holds(const PageContent& content, std::size_t in_page, ConstBytes part);

bool all_zero(ConstBytes bytes);

// In words, for a person: what this part of a page seems to hold.
std::string describe(std::size_t in_page, ConstBytes part);

}  // namespace quire::cut_job

#endif  // QUIRE_TESTS_CUT_JOB_STAMPS_H_
