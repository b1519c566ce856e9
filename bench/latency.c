/* SPDX-License-Identifier: MIT */
/*
 * latency.c: what a single allocation and a single free take, by percentile.
 *
 * Each call is timed with the CPU's cycle counter, and nothing is subtracted: the figures of the floor
 * are what two readings of the counter around two empty calls take. Beginning and ending a lifetime is
 * not timed here; the requests in lifetime.c have its price.
 */
#include <math.h>

#include "arch.h"
#include "bench.h"
#include "epoch.h"

/* Counts by cycles: exact ones up to EXACT, then STEPS for each power of two. */
#define EXACT_LOG2 12
#define EXACT (1u << EXACT_LOG2)
#define STEPS_LOG2 6
#define STEPS (1u << STEPS_LOG2)
#define BUCKETS (EXACT + (64 - EXACT_LOG2) * STEPS)

struct histogram {
	uint32_t counts[BUCKETS];
};

static struct histogram *allocations, *frees;
static double ns_per_cycle;

static inline void record(struct histogram *histogram, uint64_t cycles)
{
	unsigned bucket = (unsigned)cycles, log2;

	if (__builtin_expect(cycles >= EXACT, 0)) {
		log2 = 63 - (unsigned)__builtin_clzll(cycles);
		bucket = EXACT + (log2 - EXACT_LOG2) * STEPS +
			 ((unsigned)(cycles >> (log2 - STEPS_LOG2)) & (STEPS - 1));
	}
	histogram->counts[bucket]++;
}

static double cycles_of(unsigned bucket)
{
	unsigned log2 = EXACT_LOG2 + (bucket - EXACT) / STEPS;

	if (bucket < EXACT)
		return bucket;
	return ldexp(STEPS + (bucket - EXACT) % STEPS, (int)(log2 - STEPS_LOG2));
}

static double percentile_ns(const struct histogram *histogram, double share)
{
	uint64_t total = 0, below = 0, rank;
	unsigned bucket = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		total += histogram->counts[i];
	rank = (uint64_t)ceil((double)total * share);
	while (bucket < BUCKETS - 1 && (below += histogram->counts[bucket]) < rank)
		bucket++;
	return cycles_of(bucket) * ns_per_cycle;
}

void bench_latency_prepare(struct bench_worker *worker)
{
	(void)worker;
	allocations = bench_team_pages(sizeof(*allocations));
	frees = bench_team_pages(sizeof(*frees));
	ns_per_cycle = bench_team_ns_per_cycle();
}

void bench_latency_figures(struct bench_run *run, double *figures)
{
	static const double shares[] = { 0.5, 0.99, 0.999 };

	(void)run;
	for (unsigned i = 0; i < 3; i++) {
		figures[i] = percentile_ns(allocations, shares[i]);
		figures[3 + i] = percentile_ns(frees, shares[i]);
	}
	memset(allocations, 0, sizeof(*allocations));
	memset(frees, 0, sizeof(*frees));
}

static inline void *timed_allocate(const struct bench_calls *calls, size_t bytes)
{
	uint64_t begin = ts_arch_cycles();
	uint64_t *object = calls->allocate(bytes);

	record(allocations, ts_arch_cycles() - begin);
	*(volatile uint64_t *)object = bytes;
	return object;
}

static inline void timed_release(const struct bench_calls *calls, void *object)
{
	uint64_t begin = ts_arch_cycles();

	calls->release(object);
	record(frees, ts_arch_cycles() - begin);
}

static inline size_t random_bytes(const struct bench_workload *workload, uint64_t bits)
{
	return workload->min_bytes +
	       bench_scale((uint32_t)(bits >> 32), workload->max_bytes - workload->min_bytes + 1);
}

/* ---------------------------------------------------------------------- random and LIFO churn -- */

void bench_latency_churn_prepare(struct bench_worker *worker)
{
	bench_latency_prepare(worker);
	bench_replace_prepare(worker);
}

void bench_latency_churn_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	const struct bench_calls *calls = &worker->run->calls;

	for (uint64_t n = 0; n < workload->operations; n++) {
		uint64_t bits = bench_random(&worker->random);
		void **slot = &worker->objects[bench_scale((uint32_t)bits, workload->objects)];

		timed_release(calls, *slot);
		*slot = timed_allocate(calls, random_bytes(workload, bits));
	}
}

/* The object that was allocated last is freed first; the depth walks at random. */
void bench_latency_stack_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	const struct bench_calls *calls = &worker->run->calls;
	uint32_t depth = 0;

	for (uint64_t n = 0; n < 2 * workload->operations; n++) {
		uint64_t bits = bench_random(&worker->random);
		bool push = bits & 1;

		if (depth == 0 || (push && depth < workload->objects))
			worker->objects[depth++] =
				timed_allocate(calls, random_bytes(workload, bits));
		else
			timed_release(calls, worker->objects[--depth]);
	}
	while (depth > 0)
		calls->release(worker->objects[--depth]);
}

/* -------------------------------------------------------------------------- a queue of lifetimes -- */

/* tslab frees the objects of every other lifetime one by one, and discards the rest. */

static void fill_timed(struct bench_worker *worker, void **objects, uint32_t count)
{
	const struct bench_workload *workload = worker->run->workload;

	for (uint32_t i = 0; i < count; i++)
		objects[i] = timed_allocate(&worker->run->calls,
					    random_bytes(workload, bench_random(&worker->random)));
}

static void release_timed(struct bench_worker *worker, void **objects, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		timed_release(&worker->run->calls, objects[i]);
}

/* Ends a lifetime whose scope is left already. */
static void end_timed(struct bench_worker *worker, void **objects, uint32_t count,
		      const tslab_epoch_t *epoch, bool discard)
{
	if (epoch && discard) {
		bench_epoch_drop(worker, *epoch);
		return;
	}
	release_timed(worker, objects, count);
	if (epoch)
		bench_epoch_finish(worker, *epoch);
}

void bench_latency_request_burst(struct bench_worker *worker)
{
	uint32_t objects = worker->run->workload->objects;
	uint64_t lifetimes = worker->run->workload->operations / objects;
	bool tslab = worker->run->allocator->kind == BENCH_TSLAB;

	for (uint64_t n = 0; n < lifetimes; n++) {
		tslab_epoch_t epoch = tslab ? bench_epoch_begin(worker) : 0;

		fill_timed(worker, worker->objects, objects);
		if (tslab && n % 2) {
			bench_epoch_discard(worker, epoch);
			continue;
		}
		release_timed(worker, worker->objects, objects);
		if (tslab)
			bench_epoch_close(worker, epoch);
	}
}

/* A lifetime ends when BENCH_QUEUE - 1 more have begun. */
void bench_latency_queue_burst(struct bench_worker *worker)
{
	uint32_t objects = worker->run->workload->objects / BENCH_QUEUE;
	uint64_t lifetimes = worker->run->workload->operations / objects;
	bool tslab = worker->run->allocator->kind == BENCH_TSLAB;
	tslab_epoch_t epochs[BENCH_QUEUE];

	for (uint64_t n = 0; n < lifetimes + BENCH_QUEUE; n++) {
		unsigned at = n % BENCH_QUEUE;
		void **table = &worker->objects[at * objects];
		tslab_epoch_t *epoch = tslab ? &epochs[at] : NULL;

		if (n >= BENCH_QUEUE)
			end_timed(worker, table, objects, epoch, n / BENCH_QUEUE % 2);
		if (n >= lifetimes)
			continue;
		if (tslab)
			*epoch = bench_epoch_begin(worker);
		fill_timed(worker, table, objects);
		if (tslab)
			bench_epoch_leave(worker, *epoch);
	}
}
