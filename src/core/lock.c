/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include "process.h"

pthread_mutex_t ts_lock_pool = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
pthread_mutex_t ts_lock_meta = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void ts_lock(pthread_mutex_t *lock)
{
	if (!pthread_mutex_trylock(lock)) {
		ts_count(lock_fast, 1);
		return;
	}
	ts_count(lock_contended, 1);
	pthread_mutex_lock(lock);
}

void ts_unlock(pthread_mutex_t *lock)
{
	pthread_mutex_unlock(lock);
}

void ts_lock_reset(void)
{
	pthread_mutexattr_t recursive;

	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&ts_lock_pool, &recursive);
	pthread_mutex_init(&ts_lock_meta, &recursive);
	pthread_mutexattr_destroy(&recursive);
}
