/* SPDX-License-Identifier: MIT */
/*
 * A program with exactly one disease, which its argument names, or with none. It prints "ready" when the
 * disease can be seen, and ends with its stdin.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#include "core/lock.h"

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "patient: %s\n", what);
	exit(1);
}

static tslab_epoch_t open_in(tslab_heap *heap, const char *label)
{
	tslab_epoch_t epoch;

	require(!tslab_epoch_open(heap, label, &epoch), label);
	return epoch;
}

static void *allocate(tslab_epoch_t epoch, size_t bytes)
{
	void *object = tslab_alloc(epoch, bytes);

	require(object != NULL, "allocation");
	return object;
}

/* -- of the program ---------------------------------------------------------------------------------- */

static void missing_exits(void)
{
	tslab_epoch_t epoch = open_in(NULL, "background-worker-3");

	for (int i = 0; i < 2; i++)
		require(!tslab_domain_enter(epoch), "enter"); /* MISSING EXIT */
	allocate(epoch, 1000);
}

static void kept_reference(void)
{
	require(!tslab_epoch_add_references(open_in(NULL, "referenced"), 1), "reference");
}

static void *end_inside(void *arg)
{
	require(arg || !tslab_domain_enter(open_in(NULL, "abandoned")), "enter");
	return NULL;
}

static void thread_ends_inside(void)
{
	pthread_t thread;

	require(!pthread_create(&thread, NULL, end_inside, NULL) && !pthread_join(thread, NULL),
		"thread");
}

static void not_draining(void)
{
	tslab_epoch_t epoch = open_in(NULL, "kept");

	allocate(epoch, 100);
	require(!tslab_epoch_close(epoch), "close");
}

static void double_free(void)
{
	void *object = allocate(open_in(NULL, "twice"), 100);

	tslab_free(object);
	tslab_free(object);
}

static void wild_free(void)
{
	tslab_free((char *)allocate(open_in(NULL, "wild"), 100) + 16);
}

static void foreign_free(void)
{
	static char mine[64];

	tslab_free(mine);
}

static void stale_handle(void)
{
	tslab_handle_t handle;

	require(!tslab_handle_alloc(open_in(NULL, "handles"), 100, &handle), "handle");
	require(!tslab_handle_free(NULL, handle), "free");
	require(tslab_handle_free(NULL, handle) == -ESTALE, "a stale handle was taken");
}

static void exit_without_enter(void)
{
	require(tslab_domain_exit(open_in(NULL, "never entered")) != 0, "exit was accepted");
}

static void exit_out_of_order(void)
{
	tslab_epoch_t outer = open_in(NULL, "outer"), inner = open_in(NULL, "inner");

	require(!tslab_domain_enter(outer) && !tslab_domain_enter(inner), "enter");
	require(tslab_domain_exit(outer) == -EPERM && !tslab_domain_exit(inner), "exit");
}

static void too_many_labels(void)
{
	char label[32];

	for (int i = 0; i < 20; i++) {
		snprintf(label, sizeof(label), "request-%d", i);
		require(!tslab_epoch_discard(open_in(NULL, label)), "discard");
	}
}

/* -- allocations that fail ---------------------------------------------------------------------------- */

static void too_large(void)
{
	require(!tslab_malloc((size_t)1 << 60), "threshold");
}

static void limit_reached(void)
{
	tslab_epoch_t epoch = open_in(NULL, "limited");

	require(!tslab_epoch_set_limit(epoch, 1 << 20) && !tslab_alloc(epoch, 2 << 20), "limit");
}

/* What the range was reserved for cannot be committed: the data may not grow. */
static void no_memory(void)
{
	const struct rlimit none = { 1 << 20, 1 << 20 };
	tslab_epoch_t epoch = open_in(NULL, "unlucky");

	allocate(epoch, 100);
	require(!setrlimit(RLIMIT_DATA, &none), "limit");
	require(!tslab_alloc(epoch, 64 << 20), "64 MiB beyond a limit of 1");
}

static void closed_epoch(void)
{
	tslab_epoch_t epoch = open_in(NULL, "closed");
	void *kept = allocate(epoch, 100);

	require(!tslab_epoch_close(epoch) && !tslab_alloc(epoch, 200), "closed");
	tslab_free(kept);
}

static void bad_argument(void)
{
	require(!tslab_aligned_alloc(3, 100), "invalid");
}

/* -- of the configuration and the machine ------------------------------------------------------------ */

/* Small epochs on a heap that keeps nothing: each begins with a new chunk. */
static void small_epochs(uint64_t retain_bytes)
{
	const struct tslab_heap_options options = { .struct_bytes = sizeof(options),
						    .name = "small",
						    .retain_bytes = retain_bytes };
	tslab_heap *heap;

	heap = tslab_heap_create(&options);
	require(heap != NULL, "heap");
	for (int i = 0; i < 3000; i++) {
		tslab_epoch_t epoch = open_in(heap, "request");
		void *objects[8];

		for (int k = 0; k < 8; k++)
			objects[k] = allocate(epoch, 192);
		for (int k = 0; k < 8; k++)
			tslab_free(objects[k]);
		require(!tslab_epoch_close(epoch), "close");
	}
}

static void undersized_cache(void)
{
	small_epochs(0);
}

/* Every slab keeps one object. */
static void low_yield(void)
{
	for (int round = 0; round < 10; round++) {
		tslab_epoch_t epoch = open_in(NULL, "scattered");
		enum { OBJECTS = 20000, EACH_KEEPS = 32 };
		static void *objects[OBJECTS];

		for (int i = 0; i < OBJECTS; i++)
			objects[i] = allocate(epoch, 256);
		for (int i = 0; i < OBJECTS; i++)
			if (i % EACH_KEEPS)
				tslab_free(objects[i]);
		require(!tslab_epoch_close(epoch), "close");
	}
}

/* Locked pages are not given back. */
static void locked_memory(void)
{
	const struct tslab_heap_options options = { .struct_bytes = sizeof(options),
						    .name = "locked" };
	tslab_epoch_t epoch;
	tslab_heap *heap;
	char *object;

	heap = tslab_heap_create(&options);
	require(heap != NULL, "heap");
	epoch = open_in(heap, "locked");
	object = allocate(epoch, 1 << 20);
	require(!syscall(SYS_mlock, object, 64 << 10), "mlock"); /* sanitizers ignore mlock() */
	require(!tslab_epoch_discard(epoch), "discard");
}

static void closing_backlog(void)
{
	for (int i = 0; i < 16; i++) {
		allocate(tslab_epoch_current(NULL), 100);
		require(!tslab_epoch_advance(NULL, NULL), "advance");
	}
}

/*
 * A thread that is taken off its processor while it has the pool's lock: who needs the pool waits. When that
 * happens on a crowded machine is chance; here it is for sure: it begins when the other one waits.
 */
static _Atomic bool held;

static uint64_t contended(void)
{
	struct tslab_process_stats now = { .struct_bytes = sizeof(now) };

	require(!tslab_stats_process(&now), "statistics");
	return now.lock_contended;
}

static void *hold_the_pool(void *arg)
{
	uint64_t before = contended();

	ts_lock(&ts_lock_pool);
	held = arg != NULL;
	for (int ms = 0; ms < 10000 && contended() == before; ms++)
		usleep(1000);
	usleep(100000);
	ts_unlock(&ts_lock_pool);
	return NULL;
}

static void crowded_processor(void)
{
	tslab_epoch_t epoch = open_in(NULL, "crowded");
	pthread_t thread;

	for (int i = 0; i < 2000; i++)
		tslab_free(allocate(epoch, 100));
	require(!pthread_create(&thread, NULL, hold_the_pool, (void *)&held), "thread");
	while (!held)
		sched_yield();
	allocate(epoch, 4 << 20);
	require(!pthread_join(thread, NULL), "join");
}

/* -- none ------------------------------------------------------------------------------------------- */

static void healthy_requests(void)
{
	small_epochs(1 << 20);
}

static void *serve(void *rounds)
{
	void *objects[100];

	for (uintptr_t round = 0; round < (uintptr_t)rounds; round++) {
		tslab_epoch_t epoch = open_in(NULL, "request");

		require(!tslab_domain_enter(epoch), "enter");
		for (int i = 0; i < 100; i++)
			require((objects[i] = tslab_malloc((size_t)i * 7 + 1)) != NULL, "malloc");
		for (int i = 0; i < 100; i += 2)
			tslab_free(objects[i]);
		require(!tslab_domain_exit(epoch), "exit");
		require(!tslab_epoch_discard(epoch), "discard");
	}
	return NULL;
}

static void healthy_server(void)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		require(!pthread_create(&threads[i], NULL, serve, (void *)3000), "thread");
	for (int i = 0; i < 3; i++)
		require(!pthread_join(threads[i], NULL), "join");
}

static void healthy_cache(void)
{
	static void *objects[10000];
	tslab_epoch_t epoch = open_in(NULL, "cache");

	for (unsigned i = 0; i < 400000; i++) {
		void **object = &objects[i * 2654435761u % 10000];

		tslab_free(*object);
		*object = allocate(epoch, 64 + i % 700);
	}
}

static void healthy_large(void)
{
	for (int i = 0; i < 50; i++) {
		tslab_epoch_t epoch = open_in(NULL, "batch");

		for (int k = 0; k < 20; k++)
			memset(allocate(epoch, 1 << 20), 1, 1 << 20);
		require(!tslab_epoch_discard(epoch), "discard");
	}
}

/* A ring that goes round and round, until nobody turns it any more. */
static void ring_stalled(void)
{
	for (int i = 0; i < 1000; i++)
		require(!tslab_epoch_advance(NULL, NULL), "advance");
	sleep(2);
}

static const struct {
	const char *name;
	void (*show)(void);
} diseases[] = {
	{ "missing-exits", missing_exits },
	{ "kept-reference", kept_reference },
	{ "thread-ends-inside", thread_ends_inside },
	{ "not-draining", not_draining },
	{ "double-free", double_free },
	{ "wild-free", wild_free },
	{ "foreign-free", foreign_free },
	{ "stale-handle", stale_handle },
	{ "exit-without-enter", exit_without_enter },
	{ "exit-out-of-order", exit_out_of_order },
	{ "too-many-labels", too_many_labels },
	{ "too-large", too_large },
	{ "limit-reached", limit_reached },
	{ "no-memory", no_memory },
	{ "closed-epoch", closed_epoch },
	{ "bad-argument", bad_argument },
	{ "undersized-cache", undersized_cache },
	{ "low-yield", low_yield },
	{ "locked-memory", locked_memory },
	{ "closing-backlog", closing_backlog },
	{ "ring-stalled", ring_stalled },
	{ "crowded-processor", crowded_processor },
	{ "healthy-requests", healthy_requests },
	{ "healthy-server", healthy_server },
	{ "healthy-cache", healthy_cache },
	{ "healthy-large", healthy_large },
};
enum { DISEASES = sizeof(diseases) / sizeof(diseases[0]) };

int main(int argc, char **argv)
{
	bool known = false;

	require(argc == 2, "which disease?");
	allocate(tslab_epoch_default(NULL), 100);
	for (size_t i = 0; i < DISEASES; i++) {
		if (strcmp(argv[1], diseases[i].name) != 0)
			continue;
		diseases[i].show();
		known = true;
	}
	require(known, argv[1]);
	puts("ready");
	fflush(stdout);
	return getchar() == EOF ? 0 : 1;
}
