// quire doctor: what this machine allows, and for each "no" what Quire does instead and how to have it.
#ifndef QUIRE_TOOL_DOCTOR_H_
#define QUIRE_TOOL_DOCTOR_H_

#include <span>
#include <string>

#include "tool/arguments.h"
#include "tool/check.h"

namespace quire::tool {

// Returns the exit status: 0 if a mount would work.
int doctor(const DoctorArguments& arguments);

bool mount_would_work(std::span<const Check> checks);
std::string doctor_text(std::span<const Check> checks);
std::string doctor_json(std::span<const Check> checks);

}  // namespace quire::tool

#endif  // QUIRE_TOOL_DOCTOR_H_
