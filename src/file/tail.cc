#include "file/tail.h"

#include <cstring>

#include "cache/page_write.h"
#include "fault/planted.h"

namespace quire::file {
namespace {

bool may_be_stored_into(Inode& inode, std::uint64_t index) {
  const cache::FilePages::Walker walker(inode);
  const cache::PageWord* const word = inode.find(index);
  return word != nullptr && word->load().in_file();
}

}  // namespace

std::error_code settle_tail(Inode& inode, const sync::WaitLimit& limit) {
  if (!inode.has_memory()) [[likely]]
    return {};
  const std::uint64_t size = inode.size_bytes();
  const std::size_t in_page = size & cache::kInPage;
  const std::uint64_t index = cache::page_index(size);
  if (in_page == 0 || !may_be_stored_into(inode, index)) return {};
  if (fault::planted(fault::Planted::kSkipTailSettling)) return {};

  cache::PageWrite page(inode);
  const std::error_code error = page.begin(index, 0, 0, limit);
  if (error) return error;
  // While the page is held nobody brings it into sight again.
  inode.hide(index, 1);
  std::memset(page.bytes() + in_page, 0, limits::kPageBytes - in_page);
  return {};
}

}  // namespace quire::file
