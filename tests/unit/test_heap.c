/* SPDX-License-Identifier: MIT */
/* Heaps: options, limits, names, destroy, and how many there may be. */
#include "support.h"

#include <pthread.h>

static void default_heap_is_one(void **state)
{
	(void)state;
	tslab_heap *heap = tslab_heap_default();

	assert_non_null(heap);
	assert_ptr_equal(heap, tslab_heap_default());
	assert_int_equal(tslab_heap_destroy(heap), -EPERM);
	void *p = tslab_malloc(10);
	assert_non_null(p);
	tslab_free(p);
}

static void options_are_checked(void **state)
{
	(void)state;
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	options.struct_bytes = 0;
	assert_null_errno(tslab_heap_create(&options), EINVAL);
	options.struct_bytes = 7;
	assert_null_errno(tslab_heap_create(&options), EINVAL);
	options.struct_bytes = SIZE_MAX;
	assert_null_errno(tslab_heap_create(&options), EINVAL);
	options.struct_bytes = sizeof(options);
	tslab_heap *heap = tslab_heap_create(&options);
	assert_non_null(heap);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static void destroy_refuses(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("destroyed", 0, 0);
	tslab_epoch_t other = new_epoch(heap, "other"), epoch = new_epoch(heap, "inside");

	assert_non_null(tslab_alloc(other, 100));
	assert_counted(refused_argument, assert_int_equal(tslab_heap_destroy(NULL), -EINVAL));
	assert_int_equal(tslab_domain_enter(epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), -EBUSY);
	void *p = tslab_malloc(100);
	assert_non_null(p);
	fill(p, 100, 1);
	assert_int_equal(tslab_heap_destroy(heap), -EBUSY);
	assert_true(holds(p, 100, 1));
	assert_int_equal(live_objects(other), 1);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
	assert_counted(refused_argument, assert_int_equal(tslab_heap_destroy(heap), -EINVAL));
}

/* What it keeps for the thread, and an epoch that is closed and does not drain, go with it. */
static void destroy_takes_all(void **state)
{
	(void)state;
	enum { CHUNK = 65536, CLOSED_CHUNKS = 3 };
	struct tslab_process_stats before = counters(), full, after;
	tslab_heap *heap = new_heap("taken", 0, TSLAB_RETAIN_DEFAULT_BYTES);
	tslab_epoch_t closed = new_epoch(heap, "closed"), warm[8];

	assert_non_null(tslab_alloc(closed, 100));
	assert_non_null(tslab_alloc(closed, 100000));
	assert_int_equal(tslab_epoch_close(closed), 0);
	for (unsigned i = 0; i < 8; i++) {
		warm[i] = new_epoch(heap, "warm");
		assert_non_null(tslab_alloc(warm[i], 1000));
	}
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(tslab_epoch_discard(warm[i]), 0);
	full = counters();
	assert_int_equal(full.closing_epochs, before.closing_epochs + 1);
	assert_true(full.retained_bytes >= before.retained_bytes + 8 * CHUNK);
	assert_int_equal(tslab_heap_destroy(heap), 0);
	after = counters();
	assert_int_equal(after.closing_epochs, before.closing_epochs);
	assert_int_equal(after.live_objects, before.live_objects);
	assert_int_equal(after.large_bytes, before.large_bytes);
	/* The thread keeps chunks instead of lanes, and has none of them twice. */
	assert_true(after.retained_bytes <= full.retained_bytes + CLOSED_CHUNKS * CHUNK);
}

/* What a destroyed heap leaves behind: refusals, never a crash. */
static void destroyed_heap_is_refused(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("gone", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "gone");
	tslab_epoch_t unwritten = 0;
	tslab_handle_t handle;

	void *p = tslab_alloc(epoch, 64);
	void *large = tslab_alloc(epoch, 1 << 20);
	assert_non_null(p);
	assert_non_null(large);
	assert_int_equal(tslab_handle_alloc(epoch, 64, &handle), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);

	assert_int_equal(tslab_epoch_open(heap, "late", &unwritten), -EINVAL);
	assert_int_equal(unwritten, 0);
	assert_int_equal(tslab_epoch_default(heap), TSLAB_EPOCH_NONE);
	errno = 0;
	assert_int_equal(tslab_epoch_ring(heap, 0), TSLAB_EPOCH_NONE);
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_int_equal(tslab_epoch_current(heap), TSLAB_EPOCH_NONE);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(tslab_epoch_advance(heap, &unwritten), -EINVAL);
	assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
	assert_int_equal(tslab_domain_enter(epoch), -ESTALE);
	assert_null_errno(tslab_alloc(epoch, 8), ESTALE);
	assert_int_equal(tslab_handle_free(heap, handle), -EINVAL);
	assert_null_errno(tslab_handle_get(heap, handle), EINVAL);
	struct tslab_process_stats before = counters();
	tslab_free(p);
	tslab_free(large);
	struct tslab_process_stats after = counters();
	assert_int_equal(refusals(&after) - refusals(&before), 2);
}

static void names_are_copied_and_cut(void **state)
{
	(void)state;
	char name[] = "invoices";
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	tslab_heap *heap = new_heap(name, 0, 0);
	void *p = tslab_alloc(tslab_epoch_default(heap), 10);

	memset(name, 'x', sizeof(name) - 1);
	assert_int_equal(tslab_owner(p, &info), 0);
	assert_string_equal(info.heap_name, "invoices");
	assert_ptr_equal(info.heap, heap);
	assert_int_equal(tslab_heap_destroy(heap), 0);

	/* 30 bytes, then a character of three: it does not fit into 31 and is cut as a whole. */
	heap = new_heap("123456789012345678901234567890\u20ac", 0, 0);
	p = tslab_alloc(tslab_epoch_default(heap), 10);
	assert_int_equal(tslab_owner(p, &info), 0);
	assert_string_equal(info.heap_name, "123456789012345678901234567890");
	assert_int_equal(tslab_heap_destroy(heap), 0);

	heap = new_heap(NULL, 0, 0);
	p = tslab_alloc(tslab_epoch_default(heap), 10);
	assert_int_equal(tslab_owner(p, &info), 0);
	assert_int_equal(strncmp(info.heap_name, "heap-", 5), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* All heaps that fit, the error for one more, and that all of them can be used again. */
static void heaps_run_out(void **state)
{
	(void)state;
	tslab_heap *heaps[300];
	unsigned count = 0;

	for (; count < 300; count++) {
		errno = 0;
		heaps[count] = tslab_heap_create(NULL);
		if (!heaps[count])
			break;
	}
	assert_int_equal(errno, EAGAIN);
	assert_in_range(count, 200, 255);
	for (unsigned i = 0; i < count; i++) {
		void *p = tslab_alloc(tslab_epoch_default(heaps[i]), 100);
		assert_non_null(p);
		fill(p, 100, i);
	}
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(tslab_heap_destroy(heaps[i]), 0);
	heaps[0] = tslab_heap_create(NULL);
	assert_non_null(heaps[0]);
	assert_int_equal(tslab_heap_destroy(heaps[0]), 0);
}

static void heap_limit_holds(void **state)
{
	(void)state;
	enum { LIMIT = 1 << 20 };
	tslab_heap *heap = new_heap("limited", LIMIT, 0);
	tslab_epoch_t epoch = new_epoch(heap, "limited");
	void *kept[2048];
	unsigned count = 0;

	struct tslab_process_stats before = counters();
	while (count < 2048 && (kept[count] = tslab_alloc(epoch, 1024)))
		fill(kept[count++], 1024, 3);
	assert_int_equal(errno, ENOMEM);
	struct tslab_process_stats after = counters();
	assert_int_equal(after.fail_exhausted - before.fail_exhausted, 1);
	/* Charged by the chunk of 64 KiB, overshot by at most one. */
	assert_in_range(count, LIMIT / 1024 * 7 / 10, LIMIT / 1024 + 64);
	assert_null_errno(tslab_alloc(epoch, LIMIT), ENOMEM);
	for (unsigned i = 0; i < count; i++) {
		assert_true(holds(kept[i], 1024, 3));
		tslab_free(kept[i]);
	}
	assert_int_equal(tslab_epoch_close(epoch), 0);
	/* All is back: the same amount can be had again, in another epoch. */
	epoch = new_epoch(heap, "again");
	void *p = tslab_alloc(epoch, LIMIT / 2);
	assert_non_null(p);
	fill(p, LIMIT / 2, 4);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* Memory of one heap freed through the plain call while another heap is current. */
static void heaps_do_not_mix(void **state)
{
	(void)state;
	tslab_heap *a = new_heap("a", 0, 0), *b = new_heap("b", 0, 0);
	tslab_epoch_t ea = new_epoch(a, "in a"), eb = new_epoch(b, "in b");
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };

	assert_int_equal(tslab_domain_enter(ea), 0);
	void *pa = tslab_malloc(200);
	assert_int_equal(tslab_domain_enter(eb), 0);
	void *pb = tslab_malloc(200);
	fill(pa, 200, 1);
	fill(pb, 200, 2);
	assert_int_equal(tslab_owner(pa, &info), 0);
	assert_ptr_equal(info.heap, a);
	assert_int_equal(tslab_owner(pb, &info), 0);
	assert_ptr_equal(info.heap, b);
	/* realloc keeps the object's epoch and heap, whatever scope the thread is in. */
	pa = tslab_realloc(pa, 5000);
	assert_non_null(pa);
	assert_int_equal(tslab_owner(pa, &info), 0);
	assert_int_equal(info.epoch, ea);
	tslab_free(pa);
	assert_true(holds(pb, 200, 2));
	assert_int_equal(tslab_domain_exit(eb), 0);
	assert_int_equal(tslab_domain_exit(ea), 0);
	assert_int_equal(tslab_heap_destroy(a), 0);
	assert_true(holds(pb, 200, 2));
	tslab_free(pb);
	assert_int_equal(tslab_heap_destroy(b), 0);
}

static void *race_to_first_call(void *arg)
{
	pthread_barrier_t *gate = arg;

	pthread_barrier_wait(gate);
	return tslab_malloc(48);
}

static void first_calls(void *unused)
{
	enum { THREADS = 8 };
	pthread_barrier_t gate;
	pthread_t threads[THREADS];
	void *got[THREADS];

	(void)unused;
	pthread_barrier_init(&gate, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, race_to_first_call, &gate) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		REQUIRE(pthread_join(threads[i], &got[i]) == 0 && got[i]);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned j = 0; j < i; j++)
			REQUIRE(got[i] != got[j]);
		tslab_free(got[i]);
	}
}

/* The very first call of a process made by many threads at once. Must run before any other test. */
static void first_call_by_many(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++)
		assert_true(exited_well(in_child(first_calls, NULL)));
}

static void version_is_the_headers(void **state)
{
	char text[32];

	(void)state;
	snprintf(text, sizeof(text), "%d.%d.%d", TSLAB_VERSION_MAJOR, TSLAB_VERSION_MINOR,
		 TSLAB_VERSION_PATCH);
	assert_string_equal(tslab_version(), text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_call_by_many),
		cmocka_unit_test(version_is_the_headers),
		cmocka_unit_test(default_heap_is_one),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(destroy_refuses),
		cmocka_unit_test(destroy_takes_all),
		cmocka_unit_test(destroyed_heap_is_refused),
		cmocka_unit_test(names_are_copied_and_cut),
		cmocka_unit_test(heaps_run_out),
		cmocka_unit_test(heap_limit_holds),
		cmocka_unit_test(heaps_do_not_mix),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
