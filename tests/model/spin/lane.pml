/* SPDX-License-Identifier: MIT */
/*
 * lane.pml: the lane word with its queue, the seal, adoption and close (src/core/laneword.h).
 *
 * One lane, one chunk with two nodes of two slots. The four slots are live at first: three are freed by
 * other threads, one by the owner in its second scope (or from outside, if the lane closed before it).
 * A closer closes at any time. A compare-and-swap loop on W is one atomic step here: it succeeds on the
 * value that it decided by. All bits of a node are slots, so R == ALL may be a full node as well as a
 * sealed one, as with 16-byte objects.
 *
 * Checked: I1-I8 by the ghosts below, I10 and I14 by the sums at the end, no lost wake-up.
 *
 * OWNERS=2     a second thread adopts the parked lane
 * STRAY=n      1 frees slot 0 of node STRAY_NODE once more, 2 also its slot 1, from further threads
 * STRAY_LOCAL  the owner frees slot 0 (locally when it can), the stray is the remote one
 * NO_LOOK      only Collect reports
 * FREERS=n     how many of the remote freers run (the others' slots are free at the start)
 */
#ifndef OWNERS
#define OWNERS 1
#endif
#ifndef STRAY
#define STRAY 0
#endif
#ifndef FREERS
#define FREERS 3
#endif

#ifndef STRAY_NODE
#define STRAY_NODE 0
#endif

#define ALL 3
#define POP(x) (((x) & 1) + (((x) >> 1) & 1))

#ifdef CTL_SHARED_LINK
#define LINK(n) link[0]
#else
#define LINK(n) link[n]
#endif

mtype = { DRAIN, SETTLE, DIED, RETURNED, PUSHED, TAKEN, BUSY, CLOSED, GONE };

/* W */
byte head;
bool held, closing, dead;
/* nodes, chunk */
byte L[2], R[2], link[2];
bool chunk = true;
/* lane state, holder only */
bool settled;
byte live;
/* epoch */
byte refs = 2;
/* ghosts */
bool turned[2];     /* somebody owes this node a collect */
byte inside;        /* threads that have HELD */
byte accepted, reports, finished;
byte expected;      /* slots that must be freed in the end */

inline free_mark()  { inside++; assert(inside == 1) }
inline free_unmark() { assert(inside == 1); inside-- }

inline report(bits) { reports = reports + POP(bits) }

/*
 * Holder, of a node popped or turned. The link was read before. A bit is in L before it leaves R, so R is
 * cleared only when it holds nothing new.
 */
inline collect(n)
{
	m = R[n];
	d = 0;
	do
	:: true ->
		d_step {
			m = m & ~d;
			report(m & L[n]);
			accepted = accepted + POP(m & ~L[n]);
			if
			:: settled -> live = live - POP(m & ~L[n])
			:: else
			fi;
			L[n] = L[n] | m;
			d = d | m
		};
		d_step {
			ok = (R[n] == d);
			if
			:: ok ->
				assert(turned[n]);      /* I5: popper or turner only */
				assert(chunk);          /* I4 */
				R[n] = 0; turned[n] = false
			:: else -> m = R[n]
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
	d_step { h = head; head = 0 }
	do
	:: h != 0 ->
		n = h - 1;
#ifdef CTL_LINK_AFTER_CLEAR
		collect(n);
		h = LINK(n);
#else
		h = LINK(n);
		collect(n);
#endif
	:: else -> break
	od;
#ifdef CTL_COLLECT_UNPOPPED
	if
	:: R[0] != 0 && R[0] != ALL -> n = 0; d_step { turned[0] = true }; collect(n)
	:: else
	fi;
#endif
	n = 0; h = 0; m = 0
}

inline seal(n)
{
	d_step {
		if
		:: R[n] == 0 -> R[n] = ALL; ok = true
#ifdef CTL_SEALED_BY_VALUE
		:: R[n] == ALL -> ok = true
		:: else -> ok = false
#else
		:: else -> ok = false
#endif
		fi
	}
}

/* Holder: nothing live in the chunk? Then seal its nodes and let it go; undo when a free is under way. */
inline try_return()
{
	if
	:: chunk && L[0] == ALL && L[1] == ALL ->
#ifdef CTL_NO_SEAL
		ok = true;
#else
		seal(0);
		if
		:: ok ->
			seal(1);
			if
			:: !ok ->
#ifndef CTL_NO_UNDO
				R[0] = 0
#else
				skip
#endif
			:: else
			fi
		:: else
		fi;
#endif
		if
		:: ok -> d_step {
			assert(!turned[0] && !turned[1]);   /* I4 */
			chunk = false; ok = false }
		:: else
		fi
	:: else
	fi
}

inline drop()
{
	d_step { refs--; last = (refs == 0) }
	if
	:: last -> d_step {
		assert(dead && !chunk && head == 0);
		finished++; assert(finished == 1) }     /* I7 */
	:: else
	fi
}

inline give_back()
{
	do
	:: true ->
#ifdef CTL_CLOSING_APART
		saw = closing;
#endif
		atomic {
#ifdef CTL_CLOSING_APART
#define SEEN_CLOSING saw
#else
#define SEEN_CLOSING closing
#endif
			if
			:: head != 0 -> r = DRAIN
			:: head == 0 && SEEN_CLOSING && !settled -> r = SETTLE
			:: head == 0 && SEEN_CLOSING && settled && !chunk ->
				assert(!dead); dead = true; free_unmark(); r = DIED     /* I8 */
			:: else ->
				free_unmark(); held = false;
				assert(head == 0); r = RETURNED                       /* I1 */
			fi
		};
		if
		:: r == DRAIN ->
			drain();
#ifndef CTL_NO_RETRY
			if
			:: settled -> try_return()
			:: else
			fi
#endif
		:: r == SETTLE ->
			try_return();
			d_step { live = POP(ALL & ~L[0]) + POP(ALL & ~L[1]); settled = true }
		:: r == DIED -> r = 0; drop(); break
		:: r == RETURNED -> r = 0; break
		fi
	od
}

/*
 * The lane is held for this free alone. What was looked at before is looked at again: the slot may be freed
 * by now, and its chunk gone.
 */
inline direct_free(node, slot)
{
#ifdef CTL_BELIEVE_THE_LOOK
	if
	:: !chunk -> d_step { report(slot) }
#else
	if
	:: !chunk || (L[node] | R[node]) & slot -> d_step { report(slot) }
#endif
	:: else ->
		d_step {
			assert(chunk);
			L[node] = L[node] | slot;
			accepted++;
			if
			:: settled -> live--
			:: else
			fi
		};
		if
		:: settled -> try_return()
		:: else
		fi
	fi;
	give_back()
}

/*
 * One free by a thread that does not hold the lane. If nobody does it may take it; it need not: batches and
 * frees by handle do not, and who saw a holder that has left meanwhile does not either.
 */
inline remote_free(node, slot)
{
#ifndef NO_LOOK
	if
	:: L[node] & slot -> d_step { report(slot) }; goto end
	:: else
	fi;
#endif
	atomic {
		if
		:: !held -> held = true; free_mark(); r = TAKEN
		:: true
		fi
	};
	if
	:: r == TAKEN -> r = 0; direct_free(node, slot); goto end
	:: else
	fi;
	d_step {
		m = R[node];
		R[node] = R[node] | slot;
		if
		:: m == 0 -> turned[node] = true
		:: else
		fi
	};
	if
	:: m & slot -> d_step { report(slot); m = 0 }
	:: !(m & slot) && m != 0 -> m = 0       /* I6: somebody else queues it */
	:: m == 0 -> push_or_take(node)
	fi
}

inline push_or_take(node)
{
#ifdef CTL_STALE_PUSH
	saw = held;
#define SEEN_HELD saw
#else
#define SEEN_HELD held
#endif
	atomic {
		if
		:: SEEN_HELD -> LINK(node) = head; head = node + 1; r = PUSHED
		:: else -> assert(!held); held = true; free_mark(); r = TAKEN
		fi
	};
	if
	:: r == TAKEN ->
		collect(node); m = 0;
#ifndef CTL_NO_RETRY
		if
		:: settled -> try_return()
		:: else
		fi;
#endif
		give_back()
	:: else ->
		r = 0
#ifdef CTL_TOUCH_AFTER_PUSH
		; assert(!finished)             /* C3: the lane may serve another epoch by now */
#endif
	fi
}

proctype Freer(byte node; byte slot)
{
	byte m, h, n, d; mtype r; bool ok, last, saw;

	remote_free(node, slot);
end:	skip
}

inline local_free(node, slot)
{
	if
	:: (L[node] | R[node]) & slot -> d_step { report(slot) }
	:: else -> d_step { L[node] = L[node] | slot; accepted++ }
	fi
}

/* Two scopes. The first owner frees slot 2 of node 1 in the second, or from outside. */
proctype Owner(bool first)
{
	byte m, h, n, d; mtype r; bool ok, last, saw;
	byte scope;

	do
	:: scope < 2 ->
		atomic {
			if
			:: dead -> r = GONE
			:: !dead && held -> r = BUSY
			:: !dead && !held && closing -> r = CLOSED
			:: else -> held = true; free_mark(); r = TAKEN
			fi
		};
		if
		:: r == TAKEN ->
			r = 0;
			if
			:: first && scope == 1 ->
				local_free(1, 2);
#ifdef STRAY_LOCAL
				local_free(0, 1)
#endif
			:: else
			fi;
			if
			:: drain()
			:: try_return()         /* as a trim or an emptied slab does */
			:: skip
			fi;
			give_back()
		:: else ->
			r = 0;
			if
			:: first && scope == 1 ->
#ifdef STRAY_LOCAL
				run Freer(0, 1);
#endif
				run Freer(1, 2)
			:: else
			fi
		fi;
		scope++
	:: else -> break
	od
}

proctype Closer()
{
	byte m, h, n, d; mtype r; bool ok, last, saw;

	atomic {
		if
		:: dead -> r = GONE
		:: !dead && held -> closing = true; r = BUSY
		:: else -> closing = true; held = true; free_mark(); r = TAKEN
		fi
	};
	if
	:: r == TAKEN -> r = 0; drain(); give_back()
	:: else -> r = 0
	fi;
	drop()
}

init
{
	atomic {
		expected = 4;
		run Owner(true);
#if OWNERS == 2
		run Owner(false);
#endif
#ifndef STRAY_LOCAL
		run Freer(0, 1);
#endif
#if FREERS >= 2
		run Freer(0, 2);
#else
		L[0] = L[0] | 2; expected--;
#endif
#if FREERS >= 3
		run Freer(1, 1);
#else
		L[1] = L[1] | 1; expected--;
#endif
#if STRAY >= 1
		run Freer(STRAY_NODE, 1);
#endif
#if STRAY >= 2
		run Freer(STRAY_NODE, 2);
#endif
		run Closer()
	};
	/* Everybody but init has ended. */
	(_nr_pr == 1);
	assert(finished == 1);
	assert(accepted == expected);           /* every honest free once */
	assert(reports == STRAY)                /* I10: every stray once */
}
