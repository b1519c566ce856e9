/* SPDX-License-Identifier: MIT */
/*
 * warm.pml: a lane keeps its chunk from one epoch to the next while a stray free is on its way.
 *
 * In era 1 slot p was handed out; it is freed honestly and, at any time, once more. The epoch closes, all
 * is freed, so the lane dies with its chunk, unsealed, and rests. It is bound to era 2, where slot q is
 * handed out and freed honestly by another thread. Era 2 closes; the lane rests again and is stripped:
 * the node is sealed and its unit loses the header.
 *
 * DISCARD  era 1 ends by a discard instead while p is being freed (C13: a program error, but harmless to
 *          others); q lies below p then and is handed out again, p is not
 *
 * Checked: no free of era 2 is lost (it would never finish), every stray is reported once, nobody who turned
 * a node finds its unit without a header.
 */
#define P 1
#define Q 2

mtype = { DRAIN, SETTLE, DIED, RETURNED, PUSHED, TAKEN };

byte head;
bool held = true, closing, dead;
bool settled;
#ifdef DISCARD
byte L, R, carved = P | Q;      /* slots handed out: a mask */
#else
byte L, R, carved = P;
#endif
bool header = true;
byte era = 1, finished;
bool q_out;
byte freed_p, freed_q, reports;

#define GOOD(x) (m & x && !(L & x) && carved & x)

inline collect()
{
	m = R;
	d = 0;
	do
	:: true ->
		d_step {
			m = m & ~d;
			d = d | m;
			if
			:: GOOD(P) -> freed_p++; L = L | P
			:: !GOOD(P) && m & P -> reports++
			:: else
			fi;
			if
			:: GOOD(Q) -> freed_q++; L = L | Q
			:: !GOOD(Q) && m & Q -> reports++
			:: else
			fi
		};
		d_step {
			ok = (R == d);
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
	atomic { ok = false; d = 0; m = 0 }
}

inline drain()
{
	d_step { h = head; head = 0 };
	if
	:: h -> collect()
	:: else
	fi;
	h = 0
}

#define ALL_FREED ((L & carved) == carved)

/* The lane dies when all that was handed out is free; the chunk stays with it. */
inline give_back()
{
	do
	:: true ->
		atomic {
			if
			:: head != 0 -> r = DRAIN
			:: head == 0 && closing && !settled -> r = SETTLE
			:: head == 0 && closing && settled && ALL_FREED -> dead = true; r = DIED
			:: else -> held = false; r = RETURNED
			fi
		};
		if
		:: r == DRAIN -> drain()
		:: r == SETTLE -> drain(); settled = true
		:: r == DIED -> finished = era; break
		:: r == RETURNED -> break
		fi
	od;
	r = 0
}

proctype Freer(byte slot)
{
	byte m, h, d; mtype r; bool ok;

	if
	:: slot == Q -> (q_out)
	:: else
	fi;
	if
	:: !header || L & slot || !(carved & slot) -> reports++; goto end
	:: else
	fi;
	/* A free in a lane that nobody holds may take it. */
	atomic {
		if
		:: !held -> held = true; r = TAKEN
		:: true
		fi
	};
	if
	:: r == TAKEN ->
		if
		:: !header || (L | R) & slot || !(carved & slot) -> reports++
		:: else ->
			d_step {
				L = L | slot;
				if
				:: slot == P -> freed_p++
				:: else -> freed_q++
				fi
			}
		fi;
		give_back();
		goto end
	:: else
	fi;
	d_step { m = R; R = R | slot };
	if
	:: m & slot -> d_step { reports++; m = 0 }
	:: !(m & slot) && m != 0 -> m = 0
	:: m == 0 ->
		assert(header);
		atomic {
			if
			:: held -> head = 1; r = PUSHED
			:: else -> held = true; r = TAKEN
			fi
		};
		if
		:: r == TAKEN -> collect(); give_back()
		:: else -> r = 0
		fi
	fi;
end:	skip
}

inline close()
{
	atomic {
		if
		:: dead -> r = 0
		:: !dead && held -> closing = true; r = 0
		:: else -> closing = true; held = true; r = TAKEN
		fi
	};
	if
	:: r == TAKEN -> r = 0; give_back()
	:: else
	fi
}

inline bind(e)
{
	settled = false;
	do
	:: true ->
		atomic {
#ifdef CTL_PLAIN_BIND
			head = 0;
#endif
			if
			:: head != 0 -> r = DRAIN
			:: else -> held = true; closing = false; dead = false; era = e; r = TAKEN
			fi
		};
		if
		:: r == DRAIN -> drain()
		:: else -> break
		fi
	od;
	r = 0
}

proctype Owner()
{
	byte m, h, d; mtype r; bool ok;

#ifdef DISCARD
	drain();
	L = 0;                          /* rewind: bits and carve limit as never handed out */
	carved = 0;
	d_step { closing = true; dead = true; finished = 1 };
#else
	give_back();
	close();
	(finished == 1);
#endif
	bind(2);
#ifdef DISCARD
	carved = Q;
#else
	carved = P | Q;
#endif
	q_out = true;
	if
	:: drain()
	:: skip
	fi;
	give_back();
	close();
	(finished == 2);
	/* stripped while it rests */
	do
	:: true ->
		d_step {
			ok = (R == 0);
			if
			:: ok -> R = P | Q
			:: else
			fi
		};
		if
		:: ok -> header = false; break
#ifdef CTL_STRIP_UNSEALED
		:: else -> header = false; break
#else
		:: else -> drain()
#endif
		fi
	od
}

init
{
	atomic {
		run Owner();
		run Freer(P);
#ifndef DISCARD
		run Freer(P);
#endif
		run Freer(Q)
	};
	(_nr_pr == 1);
	assert(finished == 2 && !header && head == 0);
	assert(freed_q == 1);
#ifdef DISCARD
	assert(freed_p + reports == 1)
#else
	assert(freed_p == 1 && reports == 1)
#endif
}
