#include "quire/file.h"

#include <utility>

#include "file/cache_impl.h"

namespace quire {
namespace {

Error not_open(const char* what) {
  return Error(Errc::kClosed, what);
}

std::pair<std::uint64_t, std::uint64_t> pages(std::uint64_t offset, std::uint64_t length) {
  const bool to_end = length == 0 || offset + length < offset;
  return {cache::page_index(offset),
          to_end ? ~std::uint64_t{0} : cache::page_index(offset + length - 1)};
}

}  // namespace

File::File() noexcept = default;
File::File(std::unique_ptr<FileImpl> impl) noexcept : impl_(std::move(impl)) {}
File::File(File&&) noexcept = default;

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    File closing(std::move(*this));
    impl_ = std::move(other.impl_);
  }
  return *this;
}

File::~File() {
  if (impl_ == nullptr) return;
  impl_->close_and_log();
}

bool File::is_open() const noexcept {
  return impl_ != nullptr;
}

Status File::close() {
  if (impl_ == nullptr) return not_open("closing a file");
  const std::unique_ptr<FileImpl> impl = std::move(impl_);
  return impl->close();
}

Result<std::size_t> File::read(std::span<std::byte> buffer, std::uint64_t offset,
                               const CallOptions& call) {
  if (impl_ == nullptr) return not_open("reading");
  return impl_->read(buffer, offset, call);
}

Result<std::size_t> File::readv(std::span<const std::span<std::byte>> buffers, std::uint64_t offset,
                                const CallOptions& call) {
  if (impl_ == nullptr) return not_open("reading");
  return impl_->readv(buffers, offset, call);
}

Result<std::size_t> File::write(std::span<const std::byte> buffer, std::uint64_t offset,
                                const CallOptions& call) {
  return writev({&buffer, 1}, offset, call);
}

Result<std::size_t> File::writev(std::span<const std::span<const std::byte>> buffers,
                                 std::uint64_t offset, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("writing");
  offset = file::given_offset(offset);
  return impl_->writev(buffers, &offset, call);
}

Result<std::uint64_t> File::append(std::span<const std::byte> buffer, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("appending");
  return impl_->append(buffer, call);
}

Status File::truncate(std::uint64_t size_bytes, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("truncating");
  return impl_->truncate(size_bytes, call);
}

Status File::allocate(std::uint64_t offset, std::uint64_t length, bool keep_size,
                      const CallOptions& call) {
  if (impl_ == nullptr) return not_open("allocating");
  return impl_->allocate(offset, length, keep_size, call);
}

Status File::punch(std::uint64_t offset, std::uint64_t length, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("punching");
  return impl_->cut(Cut::kPunch, offset, length, true, call);
}

Status File::zero(std::uint64_t offset, std::uint64_t length, bool keep_size,
                  const CallOptions& call) {
  if (impl_ == nullptr) return not_open("zeroing");
  return impl_->cut(Cut::kZero, offset, length, keep_size, call);
}

Status File::insert(std::uint64_t offset, std::uint64_t length, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("inserting");
  return impl_->cut(Cut::kInsert, offset, length, false, call);
}

Status File::collapse(std::uint64_t offset, std::uint64_t length, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("collapsing");
  return impl_->cut(Cut::kCollapse, offset, length, false, call);
}

Status File::sync(const CallOptions& call) {
  if (impl_ == nullptr) return not_open("syncing");
  return impl_->sync(0, ~std::uint64_t{0}, SyncKind::kAll, call);
}

Status File::datasync(const CallOptions& call) {
  if (impl_ == nullptr) return not_open("syncing");
  return impl_->sync(0, ~std::uint64_t{0}, SyncKind::kData, call);
}

Status File::sync_range(std::uint64_t offset, std::uint64_t length, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("syncing");
  const auto [first, last] = pages(offset, length);
  return impl_->sync(first, last, SyncKind::kData, call);
}

Status File::invalidate(std::uint64_t offset, std::uint64_t length, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("invalidating");
  const auto [first, last] = pages(offset, length);
  return impl_->invalidate(first, last, call);
}

Status File::write_and_invalidate(std::uint64_t offset, std::uint64_t length,
                                  const CallOptions& call) {
  if (impl_ == nullptr) return not_open("writing and invalidating");
  const auto [first, last] = pages(offset, length);
  return impl_->write_and_invalidate(first, last, call);
}

Status File::advise(std::uint64_t offset, std::uint64_t length, Advice advice) {
  if (impl_ == nullptr) return not_open("advising");
  const auto [first, last] = pages(offset, length);
  return impl_->advise(first, last, advice);
}

Result<FileStat> File::stat() {
  if (impl_ == nullptr) return not_open("stat");
  return impl_->stat();
}

Status File::set_times(const TimeSpec* atime, const TimeSpec* mtime) {
  if (impl_ == nullptr) return not_open("setting times");
  return impl_->set_times(atime, mtime);
}

Status File::submit(Op op, OnDone on_done, const CallOptions& call) {
  if (impl_ == nullptr) return not_open("submitting");
  return impl_->submit(op, std::move(on_done), call);
}

}  // namespace quire
