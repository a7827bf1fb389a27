// Questions to the daemon of a mount, by ioctl(2) on its root (mount/control.h). Each is asked by a
// process of its own, since a daemon that hangs never answers.
//
// root may not enter another user's mount unless it was made with --allow-other; the process that asks
// then becomes that user.
//
// Thread-safety: as BoundedCall.
#ifndef QUIRE_TOOL_ASK_MOUNT_H_
#define QUIRE_TOOL_ASK_MOUNT_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "mount/control.h"
#include "quire/result.h"
#include "tool/bounded_call.h"
#include "tool/mount_table.h"

namespace quire::tool {

// How long a daemon that does nothing else may take to answer.
inline constexpr std::chrono::seconds kAnswerMax{10};

// Starts asking: opens the root, writes everything that the kernel holds if `sync_first`, and makes the
// ioctl on a copy of `question`, a struct of control.h that begins with its version.
Result<BoundedCall> start_asking(const Mount& mount, unsigned long request,
                                 std::span<const std::byte> question, bool sync_first);

// What the errno of a question means, in words for people.
Error ask_error(const Mount& mount, int error);

// Errors: EPROTO if the daemon is of another version.
Status check_version(const Mount& mount, std::uint32_t version);

// REQUIRES: call.wait() was true, call.error() is 0, and this is the struct of the question.
template <class Answer>
Answer answer_as(const BoundedCall& call) {
  Answer answer;
  std::memcpy(&answer, call.answer().data(), sizeof(answer));
  return answer;
}

Result<mount::control::Stats> ask_stats(const Mount& mount);
// Errors: EPERM for those who may not know.
Result<mount::control::Files> ask_files(const Mount& mount);

// The part of a struct's text that is said to be there.
template <class Answer>
std::string_view text_of(const Answer& answer) {
  return {answer.text, std::min<std::size_t>(answer.length, sizeof(answer.text))};
}

}  // namespace quire::tool

#endif  // QUIRE_TOOL_ASK_MOUNT_H_
