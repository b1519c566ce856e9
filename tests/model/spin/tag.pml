/* SPDX-License-Identifier: MIT */
/*
 * tag.pml: a thread's table names a lane that serves another epoch by now (C18).
 *
 * The lane serves epochs 1, 2, 3 and 4 in turn; its tag is one bit, so every second epoch looks alike, as
 * do epochs of different slots with the same era. Each is bound, parked, closed (with or without an
 * object left, which the owner frees later), dead. A thread enters epoch 3 by its table at any time, and
 * frees nothing. Epoch 3 is open until it entered or was told that this lane is not its lane.
 *
 * Checked: the thread is inside no other epoch than 3; it is never told that the epoch is over when it
 * is not; nothing changes in a lane that it took by mistake, and its give-back may be the last.
 */
mtype = { OTHER, STALE, TOOK };

byte epoch;                     /* full id, under HELD */
bool held = true, closing, dead = true, tag;
bool object;                    /* the epoch still has an object: the lane may not die */
byte deaths;
bool over3;                     /* epoch 3 has been closed */
mtype answer;

inline release()
{
	atomic {
		assert(held && !dead);
		if
		:: closing && !object -> dead = true; deaths++
		:: else -> held = false
		fi
	}
}

proctype Owner()
{
	byte e = 1;

	do
	:: e <= 4 ->
		(dead);
		epoch = e;
		atomic { tag = e & 1; closing = false; dead = false; held = false };
		if
		:: object = true
		:: skip
		fi;
		/* close: mark, take if nobody holds */
		if
		:: e == 3 -> over3 = true
		:: else
		fi;
		atomic {
			closing = true;
			if
			:: held -> skip
			:: else -> held = true; goto mine
			fi
		};
		goto freed;
mine:		release();
freed:		/* the object is freed: the freer takes the lane, or leaves it to the holder */
		if
		:: object ->
			atomic {
				object = false;
				if
				:: dead || held -> goto next
				:: else -> held = true
				fi
			};
			release()
		:: else
		fi;
next:		e++
	:: else -> break
	od;
	(dead)
}

proctype Thread()
{
	bool was_over;

	was_over = over3;
	atomic {
		if
		:: dead || tag != 1 -> answer = OTHER
		:: else ->
			if
			:: held -> answer = OTHER
#ifdef CTL_BELIEVE_CLOSED
			:: !held && closing -> answer = STALE
#else
			:: !held && closing -> answer = OTHER   /* the epoch's own word tells */
#endif
			:: else -> held = true; answer = TOOK
			fi
		fi
	};
	assert(!(answer == STALE && !over3));
	if
	:: answer == TOOK ->
#ifndef CTL_TAG_ONLY
		if
		:: epoch != 3 -> answer = OTHER; release(); goto end
		:: else
		fi;
#endif
		assert(epoch == 3);
		release()
	:: else
	fi;
end:	skip
}

init
{
	atomic { run Owner(); run Thread() };
	(_nr_pr == 1);
	assert(deaths == 4)
}
