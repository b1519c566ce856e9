/* SPDX-License-Identifier: MIT */
/*
 * watching.c: what it costs to be watched, and to watch. A process works; another one takes snapshots of
 * it, through the way that the tool goes. Bursts of work with and without a watcher take turns, so that a
 * machine that gets slower for a while slows both.
 *
 *   tslab-bench-watching [--rounds N]      (31)
 *   tslab-bench-watching --locks           only what one costs
 *   tslab-bench-watching --looks N         N snapshots and no figure, for who counts instructions
 *
 * Prints a table. Exit status 1 if a figure exceeds its limit, 3 if there are not two CPUs to measure on.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "core/control.h"
#include "core/lock.h"
#include "core/sizeclass.h"
#include "tools/tslab/tool.h"
#include "tslab/tslab.h"

enum {
	LOCK_LIMIT_NS = 2,
	EPOCHS = 64,
	BURST_MS = 20,
	PER_SECOND = 1000,
	LOOKS = 2000,
	PAIRS = 200000
};

#define SAMPLED_LIMIT 1.7

/* Between the two processes. */
static struct shared {
	_Atomic uint64_t burst;    /* which one to work at; 0 = none yet, UINT64_MAX = end */
	_Atomic uint64_t interval; /* of the sampler, during it */
	_Atomic uint64_t done;     /* the last one that is over */
	_Atomic double ns;         /* of an operation, in it */
} * shared;

/* bench_statistics wants one. */
void bench_die(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	fprintf(stderr, "watching: ");
	vfprintf(stderr, format, list);
	fprintf(stderr, "\n");
	va_end(list);
	exit(2);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool bind_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* -- the process that is watched ---------------------------------------------------------------------- */

static void require(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "watching: %s\n", what);
	_exit(2);
}

/* Something of each size class in each of many epochs. */
static void open_epochs(void)
{
	for (unsigned i = 0; i < EPOCHS; i++) {
		tslab_epoch_t epoch;
		char label[32];

		snprintf(label, sizeof(label), "watched %u", i);
		require(!tslab_epoch_open(NULL, label, &epoch), "open");
		for (unsigned c = 0; c < TS_CLASS_COUNT; c++)
			require(tslab_alloc(epoch, ts_sizeclasses[c].bytes) != NULL, "alloc");
	}
}

/* Random allocations and frees; the time of a pair. */
static double work(unsigned pairs)
{
	static void *held[1024];
	uint64_t random = 88172645463325252u, began = now_ns(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned i = 0; i < pairs; i++) {
		void **place;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		place = &held[random % 1024];
		tslab_free(*place);
		*place = tslab_malloc(16 + (random >> 20) % 1000);
	}
	return (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - began) / pairs;
}

static void be_watched(int cpu)
{
	unsigned pairs;
	uint64_t burst;

	require(bind_to(cpu), "no CPU");
	open_epochs();
	work(100000);
	pairs = (unsigned)(BURST_MS * 1e6 / work(100000)) + 1;
	for (uint64_t last = 0;; last = burst) {
		double ns;

		while ((burst = shared->burst) == last)
			sched_yield();
		if (burst == UINT64_MAX)
			_exit(0);
		ts_a64_store_rlx(&ts_control()->sample_interval, shared->interval);
		work(1000); /* takes notice */
		ns = work(pairs);
		shared->ns = ns;
		shared->done = burst;
	}
}

/* -- the watcher -------------------------------------------------------------------------------------- */

static struct attachment attached;
static struct ts_target target = { .source = "live" };

static void look(void)
{
	struct ts_snapshot s;
	const char *why;

	if (!ts_snapshot_read(&s, &target, attached.chunks, attached.chunk_count, &why))
		bench_die("the segment is %s", why);
	ts_snapshot_free(&s);
}

/* The CPU time of a snapshot: the median of many. */
static double time_of_a_look(void)
{
	static double ns[BENCH_ROUNDS_MAX];

	for (unsigned i = 0; i < BENCH_ROUNDS_MAX; i++) {
		uint64_t began = now_ns(CLOCK_THREAD_CPUTIME_ID);

		for (unsigned k = 0; k < LOOKS / BENCH_ROUNDS_MAX + 1; k++)
			look();
		ns[i] = (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - began) /
			(LOOKS / BENCH_ROUNDS_MAX + 1);
	}
	return bench_statistics_quartiles(ns, BENCH_ROUNDS_MAX).median;
}

static uint64_t looks; /* of the bursts that were watched */

static double burst(bool watched, uint64_t interval)
{
	static uint64_t number;
	uint64_t next = now_ns(CLOCK_MONOTONIC);

	shared->interval = interval;
	shared->burst = ++number;
	while (shared->done != number) {
		struct timespec until = { .tv_sec = (time_t)(next / 1000000000u),
					  .tv_nsec = (long)(next % 1000000000u) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		next += 1000000000u / PER_SECOND;
		if (!watched)
			continue;
		look();
		looks++;
	}
	return shared->ns;
}

/* -- the table ---------------------------------------------------------------------------------------- */

static bool exceeded;

static void row(const char *what, double figure, const char *unit, double uncertainty, double limit)
{
	printf("%-58s %9.4g %-3s", what, figure, unit);
	if (uncertainty > 0)
		printf(" +- %.2g", uncertainty);
	if (limit > 0)
		printf("  limit %g: %s", limit, figure <= limit ? "met" : "exceeded");
	exceeded |= limit > 0 && figure > limit;
	printf("\n");
}

/* Pairs of bursts: the ratio of the second to the first. */
static void compare(const char *what, unsigned rounds, bool watched, uint64_t interval, double limit)
{
	static double ratio[BENCH_ROUNDS_MAX];
	struct bench_quartiles quartiles;

	for (unsigned i = 0; i < rounds; i++) {
		double first = burst(i % 2 ? watched : false, i % 2 ? interval : 0);
		double second = burst(i % 2 ? false : watched, i % 2 ? 0 : interval);

		ratio[i] = i % 2 ? first / second : second / first;
	}
	quartiles = bench_statistics_quartiles(ratio, rounds);
	row(what, quartiles.median, "", quartiles.uncertainty * quartiles.median, limit);
}

static void *wait_for_good(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

/*
 * What it costs that a lock is tried first and counted, beyond a plain mutex; a chunk is locked for once. Beside
 * another thread: without one the C library locks a plain mutex by a plain store.
 */
static double lock_probe(unsigned rounds)
{
	static double more[BENCH_ROUNDS_MAX];
	static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
	pthread_t other;

	if (pthread_create(&other, NULL, wait_for_good, NULL))
		bench_die("no thread");
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t began = now_ns(CLOCK_THREAD_CPUTIME_ID), middle, end;

		for (unsigned k = 0; k < PAIRS; k++) {
			pthread_mutex_lock(&plain);
			pthread_mutex_unlock(&plain);
		}
		middle = now_ns(CLOCK_THREAD_CPUTIME_ID);
		for (unsigned k = 0; k < PAIRS; k++) {
			ts_lock(&ts_lock_pool);
			ts_unlock(&ts_lock_pool);
		}
		end = now_ns(CLOCK_THREAD_CPUTIME_ID);
		more[i] = ((double)(end - middle) - (double)(middle - began)) / PAIRS;
	}
	return bench_statistics_quartiles(more, rounds).median;
}

static void measure_locks(unsigned rounds)
{
	row("a lock of the library beyond a plain mutex", lock_probe(rounds), "ns", 0, LOCK_LIMIT_NS);
}

static void measure(unsigned rounds)
{
	row("snapshot of 64 epochs x 40 classes, CPU time", time_of_a_look() / 1000, "us", 0, 20);
	compare("work with 1000 snapshots a second : without", rounds, true, 0, 1.01);
	printf("%-58s %9" PRIu64 "\n", "  snapshots taken meanwhile", looks);
	compare("work without : without, the noise of these figures", rounds, false, 0, 0);
	compare("work with one allocation in 1024 sampled : without", rounds, false, 1024,
		SAMPLED_LIMIT);
	compare("work with one allocation in 4096 sampled : without", rounds, false, 4096,
		SAMPLED_LIMIT);
	measure_locks(rounds);
}

static void attach_to(pid_t pid)
{
	for (unsigned tries = 0; tries < 1000 && !attach(pid, &attached); tries++)
		usleep(10000);
	if (!attached.chunk_count)
		bench_die("%s", attached.why);
	/* Not before all epochs are there. */
	burst(false, 0);
	detach(&attached);
	if (!attach(pid, &attached))
		bench_die("%s", attached.why);
}

/* Two processes, a CPU each if times are wanted. */
static int watch(unsigned rounds, unsigned looks_only)
{
	int status;
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		bench_die("no memory");
	pid = fork();
	if (pid == 0)
		be_watched(0);
	if (!looks_only && !bind_to(1)) {
		fprintf(stderr, "watching: needs two CPUs\n");
		kill(pid, SIGKILL);
		return 3;
	}
	attach_to(pid);
	for (unsigned i = 0; i < looks_only; i++)
		look();
	if (!looks_only)
		measure(rounds);
	shared->burst = UINT64_MAX;
	if (waitpid(pid, &status, 0) != pid || status)
		bench_die("the watched process failed");
	return exceeded;
}

/* 0: not a number, or more than `most`. */
static unsigned number(const char *text, unsigned most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	return !*end && value <= most ? (unsigned)value : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "rounds", required_argument, NULL, 'r' },
						 { "locks", no_argument, NULL, 'l' },
						 { "looks", required_argument, NULL, 'n' },
						 { NULL, 0, NULL, 0 } };
	unsigned rounds = 31, looks_only = 0;
	bool locks_only = false, understood = true;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			locks_only = true;
		else if (option == 'r')
			understood = (rounds = number(optarg, BENCH_ROUNDS_MAX)) != 0;
		else if (option == 'n')
			understood = (looks_only = number(optarg, UINT32_MAX)) != 0;
		else
			understood = false;
		if (understood)
			continue;
		fprintf(stderr, "usage: tslab-bench-watching [--rounds 1-%d | --locks | --looks N]\n",
			BENCH_ROUNDS_MAX);
		return 2;
	}
	if (!locks_only)
		return watch(rounds, looks_only);
	measure_locks(rounds);
	return exceeded;
}
