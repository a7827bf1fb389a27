#include "main_job/scratch.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "main_job/failure.h"
#include "main_job/remove_tree.h"

namespace quire::main_job {

Scratch::Scratch(const std::string& parent, const std::string& name, bool keep) : keep_(keep) {
  path_ = parent + "/" + name + ".XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) {
    throw Failure(fmt::format("cannot make a directory in {}: {}", parent, std::strerror(errno)));
  }
}

Scratch::~Scratch() {
  if (keep_) {
    fmt::print("kept: {}\n", path_);
  } else {
    remove_tree(path_);
  }
}

std::string Scratch::make(const char* name) const {
  const std::string path = path_ + "/" + name;
  std::filesystem::create_directory(path);
  return path;
}

void Scratch::remove(const std::string& path) const {
  if (!keep_) {
    remove_tree(path);
  }
}

}  // namespace quire::main_job
