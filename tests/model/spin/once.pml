/* SPDX-License-Identifier: MIT */
/*
 * once.pml: the discard in one step (one parked lane, nobody else) against another discard, a scope, a
 * creator, a short reference, a free and a close.
 *
 * The fast way takes the lane with DISC while the epoch is still ACTIVE, then commits by one CAS that
 * compares the whole word: ACTIVE, two references. If that fails it steps back and goes the long way.
 *
 * Checked: a lane is discarded by the one who holds it, nobody is inside then, the epoch is finished once.
 */
#define NOBODY 0

mtype = { FREE, ACTIVE, CLOSING, DISCARDING, COMMITTED };

mtype state = ACTIVE;
bool close_wanted;
byte refs = 2;
/* lane 0; a second one comes by creation */
bool linked[2], held[2], disc[2], closing[2], dead[2], scope[2];
byte owner[2];                  /* ghost: who has HELD */
byte finished, ways;
bool promised;

inline finish()
{
	d_step {
		assert(!scope[0] && !scope[1]);
		finished++; assert(finished == 1);
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

inline take(x, with_disc)
{
	d_step { assert(owner[x] == NOBODY); held[x] = true; disc[x] = with_disc; owner[x] = _pid }
}

inline release(x)
{
	atomic {
		assert(owner[x] == _pid && held[x] && !dead[x]);
		owner[x] = NOBODY;
		if
		:: closing[x] -> dead[x] = true; last = true
		:: else -> held[x] = false; disc[x] = false
		fi
	};
	if
	:: last -> last = false; drop()
	:: else
	fi
}

inline close_walk()
{
	x = 0;
	do
	:: x < 2 ->
		atomic {
			if
			:: !linked[x] || dead[x] -> ok = false
			:: else ->
				closing[x] = true;
				ok = !held[x];
				if
				:: ok -> take(x, false)
				:: else
				fi
			fi
		};
		if
		:: ok -> release(x)
		:: else
		fi;
		x++
	:: else -> break
	od;
	x = 0; ok = false;
	drop()
}

proctype Discarder()
{
	byte x, n; bool ok, last, busy, mine[2];

	/* the fast way */
	atomic {
		ok = (linked[0] && !linked[1] && !dead[0] && !held[0] && state != FREE);
		if
		:: ok -> take(0, true)
		:: else
		fi
	};
	if
	:: ok ->
		d_step {
			ok = (state == ACTIVE && refs == 2 && !close_wanted);
			if
			:: ok -> state = COMMITTED; refs = 1
			:: else
			fi
		};
		if
		:: ok -> assert(owner[0] == _pid && !scope[0]); finish(); goto end
		:: else -> release(0)
		fi
	:: else
	fi;
	/* the long way */
	atomic {
		ok = (state == ACTIVE);
		if
		:: ok -> state = DISCARDING
		:: else
		fi
	};
	if
	:: !ok -> goto end
	:: else
	fi;
	do
	:: x < 2 ->
		if
		:: atomic { !linked[x] || dead[x] -> x++ }
		:: atomic { linked[x] && !dead[x] && !held[x] -> take(x, true); mine[x] = true; x++ }
		:: atomic { linked[x] && !dead[x] && held[x] && scope[x] -> busy = true; break }
#ifdef CTL_SEIZE_BELIEVES
		:: atomic { linked[x] && !dead[x] && disc[x] -> mine[x] = true; x++ }
#endif
		fi
	:: else -> break
	od;
	if
	:: busy ->
		x = 0;
		do
		:: x < 2 -> if :: mine[x] -> release(x) :: else fi; x++
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
		d_step {
			n = mine[0] + mine[1];
			assert(refs > n);
			state = COMMITTED; refs = refs - n; ok = (refs == 1)
		};
		x = 0;
		do
		:: x < 2 ->
			if
			:: mine[x] -> assert(owner[x] == _pid && !scope[x]); dead[x] = true
			:: else
			fi;
			x++
		:: else -> break
		od;
		if
		:: ok -> finish()
		:: else -> drop()
		fi
	fi;
end:	skip
}

/* Enters lane 0 if it is free, else creates lane 1. */
proctype Thread()
{
	byte x; bool ok, last;

	atomic {
		ok = (!dead[0] && !held[0] && !closing[0] && state != FREE);
		if
		:: ok -> take(0, false)
		:: else
		fi
	};
	if
	:: ok ->
		if
		:: state == ACTIVE -> scope[0] = true; scope[0] = false
		:: else
		fi;
		release(0);
		goto end
	:: else
	fi;
	d_step {
		ok = (state == ACTIVE && refs > 0);
		if
		:: ok -> refs++
		:: else
		fi
	};
	if
	:: ok ->
		d_step { take(1, false); linked[1] = true };
		if
		:: state == ACTIVE -> scope[1] = true; scope[1] = false; release(1)
		:: state == CLOSING -> closing[1] = true; release(1)
		:: else -> d_step { dead[1] = true; owner[1] = NOBODY }; drop()
		fi
	:: else
	fi;
end:	skip
}

proctype Closer()
{
	byte x; bool ok, last;

	atomic {
		if
		:: state == ACTIVE -> state = CLOSING; ok = true
		:: state == DISCARDING && !close_wanted -> close_wanted = true
		:: else
		fi
	};
	if
	:: ok -> close_walk()
	:: else
	fi
}

/* A short reference, as set_label takes it. */
proctype Renamer()
{
	bool ok, last;

	d_step {
		ok = (refs > 0 && state != FREE && state != COMMITTED);
		if
		:: ok -> refs++
		:: else
		fi
	};
	if
	:: ok -> assert(state != FREE); drop()
	:: else
	fi
}

/* A free in the parked lane takes it for the length of the call. */
proctype Freer()
{
	byte x; bool ok, last;

	atomic {
		ok = (!dead[0] && !held[0]);
		if
		:: ok -> take(0, false)
		:: else
		fi
	};
	if
	:: ok ->
		assert(state != FREE && state != COMMITTED);
#ifdef CTL_FREE_LEAVES_BLINDLY
		d_step { owner[0] = NOBODY; held[0] = false }
#else
		release(0)
#endif
	:: else
	fi
}

init
{
	atomic {
		linked[0] = true;
		run Discarder();
		run Discarder();
		run Thread();
		run Renamer();
		run Freer();
		run Closer()
	};
	(_nr_pr == 1);
	if
	:: state == ACTIVE -> run Closer()
	:: else
	fi;
	(_nr_pr == 1);
	assert(finished == 1 && state == FREE)
}
