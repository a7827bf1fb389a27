#include "main_job/remove_tree.h"

#include <atomic>
#include <filesystem>
#include <system_error>
#include <thread>
#include <vector>

namespace quire::main_job {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kThreads = 8;

}  // namespace

void remove_tree(const std::string& root) {
  std::error_code error;
  std::vector<fs::path> files;
  fs::recursive_directory_iterator it(root, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (!fs::is_directory(it->symlink_status(error))) {
      files.push_back(it->path());
    }
  }
  {
    std::atomic<std::size_t> next{0};
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        std::error_code ignored;
        for (std::size_t i = next++; i < files.size(); i = next++) {
          fs::remove(files[i], ignored);
        }
      });
    }
  }
  fs::remove_all(root, error);
}

}  // namespace quire::main_job
