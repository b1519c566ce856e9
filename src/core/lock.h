/* SPDX-License-Identifier: MIT */
/*
 * lock.h: the two locks of the library, both off the hot paths.
 *   ts_lock_pool   free chunks and the committed end of the range
 *   ts_lock_meta   tables that only grow: lanes, threads, epoch slots, labels, sites, heaps, blocks
 * Order: meta before pool. fork takes both. The thread that forks may take them again meanwhile.
 */
#ifndef TS_CORE_LOCK_H
#define TS_CORE_LOCK_H

#include <pthread.h>

#include "arch.h"

extern TS_HIDDEN pthread_mutex_t ts_lock_pool;
extern TS_HIDDEN pthread_mutex_t ts_lock_meta;

void ts_lock(pthread_mutex_t *lock);
void ts_unlock(pthread_mutex_t *lock);
/* In the child of fork: both locks as new. */
void ts_lock_reset(void);

#endif
