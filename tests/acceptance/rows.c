/* SPDX-License-Identifier: MIT */
/* Acceptance rows that a program shows best about itself. Each test is named after its row. */
#include "../unit/support.h"

#include <tslab/compat.h>

#include <pthread.h>
#include <unistd.h>

/* Causality: a slow path for want of memory and an allocation in a closed epoch are told apart. */
static void row_3(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("causes", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "causes"), closed = new_epoch(heap, "closed");
	void *kept = tslab_alloc(closed, 64);

	struct tslab_process_stats before = counters();
	for (unsigned i = 0; i < 1000; i++)
		assert_non_null(tslab_alloc(epoch, 1024));
	struct tslab_process_stats after = counters();
	/* A megabyte is sixteen chunks of 64 KiB. */
	assert_in_range(after.slow_path_misses - before.slow_path_misses, 15, 18);
	assert_true(after.slow_path_hits - before.slow_path_hits >=
		    after.slow_path_misses - before.slow_path_misses);
	assert_int_equal(after.fail_closing, before.fail_closing);

	assert_int_equal(tslab_epoch_close(closed), 0);
	before = counters();
	for (unsigned i = 0; i < 7; i++)
		assert_null_errno(tslab_alloc(closed, 64), ESTALE);
	after = counters();
	assert_int_equal(after.fail_closing - before.fail_closing, 7);
	assert_int_equal(after.slow_path_misses, before.slow_path_misses);
	tslab_free(kept);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static int by_value(const void *a, const void *b)
{
	tslab_epoch_t x = *(const tslab_epoch_t *)a, y = *(const tslab_epoch_t *)b;

	return (x > y) - (x < y);
}

/*
 * 1000 wraps of the ring. An epoch's id holds slot and era, and the era rises with each use of the slot:
 * no id comes back, also where old epochs live on and the entry has to move to another slot. Where they
 * do not, the era of an entry strictly rises.
 */
static void row_68(void **state)
{
	enum { ADVANCES = 1000 * TSLAB_RING_EPOCHS, KEPT = 100 };
	static tslab_epoch_t ids[ADVANCES];
	SlabAllocator *a = slab_allocator_create();
	uint64_t eras[TSLAB_RING_EPOCHS] = { 0 };
	void *kept[KEPT] = { NULL };
	SlabEpochStats s;

	(void)state;
	for (unsigned i = 0; i < ADVANCES; i++) {
		EpochId e = epoch_current(a);

		slab_stats_epoch(a, 0, e, &s);
		assert_int_equal(e, i % EPOCH_COUNT);
		ids[i] = tslab_epoch_ring(a->heap, e);
		assert_true(s.epoch_era > 0);
		/* For the second half, every epoch lives on until a hundred later. */
		if (i < ADVANCES / 2)
			assert_true(s.epoch_era > eras[e]);
		else
			slab_free(a, kept[i % KEPT]);
		if (i >= ADVANCES / 2)
			kept[i % KEPT] = slab_malloc_epoch(a, 64, e);
		eras[e] = s.epoch_era;
		epoch_advance(a);
	}
	qsort(ids, ADVANCES, sizeof(ids[0]), by_value);
	for (unsigned i = 1; i < ADVANCES; i++)
		assert_int_not_equal(ids[i], ids[i - 1]);
	slab_allocator_free(a);
}

/* Labels and reference counts; an underflow saturates and is counted. */
static void row_94(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	EpochId e = epoch_current(a);
	SlabEpochStats s;

	(void)state;
	slab_epoch_set_label(a, e, "background-worker-3");
	slab_epoch_inc_refcount(a, e);
	slab_epoch_inc_refcount(a, e);
	slab_stats_epoch(a, 0, e, &s);
	assert_string_equal(s.label, "background-worker-3");
	assert_int_equal(s.refcount, 2);
	slab_epoch_dec_refcount(a, e);
	slab_epoch_dec_refcount(a, e);
	assert_int_equal(slab_epoch_get_refcount(a, e), 0);
	assert_counted(references_saturated, slab_epoch_dec_refcount(a, e));
	assert_int_equal(slab_epoch_get_refcount(a, e), 0);
	slab_allocator_free(a);
}

/* Every advance stamps the new epoch with the time at which it was opened. */
static void row_95(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	uint64_t last = 0;
	SlabEpochStats s;

	(void)state;
	for (unsigned i = 0; i < 2 * EPOCH_COUNT; i++) {
		uint64_t now;

		if (i % EPOCH_COUNT == 0)
			sleep(1);
		/* The stamp's clock moves in steps of up to 10 ms, more where the host is late. */
		now = tslab_compat_clock_ns(CLOCK_BOOTTIME);
		epoch_advance(a);
		slab_stats_epoch(a, 0, epoch_current(a), &s);
		assert_true(s.open_since_ns >= last);
		assert_true(s.open_since_ns + 500000000u >= now);
		assert_true(s.open_since_ns <= tslab_compat_clock_ns(CLOCK_BOOTTIME));
		last = s.open_since_ns;
	}
	slab_allocator_free(a);
}

static void *exit_anothers_scope(void *arg)
{
	return (void *)(intptr_t)tslab_domain_exit(*(tslab_epoch_t *)arg);
}

/* Scopes nest, a missing exit shows, and no other thread can leave one. */
static void row_96(void **state)
{
	tslab_epoch_t outer = new_epoch(NULL, "outer"), inner = new_epoch(NULL, "inner");
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(tslab_domain_enter(outer), 0);
	assert_int_equal(tslab_domain_enter(inner), 0);
	assert_int_equal(tslab_domain_enter(outer), 0);
	assert_int_equal(tslab_domain_exit(outer), 0);
	assert_int_equal(tslab_domain_current(), inner);
	assert_int_equal(pthread_create(&thread, NULL, exit_anothers_scope, &inner), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, -EINVAL);
	assert_int_equal(tslab_domain_exit(inner), 0);
	assert_int_equal(tslab_stats_epoch(inner, &s), 0);
	assert_int_equal(s.open_scopes, 0);
	/* The missing one. */
	assert_int_equal(tslab_stats_epoch(outer, &s), 0);
	assert_int_equal(s.open_scopes, 1);
	assert_int_equal(tslab_epoch_discard(outer), -EBUSY);
	assert_int_equal(tslab_domain_exit(outer), 0);
	assert_int_equal(tslab_epoch_discard(outer), 0);
	assert_int_equal(tslab_epoch_discard(inner), 0);
}

/* 16 epochs a ring, ids 0 to 15, and round again. */
static void row_148(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	SlabGlobalStats g;

	(void)state;
	assert_int_equal(EPOCH_COUNT, 16);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(epoch_current(a), i % 16);
		slab_stats_global(a, &g);
		assert_int_equal(g.current_epoch, i % 16);
		assert_int_equal(g.active_epoch_count + g.closing_epoch_count, 16);
		epoch_advance(a);
	}
	assert_null(slab_malloc_epoch(a, 64, 16));
	slab_allocator_free(a);
}

/*
 * Eight size classes with their indices. Objects a slab follow from slabs of 8 KiB, not of a page, so
 * they are at least the 63, 42, 31, 21, 15, 10, 7 and 5 of the prototype.
 */
static void row_163(void **state)
{
	static const uint32_t sizes[] = { 64, 96, 128, 192, 256, 384, 512, 768 };
	static const uint32_t in_a_page[] = { 63, 42, 31, 21, 15, 10, 7, 5 };
	static const uint32_t in_a_slab[] = { 128, 85, 64, 42, 32, 21, 16, 10 };
	SlabAllocator *a = slab_allocator_create();
	SlabClassStats s;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		slab_stats_class(a, i, &s);
		assert_int_equal(s.object_size, sizes[i]);
		assert_int_equal(slab_object_count(sizes[i]), in_a_slab[i]);
		assert_true(slab_object_count(sizes[i]) >= in_a_page[i]);
	}
	slab_allocator_free(a);
}

/* 256 free slots of a class at least, the newest of them handed out first, on the fast path. */
static void row_119(void **state)
{
	enum { SLOTS = 256 };
	tslab_epoch_t epoch = new_epoch(NULL, "newest first");
	void *objects[SLOTS];

	(void)state;
	assert_int_equal(tslab_domain_enter(epoch), 0);
	for (unsigned i = 0; i < SLOTS; i++)
		assert_non_null(objects[i] = tslab_malloc(128));
	for (unsigned i = 0; i < SLOTS; i++)
		tslab_free(objects[i]);
	struct tslab_process_stats before = counters();
	for (unsigned i = SLOTS; i-- > 0;)
		assert_ptr_equal(tslab_malloc(128), objects[i]);
	struct tslab_process_stats after = counters();
	/* Once for each 126. */
	assert_in_range(after.slow_path_hits - before.slow_path_hits, 0, SLOTS / 126 + 1);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

/* A free is one for everybody at once, though the slot is at hand for the thread: nothing takes it for live. */
static void row_125(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	EpochId e = epoch_current(a);
	SlabHandle handle, again;
	void *object;

	(void)state;
	assert_non_null(object = alloc_obj_epoch(a, 64, e, &handle));
	assert_int_equal(tslab_usable_size(object), 64);
	assert_true(free_obj(a, handle));
	assert_int_equal(tslab_usable_size(object), 0);
	assert_false(free_obj(a, handle));
	/* The handle of the slot's next object is another one, and the old one stays refused. */
	assert_ptr_equal(alloc_obj_epoch(a, 64, e, &again), object);
	assert_true(again != handle);
	assert_false(free_obj(a, handle));
	assert_true(free_obj(a, again));
	slab_allocator_free(a);
}

/* The text says 24 bytes, the prototype's header a 64-bit word, which it is. */
static void row_128(void **state)
{
	(void)state;
	_Static_assert(sizeof(SlabHandle) == 8, "a handle is a word");
	assert_int_equal(sizeof(SlabHandle), sizeof(uint64_t));
}

/* Segments come one by one as memory is needed, and are used again; every address in them is found. */
static void row_202(void **state)
{
	enum { BYTES = 32768, OBJECTS = (64 << 20) / BYTES, SEGMENT_BYTES = 4 << 20 };
	static void *objects[OBJECTS];
	tslab_heap *heap = new_heap("segments", 0, 0);

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		tslab_epoch_t epoch = new_epoch(heap, "segments");
		struct tslab_process_stats before = counters();

		for (unsigned i = 0; i < OBJECTS; i++)
			assert_non_null(objects[i] = tslab_alloc(epoch, BYTES));
		for (unsigned i = 0; i < OBJECTS; i++)
			assert_int_equal(tslab_usable_size(objects[i]), BYTES);
		struct tslab_process_stats after = counters();
		if (round == 0)
			assert_in_range(after.segments_committed - before.segments_committed, 1,
					(64 << 20) / SEGMENT_BYTES + 2);
		else
			assert_int_equal(after.segments_committed, before.segments_committed);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
	}
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(row_3),   cmocka_unit_test(row_68),  cmocka_unit_test(row_94),
		cmocka_unit_test(row_95),  cmocka_unit_test(row_96),  cmocka_unit_test(row_119),
		cmocka_unit_test(row_125), cmocka_unit_test(row_128), cmocka_unit_test(row_148),
		cmocka_unit_test(row_163), cmocka_unit_test(row_202),
	};

	return cmocka_run_group_tests_name("acceptance", tests, NULL, NULL);
}
