/* SPDX-License-Identifier: MIT */
/*
 * Memory that is filled and emptied in turn, in an epoch that never ends: after a few turns it stays where it is, and
 * goes when it is of no use.
 */
#include "support.h"

#include <pthread.h>

#include "core/thread.h"

enum { MOST = 4096, TURNS = 8, MIB = 1 << 20 };

/* Half of what the pool may hold by default. */
#define SLACK_MOST_BYTES ((uint64_t)32 * MIB)

/* `bytes` of objects of this size, then none. */
static void turn(size_t bytes, size_t size)
{
	void *objects[MOST];
	size_t count = bytes / size;

	if (count > MOST)
		abort();
	for (size_t i = 0; i < count; i++)
		if (!(objects[i] = tslab_malloc(size)))
			abort();
	for (size_t i = 0; i < count; i++)
		tslab_free(objects[i]);
}

/* Chunks that the last of some turns took and gave back. */
static uint64_t moved_by_last_turn(size_t bytes, size_t size)
{
	struct tslab_process_stats before, after;

	for (unsigned i = 1; i < TURNS; i++)
		turn(bytes, size);
	before = counters();
	turn(bytes, size);
	after = counters();
	return after.slow_path_misses - before.slow_path_misses + after.chunks_returned -
	       before.chunks_returned;
}

static void turns_keep_their_memory(void **state)
{
	static const size_t sizes[] = { 1024, 5000, 32000 };

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(moved_by_last_turn(4 * MIB, sizes[i]), 0);
}

/*
 * Of small objects little stays, however much goes to and fro: their slots come back in order then. 16384 of 16 bytes
 * are four chunks; the last chunk of the lane stays, and what is freed before the next look.
 */
static void little_of_small_objects(void **state)
{
	enum { SMALL = 200000 };
	static void *small[SMALL];
	uint64_t before = in_default_epoch();

	(void)state;
	for (unsigned i = 0; i < TURNS; i++) {
		for (unsigned n = 0; n < SMALL; n++)
			assert_non_null(small[n] = tslab_malloc(16));
		for (unsigned n = 0; n < SMALL; n++)
			tslab_free(small[n]);
	}
	tslab_free(tslab_malloc(16));
	assert_in_range(ts_tls.self->default_lane->slack_chunks, 1, 4);
	assert_true(in_default_epoch() <= before + SMALL * 16 / 2 + 5 * 65536);
}

/* Of another class: what is kept goes to the pool, from where it serves that one. */
static void other_sizes_get_it(void **state)
{
	uint64_t before;

	(void)state;
	assert_int_equal(moved_by_last_turn(12 * MIB, 8000), 0);
	before = in_default_epoch();
	assert_true(before >= 12 * MIB);
	assert_int_equal(moved_by_last_turn(12 * MIB, 12000), 0);
	/* A quarter before it is seen that the rest is of no use, or half of it where some was counted off. */
	assert_true(in_default_epoch() <= before + before / 2 + MIB);
}

/* However long the turns went on before. */
static void other_sizes_get_it_late(void **state)
{
	uint64_t before;

	(void)state;
	for (unsigned i = 0; i < 25; i++)
		(void)moved_by_last_turn(8 * MIB, 8000);
	before = in_default_epoch();
	turn(8 * MIB, 12000);
	turn(8 * MIB, 12000);
	assert_true(in_default_epoch() <= before + before / 2 + MIB);
}

static void unused_slack_goes(void **state)
{
	(void)state;
	assert_int_equal(moved_by_last_turn(4 * MIB, 32000), 0);
	assert_true(in_default_epoch() >= 4 * MIB);
	/* Two reviews, and room for more slack than the first line asks for. */
	for (unsigned i = 0; i < 3 * 256 * 16; i++)
		turn(MIB, 32000);
	assert_true(in_default_epoch() <= 3 * MIB);
	assert_int_equal(moved_by_last_turn(MIB, 32000), 0);
}

static void a_trim_takes_it(void **state)
{
	(void)state;
	assert_int_equal(moved_by_last_turn(8 * MIB, 8000), 0);
	ts_thread_trim(); /* what malloc_trim does */
	assert_true(in_default_epoch() <= MIB);
	assert_int_equal(moved_by_last_turn(8 * MIB, 8000), 0);
}

static void nothing_where_memory_is_dear(void **state)
{
	static const struct {
		uint64_t limit_bytes, retain_bytes;
	} heaps[] = { { 0, 0 }, { 1 << 30, 1 << 20 } };

	(void)state;
	for (unsigned h = 0; h < sizeof(heaps) / sizeof(heaps[0]); h++) {
		tslab_heap *heap = new_heap("dear", heaps[h].limit_bytes, heaps[h].retain_bytes);
		tslab_epoch_t epoch = tslab_epoch_default(heap);

		assert_int_equal(tslab_domain_enter(epoch), 0);
		assert_true(moved_by_last_turn(4 * MIB, 4096) > 0);
		assert_true(committed_bytes(epoch) <= MIB);
		assert_int_equal(tslab_domain_exit(epoch), 0);
		assert_int_equal(tslab_heap_destroy(heap), 0);
	}
}

/* A limit that comes later: what is kept is not in the way of other sizes. */
static void limited_afterwards(void **state)
{
	tslab_heap *heap = new_heap("later", 0, TSLAB_RETAIN_DEFAULT_BYTES);
	tslab_epoch_t epoch = tslab_epoch_default(heap);
	void *objects[6 * MIB / 16000];

	(void)state;
	assert_int_equal(tslab_domain_enter(epoch), 0);
	assert_int_equal(moved_by_last_turn(6 * MIB, 8000), 0);
	assert_true(committed_bytes(epoch) >= 6 * MIB);
	assert_int_equal(tslab_epoch_set_limit(epoch, 7 * MIB), 0);
	for (unsigned i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
		assert_non_null(objects[i] = tslab_malloc(16000));
	for (unsigned i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
		tslab_free(objects[i]);
	/* Nor of a large object. */
	assert_int_equal(tslab_epoch_set_limit(epoch, 0), 0);
	assert_int_equal(moved_by_last_turn(6 * MIB, 8000), 0);
	assert_int_equal(tslab_epoch_set_limit(epoch, 7 * MIB), 0);
	assert_non_null(objects[0] = tslab_malloc(5 * MIB));
	tslab_free(objects[0]);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static void *learn(void *moved)
{
	*(uint64_t *)moved = moved_by_last_turn(12 * MIB, 8000);
	return NULL;
}

/* What it might keep is for other threads when it has ended; more of them than all could have at once. */
static void ends_with_its_thread(void **state)
{
	uint64_t moved;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		moved = 1;
		on_thread(learn, &moved);
		assert_int_equal(moved, 0);
	}
}

struct together {
	pthread_barrier_t *barrier;
	size_t bytes;
};

static void *turn_together(void *arg)
{
	const struct together *together = arg;

	(void)moved_by_last_turn(together->bytes, 16000);
	pthread_barrier_wait(together->barrier);
	pthread_barrier_wait(together->barrier);
	return NULL;
}

/* All lanes together keep no more than they may. */
static void kept_by_all_is_bounded(void **state)
{
	enum { THREADS = 4 };
	pthread_barrier_t barrier;
	struct together together = { &barrier, 24 * MIB };
	pthread_t threads[THREADS];
	uint64_t before = in_default_epoch();
	uint64_t kept;

	(void)state;
	assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS + 1), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, turn_together, &together), 0);
	pthread_barrier_wait(&barrier);
	kept = in_default_epoch() - before;
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	pthread_barrier_destroy(&barrier);
	/* One at least has what it wants; and up to 8 MiB each that nobody has looked for. */
	assert_true(kept >= 24 * MIB);
	assert_true(kept <= SLACK_MOST_BYTES + THREADS * (uint64_t)9 * MIB);
}

static void learn_in_child(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 3; i++) {
		uint64_t moved = 1;

		on_thread(learn, &moved);
		REQUIRE(moved == 0);
	}
	REQUIRE(moved_by_last_turn(20 * MIB, 8000) == 0);
}

/* In the child of a fork nothing is lent. */
static void child_learns_anew(void **state)
{
	(void)state;
	assert_int_equal(moved_by_last_turn(20 * MIB, 8000), 0);
	assert_true(exited_well(in_child(learn_in_child, NULL)));
	assert_int_equal(moved_by_last_turn(20 * MIB, 8000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(turns_keep_their_memory),
		cmocka_unit_test(little_of_small_objects),
		cmocka_unit_test(other_sizes_get_it),
		cmocka_unit_test(other_sizes_get_it_late),
		cmocka_unit_test(unused_slack_goes),
		cmocka_unit_test(a_trim_takes_it),
		cmocka_unit_test(nothing_where_memory_is_dear),
		cmocka_unit_test(limited_afterwards),
		cmocka_unit_test(ends_with_its_thread),
		cmocka_unit_test(kept_by_all_is_bounded),
		cmocka_unit_test(child_learns_anew),
	};

	return cmocka_run_group_tests_name("slack", tests, NULL, NULL);
}
