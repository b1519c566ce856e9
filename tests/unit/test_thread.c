/* SPDX-License-Identifier: MIT */
/*
 * Threads: hand-over, ends of threads, rotation under load, large numbers of slabs, a stopped process.
 * The workloads are the ones under which earlier allocators of this kind failed.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4 };

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Threads that check their work count what went wrong here; no cmocka assertion outside main. */
static unsigned wrongs;

static void check(bool ok)
{
	if (!ok)
		__atomic_fetch_add(&wrongs, 1, __ATOMIC_RELAXED);
}

static void run_threads(unsigned count, void *(*body)(void *), void *arg)
{
	pthread_t threads[64];

	wrongs = 0;
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body, arg), 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(wrongs, 0);
}

/* -- objects of 768 bytes, batches of 4 to 8, from many threads in one epoch, inside and outside -- */

struct batches {
	tslab_epoch_t epoch;
	bool inside;
	size_t bytes;
};

static void *run_batches(void *arg)
{
	struct batches *b = arg;
	uint64_t seed = (uintptr_t)&b ^ 0x1234567;

	check(!b->inside || tslab_domain_enter(b->epoch) == 0);
	for (unsigned round = 0; round < 20000; round++) {
		void *objects[8];
		unsigned count = 4 + (unsigned)(rnd(&seed) % 5);

		for (unsigned i = 0; i < count; i++) {
			objects[i] = tslab_alloc(b->epoch, b->bytes);
			if (objects[i])
				fill(objects[i], 32, round + i);
			check(objects[i] != NULL);
		}
		for (unsigned i = 0; i < count; i++) {
			check(objects[i] && holds(objects[i], 32, round + i));
			tslab_free(objects[i]);
		}
	}
	check(!b->inside || tslab_domain_exit(b->epoch) == 0);
	return NULL;
}

static void batches_from_many_threads(void **state)
{
	static const size_t sizes[] = { 768, 512 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct batches b = { new_epoch(NULL, "batches"), i % 2, sizes[i / 2] };

		run_threads(8, run_batches, &b);
		assert_int_equal(live_objects(b.epoch), 0);
		assert_int_equal(tslab_epoch_close(b.epoch), 0);
		assert_int_equal(tslab_epoch_close(b.epoch), -ESTALE);
	}
}

/* -- producer to consumer: everything is freed by another thread -- */

enum { RING = 1024, SENT = 300000 };
static struct {
	void *slots[RING];
	tslab_epoch_t epoch;
} pipeline;

static void *produce(void *arg)
{
	(void)arg;
	check(tslab_domain_enter(pipeline.epoch) == 0);
	for (unsigned i = 0; i < SENT; i++) {
		void **slot = &pipeline.slots[i % RING];
		void *p = tslab_malloc(32 + i % 300);

		check(p != NULL);
		if (p)
			fill(p, 32, i);
		while (__atomic_load_n(slot, __ATOMIC_RELAXED))
			sched_yield();
		__atomic_store_n(slot, p, __ATOMIC_RELEASE);
	}
	check(tslab_domain_exit(pipeline.epoch) == 0);
	return NULL;
}

static void *consume(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < SENT; i++) {
		void **slot = &pipeline.slots[i % RING], *p;

		while (!(p = __atomic_load_n(slot, __ATOMIC_ACQUIRE)))
			sched_yield();
		check(holds(p, 32, i));
		tslab_free(p);
		__atomic_store_n(slot, NULL, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void producer_to_consumer(void **state)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	pthread_t producer, consumer;

	(void)state;
	wrongs = 0;
	pipeline.epoch = new_epoch(NULL, "pipeline");
	pthread_create(&producer, NULL, produce, NULL);
	pthread_create(&consumer, NULL, consume, NULL);
	pthread_join(producer, NULL);
	pthread_join(consumer, NULL);
	assert_int_equal(wrongs, 0);
	assert_int_equal(tslab_stats_epoch(pipeline.epoch, &s), 0);
	assert_int_equal(s.live_objects, 0);
	/* The ring holds 1024 objects of at most 331 bytes: memory stays in proportion to that. */
	assert_true(s.committed_bytes <= 8u << 20);
	assert_int_equal(tslab_epoch_close(pipeline.epoch), 0);
	assert_int_equal(tslab_epoch_close(pipeline.epoch), -ESTALE);
}

/* -- far more slabs than 8192, made by one thread, freed by a second -- */

enum { MANY = 800000 };
static void **many;

static void *free_many_slabs(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < MANY; i++) {
		check(*(unsigned *)many[i] == i);
		tslab_free(many[i]);
	}
	return NULL;
}

static void ten_thousand_slabs(void **state)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	(void)state;
	many = malloc(MANY * sizeof(*many));
	assert_non_null(many);
	tslab_epoch_t epoch = new_epoch(NULL, "slabs");
	assert_int_equal(tslab_domain_enter(epoch), 0);
	for (unsigned i = 0; i < MANY; i++) {
		many[i] = tslab_malloc(128);
		assert_non_null(many[i]);
		*(unsigned *)many[i] = i;
	}
	assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
	assert_true(s.slab_units > 10000);
	run_threads(1, free_many_slabs, NULL);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
	free(many);
}

/* -- rotation: workers allocate in the ring's epoch while one thread advances and closes -- */

static struct {
	tslab_heap *heap;
	bool stop;
	uint64_t done, refused;
} rotation;

static void *rotate_worker(void *arg)
{
	uint64_t seed = (uintptr_t)&arg | 1, done = 0, refused = 0;
	void *kept[64] = { NULL };

	(void)arg;
	do {
		tslab_epoch_t epoch = tslab_epoch_current(rotation.heap);
		unsigned slot = (unsigned)(rnd(&seed) % 64);
		bool inside = rnd(&seed) % 2 && tslab_domain_enter(epoch) == 0;

		if (kept[slot]) {
			check(holds(kept[slot], 128, slot));
			tslab_free(kept[slot]);
		}
		errno = 0;
		kept[slot] = tslab_alloc(epoch, 128);
		if (kept[slot]) {
			fill(kept[slot], 128, slot);
			done++;
		} else {
			check(errno == ESTALE);
			refused++;
		}
		check(!inside || tslab_domain_exit(epoch) == 0);
	} while (!__atomic_load_n(&rotation.stop, __ATOMIC_RELAXED));
	for (unsigned slot = 0; slot < 64; slot++) {
		check(!kept[slot] || holds(kept[slot], 128, slot));
		tslab_free(kept[slot]);
	}
	__atomic_fetch_add(&rotation.done, done, __ATOMIC_RELAXED);
	__atomic_fetch_add(&rotation.refused, refused, __ATOMIC_RELAXED);
	return NULL;
}

static void *rotate(void *arg)
{
	const unsigned pause_us = *(unsigned *)arg;
	double end = seconds() + 1.5;

	while (seconds() < end) {
		tslab_epoch_t old = tslab_epoch_current(rotation.heap);
		int result = tslab_epoch_advance(rotation.heap, NULL);

		check(result == 0);
		result = tslab_epoch_close(old);
		check(result == -EALREADY || result == -ESTALE);
		if (pause_us)
			usleep(pause_us);
	}
	__atomic_store_n(&rotation.stop, true, __ATOMIC_RELAXED);
	return NULL;
}

static void rotation_under_load(void **state)
{
	static unsigned pauses_us[] = { 0, 100, 1000 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		pthread_t rotator;

		memset(&rotation, 0, sizeof(rotation));
		rotation.heap = new_heap("rotation", 0, TSLAB_RETAIN_DEFAULT_BYTES);
		uint64_t refused = counters().fail_closing;
		pthread_create(&rotator, NULL, rotate, &pauses_us[i]);
		run_threads(THREADS, rotate_worker, NULL);
		pthread_join(rotator, NULL);
		assert_int_equal(wrongs, 0);
		assert_true(rotation.done > 0);
		assert_true(counters().fail_closing - refused >= rotation.refused);
		print_message("# pause %u us: %llu allocated, %llu refused\n", pauses_us[i],
			      (unsigned long long)rotation.done,
			      (unsigned long long)rotation.refused);
		assert_int_equal(tslab_heap_destroy(rotation.heap), 0);
	}
}

/* -- threads that end -- */

static struct {
	tslab_epoch_t epoch;
	void *left[8];
} ending;

static void *leave_objects(void *arg)
{
	(void)arg;
	check(tslab_domain_enter(ending.epoch) == 0);
	for (unsigned i = 0; i < 8; i++) {
		void *p = tslab_malloc(100 + i * 3000);

		check(p != NULL);
		if (p)
			fill(p, 100, i);
		__atomic_store_n(&ending.left[i], p, __ATOMIC_RELAXED);
		tslab_free(tslab_malloc(50));
	}
	check(tslab_domain_exit(ending.epoch) == 0);
	return NULL;
}

/* Thousands of short threads: their lanes are taken over, not added up. */
static void short_threads(void **state)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	(void)state;
	ending.epoch = new_epoch(NULL, "short");
	for (unsigned round = 0; round < 1000; round++) {
		run_threads(1, leave_objects, NULL);
		for (unsigned i = 0; i < 8; i++) {
			assert_true(holds(ending.left[i], 100, i));
			tslab_free(ending.left[i]);
		}
	}
	assert_int_equal(tslab_stats_epoch(ending.epoch, &s), 0);
	assert_int_equal(s.live_objects, 0);
	assert_true(s.lanes <= 4);
	assert_true(s.committed_bytes <= 4u << 20);
	assert_true(counters().threads <= 4);
	assert_int_equal(tslab_epoch_close(ending.epoch), 0);
	assert_int_equal(tslab_epoch_close(ending.epoch), -ESTALE);
}

static pthread_key_t late_keys[3];
static unsigned late_runs;

/* Runs after the library's own destructor in at least one round: allocation must still work. */
static void late_destructor(void *value)
{
	uintptr_t rounds = (uintptr_t)value;
	void *p = tslab_malloc(200), *q = tslab_alloc(ending.epoch, 3000);

	check(p && q);
	if (p)
		fill(p, 200, rounds);
	check(p && holds(p, 200, rounds));
	tslab_free(p);
	tslab_free(q);
	tslab_free(__atomic_exchange_n(&ending.left[rounds % 8], NULL, __ATOMIC_RELAXED));
	/* A thread at its end may be refused a scope, for nobody could leave it any more. */
	int error = tslab_domain_enter(ending.epoch);
	check(error == 0 || error == -ENOMEM);
	check(error || tslab_domain_exit(ending.epoch) == 0);
	__atomic_fetch_add(&late_runs, 1, __ATOMIC_RELAXED);
	if (rounds > 1)
		pthread_setspecific(late_keys[0], (void *)(rounds - 1));
}

static void *set_keys(void *arg)
{
	for (unsigned i = 0; i < 3; i++)
		pthread_setspecific(late_keys[i], (void *)(uintptr_t)(i ? 1 : 4));
	return leave_objects(arg);
}

static void destructors_that_allocate(void **state)
{
	(void)state;
	ending.epoch = new_epoch(NULL, "destructors");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_key_create(&late_keys[i], late_destructor), 0);
	late_runs = 0;
	for (unsigned round = 0; round < 50; round++) {
		run_threads(1, set_keys, NULL);
		/* Atomic, for ThreadSanitizer does not know that a join waits for destructors too. */
		for (unsigned i = 0; i < 8; i++)
			tslab_free(__atomic_load_n(&ending.left[i], __ATOMIC_RELAXED));
	}
	assert_int_equal(__atomic_load_n(&late_runs, __ATOMIC_RELAXED), 50 * 6);
	assert_int_equal(live_objects(ending.epoch), 0);
	assert_true(counters().threads <= 4);
	for (unsigned i = 0; i < 3; i++)
		pthread_key_delete(late_keys[i]);
	assert_int_equal(tslab_epoch_discard(ending.epoch), 0);
}

/* -- one epoch, opened here, used by all, closed while they use it -- */

static struct {
	tslab_epoch_t epoch;
	pthread_barrier_t gate;
	void *objects[THREADS][100];
	unsigned next;
} shared;

static void *use_while_closing(void *arg)
{
	unsigned me = __atomic_fetch_add(&shared.next, 1, __ATOMIC_RELAXED);

	(void)arg;
	pthread_barrier_wait(&shared.gate);
	bool inside = tslab_domain_enter(shared.epoch) == 0;
	for (unsigned i = 0; i < 100; i++) {
		shared.objects[me][i] = tslab_alloc(shared.epoch, 200);
		if (shared.objects[me][i])
			fill(shared.objects[me][i], 200, me * 100 + i);
	}
	check(!inside || tslab_domain_exit(shared.epoch) == 0);
	pthread_barrier_wait(&shared.gate);
	/* Free those of the next thread. */
	unsigned other = (me + 1) % THREADS;
	for (unsigned i = 0; i < 100; i++) {
		void *p = shared.objects[other][i];

		check(!p || holds(p, 200, other * 100 + i));
		tslab_free(p);
	}
	return NULL;
}

static void *close_meanwhile(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&shared.gate);
	check(tslab_epoch_close(shared.epoch) == 0);
	pthread_barrier_wait(&shared.gate);
	return NULL;
}

/* Close races with enter, allocation and frees: it finishes exactly once, always. */
static void close_in_the_middle(void **state)
{
	(void)state;
	pthread_barrier_init(&shared.gate, NULL, THREADS + 1);
	for (unsigned round = 0; round < 300; round++) {
		pthread_t closer;
		struct tslab_process_stats before = counters();

		shared.next = 0;
		shared.epoch = new_epoch(NULL, "closing");
		pthread_create(&closer, NULL, close_meanwhile, NULL);
		run_threads(THREADS, use_while_closing, NULL);
		pthread_join(closer, NULL);
		assert_int_equal(tslab_epoch_close(shared.epoch), -ESTALE);
		assert_int_equal(counters().epochs_finished - before.epochs_finished, 1);
		assert_int_equal(counters().live_objects, before.live_objects);
	}
	pthread_barrier_destroy(&shared.gate);
}

/* -- a process that is stopped for longer than any patience, while it waits for locks -- */

static void work_until_killed(void *arg)
{
	int out = *(int *)arg;
	pthread_t threads[THREADS];
	pthread_t rotator;
	unsigned pause_us = 100;

	memset(&rotation, 0, sizeof(rotation));
	wrongs = 0;
	rotation.heap = tslab_heap_default();
	for (unsigned i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, rotate_worker, NULL) == 0);
	REQUIRE(write(out, "x", 1) == 1);
	/* The rotator's clock runs on while the process is stopped: it ends soon after it continues. */
	REQUIRE(pthread_create(&rotator, NULL, rotate, &pause_us) == 0);
	pthread_join(rotator, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	REQUIRE(wrongs == 0);
	REQUIRE(rotation.done > 0);
}

static void stopped_for_seconds(void **state)
{
	int ends[2], status = 0;
	char byte;

	(void)state;
	fflush(NULL);
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		work_until_killed(&ends[1]);
		_exit(0);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	usleep(200000);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	sleep(6);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(exited_well(status));
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* Forks, so it comes before this process has used the library: fork has its own tests. */
		cmocka_unit_test(stopped_for_seconds),
		cmocka_unit_test(batches_from_many_threads),
		cmocka_unit_test(producer_to_consumer),
		cmocka_unit_test(ten_thousand_slabs),
		cmocka_unit_test(rotation_under_load),
		cmocka_unit_test(short_threads),
		cmocka_unit_test(destructors_that_allocate),
		cmocka_unit_test(close_in_the_middle),
	};

	return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
