// PageTree: the page words of one file, by page index. The generic radix tree over the seam's
// atomics, with nodes from the cache's own frames, so that they are paid from its budget.
//
// Look-ups are safe under a hazard guard on the page (hazard.h) or while FilePages counts a walker.
#ifndef QUIRE_CACHE_PAGE_TREE_H_
#define QUIRE_CACHE_PAGE_TREE_H_

#include "cache/page_word.h"
#include "quire/radix_tree.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace quire::cache {

struct PageTreeTraits : RadixTreeTraits {
  template <class U>
  using Atomic = sync::Atomic<U>;
  static void yield() noexcept { sync::yield_thread(); }
};

using PageTree = RadixTree<PageWord, PageTreeTraits>;

}  // namespace quire::cache

#endif  // QUIRE_CACHE_PAGE_TREE_H_
