#include <fmt/format.h>

#include <algorithm>

#include "quire/store_conformance.h"
#include "store/conformance_checks.h"
#include "store/conformance_probe.h"

namespace quire {

bool ConformanceReport::ok() const {
  return std::all_of(results.begin(), results.end(), [](const ConformanceResult& result) {
    return result.passed || !result.checked;
  });
}

std::string ConformanceReport::text() const {
  std::string text;
  for (const ConformanceResult& result : results) {
    const char* const verdict = !result.checked ? "not checked" : result.passed ? "ok" : "FAILED";
    text += fmt::format("{:<11}  {}", verdict, result.name);
    if (result.rule != 0) text += fmt::format(" (rule {})", result.rule);
    if (!result.detail.empty()) text += ": " + result.detail;
    text += '\n';
  }
  return text;
}

ConformanceReport run_store_conformance(const std::function<std::shared_ptr<Store>()>& make,
                                        const ConformanceOptions& options) {
  ConformanceReport report;
  for (const store::ConformanceCheck& check : store::conformance_checks()) {
    ConformanceResult result;
    result.name = check.name;
    result.rule = check.rule;
    if (const char* const missing = check.missing(options); missing != nullptr) {
      result.checked = false;
      result.detail = missing;
    } else if (std::shared_ptr<Store> made = make(); made == nullptr) {
      result.detail = "the function that makes stores returned none";
    } else {
      store::Probe probe(check.name, std::move(made), options);
      check.run(probe);
      probe.end();
      result.detail = probe.detail();
      result.passed = result.detail.empty();
    }
    report.results.push_back(std::move(result));
  }
  return report;
}

}  // namespace quire
