/* Parking: the Parker of src/sync/parker.{h,cc} on a futex, and the pattern by which every wait of the
 * engine uses it: publish the waiter, look again, park.
 *
 * An owner waits twice for an event; a waker makes it happen twice. The first wait may also end by a
 * deadline or by a stop, which a third process requests at any moment; then the owner waits on without
 * a limit, so that a permit lost by the give-up shows.
 *
 * Checked: no wake-up is lost (all processes end); park() says ready only with a permit it consumed; a
 * wait that gave up consumed none; unpark() touches the Parker in one step only.
 *
 * Each atomic{} is one access to Parker::state_, or one act of the kernel.
 *
 * BUGS: 1 2 3 4 5
 */
#ifndef BUG
#define BUG 0
#endif

#define WAITS 2

#define READY 0
#define GAVE_UP 1

/* Parker::state_ */
bit permit;
bit sleeping;
bit interrupt;

bit asleep;        /* the owner is in the kernel's queue */
bit stop_done;     /* the stop callback has run, or never will */
bit published;     /* where the waker finds the Parker */
byte happened;     /* what is waited for */

byte permits_made;
byte permits_taken;

/* Parker::wait(); limited says whether deadline and stop apply. */
inline park(limited) {
  in_time = 1;
  do
  :: atomic { saw_permit = permit; saw_sleeping = sleeping; saw_interrupt = interrupt };
     if
     :: saw_permit ->
          atomic { assert(permit); permit = 0; sleeping = 0; permits_taken++ };
          result = READY;
          break
     :: !saw_permit && ((limited && saw_interrupt) || !in_time) ->
          atomic {
            if
            :: BUG == 5 || (permit == saw_permit && sleeping == saw_sleeping && interrupt == saw_interrupt) ->
                 assert(!permit);
                 sleeping = 0;
                 result = GAVE_UP;
                 break
            :: else
            fi
          }
     :: else ->
          if
          :: !saw_sleeping ->
               atomic {
                 if
                 :: permit == saw_permit && sleeping == saw_sleeping && interrupt == saw_interrupt ->
                      sleeping = 1;
                      saw_sleeping = 1
                 :: else -> saw_sleeping = 0
                 fi
               }
          :: else
          fi;
          if
          :: saw_sleeping ->
               /* FUTEX_WAIT: the kernel compares the word and goes to sleep in one step. */
               atomic {
                 if
                 :: BUG == 3 || (!permit && sleeping && !interrupt) -> asleep = 1
                 :: else
                 fi
               };
               if
               :: !asleep
               :: limited -> atomic { asleep = 0; in_time = 0 }  /* the deadline passed */
               fi
          :: else
          fi
     fi
  od;
  atomic { saw_permit = 0; saw_sleeping = 0; saw_interrupt = 0; in_time = 1 }
}

active proctype Owner() {
  byte round = 1;
  bit limited = 1;
  bit in_time;
  bit saw_permit;
  bit saw_sleeping;
  bit saw_interrupt;
  bit result;

  do
  :: round <= WAITS ->
       if
       :: BUG == 1 -> /* looks, then publishes */
            if
            :: happened >= round -> round++
            :: else ->
                 published = 1;
                 park(0);
                 limited = 0
            fi
       :: else ->
            published = 1;
            if
            :: happened >= round -> round++
            :: else ->
                 if
                 :: limited -> park(1)
                 :: else -> park(0)
                 fi;
                 if
                 :: limited ->
                      /* park_until() waits until the stop callback has run or cannot run any more */
                      stop_done == 1;
                      interrupt = 0;
                      limited = 0
                 :: else
                 fi
            fi
       fi
  :: else -> break
  od;
  /* Every permit was taken or is still there; as many as there were, or fewer. */
  assert(permits_taken <= permits_made)
}

/* What publishes an event, then Parker::unpark(). */
active proctype Waker() {
  byte round = 0;
  bit saw_published;
  bit wake;

  do
  :: round < WAITS ->
       if
       :: BUG == 2 -> saw_published = published; happened++
       :: else -> happened++; saw_published = published
       fi;
       if
       :: saw_published ->
            if
            :: BUG == 4 -> /* looks before it gives the permit */
                 wake = (sleeping && !permit);
                 atomic { permit = 1; permits_made++ }
            :: else ->
                 atomic { wake = (sleeping && !permit); permit = 1; permits_made++ }
            fi;
            if
            :: wake -> asleep = 0  /* FUTEX_WAKE; by its address only */
            :: else
            fi
       :: else
       fi;
       atomic { saw_published = 0; wake = 0; round++ }
  :: else -> break
  od
}

/* std::stop_source::request_stop(), or never: Parker::interrupt(). */
active proctype Stopper() {
  bit wake;
  if
  :: atomic { wake = sleeping; interrupt = 1 };
     if
     :: wake -> asleep = 0
     :: else
     fi
  :: true
  fi;
  stop_done = 1
}
