/* SPDX-License-Identifier: MIT */
/*
 * usage: guards [--count N] [--seed N]
 * Objects between guard pages: what traps, what is told of it, and which part of N faults of each kind is
 * found at several rates. Prints TAP, the figures as comments.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#include "core/control.h"
#include "../random.h"
#include "../tap.h"

static uint64_t seed = 7;

static struct tslab_process_stats figures(void)
{
	struct tslab_process_stats stats = { .struct_bytes = sizeof(stats) };

	if (tslab_stats_process(&stats))
		abort();
	return stats;
}

static void set_rate(uint64_t interval)
{
	ts_a64_store_rlx(&ts_control()->guard_interval, interval);
	/* The lane takes notice on its next slow path. */
	for (unsigned i = 0; i < 64 && interval; i++)
		tslab_free(tslab_malloc(40000));
}

/* -- traps -------------------------------------------------------------------------------------- */

static sigjmp_buf back;
static struct tslab_guard_info told;
static int described;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	told.struct_bytes = sizeof(told);
	described = tslab_guard_describe(info->si_addr, &told);
	siglongjmp(back, 1);
}

static bool write_traps(volatile char *at, size_t count)
{
	if (sigsetjmp(back, 1))
		return true;
	for (size_t i = 0; i < count; i++)
		at[i] = (char)(at[i] + 1 + (char)rnd_below(&seed, 100));
	return false;
}

static bool read_traps(const volatile char *at)
{
	char byte;

	if (sigsetjmp(back, 1))
		return true;
	byte = *at;
	(void)byte;
	return false;
}

/* "name+0x1234" */
static bool in_this_program(const char *place)
{
	size_t length = strlen(program_invocation_short_name);

	return !strncmp(place, program_invocation_short_name, length) &&
	       !strncmp(place + length, "+0x", 3) && place[length + 3];
}

static bool told_of(const void *object, size_t bytes, ptrdiff_t offset, unsigned state,
		    const char *label)
{
	return !described && told.object == object && told.object_bytes == bytes &&
	       told.offset == offset && told.state == state && !strcmp(told.label, label) &&
	       in_this_program(told.allocated_at) &&
	       (state != TSLAB_GUARD_FREED || told.freed_at[0]);
}

static tslab_epoch_t begin(const char *label)
{
	tslab_epoch_t epoch = 0;

	if (tslab_scope_begin(NULL, label, &epoch))
		abort();
	return epoch;
}

static void *free_it(void *p)
{
	tslab_free(p);
	return NULL;
}

static void on_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, arg) || pthread_join(thread, NULL))
		abort();
}

static void traps(void)
{
	tslab_epoch_t epoch = begin("first"), other;
	char *p = tslab_malloc(50), *q;

	if (tslab_scope_discard(epoch))
		abort();
	tap_ok(read_traps(p) && told_of(p, 50, 0, TSLAB_GUARD_ENDED, "first"),
	       "the first of all ends with its scope");
	epoch = begin("guarded");
	p = tslab_malloc(112);
	memset(p, 1, 112);
	tap_ok(tslab_usable_size(p) == 112 && (uintptr_t)p % 16 == 0,
	       "an object of 112 bytes has them");
	tap_ok(write_traps(p + 112, 1) && told_of(p, 112, 112, TSLAB_GUARD_LIVE, "guarded") &&
		       told.entered_at[0],
	       "a write behind it traps, and is described");
	tslab_free(p);
	tap_ok(read_traps(p + 5) && told_of(p, 112, 5, TSLAB_GUARD_FREED, "guarded"),
	       "a read after its free traps, and is described");
	p = tslab_malloc(100);
	on_thread(free_it, p);
	tap_ok(write_traps(p, 1) && told_of(p, 100, 0, TSLAB_GUARD_FREED, "guarded"),
	       "a write after a free by another thread traps");
	p = tslab_malloc(64);
	if (tslab_scope_discard(epoch))
		abort();
	tap_ok(write_traps(p + 63, 1) && told_of(p, 64, 63, TSLAB_GUARD_ENDED, "guarded"),
	       "a write after the discard of its scope traps");
	if (tslab_epoch_open(NULL, "by id", &other) || !(p = tslab_alloc(other, 300)) ||
	    !(q = tslab_alloc(other, 200)) || tslab_epoch_close(other))
		abort();
	memset(p, 2, 300);
	tslab_free(p);
	tap_ok(read_traps(p) && told_of(p, 300, 0, TSLAB_GUARD_FREED, "by id") && !read_traps(q),
	       "an object of a closing epoch lives until it is freed");
	tslab_free(q);
	if (tslab_epoch_open(NULL, "discarded", &other) || !(p = tslab_alloc(other, 300)) ||
	    tslab_epoch_discard(other))
		abort();
	tap_ok(read_traps(p) && told_of(p, 300, 0, TSLAB_GUARD_ENDED, "discarded"),
	       "a read after the discard of its epoch traps");
}

static void calls(void)
{
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	struct tslab_process_stats before, after;
	tslab_epoch_t epoch = begin("calls");
	struct tslab_epoch_stats stats = { .struct_bytes = sizeof(stats) };
	char *p = tslab_malloc(50), *q, *aligned;
	bool zero = true, good;

	tap_ok(tslab_owner(p + 20, &info) == 0 && info.epoch == epoch && info.live &&
		       info.object == p && info.object_bytes == 50 && !strcmp(info.label, "calls"),
	       "its owner is known");
	tslab_stats_epoch(epoch, &stats);
	tap_ok(stats.live_objects == 1, "it is counted once");
	memset(p, 7, 50);
	q = tslab_realloc(p, 500);
	good = q && q != p && q[0] == 7 && q[49] == 7 && tslab_usable_size(q) == 500;
	tap_ok(good && read_traps(p), "realloc moves it");
	before = figures();
	tslab_free(p);
	tslab_free(p + 1);
	tslab_free(q + 16);
	after = figures();
	tap_ok(after.refused_double - before.refused_double == 1 &&
		       after.refused_wild - before.refused_wild == 2,
	       "a second free and frees of interior pointers are refused");
	p = tslab_calloc(10, 33);
	for (unsigned i = 0; i < 330; i++)
		zero &= !p[i];
	aligned = tslab_aligned_alloc(256, 100);
	tap_ok(zero && aligned && (uintptr_t)aligned % 256 == 0, "calloc and aligned_alloc");
	before = figures();
	p = tslab_malloc(100);
	p[100] = 1; /* between its end and the page's */
	tslab_free(p);
	after = figures();
	tap_ok(after.overflows_found - before.overflows_found == 1,
	       "an overflow before the page's end is found by the free");
	p = tslab_malloc(10);
	if (tslab_scope_discard(epoch))
		abort();
	before = figures();
	tslab_free(p);
	after = figures();
	tap_ok(after.refused_double - before.refused_double == 1 &&
		       after.live_objects == before.live_objects,
	       "a free after the discard is refused");
}

static void *alloc_without_a_scope(void *epoch)
{
	void *volatile p = tslab_alloc(*(tslab_epoch_t *)epoch, 100); /* no tail call: from here */

	return p;
}

/* No memory and no scope: nothing to place, and no place to tell. */
static void edges(void)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_epoch_t epoch;
	pthread_t thread;
	tslab_heap *heap;
	void *p = NULL;

	options.limit_bytes = 1 << 17;
	heap = tslab_heap_create(&options);
	if (!heap || tslab_epoch_open(heap, "limited", &epoch))
		abort();
	for (unsigned i = 0; i < 10000 && (!i || p); i++)
		p = tslab_alloc(epoch, 1000);
	tap_ok(!p && errno == ENOMEM, "without memory there is no object");
	if (tslab_heap_destroy(heap) || tslab_epoch_open(NULL, "by id", &epoch) ||
	    pthread_create(&thread, NULL, alloc_without_a_scope, &epoch) || pthread_join(thread, &p))
		abort();
	tap_ok(write_traps((char *)p + 112, 1) && told_of(p, 100, 112, TSLAB_GUARD_LIVE, "by id") &&
		       !told.entered_at[0],
	       "an object of a thread that never was in a scope has them");
	if (tslab_epoch_discard(epoch))
		abort();
	tap_ok(read_traps(p), "and has them when its epoch is discarded by another thread");
}

/* More at once than there are slots: the others are ordinary objects. */
static void many(void)
{
	enum { COUNT = 1000 };
	static char *objects[COUNT];
	struct tslab_process_stats before = figures(), after;
	tslab_epoch_t epoch = begin("many");
	bool good = true;

	for (unsigned i = 0; i < COUNT; i++) {
		objects[i] = tslab_malloc(1 + i);
		memset(objects[i], (int)i, 1 + i);
	}
	for (unsigned i = 0; i < COUNT; i++)
		good &= objects[i][0] == (char)i && objects[i][i] == (char)i;
	after = figures();
	tap_ok(good && after.guarded_objects - before.guarded_objects == 256 &&
		       after.guards_missed - before.guards_missed == COUNT - 256,
	       "of %u objects at once 256 are guarded", COUNT);
	for (unsigned i = 0; i < COUNT; i += 2)
		tslab_free(objects[i]);
	if (tslab_scope_discard(epoch))
		abort();
	after = figures();
	tap_ok(after.live_objects == before.live_objects &&
		       after.refused_double == before.refused_double,
	       "and all are gone with their epoch");
}

static void child(const char *p, tslab_epoch_t epoch)
{
	bool good = p[0] == 3 && tslab_usable_size(p) == 40;
	char *mine = tslab_malloc(40);

	mine[39] = 1;
	good &= write_traps(mine + 48, 1);
	tslab_free(mine);
	tslab_free((void *)(uintptr_t)p);
	good &= read_traps(p) && tslab_scope_discard(epoch) == 0;
	_exit(!good);
}

static void forks(void)
{
	tslab_epoch_t epoch = begin("forked");
	char *p = tslab_malloc(40);
	int status = 1;
	pid_t pid;

	memset(p, 3, 40);
	pid = fork();
	if (!pid)
		child(p, epoch);
	waitpid(pid, &status, 0);
	tap_ok(status == 0 && p[0] == 3 && !read_traps(p), "the child of a fork has its own");
	if (tslab_scope_discard(epoch))
		abort();
}

/* -- the rate ----------------------------------------------------------------------------------- */

enum fault { OVERFLOW, AFTER_FREE, AFTER_FREE_LATER, AFTER_DISCARD, FAULTS };

static const char *const fault_names[FAULTS] = {
	"1 to 16 bytes written behind an object",
	"write after free, at once",
	"write after free, 1000 allocations later",
	"write after the discard of the scope",
};

static bool guarded(const void *p)
{
	struct tslab_guard_info info = { .struct_bytes = sizeof(info) };

	return tslab_guard_describe(p, &info) == 0;
}

/* One fault among other objects, which come and go. */
static bool found(enum fault fault)
{
	tslab_epoch_t epoch = begin("rate");
	size_t bytes = 1 + rnd_below(&seed, 1000);
	char *near[4], *p;
	uint64_t before = figures().overflows_found;
	bool hit;

	for (unsigned i = 0; i < 2; i++)
		near[i] = tslab_malloc(1 + rnd_below(&seed, 1000));
	p = tslab_malloc(bytes);
	for (unsigned i = 2; i < 4; i++)
		near[i] = tslab_malloc(1 + rnd_below(&seed, 1000));
	if (fault == OVERFLOW) {
		/* Nothing would notice it elsewhere, but another object be harmed. */
		hit = guarded(p) && write_traps(p + bytes, 1 + rnd_below(&seed, 16));
		tslab_free(p);
		hit |= figures().overflows_found != before;
	} else if (fault == AFTER_DISCARD) {
		tslab_scope_discard(epoch);
		hit = write_traps(p, 1);
		return hit;
	} else {
		tslab_free(p);
		for (unsigned i = 0; fault == AFTER_FREE_LATER && i < 1000; i++)
			tslab_free(tslab_malloc(1 + rnd_below(&seed, 1000)));
		hit = write_traps(p, 1);
	}
	for (unsigned i = 0; i < 4; i++)
		tslab_free(near[i]);
	tslab_scope_discard(epoch);
	return hit;
}

static void rates(unsigned count)
{
	static const unsigned intervals[] = { 1, 10, 100, 1000 };

	printf("# part of the faults that was found\n# %-42s", "one allocation in");
	for (unsigned i = 0; i < 4; i++)
		printf(" %9u", intervals[i]);
	printf("\n");
	for (unsigned fault = 0; fault < FAULTS; fault++) {
		double part[4];
		bool good = true;

		printf("# %-42s", fault_names[fault]);
		for (unsigned i = 0; i < 4; i++) {
			unsigned n = fault == AFTER_FREE_LATER ? count / 50 : count, hits = 0;

			set_rate(intervals[i]);
			for (unsigned k = 0; k < n; k++)
				hits += found((enum fault)fault);
			part[i] = (double)hits / n;
			printf(" %8.3f%%", 100 * part[i]);
			/* Within five standard deviations of 1 / interval; few hits are spread wider. */
			double p = 1.0 / intervals[i], away = fabs(hits - n * p) - 5;

			if (fault != AFTER_FREE_LATER)
				good &= (away <= 0 || away * away <= 25 * n * p * (1 - p)) &&
					(i || hits == n);
		}
		printf("\n");
		tap_ok(good, "%s: found as often as its object is guarded", fault_names[fault]);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER };
	unsigned count = 10000;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--count"))
			count = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--seed"))
			seed = strtoull(argv[i + 1], NULL, 10);
	}
	printf("# seed %llu\n", (unsigned long long)seed);
	sigaction(SIGSEGV, &action, NULL);
	tslab_free(tslab_malloc(1)); /* the control page is there from now on */
	set_rate(1);
	traps();
	calls();
	edges();
	many();
	forks();
	rates(count);
	return tap_end();
}
