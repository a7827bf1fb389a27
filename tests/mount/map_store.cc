// map_store FILE: stores a byte into every page of FILE through a shared mapping, and waits for none of it to reach
// a disk. Exit status 0, or 1 where the file cannot be mapped.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

int main(int argc, char** argv) {
  constexpr off_t kPageBytes = 4096;
  const int fd = argc == 2 ? ::open(argv[1], O_RDWR | O_CLOEXEC) : -1;
  struct stat status = {};
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    std::perror("map_store");
    return 1;
  }
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    std::perror("map_store");
    return 1;
  }
  auto* const begin = static_cast<char*>(memory);
  for (off_t at = 0; at < status.st_size; at += kPageBytes) begin[at] = 'm';
  // The pages go to the daemon; that they do not get further is not for us to say.
  (void)::msync(memory, bytes, MS_SYNC);
  return ::close(fd) == 0 ? 0 : 1;
}
