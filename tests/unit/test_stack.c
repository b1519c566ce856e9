/* SPDX-License-Identifier: MIT */
/*
 * The stack of free slots: narrow at first, wide when more was free at once, in any size and order the newest slot
 * first; without memory for a wider one nothing is lost.
 */
#include "support.h"

#include "core/check.h"
#include "core/stack.h"
#include "core/sys_sim.h"
#include "core/thread.h"

enum { MOST = 700, NARROW = 30, WIDE = 126 };

static const size_t sizes[] = { 16, 128, 520, 2048, 2304, 6000, 20000, 32768 };
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* Beside each object one that stays: no chunk becomes empty, so nothing is given back. */
static void *objects[MOST], *kept[MOST];

static void check_lane(void)
{
	const char *why = NULL;

	assert_true(ts_check_lane(ts_tls.lane, &why));
	assert_null(why);
}

static void allocate(size_t bytes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_non_null(objects[i] = tslab_malloc(bytes));
		assert_non_null(kept[i] = tslab_malloc(bytes));
	}
}

static void free_all(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		tslab_free(objects[i]);
}

/* What a block of the class holds: at most 64 KiB, and four slots at least. */
static unsigned most_slots(size_t bytes, unsigned most)
{
	unsigned slots = (64 << 10) / ts_sizeclasses[ts_sizeclass_find(bytes)].bytes;

	slots = slots < 4 ? 4 : slots;
	return slots < most ? slots : most;
}

static bool wide(size_t bytes)
{
	return ts_tls.lane->wide >> ts_sizeclass_find(bytes) & 1;
}

static void newest_first_across_blocks(void **state)
{
	static const unsigned counts[] = { 1, NARROW - 1, NARROW, NARROW + 1, WIDE, WIDE + 1, MOST };

	(void)state;
	for (unsigned s = 0; s < SIZES; s++)
		for (unsigned n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
			/* It keeps nothing: no empty chunk of the sizes before is in the lane. */
			tslab_heap *heap = new_heap("newest", 0, 0);
			tslab_epoch_t epoch = begin(heap, "newest");
			unsigned count = counts[n] * sizes[s] > (1 << 20) ? (1 << 20) / sizes[s] :
									    counts[n];

			allocate(sizes[s], count);
			free_all(count);
			check_lane();
			for (unsigned i = count; i-- > 0;)
				assert_ptr_equal(tslab_malloc(sizes[s]), objects[i]);
			check_lane();
			assert_int_equal(tslab_scope_discard(epoch), 0);
			assert_int_equal(tslab_heap_destroy(heap), 0);
		}
}

/* Of slots so large that 64 KiB have hardly more of them than a narrow block it stays narrow. */
static void widens_when_the_first_is_full(void **state)
{
	(void)state;
	for (unsigned s = 0; s < SIZES; s++) {
		/* A heap that keeps nothing: a lane that was never used, or is as one. */
		tslab_heap *heap = new_heap("widens", 0, 0);
		tslab_epoch_t epoch = begin(heap, "widens");
		unsigned narrow = most_slots(sizes[s], NARROW);
		bool widens = 2 * most_slots(sizes[s], WIDE) >= 3 * narrow;

		allocate(sizes[s], narrow + 2);
		free_all(narrow);
		assert_false(wide(sizes[s]));
		assert_int_equal(ts_stack_capacity(ts_tls.lane, ts_sizeclass_find(sizes[s])), narrow);
		tslab_free(objects[narrow]);
		assert_int_equal(wide(sizes[s]), widens);
		assert_int_equal(ts_stack_capacity(ts_tls.lane, ts_sizeclass_find(sizes[s])),
				 widens ? most_slots(sizes[s], WIDE) : narrow);
		check_lane();
		for (unsigned i = narrow + 1; i-- > 0;)
			assert_ptr_equal(tslab_malloc(sizes[s]), objects[i]);
		assert_int_equal(tslab_scope_discard(epoch), 0);
		/* The lane gave all back: it begins anew. */
		epoch = begin(heap, "widens");
		assert_false(wide(sizes[s]));
		assert_int_equal(tslab_scope_close(epoch), 0);
		assert_int_equal(tslab_heap_destroy(heap), 0);
	}
}

/* All its slots are free and go back: the next epoch that uses the class begins anew, too. */
static void narrow_again_once_all_went(void **state)
{
	tslab_heap *heap = new_heap("went", 0, 0);
	tslab_epoch_t epoch = begin(heap, "went");

	(void)state;
	allocate(128, WIDE);
	free_all(WIDE);
	assert_true(wide(128));
	for (unsigned i = 0; i < WIDE; i++)
		tslab_free(kept[i]);
	ts_thread_trim();
	assert_int_equal(ts_tls.lane->chunk_count, 0);
	assert_false(wide(128));
	check_lane();
	assert_int_equal(tslab_scope_close(epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* All classes at once, what is free goes up and down: the walker finds every slot where its bit says. */
static void any_order_leaves_nothing_behind(void **state)
{
	static void *slots[4096];
	tslab_epoch_t epoch = begin(NULL, "any order");
	uint64_t random = 1;

	(void)state;
	for (unsigned step = 0; step < 200000; step++) {
		unsigned at = (unsigned)rnd_below(&random, 4096);
		/* Phases in which more is freed, and more allocated. */
		bool fill = rnd_below(&random, 8) < (step / 20000 % 2 ? 2u : 6u);

		if (slots[at] && !fill) {
			tslab_free(slots[at]);
			slots[at] = NULL;
		} else if (!slots[at] && fill) {
			assert_non_null(slots[at] = tslab_malloc(sizes[rnd_below(&random, 4)]));
		}
		if (step % 5000 == 0)
			check_lane();
	}
	for (unsigned i = 0; i < 4096; i++)
		tslab_free(slots[i]);
	check_lane();
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_scope_close(epoch), 0);
}

/* No block is left, of either kind. */
static void use_up_blocks(void)
{
	enum { TINY = 300000 };
	static void *tiny[TINY];

	for (unsigned i = 0; i < TINY; i++)
		REQUIRE(tiny[i] = tslab_malloc(16));
	REQUIRE(ts_sim_plan("commit:1+:ENOMEM,reserve:1+:ENOMEM") == 0);
	/* Some stay, so that no chunk becomes empty. */
	for (unsigned i = 0; i < TINY; i++)
		if (i % 16)
			tslab_free(tiny[i]);
	REQUIRE(ts_sim_fired());
}

static void cannot_widen(void *unused)
{
	enum { COUNT = NARROW + 20 };
	tslab_epoch_t epoch = 0;
	struct tslab_process_stats before;

	(void)unused;
	REQUIRE(tslab_epoch_open(NULL, "narrow", &epoch) == 0);
	REQUIRE(tslab_domain_enter(epoch) == 0);
	for (unsigned i = 0; i < COUNT; i++)
		REQUIRE(objects[i] = tslab_malloc(128));
	for (unsigned i = 0; i < 10; i++)
		tslab_free(objects[i]);
	REQUIRE(tslab_domain_exit(epoch) == 0);
	use_up_blocks();
	REQUIRE(tslab_domain_enter(epoch) == 0);
	for (unsigned i = 10; i < COUNT; i++)
		tslab_free(objects[i]);
	REQUIRE(!wide(128) && ts_tls.lane->unlisted);
	REQUIRE(live_objects(epoch) == 0);
	before = counters();
	for (unsigned i = 0; i < COUNT; i++)
		tslab_free(objects[i]);
	REQUIRE(counters().refused_double - before.refused_double == COUNT);
	/* The newest that the stack took; the others are found again when the lane is discarded. */
	for (unsigned i = NARROW; i-- > 0;)
		REQUIRE(tslab_malloc(128) == objects[i]);
	REQUIRE(ts_sim_plan(NULL) == 0);
	REQUIRE(tslab_domain_exit(epoch) == 0);
	REQUIRE(tslab_epoch_discard(epoch) == 0);
}

static void nothing_is_lost_without_memory(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(cannot_widen, NULL)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(newest_first_across_blocks),
		cmocka_unit_test(widens_when_the_first_is_full),
		cmocka_unit_test(narrow_again_once_all_went),
		cmocka_unit_test(any_order_leaves_nothing_behind),
		cmocka_unit_test(nothing_is_lost_without_memory),
	};

	return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
