/* SPDX-License-Identifier: MIT */
/*
 * fork.pml: the child of fork rebuilds a lane that others left in the middle of a step.
 *
 * One epoch, one lane with one node. Its holder allocates slot b (pop from the stack, clear the bit,
 * return), drains, leaves. Another thread frees slot a. A closer closes. At any moment the survivor
 * forks: all others stop for good. It then recovers: links and queue are ignored, R is merged into L, the
 * stack is made from L, the word loses all but CLOSING, references are counted anew, a close goes on.
 * After that it frees what is live and closes the epoch, if that had not begun.
 *
 * Checked: what the program has (b, once returned) is live; what it gave back (a, once its free returned)
 * is free; the stack holds exactly the free slots; the epoch is finished once and empty.
 *
 * CTL_CLEAR_FIRST  Collect clears R before the bits are in L: a freed slot is in a dead register
 * CTL_NO_MERGE     recovery believes L alone
 * CTL_KEEP_REFS    recovery keeps the reference count of the parent
 * CTL_KEEP_HELD    recovery keeps HELD of the dead
 * CTL_NO_CLOSE     a close that had begun does not go on
 */
#define A 1
#define B 2
#define ALL 3

mtype = { FREE, ACTIVE, CLOSING, DRAIN, SETTLE, DIED, RETURNED, TAKEN };

bool forked;
/* E */
mtype state = ACTIVE;
byte refs = 2;
/* W */
bool queued, held = true, closing, dead;
/* node, stack, chunk */
byte L = B, R, stack = B;
bool chunk = true, settled;
/* what the program knows */
bool b_out, a_begun, a_done;
byte finished;

inline finish_if(last)
{
	if
	:: last -> d_step { assert(dead && !chunk); finished++; assert(finished == 1) };
		state = FREE
	:: else
	fi
}

inline drop()
{
	d_step { assert(refs > 0); refs--; ok = (refs == 0) };
	finish_if(ok);
	ok = false
}

inline collect()
{
#ifdef CTL_CLEAR_FIRST
	d_step { m = R; R = 0 };
	L = L | m;
#else
	m = R;
	do
	:: true ->
		L = L | m;
		d_step {
			ok = (R == m);
			if
			:: ok -> R = 0
			:: else -> m = R
			fi
		};
		if
		:: ok -> break
		:: else
		fi
	od;
	ok = false;
#endif
	stack = stack | m;
	m = 0
}

inline drain()
{
	d_step { ok = queued; queued = false };
	if
	:: ok -> ok = false; collect()
	:: else
	fi
}

inline try_return()
{
	if
	:: chunk && L == ALL ->
		d_step { if :: R == 0 -> R = ALL; ok = true :: else fi };
		if
		:: ok -> chunk = false; ok = false
		:: else
		fi
	:: else
	fi
}

inline give_back()
{
	do
	:: true ->
		atomic {
			if
			:: queued -> r = DRAIN
			:: !queued && closing && !settled -> r = SETTLE
			:: !queued && closing && settled && !chunk -> dead = true; r = DIED
			:: else -> held = false; r = RETURNED
			fi
		};
		if
		:: r == DRAIN -> drain(); if :: settled -> try_return() :: else fi
		:: r == SETTLE -> drain(); try_return(); settled = true
		:: r == DIED -> drop(); break
		:: r == RETURNED -> break
		fi
	od;
	r = 0
}

inline remote_free(x)
{
	d_step { m = R; R = R | x };
	if
	:: m == 0 ->
		atomic {
			if
			:: held -> queued = true; r = RETURNED
			:: else -> held = true; r = TAKEN
			fi
		};
		if
		:: r == TAKEN -> collect(); if :: settled -> try_return() :: else fi; give_back()
		:: else -> r = 0
		fi
	:: else -> m = 0
	fi
}

inline close_walk()
{
	atomic {
		if
		:: dead -> r = 0
		:: !dead && held -> closing = true; r = 0
		:: else -> closing = true; held = true; r = TAKEN
		fi
	};
	if
	:: r == TAKEN -> drain(); give_back()
	:: else
	fi;
	drop()
}

proctype Holder() provided (!forked)
{
	byte m; mtype r; bool ok;

	stack = stack & ~B;
	L = L & ~B;
	b_out = true;
	drain();
	give_back()
}

proctype Freer() provided (!forked)
{
	byte m; mtype r; bool ok;

	a_begun = true;
	remote_free(A);
	a_done = true
}

proctype Closer() provided (!forked)
{
	byte m; mtype r; bool ok;

	state = CLOSING;
	close_walk()
}

proctype Survivor()
{
	byte m; mtype r; bool ok;
	byte was_live;

	forked = true;          /* at any time: the scheduler decides */
	/* -- recovery; alone from here on -- */
	d_step {
		queued = false;
		settled = false;
		if
		:: !dead && chunk && state != FREE && refs > 0 ->
#ifndef CTL_NO_MERGE
			L = L | R;
#endif
			R = 0;
			stack = L
		:: else
		fi;
#ifndef CTL_KEEP_HELD
		held = dead;
#endif
#ifndef CTL_KEEP_REFS
		if
		:: state != FREE && refs > 0 -> refs = 1 + (dead -> 0 : 1)
		:: else
		fi;
#endif
		if
		:: b_out && chunk -> assert(!(L & B))
		:: else
		fi;
		if
		:: a_done && chunk -> assert(L & A)
		:: else
		fi;
		if
		:: !a_begun -> assert(chunk && !(L & A))
		:: else
		fi;
		assert(!chunk || stack == L)
	};
	if
	:: state == FREE || refs == 0 ->        /* over, or nearly: the slot is freed as it is */
		assert(!chunk);
		goto done
	:: else
	fi;
	if
#ifndef CTL_NO_CLOSE
	:: state == CLOSING -> close_walk()
#else
	:: state == CLOSING -> skip
#endif
	:: else
	fi;
	/* the program frees what it has; a slot whose alloc or free was cut off belongs to nobody */
	was_live = ALL & ~L;
	if
	:: chunk && !dead && (was_live & A) -> remote_free(A)
	:: else
	fi;
	if
	:: chunk && !dead && (was_live & B) -> remote_free(B)
	:: else
	fi;
	if
	:: state == ACTIVE -> state = CLOSING; close_walk()
	:: else
	fi;
	assert(state == FREE && finished == 1 && !chunk);
done:	skip
}

init
{
	atomic {
		run Holder();
		run Freer();
		run Closer();
		run Survivor()
	}
}
