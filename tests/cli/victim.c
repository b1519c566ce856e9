/* SPDX-License-Identifier: MIT */
/*
 * A program to look into. It does what its arguments say, in their order, prints "ready" and then does
 * as it is told on stdin: "repair" undoes the leak, "fail" see below, anything else ends it.
 *
 *   leak             an epoch entered twice and not left, with objects
 *   label TEXT       an epoch with this label and one object
 *   closing          an epoch that was closed with an object in it
 *   thread-end       a thread that ends inside an epoch
 *   misuse           a double free and an exit without an enter
 *   failures         one failed allocation of each kind that a program can provoke
 *   rate N           a thread that allocates N times 192 bytes and once 64 bytes a second
 *   lifetimes N:M    two threads at work in N epochs, in any one second in M of them, with all sizes up to
 *                    768 bytes at random
 *   reclaim          closes an epoch of 10 MiB ten times a second, on a heap that keeps nothing
 *   fail-later       as failures, when told "fail"
 *   traffic          threads that allocate, free across threads, close and discard, then end
 *   busy             the same without an end
 *   threads N        the same in N threads
 *   references       a reference that is not given back
 *   hidden           forbid other processes of this user to look
 *   impostor         something else under the segment's name (run with TSLAB_STATS=0)
 *   truncating       the same, with its size going up and down for ever
 *   closefrom        close all descriptors but the first three
 *   abort            end with a core dump, once stdin ends
 *   deadlock         hold everything up instead of reading stdin
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <tslab/tslab.h>

static tslab_epoch_t leaked;
static bool dumps_core, fails_later;

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "victim: %s\n", what);
	exit(1);
}

static tslab_epoch_t open_epoch(const char *label)
{
	tslab_epoch_t epoch;

	require(!tslab_epoch_open(NULL, label, &epoch), label);
	return epoch;
}

static __attribute__((noinline)) void forget_to_exit(void)
{
	leaked = open_epoch("background-worker-3");
	for (int i = 0; i < 2; i++) {
		require(!tslab_domain_enter(leaked), "enter"); /* LEAK */
		for (int k = 0; k < 100; k++)
			require(tslab_malloc(1000) != NULL, "malloc");
	}
}

static void *end_inside(void *arg)
{
	tslab_epoch_t epoch = open_epoch("left-by-thread");

	(void)arg;
	require(!tslab_domain_enter(epoch), "enter"); /* ABANDONED */
	return NULL;
}

static void misuse(void)
{
	tslab_epoch_t epoch = open_epoch("misuse");
	void *object = tslab_alloc(epoch, 100);

	tslab_free(object);
	tslab_free(object);
	require(tslab_domain_exit(epoch) != 0, "an exit without an enter was accepted");
	require(!tslab_epoch_discard(epoch), "discard");
}

static void fail_in_every_way(void)
{
	tslab_epoch_t limited = open_epoch("limited"), closed = open_epoch("closed");
	void *kept = tslab_alloc(closed, 100);

	require(!tslab_malloc((size_t)1 << 60), "threshold"); /* THRESHOLD */
	require(!tslab_epoch_set_limit(limited, 1 << 20), "limit");
	require(!tslab_alloc(limited, 2 << 20), "exhaustion");
	require(!tslab_epoch_close(closed), "close");
	require(!tslab_alloc(closed, 200), "closed");
	require(!tslab_alloc(closed, 100000), "closed, large");
	require(!tslab_aligned_alloc(3, 100), "invalid");
	tslab_free(kept);
}

/* -- traffic: every kind of event, from several threads ---------------------------------------------- */

enum { TRAFFIC_THREADS = 3, TRAFFIC_ROUNDS = 600, TRAFFIC_MAX = 64, HANDED = 64 };

static pthread_mutex_t handing = PTHREAD_MUTEX_INITIALIZER;
static void *handed[HANDED];

/* Leaves an object for another thread and frees what one left. */
static void hand_over(void *object, unsigned place)
{
	void *other;

	pthread_mutex_lock(&handing);
	other = handed[place % HANDED];
	handed[place % HANDED] = object;
	pthread_mutex_unlock(&handing);
	tslab_free(other);
}

static void traffic_round(unsigned round)
{
	tslab_epoch_t epoch = open_epoch(round % 3 ? "closed" : "discarded");
	unsigned count = round % 50 ? 40 : 4000;

	require(!tslab_domain_enter(epoch), "enter");
	for (unsigned i = 0; i < count; i++) {
		void *object = tslab_malloc(1 + i * 97 % 5000 + (i % 37 == 0) * 60000);

		require(object != NULL, "alloc");
		if (i % 3 == 0)
			tslab_free(object);
		else if (i % 16 == 1 && round % 3)
			hand_over(object, round + i);
		else if (round % 3)
			tslab_free(object);
	}
	require(!tslab_domain_exit(epoch), "exit");
	/* What the close finds is left to later rounds, of other threads too. */
	require(round % 3 ? !tslab_epoch_close(epoch) : !tslab_epoch_discard(epoch), "end");
	if (round % 3)
		for (unsigned i = 0; i < HANDED; i++)
			hand_over(NULL, i);
}

static void *free_it(void *object)
{
	tslab_free(object);
	return NULL;
}

/* While this thread is inside: the free is remote, whatever the others do. */
static void freed_by_another(void)
{
	tslab_epoch_t epoch = open_epoch("handed");
	pthread_t other;

	require(!tslab_domain_enter(epoch), "enter");
	require(!pthread_create(&other, NULL, free_it, tslab_malloc(100)), "thread");
	pthread_join(other, NULL);
	require(!tslab_domain_exit(epoch), "exit");
	require(!tslab_epoch_discard(epoch), "discard");
}

static void *traffic(void *endless)
{
	freed_by_another();
	for (unsigned round = 0; endless || round < TRAFFIC_ROUNDS; round++)
		traffic_round(round);
	return NULL;
}

static void run_traffic(unsigned count, bool endless)
{
	pthread_t threads[TRAFFIC_MAX];

	require(count <= TRAFFIC_MAX, "too many threads");
	for (unsigned i = 0; i < count; i++)
		require(!pthread_create(&threads[i], NULL, traffic, endless ? &threads : NULL),
			"thread");
	for (unsigned i = 0; !endless && i < count; i++)
		require(!pthread_join(threads[i], NULL), "join");
}

/* On absolute times, in steps of a hundredth: what is late is made up for. */
static void *allocate_in_step(void *number)
{
	tslab_epoch_t epoch = open_epoch("in-step");
	struct timespec due;
	unsigned step = 0;

	clock_gettime(CLOCK_MONOTONIC, &due);
	while (number) {
		for (uintptr_t i = 0; i < (uintptr_t)number / 100; i++)
			require(tslab_alloc(epoch, 192) != NULL, "alloc");
		if (step++ % 100 == 0)
			require(tslab_alloc(epoch, 64) != NULL, "alloc");
		due.tv_nsec += 10000000;
		due.tv_sec += due.tv_nsec / 1000000000;
		due.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	}
	return NULL;
}

static void *reclaim(void *arg)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	struct timespec due;
	tslab_heap *heap;

	options.retain_bytes = 0;
	heap = tslab_heap_create(&options);
	clock_gettime(CLOCK_MONOTONIC, &due);
	while (arg) {
		void *objects[160];
		tslab_epoch_t epoch;

		require(!tslab_epoch_open(heap, "reclaimed", &epoch), "open");
		for (int i = 0; i < 160; i++)
			require((objects[i] = tslab_alloc(epoch, 64 << 10)) != NULL, "alloc");
		for (int i = 0; i < 160; i++)
			tslab_free(objects[i]);
		require(!tslab_epoch_close(epoch), "close");
		due.tv_nsec += 100000000;
		due.tv_sec += due.tv_nsec / 1000000000;
		due.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	}
	return NULL;
}

enum { LIFETIMES_MAX = 256, OBJECTS_EACH = 200 };
static tslab_epoch_t lifetimes[LIFETIMES_MAX];

static unsigned lifetime_count, lifetimes_at_work;

static void live_once(void *objects[OBJECTS_EACH], tslab_epoch_t epoch, unsigned *seed)
{
	void **object = &objects[(unsigned)rand_r(seed) % OBJECTS_EACH];

	if (*object)
		tslab_free(*object);
	*object = rand_r(seed) % 3 ? tslab_alloc(epoch, (size_t)rand_r(seed) % 768 + 1) : NULL;
}

/* For ever, a thousand times a second in each epoch that has its turn. */
static void *live_on(void *objects)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned seed = (unsigned)pthread_self();
	struct timespec now;

	while (objects) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		for (unsigned i = 0; i < lifetimes_at_work; i++) {
			unsigned turn =
				((unsigned)now.tv_sec * lifetimes_at_work + i) % lifetime_count;

			live_once((void **)objects + turn * OBJECTS_EACH, lifetimes[turn], &seed);
		}
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void start_lifetimes(const char *numbers)
{
	pthread_t thread;
	char label[32];

	require(sscanf(numbers, "%u:%u", &lifetime_count, &lifetimes_at_work) == 2 && lifetime_count &&
			lifetime_count <= LIFETIMES_MAX && lifetimes_at_work <= lifetime_count,
		numbers);
	for (unsigned i = 0; i < lifetime_count; i++) {
		snprintf(label, sizeof(label), "kind-%u", i % 12);
		lifetimes[i] = open_epoch(label);
		require(tslab_alloc(lifetimes[i], 100) != NULL, "alloc");
	}
	for (int i = 0; i < 2; i++)
		require(!pthread_create(&thread, NULL, live_on,
					calloc(LIFETIMES_MAX * OBJECTS_EACH, sizeof(void *))),
			"thread");
}

/* A close that gives most of an epoch's memory to the thread's cache, and one object that stays. */
static void drain_into_cache(void)
{
	tslab_epoch_t epoch = open_epoch("draining");
	void *objects[500];

	/* Twice: the second time from freed slots, more than a thread has at hand. */
	for (int pass = 0; pass < 2; pass++) {
		for (int i = pass; i < 500; i++)
			objects[i] = tslab_alloc(epoch, 1024);
		for (int i = 1; i < 500; i++)
			tslab_free(objects[i]);
	}
	require(objects[0] && !tslab_epoch_close(epoch), "close");
}

static int impostor(void)
{
	int fd = memfd_create("tslab.v1", MFD_CLOEXEC);

	require(fd >= 0 && !ftruncate(fd, 1 << 18), "memfd");
	return fd;
}

static void *truncate_for_ever(void *arg)
{
	int fd = impostor();

	(void)arg;
	for (;;)
		require(!ftruncate(fd, 0) && !ftruncate(fd, 1 << 18), "ftruncate");
	return NULL;
}

static void obey(const char *word, const char *operand)
{
	pthread_t thread;

	if (!strcmp(word, "leak")) {
		forget_to_exit();
	} else if (!strcmp(word, "label")) {
		require(tslab_alloc(open_epoch(operand), 100) != NULL, "alloc");
	} else if (!strcmp(word, "closing")) {
		tslab_epoch_t epoch = open_epoch("draining");

		require(tslab_alloc(epoch, 100) != NULL, "alloc");
		require(!tslab_epoch_close(epoch), "close");
	} else if (!strcmp(word, "thread-end")) {
		require(!pthread_create(&thread, NULL, end_inside, NULL), "thread");
		require(!pthread_join(thread, NULL), "join");
	} else if (!strcmp(word, "misuse")) {
		misuse();
	} else if (!strcmp(word, "failures")) {
		fail_in_every_way();
	} else if (!strcmp(word, "rate")) {
		require(!pthread_create(&thread, NULL, allocate_in_step,
					(void *)(uintptr_t)strtoul(operand, NULL, 10)),
			"thread");
	} else if (!strcmp(word, "lifetimes")) {
		start_lifetimes(operand);
	} else if (!strcmp(word, "reclaim")) {
		require(!pthread_create(&thread, NULL, reclaim, &leaked), "thread");
	} else if (!strcmp(word, "fail-later")) {
		fails_later = true;
	} else if (!strcmp(word, "traffic")) {
		run_traffic(TRAFFIC_THREADS, false);
		drain_into_cache();
	} else if (!strcmp(word, "busy")) {
		run_traffic(TRAFFIC_THREADS, true);
	} else if (!strcmp(word, "threads")) {
		run_traffic((unsigned)strtoul(operand, NULL, 10), true);
	} else if (!strcmp(word, "references")) {
		require(!tslab_epoch_add_references(open_epoch("referenced"), 1), "references");
	} else if (!strcmp(word, "impostor")) {
		impostor();
	} else if (!strcmp(word, "truncating")) {
		require(!pthread_create(&thread, NULL, truncate_for_ever, NULL), "thread");
	} else if (!strcmp(word, "closefrom")) {
		require(!close_range(3, ~0u, 0), "close_range");
	} else if (!strcmp(word, "abort")) {
		dumps_core = true;
	} else if (!strcmp(word, "hidden")) {
		require(!prctl(PR_SET_DUMPABLE, 0), "prctl");
	} else {
		require(0, word);
	}
}

static void repair(void)
{
	require(!tslab_domain_exit(leaked) && !tslab_domain_exit(leaked), "exit");
	require(!tslab_epoch_discard(leaked), "discard");
}

static void deadlock(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&mutex);
	pthread_mutex_lock(&mutex);
}

int main(int argc, char **argv)
{
	char line[64];

	require(tslab_epoch_default(NULL) != TSLAB_EPOCH_NONE, "no default epoch");
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "deadlock")) {
			puts("ready");
			fflush(stdout);
			deadlock();
		}
		obey(argv[i], i + 1 < argc ? argv[i + 1] : "");
		i += !strcmp(argv[i], "label") || !strcmp(argv[i], "rate") ||
		     !strcmp(argv[i], "lifetimes") || !strcmp(argv[i], "threads");
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "repair\n"))
			repair();
		else if (fails_later && !strcmp(line, "fail\n"))
			fail_in_every_way();
		else
			break;
		puts("repaired");
		fflush(stdout);
	}
	if (dumps_core)
		abort();
	return 0;
}
