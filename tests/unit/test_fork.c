/* SPDX-License-Identifier: MIT */
/* fork: the child may use everything that it inherited, whatever other threads were doing. */
#include "support.h"

#include <link.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h" /* HAVE__DL_FIND_OBJECT */

enum { COUNT = 400 };

struct inherited {
	tslab_heap *heap;
	tslab_epoch_t inside, open, closing;
	void *objects[COUNT];
	void *large;
	tslab_handle_t handles[COUNT];
	void *in_closing;
};

static size_t size_of(unsigned i)
{
	return 16 + i * 37 % 3000;
}

static void make_inheritance(struct inherited *in)
{
	in->heap = new_heap("inherited", 0, TSLAB_RETAIN_DEFAULT_BYTES);
	in->inside = new_epoch(in->heap, "inside");
	in->open = new_epoch(in->heap, "open");
	in->closing = new_epoch(in->heap, "closing");
	assert_int_equal(tslab_domain_enter(in->inside), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		in->objects[i] = tslab_alloc(i % 2 ? in->inside : in->open, size_of(i));
		assert_non_null(in->objects[i]);
		fill(in->objects[i], size_of(i), i);
		assert_int_equal(tslab_handle_alloc(in->open, 64, &in->handles[i]), 0);
	}
	in->large = tslab_alloc(in->open, 500000);
	fill(in->large, 500000, 7);
	in->in_closing = tslab_alloc(in->closing, 100);
	fill(in->in_closing, 100, 8);
	assert_int_equal(tslab_epoch_close(in->closing), 0);
}

static uint64_t live_now(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	REQUIRE(tslab_stats_epoch(epoch, &s) == 0);
	return s.live_objects;
}

static void use_everything(void *arg)
{
	struct inherited *in = arg;
	tslab_epoch_t fresh = 0;

	REQUIRE(tslab_domain_current() == in->inside);
	void *p = tslab_malloc(100);
	REQUIRE(p);
	tslab_free(p);
	/* What was not this process's work is not in its figures, but for what lives. */
	struct tslab_class_stats c = { .struct_bytes = sizeof(c) };
	REQUIRE(counters().slow_path_hits <= 1 && counters().frees == 1);
	REQUIRE(tslab_stats_class(0, &c) == 0 && c.lock_fast == 0 && c.slow_path_misses == 0);
	for (unsigned i = 0; i < COUNT; i++) {
		REQUIRE(holds(in->objects[i], size_of(i), i));
		REQUIRE(tslab_handle_get(in->heap, in->handles[i]));
	}
	for (unsigned i = 0; i < COUNT; i++) {
		tslab_free(in->objects[i]);
		REQUIRE(tslab_handle_free(in->heap, in->handles[i]) == 0);
		REQUIRE(tslab_handle_free(in->heap, in->handles[i]) == -ESTALE);
	}
	REQUIRE(holds(in->large, 500000, 7));
	tslab_free(in->large);
	REQUIRE(live_now(in->inside) == 0);
	REQUIRE(live_now(in->open) == 0);
	/* A double free is found across the fork; as a wild one where the memory is back at the OS. */
	uint64_t before = counters().refused_double + counters().refused_wild;
	tslab_free(in->objects[0]);
	tslab_free(in->objects[1]);
	REQUIRE(counters().refused_double + counters().refused_wild == before + 2);
	/* The scope goes on, the closing epoch ends with its last object. */
	REQUIRE(tslab_domain_exit(in->inside) == 0);
	REQUIRE(tslab_domain_exit(in->inside) == -EINVAL);
	REQUIRE(holds(in->in_closing, 100, 8));
	tslab_free(in->in_closing);
	REQUIRE(tslab_epoch_close(in->closing) == -ESTALE);
	REQUIRE(tslab_epoch_close(in->open) == 0);
	REQUIRE(tslab_epoch_close(in->open) == -ESTALE);
	REQUIRE(tslab_epoch_discard(in->inside) == 0);
	/* And it starts its own. */
	REQUIRE(tslab_epoch_open(in->heap, "child", &fresh) == 0);
	REQUIRE(tslab_domain_enter(fresh) == 0);
	for (unsigned i = 0; i < 5000; i++)
		REQUIRE(tslab_malloc(100));
	REQUIRE(live_now(fresh) == 5000);
	REQUIRE(tslab_domain_exit(fresh) == 0);
	REQUIRE(tslab_epoch_discard(fresh) == 0);
	REQUIRE(tslab_heap_destroy(in->heap) == 0);
	REQUIRE(counters().forks_recovered == 1);
}

static void check_parent(struct inherited *in)
{
	assert_int_equal(tslab_domain_current(), in->inside);
	assert_int_equal(live_objects(in->inside), COUNT / 2);
	assert_int_equal(live_objects(in->open), COUNT / 2 + COUNT + 1);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_true(holds(in->objects[i], size_of(i), i));
		assert_int_equal(tslab_handle_free(in->heap, in->handles[i]), 0);
		tslab_free(in->objects[i]);
	}
	assert_true(holds(in->large, 500000, 7));
	tslab_free(in->large);
	tslab_free(in->in_closing);
	assert_int_equal(tslab_domain_exit(in->inside), 0);
	assert_int_equal(counters().forks_recovered, 0);
	assert_int_equal(tslab_heap_destroy(in->heap), 0);
}

static void child_uses_everything(void **state)
{
	struct inherited in;

	(void)state;
	make_inheritance(&in);
	assert_true(exited_well(in_child(use_everything, &in)));
	assert_true(exited_well(in_child(use_everything, &in)));
	check_parent(&in);
}

struct discard {
	tslab_epoch_t epoch;
	int error;
};

static void *discard(void *arg)
{
	struct discard *discard = arg;

	discard->error = tslab_epoch_discard(discard->epoch);
	return NULL;
}

/* Objects of many nodes, half of which another thread freed while this one was inside; the others then. */
static void frees_go_on(void *arg)
{
	struct strays rest = *(struct strays *)arg;
	tslab_epoch_t epoch = tslab_domain_current();
	struct discard busy = { epoch, 0 };

	on_thread(free_strays, &rest);
	/* The thread that forked is inside still. */
	on_thread(discard, &busy);
	REQUIRE(busy.error == -EBUSY);
	REQUIRE(tslab_domain_exit(epoch) == 0);
	REQUIRE(live_now(epoch) == 0);
	REQUIRE(counters().refused_double == 0);
	REQUIRE(tslab_epoch_close(epoch) == 0 && tslab_epoch_close(epoch) == -ESTALE);
}

static void frees_that_wait(void **state)
{
	void *objects[COUNT];
	struct strays first = { objects, COUNT / 2 }, rest = { objects + COUNT / 2, COUNT / 2 };
	tslab_epoch_t epoch = new_epoch(NULL, "waits");

	(void)state;
	assert_int_equal(tslab_domain_enter(epoch), 0);
	/* The first half of the table is every second object. */
	for (unsigned i = 0; i < COUNT; i++)
		assert_non_null(objects[i / 2 + i % 2 * (COUNT / 2)] = tslab_malloc(64));
	on_thread(free_strays, &first);
	assert_true(exited_well(in_child(frees_go_on, &rest)));
	on_thread(free_strays, &rest);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

static void grandchild(void *arg)
{
	int status = 0;
	struct inherited *in = arg;

	tslab_free(in->objects[0]);
	in->objects[0] = tslab_alloc(in->open, size_of(0));
	REQUIRE(in->objects[0]);
	fill(in->objects[0], size_of(0), 0);
	pid_t pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		for (unsigned i = 0; i < COUNT; i++) {
			REQUIRE(holds(in->objects[i], size_of(i), i));
			tslab_free(in->objects[i]);
		}
		REQUIRE(live_now(in->inside) == 0);
		REQUIRE(tslab_domain_exit(in->inside) == 0);
		REQUIRE(tslab_epoch_discard(in->inside) == 0);
		_exit(0);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	REQUIRE(live_now(in->inside) == COUNT / 2);
}

/* -- whatever its first call is, the child takes over before it does anything -- */

static bool free_a_handle(struct inherited *in)
{
	return tslab_handle_free(in->heap, in->handles[0]) == 0;
}

static bool free_an_object(struct inherited *in)
{
	tslab_free(in->objects[0]);
	return true;
}

static bool allocate(struct inherited *in)
{
	(void)in;
	return tslab_malloc(500) != NULL;
}

static bool open_an_epoch(struct inherited *in)
{
	tslab_epoch_t epoch = 0;

	return tslab_epoch_open(in->heap, "first", &epoch) == 0;
}

static bool discard_an_epoch(struct inherited *in)
{
	return tslab_epoch_discard(in->open) == 0;
}

static bool close_an_epoch(struct inherited *in)
{
	return tslab_epoch_close(in->open) == 0;
}

static bool advance_the_ring(struct inherited *in)
{
	tslab_epoch_t epoch = 0;

	return tslab_epoch_advance(in->heap, &epoch) == 0;
}

static bool enter_another(struct inherited *in)
{
	return tslab_domain_enter(in->open) == 0;
}

static bool begin_a_scope(struct inherited *in)
{
	tslab_epoch_t epoch = 0;

	return tslab_scope_begin(in->heap, "kept", &epoch) == 0;
}

static bool leave(struct inherited *in)
{
	return tslab_domain_exit(in->inside) == 0;
}

static const struct first_call {
	bool (*call)(struct inherited *in);
	int scopes;       /* that it opens */
	int inside, open; /* objects that it adds there; 0 in an epoch that goes */
} first_calls[] = {
	{ free_a_handle, 0, 0, -1 },   { free_an_object, 0, 0, -1 },  { allocate, 0, 1, 0 },
	{ open_an_epoch, 0, 0, 0 },    { discard_an_epoch, 0, 0, 0 }, { close_an_epoch, 0, 0, 0 },
	{ advance_the_ring, 0, 0, 0 }, { enter_another, 1, 0, 0 },    { begin_a_scope, 1, 0, 0 },
	{ leave, -1, 0, 0 },
};

static struct inherited inherited;

static void call_first(void *arg)
{
	const struct first_call *first = arg;
	struct tslab_thread_stats s = { .struct_bytes = sizeof(s) };
	struct tslab_epoch_stats open = { .struct_bytes = sizeof(open) };
	unsigned scopes = (unsigned)(1 + first->scopes);

	REQUIRE(first->call(&inherited));
	REQUIRE(counters().forks_recovered == 1);
	REQUIRE(counters().open_scopes == scopes);
	REQUIRE(tslab_stats_thread((int)gettid(), &s) == 0 && s.open_scopes == scopes);
	REQUIRE(live_now(inherited.inside) == (uint64_t)(COUNT / 2 + first->inside));
	REQUIRE(first->call == discard_an_epoch ?
			tslab_stats_epoch(inherited.open, &open) == -ESTALE :
			live_now(inherited.open) == (uint64_t)(COUNT / 2 + COUNT + 1 + first->open));
}

static void first_call_of_the_child(void **state)
{
	tslab_epoch_t kept;

	(void)state;
	make_inheritance(&inherited);
	/* A pair that the thread keeps, which a child must not take as it is. */
	kept = begin(inherited.heap, "kept");
	assert_non_null(tslab_malloc(100));
	assert_int_equal(tslab_scope_discard(kept), 0);
	for (size_t i = 0; i < sizeof(first_calls) / sizeof(first_calls[0]); i++)
		if (!exited_well(in_child(call_first, (void *)(uintptr_t)&first_calls[i])))
			fail_msg("first call %zu", i);
	check_parent(&inherited);
}

static void children_of_children(void **state)
{
	struct inherited in;

	(void)state;
	make_inheritance(&in);
	assert_true(exited_well(in_child(grandchild, &in)));
	check_parent(&in);
}

static void never_used_before(void *arg)
{
	(void)arg;
	void *p = tslab_malloc(100);
	REQUIRE(p);
	fill(p, 100, 1);
	REQUIRE(holds(p, 100, 1));
	tslab_free(p);
}

static void first_use_in_the_child(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(never_used_before, NULL)));
}

/* -- fork while other threads allocate, free, enter, close and discard -- */

static struct {
	tslab_heap *heap;
	bool stop;
	void *mail[64];
} busy;

static void *be_busy(void *arg)
{
	uint64_t seed = (uintptr_t)&arg | 1;

	(void)arg;
	while (!__atomic_load_n(&busy.stop, __ATOMIC_RELAXED)) {
		tslab_epoch_t epoch = 0;
		tslab_handle_t handle = 0;

		if (tslab_epoch_open(busy.heap, "busy", &epoch) || tslab_domain_enter(epoch))
			abort();
		for (unsigned i = 0; i < 50; i++) {
			void *p = tslab_malloc(16 + rnd(&seed) % 2000);
			void *old = __atomic_exchange_n(&busy.mail[rnd(&seed) % 64], p,
							__ATOMIC_ACQ_REL);

			tslab_free(old);
		}
		if (tslab_handle_alloc(epoch, 48, &handle) || tslab_handle_free(busy.heap, handle))
			abort();
		if (tslab_domain_exit(epoch) || tslab_epoch_close(epoch))
			abort();
	}
	return NULL;
}

/* What the child finds is anything a thread may have been in the middle of. */
static void use_after_busy_fork(void *arg)
{
	tslab_epoch_t kept = *(tslab_epoch_t *)arg, fresh = 0;

	for (unsigned i = 0; i < 64; i++)
		tslab_free(busy.mail[i]);
	tslab_free(tslab_alloc(kept, 500));
	REQUIRE(live_now(kept) == 1);
	for (unsigned round = 0; round < 20; round++) {
		void *objects[100];

		REQUIRE(tslab_epoch_open(busy.heap, "child", &fresh) == 0);
		REQUIRE(tslab_domain_enter(fresh) == 0);
		for (unsigned i = 0; i < 100; i++) {
			objects[i] = tslab_malloc(16 + i * 29);
			REQUIRE(objects[i]);
			fill(objects[i], 16 + i * 29, i);
		}
		for (unsigned i = 0; i < 100; i++) {
			REQUIRE(holds(objects[i], 16 + i * 29, i));
			tslab_free(objects[i]);
		}
		REQUIRE(live_now(fresh) == 0);
		REQUIRE(tslab_domain_exit(fresh) == 0);
		REQUIRE(round % 2 ? tslab_epoch_close(fresh) == 0 : tslab_epoch_discard(fresh) == 0);
	}
	REQUIRE(tslab_epoch_discard(kept) == 0);
}

static void fork_under_load(void **state)
{
	pthread_t threads[3];

	(void)state;
	memset(&busy, 0, sizeof(busy));
	busy.heap = new_heap("busy", 0, TSLAB_RETAIN_DEFAULT_BYTES);
	tslab_epoch_t kept = new_epoch(busy.heap, "kept");
	void *p = tslab_alloc(kept, 300);
	fill(p, 300, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, be_busy, NULL), 0);
	for (unsigned i = 0; i < 150; i++)
		assert_true(exited_well(in_child(use_after_busy_fork, &kept)));
	__atomic_store_n(&busy.stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 64; i++)
		tslab_free(busy.mail[i]);
	assert_true(holds(p, 300, 3));
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	assert_int_equal(tslab_stats_epoch(kept, &s), 0);
	assert_int_equal(s.live_objects, 1);
	assert_int_equal(counters().closing_epochs, 0);
	assert_int_equal(tslab_heap_destroy(busy.heap), 0);
}

/* -- fork while another thread opens slabs in memory that was never used ------------------------- */

enum { FORKS = 50, OBJECTS = 300 };

static struct {
	tslab_epoch_t epoch;
	uint64_t made, allowed;
} opener;

static void *open_slabs(void *unused)
{
	if (tslab_domain_enter(opener.epoch))
		abort();
	/* Of one unit, of several, and a large one; nothing is written, so that the memory costs nothing. */
	static const size_t sizes[] = { 4000, 7000, 20000, 1000, 30000, 100000 };

	while (opener.made < OBJECTS * FORKS) {
		if (opener.made == __atomic_load_n(&opener.allowed, __ATOMIC_RELAXED))
			continue;
		if (!tslab_malloc(sizes[opener.made % 6]))
			abort();
		__atomic_store_n(&opener.made, opener.made + 1, __ATOMIC_RELEASE);
	}
	if (tslab_domain_exit(opener.epoch))
		abort();
	return unused;
}

/* One object may have been on its way to the other thread; a slab that was being opened has none. */
static void count_what_lives(void *unused)
{
	tslab_epoch_t fresh = 0;

	(void)unused;
	REQUIRE(tslab_epoch_open(NULL, "recovers", &fresh) == 0);
	REQUIRE(tslab_epoch_close(fresh) == 0);
	REQUIRE(live_now(opener.epoch) - opener.made <= 1);
}

static void fork_beside_fresh_slabs(void **state)
{
	pthread_t thread;

	(void)state;
	opener.epoch = new_epoch(NULL, "opener");
	assert_int_equal(pthread_create(&thread, NULL, open_slabs, NULL), 0);
	for (unsigned i = 1; i <= FORKS; i++) {
		__atomic_store_n(&opener.allowed, i * OBJECTS, __ATOMIC_RELAXED);
		assert_true(exited_well(in_child(count_what_lives, NULL)));
	}
	pthread_join(thread, NULL);
	assert_int_equal(tslab_epoch_discard(opener.epoch), 0);
}

/* -- fork while another thread has the loader's lock, as one has that unwinds an exception -- */

#ifdef HAVE__DL_FIND_OBJECT
static bool has_the_lock, may_give_it_back;

static int keep_the_lock(struct dl_phdr_info *info, size_t bytes, void *unused)
{
	(void)info;
	(void)bytes;
	(void)unused;
	__atomic_store_n(&has_the_lock, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&may_give_it_back, __ATOMIC_ACQUIRE))
		usleep(1000);
	return 1;
}

static void *walk_modules(void *unused)
{
	dl_iterate_phdr(keep_the_lock, unused);
	return NULL;
}

/* At a place that nobody has entered from yet. */
static void enter_somewhere_new(void *arg)
{
	alarm(60);
	REQUIRE(tslab_domain_enter(*(tslab_epoch_t *)arg) == 0);
	REQUIRE(tslab_domain_exit(*(tslab_epoch_t *)arg) == 0);
}

static void fork_beside_the_loader(void **state)
{
	tslab_epoch_t epoch = new_epoch(NULL, "beside");
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, walk_modules, NULL), 0);
	while (!__atomic_load_n(&has_the_lock, __ATOMIC_ACQUIRE))
		usleep(1000);
	int status = in_child(enter_somewhere_new, &epoch);
	__atomic_store_n(&may_give_it_back, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(exited_well(status));
	assert_int_equal(tslab_epoch_close(epoch), 0);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_use_in_the_child),
		cmocka_unit_test(child_uses_everything),
		cmocka_unit_test(frees_that_wait),
		cmocka_unit_test(first_call_of_the_child),
		cmocka_unit_test(children_of_children),
		cmocka_unit_test(fork_under_load),
		cmocka_unit_test(fork_beside_fresh_slabs),
#ifdef HAVE__DL_FIND_OBJECT
		cmocka_unit_test(fork_beside_the_loader),
#endif
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
