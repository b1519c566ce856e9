/* SPDX-License-Identifier: MIT */
/*
 * thread.pml: a thread ends with a scope open, with a default lane and a warm lane; destructors of other
 * keys still allocate and free afterwards; its record serves a new thread.
 *
 * Lane 0: the open scope's, in an epoch that a closer closes at any time. Lane 1: the default epoch's,
 * held since first use. Lane 2: warm, with a chunk. Holder words name threads by index and incarnation;
 * a free is local when the holder word equals the caller's id.
 *
 * Checked: nothing stays held; the closed epoch is finished; the warm chunk is in the pool; plain access
 * only by who has HELD (I2); the abandoned scope is counted.
 */
#define NOBODY 0
#define OLD 1                   /* ids: index and incarnation */
#define NEW 2
#ifdef CTL_ENDED_IS_NOBODY
#define ENDED NOBODY
#else
#define ENDED 9
#endif

bool held[2], transient[2], closing, dead;
byte holder[2];
byte refs = 2, finished;
bool in_pool, record_free;
byte abandoned;
byte inside[2];                 /* ghost: threads that access the lane plainly */

inline touch(x)
{
	inside[x]++;
	assert(inside[x] == 1 && held[x]);
	inside[x]--
}

inline drop()
{
	d_step {
		assert(refs > 0); refs--;
		if
		:: refs == 0 -> assert(dead); finished++; assert(finished == 1)
		:: else
		fi
	}
}

inline give_back(x)
{
	touch(x);
	atomic {
		if
		:: x == 0 && closing -> dead = true; ok = true
		:: else -> held[x] = false; transient[x] = false; ok = false
		fi
	};
	if
	:: ok -> drop()
	:: else
	fi
}

/* A free of an object of lane 1 by thread `id`: local if the holder word says so. */
inline free_one(id)
{
	if
	:: holder[1] == id -> touch(1)
	:: else ->
		if
		:: atomic { !held[1] -> held[1] = true; transient[1] = true };
			give_back(1)
		:: atomic { held[1] -> skip }   /* queued for the holder */
		fi
	fi
}

proctype Ending()
{
	bool ok;

	/* abandon the scope */
	abandoned++;
#ifndef CTL_KEEP_SCOPE
	holder[0] = NOBODY;
	give_back(0);
#endif
#ifdef CTL_HOLDER_AFTER
	give_back(1);
	holder[1] = NOBODY;
#else
	holder[1] = NOBODY;
	give_back(1);
#endif
#ifndef CTL_KEEP_WARM
	in_pool = true;
#endif
	record_free = true;
	/* destructors of other keys: by now the thread is ENDED and takes lanes for the length of a call */
	free_one(ENDED);
	if
	:: atomic { !held[1] -> held[1] = true; transient[1] = true };
		touch(1);
		give_back(1)
	:: true                         /* another lane */
	fi
}

/* Takes over the record, and the default lane by adoption. */
proctype Next()
{
	bool ok;

	(record_free);
	record_free = false;
	if
	:: atomic { !held[1] -> held[1] = true };
		holder[1] = NEW;
		touch(1);
		assert(holder[1] == NEW);
		free_one(NEW);
		holder[1] = NOBODY;
		give_back(1)
	:: true
	fi
}

proctype Closer()
{
	bool ok, mine;

	atomic {
		if
		:: dead
		:: !dead && held[0] -> closing = true
		:: else -> closing = true; held[0] = true; mine = true
		fi
	};
	if
	:: mine -> give_back(0)
	:: else
	fi;
	drop()
}

/* Another thread adopts the default lane while the old one is ending. */
proctype Adopter()
{
	bool ok;

	if
	:: atomic { !held[1] -> held[1] = true };
		holder[1] = 3;
		touch(1);
		assert(holder[1] == 3);         /* a discarder finds out by it that somebody is inside */
		holder[1] = NOBODY;
		give_back(1)
	:: true
	fi
}

init
{
	atomic {
		held[0] = true; holder[0] = OLD;
		held[1] = true; holder[1] = OLD;
		run Ending();
		run Next();
		run Closer();
		run Adopter()
	};
	(_nr_pr == 1);
	assert(!held[1] && finished == 1 && in_pool && abandoned == 1)
}
