/* SPDX-License-Identifier: MIT */
/*
 * reuse.pml: a chunk changes its lane while a stray free is on its way (hole C27).
 *
 * Lane 0 owns a chunk of one node; slot 0 is live and freed honestly by one thread and once more, at any
 * time, by another. When lane 0 is empty the chunk is sealed and goes to the pool; lane 1 takes it, opens
 * the node and hands out slot 1 (or 0, SAME), which a third thread frees. Both lanes close.
 *
 * The turner reads the owner after its OR: from then on the chunk cannot move. Reading it before (control)
 * pushes a node of lane 1 on the queue of lane 0. Who takes a lane that nobody holds reads the owner again
 * for the same reason.
 *
 * SAME     lane 1 hands slot 0 out again: the stray one frees it by a pointer that is right by now
 */
#define ALL 3
#define NONE 2
#define POP(x) (((x) & 1) + (((x) >> 1) & 1))
#ifdef CTL_OWNER_KEPT
#define FOREIGN(lane) false
#else
#define FOREIGN(lane) (owner != (lane))
#endif

mtype = { DRAIN, SETTLE, DIED, RETURNED, PUSHED, TAKEN };

typedef Word { byte head; bool held; bool closing; bool dead };
Word W[2];
bool settled[2];
#ifdef SAME
#define AGAIN 1
#else
#define AGAIN 2
#endif
byte L = 2, R;                  /* slot 1 is not handed out by lane 0 */
byte owner = 0;                 /* of the chunk; NONE while it is in the pool */
bool handed_out;                /* lane 1's slot */
bool sealed;
bool turned;
byte accepted, reports, dead_lanes;

inline collect(lane)
{
	m = R;
	d = 0;
	do
	:: true ->
		d_step {
			assert(W[lane].held && owner == lane);  /* a holder collects its own nodes only */
			m = m & ~d;
			reports = reports + POP(m & L);
			accepted = accepted + POP(m & ~L);
			L = L | m;
			d = d | m
		};
		d_step {
			ok = (R == d);
			if
			:: ok -> assert(turned && owner == lane); R = 0; turned = false
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

inline drain(lane)
{
	d_step { h = W[lane].head; W[lane].head = 0 };
	if
	:: h != 0 -> collect(lane)
	:: else
	fi;
	h = 0; m = 0
}

inline try_return(lane)
{
	if
	:: owner == lane && L == ALL ->
		d_step {
			if
			:: R == 0 -> R = ALL; sealed = true; ok = true
			:: else -> ok = false
			fi
		};
		if
		:: ok -> d_step { assert(!turned); ok = false; owner = NONE }
		:: else
		fi
	:: else
	fi
}

inline give_back(lane)
{
	do
	:: true ->
		atomic {
			if
			:: W[lane].head != 0 -> r = DRAIN
			:: W[lane].head == 0 && W[lane].closing && !settled[lane] -> r = SETTLE
			:: W[lane].head == 0 && W[lane].closing && settled[lane] && owner != lane ->
				W[lane].dead = true; r = DIED
			:: else -> W[lane].held = false; r = RETURNED
			fi
		};
		if
		:: r == DRAIN -> drain(lane); try_return(lane)
		:: r == SETTLE -> try_return(lane); settled[lane] = true
		:: r == DIED -> dead_lanes++; break
		:: r == RETURNED -> break
		fi
	od;
	r = 0
}

proctype Freer(byte slot; bool wait)
{
	byte m, h, d, lane; mtype r; bool ok;

	if
	:: wait -> (handed_out)
	:: else
	fi;
	lane = owner;
	if
	:: lane == NONE -> reports++; goto end     /* no slab there */
	:: else
	fi;
	if
	:: L & slot -> reports++; goto end
	:: else
	fi;
	/* A free in a lane that nobody holds may take it. */
	atomic {
		if
		:: !W[lane].held -> W[lane].held = true; r = TAKEN
		:: true
		fi
	};
	if
	:: r == TAKEN ->
		if
		:: FOREIGN(lane) || (L | R) & slot -> reports++
		:: else -> d_step { assert(owner == lane); L = L | slot; accepted++ }; try_return(lane)
		fi;
		give_back(lane);
		goto end
	:: else
	fi;
	d_step {
		m = R; R = R | slot;
		if
		:: m == 0 -> turned = true
		:: else
		fi
	};
	if
	:: m & slot -> reports++
	:: !(m & slot) && m != 0
	:: m == 0 ->
#ifndef CTL_OWNER_BEFORE
		lane = owner;
		assert(lane != NONE);
#endif
		atomic {
			if
			:: W[lane].held -> W[lane].head = 1; r = PUSHED
			:: else -> W[lane].held = true; r = TAKEN
			fi
		};
		if
		:: r == TAKEN -> collect(lane); try_return(lane); give_back(lane)
		:: else
		fi
	fi;
end:	skip
}

proctype Closer(byte lane)
{
	byte m, h, d; mtype r; bool ok;

	atomic {
		if
		:: W[lane].dead -> r = 0
		:: !W[lane].dead && W[lane].held -> W[lane].closing = true; r = 0
		:: else -> W[lane].closing = true; W[lane].held = true; r = TAKEN
		fi
	};
	if
	:: r == TAKEN -> drain(lane); give_back(lane)
	:: else
	fi
}

/* Lane 1 is held from the start, waits for the chunk, opens the node, hands out a slot. */
proctype Second()
{
	byte m, h, d; mtype r; bool ok;

	(owner == NONE);
	owner = 1;
	L = ALL & ~AGAIN;
	d_step { assert(sealed && R == ALL); sealed = false; R = 0 };
	handed_out = true;
	if
	:: drain(1)
	:: skip
	fi;
	give_back(1);
	run Closer(1)
}

init
{
	atomic {
		W[1].held = true;
		run Freer(1, false);
		run Freer(1, false);
		run Freer(AGAIN, true);
		run Second();
		run Closer(0)
	};
	(_nr_pr == 1);
	assert(dead_lanes == 2 && W[0].dead && W[1].dead);
	assert(accepted == 2 && reports == 1)
}
