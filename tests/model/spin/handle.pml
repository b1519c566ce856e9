/* SPDX-License-Identifier: MIT */
/*
 * handle.pml: generations: get without a lock, one winner a free, no value issued twice.
 *
 * One slot. Its generation is base (of the chunk) + own (of the slot); a free raises own, a discard or the
 * return of the chunk raises base, neither falls. Handle 0 is issued at first; two threads free it, one
 * gets it, a discarder may outdate it; then the slot is handed out again, twice. A free pins the lane; a
 * discard waits for pins and keeps new ones out.
 *
 * Checked: an accepted get was valid at the moment of its middle load; at most one winner a handle; I12.
 */
#define HANDLES 6

byte base, own;
byte pins;
bool disc;
bool live = true;               /* handle `current` names a live object */
byte current;                   /* the value that was issued last */
bool issued[HANDLES];
byte wins;

#define GENERATION (base + own)

proctype Getter()
{
	byte b, o, g = 0;
	bool valid;

	b = base;
	d_step { o = own; valid = (live && current == g) };
#ifndef CTL_ONE_BASE
	if
	:: base != b -> goto done
	:: else
	fi;
#endif
	if
	:: b + o == g -> assert(valid)
	:: else
	fi;
done:	skip
}

proctype Freer()
{
	byte b, g = 0;
	bool won;

	atomic { !disc -> pins++ };
	b = base;
	if
	:: g >= b ->
#ifdef CTL_NO_CAS
		if
		:: own == g - b -> won = true; own = g - b + 1
		:: else
		fi
#else
		d_step {
			won = (own == g - b);
			if
			:: won -> own++; if :: current == g -> live = false :: else fi
			:: else
			fi
		}
#endif
	:: else
	fi;
	if
	:: won -> wins++; assert(wins == 1)
	:: else
	fi;
	pins--
}

proctype Discarder()
{
	if
	:: atomic { pins == 0 && !disc -> disc = true };
#ifndef CTL_NO_BUMP
		d_step { base++; live = false };
#else
		live = false;
#endif
		disc = false
	:: true
	fi
}

/* The slot is free again, by a free or a discard: hand it out, with the value it has now. */
proctype Owner()
{
	byte n;

	do
	:: n < 2 ->
		if
		:: !live && !disc && pins == 0 ->
#ifdef CTL_RESET
			own = 0; base = 0;
#endif
			d_step {
				assert(GENERATION < HANDLES && !issued[GENERATION]);    /* I12 */
				issued[GENERATION] = true;
				current = GENERATION; live = true
			};
			/* freed through its new handle */
			atomic { !disc -> own++; live = false }
		:: true -> skip
		fi;
		n++
	:: else -> break
	od
}

init
{
	atomic {
		issued[0] = true;
		run Getter();
		run Freer();
		run Freer();
		run Discarder();
		run Owner()
	};
	(_nr_pr == 1);
	assert(wins <= 1)
}
