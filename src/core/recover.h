/* SPDX-License-Identifier: MIT */
/*
 * recover.h: after fork, make the copy whole again.
 *
 * The threads of the parent that are not in the child were stopped anywhere. What they held is rebuilt
 * from the only truth: the pool's map (its lock was held at fork), epoch rows and lane lists (changed
 * by single atomic steps), unit headers, carve limits and the two bits of each slot. Links, stacks,
 * chains, counts and queues are made anew; chunks on the way between two owners go to the pool.
 */
#ifndef TS_CORE_RECOVER_H
#define TS_CORE_RECOVER_H

#include "thread.h"

/* In the child, both locks free, nobody else running in the library. `survivor` may be NULL. */
void ts_recover(struct ts_thread *survivor);

#endif
