/* SPDX-License-Identifier: MIT */
/*
 * lifetime.c: many objects with one lifetime: requests, frames, and the empty epoch.
 *
 * The program keeps the pointers in all variants, as a real one would; peers free each object, tslab
 * discards the epoch, a peer with heaps of its own destroys the heap. Sizes are drawn beforehand: in a
 * loop this short drawing them would be a third of the time.
 */
#include "bench.h"
#include "epoch.h"

#define SIZES 4096u /* 8 KiB: some of the first-level cache, the same for all */

void bench_lifetime_prepare(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	uint32_t span = workload->max_bytes - workload->min_bytes + 1;

	worker->sizes = bench_team_pages(SIZES * sizeof(*worker->sizes));
	for (uint32_t i = 0; i < SIZES; i++) {
		uint32_t random = (uint32_t)bench_random(&worker->random);

		worker->sizes[i] = (uint16_t)(workload->min_bytes + bench_scale(random, span));
	}
}

/*
 * A frame of 1 M objects is more than the default retains for a thread; a program with frames says so
 * when it makes its heap. Peers keep their memory from frame to frame as well.
 */
void bench_frame_prepare(struct bench_worker *worker)
{
	bench_lifetime_prepare(worker);
	bench_heap_prepare(worker, (uint64_t)64 << 20);
}

static inline void fill(struct bench_worker *worker, void **table, uint32_t objects)
{
	void *(*allocate)(size_t) = worker->run->calls.allocate;
	const uint16_t *sizes = worker->sizes;
	uint32_t next = worker->next_size;

	for (uint32_t i = 0; i < objects; i++) {
		uint64_t *object = allocate(sizes[next++ % SIZES]);

		*(volatile uint64_t *)object = i;
		table[i] = object;
	}
	worker->next_size = next;
}

static inline void fill_heap(struct bench_worker *worker, void *heap)
{
	void *(*allocate)(void *, size_t) = worker->run->calls.peer_heap_allocate;
	uint32_t objects = worker->run->workload->objects;
	const uint16_t *sizes = worker->sizes;
	uint32_t next = worker->next_size;
	void **table = worker->objects;

	for (uint32_t i = 0; i < objects; i++) {
		uint64_t *object = allocate(heap, sizes[next++ % SIZES]);

		*(volatile uint64_t *)object = i;
		table[i] = object;
	}
	worker->next_size = next;
}

static inline void release_all(struct bench_worker *worker, void **table, uint32_t objects)
{
	void (*release)(void *) = worker->run->calls.release;

	for (uint32_t i = 0; i < objects; i++)
		release(table[i]);
}

static uint64_t lifetimes(const struct bench_workload *workload)
{
	/* A frame's operations are objects of all threads, a request's are requests. */
	if (workload->threads > 1)
		return workload->operations / workload->threads / workload->objects;
	return workload->operations;
}

void bench_discard_burst(struct bench_worker *worker)
{
	const struct bench_calls *calls = &worker->run->calls;
	enum bench_kind kind = worker->run->allocator->kind;
	uint32_t objects = worker->run->workload->objects;

	for (uint64_t n = lifetimes(worker->run->workload); n > 0; n--) {
		if (kind == BENCH_TSLAB) {
			tslab_epoch_t epoch = bench_epoch_begin(worker);

			fill(worker, worker->objects, objects);
			bench_epoch_discard(worker, epoch);
		} else if (kind == BENCH_PEER_HEAP) {
			void *heap = calls->peer_heap_new();

			fill_heap(worker, heap);
			calls->peer_heap_destroy(heap);
		} else {
			fill(worker, worker->objects, objects);
			release_all(worker, worker->objects, objects);
		}
	}
}

void bench_free_each_burst(struct bench_worker *worker)
{
	const struct bench_calls *calls = &worker->run->calls;
	enum bench_kind kind = worker->run->allocator->kind;
	uint32_t objects = worker->run->workload->objects;

	for (uint64_t n = lifetimes(worker->run->workload); n > 0; n--) {
		if (kind == BENCH_TSLAB) {
			tslab_epoch_t epoch = bench_epoch_begin(worker);

			fill(worker, worker->objects, objects);
			release_all(worker, worker->objects, objects);
			bench_epoch_close(worker, epoch);
		} else if (kind == BENCH_PEER_HEAP) {
			void *heap = calls->peer_heap_new();

			fill_heap(worker, heap);
			release_all(worker, worker->objects, objects);
			calls->peer_heap_destroy(heap);
		} else {
			fill(worker, worker->objects, objects);
			release_all(worker, worker->objects, objects);
		}
	}
}

/*
 * A queue of requests: one ends when BENCH_QUEUE - 1 more have begun. The objects of the whole queue are
 * the workload's.
 */
void bench_queue_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	uint32_t objects = workload->objects / BENCH_QUEUE;
	bool tslab = worker->run->allocator->kind == BENCH_TSLAB;
	tslab_epoch_t epochs[BENCH_QUEUE];

	for (uint64_t n = 0; n < workload->operations + BENCH_QUEUE; n++) {
		unsigned at = n % BENCH_QUEUE;
		void **table = &worker->objects[at * objects];

		if (n >= BENCH_QUEUE) {
			if (tslab)
				bench_epoch_drop(worker, epochs[at]);
			else
				release_all(worker, table, objects);
		}
		if (n >= workload->operations)
			continue;
		if (tslab)
			epochs[at] = bench_epoch_begin(worker);
		fill(worker, table, objects);
		if (tslab)
			bench_epoch_leave(worker, epochs[at]);
	}
}

/* The four single calls. */
void bench_epoch_burst(struct bench_worker *worker)
{
	const struct bench_calls *calls = &worker->run->calls;

	for (uint64_t n = worker->run->workload->operations; n > 0; n--) {
		tslab_epoch_t epoch;

		bench_must(calls->epoch_open(worker->heap, "request", &epoch), "tslab_epoch_open");
		bench_must(calls->domain_enter(epoch), "tslab_domain_enter");
		bench_epoch_leave(worker, epoch);
		bench_epoch_finish(worker, epoch);
	}
}

void bench_scope_burst(struct bench_worker *worker)
{
	for (uint64_t n = worker->run->workload->operations; n > 0; n--)
		bench_epoch_close(worker, bench_epoch_begin(worker));
}
