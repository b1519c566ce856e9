/* SPDX-License-Identifier: MIT */
/* The time of one allocation in so many: how many are taken, on every way out, and what they say. */
#include "../unit/support.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "core/control.h"
#include "core/lock.h"
#include "core/thread.h"

static struct tslab_thread_stats self_now(void)
{
	struct tslab_thread_stats stats = { .struct_bytes = sizeof(stats) };

	assert_int_equal(tslab_stats_thread(0, &stats), 0);
	return stats;
}

static void set_interval(uint64_t interval)
{
	ts_a64_store_rlx(&ts_control()->sample_interval, interval);
}

/* Instead of the C library's: who asks for the time is counted. */
static atomic_ulong clock_reads;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	clock_reads++;
	return (int)syscall(SYS_clock_gettime, clock, now);
}

/* From the environment: the first allocation of the process counts as well. */
static void one_in_1024(void **state)
{
	struct tslab_thread_stats s;

	(void)state;
	for (unsigned i = 0; i < 10000000; i++)
		tslab_free(tslab_malloc(16 + i % 1000));
	s = self_now();
	assert_in_range(s.alloc_samples, 9764, 9766);
	assert_true(s.alloc_wall_ns_sum > 0 && s.alloc_wall_ns_max > 0);
	assert_true(s.alloc_wall_ns_max <= s.alloc_wall_ns_sum);
	assert_true(s.alloc_cpu_ns_max <= s.alloc_cpu_ns_sum);
	assert_true(s.alloc_wait_ns_sum + s.alloc_cpu_ns_sum >= s.alloc_wall_ns_sum);
	assert_int_equal(counters().sample_interval, 1024);
}

/* Interval 1: every allocation, whichever way it takes and however it ends. */
static void every_way_out(void **state)
{
	tslab_epoch_t epoch = new_epoch(NULL, "ways"), closed = new_epoch(NULL, "closed");
	void *kept = tslab_alloc(closed, 100);
	uint64_t before;

	(void)state;
	assert_int_equal(tslab_epoch_close(closed), 0);
	set_interval(1);
	tslab_free(tslab_malloc(100)); /* this lane takes notice here at the latest */
#define TAKES_ONE(allocation)                                                                      \
	do {                                                                                       \
		before = self_now().alloc_samples;                                                 \
		allocation;                                                                        \
		assert_int_equal(self_now().alloc_samples - before, 1);                            \
	} while (0)
	TAKES_ONE(tslab_free(tslab_malloc(100)));
	TAKES_ONE(tslab_free(tslab_malloc(100000)));
	TAKES_ONE(tslab_free(tslab_calloc(10, 10)));
	TAKES_ONE(tslab_free(tslab_aligned_alloc(4096, 100)));
	TAKES_ONE(tslab_free(tslab_alloc(epoch, 100)));
	TAKES_ONE(assert_null(tslab_malloc(SIZE_MAX / 2)));
	TAKES_ONE(assert_null(tslab_alloc(closed, 100)));
	TAKES_ONE(assert_null(tslab_alloc(TSLAB_EPOCH_NONE, 100)));
	for (int i = 0; i < 3; i++) {
		/* A warm lane that is bound anew. */
		assert_int_equal(tslab_domain_enter(epoch), 0);
		TAKES_ONE(assert_non_null(tslab_malloc(64)));
		assert_int_equal(tslab_domain_exit(epoch), 0);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
		epoch = new_epoch(NULL, "ways");
	}
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	tslab_free(kept);
}

/* A close while sampling is on stays a close. */
static void closing_while_sampled(void **state)
{
	tslab_epoch_t epoch = new_epoch(NULL, "sampled");

	(void)state;
	set_interval(1);
	assert_int_equal(tslab_domain_enter(epoch), 0);
	void *kept = tslab_malloc(100);
	assert_non_null(kept);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_null_errno(tslab_malloc(100), ESTALE);
	set_interval(0);
	assert_null_errno(tslab_malloc(100), ESTALE);
	tslab_free(kept);
	assert_int_equal(tslab_domain_exit(epoch), 0);
}

/* A thread that is inside, and whose lane has all at hand, takes notice at its next slow path. */
static void turned_on_inside(void **state)
{
	tslab_epoch_t epoch = new_epoch(NULL, "inside");
	uint64_t before;

	(void)state;
	set_interval(0);
	assert_int_equal(tslab_domain_enter(epoch), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_non_null(tslab_malloc(64));
	set_interval(1);
	assert_non_null(tslab_malloc(100000));
	before = self_now().alloc_samples;
	for (unsigned i = 0; i < 10; i++)
		assert_non_null(tslab_malloc(64));
	assert_int_equal(self_now().alloc_samples - before, 10);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

static void off_again(void **state)
{
	uint64_t before;

	(void)state;
	set_interval(0);
	tslab_free(tslab_malloc(100)); /* takes notice */
	before = self_now().alloc_samples;
	for (unsigned i = 0; i < 100000; i++)
		tslab_free(tslab_malloc(100));
	assert_int_equal(self_now().alloc_samples, before);
	/* And a word that makes no sense is no interval. */
	set_interval(UINT64_MAX);
	for (unsigned i = 0; i < 100000; i++)
		tslab_free(tslab_malloc(100 + i % 30000));
	assert_int_equal(self_now().alloc_samples, before);
	set_interval(0);
}

/* Off, nobody looks at a clock: not on the fast path, not for new slabs and chunks, not around a lock. */
static void no_clock_while_off(void **state)
{
	static void *held[4096];
	uint64_t locks = counters().lock_fast;
	unsigned long before;

	(void)state;
	set_interval(0);
	tslab_free(tslab_malloc(100)); /* takes notice */
	before = clock_reads;
	for (unsigned i = 0; i < 1000000; i++) {
		void **place = &held[i * 2654435761u % 4096];

		tslab_free(*place);
		*place = tslab_malloc(16 + i % 4000);
	}
	assert_int_equal(clock_reads, before);
	assert_true(counters().lock_fast > locks);
	for (unsigned i = 0; i < 4096; i++)
		tslab_free(held[i]);
}

/* What an allocation waits for somebody else is wall time and not CPU time. */
enum { HELD_MS = 50, PATIENCE_MS = 60000 };
static atomic_bool held;

/* For so long from the moment on at which somebody waits for it. */
static void *hold_the_pool(void *contended)
{
	struct tslab_process_stats now = { .struct_bytes = sizeof(now) };

	ts_lock(&ts_lock_pool);
	held = true;
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		if (tslab_stats_process(&now) || now.lock_contended > *(uint64_t *)contended)
			break;
		usleep(1000);
	}
	usleep(HELD_MS * 1000);
	ts_unlock(&ts_lock_pool);
	return NULL;
}

static void waiting_is_not_work(void **state)
{
	tslab_heap *heap = new_heap("waits", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "waits");
	struct tslab_thread_stats before, after;
	uint64_t wall, cpu, wait, contended = counters().lock_contended;
	pthread_t holder;

	(void)state;
	set_interval(1);
	before = self_now();
	assert_int_equal(pthread_create(&holder, NULL, hold_the_pool, &contended), 0);
	while (!held)
		sched_yield();
	assert_non_null(tslab_alloc(epoch, 100000));
	after = self_now();
	set_interval(0);
	assert_int_equal(pthread_join(holder, NULL), 0);
	wall = after.alloc_wall_ns_sum - before.alloc_wall_ns_sum;
	cpu = after.alloc_cpu_ns_sum - before.alloc_cpu_ns_sum;
	wait = after.alloc_wait_ns_sum - before.alloc_wait_ns_sum;
	assert_int_equal(after.alloc_samples - before.alloc_samples, 1);
	assert_true(wall >= HELD_MS * 1000000u);
	assert_true(wait > cpu);
	assert_int_equal(wait, wall - cpu);
	assert_true(after.alloc_wait_ns_max >= wait);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* -- competition ------------------------------------------------------------------------------------- */

enum { BURNERS = 4, MANY = 1000000, FEW = 20000, TRIES = 100 };

/* Processes that never rest, on one CPU with us; ends them again. */
static void compete(pid_t burner[BURNERS], bool begin)
{
	for (unsigned i = 0; i < BURNERS; i++) {
		if (!begin) {
			kill(burner[i], SIGKILL);
			waitpid(burner[i], NULL, 0);
		} else if ((burner[i] = fork()) == 0) {
			for (;;)
				;
		}
	}
}

struct freed {
	void **objects;
	unsigned count;
};

static void *free_all(void *arg)
{
	const struct freed *freed = arg;

	for (unsigned i = 0; i < freed->count; i++)
		tslab_free(freed->objects[i]);
	return NULL;
}

/*
 * One allocation that has much to do: it collects what another thread freed. A time slice passes within
 * it, so the scheduler takes the CPU away there and not at the sampler's look at the clock.
 */
static void collect(unsigned count, uint64_t *wall, uint64_t *cpu, uint64_t *wait)
{
	struct freed freed = { calloc(count, sizeof(void *)), count };
	struct tslab_thread_stats before, after;

	assert_non_null(freed.objects);
	for (unsigned i = 0; i < count; i++)
		assert_non_null(freed.objects[i] = tslab_malloc(64));
	on_thread(free_all, &freed);
	set_interval(1);
	before = self_now();
	for (unsigned i = 0; i < 256; i++) /* more than a slab has: the last one's are used up first */
		freed.objects[i] = tslab_malloc(64);
	after = self_now();
	set_interval(0);
	freed.count = 256;
	free_all(&freed);
	free(freed.objects);
	*wall = after.alloc_wall_ns_sum - before.alloc_wall_ns_sum;
	*cpu = after.alloc_cpu_ns_sum - before.alloc_cpu_ns_sum;
	*wait = after.alloc_wait_ns_sum - before.alloc_wait_ns_sum;
}

/*
 * The same work, alone on its CPU and with others there: what it waits for the CPU is wall time, and the
 * ratio tells the two apart. Alone it is for moments only if the machine has others to serve, and the others
 * need not be there at the first try.
 */
static void competition_is_waiting(void **state)
{
	uint64_t wall = 0, cpu = 0, wait = 0;
	cpu_set_t before, one;
	pid_t burner[BURNERS];
	bool clean = false, interfered = false;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	compete(burner, true);
	for (unsigned i = 0; i < TRIES && !interfered; i++) {
		collect(MANY, &wall, &cpu, &wait);
		interfered = wait > cpu && wall > 2 * cpu; /* "scheduler interference" */
	}
	compete(burner, false);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	print_message("# with %d others: wall %" PRIu64 " us, CPU %" PRIu64 " us, wait %" PRIu64
		      " us\n",
		      BURNERS, wall / 1000, cpu / 1000, wait / 1000);
	assert_true(interfered);
	for (unsigned i = 0; i < TRIES && !clean; i++) {
		collect(FEW, &wall, &cpu, &wait);
		clean = 2 * wall < 3 * cpu; /* "clean measurement" */
	}
	print_message("# alone: wall %" PRIu64 " us, CPU %" PRIu64 " us, wait %" PRIu64 " us\n",
		      wall / 1000, cpu / 1000, wait / 1000);
	assert_true(clean);
}

/* Between two intervals all the time, as fast as can be: each look at the control page may see another. */
static void *keep_switching(void *stop)
{
	for (unsigned i = 0; !ts_a64_load_rlx(stop); i++)
		set_interval(1000000 + i % 2);
	return NULL;
}

/* No slot is left behind when a class goes on in its next slab, whatever an allocation saw of the interval when. */
static void switched_while_a_slab_ends(void **state)
{
	enum { ROUNDS = 3000, OBJECTS = 1000 };
	ts_a64 stop = { 0 };
	pthread_t switcher;
	const char *why = NULL;

	(void)state;
	assert_int_equal(pthread_create(&switcher, NULL, keep_switching, &stop), 0);
	for (unsigned round = 0; round < ROUNDS && !why; round++) {
		tslab_epoch_t epoch = begin(NULL, "switched");

		for (unsigned i = 0; i < OBJECTS; i++)
			assert_non_null(tslab_malloc(64));
		ts_check_lane(ts_tls.lane, &why);
		assert_int_equal(tslab_scope_discard(epoch), 0);
	}
	ts_a64_store_rlx(&stop, 1);
	assert_int_equal(pthread_join(switcher, NULL), 0);
	set_interval(1024);
	assert_null(why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_in_1024),
		cmocka_unit_test(every_way_out),
		cmocka_unit_test(closing_while_sampled),
		cmocka_unit_test(turned_on_inside),
		cmocka_unit_test(off_again),
		cmocka_unit_test(switched_while_a_slab_ends),
		cmocka_unit_test(no_clock_while_off),
		cmocka_unit_test(waiting_is_not_work),
		cmocka_unit_test(competition_is_waiting),
	};

	setenv("TSLAB_SAMPLE", "1024", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
