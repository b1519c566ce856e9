/* SPDX-License-Identifier: MIT */
/* Domains: nesting, misuse, depth, and that every scope belongs to the thread that entered it. */
#include "support.h"

#include <pthread.h>

static tslab_epoch_t epoch_of(const void *ptr)
{
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };

	assert_int_equal(tslab_owner(ptr, &info), 0);
	return info.epoch;
}

static void check_placement(tslab_epoch_t expected)
{
	void *objects[] = { tslab_malloc(1), tslab_calloc(3, 7), tslab_realloc(NULL, 50),
			    tslab_aligned_alloc(256, 10), tslab_malloc(40000) };

	for (unsigned i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		assert_non_null(objects[i]);
		assert_int_equal(epoch_of(objects[i]), expected);
		tslab_free(objects[i]);
	}
}

static void innermost_scope_gets_it(void **state)
{
	(void)state;
	tslab_epoch_t a = new_epoch(NULL, "a"), b = new_epoch(NULL, "b"), c = new_epoch(NULL, "c");

	assert_int_equal(tslab_domain_current(), TSLAB_EPOCH_NONE);
	check_placement(tslab_epoch_default(NULL));
	assert_int_equal(tslab_domain_enter(a), 0);
	check_placement(a);
	assert_int_equal(tslab_domain_enter(b), 0);
	check_placement(b);
	/* The same epoch again, with another in between. */
	assert_int_equal(tslab_domain_enter(a), 0);
	check_placement(a);
	assert_int_equal(tslab_domain_exit(a), 0);
	assert_int_equal(tslab_domain_current(), b);
	check_placement(b);
	/* A named epoch, whatever the scope. */
	void *p = tslab_alloc(c, 64);
	assert_int_equal(epoch_of(p), c);
	tslab_free(p);
	assert_int_equal(tslab_domain_exit(b), 0);
	check_placement(a);
	assert_int_equal(tslab_domain_exit(a), 0);
	assert_int_equal(tslab_domain_current(), TSLAB_EPOCH_NONE);
	assert_int_equal(tslab_epoch_close(a), 0);
	assert_int_equal(tslab_epoch_close(b), 0);
	assert_int_equal(tslab_epoch_close(c), 0);
}

static void exit_without_enter(void **state)
{
	(void)state;
	tslab_epoch_t a = new_epoch(NULL, "a"), b = new_epoch(NULL, "b");

	assert_refused(refused_exit, assert_int_equal(tslab_domain_exit(a), -EINVAL));
	assert_refused(refused_exit, assert_int_equal(tslab_domain_exit(TSLAB_EPOCH_NONE), -EINVAL));
	assert_int_equal(tslab_domain_enter(a), 0);
	assert_refused(refused_exit, assert_int_equal(tslab_domain_exit(b), -EINVAL));
	assert_int_equal(tslab_domain_current(), a);
	assert_int_equal(tslab_domain_exit(a), 0);
	assert_refused(refused_exit, assert_int_equal(tslab_domain_exit(a), -EINVAL));
	assert_int_equal(tslab_epoch_discard(a), 0);
	assert_int_equal(tslab_epoch_discard(b), 0);
}

static void exit_out_of_order(void **state)
{
	(void)state;
	tslab_epoch_t a = new_epoch(NULL, "a"), b = new_epoch(NULL, "b"), c = new_epoch(NULL, "c");

	assert_int_equal(tslab_domain_enter(a), 0);
	assert_int_equal(tslab_domain_enter(b), 0);
	assert_int_equal(tslab_domain_enter(c), 0);
	assert_refused(exits_out_of_order, assert_int_equal(tslab_domain_exit(a), -EPERM));
	/* That scope is left, the scopes above it stay open. */
	assert_int_equal(tslab_domain_current(), c);
	assert_int_equal(tslab_epoch_discard(a), 0);
	assert_int_equal(tslab_epoch_discard(b), -EBUSY);
	assert_refused(refused_exit, assert_int_equal(tslab_domain_exit(a), -EINVAL));
	assert_int_equal(tslab_domain_exit(c), 0);
	assert_int_equal(tslab_domain_current(), b);
	check_placement(b);
	assert_int_equal(tslab_domain_exit(b), 0);
	assert_int_equal(tslab_epoch_discard(b), 0);
	assert_int_equal(tslab_epoch_discard(c), 0);
}

/* The same epoch at two depths, left from the outer one first by name: the newest of them goes. */
static void exit_of_a_twice_entered_epoch(void **state)
{
	(void)state;
	tslab_epoch_t a = new_epoch(NULL, "a"), b = new_epoch(NULL, "b");

	assert_int_equal(tslab_domain_enter(a), 0);
	assert_int_equal(tslab_domain_enter(a), 0);
	assert_int_equal(tslab_domain_enter(b), 0);
	assert_int_equal(tslab_domain_exit(a), -EPERM);
	assert_int_equal(tslab_domain_exit(b), 0);
	assert_int_equal(tslab_domain_current(), a);
	assert_int_equal(tslab_epoch_discard(a), -EBUSY);
	assert_int_equal(tslab_domain_exit(a), 0);
	assert_int_equal(tslab_epoch_discard(a), 0);
	assert_int_equal(tslab_epoch_discard(b), 0);
}

static uint64_t scopes_of(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
	return s.open_scopes;
}

/* Nesting has no small limit, and each level is counted. */
static void deep_nesting(void **state)
{
	(void)state;
	enum { DEEP = 500, EPOCHS = 10 };
	tslab_epoch_t epochs[EPOCHS];

	for (unsigned i = 0; i < EPOCHS; i++)
		epochs[i] = new_epoch(NULL, "deep");
	for (unsigned i = 0; i < DEEP; i++)
		assert_int_equal(tslab_domain_enter(epochs[i % EPOCHS]), 0);
	for (unsigned i = 0; i < EPOCHS; i++)
		assert_int_equal(scopes_of(epochs[i]), DEEP / EPOCHS);
	for (unsigned i = DEEP; i-- > 0;) {
		assert_int_equal(tslab_domain_current(), epochs[i % EPOCHS]);
		assert_int_equal(tslab_domain_exit(epochs[i % EPOCHS]), 0);
	}
	for (unsigned i = 0; i < EPOCHS; i++) {
		assert_int_equal(scopes_of(epochs[i]), 0);
		assert_int_equal(tslab_epoch_discard(epochs[i]), 0);
	}
}

static void *foreign_exit(void *arg)
{
	tslab_epoch_t *epoch = arg;

	return (void *)(intptr_t)tslab_domain_exit(*epoch);
}

/* An exit on a thread that is not inside harms nobody. */
static void exit_on_another_thread(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "mine");
	pthread_t thread;
	void *result;

	assert_int_equal(tslab_domain_enter(epoch), 0);
	void *p = tslab_malloc(77);
	fill(p, 77, 7);
	struct tslab_process_stats before = counters();
	assert_int_equal(pthread_create(&thread, NULL, foreign_exit, &epoch), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, -EINVAL);
	assert_int_equal(counters().refused_exit, before.refused_exit + 1);
	assert_int_equal(tslab_domain_current(), epoch);
	assert_true(holds(p, 77, 7));
	tslab_free(p);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

static void *enter_and_go(void *arg)
{
	tslab_epoch_t *epoch = arg;

	if (tslab_domain_enter_at(*epoch, (const void *)(uintptr_t)enter_and_go) != 0)
		return NULL;
	return tslab_malloc(100);
}

/* A thread that ends inside: its scope is left for it and counted; its objects live on. */
static void thread_ends_inside(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "abandoned");
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	pthread_t thread;
	void *p;

	struct tslab_process_stats before = counters();
	assert_int_equal(pthread_create(&thread, NULL, enter_and_go, &epoch), 0);
	assert_int_equal(pthread_join(thread, &p), 0);
	assert_non_null(p);
	assert_int_equal(counters().scopes_abandoned, before.scopes_abandoned + 1);
	assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
	assert_int_equal(s.abandoned, 1);
	/* An enter without its exit, for ever. */
	assert_int_equal(s.open_scopes, 1);
	assert_int_equal(s.live_objects, 1);
	fill(p, 100, 3);
	assert_true(holds(p, 100, 3));
	tslab_free(p);
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(innermost_scope_gets_it),
		cmocka_unit_test(exit_without_enter),
		cmocka_unit_test(exit_out_of_order),
		cmocka_unit_test(exit_of_a_twice_entered_epoch),
		cmocka_unit_test(deep_nesting),
		cmocka_unit_test(exit_on_another_thread),
		cmocka_unit_test(thread_ends_inside),
	};

	return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
