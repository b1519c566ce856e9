/* SPDX-License-Identifier: MIT */
/*
 * Each counter of the list is forced above zero by what it counts, with the number that must come out,
 * or stands here with the reason why nothing can raise it. Read back through the segment, as the tool does.
 * Links the simulated OS layer, so that the OS can be made to refuse.
 */
#include "../unit/support.h"
#include "look.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "core/closing.h"
#include "core/lock.h"
#include "core/sys_sim.h"
#include "obs/fields.h"

static struct ts_class_counts counts_of(unsigned cls)
{
	return look()->class_counts[cls];
}

/* -- the slow path, every class ---------------------------------------------------------------------- */

static void slow_paths_by_cause(void **state)
{
	(void)state;
	for (unsigned c = 0; c < CLASS_COUNT; c++) {
		tslab_heap *heap = new_heap("slow", 0, 0);
		tslab_epoch_t epoch = new_epoch(heap, "slow");
		struct tslab_class_stats shape = { .struct_bytes = sizeof(shape) };
		struct ts_class_counts before = counts_of(c), after;
		enum { SLABS = 20 };
		void *objects[SLABS * 512];
		unsigned count;

		assert_int_equal(tslab_stats_class(c, &shape), 0);
		count = SLABS * (unsigned)shape.objects_per_slab;
		assert_int_equal(tslab_domain_enter(epoch), 0);
		for (unsigned i = 0; i < count; i++)
			assert_non_null(objects[i] = tslab_malloc(class_bytes[c]));
		after = counts_of(c);
		/* Each slab was a slow path, and had to be cut; eight units make a chunk. */
		assert_int_equal(after.slabs_opened - before.slabs_opened, SLABS);
		assert_int_equal(ts_class_slow_hits(&after) - ts_class_slow_hits(&before), SLABS);
		assert_int_equal(after.slow_reused, before.slow_reused);
		assert_true(after.chunk_misses - before.chunk_misses >=
			    SLABS * shape.slab_bytes / 65536);
		assert_true(after.chunk_misses - before.chunk_misses <= SLABS);

		/* Most are freed, in every chunk one stays: what no stack block has is a slow path. */
		for (unsigned i = 0; i < count; i++)
			if (i % 16)
				tslab_free(objects[i]);
		for (unsigned i = 0; i < count; i++)
			if (i % 16)
				assert_non_null(tslab_malloc(class_bytes[c]));
		if (class_bytes[c] <= 4096)
			assert_true(counts_of(c).slow_reused > before.slow_reused);
		assert_int_equal(tslab_domain_exit(epoch), 0);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
		assert_int_equal(tslab_heap_destroy(heap), 0);
	}
}

/* A request of eight slabs; with `frees` one object is freed by itself. What it counts, once the lane is warm. */
static struct ts_class_counts of_warm_request(unsigned c, bool frees)
{
	struct ts_class_counts before, after;

	for (int round = 0; round < 3; round++) {
		tslab_epoch_t epoch = new_epoch(NULL, "warm");

		before = counts_of(c);
		assert_int_equal(tslab_domain_enter(epoch), 0);
		if (frees)
			tslab_free(tslab_malloc(1024));
		for (int i = 0; i < 64; i++)
			assert_non_null(tslab_malloc(1024));
		assert_int_equal(tslab_domain_exit(epoch), 0);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
		after = counts_of(c);
	}
	assert_int_equal(after.slabs_opened, before.slabs_opened);
	return (struct ts_class_counts){
		.slow_reused = after.slow_reused - before.slow_reused,
		.slow_others = after.slow_others - before.slow_others,
	};
}

/*
 * A warm lane has its slabs still. The step to the next one is no slow path while nothing is freed one by one; else
 * it is, one that needs neither a fresh slab nor freed slots.
 */
static void slow_paths_of_a_warm_lane(void **state)
{
	unsigned c = class_of(1024);
	struct ts_class_counts counts = of_warm_request(c, false);

	(void)state;
	assert_int_equal(ts_class_slow_hits(&counts), 0);
	counts = of_warm_request(c, true);
	assert_int_equal(counts.slow_others, 7);
	assert_int_equal(counts.slow_reused, 0);
}

/* Request after request: once the slabs are there, none is cut, and no chunk is taken. */
static void steady_state(void **state)
{
	struct ts_class_counts before = { .slabs_opened = 0 }, after;

	(void)state;
	for (unsigned request = 0; request < 1010; request++) {
		tslab_epoch_t epoch;

		if (request == 10)
			before = look()->class_total;
		assert_int_equal(tslab_scope_begin(NULL, "steady", &epoch), 0);
		for (unsigned i = 0; i < 300; i++)
			assert_non_null(tslab_malloc(16 + i * 5));
		assert_int_equal(tslab_scope_discard(epoch), 0);
	}
	after = look()->class_total;
	assert_int_equal(after.slabs_opened, before.slabs_opened);
	assert_int_equal(after.chunk_misses, before.chunk_misses);
}

/* A lock is for a chunk: of a thousand operations less than one takes it. */
static void locks_are_rare(void **state)
{
	enum { OPERATIONS = 400000 };
	uint64_t before = counters().lock_fast + counters().lock_contended, locks;
	static void *held[4096];

	(void)state;
	for (unsigned i = 0; i < OPERATIONS; i++) {
		void **place = &held[i * 2654435761u % 4096];

		tslab_free(*place);
		*place = tslab_malloc(16 + i % 1000);
	}
	locks = counters().lock_fast + counters().lock_contended - before;
	for (unsigned i = 0; i < 4096; i++)
		tslab_free(held[i]);
	assert_true(locks > 0 && locks * 1000 < OPERATIONS);
}

static void refused_by_a_closed_epoch(void **state)
{
	tslab_epoch_t epoch = new_epoch(NULL, "closed");
	void *kept = tslab_alloc(epoch, 64);

	(void)state;
	assert_int_equal(tslab_epoch_close(epoch), 0);
	for (unsigned c = 0; c < CLASS_COUNT; c++) {
		uint64_t before = counts_of(c).epoch_closed;

		assert_null_errno(tslab_alloc(epoch, class_bytes[c]), ESTALE);
		assert_int_equal(counts_of(c).epoch_closed - before, 1);
	}
	assert_null_errno(tslab_alloc(epoch, 100000), ESTALE);
	assert_int_equal(look()->class_total.epoch_closed, counters().fail_closing);
	tslab_free(kept);
}

/* -- closing and returning --------------------------------------------------------------------------- */

/* Four chunks of 1 KiB objects, one object left in the first: three chunks are empty. */
static void close_telemetry(void **state)
{
	enum { SLABS = 32, OBJECTS = SLABS * 8 };
	unsigned c = class_of(1024);
	tslab_heap *heap = new_heap("closing", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "closing");
	struct ts_class_counts before = counts_of(c), after;
	const struct ts_close_view *event;
	void *objects[OBJECTS];

	(void)state;
	for (int i = 0; i < OBJECTS; i++)
		assert_non_null(objects[i] = tslab_alloc(epoch, 1024));
	for (int i = 1; i < OBJECTS; i++)
		tslab_free(objects[i]);
	before = counts_of(c);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	after = counts_of(c);
	assert_int_equal(after.close_passes - before.close_passes, 1);
	assert_int_equal(after.close_recycled_units - before.close_recycled_units,
			 after.units_overflowed - before.units_overflowed + after.units_recycled -
				 before.units_recycled);
	assert_true(after.close_scanned_units - before.close_scanned_units >=
		    after.close_recycled_units - before.close_recycled_units);
	assert_true(after.close_recycled_units > before.close_recycled_units);
	assert_true(after.close_ns > before.close_ns);
	assert_true(after.close_ns - before.close_ns < 60000000000);

	event = &look()->closes[0];
	assert_true(event->epoch_id == epoch);
	assert_int_equal(event->what & 0xff, TS_ENDED_BY_CLOSE);
	assert_string_equal(event->label, "closing");
	assert_int_equal(event->live_objects, 1);
	assert_int_equal(event->live_bytes, 1024);
	assert_int_equal(event->left_bytes, 65536);
	assert_int_equal(event->held_bytes - event->left_bytes,
			 (after.close_recycled_units - before.close_recycled_units) * 8192);
	assert_int_equal(event->purge_bytes, event->held_bytes - event->left_bytes);
	assert_true(event->purge_calls >= 1 && event->purge_ns <= event->duration_ns);
	tslab_free(objects[0]);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static void returns_by_class(void **state)
{
	(void)state;
	for (unsigned c = 0; c < CLASS_COUNT; c++) {
		tslab_heap *heap = new_heap("returns", 0, 0);
		tslab_epoch_t epoch = new_epoch(heap, "returns");
		struct ts_class_counts before = counts_of(c), after;
		struct tslab_process_stats all = counters(), then;

		for (unsigned i = 0; i < 200000 / class_bytes[c] + 1; i++)
			assert_non_null(tslab_alloc(epoch, class_bytes[c]));
		assert_int_equal(tslab_epoch_discard(epoch), 0);
		after = counts_of(c);
		then = counters();
		/* Nothing is retained, and nobody else gave anything back. */
		assert_int_equal(after.units_recycled, before.units_recycled);
		assert_true(after.units_overflowed > before.units_overflowed);
		assert_true(then.purge_bytes > all.purge_bytes);
		assert_int_equal(after.purge_bytes - before.purge_bytes,
				 then.purge_bytes - all.purge_bytes);
		assert_int_equal(after.purge_calls - before.purge_calls,
				 then.purge_calls - all.purge_calls);
		assert_int_equal(tslab_heap_destroy(heap), 0);
	}
}

static void returns_of_large_objects(void **state)
{
	tslab_heap *heap = new_heap("large", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "large");
	struct ts_class_counts before = counts_of(TS_CLASS_LARGE), after;
	struct tslab_process_stats all;
	void *p;

	(void)state;
	tslab_free(tslab_alloc(epoch, 1000000));
	after = counts_of(TS_CLASS_LARGE);
	assert_int_equal(after.purge_bytes - before.purge_bytes, 16 * 65536);
	assert_int_equal(after.purge_calls - before.purge_calls, 1);
	/* These chunks again; and what lives at close is told. */
	all = counters();
	assert_non_null(p = tslab_alloc(epoch, 1000000));
	assert_int_equal(counters().chunks_reused - all.chunks_reused, 16);
	assert_int_equal(counters().chunks_fresh, all.chunks_fresh);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_int_equal(look()->closes[0].live_objects, 1);
	assert_int_equal(look()->closes[0].live_bytes, tslab_usable_size(p));
	tslab_free(p);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* An object that grew where it lies, over chunks that served other classes before. */
static void *grown_in_place(tslab_epoch_t epoch)
{
	for (unsigned i = 0; i < 100; i++) {
		void *p = tslab_alloc(epoch, 200000), *grown = tslab_realloc(p, 1000000);

		assert_non_null(grown);
		if (grown == p)
			return p;
		assert_non_null(tslab_alloc(epoch, 200000)); /* not in the same hole again */
	}
	fail_msg("none of a hundred grew in place");
	return NULL;
}

static void returns_of_grown_objects(void **state)
{
	tslab_heap *heap = new_heap("grown", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "grown");
	struct ts_class_counts before, after;
	struct tslab_process_stats all;
	void *p;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		assert_non_null(tslab_alloc(epoch, 3000));
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	epoch = new_epoch(heap, "grown");
	p = grown_in_place(epoch);
	before = counts_of(TS_CLASS_LARGE);
	all = counters();
	tslab_free(p);
	after = counts_of(TS_CLASS_LARGE);
	assert_int_equal(after.purge_bytes - before.purge_bytes,
			 counters().purge_bytes - all.purge_bytes);
	assert_true(after.purge_bytes - before.purge_bytes >= 1000000);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static void kept_by_the_thread(void **state)
{
	unsigned c = class_of(2048);
	tslab_heap *heap = new_heap("kept", 0, 1 << 20);
	tslab_epoch_t epoch = new_epoch(heap, "kept");
	uint64_t before = counts_of(c).units_recycled;
	void *objects[128];

	(void)state;
	for (int i = 0; i < 128; i++)
		assert_non_null(objects[i] = tslab_alloc(epoch, 2048));
	for (int i = 1; i < 128; i++)
		tslab_free(objects[i]);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_int_equal(counts_of(c).units_recycled - before, 3 * 8);
	tslab_free(objects[0]);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static void madvise_failures_by_class(void **state)
{
	unsigned c = class_of(512);
	tslab_heap *heap = new_heap("refused", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "refused");
	struct ts_class_counts before = counts_of(c), after;

	(void)state;
	for (int i = 0; i < 256; i++)
		assert_non_null(tslab_alloc(epoch, 512));
	assert_int_equal(ts_sim_plan("purge:1+:ENOMEM"), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	assert_int_equal(ts_sim_plan(""), 0);
	after = counts_of(c);
	assert_true(after.purge_failures > before.purge_failures);
	assert_int_equal(after.purge_failures - before.purge_failures,
			 after.purge_calls - before.purge_calls);
	assert_int_equal(look()->class_total.purge_failures, counters().purge_failures);
	assert_int_equal(counters().purge_last_errno, ENOMEM);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* -- contention -------------------------------------------------------------------------------------- */

static void *allocate_a_chunk(void *heap)
{
	tslab_epoch_t epoch;

	if (tslab_scope_begin(heap, "contends", &epoch) || !tslab_malloc(448))
		return heap;
	return tslab_scope_discard(epoch) ? heap : NULL;
}

/* A lock that is held is tried, found taken, and waited for: once each. */
static void lock_probe(void **state)
{
	unsigned c = class_of(448);
	tslab_heap *heap = new_heap("contends", 0, 0);
	struct ts_class_counts before = counts_of(c), after;
	uint64_t contended = counters().lock_contended;
	struct timespec pause = { .tv_nsec = 1000000 };
	pthread_t thread;
	void *failed = NULL;

	(void)state;
	ts_lock(&ts_lock_pool);
	assert_int_equal(pthread_create(&thread, NULL, allocate_a_chunk, heap), 0);
	for (int i = 0; i < 10000 && counters().lock_contended == contended; i++)
		nanosleep(&pause, NULL);
	ts_unlock(&ts_lock_pool);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	after = counts_of(c);
	assert_int_equal(after.lock_contended - before.lock_contended, 1);
	/* Its return took the lock as well, at once. */
	assert_int_equal(after.lock_fast - before.lock_fast, 1);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/*
 * A remote push that finds the lane's word changed tries again. A signal handler that frees into the same
 * lane gets between the look and the swap sooner or later, on one CPU as well.
 */
enum { PUSHED = 30000 };
static void *pushed[2 * PUSHED];
static volatile unsigned by_handler, by_thread;

static void push_from_handler(int signal)
{
	int saved = errno;

	(void)signal;
	if (by_handler < PUSHED)
		tslab_free(pushed[PUSHED + by_handler++]);
	errno = saved;
}

static void *push_from_thread(void *arg)
{
	struct itimerval often = { .it_interval = { .tv_usec = 25 }, .it_value = { .tv_usec = 25 } };
	struct itimerval never = { .it_interval = { .tv_usec = 0 } };

	sigset_t alarm;

	/* The library knows this thread before the handler runs, and no other thread gets the signal. */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	tslab_free(tslab_malloc(100));
	setitimer(ITIMER_REAL, &often, NULL);
	while (by_thread < PUSHED && counters().pushes_retried == *(uint64_t *)arg)
		for (unsigned i = 0; i < 100; i++)
			tslab_free(pushed[by_thread++]);
	setitimer(ITIMER_REAL, &never, NULL);
	return NULL;
}

static void retried_pushes(void **state)
{
	struct sigaction action = { .sa_handler = push_from_handler };
	struct sigaction old;
	unsigned c = class_of(1024);
	uint64_t before = counts_of(c).pushes_retried, all = counters().pushes_retried;
	sigset_t alarm;

	(void)state;
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	sigaction(SIGALRM, &action, &old);
	for (int round = 0; round < 200 && counters().pushes_retried == all; round++) {
		tslab_epoch_t epoch = new_epoch(NULL, "pushed");

		assert_int_equal(tslab_domain_enter(epoch), 0);
		for (unsigned i = 0; i < 2 * PUSHED; i++)
			assert_non_null(pushed[i] = tslab_malloc(1024));
		by_handler = by_thread = 0;
		on_thread(push_from_thread, &all);
		assert_int_equal(tslab_domain_exit(epoch), 0);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
	}
	sigaction(SIGALRM, &old, NULL);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	assert_true(counters().pushes_retried > all);
	assert_int_equal(counts_of(c).pushes_retried - before, counters().pushes_retried - all);
}

/* What the two tests above made, by label: exactly the figures of the classes, or nothing at all. */
static void contention_by_label(void **state)
{
	const struct ts_snapshot *s = look();
	uint64_t contended = 0;

	(void)state;
	if (!TSLAB_LABEL_CONTENTION) {
		assert_int_equal(s->contention_count, 0);
		return;
	}
	assert_int_equal(s->contention_count, s->label_count);
	for (unsigned c = 0; c < TS_CLASS_ROWS; c++) {
		struct ts_class_counts sum = { .lock_fast = 0 };

		for (size_t i = 0; i < s->contention_count; i++) {
			sum.lock_fast += s->contention[i].cls[c].lock_fast;
			sum.lock_contended += s->contention[i].cls[c].lock_contended;
			sum.pushes_retried += s->contention[i].cls[c].pushes_retried;
		}
		assert_int_equal(sum.lock_fast, s->class_counts[c].lock_fast);
		assert_int_equal(sum.lock_contended, s->class_counts[c].lock_contended);
		assert_int_equal(sum.pushes_retried, s->class_counts[c].pushes_retried);
	}
	for (size_t i = 0; i < s->contention_count; i++)
		if (!strcmp(s->labels[s->contention[i].label_id], "contends"))
			contended += s->contention[i].cls[class_of(448)].lock_contended;
	assert_int_equal(contended, 1);
}

/* -- failures ---------------------------------------------------------------------------------------- */

static unsigned newest_reason(void)
{
	const struct ts_snapshot *s = look();

	assert_true(s->failure_count > 0);
	return s->failures[0].reason;
}

static void failures_by_reason(void **state)
{
	tslab_heap *limited = new_heap("limited", 1 << 20, 0);
	tslab_epoch_t epoch = new_epoch(limited, "limited");
	const struct ts_failure_view *event;
	tslab_handle_t handle;

	(void)state;
	assert_counted(fail_threshold, assert_null_errno(tslab_malloc((size_t)1 << 60), ENOMEM));
	assert_int_equal(newest_reason(), 1);
	assert_counted(fail_exhausted, assert_null_errno(tslab_alloc(epoch, 2 << 20), ENOMEM));
	assert_int_equal(newest_reason(), 2);
	event = &look()->failures[0];
	assert_string_equal(event->label, "limited");
	assert_true(event->epoch_id == epoch);
	assert_int_equal(event->bytes, 2 << 20);
	assert_int_equal(event->cls, TS_CLASS_LARGE);
	assert_int_equal(event->error, ENOMEM);
	assert_non_null(event->place);
	assert_int_equal(ts_sim_plan("commit:1+:ENOMEM"), 0);
	assert_counted(fail_mapping, assert_null_errno(tslab_malloc((size_t)128 << 20), ENOMEM));
	assert_int_equal(ts_sim_plan(""), 0);
	assert_int_equal(newest_reason(), 3);
	assert_counted(fail_invalid, assert_null_errno(tslab_aligned_alloc(24, 100), EINVAL));
	assert_int_equal(newest_reason(), 5);
	assert_counted(fail_invalid,
		       assert_int_equal(tslab_handle_alloc(epoch, 0, &handle), -EINVAL));
	assert_int_equal(look()->failures[0].error, EINVAL);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_counted(fail_closing, assert_null_errno(tslab_alloc(epoch, 300), ESTALE));
	assert_int_equal(newest_reason(), 4);
	assert_int_equal(look()->failures[0].cls, class_of(300));
	assert_int_equal(tslab_heap_destroy(limited), 0);
}

static void the_last_256_failures_are_kept(void **state)
{
	const struct ts_snapshot *s;
	uint64_t first;

	(void)state;
	assert_null(tslab_malloc(SIZE_MAX));
	first = look()->failures[0].number;
	for (size_t i = 1; i <= 600; i++)
		assert_null(tslab_malloc(SIZE_MAX - i));
	s = look();
	assert_int_equal(s->failure_count, TS_FAILURES_KEPT);
	for (size_t i = 0; i < s->failure_count; i++) {
		assert_true(s->failures[i].number == first + 600 - i);
		assert_true(s->failures[i].bytes == SIZE_MAX - (600 - i));
	}
}

/* -- closes ------------------------------------------------------------------------------------------ */

static uint64_t timed_closes(void)
{
	const struct ts_snapshot *s = look();
	uint64_t sum = 0;

	for (unsigned i = 0; i < TS_HISTOGRAM_BUCKETS; i++)
		sum += s->times[TS_HISTOGRAM_CLOSE][i];
	return sum;
}

static void the_last_64_closes_are_kept(void **state)
{
	void *kept[100];
	const struct ts_snapshot *s;
	uint64_t timed = timed_closes();

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		char label[32];
		tslab_epoch_t epoch;

		snprintf(label, sizeof(label), "close %u, of a hundred in all", i);
		epoch = new_epoch(NULL, label);
		assert_non_null(kept[i] = tslab_alloc(epoch, 100));
		assert_int_equal(tslab_epoch_close(epoch), 0);
	}
	s = look();
	assert_int_equal(s->close_count, TS_CLOSES_KEPT);
	assert_int_equal(timed_closes() - timed, 100);
	for (unsigned i = 0; i < TS_CLOSES_KEPT; i++) {
		char label[32];

		snprintf(label, sizeof(label), "close %u, of a hundred in all", 99 - i);
		assert_string_equal(s->closes[i].label, label);
		assert_int_equal(s->closes[i].live_objects, 1);
		assert_true(s->closes[i].begin == s->closes[0].begin - i);
	}
	for (unsigned i = 0; i < 100; i++)
		tslab_free(kept[i]);
	/* Nothing lives and the memory stays with the thread: counted, but nothing to tell. */
	s = look();
	assert_int_equal(tslab_epoch_close(new_epoch(NULL, "nothing to tell")), 0);
	assert_string_equal(look()->closes[0].label, "close 99, of a hundred in all");
}

/* Three epochs: one below the bound, one above it, and one whose memory somebody else still has. */
static void rss_around_a_close(void **state)
{
	enum { OBJECTS = 6000, BYTES = 4096 };
	static void *objects[OBJECTS];
	const struct ts_close_view *event;

	(void)state;
	for (int scenario = 0; scenario < 3; scenario++) {
		tslab_heap *heap = new_heap("rss", 0, 0);
		tslab_epoch_t epoch = new_epoch(heap, "rss");
		int count = scenario ? OBJECTS : OBJECTS / 10;

		for (int i = 0; i < count; i++) {
			assert_non_null(objects[i] = tslab_alloc(epoch, BYTES));
			memset(objects[i], 1, BYTES);
		}
		for (int i = 0; i < count && scenario < 2; i++)
			tslab_free(objects[i]);
		for (int i = 0; i < count && scenario == 2; i++)
			if (i % 8)
				tslab_free(objects[i]);
		assert_int_equal(tslab_epoch_close(epoch), 0);
		event = &look()->closes[0];
		assert_true(event->epoch_id == epoch);
		if (scenario == 0) {
			assert_int_equal(event->rss_before, 0);
			assert_int_equal(event->rss_after, 0);
		} else if (scenario == 1) {
			/* Trims gave some back before the close; the rest goes with it. */
			assert_true(event->rss_before >= event->rss_after);
			assert_int_equal(event->left_bytes, 0);
		} else {
			assert_true(event->rss_before > 0 && event->rss_after > 0);
			assert_true(event->left_bytes > 0);
			for (int i = 0; i < count; i += 8)
				tslab_free(objects[i]);
		}
		assert_int_equal(tslab_heap_destroy(heap), 0);
	}
}

/* A daemon may have closed 0, 1 and 2: the probe's descriptor is 0 then, and closed again. */
static void probe_without_stdin(void *arg)
{
	tslab_epoch_t epoch = new_epoch(NULL, "probed");

	(void)arg;
	REQUIRE(tslab_alloc(epoch, 100));
	ts_a64_store_rlx(&ts_control()->rss_probe, TS_RSS_PROBE_ALWAYS);
	close(STDIN_FILENO);
	REQUIRE(!tslab_epoch_close(epoch));
	REQUIRE(look()->closes[0].rss_before > 0);
	REQUIRE(fcntl(STDIN_FILENO, F_GETFD) < 0 && errno == EBADF);
}

static void probe_closes_what_it_opened(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(probe_without_stdin, NULL)));
}

/* -- labels ------------------------------------------------------------------------------------------ */

/* Sixteen ids, the unlabeled one among them; further texts are kept on their epochs and get id 0. */
static void label_cardinality(void **state)
{
	uint64_t before = counters().labels_overflowed, blocks = ts_block_count();
	struct tslab_epoch_stats stats = { .struct_bytes = sizeof(stats) };
	unsigned ids = 0;

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		tslab_epoch_t epoch;
		char label[64];

		snprintf(label, sizeof(label), "label %u that is longer than thirty-one bytes", i);
		epoch = new_epoch(NULL, label);
		if (i < 40) {
			assert_int_equal(tslab_stats_epoch(epoch, &stats), 0);
			assert_memory_equal(stats.label, label, TSLAB_LABEL_MAX);
			assert_true(stats.label_id < 16);
			ids += stats.label_id != 0;
			assert_true(stats.label_id != 0 || counters().labels_overflowed > before);
		}
		assert_int_equal(tslab_epoch_discard(epoch), 0);
	}
	assert_true(ids < 16);
	assert_int_equal(look()->label_count, 16);
	assert_string_equal(look()->labels[0], "unlabeled");
	assert_int_equal(counters().labels_overflowed - before, 1000000 - ids);
	assert_int_equal(ts_block_count(), blocks);
}

/* -- derived figures --------------------------------------------------------------------------------- */

static struct ts_value field_of(enum ts_field_group group, const char *name,
				const struct ts_subject *subject)
{
	for (size_t i = 0; i < ts_field_count; i++)
		if (ts_fields[i].group == group && !strcmp(ts_fields[i].name, name))
			return ts_fields[i].value(subject);
	fail_msg("no field %s", name);
	return (struct ts_value){ .type = TS_VALUE_U64 };
}

static double value_of(enum ts_field_group group, const char *name, const struct ts_subject *subject)
{
	struct ts_value value = field_of(group, name, subject);

	return value.type == TS_VALUE_F64 ? value.f64 : (double)value.u64;
}

static const char *text_of(enum ts_field_group group, const char *name,
			   const struct ts_subject *subject)
{
	return field_of(group, name, subject).text;
}

#define assert_near(a, b) assert_true((a) - (b) < 0.00005 && (b) - (a) < 0.00005)

/* The examples of the documentation that the fields come from. */
static void documented_examples(void **state)
{
	static struct ts_snapshot s;
	struct ts_class_sum sum = { .allocs = 100000, .frees = 98000 };
	struct ts_class_counts counts = { .lock_fast = 250000,
					  .lock_contended = 50000,
					  .pushes_retried = 20,
					  .units_recycled = 50,
					  .close_passes = 100,
					  .close_scanned_units = 10000,
					  .close_recycled_units = 50 };
	struct ts_class_view cls = {
		.units_per_slab = 1, .objects_per_slab = 64, .units = 10, .sum = &sum, .counts = &counts
	};
	struct ts_close_view close = { .rss_before = 3000, .rss_after = 1000, .purge_bytes = 2000 };
	struct ts_epoch_view epoch = { .last_close = &close };
	struct ts_subject subject = { .snapshot = &s, .cls = &cls, .epoch = &epoch };

	(void)state;
	assert_near(value_of(TS_GROUP_CLASS, "lock_contention_rate", &subject), 0.16667);
	assert_near(value_of(TS_GROUP_CLASS, "avg_free_cas_retries_per_attempt", &subject), 0.0002);
	assert_near(value_of(TS_GROUP_CLASS, "recycle_rate_pct", &subject), 100);
	assert_near(value_of(TS_GROUP_CLASS, "epoch_close_recycled_slabs", &subject) /
			    value_of(TS_GROUP_CLASS, "epoch_close_scanned_slabs", &subject),
		    0.005);
	assert_near(value_of(TS_GROUP_CLASS, "epoch_close_scanned_slabs", &subject) /
			    value_of(TS_GROUP_CLASS, "epoch_close_calls", &subject),
		    100);
	assert_near(value_of(TS_GROUP_EPOCH, "cooperation_pct", &subject), 100);
	close.rss_after = 3000;
	assert_near(value_of(TS_GROUP_EPOCH, "cooperation_pct", &subject), 0);
	close.purge_bytes = 0;
	assert_true(value_of(TS_GROUP_EPOCH, "cooperation_pct", &subject) !=
		    value_of(TS_GROUP_EPOCH, "cooperation_pct", &subject)); /* not a number */
	counts.lock_fast = counts.lock_contended = sum.frees = counts.units_recycled = 0;
	assert_near(value_of(TS_GROUP_CLASS, "lock_contention_rate", &subject), 0);
	assert_near(value_of(TS_GROUP_CLASS, "avg_free_cas_retries_per_attempt", &subject), 0);
	assert_near(value_of(TS_GROUP_CLASS, "recycle_rate_pct", &subject), 0);
}

/* The bands of the sampler: clean below 1.5, noise to 2, interference above. */
static void documented_bands(void **state)
{
	static struct ts_snapshot s;
	static const struct {
		uint64_t wall, cpu;
		const char *text;
	} cases[] = { { 4382, 1536, "scheduler interference" }, { 149, 100, "clean measurement" },
		      { 150, 100, "moderate noise" },           { 200, 100, "moderate noise" },
		      { 201, 100, "scheduler interference" },   { 90, 100, "clean measurement" } };
	struct ts_subject subject = { .snapshot = &s };

	(void)state;
	assert_string_equal(text_of(TS_GROUP_SAMPLING, "interpretation", &subject), "no samples");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s.thread_sum.alloc_samples = 1;
		s.thread_sum.alloc_wall_ns_sum = cases[i].wall;
		s.thread_sum.alloc_cpu_ns_sum = cases[i].cpu;
		assert_string_equal(text_of(TS_GROUP_SAMPLING, "interpretation", &subject),
				    cases[i].text);
	}
}

/*
 * What stays 0, and why nothing raises it:
 *   *_alloc_cas_retries      an allocation takes a slot with plain stores of the lane's holder
 *   current_partial_cas_*    the slab that is carved is a field of the lane; there is no shared pointer
 *   scan_*                   free slots are found on a stack, never by a scan
 *   repair_*                 a slot is pushed only after its bit said that it was live, so no stack holds a
 *                            slot twice and no list needs a repair
 *   cache_overflow_len       what is not retained is returned in the same call
 *   list_header_resets       no list runs through freed memory
 */
static void what_stays_zero(void **state)
{
	static const char *const names[] = {
		"bitmap_alloc_cas_retries",
		"current_partial_cas_failures",
		"current_partial_cas_attempts",
		"avg_alloc_cas_retries_per_attempt",
		"current_partial_cas_failure_rate",
		"scan_mode",
		"scan_adapt_checks",
		"scan_adapt_switches",
		"cache_overflow_len",
	};
	struct ts_subject subject = { .snapshot = look() };

	(void)state;
	for (unsigned c = 0; c < CLASS_COUNT; c++) {
		subject.cls = &subject.snapshot->classes[c];
		for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			assert_near(value_of(TS_GROUP_CLASS, names[i], &subject), 0);
	}
	assert_near(value_of(TS_GROUP_SAMPLING, "repair_count", &subject), 0);
	assert_near(value_of(TS_GROUP_BACKEND, "list_header_resets", &subject), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_paths_by_cause),
		cmocka_unit_test(slow_paths_of_a_warm_lane),
		cmocka_unit_test(steady_state),
		cmocka_unit_test(locks_are_rare),
		cmocka_unit_test(refused_by_a_closed_epoch),
		cmocka_unit_test(close_telemetry),
		cmocka_unit_test(returns_by_class),
		cmocka_unit_test(returns_of_large_objects),
		cmocka_unit_test(returns_of_grown_objects),
		cmocka_unit_test(kept_by_the_thread),
		cmocka_unit_test(madvise_failures_by_class),
		cmocka_unit_test(lock_probe),
		cmocka_unit_test(retried_pushes),
		cmocka_unit_test(contention_by_label),
		cmocka_unit_test(failures_by_reason),
		cmocka_unit_test(the_last_256_failures_are_kept),
		cmocka_unit_test(the_last_64_closes_are_kept),
		cmocka_unit_test(rss_around_a_close),
		cmocka_unit_test(probe_closes_what_it_opened),
		cmocka_unit_test(label_cardinality),
		cmocka_unit_test(documented_examples),
		cmocka_unit_test(documented_bands),
		cmocka_unit_test(what_stays_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
