// Removes a directory with all it holds, by several threads: a file system may let each unlink wait for
// its journal or for the disk.
#ifndef QUIRE_TESTS_MAIN_JOB_REMOVE_TREE_H_
#define QUIRE_TESTS_MAIN_JOB_REMOVE_TREE_H_

#include <string>

namespace quire::main_job {

// Errors are ignored: what cannot be removed stays.
void remove_tree(const std::string& root);

}  // namespace quire::main_job

#endif  // QUIRE_TESTS_MAIN_JOB_REMOVE_TREE_H_
