// resize_file: ftruncate(2) of a file in memory, which answers where the kernel would end the process: to make one
// longer than RLIMIT_FSIZE allows (`ulimit -f`, which counts for memory too) raises SIGXFSZ.
//
// Who calls: any thread, to give a memfd its size. No thread of the process gets a signal for it.
#ifndef QUIRE_SYNC_RESIZE_FILE_H_
#define QUIRE_SYNC_RESIZE_FILE_H_

#include <cstdint>
#include <system_error>

namespace quire::sync {

// Errors: EFBIG past RLIMIT_FSIZE; those of ftruncate(2).
std::error_code resize_file(int fd, std::uint64_t bytes) noexcept;

}  // namespace quire::sync

#endif  // QUIRE_SYNC_RESIZE_FILE_H_
