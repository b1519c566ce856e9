/* SPDX-License-Identifier: MIT */
/*
 * retain.h: how much free memory the pool of chunks may hold instead of returning it to the OS.
 *
 * 64 MiB, or an eighth of the memory in use where that is more; or exactly what TSLAB_RETAIN says. Without that
 * variable more, where that proved to be wanted: what the pool let go for want of room and the program took again
 * within a second or so it may hold the next time, as long as that and the memory in use are no more than was in use
 * in this second or the last. What was free all the time for a second is not wanted. It goes when something is freed
 * or taken: a program that does neither keeps it.
 *
 * Amounts are in chunks. All calls under ts_lock_pool, but for those that say otherwise.
 */
#ifndef TS_CORE_RETAIN_H
#define TS_CORE_RETAIN_H

#include <stdbool.h>
#include <stdint.h>

/* Asks the environment. Before the first other call. */
void ts_retain_start(void);
/* Exactly so many bytes, or an eighth of the memory in use if that is more; 0 = none. */
void ts_retain_exactly(uint64_t bytes);
/* Any thread, without the lock: a hint. */
bool ts_retain_any(void);

/* What the pool may hold at least while so much is in use, and with what was learned. */
uint64_t ts_retain_least(uint64_t in_use);
uint64_t ts_retain_most(uint64_t in_use);

/* The pool holds so much and so much is in use: before something is taken or put there, and after it was taken. */
void ts_retain_see(uint64_t held, uint64_t in_use);
void ts_retain_changed(uint64_t held, uint64_t in_use);
/* More than the pool may hold, of what it had only learned to. */
uint64_t ts_retain_surplus(uint64_t held, uint64_t in_use);
/* So much was returned to the OS because the pool had no room, while so much was in use. */
void ts_retain_returned(uint64_t chunks, uint64_t in_use);
/* So much was taken that holds no memory. */
void ts_retain_missed(uint64_t chunks);
/* What was learned is forgotten: the program asked for its memory to go. */
void ts_retain_forget(void);

#endif
