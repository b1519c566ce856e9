/* SPDX-License-Identifier: MIT */
/*
 * retain SLABS: requests of 150 KiB in objects of class 3, on a heap that keeps so many slabs of 8 KiB for the
 * thread. Prints p50 and p99.9 of an allocation with its first write, in nanoseconds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <tslab/tslab.h>

enum { BYTES = 192, OBJECTS = 150 * 1024 / BYTES, REQUESTS = 500, SLAB_BYTES = 8192 };

static void require(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "retain: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void request(tslab_heap *heap, uint64_t *ns)
{
	tslab_epoch_t epoch;

	require(!tslab_scope_begin(heap, "request", &epoch), "begin");
	for (unsigned i = 0; i < OBJECTS; i++) {
		uint64_t began = now_ns();
		volatile char *object = tslab_malloc(BYTES);

		require(object != NULL, "malloc");
		*object = 1;
		ns[i] = now_ns() - began;
	}
	require(!tslab_scope_discard(epoch), "discard");
}

int main(int argc, char **argv)
{
	static uint64_t ns[REQUESTS * OBJECTS];
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_heap *heap;

	require(argc == 2, "how many slabs?");
	options.name = "retain";
	options.retain_bytes = strtoul(argv[1], NULL, 10) * SLAB_BYTES;
	heap = tslab_heap_create(&options);
	require(heap != NULL, "heap");
	for (unsigned i = 0; i < 3; i++)
		request(heap, ns);
	for (unsigned i = 0; i < REQUESTS; i++)
		request(heap, ns + i * OBJECTS);
	qsort(ns, REQUESTS * OBJECTS, sizeof(ns[0]), by_value);
	printf("%u %u\n", (unsigned)ns[REQUESTS * OBJECTS / 2],
	       (unsigned)ns[REQUESTS * OBJECTS / 1000 * 999]);
	return 0;
}
