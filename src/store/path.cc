#include "store/path.h"

#include <cstddef>
#include <vector>

#include "quire/error.h"
#include "quire/limits.h"

namespace quire::store {

namespace {

constexpr std::size_t kQuotedMaxBytes = 80;

Error refused(std::error_code code, std::string_view path, std::string_view why) {
  return Error(code, "path " + quote_path(path) + " " + std::string(why));
}

Error refused(std::errc code, std::string_view path, std::string_view why) {
  return refused(std::make_error_code(code), path, why);
}

Error escapes(std::string_view path, std::string_view why) {
  return refused(make_error_code(Errc::kPathEscapes), path, why);
}

}  // namespace

std::string quote_path(std::string_view path) {
  const bool shortened = path.size() > kQuotedMaxBytes;
  std::string text = "'";
  for (const char c : path.substr(0, kQuotedMaxBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  text += shortened ? "...'" : "'";
  return text;
}

Result<std::string> normalise_path(std::string_view path) {
  if (path.empty()) {
    return refused(std::errc::no_such_file_or_directory, path, "is empty; name a file");
  }
  if (path.size() > limits::kPathMaxBytes) {
    return refused(std::errc::filename_too_long, path,
                   "has " + std::to_string(path.size()) + " bytes; at most " +
                       std::to_string(limits::kPathMaxBytes) + " are allowed");
  }
  if (path.find('\0') != std::string_view::npos) {
    return refused(std::errc::invalid_argument, path, "contains a zero byte");
  }
  if (path.front() == '/') {
    return escapes(path,
                   "is absolute; paths are relative to the store's root, so drop the leading '/'");
  }

  std::vector<std::string_view> names;
  std::string_view rest = path;
  while (true) {
    const std::size_t slash = rest.find('/');
    const std::string_view name = rest.substr(0, slash);
    if (name.size() > limits::kNameMaxBytes) {
      return refused(std::errc::filename_too_long, path,
                     "has a name of " + std::to_string(name.size()) + " bytes; at most " +
                         std::to_string(limits::kNameMaxBytes) + " are allowed");
    }
    if (name == "..") {
      if (names.empty()) {
        return escapes(path, "climbs out of the store's root; open the store at a directory above");
      }
      names.pop_back();
    } else if (!name.empty() && name != ".") {
      names.push_back(name);
    }
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (names.empty() || rest.empty() || rest == "." || rest == "..") {
    return refused(std::errc::is_a_directory, path, "names a directory");
  }

  std::string normal;
  normal.reserve(path.size());
  for (const std::string_view name : names) {
    if (!normal.empty()) normal += '/';
    normal += name;
  }
  return normal;
}

}  // namespace quire::store
