/* SPDX-License-Identifier: MIT */
/*
 * The bins of a lane: slots that were never handed out, those that were freed one by one, and what a discard
 * and a trim make of both.
 */
#include "support.h"

#include <pthread.h>

#include "core/thread.h"

/*
 * A slot that was never handed out cannot be freed, neither from a bin that nothing was freed to nor from
 * the reserve behind a stack; by its owner, by another thread, by a batch.
 */
static void never_handed_out(void **state)
{
	enum { BYTES = 256, SLOTS = 8 };

	(void)state;
	for (unsigned stack_mode = 0; stack_mode < 2; stack_mode++) {
		/* A heap of its own: memory that no stack has seen. */
		tslab_heap *heap = new_heap("modes", 0, 0);
		tslab_epoch_t epoch = begin(heap, "modes");
		char *objects[SLOTS];
		void *beyond[SLOTS];
		struct strays strays = { beyond, SLOTS };

		for (unsigned i = 0; i < SLOTS; i++)
			objects[i] = tslab_malloc(BYTES);
		assert_ptr_equal(objects[SLOTS - 1], objects[0] + (SLOTS - 1) * BYTES);
		/* The last slots of the 8 KiB slab, which a refill of the stack does not reach. */
		for (unsigned i = 0; i < SLOTS; i++)
			beyond[i] = objects[0] + 8192 - (i + 1) * BYTES;
		if (stack_mode)
			tslab_free(objects[3]);
		for (unsigned i = 0; i < SLOTS; i++)
			assert_refused(refused_wild, tslab_free(beyond[i]));
		struct tslab_process_stats before = counters();
		on_thread(free_strays, &strays);
		assert_int_equal(tslab_free_many(beyond, SLOTS), 0);
		struct tslab_process_stats after = counters();
		assert_int_equal(after.refused_wild - before.refused_wild, 2 * SLOTS);
		assert_int_equal(live_objects(epoch), SLOTS - stack_mode);
		/* All of the slab is handed out once, and each slot can be freed once. */
		void *rest[8192 / BYTES];
		for (unsigned i = 0; i < 8192 / BYTES - SLOTS + stack_mode; i++) {
			rest[i] = tslab_malloc(BYTES);
			assert_true((char *)rest[i] >= objects[0] &&
				    (char *)rest[i] < objects[0] + 8192);
			for (unsigned k = 0; k < i; k++)
				assert_ptr_not_equal(rest[i], rest[k]);
		}
		for (unsigned i = 0; i < SLOTS; i++)
			tslab_free(beyond[i]);
		for (unsigned i = 0; i < SLOTS; i++)
			assert_refused(refused_double, tslab_free(beyond[i]));
		assert_int_equal(live_objects(epoch), 8192 / BYTES - SLOTS);
		assert_int_equal(tslab_scope_discard(epoch), 0);
		assert_int_equal(tslab_heap_destroy(heap), 0);
	}
}

/* Some freed, some not, in classes of one slab and of many: a discard makes all of it bump again. */
static void discard_after_mixed_frees(void **state)
{
	static void *objects[3000];
	uint64_t seed = 77;

	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		tslab_epoch_t epoch = begin(NULL, "mixed frees");
		unsigned count = 1 + (unsigned)(rnd(&seed) % 3000), live = count;

		for (unsigned i = 0; i < count; i++) {
			objects[i] = tslab_malloc(16 + i % 7 * 200);
			assert_non_null(objects[i]);
			fill(objects[i], 16, i);
			if (rnd(&seed) % 4)
				continue;
			unsigned k = (unsigned)(rnd(&seed) % (i + 1));
			if (objects[k]) {
				tslab_free(objects[k]);
				objects[k] = NULL;
				live--;
			}
		}
		assert_int_equal(live_objects(epoch), live);
		for (unsigned i = 0; i < count; i++)
			assert_true(!objects[i] || holds(objects[i], 16, i));
		assert_int_equal(tslab_scope_discard(epoch), 0);
		/* From the start of each slab once more, in order. */
		epoch = begin(NULL, "mixed frees");
		char *p = tslab_malloc(16), *q = tslab_malloc(16);
		assert_ptr_equal(q, p + 16);
		assert_int_equal(tslab_scope_discard(epoch), 0);
	}
}

/* Empty chunks go back from a bin with a reserve, and what stays is whole. */
static void trim_with_a_reserve(void **state)
{
	enum { COUNT = 6000, BYTES = 1024 };
	static char *objects[COUNT];

	(void)state;
	tslab_heap *heap = new_heap("trimmed", 0, 0);
	tslab_epoch_t epoch = begin(heap, "trim");
	for (unsigned round = 0; round < 4; round++) {
		struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

		for (unsigned i = 0; i < COUNT; i++) {
			objects[i] = tslab_malloc(BYTES);
			assert_non_null(objects[i]);
			fill(objects[i], 64, i);
		}
		/* Every 500th stays, in the second round the first ones, in the third the last ones. */
		for (unsigned i = 0; i < COUNT; i++) {
			bool stays = round == 0 ? i % 500 == 0 :
				     round == 1 ? i < 10 :
				     round == 2 ? i >= COUNT - 10 :
						  false;

			assert_true(holds(objects[i], 64, i));
			if (stays)
				continue;
			tslab_free(objects[i]);
			objects[i] = NULL;
		}
		assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
		assert_true(s.committed_bytes < COUNT * BYTES / 2);
		for (unsigned i = 0; i < COUNT; i++) {
			if (!objects[i])
				continue;
			assert_true(holds(objects[i], 64, i));
			tslab_free(objects[i]);
		}
		assert_int_equal(live_objects(epoch), 0);
	}
	assert_int_equal(tslab_scope_close(epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/*
 * A few live objects of many sizes: their slabs stay, however many are allocated and freed. Were they given back
 * as soon as they are empty, there would be a new chunk for every few objects.
 */
static void few_objects_of_many_sizes(void **state)
{
	enum { ALLOCATIONS = 20000, LIVE_MAX = 16 };
	static const size_t largest[] = { 504, 4000, 32000 };
	static char *live[LIVE_MAX];
	uint64_t seed = 23;

	(void)state;
	for (unsigned count = 1; count <= LIVE_MAX; count *= 4) {
		for (unsigned i = 0; i < sizeof(largest) / sizeof(largest[0]); i++) {
			struct tslab_process_stats before = counters(), after;
			tslab_epoch_t epoch = begin(NULL, "few");

			for (unsigned n = 0; n < ALLOCATIONS; n++) {
				char **p = &live[rnd(&seed) % count];

				tslab_free(*p);
				*p = tslab_malloc(16 + rnd(&seed) % (largest[i] - 15));
				assert_non_null(*p);
			}
			after = counters();
			/* A slab of each class is 8 chunks; a class may have several, and the lane is warm or not. */
			assert_true(after.slow_path_misses - before.slow_path_misses <= 100);
			for (unsigned n = 0; n < count; n++) {
				tslab_free(live[n]);
				live[n] = NULL;
			}
			assert_int_equal(tslab_scope_close(epoch), 0);
		}
	}
}

/* What an epoch keeps that was freed in it is bounded; with a limit, or nothing retained, it is a chunk or two. */
static void emptied_epochs_keep_little(void **state)
{
	enum { EACH = 64 };
	static const struct {
		uint64_t retain_bytes, limit_bytes, most_kept_bytes;
	} heaps[] = { { 1 << 20, 0, 3 << 20 }, { 0, 0, 3 << 18 }, { 1 << 20, 1 << 30, 3 << 18 } };
	static void *objects[CLASS_COUNT][EACH];

	(void)state;
	for (unsigned h = 0; h < sizeof(heaps) / sizeof(heaps[0]); h++) {
		tslab_heap *heap = new_heap("emptied", heaps[h].limit_bytes, heaps[h].retain_bytes);
		tslab_epoch_t epoch = begin(heap, "emptied");
		struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

		for (unsigned c = 0; c < CLASS_COUNT; c++)
			for (unsigned i = 0; i < EACH; i++)
				objects[c][i] = tslab_malloc(class_bytes[c]);
		for (unsigned c = 0; c < CLASS_COUNT; c++)
			for (unsigned i = 0; i < EACH; i++)
				tslab_free(objects[c][i]);
		assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
		assert_true(s.committed_bytes <= heaps[h].most_kept_bytes);
		assert_int_equal(tslab_scope_close(epoch), 0);
		assert_int_equal(tslab_heap_destroy(heap), 0);
	}
}

/* -- in the default epoch, which never ends -- */

enum { MANY = 16384 };

static void free_after_all(unsigned count, const uint32_t *bytes, unsigned sizes)
{
	static void *objects[MANY];

	for (unsigned i = 0; i < count; i++)
		objects[i] = tslab_malloc(bytes[i % sizes]);
	for (unsigned i = 0; i < count; i++)
		tslab_free(objects[i]);
}

static void *use_all_classes(void *unused)
{
	free_after_all(CLASS_COUNT * 64, class_bytes, CLASS_COUNT);
	return unused;
}

static void what_all_was_freed_of_goes(void **state)
{
	static const uint32_t a_kib = 1024;
	uint64_t before = in_default_epoch();

	(void)state;
	free_after_all(MANY, &a_kib, 1);
	assert_true(in_default_epoch() <= before + (256 << 10));
	/* Threads that have ended leave hardly anything behind. */
	for (unsigned i = 0; i < 4; i++)
		on_thread(use_all_classes, NULL);
	assert_true(in_default_epoch() <= before + (512 << 10));
}

/* Memory that was freed serves another class before the limit refuses it. */
static void freed_memory_counts_for_the_limit(void **state)
{
	enum { LIMIT = 256 << 10 };
	static const unsigned sizes[] = { 8192, 4096, 2048, 1024 };
	static void *objects[LIMIT / 1024];
	tslab_epoch_t epoch = begin(NULL, "limited");
	unsigned count = 0;

	(void)state;
	assert_int_equal(tslab_epoch_set_limit(epoch, LIMIT), 0);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned n = 0; n < LIMIT / 4 / sizes[i]; n++)
			assert_non_null(objects[count++] = tslab_malloc(sizes[i]));
	for (unsigned n = 0; n < count; n++)
		tslab_free(objects[n]);
	assert_non_null(tslab_malloc(100));
	assert_int_equal(tslab_scope_discard(epoch), 0);
}

struct full_slab {
	tslab_epoch_t epoch;
	void *objects[128];
};

/* A slab that is full and of which nothing was freed: in the child no bin carves it. */
static void discard_a_full_slab(void *arg)
{
	struct full_slab *slab = arg;
	struct tslab_process_stats before, after;
	tslab_epoch_t next = 0;

	REQUIRE(tslab_scope_discard(slab->epoch) == 0);
	before = counters();
	for (unsigned i = 0; i < 128; i++)
		tslab_free(slab->objects[i]);
	after = counters();
	REQUIRE(refusals(&after) == refusals(&before) + 128);
	REQUIRE(after.frees == before.frees);
	REQUIRE(tslab_scope_begin(NULL, "full", &next) == 0);
	for (unsigned i = 0; i < 128; i++)
		REQUIRE(ts_range_offset(tslab_malloc(64)) == ts_range_offset(slab->objects[i]));
	REQUIRE(tslab_scope_discard(next) == 0);
}

static void child_discards_a_full_slab(void **state)
{
	struct full_slab slab = { .epoch = begin(NULL, "full") };

	(void)state;
	for (unsigned i = 0; i < 128; i++)
		slab.objects[i] = tslab_malloc(64);
	assert_true(exited_well(in_child(discard_a_full_slab, &slab)));
	assert_int_equal(tslab_scope_discard(slab.epoch), 0);
}

/*
 * Slots that were freed by themselves once will be again: a discard keeps the class as it is, and later
 * requests of the same kind find all slots at hand, without one call of the slow path.
 */
static void requests_of_one_kind(void **state)
{
	enum { ROUNDS = 20, COUNT = 24 };
	void *objects[COUNT];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t slow = counters().slow_path_hits;
		tslab_epoch_t epoch = begin(NULL, "one kind");

		for (unsigned i = 0; i < COUNT; i++) {
			objects[i] = tslab_malloc(100);
			assert_non_null(objects[i]);
		}
		for (unsigned i = 0; i < COUNT; i += 2)
			tslab_free(objects[i]);
		assert_int_equal(tslab_scope_discard(epoch), 0);
		assert_true(round > 0 || counters().slow_path_hits > slow);
		assert_true(round < 2 || counters().slow_path_hits == slow);
	}
	/* Without such frees it goes back to handing out in order. */
	for (unsigned round = 0; round < 2; round++) {
		tslab_epoch_t epoch = begin(NULL, "one kind");

		for (unsigned i = 0; i < 4 * COUNT; i++)
			objects[i % COUNT] = tslab_malloc(100);
		assert_true(!round || (char *)objects[COUNT - 1] == (char *)objects[COUNT - 2] + 112);
		assert_int_equal(tslab_scope_discard(epoch), 0);
	}
}

/* Freed outside of every scope: the lane is taken for the call, nothing is queued, twice is refused. */
static void freed_where_nobody_is(void **state)
{
	tslab_epoch_t epoch = begin(NULL, "left");
	void *objects[3] = { tslab_malloc(100), tslab_malloc(100), tslab_malloc(100 << 10) };

	(void)state;
	assert_int_equal(tslab_domain_exit(epoch), 0);
	uint64_t collected = counters().frees_collected;
	for (unsigned i = 0; i < 3; i++) {
		tslab_free(objects[i]);
		assert_int_equal(live_objects(epoch), 2 - i);
	}
	assert_int_equal(counters().frees_collected, collected);
	assert_refused(refused_double, tslab_free(objects[0]));
	assert_refused_somehow(tslab_free(objects[2]));
	/* The object that keeps a closed epoch: its free ends it. */
	objects[0] = tslab_alloc(epoch, 100);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_int_equal(live_objects(epoch), 1);
	tslab_free(objects[0]);
	assert_int_equal(tslab_domain_enter(epoch), -ESTALE);
}

/* -- a close among frees ------------------------------------------------------------------------ */

static void *close_it(void *arg)
{
	(void)tslab_epoch_close(*(tslab_epoch_t *)arg);
	return NULL;
}

/* Frees find the lane parked, closing or settled: the last one ends the epoch, in whatever order. */
static void freed_while_it_closes(void **state)
{
	enum { ROUNDS = 300, COUNT = 120 };
	void *objects[COUNT];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct strays first = { objects, COUNT / 2 };
		pthread_t freer, closer;
		tslab_epoch_t epoch = begin(NULL, "closing");

		for (unsigned i = 0; i < COUNT; i++) {
			objects[i] = tslab_malloc(i % 40 ? 100 + i * 9 : 40000);
			assert_non_null(objects[i]);
		}
		assert_int_equal(tslab_domain_exit(epoch), 0);
		assert_int_equal(pthread_create(&freer, NULL, free_strays, &first), 0);
		assert_int_equal(pthread_create(&closer, NULL, close_it, &epoch), 0);
		for (unsigned i = COUNT / 2; i < COUNT; i++)
			tslab_free(objects[i]);
		pthread_join(freer, NULL);
		pthread_join(closer, NULL);
		assert_int_equal(tslab_domain_enter(epoch), -ESTALE);
	}
	assert_int_equal(counters().closing_epochs, 0);
	assert_int_equal(counters().live_objects, 0);
}

/* Chunks that hold an object, counted by looking at all objects. */
static unsigned occupied_chunks(char *const *objects, unsigned count)
{
	static bool seen[4096];
	unsigned chunks = 0;

	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < count; i++) {
		size_t chunk = objects[i] ? ts_range_offset(objects[i]) / TS_CHUNK_BYTES : 0;

		assert_true(chunk < sizeof(seen));
		chunks += objects[i] && !seen[chunk];
		seen[chunk] = true;
	}
	return chunks;
}

/*
 * What of an epoch could be given back is not counted at each free, but what a pass over its lane gives back is
 * all that there is: no chunk is left that holds no object.
 */
static void trim_returns_what_a_walk_finds(void **state)
{
	enum { COUNT = 20000, ROUNDS = 60 };
	static char *objects[COUNT];
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	tslab_heap *heap = new_heap("walked", 0, 0);
	tslab_epoch_t epoch = begin(heap, "walked");
	uint64_t seed = 66;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		/* Neighbours go, more or fewer of them, and others come. */
		unsigned first = (unsigned)(rnd(&seed) % COUNT),
			 span = (unsigned)(rnd(&seed) % COUNT);

		for (unsigned i = 0; i < COUNT; i++) {
			bool inside = (i + COUNT - first) % COUNT < span;

			if (objects[i] && (inside || rnd(&seed) % 16 == 0)) {
				assert_true(holds(objects[i], 16, i));
				tslab_free(objects[i]);
				objects[i] = NULL;
			} else if (!objects[i] && !inside) {
				objects[i] = tslab_malloc(round % 2 ? 256 : 64 + i % 8 * 100);
				assert_non_null(objects[i]);
				fill(objects[i], 16, i);
			}
		}
		ts_lane_trim(ts_tls.lane);
		assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
		assert_int_equal(s.committed_bytes,
				 occupied_chunks(objects, COUNT) * (uint64_t)TS_CHUNK_BYTES);
	}
	assert_int_equal(tslab_scope_discard(epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/*
 * Whoever reads statistics reads blocks, of which 100 000 slabs have no more than ten; those that tell whose the
 * chunks are, one for each 12 MiB, he passes over.
 */
static void statistics_of_many_slabs(void **state)
{
	tslab_heap *heap = new_heap("many", 0, 0);
	tslab_epoch_t epoch = begin(heap, "many");
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	unsigned blocks = 0;

	(void)state;
	for (unsigned slabs = 1; slabs <= 100000; slabs++) {
		assert_non_null(tslab_malloc(8192));
		if (slabs == 10)
			blocks = ts_block_count();
	}
	assert_in_range(ts_block_count() - blocks, 1, 100000 * 8192ull / (12 << 20) + 1);
	assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
	assert_int_equal(s.slab_units, 100000);
	assert_int_equal(tslab_scope_discard(epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_handed_out),
		cmocka_unit_test(discard_after_mixed_frees),
		cmocka_unit_test(trim_with_a_reserve),
		cmocka_unit_test(trim_returns_what_a_walk_finds),
		cmocka_unit_test(few_objects_of_many_sizes),
		cmocka_unit_test(emptied_epochs_keep_little),
		cmocka_unit_test(what_all_was_freed_of_goes),
		cmocka_unit_test(freed_memory_counts_for_the_limit),
		cmocka_unit_test(statistics_of_many_slabs),
		cmocka_unit_test(child_discards_a_full_slab),
		cmocka_unit_test(requests_of_one_kind),
		cmocka_unit_test(freed_where_nobody_is),
		cmocka_unit_test(freed_while_it_closes),
	};

	return cmocka_run_group_tests_name("bin", tests, NULL, NULL);
}
