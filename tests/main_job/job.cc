#include "main_job/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <utility>

#include "main_job/batch.h"
#include "main_job/records.h"
#include "main_job/stamped_pages.h"
#include "main_job/threads.h"
#include "main_job/worker.h"
#include "quire/limits.h"

namespace quire::main_job {
namespace {

constexpr std::uint64_t kStripOpBytes = 32 << 10;  // one operation for so many bytes of a strip
constexpr std::size_t kKeptOpenMax = 256;
constexpr std::size_t kGroupsOpenMax = 4;
constexpr std::uint64_t kSyncWeight = 8;  // of the last phase: a part of all bytes, 1 in so many

enum JobPurpose : std::uint64_t { kPieces = 0x100, kPiece, kChange, kRecords, kStamped, kStamps };

struct Piece {
  std::size_t file = 0;
  std::uint64_t offset = 0;
  std::size_t length = 0;
};

// The files of one group while they are open.
struct OpenGroup {
  struct Names {
    std::unique_ptr<TargetFile> target, link, copy;
  };
  std::once_flag opened;
  std::vector<Names> files;
  std::vector<Piece> pieces;
  std::atomic<std::size_t> next_piece{0};
  std::atomic<unsigned> threads_left{0};
};

class Job {
 public:
  Job(const Plan& plan, std::string name, Target& target, Target* copy, Progress& progress,
      Stop& stop)
      : plan_(plan),
        name_(std::move(name)),
        target_(target),
        copy_(copy),
        progress_(progress),
        stop_(stop),
        pool_(plan.seed),
        source_(make_kernel_target(plan.source)) {
    for (unsigned t = 0; t < plan.threads; ++t) {
      workers_.push_back(std::make_unique<Worker>(pool_));
    }
    result_.stamps.resize(plan.files.size());
  }

  JobResult run() {
    make_directories();
    const auto begin = std::chrono::steady_clock::now();
    phase("write", OpenFlags::kReadWrite | OpenFlags::kCreate | OpenFlags::kExclusive,
          [this](unsigned thread, const Group& group, OpenGroup& open) {
            write_pieces(thread, group, open);
          });
    make_links();
    for (round_ = 1; round_ <= kRounds; ++round_) {
      phase(fmt::format("change {}", round_), OpenFlags::kReadWrite,
            [this](unsigned thread, const Group& group, OpenGroup& open) {
              change_files(thread, group, open);
            });
    }
    records("records/by-append", true);
    records("records/by-write", false);
    stamped();
    phase(
        "stamps", OpenFlags::kReadWrite,
        [this](unsigned thread, const Group& group, OpenGroup& open) {
          stamp_files(thread, group, open);
        },
        copy_ != nullptr);
    progress_.start_phase(name_ + "sync", plan_.source_bytes / kSyncWeight);
    target_.sync();
    result_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    for (const auto& worker : workers_) {
      result_.written_bytes += worker->written_bytes;
      result_.read_bytes += worker->read_bytes;
    }
    return std::move(result_);
  }

 private:
  using GroupFunction = std::function<void(unsigned, const Group&, OpenGroup&)>;

  std::vector<const Target*> targets() const {
    std::vector<const Target*> all{&target_};
    if (copy_ != nullptr) {
      all.push_back(copy_);
    }
    return all;
  }

  void make_directories() const {
    namespace fs = std::filesystem;
    for (const Target* target : targets()) {
      for (const char* name : {"links", "records", "stamped"}) {
        fs::create_directories(fs::path(target->root()) / name);
      }
      for (const PlannedFile& file : plan_.files) {
        stop_.check();
        fs::create_directories((fs::path(target->root()) / file.path).parent_path());
      }
    }
  }

  void make_links() const {
    namespace fs = std::filesystem;
    for (const Target* target : targets()) {
      for (const PlannedFile& file : plan_.files) {
        if (!file.link.empty()) {
          fs::create_hard_link(fs::path(target->root()) / file.path,
                               fs::path(target->root()) / file.link);
        }
      }
    }
  }

  // Runs `function` on each thread for each group in turn. The first thread that comes to a group
  // opens its files, the last one that leaves closes them. Threads are up to kGroupsOpenMax groups
  // apart, so that no more files are open.
  void phase(const std::string& name, OpenFlags flags, const GroupFunction& function,
             bool keeps = false) {
    progress_.start_phase(name_ + name, plan_.source_bytes);
    std::vector<std::unique_ptr<OpenGroup>> groups;
    for (std::size_t i = 0; i < plan_.groups.size(); ++i) {
      groups.push_back(std::make_unique<OpenGroup>());
      groups.back()->threads_left = plan_.threads;
    }
    const bool creates = has(flags, OpenFlags::kCreate);
    std::mutex mutex;
    std::condition_variable_any group_closed;
    std::size_t groups_closed = 0;  // guarded by mutex
    run_on_threads(plan_.threads, stop_, [&](unsigned thread) {
      for (std::size_t i = 0; i < groups.size(); ++i) {
        {
          std::unique_lock lock(mutex);
          group_closed.wait(lock, stop_.token(),
                            [&] { return i < groups_closed + kGroupsOpenMax; });
        }
        stop_.check();
        OpenGroup& open = *groups[i];
        const Group& group = plan_.groups[i];
        std::call_once(open.opened, [&] { open_group(group, flags, creates, open); });
        function(thread, group, open);
        if (open.threads_left.fetch_sub(1) == 1) {
          close_group(group, open, keeps);
          progress_.count(group.bytes);
          const std::lock_guard lock(mutex);
          ++groups_closed;
          group_closed.notify_all();
        }
      }
    });
  }

  void open_group(const Group& group, OpenFlags flags, bool creates, OpenGroup& open) const {
    std::vector<OpenGroup::Names> files;
    for (std::size_t i = group.first; i < group.last; ++i) {
      const PlannedFile& file = plan_.files[i];
      OpenFlags own = flags;
      if (file.synchronous && round_ == kRounds) {
        own = own | (i % 2 == 0 ? OpenFlags::kSync : OpenFlags::kDataSync);
      }
      OpenGroup::Names& names = files.emplace_back();
      names.target = target_.open(file.path, own, file.mode);
      if (!file.link.empty() && !creates) {
        names.link = target_.open(file.link, own, file.mode);
      }
      if (copy_ != nullptr) {
        names.copy = copy_->open(file.path, flags, file.mode);
      }
      if (creates) {
        cut_into_pieces(i, open.pieces);
      }
    }
    Rng rng{plan_.seed, kPieces, group.first};
    rng.shuffle(open.pieces);
    open.files = std::move(files);
  }

  // With `keeps`, the last kKeptOpenMax files of the plan stay open.
  void close_group(const Group& group, OpenGroup& open, bool keeps) {
    for (std::size_t i = group.first; i < group.last; ++i) {
      OpenGroup::Names& names = open.files[i - group.first];
      if (keeps && i + kKeptOpenMax >= plan_.files.size()) {
        const std::lock_guard lock(kept_mutex_);
        result_.open_files.push_back(std::move(names.target));
      }
      for (auto* file : {&names.target, &names.link, &names.copy}) {
        if (*file) {
          (*file)->close();
          file->reset();
        }
      }
    }
  }

  void cut_into_pieces(std::size_t index, std::vector<Piece>& pieces) const {
    Rng rng{plan_.seed, kPieces, index, 1};
    const std::size_t longest[] = {3000, 20000, 100000, kPieceMaxBytes};
    const std::uint64_t size = plan_.files[index].size_bytes[0];
    const std::size_t max = longest[rng.below(size > (4 << 20) ? 4 : 3)];
    for (std::uint64_t offset = 0; offset < size;) {
      const std::size_t length = std::min<std::uint64_t>(size - offset, rng.between(1, max));
      pieces.push_back({index, offset, length});
      offset += length;
    }
  }

  FilePair pair(std::size_t index, const OpenGroup& open, std::size_t first,
                bool through_link) const {
    const OpenGroup::Names& names = open.files[index - first];
    return {through_link && names.link ? names.link.get() : names.target.get(), names.copy.get(),
            &plan_.files[index].path};
  }

  void write_pieces(unsigned thread, const Group& group, OpenGroup& open) {
    Worker& worker = *workers_[thread];
    if (open.pieces.empty()) {
      return;
    }
    const std::size_t first = group.first;
    std::size_t source_index = plan_.files.size();
    std::unique_ptr<TargetFile> source;
    const Piece* earlier = nullptr;
    for (;;) {
      stop_.check();
      const std::size_t i = open.next_piece.fetch_add(1);
      if (i >= open.pieces.size()) {
        return;
      }
      const Piece& piece = open.pieces[i];
      if (piece.file != source_index) {
        source =
            source_->open(plan_.files[piece.file].path.substr(kTreePrefix), OpenFlags::kRead, 0);
        source_index = piece.file;
      }
      const Bytes bytes = worker.scratch().first(piece.length);
      if (source->read(bytes, piece.offset) != piece.length) {
        throw Failure(fmt::format("{} became shorter during the job",
                                  plan_.files[piece.file].path.substr(kTreePrefix)));
      }
      worker.write(pair(piece.file, open, first, false), bytes, piece.offset);
      Rng rng{plan_.seed, kPiece, piece.file, piece.offset};
      if (earlier != nullptr && rng.one_in(4)) {
        worker.read(pair(earlier->file, open, first, false), earlier->offset, earlier->length);
      }
      earlier = &piece;
    }
  }

  void change_files(unsigned thread, const Group& group, OpenGroup& open) {
    for (std::size_t i = group.first; i < group.last; ++i) {
      change_file(thread, i, pair(i, open, group.first, thread % 2 == 1));
    }
  }

  void change_file(unsigned thread, std::size_t index, const FilePair& file) {
    Worker& worker = *workers_[thread];
    const Division division = divide(plan_, index, round_);
    const std::uint64_t begin = division.strips[thread];
    const std::uint64_t end = division.strips[thread + 1];
    Rng rng{plan_.seed, kChange, index, static_cast<std::uint64_t>(round_), thread};
    std::vector<TailOp> tail;
    if (thread == division.tail_owner) {
      tail = tail_ops(plan_, index, round_);
    }
    const std::uint64_t strip_ops = begin == end ? 0 : 1 + (end - begin) / kStripOpBytes * 2;
    std::size_t tail_done = 0;
    for (std::uint64_t n = 0; n < strip_ops; ++n) {
      stop_.check();
      strip_op(worker, file, begin, end, division.tail, rng);
      while (tail_done < tail.size() && tail_done * strip_ops <= n * tail.size()) {
        tail_op(worker, file, division.tail, tail[tail_done++], rng);
      }
    }
    while (tail_done < tail.size()) {
      tail_op(worker, file, division.tail, tail[tail_done++], rng);
    }
  }

  // One operation on [begin, end), which nobody else changes.
  void strip_op(Worker& worker, const FilePair& file, std::uint64_t begin, std::uint64_t end,
                std::uint64_t tail, Rng& rng) const {
    const std::uint64_t offset = rng.between(begin, end - 1);
    const std::uint64_t longest = rng.one_in(3) ? 3 * kStripOpBytes : kStripOpBytes / 2;
    const std::size_t length = rng.between(1, std::min(end - offset, longest));
    const std::uint64_t kind = rng.below(100);
    if (kind < 45) {
      worker.write(file, pool_.slice(rng, length), offset);
      if (rng.one_in(2)) {
        worker.read(file, offset, length);
      }
    } else if (kind < 78) {
      worker.read(file, offset, length);
    } else if (kind < 84) {
      worker.writev(file, pool_.slice(rng, length), offset, rng);
    } else if (kind < 90) {
      worker.readv(file, offset, length, rng);
    } else if (kind < 93) {
      worker.submit(file, begin, end, rng);
    } else if (kind < 97) {
      // A read that spans what others are writing. Only this thread's part has known bytes.
      const std::uint64_t wide_begin =
          offset - rng.below(std::min<std::uint64_t>(offset, 50000) + 1);
      const std::uint64_t wide_end =
          offset + length + rng.below(std::min<std::uint64_t>(tail - offset - length, 50000) + 1);
      const std::size_t wide = wide_end - wide_begin;
      worker.read(file, wide_begin, wide, wide, offset, offset + length);
    } else if (kind < 98) {
      file.target->advise(offset, length, rng.one_in(2) ? Advice::kDontNeed : Advice::kWillNeed);
    } else if (rng.one_in(4)) {
      rng.one_in(2) ? file.target->datasync() : file.target->sync_range(offset, length);
    }
  }

  // One operation of the tail's owner on [tail, end of file).
  void tail_op(Worker& worker, const FilePair& file, std::uint64_t tail, const TailOp& op,
               Rng& rng) const {
    const ConstBytes bytes = pool_.slice(rng, op.length);
    switch (op.kind) {
      case TailOp::Kind::kTruncate:
        if (op.asynchronous) {
          Batch batch;
          batch.submit(*file.target, TruncateOp{op.offset}, 0);
          batch.wait();
        } else {
          file.target->truncate(op.offset);
        }
        if (file.copy != nullptr) {
          file.copy->truncate(op.offset);
        }
        break;
      case TailOp::Kind::kWrite:
        worker.write(file, bytes, op.offset);
        break;
      case TailOp::Kind::kAppend:
        append(worker, file, bytes, op);
        break;
    }
    const std::uint64_t end = op.end_after();
    worker.expect_size(file, end);
    if (end > tail) {
      // Somewhere in the tail, and beyond its end: the read must stop there.
      const std::uint64_t at = rng.between(tail, end - 1);
      const std::size_t within = std::min<std::uint64_t>(end - at, kPieceMaxBytes);
      const std::size_t asked = std::min<std::uint64_t>(within + 5000, kPieceMaxBytes);
      worker.read(file, at, asked, std::min(within, asked), at, at + std::min(within, asked));
    }
  }

  void append(Worker& worker, const FilePair& file, ConstBytes bytes, const TailOp& op) const {
    if (op.asynchronous) {
      Batch batch;
      batch.submit(*file.target, AppendOp{bytes}, bytes.size());
      batch.wait();
    } else {
      const std::uint64_t offset = file.target->append(bytes);
      if (file.copy != nullptr && offset != op.end) {
        throw Failure(fmt::format("{}: an append went to {} although the file ended at {}",
                                  *file.path, offset, op.end));
      }
    }
    worker.written_bytes += bytes.size();
    if (file.copy != nullptr) {
      file.copy->write(bytes, op.end);
    }
  }

  // The copy of a file whose final bytes depend on who came first: what the target reads as now.
  void copy_as_read(TargetFile& from, TargetFile& to, const std::string& path) {
    const Bytes buffer = workers_[0]->scratch();
    const std::uint64_t size = from.stat().size_bytes;
    for (std::uint64_t at = 0; at < size;) {
      const std::size_t got = from.read(buffer, at);
      if (got == 0) {
        throw Failure(fmt::format("{}: nothing to read at {} of {}", path, at, size));
      }
      to.write(buffer.first(got), at);
      at += got;
    }
  }

  void records(const std::string& path, bool by_append) {
    progress_.start_phase(name_ + path, plan_.record_bytes);
    const OpenFlags flags = OpenFlags::kReadWrite | OpenFlags::kCreate;
    const OpenFlags own = by_append ? flags : flags | OpenFlags::kAppend;
    const auto shared = target_.open(path, own, 0644);
    const auto copy = copy_ != nullptr ? copy_->open(path, flags, 0644) : nullptr;
    std::vector<std::uint64_t> appended(plan_.threads);
    run_on_threads(plan_.threads, stop_, [&](unsigned thread) {
      // Half of the threads share one open file, the others have their own.
      std::unique_ptr<TargetFile> mine;
      if (thread % 2 == 1) {
        mine = target_.open(path, own, 0644);
      }
      const FilePair file{mine ? mine.get() : shared.get(), copy.get(), &path};
      const std::uint64_t bytes = plan_.record_bytes / plan_.threads;
      appended[thread] =
          append_records(*workers_[thread], file, thread, plan_.threads, bytes, by_append,
                         Rng{plan_.seed, kRecords, thread, by_append ? 1u : 0u}, stop_);
      progress_.count(bytes);
      if (mine) {
        mine->close();
      }
    });
    if (copy != nullptr) {
      RecordReader reader(path, plan_.threads, true);
      const std::uint64_t size = shared->stat().size_bytes;
      reader.follow(*shared, workers_[0]->scratch(), size);
      if (reader.position_bytes() != size || reader.seen() != appended) {
        throw Failure(fmt::format("{}: {} of {} bytes are records, or some are missing", path,
                                  reader.position_bytes(), size));
      }
      if (!by_append) {
        copy_as_read(*shared, *copy, path);
      }
      copy->close();
    }
    shared->close();
  }

  void stamped() {
    const std::string path = "stamped/pages";
    progress_.start_phase(name_ + path, plan_.stamped_pages * limits::kPageBytes);
    const OpenFlags flags = OpenFlags::kReadWrite | OpenFlags::kCreate;
    const auto shared = target_.open(path, flags, 0644);
    make_stamped_pages(*workers_[0], {shared.get(), nullptr, &path}, plan_.stamped_pages);
    run_on_threads(plan_.threads, stop_, [&](unsigned thread) {
      const FilePair file{shared.get(), nullptr, &path};
      change_stamped_pages(*workers_[thread], file, thread, plan_.stamped_pages, copy_ != nullptr,
                           Rng{plan_.seed, kStamped, thread}, stop_);
    });
    if (copy_ != nullptr) {
      const auto copy = copy_->open(path, flags, 0644);
      copy_as_read(*shared, *copy, path);
      copy->close();
    }
    shared->close();
  }

  // Files are dealt to the threads; a little dirty data is left in each, so that it is written back
  // after its stamps were shown or set.
  void stamp_files(unsigned thread, const Group& group, OpenGroup& open) {
    Worker& worker = *workers_[thread];
    for (std::size_t i = group.first + thread; i < group.last; i += plan_.threads) {
      stop_.check();
      const FilePair file = pair(i, open, group.first, false);
      const PlannedFile& planned = plan_.files[i];
      Rng rng{plan_.seed, kStamps, i};
      const std::uint64_t size = planned.size_bytes[kRounds];
      const Stamp before = file.target->stat();
      if (size > 0) {
        const std::uint64_t offset = rng.below(size);
        const std::size_t length = rng.between(1, std::min<std::uint64_t>(size - offset, 100));
        worker.write(file, pool_.slice(rng, length), offset);
      }
      const bool restored = rng.one_in(2);
      if (restored) {
        file.target->set_mtime(planned.mtime);
      }
      Stamp& stamp = result_.stamps[i];
      stamp = file.target->stat();
      if (copy_ == nullptr) {
        continue;
      }
      if (restored ? stamp.mtime != planned.mtime : stamp.mtime < before.mtime) {
        throw Failure(fmt::format("{}: stat shows an mtime of {}.{:09} after {}", planned.path,
                                  stamp.mtime.seconds, stamp.mtime.nanoseconds,
                                  restored ? "set_times" : "a write"));
      }
    }
  }

  static constexpr std::size_t kTreePrefix = 5;  // "tree/", which the source does not have

  const Plan& plan_;
  const std::string name_;
  Target& target_;
  Target* const copy_;
  Progress& progress_;
  Stop& stop_;
  const Pool pool_;
  const std::unique_ptr<Target> source_;
  std::vector<std::unique_ptr<Worker>> workers_;
  int round_ = 0;
  std::mutex kept_mutex_;
  JobResult result_;  // open_files guarded by kept_mutex_ while threads run
};

}  // namespace

std::uint64_t job_work_bytes(const Plan& plan) {
  return (2 + kRounds) * plan.source_bytes + 2 * plan.record_bytes +
         plan.stamped_pages * limits::kPageBytes + plan.source_bytes / kSyncWeight;
}

JobResult run_job(const Plan& plan, const std::string& name, Target& target, Target* copy,
                  Progress& progress, Stop& stop) {
  return Job(plan, name, target, copy, progress, stop).run();
}

}  // namespace quire::main_job
