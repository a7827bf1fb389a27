#include "mount/init_reply.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <array>
#include <cstring>
#include <vector>

namespace quire::mount {
namespace {

constexpr std::uint32_t kExt = 1U << 30;
constexpr std::uint32_t kAllowMmap = 1U << 4;  // bit 36, in the upper half

std::vector<std::byte> init_request(std::uint32_t flags, std::uint32_t flags2,
                                    std::uint32_t opcode = FUSE_INIT) {
  fuse_in_header header = {};
  header.opcode = opcode;
  header.unique = 77;
  const std::array<std::uint32_t, 16> in = {7, 45, 1 << 20, flags, flags2};
  std::vector<std::byte> request(sizeof(header) + sizeof(in));
  header.len = static_cast<std::uint32_t>(request.size());
  std::memcpy(request.data(), &header, sizeof(header));
  std::memcpy(request.data() + sizeof(header), in.data(), sizeof(in));
  return request;
}

// Sends a reply through `init`, and gives what the kernel would get.
fuse_init_out sent(InitReply& init, std::uint64_t unique, std::int32_t error = 0) {
  fuse_out_header header = {};
  header.unique = unique;
  header.error = error;
  fuse_init_out out = {};
  out.major = 7;
  out.flags = FUSE_ASYNC_READ;
  std::array<iovec, 2> parts = {iovec{&header, sizeof(header)}, iovec{&out, sizeof(out)}};
  init.sending(parts);
  return out;
}

TEST(InitReply, AsksForSharedMappingsWhereTheKernelOffersThem) {
  InitReply init(true);
  const auto request = init_request(kExt, kAllowMmap);
  init.received(request.data(), request.size());
  const fuse_init_out out = sent(init, 77);
  EXPECT_EQ(out.flags, FUSE_ASYNC_READ | kExt);
  EXPECT_EQ(out.flags2, kAllowMmap);
  EXPECT_TRUE(init.granted());
  EXPECT_TRUE(init.done());
  EXPECT_EQ(init.minor(), 45U);
}

TEST(InitReply, LeavesTheReplyAloneWhereTheyAreNotWanted) {
  InitReply init(false);
  const auto request = init_request(kExt, kAllowMmap);
  init.received(request.data(), request.size());
  const fuse_init_out out = sent(init, 77);
  EXPECT_EQ(out.flags, static_cast<std::uint32_t>(FUSE_ASYNC_READ));
  EXPECT_FALSE(init.granted());
  EXPECT_TRUE(init.done());
}

TEST(InitReply, LeavesTheReplyAloneOnKernelsThatCannot) {
  for (const auto& request : {init_request(0, kAllowMmap), init_request(kExt, 0)}) {
    InitReply init(true);
    init.received(request.data(), request.size());
    EXPECT_EQ(sent(init, 77).flags2, 0U);
    EXPECT_FALSE(init.granted());
  }
  InitReply old(true);
  const auto request = init_request(kExt, kAllowMmap);
  old.received(request.data(), sizeof(fuse_in_header) + 16);  // before 7.36
  EXPECT_EQ(sent(old, 77).flags2, 0U);
}

TEST(InitReply, AsksForTheExtendedSetxattrWhereTheKernelOffersIt) {
  constexpr std::uint32_t kSetxattrExt = 1U << 29;
  for (const bool shared_mmap : {false, true}) {
    InitReply init(shared_mmap);
    const auto request = init_request(kSetxattrExt, 0);
    init.received(request.data(), sizeof(fuse_in_header) + 16);  // such a kernel may be before 7.36
    EXPECT_EQ(sent(init, 77).flags, FUSE_ASYNC_READ | kSetxattrExt);
    EXPECT_TRUE(init.extended_setxattr());
    EXPECT_FALSE(init.granted());
  }
  InitReply old(true);
  const auto request = init_request(kExt, kAllowMmap);
  old.received(request.data(), request.size());
  EXPECT_EQ(sent(old, 77).flags, FUSE_ASYNC_READ | kExt);
  EXPECT_FALSE(old.extended_setxattr());
}

TEST(InitReply, ChangesNoOtherReply) {
  InitReply init(true);
  EXPECT_EQ(sent(init, 77).flags2, 0U) << "nothing was received";
  const auto request = init_request(kExt, kAllowMmap);
  init.received(request.data(), request.size());
  EXPECT_EQ(sent(init, 78).flags2, 0U);
  EXPECT_FALSE(init.done());
  EXPECT_EQ(sent(init, 77, -5).flags2, 0U) << "an error has no body";
  EXPECT_TRUE(init.done());
  EXPECT_EQ(sent(init, 77).flags2, 0U) << "once";
}

}  // namespace
}  // namespace quire::mount
