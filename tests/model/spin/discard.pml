/* SPDX-License-Identifier: MIT */
/*
 * discard.pml: discard against handle frees (pins, generations), scopes, close, roll-back and reuse.
 *
 * One epoch with two parked lanes. Lane 0 has a chunk of one node with two handle objects; object 0 is
 * freed by two threads through the same handle, object 1 by a third. A scope enters each lane. A discarder and a closer run at any time. When the epoch is finished a recycler
 * binds lane 0 and the chunk to the next era.
 *
 * Checked: I2, I6, I7, I8, I11, I12, I13 (no deadlock): nobody touches the lane word, a node or a slot
 * of the next era with a handle of this one; one winner a handle; an accepted close is never lost.
 *
 * NO_CLOSER    without the closer          NO_DISCARD  without the discarder
 * SCOPES=n     scopes on lane 0 (1); SCOPES1=n on lane 1 (0)
 * HANDLES=2    without object 1
 */
#ifndef HANDLES
#define HANDLES 3
#endif
#ifndef SCOPES1
#define SCOPES1 0
#endif
#ifndef SCOPES
#define SCOPES 1
#endif
#define ALL 3
#ifdef CTL_DEAD_WITH_PINS
#define NO_PINS(x) true
#else
#define NO_PINS(x) (W[x].pins == 0)
#endif

mtype = { FREE, ACTIVE, CLOSING, DISCARDING, COMMITTED,
	  TAKEN, PINNED, GONE, BUSY, WAIT, RETURNED, DRAIN, DIED };

/* E */
mtype state = ACTIVE;
bool close_wanted;
byte refs = 3;
/* W */
typedef Word { byte era; byte pins; bool held; bool transient; bool closing; bool disc; bool dead; bool queued };
Word W[2];
/* the chunk of lane 0 */
byte L, R, gen[2], base;
bool chunk = true;
/* ghosts */
byte chunk_era = 1, finished, wins[2];
bool close_promised, discarded, recycled;

inline drop(n_refs)
{
	d_step {
		assert(refs >= n_refs);
		refs = refs - n_refs;
		last = (refs == 0)
	};
	if
	:: last -> d_step {
		assert(state == CLOSING || state == COMMITTED);
		assert(W[0].dead && W[1].dead && !W[0].pins && !W[1].pins);
		finished++; assert(finished == 1);
		state = FREE; last = false }
	:: else
	fi
}

inline drain(x)
{
	d_step { ok = W[x].queued; W[x].queued = false };
	if
	:: ok -> collect()
	:: else
	fi;
	ok = false
}

inline collect()
{
	d_step { m = R; R = 0; assert(m != 0 && m != ALL + 4) };
	d_step { assert(!(m & L)); L = L | m; m = 0 }
}

inline try_return(x)
{
	if
	:: x == 0 && chunk && L == ALL -> d_step {
		if
		:: R == 0 -> R = ALL; chunk = false
		:: else
		fi }
	:: else
	fi
}

/* Settled or not makes no difference here: an empty chunk is always tried. */
inline give_back(x)
{
	do
	:: true ->
		if
		:: !W[x].queued -> try_return(x)
		:: else
		fi;
		atomic {
			assert(W[x].held);
			if
			:: W[x].queued -> r = DRAIN
			:: !W[x].queued && W[x].closing && !(x == 0 && chunk) && NO_PINS(x) ->
				assert(!W[x].dead); W[x].dead = true; r = DIED
			:: else ->
				W[x].held = false; W[x].transient = false; W[x].disc = false;
				r = RETURNED
			fi
		};
		if
		:: r == DRAIN -> drain(x)
		:: r == DIED -> drop(1); break
		:: r == RETURNED -> break
		fi
	od;
	r = 0
}

inline unpin(x)
{
	atomic {
		assert(W[x].era == 1 && W[x].pins > 0);
		W[x].pins--;
#ifndef CTL_UNPIN_LEAVES
		if
		:: !W[x].held && W[x].closing && !W[x].pins ->
			W[x].held = true; W[x].transient = true; r = TAKEN
		:: else -> r = RETURNED
		fi
#else
		r = RETURNED
#endif
	};
	if
	:: r == TAKEN -> give_back(x)
	:: else
	fi;
	r = 0
}

proctype HandleFree(byte s)
{
	byte m; mtype r; bool ok, last;

	do
	:: true ->
		atomic {
			if
			:: W[0].dead || W[0].era != 1 -> r = GONE
			:: else ->
				if
				:: W[0].disc -> r = WAIT
				:: !W[0].disc && !W[0].held ->
					W[0].held = true; W[0].transient = true; r = TAKEN
#ifndef CTL_NO_PIN
				:: else -> W[0].pins++; r = PINNED
#else
				:: else -> r = PINNED
#endif
				fi
			fi
		};
		if
		:: r == WAIT -> (!W[0].disc || W[0].dead)
		:: else -> break
		fi
	od;
	if
	:: r == GONE -> skip
	:: r == TAKEN ->
		d_step {
			ok = (base + gen[s] == 0 && chunk);
			if
			:: ok -> assert(chunk_era == 1); gen[s] = gen[s] + 1; wins[s]++
			:: else
			fi
		};
		if
		:: ok -> d_step { assert(!(L & (1 << s))); L = L | (1 << s) }
		:: else
		fi;
		give_back(0)
	:: r == PINNED ->
		ok = (base == 0);               /* header and base first */
		d_step {
			ok = ok && (gen[s] == 0);
			if
			:: ok -> gen[s] = 1; wins[s]++
			:: else
			fi
		};
		if
		:: ok ->
			d_step {
				assert(chunk_era == 1);         /* I11, I12 */
				m = R; R = R | (1 << s);
				assert(!(m & (1 << s)))
			};
			if
			:: m == 0 ->
				atomic {
					assert(W[0].era == 1 && !W[0].dead);
#ifndef CTL_NO_PIN
					assert(W[0].pins > 0);
					W[0].pins--;
#endif
					if
					:: W[0].held -> W[0].queued = true; r = RETURNED
					:: else -> W[0].held = true; W[0].transient = true; r = TAKEN
					fi
				};
				if
				:: r == TAKEN -> collect(); give_back(0)
				:: else -> m = 0
				fi
			:: else ->
				m = 0;
#ifndef CTL_NO_PIN
				unpin(0)
#endif
			fi
		:: else ->
#ifndef CTL_NO_PIN
			unpin(0)
#else
			skip
#endif
		fi
	fi;
	r = 0
}

/* A scope. A refused enter is tried again once: in a discard it waits, for that may roll back. */
proctype Scope(byte x; byte tries)
{
	byte m; mtype r; bool ok, last;

	do
	:: tries > 0 ->
		atomic {
			if
			:: W[x].dead || W[x].era != 1 -> r = GONE
			:: else ->
				if
				:: W[x].disc -> r = WAIT
				:: !W[x].disc && W[x].held -> r = BUSY
				:: !W[x].disc && !W[x].held && W[x].closing -> r = GONE
				:: else -> W[x].held = true; r = TAKEN
				fi
			fi
		};
		if
		:: r == TAKEN ->
			if
			:: state == ACTIVE ->
				tries--;
				if
				:: drain(x)
				:: skip
				fi;
				assert(state != COMMITTED && state != FREE);
				give_back(x)
			:: state == DISCARDING ->
				give_back(x);
				(state != DISCARDING)
			:: else -> give_back(x); break
			fi
		:: r == WAIT -> (!W[x].disc || W[x].dead)
		:: r == BUSY -> tries--
		:: r == GONE -> break
		fi
	:: else -> break
	od
}

inline close_walk()
{
	x = 0;
	do
	:: x < 2 ->
		atomic {
			if
			:: W[x].dead -> r = GONE
			:: !W[x].dead && W[x].held -> W[x].closing = true; r = BUSY
			:: else -> W[x].closing = true; W[x].held = true; W[x].transient = true; r = TAKEN
			fi
		};
		if
		:: r == TAKEN -> give_back(x)
		:: else -> r = 0
		fi;
		x++
	:: else -> break
	od;
	x = 0;
	drop(1)
}

proctype Closer()
{
	byte m, x; mtype r; bool ok, last;

	atomic {
		if
		:: state == ACTIVE -> state = CLOSING; r = CLOSING; close_promised = true
		:: state == DISCARDING && !close_wanted -> close_wanted = true; r = 0; close_promised = true
		:: else -> r = 0
		fi
	};
	if
	:: r == CLOSING -> close_walk()
	:: else
	fi
}

proctype Discarder()
{
	byte m, x; mtype r; bool ok, last;

	atomic {
		if
		:: state == ACTIVE -> state = DISCARDING; ok = true
		:: else -> ok = false
		fi
	};
	if
	:: !ok -> goto end
	:: else
	fi;
	ok = false;
	do
	:: x < 2 ->
		atomic {
			if
			:: W[x].dead -> r = GONE
			:: !W[x].dead && W[x].held && !W[x].transient -> r = BUSY
			:: !W[x].dead && (W[x].held && W[x].transient || !W[x].held && W[x].pins) -> r = WAIT
			:: else -> W[x].held = true; W[x].disc = true; r = TAKEN
			fi
		};
		if
		:: r == WAIT -> (!(W[x].held && W[x].transient) && !(W[x].pins && !W[x].held))
		:: r == BUSY -> break
		:: else -> x++
		fi
	:: else -> break
	od;
	if
	:: r == BUSY ->
		do
		:: x > 0 -> x--; give_back(x)
		:: else -> break
		od;
		atomic {
			ok = close_wanted;
#ifdef CTL_LOST_CLOSE
			ok = false;
#endif
			close_wanted = false;
			if
			:: ok -> state = CLOSING
			:: else -> state = ACTIVE
			fi
		};
		if
		:: ok -> close_walk()
		:: else
		fi
	:: else ->
		/* the references of the lanes that it holds go with the step */
		d_step {
			x = (W[0].disc && !W[0].dead -> 1 : 0) + (W[1].disc && !W[1].dead -> 1 : 0);
			assert(state == DISCARDING && refs == 1 + x);
			state = COMMITTED; discarded = true;
			refs = refs - x; x = 0
		};
		assert(!W[0].queued && (R == 0 || !chunk));     /* I11 */
		d_step { base = base + 4 };
		R = ALL;
		d_step { L = ALL; chunk = false };
		W[0].dead = true;
		W[1].dead = true;
		drop(1)
	fi;
end:	skip
}

/* The lane and the chunk serve another era; its objects have generations of their own. */
proctype Recycler()
{
	(state == FREE);
	d_step { assert(!W[0].pins && !W[0].queued); W[0].era = 2 };
	d_step {
		W[0].held = false; W[0].transient = false; W[0].closing = false; W[0].disc = false;
		W[0].dead = false; W[0].pins = 0
	};
	d_step { L = 0; chunk_era = 2; base = base + (base == 0 -> 4 : 0) };
	R = 0;
	recycled = true
}

init
{
	atomic {
		W[0].era = 1; W[1].era = 1;
		run Recycler();         /* the oldest: it may wait longest */
		run HandleFree(0);
		run HandleFree(0);
#if HANDLES > 2
		run HandleFree(1);
#else
		L = L | 2;
#endif
		run Scope(0, SCOPES);
#if SCOPES1 > 0
		run Scope(1, SCOPES1);
#endif
#ifndef NO_DISCARD
		run Discarder();
#endif
#ifndef NO_CLOSER
		run Closer();
#endif
		skip
	};
	(_nr_pr <= 2);
	if
	:: !close_promised && !discarded -> run Closer()
	:: else
	fi;
	(_nr_pr == 1);
	assert(finished == 1 && recycled);
	assert(wins[0] <= 1 && wins[1] <= 1);
	assert(discarded || wins[0] + wins[1] == HANDLES - 1);
	/* nobody of era 1 left a trace in era 2 */
	assert(L == 0 && R == 0 && !W[0].held && !W[0].pins && !W[0].queued && !W[0].closing)
}
