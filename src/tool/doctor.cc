#include "tool/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "tool/directory_checks.h"
#include "tool/machine_checks.h"
#include "tool/message.h"

namespace quire::tool {

namespace {

const char* word(Check::Answer answer) {
  switch (answer) {
    case Check::Answer::kYes:
      return "yes";
    case Check::Answer::kNo:
      return "no";
    case Check::Answer::kUnknown:
      return "unknown";
  }
  return "";
}

}  // namespace

bool mount_would_work(std::span<const Check> checks) {
  return std::ranges::none_of(checks, [](const Check& check) {
    return check.needed && check.answer == Check::Answer::kNo;
  });
}

std::string doctor_text(std::span<const Check> checks) {
  std::string text;
  for (const Check& check : checks) {
    text += fmt::format("{:<7}  {}{}{}\n", word(check.answer), check.name,
                        check.found.empty() ? "" : ": ", check.found);
    if (!check.instead.empty()) text += fmt::format("         instead: {}\n", check.instead);
    if (!check.allow.empty()) text += fmt::format("         to have it: {}\n", check.allow);
  }
  return text + (mount_would_work(checks) ? "A mount would work.\n" : "A mount would not work.\n");
}

std::string doctor_json(std::span<const Check> checks) {
  using Json = nlohmann::ordered_json;
  Json json;
  json["mount_would_work"] = mount_would_work(checks);
  json["checks"] = Json::array();
  for (const Check& check : checks) {
    json["checks"].push_back({{"check", check.name},
                              {"answer", word(check.answer)},
                              {"needed", check.needed},
                              {"found", check.found},
                              {"instead", check.instead},
                              {"to_have_it", check.allow}});
  }
  // Names are bytes; JSON is UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

int doctor(const DoctorArguments& arguments) {
  std::vector<Check> checks = machine_checks();
  if (!arguments.directory.empty()) {
    for (Check& check : directory_checks(arguments.directory)) checks.push_back(std::move(check));
  }
  if (!put(arguments.json ? doctor_json(checks) : doctor_text(checks))) {
    return fail("cannot write to standard output");
  }
  return mount_would_work(checks) ? kSuccess : kFailure;
}

}  // namespace quire::tool
