// `quire fallocate`: cuts a file of a mount: punches or zeroes a range of it, inserts or collapses one.
#ifndef QUIRE_TOOL_FALLOCATE_H_
#define QUIRE_TOOL_FALLOCATE_H_

#include "tool/arguments.h"

namespace quire::tool {

int fallocate(const FallocateArguments& arguments);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_FALLOCATE_H_
