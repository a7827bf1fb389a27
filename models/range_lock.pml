/* The range lock of src/sync/range_lock.{h,cc}: three processes over two cells, each with any range and
 * mode. Two of them lock it twice; the third locks it once and may give up while it waits.
 *
 * Checked: no two conflicting requests are held together; whoever waits is granted (all processes
 * end); when a request is granted, none that came before it and conflicts with it is still there, so
 * nobody is overtaken; while a request waits, no more conflicting ones are granted than it met (THE
 * BOUND); nobody is told after its waiter is gone.
 *
 * Everything shared lives under one mutex, so each stretch under it is one atomic step. What the mutex
 * does not cover, telling those who were granted, is a step of its own for each of them.
 *
 * BUGS: 1 2 3 4 5
 */
#ifndef BUG
#define BUG 0
#endif

#define PROCESSES 3
#define ROUNDS(i) ((i) < 2 -> 2 : 1)
#define CELLS 2
#define MAY_GIVE_UP(i) ((i) == 2)

#define IDLE 0
#define WAITING 1
#define HELD 2

/* RangeLock::Hold, one for each process. */
byte state[PROCESSES];
byte first[PROCESSES];
byte last[PROCESSES];
bit exclusive[PROCESSES];
byte ahead[PROCESSES];

/* RangeLock::first_ ... last_: process numbers in the order they came. */
byte list[PROCESSES];
byte length;

bit permit[PROCESSES]; /* SleepingWaiter::parker, see parking.pml */

/* What is only there to be checked. */
bit alive[PROCESSES];   /* the waiter on the stack of RangeLock::lock() exists */
byte met[PROCESSES];    /* conflicting requests in the list on arrival */
byte passed[PROCESSES]; /* conflicting requests granted since */

#define CONFLICT(a, b) \
  (first[a] <= last[b] && first[b] <= last[a] && (exclusive[a] || exclusive[b]))

/* Checks at the moment at which request x becomes HELD. Uses k. */
inline check_grant(x) {
  k = 0;
  do
  :: k < PROCESSES ->
       if
       :: k != x && state[k] == HELD -> assert(!CONFLICT(k, x))
       :: k != x && state[k] == WAITING && CONFLICT(k, x) ->
            passed[k]++;
            assert(passed[k] <= met[k])
       :: else
       fi;
       k++
  :: else -> break
  od;
  k = 0;
  do
  :: list[k] != x -> assert(!CONFLICT(list[k], x)); k++
  :: else -> break
  od;
  k = 0
}

/* RangeLock::enqueue(); locked says what it returns. */
inline enqueue() {
  atomic {
    alive[me] = 1;
    ahead[me] = 0;
    met[me] = 0;
    i = 0;
    do
    :: i < length ->
         if
         :: CONFLICT(list[i], me) ->
              met[me]++;
              if
              :: BUG == 1 && state[list[i]] == WAITING
              :: else -> ahead[me]++
              fi
         :: else
         fi;
         i++
    :: else -> break
    od;
    i = 0;
    passed[me] = 0;
    list[length] = me;
    length++;
    if
    :: ahead[me] == 0 -> state[me] = HELD; locked = 1; alive[me] = 0; check_grant(me)
    :: else -> state[me] = WAITING
    fi
  }
}

/* RangeLock::remove(): takes me out of the list; leaves those to tell in granted[]. */
inline remove() {
  i = 0;
  do
  :: list[i] != me -> i++
  :: else -> break
  od;
  state[me] = IDLE;
  ahead[me] = 0;
  met[me] = 0;
  passed[me] = 0;
  i++;
  do
  :: i < length ->
       list[i - 1] = list[i];
       i++
  :: else -> break
  od;
  length--;
  list[length] = 0;
  i = 0;
  do
  :: i < length ->
       j = list[i];
       /* Conflicting requests behind me counted me; those before me did not. */
       if
       :: CONFLICT(j, me) && state[j] == WAITING && behind[j] ->
            ahead[j]--;
            if
            :: ahead[j] == 0 || BUG == 2 -> state[j] = HELD; granted[j] = 1; check_grant(j)
            :: else
            fi
       :: else
       fi;
       i++
  :: else -> break
  od;
  behind[0] = 0;
  behind[1] = 0;
  behind[2] = 0;
  i = 0;
  j = 0
}

/* Which requests stand behind me in the list. */
inline find_behind() {
  i = 0;
  j = 0; /* 1 once past me */
  do
  :: i < length ->
       behind[list[i]] = j;
       if
       :: list[i] == me -> j = 1
       :: else
       fi;
       i++
  :: else -> break
  od;
  i = 0;
  j = 0
}

inline tell_one(x) {
  atomic {
    if
    :: granted[x] -> assert(alive[x]); permit[x] = 1; granted[x] = 0
    :: else
    fi
  }
}

/* RangeLock::tell(): after the mutex was released. */
inline tell() {
  tell_one(0);
  tell_one(1);
  tell_one(2)
}

active [PROCESSES] proctype User() {
  byte me = _pid;
  byte round = 0;
  byte i;
  byte j;
  byte k;
  bit behind[PROCESSES];
  bit granted[PROCESSES];
  bit locked;
  bit withdrawn;

  atomic {
    select(i : 0 .. CELLS - 1);
    select(j : 0 .. CELLS - 1);
    if
    :: i <= j -> first[me] = i; last[me] = j
    :: else -> first[me] = j; last[me] = i
    fi;
    i = 0;
    j = 0;
    if
    :: exclusive[me] = 1
    :: exclusive[me] = 0
    fi
  };

  do
  :: round < ROUNDS(me) ->
       /* RangeLock::lock() */
       enqueue();
       if
       :: locked
       :: else ->
            if
            :: atomic { permit[me] -> permit[me] = 0; alive[me] = 0; locked = 1 }
            :: MAY_GIVE_UP(me) ->
                 atomic { /* cancel() */
                   withdrawn = (state[me] == WAITING);
                   if
                   :: withdrawn ->
                        if
                        :: BUG == 4 -> /* out of the list, but nobody is granted for it */
                             find_behind();
                             behind[0] = 0; behind[1] = 0; behind[2] = 0;
                             remove()
                        :: else -> find_behind(); remove()
                        fi
                   :: else
                   fi
                 };
                 tell();
                 if
                 :: withdrawn || BUG == 5 -> atomic { alive[me] = 0; locked = !withdrawn }
                 :: else -> atomic { permit[me] -> permit[me] = 0; alive[me] = 0; locked = 1 }
                 fi
            fi
       fi;

       if
       :: locked ->
            atomic { /* unlock() */
              assert(state[me] == HELD);
              find_behind();
              remove();
              if
              :: BUG == 3 -> granted[0] = 0; granted[1] = 0
              :: else
              fi
            };
            tell()
       :: else
       fi;
       atomic { locked = 0; withdrawn = 0; round++ }
  :: else -> break
  od
}
