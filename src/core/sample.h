/* SPDX-License-Identifier: MIT */
/*
 * sample.h: the time of one allocation in so many.
 *
 * Off, it costs nothing: the fast path has no test for it. While it is on, lanes have a size table that
 * sends every allocation to the slow path, as the one of closing lanes does, and there the allocations
 * are counted and one in `interval` is timed, whichever way it returns. A lane changes over when it is
 * bound or takes the slow path next.
 *
 * Most of them leave the slow path at its first step, ts_sample_not_due. No bound on what the fast path may
 * hand out would stop it at the next one that is due: what is freed meanwhile it hands out again.
 */
#ifndef TS_CORE_SAMPLE_H
#define TS_CORE_SAMPLE_H

#include "config.h" /* TSLAB_REDZONE */
#include "control.h"
#include "lane.h"
#include "thread.h"

struct ts_sample {
	bool timed;
	uint64_t wall_ns;
	uint64_t cpu_ns;
};

/* The size table of a lane that takes allocations. */
static inline uintptr_t ts_sample_table(void)
{
	return TSLAB_REDZONE || ts_control_sample_interval() || ts_control_guard_interval() ?
		       (uintptr_t)ts_sizeclass_sampled :
		       (uintptr_t)ts_sizeclass_of;
}

/* Around the allocation, on every slow path. */
void ts_sample_begin_on(struct ts_sample *sample, struct ts_lane *lane, uint64_t interval);
void ts_sample_end_on(const struct ts_sample *sample);

/* `lane`: the thread's innermost, or NULL where the allocation names its epoch. */
static inline void ts_sample_begin(struct ts_sample *sample, struct ts_lane *lane)
{
	uint64_t interval = ts_control_sample_interval();

	sample->timed = false;
	if (__builtin_expect((interval | ts_control_guard_interval()) != 0, 0) ||
	    (lane && ts_a64_load_rlx(&lane->class_of) == (uintptr_t)ts_sizeclass_sampled))
		ts_sample_begin_on(sample, lane, interval);
}

/*
 * A sampled lane, and the allocation is none that is timed or placed elsewhere; nobody has changed the
 * interval.
 */
static inline bool ts_sample_not_due(const struct ts_lane *lane)
{
	const struct ts_thread *thread = ts_tls.self;

	/* A thread that has no record, or ends, holds no lane. */
	return ts_a64_load_rlx(&lane->class_of) == (uintptr_t)ts_sizeclass_sampled &&
	       thread->to_sample > 1 && !TSLAB_REDZONE &&
	       thread->sample_interval == ts_a64_load_rlx(&ts_control()->sample_interval);
}

/* A lane that takes allocations, of which none is watched: a thread has one, and the tables are complete. */
static inline bool ts_sample_is_off(const struct ts_lane *lane)
{
	return ts_a64_load_rlx(&lane->class_of) == (uintptr_t)ts_sizeclass_of && !TSLAB_REDZONE &&
	       !ts_control_watches();
}

/* It is over. */
static inline void ts_sample_pass(void)
{
	ts_tls.self->to_sample--;
}

static inline void ts_sample_end(const struct ts_sample *sample)
{
	if (__builtin_expect(sample->timed, 0))
		ts_sample_end_on(sample);
}

#endif
