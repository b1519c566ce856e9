/* SPDX-License-Identifier: MIT */
/*
 * create.pml: lane creation against discard with roll-back and close.
 *
 * Two threads enter twice by creating a lane: reference, bind held, link, look at the state again. A
 * discarder marks, walks, rolls back if somebody is inside, commits if not. A closer may leave its wish.
 * Lanes are linked in an array; a slot is visible to walkers from the moment it is linked.
 *
 * Checked: I7, I8, I11: no commit while somebody is in a scope, finished exactly once, no deadlock.
 */
#define LANES 4

mtype = { FREE, ACTIVE, CLOSING, DISCARDING, COMMITTED };

mtype state = ACTIVE;
bool close_wanted;
byte refs = 1;
byte links;                             /* lanes linked so far: [0, links) */
bool held[LANES], closing[LANES], dead[LANES], disc[LANES];
bool inside[LANES];                     /* holder: a scope, verified */
/* ghosts */
byte finished, scopes;
bool promised, committed, refused;

inline drop(n_refs)
{
	d_step {
		assert(refs >= n_refs);
		refs = refs - n_refs;
		last = (refs == 0)
	};
	if
	:: last ->
		i = 0;
		d_step {
			assert(state == CLOSING || state == COMMITTED);
			do
			:: i < links -> assert(dead[i]); i++
			:: else -> break
			od;
			finished++; assert(finished == 1);
			state = FREE; last = false; i = 0
		}
	:: else
	fi
}

/* A lane without chunks: dead when it is closing. */
inline give_back(x)
{
	atomic {
		assert(held[x] && !dead[x]);
		if
		:: closing[x] -> dead[x] = true; last = true
		:: else -> held[x] = false; disc[x] = false
		fi
	};
	if
	:: last -> last = false; drop(1)
	:: else
	fi
}

proctype Thread()
{
	byte i, x, tries; bool last, ok; mtype seen;

	do
	:: tries < 2 ->
		d_step {
			ok = (state == ACTIVE);
			if
			:: ok -> refs++
			:: else
			fi
		};
		if
		:: !ok && state == DISCARDING -> (state != DISCARDING)
		:: !ok && state != DISCARDING -> break
		:: ok ->
			tries++;
			d_step {                        /* bind, then the linking CAS */
				x = links;
				held[x] = true; links++
			};
#ifdef CTL_BLIND
			seen = ACTIVE;
			if
			:: state == CLOSING -> seen = CLOSING
			:: else
			fi;
#else
			seen = state;
#endif
			if
			:: seen == ACTIVE ->
				inside[x] = true;
				scopes++;
				assert(state != COMMITTED && state != FREE);
				scopes--;
				inside[x] = false;
				give_back(x)
			:: seen == CLOSING -> closing[x] = true; give_back(x)
			:: else ->
#ifdef CTL_STAY
				inside[x] = true; inside[x] = false; give_back(x)
#else
				dead[x] = true; drop(1);
				(state != DISCARDING)
#endif
			fi
		fi
	:: else -> break
	od
}

inline close_walk()
{
	x = 0;
	do
	:: x < links ->
		atomic {
			if
			:: dead[x] -> ok = false
			:: !dead[x] && held[x] -> closing[x] = true; ok = false
			:: else -> held[x] = true; closing[x] = true; ok = true
			fi
		};
		if
		:: ok -> ok = false; give_back(x)
		:: else
		fi;
		x++
	:: else -> break
	od;
	x = 0;
	drop(1)
}

proctype Closer()
{
	byte i, x; bool last, ok;

	atomic {
		if
		:: state == ACTIVE -> state = CLOSING; ok = true; promised = true
		:: state == DISCARDING && !close_wanted -> close_wanted = true; promised = true
		:: else
		fi
	};
	if
	:: ok -> ok = false; close_walk()
	:: else
	fi
}

proctype Discarder()
{
	byte i, x, n; bool last, ok, busy;

	atomic {
		if
		:: state == ACTIVE -> state = DISCARDING; ok = true
		:: else
		fi
	};
	if
	:: !ok -> goto end
	:: else -> ok = false
	fi;
	do
	:: x < links && !busy ->
		if
		:: atomic { dead[x] -> x++ }
		:: atomic { !dead[x] && !held[x] -> held[x] = true; disc[x] = true; x++ }
		/* HELD, and the holder says who: a scope. Without a holder somebody comes or goes: wait. */
		:: atomic { !dead[x] && held[x] && inside[x] -> busy = true }
		fi
	:: else -> break
	od;
	if
	:: busy ->
		refused = true;
		x = 0;
		do
		:: x < links ->
			if
			:: disc[x] && !dead[x] -> give_back(x)
			:: else
			fi;
			x++
		:: else -> break
		od;
		atomic {
			ok = close_wanted;
			close_wanted = false;
			if
			:: ok -> state = CLOSING
			:: else -> state = ACTIVE
			fi
		};
		if
		:: ok -> ok = false; close_walk()
		:: else
		fi
	:: else ->
		/* the references of the lanes that it holds go with the step */
		d_step {
			x = 0; n = 0;
			do
			:: x < links ->
				if
				:: disc[x] && !dead[x] -> n++
				:: else
				fi;
				x++
			:: else -> break
			od;
			x = 0;
			assert(state == DISCARDING && refs > n);
			state = COMMITTED; committed = true;
			refs = refs - n;
			ok = (refs == 1)
		};
		assert(scopes == 0);                    /* I11 */
		do
		:: x < links ->
			if
			:: disc[x] && !dead[x] -> dead[x] = true
			:: else
			fi;
			x++
		:: else -> break
		od;
#ifdef CTL_FINISH_ALWAYS
		ok = true;
#endif
		if
		:: ok -> d_step { refs = 1 }; drop(1)   /* alone: nobody can come in COMMITTED */
		:: else -> drop(1)
		fi
	fi;
end:	skip
}

init
{
	atomic {
		run Thread();
		run Thread();
		run Discarder();
		run Closer()
	};
	(_nr_pr == 1);
	if
	:: !promised && !committed -> run Closer()
	:: else
	fi;
	(_nr_pr == 1);
	assert(finished == 1)
}
