/* SPDX-License-Identifier: MIT */
#include "fork.h"

#include <pthread.h>

#include "lock.h"

#define CALLBACKS_MAX 4

ts_a32 ts_fork_pending;
static void (*callbacks[CALLBACKS_MAX])(void);
static unsigned callback_count;

static void before_fork(void)
{
	pthread_mutex_lock(&ts_lock_meta);
	pthread_mutex_lock(&ts_lock_pool);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&ts_lock_pool);
	pthread_mutex_unlock(&ts_lock_meta);
}

static void in_child(void)
{
	ts_lock_reset();
	ts_a32_store_rlx(&ts_fork_pending, 1);
}

int ts_fork_start(void)
{
	return pthread_atfork(before_fork, in_parent, in_child);
}

void ts_fork_register(void (*child_recovered)(void))
{
	if (callback_count < CALLBACKS_MAX)
		callbacks[callback_count++] = child_recovered;
}

void ts_fork_recover(void)
{
	ts_a32_store_rlx(&ts_fork_pending, 0);
	for (unsigned i = 0; i < callback_count; i++)
		callbacks[i]();
}
