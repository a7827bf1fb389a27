// The text of a small file of the kernel's or of the system's configuration.
#ifndef QUIRE_TOOL_TEXT_FILE_H_
#define QUIRE_TOOL_TEXT_FILE_H_

#include <string>

namespace quire::tool {

// Nothing if it cannot be read.
std::string text_of_file(const char* path);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_TEXT_FILE_H_
