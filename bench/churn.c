/* SPDX-License-Identifier: MIT */
/*
 * churn.c: the same object again and again, and random replacement in a working set.
 *
 * Every loop copies what it needs from the tables into locals first: what is timed is two calls
 * through pointers, the random numbers, and one store into the new object.
 */
#include <string.h>

#include "bench.h"

void bench_pair_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	void *(*allocate)(size_t) = worker->run->calls.allocate;
	void (*release)(void *) = worker->run->calls.release;
	size_t bytes = workload->min_bytes;

	for (uint64_t n = 0; n < workload->operations; n++) {
		uint64_t *object = allocate(bytes);

		*(volatile uint64_t *)object = n;
		release(object);
	}
}

void bench_replace_prepare(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	uint32_t span = workload->max_bytes - workload->min_bytes + 1;

	for (uint32_t i = 0; i < workload->objects; i++) {
		uint32_t random = (uint32_t)bench_random(&worker->random);

		worker->objects[i] =
			worker->run->calls.allocate(workload->min_bytes + bench_scale(random, span));
		memset(worker->objects[i], 1, 8);
	}
}

void bench_replace_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	void *(*allocate)(size_t) = worker->run->calls.allocate;
	void (*release)(void *) = worker->run->calls.release;
	uint32_t objects = workload->objects;
	uint32_t min_bytes = workload->min_bytes;
	uint32_t span = workload->max_bytes - min_bytes + 1;
	uint64_t operations = workload->operations;
	uint64_t random = worker->random;
	void **table = worker->objects;

	for (uint64_t n = 0; n < operations; n++) {
		uint64_t bits = bench_random(&random);
		void **slot = &table[bench_scale((uint32_t)bits, objects)];
		uint64_t *object;

		release(*slot);
		object = allocate(min_bytes + bench_scale((uint32_t)(bits >> 32), span));
		*(volatile uint64_t *)object = n;
		*slot = object;
	}
	worker->random = random;
}

/* All objects are allocated, then all freed, the first first. */
void bench_batch_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	void *(*allocate)(size_t) = worker->run->calls.allocate;
	void (*release)(void *) = worker->run->calls.release;
	uint32_t span = workload->max_bytes - workload->min_bytes + 1;
	uint64_t random = worker->random;
	void **table = worker->objects;

	for (uint64_t n = 0; n < workload->operations; n += workload->objects) {
		for (uint32_t i = 0; i < workload->objects; i++) {
			uint32_t bits = (uint32_t)bench_random(&random);
			uint64_t *object = allocate(workload->min_bytes + bench_scale(bits, span));

			*(volatile uint64_t *)object = n;
			table[i] = object;
		}
		for (uint32_t i = 0; i < workload->objects; i++)
			release(table[i]);
	}
	worker->random = random;
}

/* The object that was allocated last is freed first; the depth walks at random. */
void bench_lifo_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	void *(*allocate)(size_t) = worker->run->calls.allocate;
	void (*release)(void *) = worker->run->calls.release;
	uint32_t span = workload->max_bytes - workload->min_bytes + 1, depth = 0;
	uint64_t random = worker->random;
	void **table = worker->objects;

	for (uint64_t n = 0; n < 2 * workload->operations; n++) {
		uint64_t bits = bench_random(&random);

		if (depth > 0 && ((bits & 1) || depth == workload->objects)) {
			release(table[--depth]);
		} else {
			uint64_t *object = allocate(workload->min_bytes +
						    bench_scale((uint32_t)(bits >> 32), span));

			*(volatile uint64_t *)object = n;
			table[depth++] = object;
		}
	}
	while (depth > 0)
		release(table[--depth]);
	worker->random = random;
}

/* What an allocator must know to free an object, without the rest: whose it is and of which size. */
void bench_lookup_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	size_t (*usable_bytes)(const void *) = worker->run->calls.usable_bytes;
	uint32_t objects = workload->objects;
	uint64_t random = worker->random, sum = 0;
	void **table = worker->objects;

	for (uint64_t n = 0; n < workload->operations; n++)
		sum += usable_bytes(table[bench_scale((uint32_t)bench_random(&random), objects)]);
	worker->random = random;
	worker->sink = sum;
}

/* Replaces one object; the new one is written as a whole, so that each live byte is resident. */
static void replace_written(struct bench_worker *worker, uint64_t *sizes)
{
	struct bench_run *run = worker->run;
	const struct bench_workload *workload = run->workload;
	uint64_t bits = bench_random(&worker->random);
	uint32_t at = bench_scale((uint32_t)bits, workload->objects);
	uint32_t span = workload->max_bytes - workload->min_bytes + 1;
	size_t bytes = workload->min_bytes + bench_scale((uint32_t)(bits >> 32), span);

	run->calls.release(worker->objects[at]);
	worker->objects[at] = run->calls.allocate(bytes);
	memset(worker->objects[at], 1, bytes);
	run->live_bytes += bytes - sizes[at];
	sizes[at] = bytes;
}

static uint64_t *resident_sizes;

void bench_resident_prepare(struct bench_worker *worker)
{
	struct bench_run *run = worker->run;
	const struct bench_workload *workload = run->workload;
	uint32_t span = workload->max_bytes - workload->min_bytes + 1;

	resident_sizes = bench_team_pages(workload->objects * sizeof(*resident_sizes));
	run->base_resident_bytes = bench_team_resident_bytes();
	for (uint32_t i = 0; i < workload->objects; i++) {
		uint32_t random = (uint32_t)bench_random(&worker->random);
		size_t bytes = workload->min_bytes + bench_scale(random, span);

		worker->objects[i] = run->calls.allocate(bytes);
		memset(worker->objects[i], 1, bytes);
		resident_sizes[i] = bytes;
		run->live_bytes += bytes;
	}
}

void bench_resident_burst(struct bench_worker *worker)
{
	for (uint64_t n = 0; n < worker->run->workload->operations; n++)
		replace_written(worker, resident_sizes);
}

void bench_resident_figures(struct bench_run *run, double *figures)
{
	figures[0] = (double)(bench_team_resident_bytes() - run->base_resident_bytes) /
		     (double)run->live_bytes;
}
