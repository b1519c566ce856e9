/* SPDX-License-Identifier: MIT */
/*
 * guard.h: one allocation in about so many goes to a page of its own between pages that trap. Off, it
 * costs nothing: the gate is the one of sample.h.
 *
 * The object ends where its page ends. It has a twin, an ordinary slot of its lane that nobody uses: epoch,
 * figures, limits, close and fork are the twin's business, and a guard slot only says where the program
 * finds its bytes instead. A freed one traps until its slot is needed again, the one that was freed first.
 * Nothing handles SIGSEGV: tslab_guard_describe tells what an address was.
 */
#ifndef TS_CORE_GUARD_H
#define TS_CORE_GUARD_H

#include "control.h"
#include "lane.h"

/* Guard slots of a process: two pages of address space each, one of memory while it is in use. */
#define TS_GUARD_SLOTS 256u

/* Const once it is not 0. */
struct ts_guard_area {
	ts_a64 start;
	ts_a64 bytes;
	ts_a32 live; /* guard slots whose objects live; whoever ends an epoch looks at it */
};

extern TS_HIDDEN struct ts_guard_area ts_guard_area;

static inline bool ts_guard_owns(const void *p)
{
	return (uintptr_t)p - ts_a64_load_rlx(&ts_guard_area.start) <
	       ts_a64_load_rlx(&ts_guard_area.bytes);
}

/* Where the program gets an object that was allocated at `twin`: there, or in a guard slot. */
void *ts_guard_place_sampled(void *twin, size_t bytes, size_t align, const void *pc,
			     uint64_t interval);

static inline void *ts_guard_place(void *twin, size_t bytes, size_t align, const void *pc)
{
	uint64_t interval = ts_control_guard_interval();

	if (__builtin_expect(interval != 0, 0))
		return ts_guard_place_sampled(twin, bytes, align, pc, interval);
	return twin;
}

/* Addresses that ts_guard_owns. Free: the twin, which is to be freed, or NULL after a refusal. */
void *ts_guard_free(void *p, const void *pc);
/* The object of `bytes` that p lies in, if it lives, and its twin; else NULL. */
void *ts_guard_twin(const void *p, size_t *bytes, const void **object);

/* Everything in this epoch is over. */
void ts_guard_end_epoch_on(uint64_t epoch_id);

static inline void ts_guard_end_epoch(uint64_t epoch_id)
{
	if (__builtin_expect(ts_a32_load_rlx(&ts_guard_area.live) != 0, 0))
		ts_guard_end_epoch_on(epoch_id);
}

/* Fork recovery: objects that are nobody's in the child. */
void ts_guard_recover(void);

#endif
