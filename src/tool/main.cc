// quire: the command. What it is asked stands in tool/command_line.h, what it does in a file for each
// subcommand.
#include <exception>
#include <variant>

#include "tool/command_line.h"
#include "tool/doctor.h"
#include "tool/exit_status.h"
#include "tool/fallocate.h"
#include "tool/message.h"
#include "tool/mount.h"
#include "tool/stats.h"
#include "tool/unmount.h"
#include "tool/version.h"

namespace quire::tool {

namespace {

struct Run {
  int operator()(const MountArguments& arguments) const { return mount(arguments); }
  int operator()(const UnmountArguments& arguments) const { return unmount(arguments); }
  int operator()(const StatsArguments& arguments) const { return stats(arguments); }
  int operator()(const FallocateArguments& arguments) const { return fallocate(arguments); }
  int operator()(const DoctorArguments& arguments) const { return doctor(arguments); }
  int operator()(const VersionArguments& arguments) const { return version(arguments); }
  int operator()(const Shown& shown) const {
    return put(shown.text) ? kSuccess : fail("cannot write to standard output");
  }
};

}  // namespace

}  // namespace quire::tool

int main(int argc, char** argv) {
  using namespace quire::tool;
  try {
    const auto command = parse_command_line(argc, argv);
    return command ? std::visit(Run(), *command) : fail(command.error().context, kUsage);
  } catch (const std::exception& error) {
    // No memory, or no way to say more.
    return fail(error.what());
  }
}
