#include "quire/version.h"

#include <string>

#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(VersionTest, LibraryHeadersAndNumbersAgree) {
  EXPECT_STREQ(version(), QUIRE_VERSION_STRING);
  EXPECT_EQ(std::string(version()), std::to_string(QUIRE_VERSION_MAJOR) + "." +
                                        std::to_string(QUIRE_VERSION_MINOR) + "." +
                                        std::to_string(QUIRE_VERSION_PATCH));
  EXPECT_EQ(QUIRE_VERSION,
            10000 * QUIRE_VERSION_MAJOR + 100 * QUIRE_VERSION_MINOR + QUIRE_VERSION_PATCH);
}

}  // namespace
}  // namespace quire
