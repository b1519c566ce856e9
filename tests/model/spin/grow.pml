/* SPDX-License-Identifier: MIT */
/*
 * grow.pml: a large object grows in place (realloc) while others use its lane, the pool and, wrongly, it.
 *
 * The object is a run of one chunk; the chunk behind it is in the pool. The grower does not hold the lane:
 * it takes it TRANSIENT, else it moves the object. The lane's holder changes the lane's figures in its
 * scope; another thread takes the chunk behind and returns it; a stray free hits the object meanwhile;
 * a closer marks the lane.
 *
 * Checked: every chunk is in the pool or in a run, once; the lane's figures add up; nothing grows in a
 * lane that is closing when it is taken.
 */
mtype = { BUSY, TAKEN, PUSHED, RETURNED, DRAIN };

bool held = true, closing, queued;
byte L, R;                      /* the object's one slot */
byte run_chunks = 1;
bool behind_free = true;        /* the chunk behind, in the pool */
byte pool = 1, others;          /* chunks */
byte lane_chunks = 3;           /* the lane's figure: this run and two chunks of the holder */
bool released;

inline collect()
{
	d_step { m = R; R = 0 };
	if
	:: L -> m = 0                   /* freed already: refused */
	:: else ->
		L = 1; m = 0;
		/* seal, then the run goes: all of it, as it is long now */
		n = run_chunks;
		m = lane_chunks;
		lane_chunks = m - n;
		d_step { pool = pool + n; released = true };
		if
		:: n == 2 -> behind_free = true
		:: else
		fi;
		m = 0; n = 0
	fi
}

inline give_back()
{
	do
	:: true ->
		atomic {
			if
			:: queued -> queued = false; r = DRAIN
			:: else -> held = false; r = RETURNED
			fi
		};
		if
		:: r == DRAIN -> collect()
		:: else -> break
		fi
	od
}

proctype Holder()
{
	byte m, n; mtype r;

	m = lane_chunks;                /* frees a run of its own: a plain read and write */
	lane_chunks = m - 1;
	d_step { pool++ };
	m = 0;
	give_back()
}

proctype Grower()
{
	byte m, n; mtype r; bool ok;

#ifdef CTL_NO_HOLD
	r = TAKEN;
#else
	atomic {
		if
		:: held -> r = BUSY
		:: else -> held = true; r = TAKEN
		fi
	};
#endif
	if
	:: r == TAKEN ->
		if
		:: !L && !R && !closing ->      /* live and open, as far as the holder can tell */
			d_step {                /* under the pool's lock */
				ok = behind_free;
				if
				:: ok -> behind_free = false; pool--
				:: else
				fi
			};
			if
			:: ok ->
				run_chunks = 2;
				m = lane_chunks;
				lane_chunks = m + 1;
				m = 0
			:: else
			fi
		:: else
		fi;
#ifndef CTL_NO_HOLD
		give_back()
#endif
	:: else                         /* moved instead */
	fi
}

proctype Stray()
{
	byte m, n; mtype r;

	d_step { m = R; R = 1 };
	if
	:: m == 0 ->
		atomic {
			if
			:: held -> queued = true; r = PUSHED
			:: else -> held = true; r = TAKEN
			fi
		};
		if
		:: r == TAKEN -> collect(); give_back()
		:: else
		fi
	:: else
	fi
}

/* Takes the chunk behind, if it is free, and returns it. */
proctype Other()
{
	bool ok;

	d_step {
		ok = behind_free;
		if
		:: ok -> behind_free = false; pool--; others++
		:: else
		fi
	};
	if
	:: ok -> d_step { behind_free = true; pool++; others-- }
	:: else
	fi
}

proctype Closer()
{
	byte m, n; mtype r;

	atomic {
		closing = true;
		if
		:: held -> r = BUSY
		:: else -> held = true; r = TAKEN
		fi
	};
	if
	:: r == TAKEN -> give_back()
	:: else
	fi
}

init
{
	atomic {
		run Holder();
		run Grower();
		run Stray();
		run Other();
		run Closer()
	};
	(_nr_pr == 1);
	assert(!held && !queued && released);
	assert(pool + lane_chunks == 4 && others == 0);
	assert(lane_chunks == 1 && behind_free)
}
