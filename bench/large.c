/* SPDX-License-Identifier: MIT */
/*
 * large.c: objects of 4 KiB to 1 MiB. A word is written in each of their pages, as a program that uses
 * them would: an allocator that gives memory back to the system pays for it here.
 */
#include <math.h>
#include <string.h>

#include "bench.h"

#define PAGE_BYTES 4096u
#define SIZES 256u

/* As many sizes of each octave: small objects are more frequent than large ones. */
static uint32_t sizes[SIZES];

static void touch(void *object, size_t from_bytes, size_t to_bytes)
{
	for (size_t at = from_bytes; at < to_bytes; at += PAGE_BYTES)
		((volatile char *)object)[at] = 1;
}

static void *allocate_touched(struct bench_worker *worker, size_t bytes)
{
	void *object = worker->run->calls.allocate(bytes);

	touch(object, 0, bytes);
	return object;
}

void bench_large_prepare(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	double octaves = log2((double)workload->max_bytes / workload->min_bytes);

	for (uint32_t i = 0; i < SIZES; i++)
		sizes[i] = (uint32_t)(workload->min_bytes * exp2(octaves * i / (SIZES - 1)));
	for (uint32_t i = 0; i < workload->objects; i++)
		worker->objects[i] =
			allocate_touched(worker, sizes[bench_random(&worker->random) % SIZES]);
}

void bench_large_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;

	for (uint64_t n = 0; n < workload->operations; n++) {
		uint64_t bits = bench_random(&worker->random);
		void **slot = &worker->objects[bench_scale((uint32_t)bits, workload->objects)];

		worker->run->calls.release(*slot);
		*slot = allocate_touched(worker, sizes[(bits >> 32) % SIZES]);
	}
}

/*
 * Arrays that grow in turn, so that none can have what follows it for nothing. One that is complete is
 * freed and begins again.
 */
static uint32_t *grown_bytes;

void bench_grow_prepare(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;

	grown_bytes = bench_team_pages(workload->objects * sizeof(*grown_bytes));
	for (uint32_t i = 0; i < workload->objects; i++) {
		grown_bytes[i] = workload->min_bytes;
		worker->objects[i] = allocate_touched(worker, workload->min_bytes);
	}
}

static void grow(struct bench_worker *worker, uint32_t add_divisor)
{
	const struct bench_workload *workload = worker->run->workload;
	const struct bench_calls *calls = &worker->run->calls;

	for (uint64_t n = 0; n < workload->operations; n++) {
		uint32_t i = (uint32_t)(n % workload->objects);
		uint32_t old_bytes = grown_bytes[i], bytes = old_bytes + old_bytes / add_divisor;

		if (old_bytes == workload->max_bytes) {
			calls->release(worker->objects[i]);
			bytes = workload->min_bytes;
			old_bytes = 0;
			worker->objects[i] = calls->allocate(bytes);
		} else {
			if (bytes > workload->max_bytes)
				bytes = workload->max_bytes;
			worker->objects[i] = calls->reallocate(worker->objects[i], bytes);
		}
		touch(worker->objects[i], old_bytes, bytes);
		grown_bytes[i] = bytes;
	}
}

void bench_grow_double_burst(struct bench_worker *worker)
{
	grow(worker, 1);
}

void bench_grow_eighth_burst(struct bench_worker *worker)
{
	grow(worker, 8);
}
