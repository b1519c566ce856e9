/* SPDX-License-Identifier: MIT */
/*
 * lifetime.c: many objects with one lifetime: requests, frames, and the empty epoch.
 *
 * The program keeps the pointers in all variants, as a real one would; peers free each object, tslab
 * discards the epoch, a peer with heaps of its own destroys the heap. Sizes are drawn beforehand: in a
 * loop this short drawing them would be a third of the time.
 */
#include <string.h>

#include "bench.h"

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
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	bench_lifetime_prepare(worker);
	options.name = "frames";
	options.retain_bytes = (uint64_t)64 << 20;
	if (worker->run->allocator->kind != BENCH_TSLAB)
		return;
	worker->heap = worker->run->calls.heap_create(&options);
	if (!worker->heap)
		bench_die("tslab_heap_create failed");
}

static inline void fill(struct bench_worker *worker, void *(*allocate)(size_t))
{
	uint32_t objects = worker->run->workload->objects;
	const uint16_t *sizes = worker->sizes;
	uint32_t next = worker->next_size;
	void **table = worker->objects;

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

static inline void release_all(struct bench_worker *worker)
{
	void (*release)(void *) = worker->run->calls.release;
	uint32_t objects = worker->run->workload->objects;
	void **table = worker->objects;

	for (uint32_t i = 0; i < objects; i++)
		release(table[i]);
}

/* Outside of the timed instructions of a good run: an epoch call that fails makes the figure a lie. */
static void must(int result, const char *call)
{
	if (__builtin_expect(result != 0, 0))
		bench_die("%s: %s", call, strerror(-result));
}

static uint64_t lifetimes(const struct bench_workload *workload)
{
	/* A frame's operations are objects of all threads, a request's are requests. */
	if (workload->threads > 1)
		return workload->operations / workload->threads / workload->objects;
	return workload->operations;
}

/* How a program begins a lifetime, and its two ways to end it. */
static tslab_epoch_t begin_epoch(struct bench_worker *worker)
{
	tslab_epoch_t epoch;

	must(worker->run->calls.epoch_open(worker->heap, "request", &epoch), "tslab_epoch_open");
	must(worker->run->calls.domain_enter(epoch), "tslab_domain_enter");
	return epoch;
}

static void discard_epoch(struct bench_worker *worker, tslab_epoch_t epoch)
{
	must(worker->run->calls.domain_exit(epoch), "tslab_domain_exit");
	must(worker->run->calls.epoch_discard(epoch), "tslab_epoch_discard");
}

static void close_epoch(struct bench_worker *worker, tslab_epoch_t epoch)
{
	must(worker->run->calls.domain_exit(epoch), "tslab_domain_exit");
	must(worker->run->calls.epoch_close(epoch), "tslab_epoch_close");
}

void bench_discard_burst(struct bench_worker *worker)
{
	const struct bench_calls *calls = &worker->run->calls;
	enum bench_kind kind = worker->run->allocator->kind;

	for (uint64_t n = lifetimes(worker->run->workload); n > 0; n--) {
		if (kind == BENCH_TSLAB) {
			tslab_epoch_t epoch = begin_epoch(worker);

			fill(worker, calls->allocate);
			discard_epoch(worker, epoch);
		} else if (kind == BENCH_PEER_HEAP) {
			void *heap = calls->peer_heap_new();

			fill_heap(worker, heap);
			calls->peer_heap_destroy(heap);
		} else {
			fill(worker, calls->allocate);
			release_all(worker);
		}
	}
}

void bench_free_each_burst(struct bench_worker *worker)
{
	const struct bench_calls *calls = &worker->run->calls;
	enum bench_kind kind = worker->run->allocator->kind;

	for (uint64_t n = lifetimes(worker->run->workload); n > 0; n--) {
		if (kind == BENCH_TSLAB) {
			tslab_epoch_t epoch = begin_epoch(worker);

			fill(worker, calls->allocate);
			release_all(worker);
			close_epoch(worker, epoch);
		} else if (kind == BENCH_PEER_HEAP) {
			void *heap = calls->peer_heap_new();

			fill_heap(worker, heap);
			release_all(worker);
			calls->peer_heap_destroy(heap);
		} else {
			fill(worker, calls->allocate);
			release_all(worker);
		}
	}
}

void bench_epoch_burst(struct bench_worker *worker)
{
	for (uint64_t n = worker->run->workload->operations; n > 0; n--)
		close_epoch(worker, begin_epoch(worker));
}
