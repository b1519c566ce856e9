/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include "histogram.h"
#include "os.h"
#include "process.h"

struct ts_mutex ts_lock_pool = { .mutex = PTHREAD_MUTEX_INITIALIZER };
struct ts_mutex ts_lock_meta = { .mutex = PTHREAD_MUTEX_INITIALIZER };

bool ts_lock(struct ts_mutex *lock)
{
	uint64_t self = (uint64_t)pthread_self();
	uint64_t began_ns = 0;
	bool waited;

	if (ts_a64_load_rlx(&lock->owner) == self) {
		lock->depth++;
		return false;
	}
	waited = pthread_mutex_trylock(&lock->mutex) != 0;
	if (!waited) {
		ts_count(lock_fast, 1);
	} else {
		began_ns = ts_os_clock_ns();
		ts_count(lock_contended, 1);
		pthread_mutex_lock(&lock->mutex);
	}
	ts_a64_store_rlx(&lock->owner, self);
	lock->depth = 1;
	if (waited)
		ts_histogram_count(TS_HISTOGRAM_LOCK_WAIT, ts_os_clock_ns() - began_ns);
	return waited;
}

void ts_unlock(struct ts_mutex *lock)
{
	if (--lock->depth)
		return;
	ts_a64_store_rlx(&lock->owner, 0);
	pthread_mutex_unlock(&lock->mutex);
}
