// Checks that a Store keeps the rules of quire/store.h. For authors of stores, in their own tests:
//
//   quire::ConformanceOptions options;
//   options.crash = [](std::shared_ptr<quire::Store> store) { ...; return store; };
//   const quire::ConformanceReport report = quire::run_store_conformance(make_my_store, options);
//   if (!report.ok()) std::puts(report.text().c_str());
//
// Each check gets a store of its own from `make`, in which it makes objects of its own with names
// that begin with "conformance-"; they stay behind. `make` may return the same medium again: the
// check before has closed its objects and let go of its store by then.
//
// A store that breaks a rule fails the check of that rule and, as far as that is possible, no
// other. Nothing aborts and nothing is thrown. A request that is not answered within the options'
// patience fails its check; its memory and its store are then leaked, because the answer may still
// come.
//
// Thread-safety: call it from one thread. It starts a few threads while it runs.
#ifndef QUIRE_STORE_CONFORMANCE_H_
#define QUIRE_STORE_CONFORMANCE_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "quire/export.h"
#include "quire/store.h"

namespace quire {

// What the suite cannot do through the Store interface. Without the function that it needs a check
// is reported as not checked.
struct ConformanceOptions {
  // How long a request may take.
  std::chrono::milliseconds patience{10'000};
  // Loses what a crash would lose and returns the store to go on with, which may be a new one on
  // the same medium. No object is open and no request in flight. Needed by rule 6.
  std::function<std::shared_ptr<Store>(std::shared_ptr<Store>)> crash = nullptr;
  // Gives the object at `existing` the second name `path`; returns whether it did. Needed by
  // rule 7.
  std::function<bool(Store&, const std::string& existing, const std::string& path)> link = nullptr;
  // From now on (true) writes fail, from now on (false) they do not. Needed by half of rule 4.
  std::function<void(Store&, bool)> fail_writes = nullptr;
};

struct ConformanceResult {
  std::string name;     // "read-sees-completed-writes"
  int rule = 0;         // its number in quire/store.h; 0: what the operations' own comments promise
  bool checked = true;  // false: `detail` says what was missing
  bool passed = false;
  std::string detail;  // of a failure: what was seen, and what should have been
};

struct ConformanceReport {
  std::vector<ConformanceResult> results;

  // Nothing that was checked failed.
  QUIRE_EXPORT bool ok() const;
  // The results as lines: "ok", "FAILED" or "not checked", the name, the detail.
  QUIRE_EXPORT std::string text() const;
};

QUIRE_EXPORT ConformanceReport run_store_conformance(
    const std::function<std::shared_ptr<Store>()>& make, const ConformanceOptions& options = {});

}  // namespace quire

#endif  // QUIRE_STORE_CONFORMANCE_H_
