#include "mount/setxattr_request.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace quire::mount {
namespace {

using namespace std::string_view_literals;

std::vector<std::byte> request(std::uint32_t opcode, std::uint32_t extra, std::string_view rest) {
  fuse_in_header header = {};
  header.opcode = opcode;
  header.unique = 5;
  const fuse_setxattr_in in = {3, 1, extra, 0};
  std::vector<std::byte> bytes(sizeof(header) + sizeof(in) + rest.size());
  header.len = static_cast<std::uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), &in, sizeof(in));
  std::memcpy(bytes.data() + sizeof(header) + sizeof(in), rest.data(), rest.size());
  return bytes;
}

// What libfuse would find: the flags, and name and value.
std::pair<std::uint32_t, std::string> short_form(const std::vector<std::byte>& bytes,
                                                 std::size_t size) {
  std::uint32_t flags = 0;
  std::memcpy(&flags, bytes.data() + sizeof(fuse_in_header) + 4, sizeof(flags));
  const std::size_t at = sizeof(fuse_in_header) + FUSE_COMPAT_SETXATTR_IN_SIZE;
  return {flags, std::string(reinterpret_cast<const char*>(bytes.data()) + at, size - at)};
}

TEST(SetxattrRequest, IsShortenedAndKeepsItsFlag) {
  for (const bool kills : {false, true}) {
    auto bytes = request(FUSE_SETXATTR, kills ? 1U : 0U, "user.a\0xyz"sv);
    const std::size_t before = bytes.size();
    const std::size_t size = shorten_setxattr(bytes.data(), before);
    EXPECT_EQ(size, before - 8);
    fuse_in_header header = {};
    std::memcpy(&header, bytes.data(), sizeof(header));
    EXPECT_EQ(header.len, size);
    EXPECT_EQ(header.unique, 5U);
    const auto [flags, rest] = short_form(bytes, size);
    EXPECT_EQ(flags, kills ? 1U | kKillSetGroupId : 1U);
    EXPECT_EQ(rest, "user.a\0xyz"sv);
  }
}

TEST(SetxattrRequest, LeavesOthersAlone) {
  auto bytes = request(FUSE_GETXATTR, 1, "user.a\0"sv);
  const auto before = bytes;
  EXPECT_EQ(shorten_setxattr(bytes.data(), bytes.size()), bytes.size());
  EXPECT_EQ(bytes, before);
  EXPECT_EQ(shorten_setxattr(bytes.data(), 7), 7U);
  EXPECT_EQ(bytes, before);
}

}  // namespace
}  // namespace quire::mount
