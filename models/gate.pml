/* The gate of src/sync/gate.{h,cc}: two adders and two blockers. One adder enters twice, and one
 * blocker may give up while it waits.
 *
 * Checked: adders and blockers are never in together; whoever waits is granted (all processes end, else
 * pan reports an invalid end state); nobody enters past a waiter; at most one batch of the other side
 * is admitted while somebody waits (THE BOUND); nobody waits for those who gave up; nobody is told
 * after its waiter is gone.
 *
 * Each atomic{} is one access to the word, together with what is done beside it under the mutex and
 * is nobody else's business: taking the mutex before, releasing it after. The word's three fields are three variables, always read and
 * changed together.
 *
 * BUGS: 1 2 3 4 5 6 7
 */
#ifndef BUG
#define BUG 0
#endif

#define ADD 0
#define BLOCK 1
#define PROCESSES 4
#define ROUNDS(i) ((i) == 0 -> 2 : 1)
#define SIDE(i) ((i) % 2)
#define OTHER(side) (1 - (side))
#define MAY_GIVE_UP(i) ((i) == 3)
#define QUEUE(side) (waiting[side] + waiting[side + 2])
/* Invariants 2 and 5 of the header. They hold wherever the mutex is free. */
#define SOUND (queued == (QUEUE(ADD) + QUEUE(BLOCK) > 0) && (!queued || QUEUE(turn) > 0))

byte in[2];            /* Gate::word_: adders in, blockers in */
bit queued;            /* Gate::word_: kQueued */
bit mutex;             /* Gate::mutex_ */
bit waiting[PROCESSES]; /* GateWaiter::waiting_; the queues are read from it */
bit turn;              /* Gate::turn_ */
bit permit[PROCESSES]; /* SleepingWaiter::parker, see parking.pml */

/* What is only there to be checked. */
byte inside[2];
bit alive[PROCESSES];    /* the waiter on the stack of Gate::wait() exists */
byte passed[PROCESSES];  /* batches of the other side admitted while it waits */

/* Gate::take(), up to the compare-exchange; entered says whether it went in. */
inline take() {
  do
  :: atomic { seen_in[0] = in[0]; seen_in[1] = in[1]; seen_queued = queued };
     if
     :: (BUG != 1 && seen_queued) || seen_in[OTHER(side)] > 0 -> entered = 0; break
     :: else
     fi;
     atomic {
       if
       :: in[0] == seen_in[0] && in[1] == seen_in[1] && queued == seen_queued ->
            assert(QUEUE(ADD) + QUEUE(BLOCK) == 0);  /* overtakes nobody */
            in[side]++;
            entered = 1;
            break
       :: else
       fi
     }
  od
}

/* Gate::admit(): leaves the batch in granted[]. The word is loaded first and changed last; in between
 * only leave() can change it. Releases the mutex, which every caller does next. */
inline admit_and_unlock() {
  atomic {
    seen_in[0] = in[0];
    seen_in[1] = in[1];
    batch = 0;
    if
    :: !queued
    :: queued && QUEUE(turn) == 0 ->
         turn = OTHER(turn);
         batch = QUEUE(turn)
    :: queued && QUEUE(turn) > 0 && seen_in[0] + seen_in[1] > 0 && BUG != 5
    :: else -> batch = QUEUE(turn)
    fi
  };
  atomic {
    if
    :: batch > 0 ->
         joined = turn;
         granted[joined] = waiting[joined];
         granted[joined + 2] = waiting[joined + 2];
         waiting[joined] = 0;
         waiting[joined + 2] = 0;
         passed[OTHER(joined)] = passed[OTHER(joined)] + waiting[OTHER(joined)];
         passed[OTHER(joined) + 2] = passed[OTHER(joined) + 2] + waiting[OTHER(joined) + 2];
         assert(passed[OTHER(joined)] <= 1 && passed[OTHER(joined) + 2] <= 1);
         if
         :: BUG == 6
         :: else -> turn = OTHER(joined)
         fi;
         in[joined] = in[joined] + batch;
         assert(in[0] == 0 || in[1] == 0)
    :: else
    fi;
    queued = (QUEUE(ADD) + QUEUE(BLOCK) > 0 -> 1 : 0);
    seen_in[0] = 0;
    seen_in[1] = 0;
    batch = 0;
    joined = 0;
    assert(SOUND);
    mutex = 0
  }
}

inline tell_one(i) {
  atomic {
    if
    :: granted[i] -> assert(alive[i]); permit[i] = 1; granted[i] = 0
    :: else
    fi
  }
}

/* Gate::tell(): after the mutex was released. */
inline tell() {
  tell_one(0);
  tell_one(1);
  tell_one(2);
  tell_one(3)
}

/* Gate::enqueue(), after take() failed. */
inline enqueue() {
  atomic {
    mutex == 0 -> mutex = 1;
    seen_in[0] = in[0];
    seen_in[1] = in[1];
    seen_queued = queued
  };
  do
  :: atomic {
       if
       :: seen_queued -> break
       :: !seen_queued && in[0] == seen_in[0] && in[1] == seen_in[1] ->
            if
            :: seen_in[OTHER(side)] == 0 -> in[side]++; entered = 1
            :: else -> queued = 1; turn = side
            fi;
            break
       :: !seen_queued && BUG == 3 && seen_in[OTHER(side)] > 0 -> queued = 1; turn = side; break
       :: else ->  /* the compare-exchange failed and saw the word as it is now */
            seen_in[0] = in[0];
            seen_in[1] = in[1];
            seen_queued = queued
       fi
     }
  od;
  atomic {
    if
    :: !entered -> passed[me] = 0; waiting[me] = 1
    :: else
    fi;
    seen_in[0] = 0;
    seen_in[1] = 0;
    seen_queued = 0;
    assert(SOUND);
    mutex = 0
  }
}

/* Gate::cancel(); withdrawn says what it returns. */
inline cancel() {
  atomic { mutex == 0 -> mutex = 1; withdrawn = waiting[me]; waiting[me] = 0 };
  if
  :: withdrawn && BUG != 4 -> admit_and_unlock()
  :: else -> atomic { assert(SOUND); mutex = 0 }
  fi;
  tell()
}

/* Gate::enter(): take(), else wait(). */
inline enter() {
  take();
  if
  :: entered
  :: else ->
       alive[me] = 1;
       enqueue();
       if
       :: entered
       :: else ->
            if
            :: atomic { permit[me] -> permit[me] = 0; entered = 1 }
            :: MAY_GIVE_UP(me) ->
                 cancel();
                 if
                 :: withdrawn || BUG == 7 -> entered = !withdrawn
                 :: else -> atomic { permit[me] -> permit[me] = 0; entered = 1 }
                 fi
            fi
       fi;
       alive[me] = 0
  fi
}

/* Gate::leave() and pass_turn(). */
inline leave() {
  atomic {
    inside[side]--;
    assert(in[side] > 0);
    last = (in[side] == 1 && queued);
    in[side]--;
  };
  if
  :: last && BUG != 2 ->
       atomic { mutex == 0 -> mutex = 1; last = 0 };
       admit_and_unlock();
       tell()
  :: else
  fi
}

active [PROCESSES] proctype User() {
  byte me = _pid;
  bit side = SIDE(_pid);
  byte round = 0;
  byte seen_in[2];
  bit seen_queued;
  byte batch;
  bit joined;
  bit granted[PROCESSES];
  bit entered;
  bit withdrawn;
  bit last;

  do
  :: round < ROUNDS(me) ->
       enter();
       if
       :: entered ->
            atomic { inside[side]++; assert(inside[OTHER(side)] == 0) };
            leave()
       :: else
       fi;
       atomic { entered = 0; withdrawn = 0; last = 0; round++ }
  :: else -> break
  od
}
