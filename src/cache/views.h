// Views: the mappings through which programs see the pages of one file, as the engine sees them. It takes pages
// out of their sight before it changes or forgets them, by hide() or by punching them out of the file's memory; to
// bring one into sight is the business of whoever answers the fault (the engine's page words say when that may be).
//
// Who calls: the engine, under a seal, a pin or whatever else keeps the pages from coming into sight again until
// what it is about has happened. Must not wait for anybody who touches a mapping.
//
// A view may *watch*: stores through it are no faults, and nobody hears of them; when it is asked it tells which pages
// were stored into. What it shows is marked as watched (page_word.h).
//
// Invariants:
//  1. A page can be stored into, through some view, only while it is dirty or rewritten, or `writing` for whoever
//     is about to make it so; and under writeback until protect() or ask().
//  2. A view that watches shows only pages that are watched, or that nobody may store into through it.
//  3. No store through a view that watches is lost to the questions: the next ask() tells of it, even if the view, or
//     the kernel, has taken the page out of sight since; who brings it into sight again asks before. A view that is
//     unmapped is asked before, and the page is not quiet if it says so.
#ifndef QUIRE_CACHE_VIEWS_H_
#define QUIRE_CACHE_VIEWS_H_

#include <cstdint>

namespace quire::cache {

class Views {
 public:
  Views() = default;
  Views(const Views&) = delete;
  Views& operator=(const Views&) = delete;
  virtual ~Views() = default;

  // From now on a store into any of `count` pages from `first` on is a fault, through every view that does not watch.
  virtual void protect(std::uint64_t first, std::uint64_t count) noexcept = 0;
  // From now on every access is.
  virtual void hide(std::uint64_t first, std::uint64_t count) noexcept = 0;

  // Who is told what the views that watch say of a page.
  class Told {
   public:
    // `mapped`: there is such a view of it. `stored`: since it was last asked about, or came into sight, it may have
    // been stored into. Nothing is unmapped meanwhile. Must not wait.
    virtual void told(std::uint64_t page, bool mapped, bool stored) noexcept = 0;

   protected:
    ~Told() = default;
  };
  // Asks the views that watch about each of the pages, in order. What is stored afterwards the next ask() tells of.
  // REQUIRES: nobody brings a page of them into sight now.
  virtual void ask(std::uint64_t first, std::uint64_t count, Told& told) noexcept = 0;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_VIEWS_H_
