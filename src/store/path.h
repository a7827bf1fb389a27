// Names of objects. A path is relative to the root of its store; this is the one place that decides
// which texts are paths, so that every store refuses the same ones with the same words.
//
// The rules, in the order in which they are applied:
//  1. An empty path is ENOENT; one of more than limits::kPathMaxBytes bytes, or with a name of more
//     than limits::kNameMaxBytes, is ENAMETOOLONG; one that contains a zero byte is EINVAL.
//  2. A path that begins with '/' is Errc::kPathEscapes: it would name something in the machine,
//     not in the store.
//  3. Empty names ("a//b") and "." are dropped. ".." drops the name before it, by text alone,
//     before any symbolic link is looked at; where no name is left to drop it is
//     Errc::kPathEscapes.
//  4. What names the root itself, or ends in '/', is EISDIR.
//
// Symbolic links are not looked at here; the host store sees to those (store/beneath.h).
//
// Thread-safety: pure functions.
#ifndef QUIRE_STORE_PATH_H_
#define QUIRE_STORE_PATH_H_

#include <string>
#include <string_view>

#include "quire/result.h"

namespace quire::store {

// `path` in its shortest form: names joined by single slashes. An error's context quotes the path,
// shortened if it is long, and says what to write instead.
Result<std::string> normalise_path(std::string_view path);

// `path` in quotes for messages: at most some 80 bytes of it, control bytes replaced.
std::string quote_path(std::string_view path);

}  // namespace quire::store

#endif  // QUIRE_STORE_PATH_H_
