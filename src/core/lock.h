/* SPDX-License-Identifier: MIT */
/*
 * lock.h: the two locks of the library, both off the hot paths.
 *   ts_lock_pool   free chunks and the committed end of the range
 *   ts_lock_meta   tables that only grow: lanes, threads, epoch slots, labels, sites, heaps, blocks
 * Order: meta before pool. fork takes both; the thread that forks may take them again meanwhile, and
 * gives them up in the child as in the parent, which a plain mutex allows.
 */
#ifndef TS_CORE_LOCK_H
#define TS_CORE_LOCK_H

#include <pthread.h>

#include "arch.h"

struct ts_mutex {
	pthread_mutex_t mutex;
	ts_a64 owner;   /* the thread inside; only ever compared with oneself */
	ts_a64 entered; /* how often; the lock protects it */
	unsigned depth; /* the owner's: how often it has taken the lock again */
};

extern TS_HIDDEN struct ts_mutex ts_lock_pool;
extern TS_HIDDEN struct ts_mutex ts_lock_meta;

/* May be taken again by the thread that has it. True: somebody else had it. */
bool ts_lock(struct ts_mutex *lock);

/*
 * In the caller: as a call it was half of what a lock costs beyond a plain mutex. Relaxed: the mutex orders the
 * owner, and a look from outside needs no order, see ts_lock.
 */
static inline void ts_unlock(struct ts_mutex *lock)
{
	if (lock->depth) {
		lock->depth--;
		return;
	}
	ts_a64_store_rlx(&lock->owner, 0);
	pthread_mutex_unlock(&lock->mutex);
}

#endif
