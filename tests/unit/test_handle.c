/* SPDX-License-Identifier: MIT */
/* Handles: a stale one never reaches another object. */
#include "support.h"

#include <pthread.h>

static tslab_handle_t new_handle(tslab_epoch_t epoch, size_t bytes)
{
	tslab_handle_t handle = TSLAB_HANDLE_NONE;

	assert_int_equal(tslab_handle_alloc(epoch, bytes, &handle), 0);
	assert_int_not_equal(handle, TSLAB_HANDLE_NONE);
	return handle;
}

/* Slabs of their own, which the first one needs. */
static void slow_paths_are_counted(void **state)
{
	tslab_epoch_t epoch = new_epoch(NULL, "handles");

	(void)state;
	assert_non_null(tslab_alloc(epoch, 64));
	assert_counted(slow_path_hits, new_handle(epoch, 64));
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

static void assert_stale(tslab_heap *heap, tslab_handle_t handle)
{
	assert_null_errno(tslab_handle_get(heap, handle), ESTALE);
	assert_refused(refused_stale_handle,
		       assert_int_equal(tslab_handle_free(heap, handle), -ESTALE));
}

static void arguments(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "handles");
	tslab_handle_t handle = 4711;

	assert_int_equal(tslab_handle_alloc(epoch, 64, NULL), -EINVAL);
	assert_int_equal(tslab_handle_alloc(epoch, 0, &handle), -EINVAL);
	assert_int_equal(tslab_handle_alloc(epoch, 32769, &handle), -EINVAL);
	assert_int_equal(tslab_handle_alloc(epoch, SIZE_MAX, &handle), -EINVAL);
	assert_int_equal(live_objects(epoch), 0);
	assert_refused(refused_wrong_handle,
		       assert_int_equal(tslab_handle_free(NULL, TSLAB_HANDLE_NONE), -EINVAL));
	assert_null_errno(tslab_handle_get(NULL, TSLAB_HANDLE_NONE), EINVAL);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_int_equal(tslab_handle_alloc(epoch, 64, &handle), -ESTALE);
}

static void every_class(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "handles");
	tslab_handle_t handles[3 * CLASS_COUNT];
	size_t sizes[3 * CLASS_COUNT];
	unsigned count = 0;

	for (unsigned i = 0; i < CLASS_COUNT; i++) {
		for (unsigned more = 0; more < 3; more++) {
			sizes[count] = class_bytes[i] - 1 + more;
			if (sizes[count] > 32768)
				continue;
			handles[count] = new_handle(epoch, sizes[count]);
			void *p = tslab_handle_get(NULL, handles[count]);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % TSLAB_ALIGNMENT, 0);
			assert_true(tslab_usable_size(p) >= sizes[count]);
			fill(p, sizes[count], count);
			count++;
		}
	}
	assert_int_equal(live_objects(epoch), count);
	for (unsigned i = 0; i < count; i++) {
		assert_true(holds(tslab_handle_get(NULL, handles[i]), sizes[i], i));
		assert_int_equal(tslab_handle_free(NULL, handles[i]), 0);
		assert_stale(NULL, handles[i]);
	}
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

static void stale_after_reuse(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "reuse");
	tslab_handle_t first = new_handle(epoch, 64);
	void *where = tslab_handle_get(NULL, first);
	unsigned reused = 0;

	assert_int_equal(tslab_handle_free(NULL, first), 0);
	for (unsigned i = 0; i < 1000; i++) {
		tslab_handle_t next = new_handle(epoch, 64);
		void *p = tslab_handle_get(NULL, next);

		reused += p == where;
		fill(p, 64, i);
		assert_int_not_equal(next, first);
		assert_stale(NULL, first);
		assert_ptr_equal(tslab_handle_get(NULL, next), p);
		assert_true(holds(p, 64, i));
		assert_int_equal(tslab_handle_free(NULL, next), 0);
	}
	assert_true(reused > 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

static void stale_after_close(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "closes");
	tslab_handle_t a = new_handle(epoch, 100), b = new_handle(epoch, 100);

	assert_int_equal(tslab_epoch_close(epoch), 0);
	/* Live until freed, as all objects of a closing epoch. */
	void *p = tslab_handle_get(NULL, b);
	assert_non_null(p);
	fill(p, 100, 1);
	assert_int_equal(tslab_handle_free(NULL, a), 0);
	assert_stale(NULL, a);
	assert_true(holds(p, 100, 1));
	assert_int_equal(tslab_handle_free(NULL, b), 0);
	assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
	assert_stale(NULL, b);
}

/* Discarded handles stay stale while the memory serves other epochs, with handles and without. */
static void stale_after_discard(void **state)
{
	enum { COUNT = 300 };
	tslab_handle_t old[COUNT];

	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "discarded");
	for (unsigned i = 0; i < COUNT; i++)
		old[i] = new_handle(epoch, 64);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	for (unsigned round = 0; round < 20; round++) {
		tslab_handle_t fresh[COUNT];

		epoch = new_epoch(NULL, "next");
		for (unsigned i = 0; i < COUNT; i++) {
			fresh[i] = new_handle(epoch, 64);
			fill(tslab_handle_get(NULL, fresh[i]), 64, i);
		}
		for (unsigned i = 0; i < COUNT; i++)
			assert_stale(NULL, old[i]);
		for (unsigned i = 0; i < COUNT; i++)
			assert_true(holds(tslab_handle_get(NULL, fresh[i]), 64, i));
		memcpy(old, fresh, sizeof(old));
		assert_int_equal(tslab_epoch_discard(epoch), 0);
	}
	epoch = new_epoch(NULL, "plain");
	for (unsigned i = 0; i < 3000; i++)
		assert_non_null(tslab_alloc(epoch, 64));
	for (unsigned i = 0; i < COUNT; i++)
		assert_stale(NULL, old[i]);
	assert_int_equal(live_objects(epoch), 3000);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

/* A slot used over 2^24 times: no generation comes round to an old handle. */
static void generation_wrap(void **state)
{
	(void)state;
	enum { TURNS = (1 << 24) + 100 };
	tslab_epoch_t epoch = new_epoch(NULL, "wrap");
	tslab_handle_t first = new_handle(epoch, 64), next = 0;

	assert_int_equal(tslab_domain_enter(epoch), 0);
	assert_int_equal(tslab_handle_free(NULL, first), 0);
	for (unsigned i = 0; i < TURNS; i++) {
		if (tslab_handle_alloc(epoch, 64, &next) || next == first ||
		    tslab_handle_free(NULL, next))
			fail_msg("turn %u: handle %#llx, first %#llx", i, (unsigned long long)next,
				 (unsigned long long)first);
		if (i % 65536 == 0)
			assert_stale(NULL, first);
	}
	assert_stale(NULL, first);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	/* The worn out slot is nobody's object, and keeps no epoch from its end. */
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
}

static void other_heaps_handles(void **state)
{
	(void)state;
	tslab_heap *a = new_heap("a", 0, 0), *b = new_heap("b", 0, 0);
	tslab_handle_t in_a = new_handle(tslab_epoch_default(a), 64);
	tslab_handle_t in_b = new_handle(tslab_epoch_default(b), 64);

	fill(tslab_handle_get(a, in_a), 64, 1);
	fill(tslab_handle_get(b, in_b), 64, 2);
	assert_null_errno(tslab_handle_get(b, in_a), EINVAL);
	assert_null_errno(tslab_handle_get(NULL, in_a), EINVAL);
	assert_refused(refused_wrong_handle, assert_int_equal(tslab_handle_free(b, in_a), -EINVAL));
	assert_refused(refused_wrong_handle,
		       assert_int_equal(tslab_handle_free(NULL, in_b), -EINVAL));
	assert_true(holds(tslab_handle_get(a, in_a), 64, 1));
	assert_true(holds(tslab_handle_get(b, in_b), 64, 2));
	assert_int_equal(tslab_handle_free(a, in_a), 0);
	assert_int_equal(tslab_handle_free(b, in_b), 0);
	assert_int_equal(tslab_heap_destroy(a), 0);
	assert_int_equal(tslab_heap_destroy(b), 0);
}

/* The id of a destroyed heap comes back; its handles do not. */
static void heap_id_reuse(void **state)
{
	enum { COUNT = 50 };
	tslab_handle_t old[COUNT];

	(void)state;
	tslab_heap *heap = new_heap("first", 0, 0);
	for (unsigned i = 0; i < COUNT; i++)
		old[i] = new_handle(tslab_epoch_default(heap), 64);
	assert_int_equal(tslab_heap_destroy(heap), 0);
	for (unsigned round = 0; round < 300; round++) {
		heap = new_heap("next", 0, 0);
		for (unsigned i = 0; i < COUNT; i++)
			(void)new_handle(tslab_epoch_default(heap), 64);
		for (unsigned i = 0; i < COUNT; i++) {
			assert_null(tslab_handle_get(heap, old[i]));
			assert_int_not_equal(tslab_handle_free(heap, old[i]), 0);
		}
		assert_int_equal(live_objects(tslab_epoch_default(heap)), COUNT);
		assert_int_equal(tslab_heap_destroy(heap), 0);
	}
}

/* Random words, and every one-bit change of a good handle: refused, and the object stays. */
static void forged_handles(void **state)
{
	(void)state;
	uint64_t seed = 42;
	tslab_epoch_t epoch = new_epoch(NULL, "forged");
	tslab_handle_t good = new_handle(epoch, 200);
	void *p = tslab_handle_get(NULL, good);

	fill(p, 200, 1);
	for (unsigned bit = 0; bit < 64; bit++) {
		assert_null(tslab_handle_get(NULL, good ^ (1ull << bit)));
		assert_int_not_equal(tslab_handle_free(NULL, good ^ (1ull << bit)), 0);
	}
	for (unsigned i = 0; i < 200000; i++) {
		tslab_handle_t forged = rnd(&seed);

		if (forged == good)
			continue;
		assert_null(tslab_handle_get(NULL, forged));
		assert_int_not_equal(tslab_handle_free(NULL, forged), 0);
	}
	assert_ptr_equal(tslab_handle_get(NULL, good), p);
	assert_true(holds(p, 200, 1));
	assert_int_equal(live_objects(epoch), 1);
	assert_int_equal(tslab_handle_free(NULL, good), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

/* A handle's object freed by its pointer is gone for the handle too; and the other way round. */
static void handle_and_pointer(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "both");
	tslab_handle_t handle = new_handle(epoch, 64);
	void *p = tslab_handle_get(NULL, handle);

	struct tslab_process_stats before = counters();
	tslab_free(p);
	struct tslab_process_stats after = counters();
	if (refusals(&after) == refusals(&before)) {
		assert_stale(NULL, handle);
	} else {
		assert_ptr_equal(tslab_handle_get(NULL, handle), p);
		assert_int_equal(tslab_handle_free(NULL, handle), 0);
	}
	assert_int_equal(live_objects(epoch), 0);
	handle = new_handle(epoch, 64);
	p = tslab_handle_get(NULL, handle);
	assert_int_equal(tslab_handle_free(NULL, handle), 0);
	before = counters();
	tslab_free(p);
	after = counters();
	assert_int_equal(refusals(&after) - refusals(&before), 1);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

struct contest {
	pthread_barrier_t gate;
	tslab_handle_t *handles;
	unsigned count;
	unsigned won;
};

static void *contend(void *arg)
{
	struct contest *c = arg;
	unsigned won = 0;

	pthread_barrier_wait(&c->gate);
	for (unsigned i = 0; i < c->count; i++)
		won += tslab_handle_free(NULL, c->handles[i]) == 0;
	__atomic_fetch_add(&c->won, won, __ATOMIC_RELAXED);
	return NULL;
}

/* Success to exactly one caller. */
static void one_winner(void **state)
{
	enum { COUNT = 3000, THREADS = 4 };
	static tslab_handle_t handles[COUNT];

	(void)state;
	for (unsigned inside = 0; inside < 2; inside++) {
		struct contest c = { .handles = handles, .count = COUNT };
		tslab_epoch_t epoch = new_epoch(NULL, "contest");
		pthread_t threads[THREADS];

		if (inside)
			assert_int_equal(tslab_domain_enter(epoch), 0);
		for (unsigned i = 0; i < COUNT; i++)
			handles[i] = new_handle(epoch, 40);
		pthread_barrier_init(&c.gate, NULL, THREADS);
		struct tslab_process_stats before = counters();
		for (unsigned i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, contend, &c);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(c.won, COUNT);
		assert_int_equal(counters().refused_stale_handle - before.refused_stale_handle,
				 (THREADS - 1) * COUNT);
		if (inside)
			assert_int_equal(tslab_domain_exit(epoch), 0);
		assert_int_equal(live_objects(epoch), 0);
		assert_int_equal(tslab_epoch_close(epoch), 0);
		assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
		pthread_barrier_destroy(&c.gate);
	}
}

struct discard_race {
	pthread_barrier_t gate;
	tslab_handle_t handles[200];
	unsigned freed;
	bool stop;
};

static void *free_handles(void *arg)
{
	struct discard_race *r = arg;

	for (;;) {
		pthread_barrier_wait(&r->gate);
		if (r->stop)
			return NULL;
		for (unsigned i = 0; i < 200; i++)
			r->freed += tslab_handle_free(NULL, r->handles[i]) == 0;
		pthread_barrier_wait(&r->gate);
	}
}

/* Handles freed while their epoch is discarded: legal, and nothing of the next epoch is touched. */
static void free_against_discard(void **state)
{
	enum { ROUNDS = 400 };
	struct discard_race r = { .stop = false };
	pthread_t thread;

	(void)state;
	pthread_barrier_init(&r.gate, NULL, 2);
	pthread_create(&thread, NULL, free_handles, &r);
	for (unsigned round = 0; round < ROUNDS; round++) {
		tslab_epoch_t epoch = new_epoch(NULL, "discarded"), next;
		tslab_handle_t fresh[200];

		for (unsigned i = 0; i < 200; i++)
			r.handles[i] = new_handle(epoch, 64);
		pthread_barrier_wait(&r.gate);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
		next = new_epoch(NULL, "next");
		for (unsigned i = 0; i < 200; i++)
			fresh[i] = new_handle(next, 64);
		pthread_barrier_wait(&r.gate);
		assert_int_equal(live_objects(next), 200);
		for (unsigned i = 0; i < 200; i++)
			assert_int_equal(tslab_handle_free(NULL, fresh[i]), 0);
		assert_int_equal(tslab_epoch_close(next), 0);
	}
	r.stop = true;
	pthread_barrier_wait(&r.gate);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&r.gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_paths_are_counted),
		cmocka_unit_test(arguments),
		cmocka_unit_test(every_class),
		cmocka_unit_test(stale_after_reuse),
		cmocka_unit_test(stale_after_close),
		cmocka_unit_test(stale_after_discard),
		cmocka_unit_test(generation_wrap),
		cmocka_unit_test(other_heaps_handles),
		cmocka_unit_test(heap_id_reuse),
		cmocka_unit_test(forged_handles),
		cmocka_unit_test(handle_and_pointer),
		cmocka_unit_test(one_winner),
		cmocka_unit_test(free_against_discard),
	};

	return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}
