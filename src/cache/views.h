// Views: the mappings through which programs see the pages of one file, as the engine sees them. It takes pages
// out of their sight before it changes or forgets them; to bring a page into sight is the business of whoever
// answers the fault (the engine's page words say when that may be).
//
// Who calls: the engine, under a seal, a pin or whatever else keeps the pages from coming into sight again until
// what it is about has happened. Must not wait for anybody who touches a mapping.
//
// Invariant:
//  1. A page can be stored into, through some view, only while it is dirty or rewritten, or `writing` for whoever
//     is about to make it so.
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

  // From now on a store into any of `count` pages from `first` on is a fault, through every view.
  virtual void protect(std::uint64_t first, std::uint64_t count) noexcept = 0;
  // From now on every access is.
  virtual void hide(std::uint64_t first, std::uint64_t count) noexcept = 0;
};

}  // namespace quire::cache

#endif  // QUIRE_CACHE_VIEWS_H_
