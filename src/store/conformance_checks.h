// The checks of the conformance suite, in the order of the rules of quire/store.h.
//
// Each looks at one rule and takes the others for granted as far as it can, so that a store with
// one fault fails one check. That is why, for example, no check but one writes the same page twice,
// and no check but one leaves an object at a size that is not whole pages by writing.
#ifndef QUIRE_STORE_CONFORMANCE_CHECKS_H_
#define QUIRE_STORE_CONFORMANCE_CHECKS_H_

#include <span>

#include "quire/store_conformance.h"
#include "store/conformance_probe.h"

namespace quire::store {

struct ConformanceCheck {
  const char* name;
  int rule;
  void (*run)(Probe& probe);
  // Null, or what is missing to run the check; null where nothing is.
  const char* (*missing)(const ConformanceOptions& options);
};

std::span<const ConformanceCheck> conformance_checks();

}  // namespace quire::store

#endif  // QUIRE_STORE_CONFORMANCE_CHECKS_H_
