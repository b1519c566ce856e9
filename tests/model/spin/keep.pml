/* SPDX-License-Identifier: MIT */
/*
 * keep.pml: a kept pair (keep.h): the keeper ends its epochs in one step and begins the next one in the
 * same slot and lane, or leaves and lets others end it, while a visitor enters, somebody closes or
 * discards, and a stray free arrives, each with the id of any life, at any time.
 *
 * Lane 0 is the keeper's, lane 1 is made by the visitor. W is tag, held, trans, closing, disc, dead and
 * the queue; the tag of lane 0 stays old while the pair is kept. The numbers of eras are the ids.
 *
 * Checked: what the keeper undoes is held by it, with nobody inside or on the way; each life is finished
 * once; a life begins with one lane on the list; no queue is lost; a parked lane is found by its id.
 *
 * LIVES=3    lives of the slot
 * DISCARDER  who ends the epoch from outside discards it; otherwise it may close it as well
 */
#ifndef LIVES
#define LIVES 3
#endif
#define NOBODY 0

mtype = { FREE, ACTIVE, CLOSING, DISCARDING, COMMITTED };

/* E */
mtype state = ACTIVE;
byte era = 1, refs = 2;
bool close_wanted, altered;
/* W, what a lane says beside it, and the list */
byte tag[2], lane_id[2];
bool held[2], trans[2], closing[2], disc[2], dead[2], holder[2], linked[2];
bool queued;                    /* on lane 0 */
byte owner[2];                  /* ghost: who has HELD */
bool scope[2];                  /* ghost: somebody is inside and may allocate */
byte finished[LIVES + 1], pushed, collected;

#define ALIVE(x) (linked[x] && !dead[x])

inline drain()
{
	atomic {
		if
		:: queued -> assert(owner[0] == _pid); queued = false; collected++
		:: else
		fi
	}
}

inline finish()
{
	atomic {
		assert(!scope[0] && !scope[1]);
		finished[era]++;
		assert(finished[era] == 1);
		x = 0;
		do
		:: x < 2 ->
			assert(!linked[x] || dead[x] || disc[x]);
			linked[x] = false; owner[x] = NOBODY;
			x++
		:: else -> break
		od;
		x = 0;
		state = FREE; refs = 0
	}
}

inline drop()
{
	d_step { assert(refs > 0); refs--; last = (refs == 0) };
	if
	:: last -> last = false; finish()
	:: else
	fi
}

inline take(l, with_disc, with_trans)
{
	assert(owner[l] == NOBODY);
	held[l] = true; disc[l] = with_disc; trans[l] = with_trans; owner[l] = _pid
}

inline release(l)
{
	do
	:: l == 0 && queued -> drain()
	:: atomic {
		!(l == 0 && queued) ->
			assert(owner[l] == _pid && held[l] && !dead[l]);
			owner[l] = NOBODY;
			if
			:: closing[l] -> dead[l] = true; last = true
			:: else -> held[l] = false; trans[l] = false; disc[l] = false
			fi;
			break
		}
	od;
	if
	:: last -> last = false; drop()
	:: else
	fi
}

/* The last scope in a lane that this thread holds. */
inline leave(l)
{
	scope[l] = false;
#ifndef CTL_NO_RETAG
	tag[l] = lane_id[l];
#endif
	holder[l] = false;
	release(l)
}

inline close_walk()
{
	y = 0;
	do
	:: y < 2 ->
		atomic {
			ok = false;
			if
			:: ALIVE(y) ->
				closing[y] = true;
				if
				:: !held[y] -> take(y, false, true); ok = true
				:: else
				fi
			:: else
			fi
		};
		if
		:: ok -> release(y)
		:: else
		fi;
		y++
	:: else -> break
	od;
	y = 0; ok = false;
	drop()
}

inline close(id)
{
	atomic {
		ok = false;
		if
		:: era == id && state == ACTIVE -> state = CLOSING; ok = true
		:: era == id && state == DISCARDING && !close_wanted -> close_wanted = true
		:: else
		fi
	};
	if
	:: ok -> close_walk()
	:: else
	fi
}

/* Sets ok: the lane is taken, or over; not ok: somebody is inside. */
inline seize(l)
{
	seen = tag[l];
	do
	:: atomic {
		!dead[l] && tag[l] == seen && !held[l] -> take(l, true, false); mine[l] = true; ok = true; break
		}
	:: atomic { dead[l] -> ok = true; break }
#ifdef CTL_ONE_TAG
	:: atomic { tag[l] != seen -> ok = true; break }
#else
	:: atomic { !dead[l] && tag[l] != seen -> seen = tag[l] }
#endif
	:: atomic { !dead[l] && held[l] && !trans[l] && holder[l] -> ok = false; break }
	od;
	seen = 0
}

inline discard_long(id)
{
	atomic {
		ok = (era == id && state == ACTIVE);
		if
		:: ok -> state = DISCARDING
		:: else
		fi
	};
	if
	:: ok ->
		y = 0;
		do
		:: y < 2 && linked[y] -> seize(y); if :: ok -> y++ :: else -> break fi
		:: y < 2 && !linked[y] -> y++
		:: y == 2 -> break
		od;
		if
		:: !ok ->
			y = 0;
			do
			:: y < 2 -> if :: mine[y] -> mine[y] = false; release(y) :: else fi; y++
			:: else -> break
			od;
			atomic {
				ok = close_wanted; close_wanted = false;
				state = (ok -> CLOSING : ACTIVE)
			};
			if
			:: ok -> close_walk()
			:: else
			fi
		:: else ->
			atomic {
				y = mine[0] + mine[1];
				assert(refs > y);
				state = COMMITTED; refs = refs - y; ok = (refs == 1); close_wanted = false
			};
			y = 0;
			do
			:: y < 2 ->
				if
				:: mine[y] ->
					assert(owner[y] == _pid && !scope[y]);
					atomic { dead[y] = true; mine[y] = false }
				:: else
				fi;
				y++
			:: else -> break
			od;
			if
			:: ok -> finish()
			:: else -> drop()
			fi
		fi;
		y = 0; ok = false
	:: else
	fi
}

/* In one step if the newest lane is the only one and parked. */
inline discard(id)
{
	atomic { y = (linked[1] -> 1 : 0); ok = (linked[y] && lane_id[y] == id) };
	if
	:: ok ->
		atomic {
			ok = (!dead[y] && tag[y] == id && !disc[y] && !held[y]);
			if
			:: ok -> take(y, true, false)
			:: else
			fi
		};
		if
		:: ok ->
			atomic {
				ok = (lane_id[y] == id && era == id && state == ACTIVE && refs == 2 && !close_wanted);
				if
				:: ok -> state = COMMITTED; refs = 1
				:: else
				fi
			};
			if
			:: ok -> assert(owner[y] == _pid && !scope[0] && !scope[1]); y = 0; ok = false; finish();
				id = 0
			:: else -> release(y)
			fi
		:: else
		fi
	:: else
	fi;
	y = 0;
	if
	:: id -> discard_long(id)
	:: else
	fi
}

proctype Keeper()
{
	byte x, y, seen, id; bool ok, last, kept, mine[2];

	do
	:: era < LIVES || state != FREE ->
		/* inside, alone in lane 0 */
		id = era; kept = false;
		assert(owner[0] == _pid && lane_id[0] == id);
		scope[0] = true;
		if
		:: true ->
			drain();
			ok = !(trans[0] || closing[0] || disc[0] || dead[0]);
			if
			:: ok ->
				atomic {
#ifdef CTL_ANY_REFS
					ok = (state == ACTIVE && era == id);
#else
					ok = (state == ACTIVE && era == id && refs == 2 && !close_wanted);
#endif
					if
					:: ok -> state = FREE; refs = 0
					:: else
					fi
				}
			:: else
			fi;
			kept = ok; ok = false
		:: true
		fi;
		if
		:: kept ->
			/* undone by its holder: nobody is inside or on the way */
			scope[0] = false;
			assert(owner[0] == _pid && !dead[0] && !scope[1] && !ALIVE(1));
			d_step { finished[id]++; assert(finished[id] == 1) };
#ifdef CTL_KEEP_ALTERED
			if
			:: false ->
#else
			if
			:: altered ->
#endif
				/* dissolved: all lanes of the list rest */
				d_step {
					kept = false; dead[0] = true; holder[0] = false; owner[0] = NOBODY;
					linked[0] = false; linked[1] = false
				}
			:: else -> skip
			fi
		:: else ->
			leave(0);
			if
			:: true -> y = 0; close(id)
			:: true -> y = 0; discard(id)
			fi;
			/* Refused because somebody is inside, or left to others: closed at last. */
			if
			:: finished[era] == 0 -> id = era; close(id)
			:: else
			fi;
			(state == FREE)
		fi;
		id = 0; ok = false; y = 0;
		if
		:: era == LIVES -> break
		:: else
		fi;
		if
		:: kept ->
#ifdef CTL_PLAIN_BEGIN
			queued = false;
#else
			drain();
#endif
			/* the row and the lane, then E; nobody has this id yet */
			assert(!linked[1]);
			lane_id[0] = era + 1
		:: else ->
			do
			:: atomic { queued -> owner[0] = _pid; queued = false; collected++ }
			:: atomic {
				!queued ->
					assert(owner[0] == NOBODY || owner[0] == _pid);
					assert(!linked[0] && !linked[1]);
					tag[0] = era + 1; lane_id[0] = era + 1;
					held[0] = true; trans[0] = false; closing[0] = false; disc[0] = false;
					dead[0] = false; holder[0] = true; owner[0] = _pid; linked[0] = true;
					altered = false;
					break
				}
			od
		fi;
		atomic {
			assert(refs == 0 && state == FREE);
#ifdef CTL_ONE_REF
			era++; refs = 1; state = ACTIVE
#else
			era++; refs = 2; state = ACTIVE
#endif
		}
	:: else -> break
	od
}

/* Enters by the lane it knows, else makes lane 1. */
proctype Visitor()
{
	byte x, id; bool ok, last;

	if
	:: id = 1
	:: id = 2
	fi;
	(era >= id);
	ok = (lane_id[0] == id);
	if
	:: ok ->
		atomic {
			assert(dead[0] || held[0] || lane_id[0] != id || tag[0] == id);
			ok = (!dead[0] && tag[0] == id && !disc[0] && !held[0] && !closing[0]);
			if
			:: ok -> take(0, false, false)
			:: else
			fi
		};
		if
		:: ok && lane_id[0] == id && era == id && state == ACTIVE ->
			/* the keeper's discard would find this scope */
			holder[0] = true;
			leave(0);
			goto end
		:: ok && !(lane_id[0] == id && era == id && state == ACTIVE) ->
			release(0)
		:: else
		fi
	:: else
	fi;
	atomic {
		ok = (era == id && state == ACTIVE && refs > 0);
		if
		:: ok -> refs++
		:: else
		fi
	};
	if
	:: ok ->
		atomic {
			assert(!linked[1]);
			owner[1] = NOBODY; tag[1] = id; lane_id[1] = id; dead[1] = false; closing[1] = false;
			take(1, false, false); linked[1] = true
		};
		if
		:: state == ACTIVE ->
			scope[1] = true; holder[1] = true;
			leave(1)
		:: state == CLOSING -> closing[1] = true; release(1)
		:: else ->
			altered = true;
			d_step { dead[1] = true; owner[1] = NOBODY };
			drop()
		fi
	:: else
	fi;
end:	skip
}

/* Closes or discards a life from outside. */
proctype Ender()
{
	byte x, y, seen, id; bool ok, last, mine[2];

	if
	:: id = 1
	:: id = 2
	fi;
	(era >= id);
	if
#ifndef DISCARDER
	:: true -> close(id)
#endif
	:: true -> discard(id)
	fi
}

/* Has turned a node of lane 0: pushes it, or takes the lane and collects. */
proctype Stray()
{
	byte x; bool ok, last;

	atomic {
		pushed++;
		if
		:: held[0] -> queued = true
		:: else -> take(0, false, true); ok = true
		fi
	};
	if
	:: ok -> collected++; release(0)
	:: else
	fi
}

init
{
	byte i;

	atomic {
		tag[0] = 1; lane_id[0] = 1; held[0] = true; holder[0] = true; linked[0] = true;
		owner[0] = 1;
		run Keeper();           /* process 1: see owner */
		run Visitor();
		run Ender();
		run Stray()
	};
	(_nr_pr == 1);
	assert(state == FREE && refs == 0);
	i = 1;
	do
	:: i <= LIVES -> assert(finished[i] == 1); i++
	:: else -> break
	od;
	assert(collected + queued == pushed)
}
