// What the machine and the rights of this process allow. Nothing is changed by looking.
#ifndef QUIRE_TOOL_MACHINE_CHECKS_H_
#define QUIRE_TOOL_MACHINE_CHECKS_H_

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tool/check.h"

namespace quire::tool {

std::vector<Check> machine_checks();

// The first two numbers of a kernel's release ("6.1.0-18-amd64"). For machine_checks() and its tests.
std::optional<std::pair<unsigned, unsigned>> kernel_release(std::string_view text);

// Whether a line of fuse.conf's text is this word and no comment. Likewise.
bool fuse_conf_has(std::string_view text, std::string_view word);

// Whether guest_halt_poll_ns of the module haltpoll, as text, is not 0. Likewise.
bool polls_before_halt(std::string_view text);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_MACHINE_CHECKS_H_
