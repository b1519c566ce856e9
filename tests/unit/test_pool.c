/* SPDX-License-Identifier: MIT */
/*
 * The pool of free chunks: what it keeps instead of returning it, and that it never hands out anything
 * twice. The heap retains almost nothing in threads, so that every large object freed in its default epoch goes
 * there.
 */
#include "support.h"

#include <time.h>

#include "core/chunk.h"
#include "core/retain.h"
#include "core/thread.h"

enum { MIB = 1 << 20, LARGE_MAX = 400 };

static tslab_epoch_t epoch;

static int keep_nothing(void **state)
{
	(void)state;
	ts_chunk_keep(0);
	ts_chunk_purge_pool();
	return (int)counters().pool_bytes;
}

static int start(void **state)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	(void)state;
	options.retain_bytes = 1;
	epoch = tslab_epoch_default(tslab_heap_create(&options));
	return keep_nothing(state);
}

static void *large(size_t bytes)
{
	void *p = tslab_alloc(epoch, bytes);

	assert_non_null(p);
	return p;
}

static void free_all(void **objects, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		tslab_free(objects[i]);
}

static void nothing_is_kept_when_told_so(void **state)
{
	struct tslab_process_stats before = counters(), after;

	(void)state;
	tslab_free(memset(large(4 * MIB), 1, 4 * MIB));
	after = counters();
	assert_int_equal(after.pool_bytes, 0);
	assert_int_equal(after.purge_bytes - before.purge_bytes, 4 * MIB);
}

/* Only of default epochs, and only for heaps that retain memory. */
static void other_epochs_keep_nothing(void **state)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	struct tslab_process_stats before = counters(), after;
	tslab_epoch_t other;
	void *p;

	(void)state;
	ts_chunk_keep(64 * MIB);
	assert_int_equal(tslab_epoch_open(NULL, "other", &other), 0);
	p = memset(tslab_alloc(other, 4 * MIB), 1, 4 * MIB);
	tslab_free(p);
	assert_int_equal(tslab_epoch_close(other), 0);
	options.retain_bytes = 0;
	p = memset(tslab_alloc(tslab_epoch_default(tslab_heap_create(&options)), 4 * MIB), 1,
		   4 * MIB);
	tslab_free(p);
	after = counters();
	assert_int_equal(after.pool_bytes, 0);
	assert_int_equal(after.purge_bytes - before.purge_bytes, 8 * MIB);
}

static void keeps_up_to_the_bound(void **state)
{
	struct tslab_process_stats before, after;
	void *objects[20];

	(void)state;
	ts_chunk_keep(8 * MIB);
	for (unsigned i = 0; i < 20; i++)
		objects[i] = memset(large(MIB), 1, MIB);
	before = counters();
	free_all(objects, 20);
	after = counters();
	assert_int_equal(after.pool_bytes, 8 * MIB);
	assert_int_equal(after.retained_bytes - before.retained_bytes, 8 * MIB);
	assert_int_equal(after.purge_bytes - before.purge_bytes, 12 * MIB);
}

/*
 * A pool full of single chunks makes room for what is freed now: that goes to the OS a few times, and is then at
 * hand, where it would go each time if the single chunks stayed.
 */
static void what_is_freed_last_is_kept(void **state)
{
	enum { SINGLES = 256, ROUNDS = 50 };
	static void *single[SINGLES];
	struct tslab_process_stats before, after;

	(void)state;
	ts_chunk_keep(8 * MIB);
	for (unsigned i = 0; i < SINGLES; i++)
		single[i] = large(TS_CHUNK_BYTES);
	for (unsigned i = 0; i < SINGLES; i += 2)
		tslab_free(single[i]);
	before = counters();
	assert_int_equal(before.pool_bytes, 8 * MIB);
	for (unsigned round = 0; round < ROUNDS; round++)
		tslab_free(memset(large(MIB), 1, MIB));
	after = counters();
	assert_in_range(after.purge_calls - before.purge_calls, 16, 20);
	assert_in_range(after.purge_bytes - before.purge_bytes, MIB, 2 * MIB);
	assert_in_range(after.pool_bytes, 7 * MIB, 8 * MIB);
	for (unsigned i = 1; i < SINGLES; i += 2)
		tslab_free(single[i]);
}

/* What is larger than all that may be kept drives nothing out. */
static void too_large_to_keep(void **state)
{
	struct tslab_process_stats before, after;
	void *kept = memset(large(2 * MIB), 1, 2 * MIB);
	void *behind = large(TS_CHUNK_BYTES);

	(void)state;
	ts_chunk_keep(2 * MIB);
	tslab_free(kept);
	before = counters();
	tslab_free(memset(large(3 * MIB), 1, 3 * MIB));
	after = counters();
	assert_int_equal(after.pool_bytes, 2 * MIB);
	tslab_free(behind);
	assert_int_equal(after.purge_calls - before.purge_calls, 1);
	assert_int_equal(after.purge_bytes - before.purge_bytes, 3 * MIB);
}

/* The bound falls with the memory in use: one free does not pay for all that is too much. */
static void a_free_gives_back_little(void **state)
{
	struct tslab_process_stats before, after;
	void *held, *kept, *one;

	(void)state;
	ts_chunk_keep(MIB);
	held = large(160 * MIB);
	kept = memset(large(16 * MIB), 1, 16 * MIB);
	one = large(TS_CHUNK_BYTES);
	tslab_free(kept);
	assert_true(counters().pool_bytes >= 16 * MIB);
	ts_chunk_keep(0);
	tslab_free(held);
	ts_chunk_keep(MIB);
	before = counters();
	tslab_free(memset(one, 1, TS_CHUNK_BYTES));
	after = counters();
	assert_in_range(after.purge_calls - before.purge_calls, 2, 10);
	assert_in_range(after.purge_bytes - before.purge_bytes, 2 * TS_CHUNK_BYTES, 2 * MIB);
}

static void keeps_an_eighth_of_what_is_in_use(void **state)
{
	struct tslab_process_stats before, after;
	void *held = large(80 * MIB);
	void *objects[16];

	(void)state;
	ts_chunk_keep(MIB);
	for (unsigned i = 0; i < 16; i++)
		objects[i] = large(MIB);
	before = counters();
	free_all(objects, 16);
	after = counters();
	/* in use: these 80 MiB, and what little the other tests left */
	assert_in_range(after.pool_bytes - before.pool_bytes, 10 * MIB, 12 * MIB);
	tslab_free(held);
}

static void what_is_kept_serves_first(void **state)
{
	struct tslab_process_stats before, after;
	void *clean, *kept, *again;

	(void)state;
	ts_chunk_keep(0);
	clean = large(2 * MIB);
	kept = memset(large(2 * MIB), 1, 2 * MIB);
	tslab_free(clean);
	ts_chunk_keep(8 * MIB);
	tslab_free(kept);
	before = counters();
	again = large(2 * MIB);
	after = counters();
	assert_int_equal(ts_range_offset(again), ts_range_offset(kept)); /* a tag may differ */
	assert_int_equal(before.pool_bytes - after.pool_bytes, 2 * MIB);
	assert_int_equal(after.chunks_fresh, before.chunks_fresh);
	tslab_free(again);
}

static void kept_memory_is_zeroed_for_calloc(void **state)
{
	static const char zeroes[MIB];
	char *p;

	(void)state;
	ts_chunk_keep(8 * MIB);
	tslab_domain_enter(epoch);
	for (unsigned i = 0; i < 4; i++) {
		p = tslab_calloc(1, MIB);
		assert_non_null(p);
		assert_memory_equal(p, zeroes, MIB);
		tslab_free(memset(p, 0xff, MIB));
	}
	tslab_domain_exit(epoch);
}

static void *use_and_end(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < 2; i++)
		tslab_free(memset(tslab_malloc(MIB / 2), 1, MIB / 2));
	return NULL;
}

/* What a thread had in its cache serves the next one. */
static void ends_of_threads_purge_nothing(void **state)
{
	struct tslab_process_stats before, after;

	(void)state;
	ts_chunk_keep(8 * MIB);
	on_thread(use_and_end, NULL);
	before = counters();
	assert_true(before.pool_bytes >= MIB / 2);
	for (unsigned i = 0; i < 10; i++)
		on_thread(use_and_end, NULL);
	after = counters();
	assert_int_equal(after.purge_calls, before.purge_calls);
	assert_int_equal(after.pool_bytes, before.pool_bytes);
	assert_int_equal(after.chunks_fresh, before.chunks_fresh);
}

static void purging_returns_all(void **state)
{
	size_t before;

	(void)state;
	ts_chunk_keep(64 * MIB);
	tslab_free(memset(large(32 * MIB), 1, 32 * MIB));
	assert_int_equal(counters().pool_bytes, 32 * MIB);
	before = anon_rss_bytes();
	ts_chunk_purge_pool();
	assert_int_equal(counters().pool_bytes, 0);
	assert_true(before - anon_rss_bytes() >= 31 * MIB);
}

static void in_forked_child(void *unused)
{
	(void)unused;
	tslab_free(tslab_alloc(epoch, MIB)); /* recovers */
	REQUIRE(counters().pool_bytes == 4 * MIB);
	ts_chunk_purge_pool();
	REQUIRE(counters().pool_bytes == 0);
}

static void child_of_fork_knows_what_is_kept(void **state)
{
	(void)state;
	ts_chunk_keep(64 * MIB);
	tslab_free(memset(large(4 * MIB), 1, 4 * MIB));
	assert_true(exited_well(in_child(in_forked_child, NULL)));
	assert_int_equal(counters().pool_bytes, 4 * MIB);
}

/* Runs of 1 to 150 chunks, so that they begin and end anywhere in the words of the maps. */
static void nothing_is_handed_out_twice(void **state)
{
	static struct {
		void *p;
		size_t bytes;
	} live[LARGE_MAX];
	uint64_t random = 20261121;

	(void)state;
	ts_chunk_keep(40 * MIB);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = (unsigned)(rnd(&random) % LARGE_MAX);
		size_t bytes =
			(rnd(&random) % 8 ? 1 + rnd(&random) % 4 : 1 + rnd(&random) % 150) * 65536;

		if (live[i].p) {
			assert_true(holds(live[i].p, 64, i));
			assert_true(holds((char *)live[i].p + live[i].bytes - 64, 64, i));
			tslab_free(live[i].p);
			live[i].p = NULL;
			continue;
		}
		live[i].p = large(bytes);
		live[i].bytes = bytes;
		fill(live[i].p, 64, i);
		fill((char *)live[i].p + bytes - 64, 64, i);
	}
	for (unsigned i = 0; i < LARGE_MAX; i++)
		tslab_free(live[i].p);
	ts_chunk_purge_pool();
	assert_int_equal(counters().large_objects, 0);
}

/* The lowest free run, or 0; as simple as can be. */
static uint32_t first_fit(uint32_t chunks, uint32_t align)
{
	for (uint32_t start = align; start + chunks <= ts_chunk_end(); start += align) {
		uint32_t n = 0;

		while (n < chunks && ts_chunk_pooled(start + n))
			n++;
		if (n == chunks)
			return start;
	}
	return 0;
}

static void the_first_fit_is_found(void **state)
{
	enum { RUNS = 300, STEPS = 8000 };
	static struct {
		uint32_t start, chunks;
	} run[RUNS];
	struct ts_chunk_batch batch = { 0, 0, false };
	enum ts_failure why;
	uint64_t random = 20261122;
	unsigned fits = 0;

	(void)state;
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)(rnd(&random) % RUNS);
		uint32_t chunks = 1 + (uint32_t)(rnd(&random) % (rnd(&random) % 8 ? 6 : 200));
		uint32_t align = rnd(&random) % 4 ? 1 : 1u << rnd(&random) % 8;
		uint32_t expected;

		if (run[i].chunks) {
			ts_chunk_drop(run[i].start, run[i].chunks, &batch);
			ts_chunk_flush(&batch);
			run[i].chunks = 0;
			continue;
		}
		expected = first_fit(chunks, align);
		fits += expected != 0;
		if (!expected)
			expected = (ts_chunk_end() + align - 1) / align * align;
		run[i].chunks = chunks;
		run[i].start = ts_chunk_take(NULL, chunks, align, TS_CLASS_LARGE, &why);
		assert_int_equal(run[i].start, expected);
	}
	assert_true(fits > STEPS / 4);
	for (unsigned i = 0; i < RUNS; i++)
		if (run[i].chunks)
			ts_chunk_drop(run[i].start, run[i].chunks, &batch);
	ts_chunk_flush(&batch);
}

/* -- what is learned, without TSLAB_RETAIN -- */

enum { WIDE = 160 };

static uint64_t purged_by_turns(unsigned turns)
{
	static void *objects[WIDE];
	struct tslab_process_stats before = counters();

	for (unsigned turn = 0; turn < turns; turn++) {
		for (unsigned i = 0; i < WIDE; i++)
			objects[i] = large(MIB);
		free_all(objects, WIDE);
	}
	return counters().purge_bytes - before.purge_bytes;
}

static void wait_ms(unsigned ms)
{
	struct timespec time = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&time, NULL);
}

/* Filled and emptied in turn: what went and came back stays the next time, and goes when it is not wanted. */
static void wanted_back_is_kept(void **state)
{
	(void)state;
	ts_retain_start();
	assert_true(purged_by_turns(1) >= (uint64_t)(WIDE - 64 - 1) * MIB);
	(void)purged_by_turns(1);
	assert_int_equal(purged_by_turns(4), 0);
	assert_in_range(counters().pool_bytes, WIDE * MIB, (WIDE + 1) * MIB);
	/* Two windows in which it is of no use, then it goes with what is freed. */
	for (unsigned i = 0; i < 30; i++) {
		tslab_free(large(MIB));
		wait_ms(100);
	}
	for (unsigned i = 0; i < WIDE; i++)
		tslab_free(large(MIB));
	assert_true(counters().pool_bytes <= 64 * MIB);
}

/* Taken again after a while is not taken back at once. */
static void wanted_late_is_not_kept(void **state)
{
	(void)state;
	ts_retain_start();
	for (unsigned i = 0; i < 3; i++) {
		(void)purged_by_turns(1);
		assert_true(counters().pool_bytes <= 64 * MIB);
		wait_ms(2200);
	}
}

static void forgotten_when_told(void **state)
{
	(void)state;
	ts_retain_start();
	(void)purged_by_turns(4);
	assert_in_range(counters().pool_bytes, WIDE * MIB, (WIDE + 1) * MIB);
	ts_chunk_purge_pool();
	assert_int_equal(counters().pool_bytes, 0);
	assert_true(purged_by_turns(1) > 0);
}

static void an_exact_bound_is_kept(void **state)
{
	(void)state;
	ts_chunk_keep(64 * MIB);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(purged_by_turns(1) >= (uint64_t)(WIDE - 64 - 1) * MIB);
		assert_true(counters().pool_bytes <= 64 * MIB);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(nothing_is_kept_when_told_so, keep_nothing),
		cmocka_unit_test_teardown(other_epochs_keep_nothing, keep_nothing),
		cmocka_unit_test_teardown(keeps_up_to_the_bound, keep_nothing),
		cmocka_unit_test_teardown(what_is_freed_last_is_kept, keep_nothing),
		cmocka_unit_test_teardown(too_large_to_keep, keep_nothing),
		cmocka_unit_test_teardown(a_free_gives_back_little, keep_nothing),
		cmocka_unit_test_teardown(keeps_an_eighth_of_what_is_in_use, keep_nothing),
		cmocka_unit_test_teardown(what_is_kept_serves_first, keep_nothing),
		cmocka_unit_test_teardown(kept_memory_is_zeroed_for_calloc, keep_nothing),
		cmocka_unit_test_teardown(ends_of_threads_purge_nothing, keep_nothing),
		cmocka_unit_test_teardown(purging_returns_all, keep_nothing),
		cmocka_unit_test_teardown(child_of_fork_knows_what_is_kept, keep_nothing),
		cmocka_unit_test_teardown(nothing_is_handed_out_twice, keep_nothing),
		cmocka_unit_test_teardown(the_first_fit_is_found, keep_nothing),
		cmocka_unit_test_teardown(wanted_back_is_kept, keep_nothing),
		cmocka_unit_test_teardown(wanted_late_is_not_kept, keep_nothing),
		cmocka_unit_test_teardown(forgotten_when_told, keep_nothing),
		cmocka_unit_test_teardown(an_exact_bound_is_kept, keep_nothing),
	};

	return cmocka_run_group_tests_name("pool", tests, start, NULL);
}
