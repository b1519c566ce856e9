/* SPDX-License-Identifier: MIT */
/*
 * fork.h: the child of fork owns a copy of everything, but only one thread: the lanes of the others
 * may have been caught in the middle of a step. The child rebuilds them on its first slow path from
 * unit headers and bits, the only truth; fork followed by exec pays nothing for it.
 */
#ifndef TS_CORE_FORK_H
#define TS_CORE_FORK_H

#include "arch.h"

extern TS_HIDDEN ts_a32 ts_fork_pending;

void ts_fork_recover(void);

/* At the start of every slow path. */
static inline void ts_fork_check(void)
{
	if (__builtin_expect(ts_a32_load_rlx(&ts_fork_pending) != 0, 0))
		ts_fork_recover();
}

/* Called in the child when its state has been rebuilt, before the interrupted call goes on. */
void ts_fork_register(void (*child_recovered)(void));

/* Installs the fork handlers. Once, as early as possible: ours must run last before a fork. */
int ts_fork_start(void);

#endif
