/* SPDX-License-Identifier: MIT */
/* crossing.c: objects that one thread allocates and another frees. */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "bench.h"

/*
 * Producer to consumer: a ring of batches, so that the hand-over costs little beside the allocator. The
 * consumer reads each object before it frees it.
 */
#define BATCH 64
#define BATCHES 64

struct pipe {
	_Alignas(128) _Atomic uint64_t written; /* batches, by the producer */
	_Alignas(128) _Atomic uint64_t read;    /* batches, by the consumer */
	_Alignas(128) void *objects[BATCHES][BATCH];
};

static struct pipe *shared_pipe;

void bench_pipe_prepare(struct bench_worker *worker)
{
	if (worker->index == 0)
		shared_pipe = bench_team_pages(sizeof(*shared_pipe));
}

static void produce(struct bench_worker *worker, struct pipe *pipe, uint64_t batches)
{
	const struct bench_workload *workload = worker->run->workload;
	void *(*allocate)(size_t) = worker->run->calls.allocate;
	uint32_t span = workload->max_bytes - workload->min_bytes + 1;
	uint64_t written = atomic_load_explicit(&pipe->written, memory_order_relaxed);

	for (uint64_t end = written + batches; written < end; written++) {
		void **batch = pipe->objects[written % BATCHES];

		while (written - atomic_load_explicit(&pipe->read, memory_order_acquire) == BATCHES)
			sched_yield();
		for (unsigned i = 0; i < BATCH; i++) {
			uint32_t bits = (uint32_t)bench_random(&worker->random);

			batch[i] = allocate(workload->min_bytes + bench_scale(bits, span));
			*(volatile uint64_t *)batch[i] = bits;
		}
		atomic_store_explicit(&pipe->written, written + 1, memory_order_release);
	}
}

static void consume(struct bench_worker *worker, struct pipe *pipe, uint64_t batches)
{
	void (*release)(void *) = worker->run->calls.release;
	uint64_t read = atomic_load_explicit(&pipe->read, memory_order_relaxed);

	for (uint64_t end = read + batches; read < end; read++) {
		void **batch = pipe->objects[read % BATCHES];

		while (atomic_load_explicit(&pipe->written, memory_order_acquire) == read)
			sched_yield();
		for (unsigned i = 0; i < BATCH; i++) {
			worker->sink += *(volatile uint64_t *)batch[i];
			release(batch[i]);
		}
		atomic_store_explicit(&pipe->read, read + 1, memory_order_release);
	}
}

void bench_pipe_burst(struct bench_worker *worker)
{
	uint64_t batches = worker->run->workload->operations / BATCH;

	if (worker->index == 0)
		produce(worker, shared_pipe, batches);
	else
		consume(worker, shared_pipe, batches);
}

/*
 * Like larson: each thread replaces objects at random in a table; after LARSON_REPLACEMENTS the threads
 * swap tables, so that what one left is freed by the other.
 */
#define LARSON_REPLACEMENTS 4096

static _Alignas(128) _Atomic uint64_t larson_arrived;
static void **larson_tables[BENCH_THREADS_MAX];

void bench_larson_prepare(struct bench_worker *worker)
{
	bench_replace_prepare(worker);
	larson_tables[worker->index] = worker->objects;
}

static void larson_wait(unsigned threads, uint64_t phase)
{
	atomic_fetch_add_explicit(&larson_arrived, 1, memory_order_acq_rel);
	while (atomic_load_explicit(&larson_arrived, memory_order_acquire) < threads * phase)
		sched_yield();
}

static void larson_replace(struct bench_worker *worker, void **table)
{
	const struct bench_workload *workload = worker->run->workload;
	void *(*allocate)(size_t) = worker->run->calls.allocate;
	void (*release)(void *) = worker->run->calls.release;
	uint32_t span = workload->max_bytes - workload->min_bytes + 1;
	uint64_t random = worker->random;

	for (unsigned n = 0; n < LARSON_REPLACEMENTS; n++) {
		uint64_t bits = bench_random(&random);
		void **slot = &table[bench_scale((uint32_t)bits, workload->objects)];
		uint64_t *object;

		release(*slot);
		object = allocate(workload->min_bytes + bench_scale((uint32_t)(bits >> 32), span));
		*(volatile uint64_t *)object = n;
		*slot = object;
	}
	worker->random = random;
}

void bench_larson_burst(struct bench_worker *worker)
{
	unsigned threads = worker->run->workload->threads;
	uint64_t phases = worker->run->workload->operations / LARSON_REPLACEMENTS;
	uint64_t arrived = atomic_load_explicit(&larson_arrived, memory_order_acquire) / threads;

	for (uint64_t phase = 1; phase <= phases; phase++) {
		larson_replace(worker, larson_tables[(worker->index + phase) % threads]);
		larson_wait(threads, arrived + phase);
	}
}
