#include "store/memory_object.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "sync/check.h"
#include "sync/clock.h"

namespace quire::store {

namespace {

constexpr std::uint64_t kPageBytes = limits::kPageBytes;

IoOutcome failed(std::errc code) {
  return {std::make_error_code(code), 0};
}

std::uint64_t page_of(std::uint64_t offset) {
  return offset / kPageBytes;
}
std::uint64_t pages_up_to(std::uint64_t end) {
  return (end + kPageBytes - 1) / kPageBytes;
}

// Whether [offset, offset + length) lies within the largest file.
bool in_file_range(std::uint64_t offset, std::uint64_t length) {
  return offset <= limits::kFileSizeMaxBytes && length <= limits::kFileSizeMaxBytes - offset;
}

// Walks [offset, end) over `buffers`, one piece within one page and one buffer at a time.
template <class Buffer>
class PieceCursor {
 public:
  struct Piece {
    std::uint64_t page = 0;
    std::size_t in_page = 0;
    Buffer bytes;  // empty: the end
  };

  PieceCursor(std::uint64_t offset, std::uint64_t end, std::span<const Buffer> buffers)
      : offset_(offset), end_(end), buffers_(buffers) {}

  Piece next() {
    while (rest_.empty()) {
      if (buffers_.empty()) return {};
      rest_ = buffers_.front();
      buffers_ = buffers_.subspan(1);
    }
    const std::size_t in_page = offset_ % kPageBytes;
    const std::size_t count =
        std::min<std::uint64_t>({rest_.size(), kPageBytes - in_page, end_ - offset_});
    const Piece piece{page_of(offset_), in_page, rest_.first(count)};
    rest_ = rest_.subspan(count);
    offset_ += count;
    return piece;
  }

 private:
  std::uint64_t offset_;
  const std::uint64_t end_;
  std::span<const Buffer> buffers_;
  Buffer rest_;
};

TimeSpec next_after(TimeSpec time) {
  if (time.nanoseconds == 999'999'999) return {time.seconds + 1, 0};
  return {time.seconds, time.nanoseconds + 1};
}

}  // namespace

MemoryObject::MemoryObject(ObjectId id, std::string path, std::uint32_t permissions,
                           std::uint32_t io_alignment_bytes, PageQuota& quota)
    : id_(id),
      path_(std::move(path)),
      permissions_(permissions & 07777),
      io_alignment_bytes_(io_alignment_bytes),
      quota_(quota) {
  const TimeSpec now = sync::Clock::wall();
  live_.stamps = {now, now, now};
  durable_.stamps = live_.stamps;
}

MemoryObject::~MemoryObject() {
  quota_.give(live_.pages.size() + reserved_.size());
}

template <class Buffers>
bool MemoryObject::misaligned(std::uint64_t offset, const Buffers& buffers,
                              std::uint64_t end) const {
  const std::uint64_t mask = io_alignment_bytes_ - 1;
  if ((offset & mask) != 0) return true;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if ((reinterpret_cast<std::uintptr_t>(buffers[i].data()) & mask) != 0) return true;
    const bool ends_object = i + 1 == buffers.size() && end >= live_.size_bytes;
    if ((buffers[i].size() & mask) != 0 && !ends_object) return true;
  }
  return false;
}

std::uint64_t MemoryObject::unpaid_pages(std::uint64_t first, std::uint64_t end) const {
  const auto live = std::distance(live_.pages.lower_bound(first), live_.pages.lower_bound(end));
  const auto reserved = std::distance(reserved_.lower_bound(first), reserved_.lower_bound(end));
  return end - first - static_cast<std::uint64_t>(live + reserved);
}

MemoryObject::Page& MemoryObject::writable_page(std::uint64_t index) {
  changed_.insert(index);
  std::shared_ptr<Page>& page = live_.pages[index];
  if (!page) {
    page = std::make_shared<Page>();
  } else if (page.use_count() > 1) {
    page = std::make_shared<Page>(*page);
  }
  return *page;
}

void MemoryObject::modified() {
  const TimeSpec now = sync::Clock::wall();
  live_.stamps.mtime = now;
  live_.stamps.ctime = now;
}

IoOutcome MemoryObject::read(std::uint64_t offset, std::span<const Store::Buffer> buffers) {
  sync::MutexLock lock(mutex_);
  const std::uint64_t asked = total_bytes(buffers);
  // The last page of the largest file is asked for whole and ends before.
  if (!in_file_range(offset, 0) || misaligned(offset, buffers, offset + asked)) {
    return failed(std::errc::invalid_argument);
  }
  live_.stamps.atime = sync::Clock::wall();
  const std::uint64_t end = std::min(offset + asked, live_.size_bytes);
  if (offset >= end) return {};
  PieceCursor<Store::Buffer> cursor(offset, end, buffers);
  for (auto piece = cursor.next(); !piece.bytes.empty(); piece = cursor.next()) {
    const auto page = live_.pages.find(piece.page);
    if (page == live_.pages.end()) {
      std::memset(piece.bytes.data(), 0, piece.bytes.size());
    } else {
      std::memcpy(piece.bytes.data(), page->second->data() + piece.in_page, piece.bytes.size());
    }
  }
  return {{}, static_cast<std::size_t>(end - offset)};
}

IoOutcome MemoryObject::write(std::uint64_t offset, std::span<const Store::ConstBuffer> buffers) {
  sync::MutexLock lock(mutex_);
  const std::uint64_t asked = total_bytes(buffers);
  if (!in_file_range(offset, asked)) return failed(std::errc::file_too_large);
  const std::uint64_t end = offset + asked;
  if (misaligned(offset, buffers, end)) return failed(std::errc::invalid_argument);
  if (asked == 0) return {};

  const std::uint64_t first = page_of(offset);
  const std::uint64_t last = pages_up_to(end);
  if (!quota_.take(unpaid_pages(first, last))) return failed(std::errc::no_space_on_device);
  reserved_.erase(reserved_.lower_bound(first), reserved_.lower_bound(last));
  PieceCursor<Store::ConstBuffer> cursor(offset, end, buffers);
  for (auto piece = cursor.next(); !piece.bytes.empty(); piece = cursor.next()) {
    std::memcpy(writable_page(piece.page).data() + piece.in_page, piece.bytes.data(),
                piece.bytes.size());
  }
  live_.size_bytes = std::max(live_.size_bytes, end);
  modified();
  return {{}, static_cast<std::size_t>(asked)};
}

void MemoryObject::zero_in_page(std::uint64_t index, std::size_t from, std::size_t to) {
  if (from == to || !live_.pages.contains(index)) return;
  Page& page = writable_page(index);
  std::memset(page.data() + from, 0, to - from);
}

void MemoryObject::drop_reserved(std::uint64_t first, std::uint64_t end) {
  const auto from = reserved_.lower_bound(first);
  const auto to = reserved_.lower_bound(end);
  quota_.give(static_cast<std::uint64_t>(std::distance(from, to)));
  reserved_.erase(from, to);
}

void MemoryObject::zero_bytes(std::uint64_t offset, std::uint64_t end, bool keep_allocated) {
  const std::uint64_t first_whole = pages_up_to(offset);
  const std::uint64_t end_whole = page_of(end);
  if (first_whole > end_whole) {  // within one page
    zero_in_page(page_of(offset), offset % kPageBytes, end % kPageBytes);
    return;
  }
  if (offset % kPageBytes != 0) {
    zero_in_page(page_of(offset), offset % kPageBytes, kPageBytes);
  }
  zero_in_page(end_whole, 0, end % kPageBytes);
  const auto from = live_.pages.lower_bound(first_whole);
  const auto to = live_.pages.lower_bound(end_whole);
  std::uint64_t dropped = 0;
  for (auto page = from; page != to; ++page, ++dropped) {
    changed_.insert(page->first);
    if (keep_allocated) reserved_.insert(page->first);
  }
  live_.pages.erase(from, to);
  if (!keep_allocated) {
    quota_.give(dropped);
    drop_reserved(first_whole, end_whole);
  }
}

IoOutcome MemoryObject::truncate(std::uint64_t size_bytes) {
  sync::MutexLock lock(mutex_);
  if (size_bytes > limits::kFileSizeMaxBytes) return failed(std::errc::file_too_large);
  if (size_bytes < live_.size_bytes) {
    zero_bytes(size_bytes, pages_up_to(live_.size_bytes) * kPageBytes, false);
  }
  drop_reserved(pages_up_to(size_bytes), ~std::uint64_t{0});
  live_.size_bytes = size_bytes;
  modified();
  return {};
}

IoOutcome MemoryObject::shift(Cut kind, std::uint64_t offset, std::uint64_t length) {
  if (offset % kPageBytes != 0 || length % kPageBytes != 0) {
    return failed(std::errc::invalid_argument);
  }
  const bool inserts = kind == Cut::kInsert;
  if (offset >= live_.size_bytes || (!inserts && length >= live_.size_bytes - offset)) {
    return failed(std::errc::invalid_argument);
  }
  if (inserts && !in_file_range(live_.size_bytes, length)) return failed(std::errc::file_too_large);
  if (!inserts) zero_bytes(offset, offset + length, false);

  const std::uint64_t first = page_of(offset);
  const std::uint64_t moved_from = inserts ? first : first + page_of(length);
  const auto moved = [&](std::uint64_t index) {
    return inserts ? index + page_of(length) : index - page_of(length);
  };
  PageMap shifted(live_.pages.begin(), live_.pages.lower_bound(first));
  for (auto page = live_.pages.lower_bound(moved_from); page != live_.pages.end(); ++page) {
    shifted.emplace_hint(shifted.end(), moved(page->first), page->second);
  }
  std::set<std::uint64_t> reserved(reserved_.begin(), reserved_.lower_bound(first));
  for (auto page = reserved_.lower_bound(moved_from); page != reserved_.end(); ++page) {
    reserved.insert(reserved.end(), moved(*page));
  }
  live_.pages = std::move(shifted);
  reserved_ = std::move(reserved);
  live_.size_bytes = inserts ? live_.size_bytes + length : live_.size_bytes - length;
  everything_changed_ = true;
  return {};
}

IoOutcome MemoryObject::cut(Cut kind, std::uint64_t offset, std::uint64_t length) {
  sync::MutexLock lock(mutex_);
  if (length == 0) return failed(std::errc::invalid_argument);
  if (!in_file_range(offset, length)) return failed(std::errc::file_too_large);
  const std::uint64_t end = offset + length;
  IoOutcome outcome;
  switch (kind) {
    case Cut::kPunch:
      zero_bytes(offset, end, false);
      break;
    case Cut::kZero: {
      const std::uint64_t unpaid = unpaid_pages(page_of(offset), pages_up_to(end));
      if (!quota_.take(unpaid)) return failed(std::errc::no_space_on_device);
      zero_bytes(offset, end, true);
      for (std::uint64_t page = page_of(offset); page < pages_up_to(end); ++page) {
        if (!live_.pages.contains(page)) reserved_.insert(page);
      }
      break;
    }
    case Cut::kInsert:
    case Cut::kCollapse:
      outcome = shift(kind, offset, length);
      break;
  }
  if (!outcome.error) modified();
  return outcome;
}

bool MemoryObject::reserve_range(std::uint64_t first, std::uint64_t end) {
  if (!quota_.take(unpaid_pages(first, end))) return false;
  for (std::uint64_t page = first; page < end; ++page) {
    if (!live_.pages.contains(page)) reserved_.insert(page);
  }
  return true;
}

IoOutcome MemoryObject::reserve(std::uint64_t offset, std::uint64_t length) {
  sync::MutexLock lock(mutex_);
  if (length == 0) return failed(std::errc::invalid_argument);
  if (!in_file_range(offset, length)) return failed(std::errc::file_too_large);
  if (!reserve_range(page_of(offset), pages_up_to(offset + length))) {
    return failed(std::errc::no_space_on_device);
  }
  return {};
}

IoOutcome MemoryObject::reserve_pages(SpaceRequest& request) {
  sync::MutexLock lock(mutex_);
  if (request.offset % kPageBytes != 0 || request.pages > limits::kReservePagesMax ||
      request.first > request.end || request.end > request.pages) {
    return failed(std::errc::invalid_argument);
  }
  const std::uint64_t base = page_of(request.offset);
  request.told = true;
  for (std::size_t i = 0; i < request.pages; ++i) {
    const bool has = live_.pages.contains(base + i) || reserved_.contains(base + i);
    request.had_space[i] = has;
    request.had_none[i] = !has;
  }
  if (!reserve_range(base + request.first, base + request.end)) {
    return failed(std::errc::no_space_on_device);
  }
  return {};
}

IoOutcome MemoryObject::release(std::uint64_t offset, std::uint64_t length) {
  sync::MutexLock lock(mutex_);
  if (offset % kPageBytes != 0 || length % kPageBytes != 0) {
    return failed(std::errc::invalid_argument);
  }
  drop_reserved(page_of(offset), page_of(offset + length));
  return {};
}

IoOutcome MemoryObject::sync(SyncKind kind) {
  sync::MutexLock lock(mutex_);
  if (everything_changed_) {
    durable_.pages = live_.pages;
  } else {
    for (const std::uint64_t index : changed_) {
      const auto page = live_.pages.find(index);
      if (page == live_.pages.end()) {
        durable_.pages.erase(index);
      } else {
        durable_.pages[index] = page->second;
      }
    }
  }
  everything_changed_ = false;
  changed_.clear();
  durable_.size_bytes = live_.size_bytes;
  if (kind == SyncKind::kAll) durable_.stamps = live_.stamps;
  return {};
}

ObjectStat MemoryObject::stat() const {
  sync::MutexLock lock(mutex_);
  ObjectStat stat;
  stat.size_bytes = live_.size_bytes;
  stat.allocated_bytes = (live_.pages.size() + reserved_.size()) * kPageBytes;
  stat.atime = live_.stamps.atime;
  stat.mtime = live_.stamps.mtime;
  stat.ctime = live_.stamps.ctime;
  stat.mode = S_IFREG | permissions_;
  stat.links = links_;
  return stat;
}

void MemoryObject::set_times(const TimeSpec* atime, const TimeSpec& mtime) {
  sync::MutexLock lock(mutex_);
  if (atime != nullptr) live_.stamps.atime = *atime;
  live_.stamps.mtime = mtime;
  live_.stamps.ctime = sync::Clock::wall();
}

void MemoryObject::revert() {
  sync::MutexLock lock(mutex_);
  quota_.take_unchecked(durable_.pages.size());
  quota_.give(live_.pages.size() + reserved_.size());
  reserved_.clear();
  live_ = durable_;
  changed_.clear();
  everything_changed_ = false;
}

void MemoryObject::replace(std::span<const std::byte> bytes) {
  sync::MutexLock lock(mutex_);
  Image image;
  image.size_bytes = bytes.size();
  image.stamps = live_.stamps;
  const TimeSpec now =
      std::max(sync::Clock::wall(), next_after(std::max(live_.stamps.mtime, live_.stamps.ctime)));
  image.stamps.mtime = now;
  image.stamps.ctime = now;
  for (std::uint64_t index = 0; !bytes.empty(); ++index) {
    const std::size_t count = std::min<std::size_t>(bytes.size(), kPageBytes);
    auto page = std::make_shared<Page>();
    std::memcpy(page->data(), bytes.data(), count);
    image.pages.emplace_hint(image.pages.end(), index, std::move(page));
    bytes = bytes.subspan(count);
  }
  quota_.take_unchecked(image.pages.size());
  quota_.give(live_.pages.size() + reserved_.size());
  reserved_.clear();
  live_ = image;
  durable_ = std::move(image);
  changed_.clear();
  everything_changed_ = false;
}

void MemoryObject::add_link() {
  sync::MutexLock lock(mutex_);
  ++links_;
}

std::vector<std::byte> MemoryObject::bytes_of(const Image& image) {
  std::vector<std::byte> bytes(image.size_bytes);
  for (const auto& [index, page] : image.pages) {
    const std::uint64_t offset = index * kPageBytes;
    if (offset >= bytes.size()) break;
    std::memcpy(bytes.data() + offset, page->data(),
                std::min<std::uint64_t>(kPageBytes, bytes.size() - offset));
  }
  return bytes;
}

std::vector<std::byte> MemoryObject::contents() const {
  sync::MutexLock lock(mutex_);
  return bytes_of(live_);
}

std::vector<std::byte> MemoryObject::durable_contents() const {
  sync::MutexLock lock(mutex_);
  return bytes_of(durable_);
}

}  // namespace quire::store
