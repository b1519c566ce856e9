/* SPDX-License-Identifier: MIT */
/* epoch.h: how a program that uses tslab begins a lifetime, and its two ways to end it. */
#ifndef TSLAB_BENCH_EPOCH_H
#define TSLAB_BENCH_EPOCH_H

#include <string.h>

#include "bench.h"

/* Outside of the timed instructions of a good run: an epoch call that fails makes the figure a lie. */
static inline void bench_must(int result, const char *call)
{
	if (__builtin_expect(result != 0, 0))
		bench_die("%s: %s", call, strerror(-result));
}

/* Lifetimes in a heap that retains so much memory for a thread; nothing to do for a peer. */
static inline void bench_heap_prepare(struct bench_worker *worker, uint64_t retain_bytes)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	options.name = "bench";
	options.retain_bytes = retain_bytes;
	if (worker->run->allocator->kind != BENCH_TSLAB)
		return;
	worker->heap = worker->run->calls.heap_create(&options);
	if (!worker->heap)
		bench_die("tslab_heap_create failed");
}

static inline tslab_epoch_t bench_epoch_begin(struct bench_worker *worker)
{
	const struct bench_calls *calls = &worker->run->calls;
	tslab_epoch_t epoch;

	bench_must(calls->scope_begin(worker->heap, "request", &epoch), "tslab_scope_begin");
	return epoch;
}

/* The scope ends before the lifetime does. */
static inline void bench_epoch_leave(struct bench_worker *worker, tslab_epoch_t epoch)
{
	bench_must(worker->run->calls.domain_exit(epoch), "tslab_domain_exit");
}

/* Outside of the scope. */
static inline void bench_epoch_drop(struct bench_worker *worker, tslab_epoch_t epoch)
{
	bench_must(worker->run->calls.epoch_discard(epoch), "tslab_epoch_discard");
}

static inline void bench_epoch_finish(struct bench_worker *worker, tslab_epoch_t epoch)
{
	bench_must(worker->run->calls.epoch_close(epoch), "tslab_epoch_close");
}

/* Scope and lifetime end together. */
static inline void bench_epoch_discard(struct bench_worker *worker, tslab_epoch_t epoch)
{
	bench_must(worker->run->calls.scope_discard(epoch), "tslab_scope_discard");
}

static inline void bench_epoch_close(struct bench_worker *worker, tslab_epoch_t epoch)
{
	bench_must(worker->run->calls.scope_close(epoch), "tslab_scope_close");
}

#endif
