/* SPDX-License-Identifier: MIT */
/*
 * How much memory stays resident, by page size: lines "name bytes" for tests/pages/run, which compares real
 * kernels. Each figure is of a process of its own; with a name, of this one.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tslab/stats.h"
#include "tslab/tslab.h"
#include "../random.h"

enum {
	FLOOR_EPOCHS = 500,
	REQUESTS = 500,
	OBJECTS = 1000,
	SERVER_THREADS = 8,
	SERVER_ROUNDS = 20,
	OPEN_AT_ONCE = 8,
	CYCLES = 120,
	CYCLE_OBJECTS = 20000,
	SHARED_CYCLES = 4,
	LASTING_EPOCHS = 11,
	THOUSAND = 1000
};

static __thread uint64_t seed = 0x7ab1ab5eedull;

static void require(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "pages: %s\n", what);
	exit(1);
}

static uint64_t next(void)
{
	return rnd(&seed) >> 16;
}

/* Private memory and the stats segment, without the files of the program. */
static size_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	size_t kib = 0, sum = 0;
	unsigned found = 0;
	char line[256];

	require(f != NULL, "no smaps_rollup");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss_Anon: %zu kB", &kib) == 1 ||
		    sscanf(line, "Pss_Shmem: %zu kB", &kib) == 1) {
			sum += kib;
			found++;
		}
	fclose(f);
	require(found == 2, "smaps_rollup has no Pss_Anon and Pss_Shmem");
	return sum * 1024;
}

/* A heap that keeps nothing for later: what is resident when all is over is not a cache's. */
static tslab_heap *heap(void)
{
	static tslab_heap *made;
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	options.retain_bytes = 0;
	if (!made)
		made = tslab_heap_create(&options);
	require(made != NULL, "heap");
	return made;
}

static tslab_epoch_t opened(void)
{
	tslab_epoch_t epoch = 0;

	require(!tslab_epoch_open(heap(), "pages", &epoch), "open");
	return epoch;
}

static void closed(tslab_epoch_t epoch)
{
	require(!tslab_epoch_close(epoch), "close");
}

static void *object(tslab_epoch_t epoch, size_t bytes)
{
	void *p = tslab_alloc(epoch, bytes);

	require(p != NULL, "alloc");
	return memset(p, 1, bytes);
}

/* -- an epoch that is open and holds one object of each of so many classes ----------------------------- */

static size_t floor_of(unsigned classes)
{
	size_t before;

	closed(opened());
	before = resident_bytes();
	for (unsigned i = 0; i < FLOOR_EPOCHS; i++) {
		tslab_epoch_t epoch = opened();

		for (unsigned c = 0; c < classes; c++)
			object(epoch, 32 + 96 * c);
	}
	return (resident_bytes() - before) / FLOOR_EPOCHS;
}

static size_t floor_1(void)
{
	return floor_of(1);
}

static size_t floor_8(void)
{
	return floor_of(8);
}

/* -- what is resident when lives are over; sizes as in the benchmarks of these names ------------------- */

static size_t small(void)
{
	return 16 + next() % 489;
}

static size_t request(void)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		tslab_epoch_t epoch = opened();

		for (unsigned k = 0; k < OBJECTS; k++)
			object(epoch, small());
		require(!tslab_epoch_discard(epoch), "discard");
	}
	return resident_bytes();
}

/* Threads that all have some requests open, which get their objects in turn. */
static pthread_barrier_t all_open;

static void *serve(void *with_objects)
{
	tslab_epoch_t requests[OPEN_AT_ONCE];

	for (unsigned round = 0; round < SERVER_ROUNDS; round++) {
		for (unsigned r = 0; r < OPEN_AT_ONCE; r++)
			requests[r] = opened();
		for (unsigned k = 0; with_objects && k < OBJECTS * OPEN_AT_ONCE; k++)
			object(requests[k % OPEN_AT_ONCE], small());
		pthread_barrier_wait(&all_open);
		for (unsigned r = 0; r < OPEN_AT_ONCE; r++)
			require(!tslab_epoch_discard(requests[r]), "discard");
		pthread_barrier_wait(&all_open);
	}
	return NULL;
}

static size_t server_of(void *with_objects)
{
	pthread_t threads[SERVER_THREADS];

	heap();
	require(!pthread_barrier_init(&all_open, NULL, SERVER_THREADS), "barrier");
	for (unsigned t = 0; t < SERVER_THREADS; t++)
		require(!pthread_create(&threads[t], NULL, serve, with_objects), "thread");
	for (unsigned t = 0; t < SERVER_THREADS; t++)
		pthread_join(threads[t], NULL);
	return resident_bytes();
}

static size_t server(void)
{
	return server_of(&all_open);
}

static size_t idle_server(void)
{
	return server_of(NULL);
}

/* Of each cycle's objects one of fifty stays, with those of three other cycles, while ten epochs pass. */
static size_t mixed_lifetime(void)
{
	tslab_epoch_t lasting[LASTING_EPOCHS] = { 0 };

	for (unsigned cycle = 0; cycle < CYCLES; cycle++) {
		tslab_epoch_t *with = &lasting[cycle / SHARED_CYCLES % LASTING_EPOCHS];
		tslab_epoch_t epoch = opened();

		if (cycle % SHARED_CYCLES == 0) {
			require(!*with || !tslab_epoch_discard(*with), "discard");
			*with = opened();
		}
		for (unsigned i = 0; i < CYCLE_OBJECTS; i++)
			object(i % 50 ? epoch : *with, small());
		require(!tslab_epoch_discard(epoch), "discard");
	}
	return resident_bytes();
}

static size_t thousand_epochs(void)
{
	static tslab_epoch_t epochs[THOUSAND];
	static void *objects[THOUSAND][50];

	for (unsigned i = 0; i < THOUSAND; i++) {
		epochs[i] = opened();
		for (unsigned k = 0; k < 50; k++)
			objects[i][k] = object(epochs[i], (size_t)32 << k % 4);
	}
	for (unsigned i = 0; i < THOUSAND; i++) {
		for (unsigned k = 0; k < 50; k++)
			tslab_free(objects[i][k]);
		closed(epochs[i]);
	}
	return resident_bytes();
}

/* What a process that does nothing else has: of the page size, not of the library. */
static size_t idle(void)
{
	closed(opened());
	return resident_bytes();
}

static const struct {
	const char *name;
	size_t (*run)(void);
} figures[] = {
	{ "idle", idle },
	{ "idle_server", idle_server },
	{ "floor_1", floor_1 },
	{ "floor_8", floor_8 },
	{ "request", request },
	{ "server", server },
	{ "mixed_lifetime", mixed_lifetime },
	{ "thousand_epochs", thousand_epochs },
};

static void run_alone(char *program, const char *name)
{
	char *const arguments[] = { program, (char *)name, NULL };
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		execv("/proc/self/exe", arguments);
		_exit(127);
	}
	require(child > 0 && waitpid(child, &status, 0) == child && status == 0, name);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		if (argc < 2)
			run_alone(argv[0], figures[i].name);
		else if (!strcmp(argv[1], figures[i].name))
			printf("%s %zu\n", figures[i].name, figures[i].run());
	}
	return 0;
}
