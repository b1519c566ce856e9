/* SPDX-License-Identifier: MIT */
/* Scopes (see test_scope.c) beside other threads, over the end of a thread and over fork. */
#include "scope.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- other threads ------------------------------------------------------------------------------ */

struct visit {
	tslab_epoch_t epoch;
	pthread_barrier_t barrier;
	void *object;
	int error;
};

/* Stays inside until the second meeting, then leaves. */
static void *visit(void *arg)
{
	struct visit *v = arg;

	v->error = tslab_domain_enter(v->epoch);
	v->object = tslab_malloc(128);
	if (v->object)
		fill(v->object, 128, 1);
	pthread_barrier_wait(&v->barrier);
	pthread_barrier_wait(&v->barrier);
	v->error += tslab_domain_exit(v->epoch);
	return NULL;
}

static void another_thread_inside(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct visit v = { .epoch = begin(NULL, "visited") };
		pthread_t thread;
		void *mine = tslab_malloc(64);

		assert_int_equal(pthread_barrier_init(&v.barrier, NULL, 2), 0);
		assert_int_equal(pthread_create(&thread, NULL, visit, &v), 0);
		pthread_barrier_wait(&v.barrier);
		assert_non_null(v.object);
		if (round % 2) {
			assert_int_equal(tslab_scope_discard(v.epoch), -EBUSY);
			assert_int_equal(tslab_domain_current(), TSLAB_EPOCH_NONE);
			assert_int_equal(live_objects(v.epoch), 2);
			assert_true(holds(v.object, 128, 1));
		} else {
			assert_int_equal(tslab_scope_close(v.epoch), 0);
			tslab_free(mine);
		}
		pthread_barrier_wait(&v.barrier);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(v.error, 0);
		assert_int_equal(live_objects(v.epoch), 2 - (round % 2 ? 0 : 1));
		if (round % 2)
			assert_int_equal(tslab_epoch_discard(v.epoch), 0);
		else
			tslab_free(v.object);
		assert_over(v.epoch);
		pthread_barrier_destroy(&v.barrier);
		tslab_epoch_t next = begin(NULL, "visited");
		assert_int_equal(live_objects(next), 0);
		assert_int_equal(tslab_scope_close(next), 0);
	}
}

/* A close with live objects ends with the last of them, wherever it is freed. */
static void closed_with_live_objects(void **state)
{
	void *objects[OBJECTS];
	struct strays rest = { objects, OBJECTS };

	(void)state;
	for (unsigned round = 0; round < 6; round++) {
		tslab_epoch_t epoch = begin(NULL, "drains");

		fill_scope(objects);
		assert_int_equal(tslab_scope_close(epoch), 0);
		assert_int_equal(live_objects(epoch), OBJECTS);
		assert_int_equal(tslab_epoch_close(epoch), -EALREADY);
		tslab_epoch_t next = begin(NULL, "drains");
		assert_int_not_equal(slot_of(next), slot_of(epoch));
		void *p = tslab_malloc(100);
		if (round % 2)
			on_thread(free_strays, &rest);
		else
			free_scope(objects);
		assert_over(epoch);
		assert_int_equal(live_objects(next), 1);
		tslab_free(p);
		assert_int_equal(tslab_scope_close(next), 0);
	}
}

/* Objects of this life that another thread frees while the pair is open, then the close in one step. */
static void freed_elsewhere(void **state)
{
	void *objects[OBJECTS];
	struct strays all = { objects, OBJECTS };

	(void)state;
	tslab_epoch_t last = keep(NULL, "elsewhere");
	for (unsigned round = 0; round < 20; round++) {
		tslab_epoch_t epoch = begin(NULL, "elsewhere");

		assert_next_life(epoch, last);
		fill_scope(objects);
		on_thread(free_strays, &all);
		assert_int_equal(tslab_scope_close(epoch), 0);
		assert_over(epoch);
		last = epoch;
	}
}

static void *open_and_end(void *arg)
{
	struct visit *v = arg;

	v->error = tslab_scope_begin(NULL, "handed over", &v->epoch);
	v->object = tslab_malloc(100);
	fill(v->object, 100, 3);
	return NULL;
}

/* A thread that ends inside: its lane is adopted, and the next life knows nothing of it. */
static void adopted_after_thread_end(void **state)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	struct visit v = { 0 };

	(void)state;
	on_thread(open_and_end, &v);
	assert_int_equal(v.error, 0);
	assert_int_equal(tslab_domain_enter(v.epoch), 0);
	assert_int_equal(tslab_stats_epoch(v.epoch, &s), 0);
	assert_int_equal(s.abandoned, 1);
	assert_int_equal(s.lanes, 1);
	assert_true(holds(v.object, 100, 3));
	assert_int_equal(tslab_scope_discard(v.epoch), 0);
	assert_over(v.epoch);
	tslab_epoch_t next = begin(NULL, "handed over");
	assert_int_equal(tslab_stats_epoch(next, &s), 0);
	assert_int_equal(s.abandoned, 0);
	assert_int_equal(tslab_scope_discard(next), 0);
}

static void *keep_four(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 4; i++) {
		tslab_epoch_t epoch = 0;
		char label[16];

		snprintf(label, sizeof(label), "ended-%u", i);
		if (tslab_scope_begin(NULL, label, &epoch) || !tslab_malloc(30000) ||
		    tslab_scope_discard(epoch))
			abort();
	}
	return NULL;
}

/* A thread's pairs end with it: slots, lanes and memory are found again. */
static void pairs_end_with_their_thread(void **state)
{
	struct tslab_process_stats before, after;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		if (round == 10)
			before = counters();
		on_thread(keep_four, NULL);
	}
	after = counters();
	assert_int_equal(after.retained_bytes, before.retained_bytes);
	assert_int_equal(after.lanes, before.lanes);
	assert_int_equal(after.chunks_fresh, before.chunks_fresh);
	assert_int_equal(after.open_epochs, before.open_epochs);
}

static tslab_heap *shared_heap;

static void *keep_in_shared_heap(void *arg)
{
	pthread_barrier_t *barrier = arg;
	tslab_epoch_t epoch = 0;

	if (tslab_scope_begin(shared_heap, "shared", &epoch) || !tslab_malloc(64) ||
	    tslab_scope_discard(epoch))
		abort();
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	if (tslab_scope_begin(shared_heap, "shared", &epoch) != -EINVAL)
		abort();
	return NULL;
}

/* A pair that another thread keeps is nobody inside, and of no use once the heap is gone. */
static void heap_goes_under_a_kept_pair(void **state)
{
	pthread_barrier_t barrier;
	pthread_t thread;

	(void)state;
	shared_heap = new_heap("shared", 0, TSLAB_RETAIN_DEFAULT_BYTES);
	assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, keep_in_shared_heap, &barrier), 0);
	pthread_barrier_wait(&barrier);
	tslab_epoch_t epoch = begin(shared_heap, "shared");
	assert_int_equal(tslab_heap_destroy(shared_heap), -EBUSY);
	assert_int_equal(tslab_scope_close(epoch), 0);
	assert_int_equal(tslab_heap_destroy(shared_heap), 0);
	pthread_barrier_wait(&barrier);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&barrier);
}

/* -- fork --------------------------------------------------------------------------------------- */

struct inherited {
	tslab_epoch_t kept, open;
	void *of_kept, *of_open;
};

static void go_on_in_child(void *arg)
{
	struct inherited *in = arg;
	tslab_epoch_t epoch = 0;
	struct tslab_process_stats before, after;

	REQUIRE(tslab_domain_current() == in->open);
	REQUIRE(holds(in->of_open, 100, 5));
	/* Before the child's first slow path the counters may still be the parent's. */
	tslab_free(tslab_malloc(1));
	/* The kept pair's memory is nobody's here. */
	before = counters();
	tslab_free(in->of_kept);
	after = counters();
	REQUIRE(refusals(&after) == refusals(&before) + 1);
	for (unsigned i = 0; i < 50; i++) {
		REQUIRE(tslab_scope_begin(NULL, "kept", &epoch) == 0);
		REQUIRE(epoch != in->kept && epoch != in->open);
		for (unsigned k = 0; k < OBJECTS; k++)
			REQUIRE(tslab_malloc(size_of(k)));
		REQUIRE(tslab_scope_discard(epoch) == 0);
	}
	REQUIRE(tslab_domain_current() == in->open);
	tslab_free(in->of_open);
	REQUIRE(tslab_scope_close(in->open) == 0);
	after = counters();
	REQUIRE(after.live_objects == 0);
	REQUIRE(after.open_scopes == 0);
	REQUIRE(after.epochs_finished == 51);
}

static void fork_with_kept_pairs(void **state)
{
	struct inherited in;

	(void)state;
	in.kept = begin(NULL, "kept");
	in.of_kept = tslab_malloc(100);
	in.open = keep(NULL, "open");
	in.open = begin(NULL, "open");
	in.of_open = tslab_malloc(100);
	fill(in.of_open, 100, 5);
	/* Out of order: the long way; once more in order: kept. */
	assert_int_equal(tslab_scope_discard(in.kept), -EPERM);
	in.kept = begin(NULL, "kept");
	in.of_kept = tslab_malloc(100);
	assert_int_equal(tslab_scope_discard(in.kept), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(exited_well(in_child(go_on_in_child, &in)));
	/* The parent goes on with its pairs. */
	assert_true(holds(in.of_open, 100, 5));
	assert_next_life(keep(NULL, "kept"), in.kept);
	assert_int_equal(tslab_scope_discard(in.open), 0);
	assert_next_life(keep(NULL, "open"), in.open);
}

static bool no_more_cycles;

/* Begins and ends, in both modes of the bins, with a second pair inside the first. */
static void *cycles(void *arg)
{
	void *objects[OBJECTS];
	tslab_epoch_t outer, inner;

	(void)arg;
	for (unsigned round = 0; !__atomic_load_n(&no_more_cycles, __ATOMIC_RELAXED); round++) {
		if (tslab_scope_begin(NULL, "outer", &outer) ||
		    tslab_scope_begin(NULL, "inner", &inner))
			abort();
		for (unsigned i = 0; i < OBJECTS; i++)
			objects[i] = tslab_malloc(size_of(i));
		for (unsigned i = 0; i < OBJECTS; i += 1 + round % 3)
			tslab_free(objects[i]);
		if ((round % 3 ? tslab_scope_discard : tslab_scope_close)(inner) ||
		    tslab_scope_close(outer))
			abort();
	}
	return NULL;
}

/* The other thread is gone, wherever it was; all that it kept or began is whole. */
static void go_on_alone(void *unused)
{
	void *objects[OBJECTS];
	tslab_epoch_t epoch = 0;

	(void)unused;
	for (unsigned round = 0; round < 6; round++) {
		REQUIRE(tslab_scope_begin(NULL, round % 2 ? "inner" : "mine", &epoch) == 0);
		for (unsigned i = 0; i < OBJECTS; i++) {
			objects[i] = tslab_malloc(size_of(i));
			REQUIRE(objects[i]);
			fill(objects[i], size_of(i), i);
		}
		for (unsigned i = 0; i < OBJECTS; i++) {
			REQUIRE(holds(objects[i], size_of(i), i));
			tslab_free(objects[i]);
		}
		REQUIRE(tslab_scope_close(epoch) == 0);
	}
	struct tslab_process_stats s = counters();
	REQUIRE(s.epochs_finished == 6);
	REQUIRE(s.open_scopes == 0);
	/* At most what the other thread had allocated, in the two epochs that it was inside. */
	REQUIRE(s.live_objects <= OBJECTS);
	REQUIRE(refusals(&s) == 0);
}

static void fork_at_any_moment(void **state)
{
	pthread_t thread;

	(void)state;
	keep(NULL, "mine");
	no_more_cycles = false;
	assert_int_equal(pthread_create(&thread, NULL, cycles, NULL), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_true(exited_well(in_child(go_on_alone, NULL)));
	__atomic_store_n(&no_more_cycles, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* -- all at once -------------------------------------------------------------------------------- */

/*
 * The keeper begins and ends epochs as fast as it can; a second thread does to the newest id whatever can
 * be done to an epoch. Every life ends, once, and nothing is left.
 */
static tslab_epoch_t newest;
static unsigned wrong;
static bool over;

static void expect(bool ok)
{
	if (!ok)
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static void disturb(tslab_epoch_t epoch, unsigned how)
{
	int error = 0;

	switch (how) {
	case 0:
		error = tslab_domain_enter(epoch);
		if (error)
			break;
		/* NULL if the epoch is closing by now. */
		tslab_free(tslab_malloc(64));
		expect(tslab_domain_exit(epoch) == 0);
		break;
	case 1:
		error = tslab_epoch_close(epoch);
		break;
	case 2:
		error = tslab_epoch_discard(epoch);
		break;
	case 3:
		error = tslab_epoch_set_label(epoch, "disturbed");
		break;
	case 4:
		error = tslab_epoch_set_limit(epoch, 1 << 30);
		break;
	case 5:
		error = tslab_epoch_add_references(epoch, 1);
		break;
	case 6:
		tslab_free(tslab_alloc(epoch, 100));
		break;
	default:
		error = tslab_domain_enter(epoch);
		if (!error)
			error = tslab_scope_discard(epoch);
		break;
	}
	expect(error == 0 || error == -ESTALE || error == -EALREADY || error == -EBUSY);
}

static void *disturber(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		tslab_epoch_t epoch = __atomic_load_n(&newest, __ATOMIC_ACQUIRE);

		if (epoch)
			disturb(epoch, (unsigned)(rnd(&seed) % 8));
	}
	return NULL;
}

enum { LIVES = 30000 };

/* An epoch of the keeper's: its end meets whatever the others do. */
static void keepers_life(unsigned i)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	tslab_epoch_t epoch = 0;
	int error;
	void *p;

	expect(tslab_scope_begin(NULL, "raced", &epoch) == 0);
	expect(tslab_stats_epoch(epoch, &s) != 0 || (s.limit_bytes == 0 && s.references == 0));
	__atomic_store_n(&newest, epoch, __ATOMIC_RELEASE);
	p = tslab_malloc(64);
	if (i % 3 == 0) {
		/* Leaves, so that the others find a parked lane, and ends it from outside. */
		tslab_free(p);
		expect(tslab_domain_exit(epoch) == 0);
		error = i % 2 ? tslab_epoch_close(epoch) : tslab_epoch_discard(epoch);
	} else if (i % 3 == 1) {
		tslab_free(p);
		error = tslab_scope_close(epoch);
	} else {
		error = tslab_scope_discard(epoch);
	}
	while (error == -EBUSY)
		error = tslab_epoch_discard(epoch);
	expect(error == 0 || error == -ESTALE || error == -EALREADY);
	/* Somebody closed it: what is live must be freed. */
	if (i % 3 == 2 && error == -EALREADY)
		tslab_free(p);
}

static void raced(void **state)
{
	enum { OTHERS = 3 };
	pthread_t threads[OTHERS];
	struct tslab_process_stats before, after;

	(void)state;
	keep(NULL, "raced");
	before = counters();
	wrong = 0;
	over = false;
	for (uintptr_t i = 0; i < OTHERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, disturber, (void *)(i * 31 + 7)),
				 0);
	for (unsigned i = 0; i < LIVES; i++)
		keepers_life(i);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < OTHERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	newest = 0;
	assert_int_equal(wrong, 0);
	after = counters();
	assert_int_equal(after.epochs_opened - before.epochs_opened, LIVES);
	assert_int_equal(after.epochs_finished - before.epochs_finished, LIVES);
	assert_int_equal(after.open_epochs, before.open_epochs);
	assert_int_equal(after.open_scopes, before.open_scopes);
	assert_int_equal(after.live_objects, before.live_objects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_thread_inside),
		cmocka_unit_test(closed_with_live_objects),
		cmocka_unit_test(freed_elsewhere),
		cmocka_unit_test(adopted_after_thread_end),
		cmocka_unit_test(pairs_end_with_their_thread),
		cmocka_unit_test(heap_goes_under_a_kept_pair),
		cmocka_unit_test(fork_with_kept_pairs),
		cmocka_unit_test(fork_at_any_moment),
		cmocka_unit_test(raced),
	};

	return cmocka_run_group_tests_name("scope_threads", tests, NULL, NULL);
}
