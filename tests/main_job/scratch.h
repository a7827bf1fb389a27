// An empty directory of our own, removed with all it holds.
#ifndef QUIRE_TESTS_MAIN_JOB_SCRATCH_H_
#define QUIRE_TESTS_MAIN_JOB_SCRATCH_H_

#include <string>

namespace quire::main_job {

class Scratch {
 public:
  // Makes `parent`/NAME.XXXXXX. With `keep` it stays, and its path is printed. Throws Failure.
  Scratch(const std::string& parent, const std::string& name, bool keep);
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  const std::string& path() const { return path_; }
  // Makes a directory in it.
  std::string make(const char* name) const;
  // Removes `path` with all it holds, unless all is kept.
  void remove(const std::string& path) const;

 private:
  std::string path_;
  const bool keep_;
};

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_SCRATCH_H_
