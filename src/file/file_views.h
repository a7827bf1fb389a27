// FileViews: all mappings of one file, for the engine, which takes pages out of their sight before it changes or
// forgets them (cache/views.h). Every mapping is told: a page that one of them still shows could be stored into.
//
// Who calls: add(), unmap(), hear_last() and remove() who maps and unmaps; begin_watching() faults; protect(), hide()
// and ask() the engine, as said there. The lock is held over system calls of views, and never over a wait for anybody
// who accesses one.
#ifndef QUIRE_FILE_FILE_VIEWS_H_
#define QUIRE_FILE_FILE_VIEWS_H_

#include <cstdint>
#include <vector>

#include "cache/file_pages.h"
#include "cache/views.h"
#include "map/view.h"
#include "quire/result.h"
#include "sync/rw_lock.h"

namespace quire::file {

class FileViews final : public cache::Views {
 public:
  // `view` shows `pages` from `first_page` on, and nothing is in its sight yet. Until remove(), which its owner calls
  // before it goes. False: there is no memory for it.
  [[nodiscard]] bool add(map::View& view, std::uint64_t first_page,
                         cache::FilePages& pages) noexcept;
  void remove(const map::View& view) noexcept;

  // Unmaps part of `view`, closed off, which shows `pages` there from `page` on. If it watches it is asked for the last
  // time, and the page words tell what it says before anybody can ask the others. Errors: those of View::unmap().
  Status unmap(map::View& view, std::size_t first, std::size_t count, cache::FilePages& pages,
               std::uint64_t page) noexcept;
  // The first half of it, for a view that the kernel does not unmap, and that is to be forgotten.
  void hear_last(map::View& view, std::size_t first, std::size_t count, cache::FilePages& pages,
                 std::uint64_t page) noexcept;

  // `by`, which watches, is about to show the page, which was not watched. From now on no view tells of a store to it
  // that there was not: it is marked where it is out of sight. add() does the same for pages that are watched already.
  void begin_watching(std::uint64_t page, const map::View& by) noexcept;

  void protect(std::uint64_t first, std::uint64_t count) noexcept override;
  void hide(std::uint64_t first, std::uint64_t count) noexcept override;
  void ask(std::uint64_t first, std::uint64_t count, Told& told) noexcept override;

 private:
  struct Shown {
    map::View* view;
    std::uint64_t first_page;
  };
  // Calls act(view, first, count, page) for the part that each view has of the pages, of which the first is `page`.
  // REQUIRES: lock_.
  template <class Act>
  void for_each(std::uint64_t first, std::uint64_t count, const Act& act) const noexcept;

  // REQUIRES: lock_, alone.
  void hear(map::View& view, std::size_t first, std::size_t count, cache::FilePages& pages,
            std::uint64_t page) noexcept;

  // Alone by who changes what there is, or unmaps what watches.
  mutable sync::RwLock lock_{sync::Rank::kFileViews};
  std::vector<Shown> views_;
};

}  // namespace quire::file

#endif  // QUIRE_FILE_FILE_VIEWS_H_
