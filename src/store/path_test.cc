#include "store/path.h"

#include <gtest/gtest.h>

#include <string>

#include "quire/error.h"
#include "quire/limits.h"

namespace quire::store {
namespace {

std::string normal(std::string_view path) {
  Result<std::string> result = normalise_path(path);
  return result ? *result : "error: " + result.error().message();
}

TEST(Path, ShortestForm) {
  EXPECT_EQ(normal("a"), "a");
  EXPECT_EQ(normal("a/b/c"), "a/b/c");
  EXPECT_EQ(normal("./a"), "a");
  EXPECT_EQ(normal("a//b/./c"), "a/b/c");
  EXPECT_EQ(normal("a/../b"), "b");
  EXPECT_EQ(normal("a/b/../../c"), "c");
  EXPECT_EQ(normal("..a/b.."), "..a/b..");
  EXPECT_EQ(normal("..."), "...");
}

TEST(Path, LeavingTheRootIsRefused) {
  for (const char* path : {"..", "../a", "a/../../b", "a/../..", "./..//a", "/", "/a", "//a"}) {
    EXPECT_EQ(normalise_path(path).code(), Errc::kPathEscapes) << path;
  }
}

TEST(Path, TheErrorSaysWhatToDo) {
  const Result<std::string> absolute = normalise_path("/etc/passwd");
  ASSERT_FALSE(absolute);
  EXPECT_NE(absolute.error().context.find("'/etc/passwd'"), std::string::npos);
  EXPECT_NE(absolute.error().context.find("drop the leading '/'"), std::string::npos);
  const Result<std::string> climbs = normalise_path("../x");
  ASSERT_FALSE(climbs);
  EXPECT_NE(climbs.error().context.find("directory above"), std::string::npos);
}

TEST(Path, NotAFile) {
  EXPECT_EQ(normalise_path("").code(), std::errc::no_such_file_or_directory);
  for (const char* path : {".", "a/", "a/b/", "a/.", "a/..", "a/b/..", "./"}) {
    EXPECT_EQ(normalise_path(path).code(), std::errc::is_a_directory) << path;
  }
}

TEST(Path, ZeroByte) {
  EXPECT_EQ(normalise_path(std::string_view("a\0b", 3)).code(), std::errc::invalid_argument);
}

TEST(Path, Lengths) {
  const std::string longest_name(limits::kNameMaxBytes, 'n');
  EXPECT_EQ(normal(longest_name), longest_name);
  EXPECT_EQ(normalise_path(longest_name + "n").code(), std::errc::filename_too_long);
  EXPECT_EQ(normalise_path("a/" + longest_name + "n/b").code(), std::errc::filename_too_long);

  std::string longest_path;
  while (longest_path.size() + 2 <= limits::kPathMaxBytes) longest_path += "d/";
  longest_path.resize(limits::kPathMaxBytes, 'f');
  EXPECT_EQ(normal(longest_path), longest_path);
  EXPECT_EQ(normalise_path(longest_path + "f").code(), std::errc::filename_too_long);
}

TEST(Path, QuotedIsShortAndPrintable) {
  EXPECT_EQ(quote_path("a\nb"), "'a?b'");
  EXPECT_LT(quote_path(std::string(5000, 'x')).size(), 100u);
}

}  // namespace
}  // namespace quire::store
