// The part of the conformance suite that is about space taken ahead: Store::reserve_pages and Store::release.
//
// Who calls: the checks (conformance_checks.cc).
#ifndef QUIRE_STORE_CONFORMANCE_SPACE_H_
#define QUIRE_STORE_CONFORMANCE_SPACE_H_

#include "quire/store.h"
#include "store/conformance_probe.h"

namespace quire::store {

// Begins a request for space. What it is about lies in the request's own memory, where the answer finds it
// however late it comes.
ProbeRequestPtr start_reserving(Probe& probe, ObjectHandle object, const SpaceRequest& asked,
                                IoMode mode);

// What the cache relies on to give back what it took, and nothing else.
void space_is_told_page_by_page(Probe& probe);

}  // namespace quire::store

#endif  // QUIRE_STORE_CONFORMANCE_SPACE_H_
