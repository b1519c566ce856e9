/* SPDX-License-Identifier: MIT */
/*
 * epoch.pml: the epoch word (src/core/epochword.h) with lane creation, failure, close, finish, reuse.
 *
 * Threads enter an epoch by creating a lane in it; the creation may run out of memory. Closers close it.
 * A reopener takes the slot again when it is free, links a warm lane of its own before it publishes the
 * epoch (refs = 2, plain stores), and closes that era too. A renamer takes a short reference in any state.
 * Lanes are reduced to held/closing/dead; a free of an object waits for the lane (lane.pml has the queue).
 *
 * Checked: I7 and I8: each era is finished once, by one thread, with all its lanes dead; no reference is
 * dropped on a free slot; nobody gets into an era other than the one asked for.
 *
 * CLOSERS=2  a second close of the same era
 */
#ifndef CLOSERS
#define CLOSERS 1
#endif
#define LANES 3                 /* 0, 1: created by the threads; 2: the reopener's warm lane */

mtype = { FREE, ACTIVE, CLOSING, RETURNED, DIED, TAKEN };

/* E */
byte era = 1, refs = 1;
mtype state = ACTIVE;
/* lanes */
bool linked[LANES], held[LANES], closing[LANES], dead[LANES];
byte bound[LANES];              /* era */
/* ghosts */
byte finished[3];
bool finishing;

inline drop()
{
	d_step {
		assert(refs > 0);
		refs--;
		last = (refs == 0)
	};
	if
	:: last ->
		d_step { assert(!finishing); finishing = true; assert(state == CLOSING) };
		i = 0;
		do
		:: i < LANES ->
			d_step {
				if
				:: linked[i] -> assert(dead[i] && bound[i] == era); linked[i] = false
				:: else
				fi;
				i++
			}
		:: else -> break
		od;
		i = 0;
		d_step { finished[era]++; assert(finished[era] == 1) };
		/* the release store of FREE; it overwrites whatever the word held */
		d_step { assert(refs == 0); state = FREE; finishing = false };
		last = false
	:: else
	fi
}

inline give_back(x)
{
	atomic {
		if
		:: closing[x] -> dead[x] = true; r = DIED
		:: else -> held[x] = false; r = RETURNED
		fi
	};
	if
	:: r == DIED -> drop()
	:: else
	fi;
	r = 0
}

inline mark(x)
{
	atomic {
		if
		:: dead[x] -> r = 0
		:: !dead[x] && held[x] -> closing[x] = true; r = 0
		:: else -> closing[x] = true; held[x] = true; r = TAKEN
		fi
	};
	if
	:: r == TAKEN -> give_back(x)
	:: else
	fi;
	r = 0
}

inline close(e)
{
	atomic {
		ok = (era == e && state == ACTIVE);
		if
		:: ok -> state = CLOSING
		:: else
		fi
	};
	if
	:: ok ->
#ifdef CTL_EARLY_DROP
		drop();
#endif
		j = 0;
		do
		:: j < LANES ->
			if
			:: linked[j] -> mark(j)
			:: else
			fi;
			j++
		:: else -> break
		od;
		j = 0;
#ifndef CTL_EARLY_DROP
		drop()
#endif
	:: else
	fi
}

/* Enter by creating lane x. */
proctype Thread(byte x)
{
	byte i, scope; bool last, ok; mtype r;

	do
	:: scope < 2 ->
		if
		:: linked[x] && bound[x] == 1 ->        /* the known lane */
			atomic {
				ok = (!dead[x] && !held[x] && !closing[x]);
				if
				:: ok -> held[x] = true
				:: else
				fi
			}
			if
			:: ok ->
				assert(bound[x] == 1);
				give_back(x)
			:: else
			fi
		:: else ->
#ifdef CTL_BLIND_ADD
			d_step { refs++; ok = true };
			if
			:: !(era == 1 && state == ACTIVE) -> ok = false; drop()
			:: else
			fi;
#else
			d_step {
				ok = (era == 1 && state == ACTIVE);
				if
				:: ok -> refs++
				:: else
				fi
			};
#endif
			if
			:: ok ->
				if
				:: true ->                      /* out of memory */
#ifndef CTL_ENOMEM_KEEPS
					drop()
#else
					skip
#endif
				:: true ->
					d_step {
						bound[x] = 1; held[x] = true;
						closing[x] = false; dead[x] = false };
					linked[x] = true;
#ifndef CTL_NO_RECHECK
					if
					:: state == CLOSING -> closing[x] = true
					:: else
					fi;
#endif
					give_back(x)
				fi
			:: else
			fi
		fi;
		scope++
	:: else -> break
	od
}

proctype Closer()
{
	byte i, j; bool last, ok; mtype r;

	close(1)
}

/* A short reference, as set_label takes it: in any state but FREE, not on a word that is being finished. */
proctype Renamer()
{
	byte i; bool last, ok; mtype r;

	d_step {
#ifdef CTL_REF_ON_ZERO
		ok = (era == 1 && state != FREE);
#else
		ok = (era == 1 && state != FREE && refs > 0);
#endif
		if
		:: ok -> refs++
		:: else
		fi
	};
	if
	:: ok ->
		assert(era == 1);       /* C22: the row is still this era's */
		drop()
	:: else
	fi
}

proctype Reopener()
{
	byte i, j; bool last, ok; mtype r;

	(state == FREE);
	d_step {
		held[2] = false; closing[2] = false; dead[2] = false; bound[2] = 2; linked[2] = true
	};
	d_step { assert(refs == 0); era = 2; refs = 2; state = ACTIVE };
	close(2)
}

init
{
	byte k;

	atomic {
		run Thread(0);
		run Thread(1);
		run Closer();
#if CLOSERS > 1
		run Closer();
#endif
		run Renamer();
		run Reopener()
	};
	(_nr_pr == 1);
	assert(finished[1] == 1 && finished[2] == 1);
	assert(state == FREE && refs == 0);
	do
	:: k < LANES ->
		assert(!linked[k]);
		k++
	:: else -> break
	od
}
