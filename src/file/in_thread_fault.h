// InThreadFault: answers an access to a mapping that was made with MapOptions::in_thread, in the thread that makes it,
// from the handler of its SIGBUS.
//
//   SIGBUS -> whose page is it (mapping_table.h)? -- nobody's, or beyond the end of the file ------> not answered
//               | a load of what is cached: shown, with its neighbours ----------------------------> answered
//               | a store to it, if nothing is in its way: let through, and the page is dirty -----> answered
//               | else a PageFault is begun on the service's thread, and waited for: done ----------> answered
//               |                                                                    error ---------> not answered
//               +- the thread is at work under a Block, or the service's own: EDEADLK --------------> not answered
//
// Who calls: handlers of SIGBUS (bus_handler.h, answer_sigbus()). What the thread was at is an access to a mapping,
// so it holds nothing of the library's, and is not in the memory allocator, unless the program put that into a mapping
// (mapping.h says it must not). For an address that is no mapping it may have been anywhere: such a call only looks
// into the table, which takes no lock.
//
// Invariants:
//  1. It takes no memory and needs little stack, since that may be an alternate one: what reads, reserves or reads
//     ahead is done by the service's thread.
//  2. The thread waits for the PageFault without a limit, and the PageFault ends by itself (page_fault.h). So what the
//     two share is on this thread's stack.
//  3. Nothing is remembered of an access that failed, but last_error(): the next one is asked about again.
#ifndef QUIRE_FILE_IN_THREAD_FAULT_H_
#define QUIRE_FILE_IN_THREAD_FAULT_H_

#include "map/bus_access.h"

namespace quire::file {

// True: the access can be repeated.
bool answer_in_thread(const map::BusAccess& access) noexcept;

}  // namespace quire::file

#endif  // QUIRE_FILE_IN_THREAD_FAULT_H_
