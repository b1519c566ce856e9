/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include "histogram.h"
#include "os.h"
#include "process.h"
#include "thread.h"

/* What the clocks themselves take between two readings, + 1; 0 = not yet known. */
static ts_a64 empty_wall_ns;
static ts_a64 empty_cpu_ns;

/* The wall clock inside the other one: a look at the CPU clock is a system call. */
static void start_clocks(struct ts_sample *sample)
{
	sample->cpu_ns = ts_os_thread_cpu_ns();
	sample->wall_ns = ts_os_clock_ns();
}

static void stop_clocks(const struct ts_sample *sample, uint64_t *wall_ns, uint64_t *cpu_ns)
{
	*wall_ns = ts_os_clock_ns() - sample->wall_ns;
	*cpu_ns = ts_os_thread_cpu_ns() - sample->cpu_ns;
}

static void measure_clocks(void)
{
	uint64_t least_wall = UINT64_MAX, least_cpu = UINT64_MAX;

	for (int i = 0; i < 64; i++) {
		struct ts_sample sample;
		uint64_t wall, cpu;

		start_clocks(&sample);
		stop_clocks(&sample, &wall, &cpu);
		least_wall = wall < least_wall ? wall : least_wall;
		least_cpu = cpu < least_cpu ? cpu : least_cpu;
	}
	ts_a64_store_rlx(&empty_cpu_ns, least_cpu + 1);
	ts_a64_store_rlx(&empty_wall_ns, least_wall + 1);
}

/* A closer may set the gated table at any time, which must not be undone. */
static void change_table(struct ts_lane *lane, const uint16_t *from, const uint16_t *to)
{
	uint64_t seen = (uintptr_t)from;

	if (ts_a64_load_rlx(&lane->class_of) == seen)
		ts_a64_cas_rlx(&lane->class_of, &seen, (uintptr_t)to);
}

static bool due(struct ts_thread *thread, uint64_t interval)
{
	if (!thread->to_sample || thread->to_sample > interval)
		thread->to_sample = interval;
	return --thread->to_sample == 0;
}

void ts_sample_begin_on(struct ts_sample *sample, struct ts_lane *lane, uint64_t interval)
{
	struct ts_thread *thread = ts_thread_self();

	ts_a64_store_rlx(&ts_process()->sample_interval, interval);
	if (lane && lane != &ts_lane_none) {
		const uint16_t *table = (const uint16_t *)ts_sample_table();

		change_table(lane, table == ts_sizeclass_of ? ts_sizeclass_sampled : ts_sizeclass_of,
			     table);
	}
	if (thread) {
		/* Guard slots want to see each allocation: none is passed on (ts_sample_not_due). */
		thread->sample_interval = ts_control_guard_interval() ? 0 : interval;
		thread->to_sample = interval ? thread->to_sample : 0;
	}
	if (!interval || !thread || thread->ending || !due(thread, interval))
		return;
	if (!ts_a64_load_rlx(&empty_wall_ns))
		measure_clocks();
	sample->timed = true;
	start_clocks(sample);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void raise_to(ts_a64 *most, uint64_t value)
{
	if (value > ts_a64_load_rlx(most))
		ts_a64_store_rlx(most, value);
}

void ts_sample_end_on(const struct ts_sample *sample)
{
	struct ts_thread_words *w = &ts_tls.self->stat->w;
	uint64_t wall, cpu, wait;

	stop_clocks(sample, &wall, &cpu);
	wall = less(wall, ts_a64_load_rlx(&empty_wall_ns) - 1);
	cpu = less(cpu, ts_a64_load_rlx(&empty_cpu_ns) - 1);
	wait = less(wall, cpu);
	ts_bump_word(&w->alloc_wall_ns_sum, wall);
	ts_bump_word(&w->alloc_cpu_ns_sum, cpu);
	ts_bump_word(&w->alloc_wait_ns_sum, wait);
	raise_to(&w->alloc_wall_ns_max, wall);
	raise_to(&w->alloc_cpu_ns_max, cpu);
	raise_to(&w->alloc_wait_ns_max, wait);
	ts_bump_word(&w->alloc_samples, 1);
	ts_histogram_count(TS_HISTOGRAM_ALLOC_WALL, wall);
}
