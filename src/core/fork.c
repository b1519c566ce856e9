/* SPDX-License-Identifier: MIT */
#include "fork.h"

#include <pthread.h>

#include "lane.h"
#include "lock.h"
#include "recover.h"
#include "thread.h"

#define CALLBACKS_MAX 4

ts_a32 ts_fork_pending;
static void (*callbacks[CALLBACKS_MAX])(void);
static unsigned callback_count;
static struct ts_thread *survivor; /* the thread that forked; the only one of the child */

static void before_fork(void)
{
	ts_lock(&ts_lock_meta);
	ts_lock(&ts_lock_pool);
}

static void after_fork(void)
{
	ts_unlock(&ts_lock_pool);
	ts_unlock(&ts_lock_meta);
}

static void in_child(void)
{
	after_fork();
	survivor = ts_tls.self;
	/* No fast path until the state is rebuilt: the slow one finds the lane again. */
	ts_tls.lane = &ts_lane_none;
	ts_a32_store_rlx(&ts_fork_pending, 1);
}

int ts_fork_start(void)
{
	return pthread_atfork(before_fork, after_fork, in_child);
}

void ts_fork_register(void (*child_recovered)(void))
{
	if (callback_count < CALLBACKS_MAX)
		callbacks[callback_count++] = child_recovered;
}

void ts_fork_recover(void)
{
	ts_lock(&ts_lock_meta);
	if (ts_a32_load_rlx(&ts_fork_pending) == 1) {
		/* What is called below checks again and comes back here; other threads wait for the lock. */
		ts_a32_store_rlx(&ts_fork_pending, 2);
		ts_recover(survivor);
		for (unsigned i = 0; i < callback_count; i++)
			callbacks[i]();
		ts_a32_store_rlx(&ts_fork_pending, 0);
	}
	ts_unlock(&ts_lock_meta);
}
