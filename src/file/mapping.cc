#include "quire/mapping.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <utility>

#include "file/bus_handler.h"
#include "file/cache_impl.h"
#include "file/fault_service.h"
#include "file/file_view.h"
#include "file/file_views.h"
#include "file/in_thread_fault.h"
#include "file/mapping_table.h"
#include "map/bus_access.h"
#include "map/view.h"
#include "sync/range_lock.h"

namespace quire {
namespace {

using cache::page_index;
using cache::page_offset;

map::Access to_access(MapAccess access) {
  return access == MapAccess::kRead ? map::Access::kRead : map::Access::kReadWrite;
}

// Errors of a mapping that nobody made yet.
std::error_code check(std::uint64_t offset, std::uint64_t length, const MapOptions& options) {
  if (length == 0 || (offset & cache::kInPage) != 0) {
    return std::make_error_code(std::errc::invalid_argument);
  }
  if (offset >= limits::kFileSizeMaxBytes || length > limits::kFileSizeMaxBytes - offset) {
    return std::make_error_code(std::errc::value_too_large);
  }
  if (!options.shared && options.access != MapAccess::kRead) {
    return std::make_error_code(std::errc::not_supported);
  }
  if (options.in_thread && !map::kBusAccessKnown) {
    return std::make_error_code(std::errc::function_not_supported);
  }
  return {};
}

}  // namespace

// What stands behind a Mapping. Has the file open by itself.
class MappingImpl {
 public:
  static Result<std::unique_ptr<MappingImpl>> make(FileImpl& file, std::uint64_t offset,
                                                   std::uint64_t length, const MapOptions& options,
                                                   const CallOptions& call);
  ~MappingImpl() = default;
  MappingImpl(const MappingImpl&) = delete;
  MappingImpl& operator=(const MappingImpl&) = delete;

  std::span<std::byte> memory() const noexcept { return view_->view().memory(); }
  FileImpl& file() noexcept { return *file_; }
  file::FileView& view() noexcept { return *view_; }
  MapAccess most() const noexcept { return most_; }

  // Pages of the view.
  struct Part {
    std::size_t first = 0;
    std::size_t count = 0;
  };
  // EINVAL where it does not lie in the mapping.
  Result<Part> part(std::size_t offset, std::size_t length) const;
  std::uint64_t page(std::size_t place) const noexcept { return view_->first_page() + place; }
  Status unmap(Part part);
  // All of it, whatever the kernel says to that.
  Status unmap_all();
  // The child of a fork has nothing to unmap.
  bool forked() const noexcept { return file_->usable(OpenFlags{}) == Errc::kForked; }

 private:
  std::span<std::byte> bytes(Part part) const noexcept {
    return memory().subspan(part.first * limits::kPageBytes, part.count * limits::kPageBytes);
  }
  MappingImpl(std::shared_ptr<file::FileView> view, MapAccess most)
      : view_(std::move(view)), most_(most) {}

  std::unique_ptr<FileImpl> file_;  // set by make(), and not changed
  const std::shared_ptr<file::FileView> view_;
  const MapAccess most_;  // that the file was open for
};

namespace {

// From now on the file's pages can be mapped.
Result<cache::FilePages::Mapped> begin_mapped(file::Inode& inode, const sync::WaitLimit& limit) {
  if (cache::FilePages::Mapped joined = inode.join_mapped()) return joined;
  sync::RangeLock::Hold range;
  const sync::WaitStatus status = inode.lock_range(range, 0, ~std::uint64_t{0}, limit);
  if (status != sync::WaitStatus::kReady) return Error(sync::to_error(status), {});
  const sync::RangeGuard guard(inode.ranges(), range);
  return inode.begin_mapped(std::make_shared<file::FileViews>());
}

}  // namespace

Result<std::unique_ptr<MappingImpl>> MappingImpl::make(FileImpl& file, std::uint64_t offset,
                                                       std::uint64_t length,
                                                       const MapOptions& options,
                                                       const CallOptions& call) {
  Result<std::unique_ptr<FileImpl>> opened =
      file.reopen(has(file.flags(), OpenFlags::kWrite) ? OpenFlags::kReadWrite : OpenFlags::kRead);
  if (!opened) return std::move(opened).error();
  std::unique_ptr<FileImpl> own = std::move(*opened);
  const std::shared_ptr<file::Inode> inode = own->inode();
  const auto give_up = [&](Error error) {
    own->close_and_log();
    return Error(error.code, fmt::format("mapping {}{}{}", inode->path(),
                                         error.context.empty() ? "" : ": ", error.context));
  };
  const bool stores = has(own->flags(), OpenFlags::kWrite) && options.shared;
  const bool watches = options.async_stores && stores;
  if (watches && inode->space() != nullptr) {
    return give_up(Error(
        std::errc::not_supported,
        "async_stores: space is taken before a page is stored into, and of such stores nobody "
        "hears in time; map without async_stores, or make the cache with "
        "CacheOptions::reserve_space = false"));
  }
  if (options.in_thread) {
    if (Status installed = file::BusHandler::install(); !installed) {
      return give_up(std::move(installed).error());
    }
  }
  try {
    Result<file::FaultService::Use> service =
        file::FaultService::of_process({.in_thread = options.in_thread, .async_stores = watches});
    if (!service) return give_up(std::move(service).error());
    Result<cache::FilePages::Mapped> mapped = begin_mapped(*inode, to_limit(call));
    if (!mapped) return give_up(std::move(mapped).error());
    Result<std::unique_ptr<map::View>> made = map::View::map(
        (*service)->userfault(), inode->memory()->fd(), offset,
        static_cast<std::size_t>(cache::pages_of(length)), to_access(options.access));
    if (!made) return give_up(std::move(made).error());
    map::View& view = **made;
    const auto shared = std::make_shared<file::FileView>(
        std::move(*service), inode, std::move(*mapped), std::move(*made), page_index(offset));
    // Whatever needs memory comes before the view is known.
    std::unique_ptr<MappingImpl> impl(
        new MappingImpl(shared, stores ? MapAccess::kReadWrite : MapAccess::kRead));
    auto& views = static_cast<file::FileViews&>(inode->views());
    if (!views.add(view, page_index(offset), *inode)) throw std::bad_alloc();
    try {
      file::MappingTable::of_process().add(
          {.bytes = view.memory(), .file = inode->serial(), .offset = offset, .memory = shared});
    } catch (const std::bad_alloc&) {
      views.remove(view);
      throw;
    }
    impl->file_ = std::move(own);
    return impl;
  } catch (const std::bad_alloc&) {
    return give_up(Error(std::errc::not_enough_memory, {}));
  }
}

Result<MappingImpl::Part> MappingImpl::part(std::size_t offset, std::size_t length) const {
  const std::size_t size = memory().size();
  if (offset >= size || length > size - offset) {
    return Error(std::errc::invalid_argument, fmt::format("bytes {} to {} of a mapping of {} bytes",
                                                          offset, offset + length, size));
  }
  const std::size_t end = length == 0 ? size : offset + length;
  const std::size_t first = offset / limits::kPageBytes;
  return Part{first, static_cast<std::size_t>(cache::pages_of(end)) - first};
}

Status MappingImpl::unmap(Part part) {
  map::View& view = view_->view();
  // What the table does not know must not ask for pages, or it would ask for ever; and what is unmapped must not be in
  // it, since it may be somebody else's at once. So first it is made sure that it can be unmapped.
  Status closed = view.close_off(part.first, &part.count);
  if (part.count == 0) return closed;
  // What could not be taken out of the table before goes with the rest.
  if (view.mapped_pages() == 0) part = {0, view.pages()};
  if (!file::MappingTable::of_process().remove(bytes(part), view_.get())) {
    // Nobody can access it, and it can be unmapped later.
    return file_->fail(std::make_error_code(std::errc::not_enough_memory), "unmapping a part of");
  }
  // Before the file forgets it: as long as there are accesses the engine sees to them.
  auto& views = static_cast<file::FileViews&>(view_->inode().views());
  Status unmapped = views.unmap(view, part.first, part.count, view_->inode(), page(part.first));
  if (view.mapped_pages() > 0) return closed ? std::move(unmapped) : std::move(closed);
  views.remove(view);
  return file_->close();
}

Status MappingImpl::unmap_all() {
  const Part all{0, view_->view().pages()};
  Status unmapped = unmap(all);
  map::View& view = view_->view();
  if (view.mapped_pages() == 0) return unmapped;
  // The kernel is at its limit of mappings. Whoever accesses what is left of it accesses what he has unmapped.
  (void)file::MappingTable::of_process().remove(bytes(all), view_.get());
  auto& views = static_cast<file::FileViews&>(view_->inode().views());
  views.hear_last(view, all.first, all.count, view_->inode(), page(all.first));
  views.remove(view);
  file_->close_and_log();
  return unmapped;
}

Result<Mapping> File::map(std::uint64_t offset, std::uint64_t length, const MapOptions& options,
                          const CallOptions& call) {
  if (impl_ == nullptr) return Error(Errc::kClosed, "mapping a file that is not open");
  std::error_code error = impl_->usable(OpenFlags{});
  if (!error) error = check(offset, length, options);
  const bool stores = options.shared && options.access == MapAccess::kReadWrite;
  if (!error && (!has(impl_->flags(), OpenFlags::kRead) ||
                 (stores && !has(impl_->flags(), OpenFlags::kWrite)))) {
    error = std::make_error_code(std::errc::permission_denied);
  }
  if (error == std::errc::not_supported) {
    return impl_->fail(error,
                       "no private writable mappings: what they hold that the file does not would "
                       "be lost when it is cut; map it for reading, and copy: mapping");
  }
  if (error == std::errc::function_not_supported) {
    return impl_->fail(std::make_error_code(std::errc::not_supported),
                       "this processor does not tell loads from stores in a signal: leave out "
                       "in_thread: mapping");
  }
  if (error) return impl_->fail_at(error, "mapping", offset, length);
  Result<std::unique_ptr<MappingImpl>> made =
      MappingImpl::make(*impl_, offset, length, options, call);
  if (!made) return std::move(made).error();
  return Mapping(std::move(*made));
}

Mapping::Mapping() noexcept = default;
Mapping::Mapping(std::unique_ptr<MappingImpl> impl) noexcept : impl_(std::move(impl)) {}
Mapping::Mapping(Mapping&&) noexcept = default;

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this == &other) return *this;
  const Mapping old(std::move(*this));
  impl_ = std::move(other.impl_);
  return *this;
}

Mapping::~Mapping() {
  if (impl_ == nullptr) return;
  if (impl_->forked()) {
    // All of it is the parent's.
    static_cast<void>(impl_.release());
    return;
  }
  // Not by unmap(), which forgets what has the log.
  const Status unmapped = impl_->unmap_all();
  if (!unmapped) impl_->file().log_error(unmapped.error());
}

bool Mapping::is_mapped() const noexcept {
  return impl_ != nullptr;
}

std::byte* Mapping::data() const noexcept {
  return impl_ != nullptr ? impl_->memory().data() : nullptr;
}

std::size_t Mapping::size() const noexcept {
  return impl_ != nullptr ? impl_->memory().size() : 0;
}

namespace {

Error not_mapped(const char* what) {
  return Error(std::errc::invalid_argument, fmt::format("{} a mapping of nothing", what));
}

}  // namespace

Status Mapping::protect(std::size_t offset, std::size_t length, MapAccess access) {
  if (impl_ == nullptr) return not_mapped("protecting");
  const auto part = impl_->part(offset, length);
  if (!part) return part.error();
  if (access == MapAccess::kReadWrite && impl_->most() != MapAccess::kReadWrite) {
    return impl_->file().fail(std::make_error_code(std::errc::permission_denied),
                              "allowing stores to a mapping of");
  }
  return impl_->view().view().set_access(part->first, part->count, to_access(access));
}

Status Mapping::sync(std::size_t offset, std::size_t length, const CallOptions& call) {
  if (impl_ == nullptr) return not_mapped("syncing");
  const auto part = impl_->part(offset, length);
  if (!part) return part.error();
  return impl_->file().sync(impl_->page(part->first), impl_->page(part->first + part->count - 1),
                            SyncKind::kData, call);
}

Status Mapping::advise(std::size_t offset, std::size_t length, Advice advice) {
  if (impl_ == nullptr) return not_mapped("advising on");
  const auto part = impl_->part(offset, length);
  if (!part) return part.error();
  switch (advice) {
    case Advice::kNormal:
    case Advice::kSequential:
    case Advice::kRandom:
      impl_->view().advise(advice);
      return {};
    case Advice::kWillNeed:
    case Advice::kDontNeed:
      break;
  }
  return impl_->file().advise(impl_->page(part->first), impl_->page(part->first + part->count - 1),
                              advice);
}

Status Mapping::populate(std::size_t offset, std::size_t length, MapAccess access,
                         const CallOptions& call) {
  if (impl_ == nullptr) return not_mapped("populating");
  const auto part = impl_->part(offset, length);
  if (!part) return part.error();
  const auto failed = [&](std::error_code code) {
    return impl_->file().fail_at(code, "populating a mapping of",
                                 page_offset(impl_->page(part->first)),
                                 part->count * limits::kPageBytes);
  };
  if (const std::error_code error = impl_->file().usable(OpenFlags{})) return failed(error);
  const bool stores = access == MapAccess::kReadWrite;
  if (stores && impl_->most() != MapAccess::kReadWrite) {
    return failed(std::make_error_code(std::errc::not_supported));
  }
  const map::View& view = impl_->view().view();
  if (!view.allows(part->first, part->count, map::Access::kRead)) {
    return failed(std::make_error_code(std::errc::not_enough_memory));
  }
  if (stores && !view.allows(part->first, part->count, map::Access::kReadWrite)) {
    return failed(std::make_error_code(std::errc::permission_denied));
  }
  std::uint64_t first = impl_->page(part->first);
  const std::error_code error = impl_->view().bring_in(
      &first, first + part->count,
      stores ? file::MappedMemory::Access::kStore : file::MappedMemory::Access::kLoad,
      to_limit(call));
  if (error) return failed(error);
  return {};
}

Status Mapping::unmap(std::size_t offset, std::size_t length) {
  if (impl_ == nullptr) return not_mapped("unmapping");
  const auto part = impl_->part(offset, length);
  if (!part) return part.error();
  Status unmapped = impl_->unmap(*part);
  if (impl_->view().view().mapped_pages() == 0) impl_.reset();
  return unmapped;
}

Status Mapping::unmap() {
  if (impl_ == nullptr) return {};
  return unmap(0, 0);
}

std::error_code Mapping::last_error() const noexcept {
  return impl_ != nullptr ? impl_->view().last_error() : std::error_code();
}

bool answer_sigbus(const siginfo_t* info, void* ucontext) noexcept {
  const int before = errno;
  std::optional<map::BusAccess> access;
  if (info != nullptr) access = map::bus_access(*info, ucontext);
  const bool answered = access && file::answer_in_thread(*access);
  errno = before;
  return answered;
}

}  // namespace quire
