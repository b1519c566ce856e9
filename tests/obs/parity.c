/* SPDX-License-Identifier: MIT */
/*
 * A recorded workload: what it does follows from its seed alone, also across threads, which take turns.
 * Prints the snapshot that it then has of itself, as `tslab stats --json` would. Run on another CPU, or
 * with other pages, all figures must come out the same but those that parity.sh names.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "obs/render.h"
#include "tslab/stats.h"
#include "../random.h"

enum { THREADS = 4, ROUNDS = 40, HELD = 4000 };

static uint64_t seed = 0x7ab1ab5eedull;
static void *held[HELD]; /* whoever's turn it is frees what others left */
static tslab_heap *heap;

static void require(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "parity: %s\n", what);
	exit(1);
}

static uint64_t next(void)
{
	return rnd(&seed) >> 16;
}

static size_t next_size(void)
{
	uint64_t draw = next() % 1000;

	return draw < 700 ? 1 + next() % 512 :
	       draw < 990 ? 1 + next() % 32768 :
			    32769 + next() % 300000;
}

static void churn(tslab_epoch_t epoch, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		void **place = &held[next() % HELD];

		tslab_free(*place);
		*place = tslab_alloc(epoch, next_size());
		require(*place != NULL, "alloc");
	}
}

/* A request: an epoch of its own, left by a close or a discard, some of it failing on purpose. */
static void request(unsigned round)
{
	static const char *const labels[] = { "parse", "render", "store" };
	tslab_epoch_t epoch;

	require(!tslab_epoch_open(heap, labels[round % 3], &epoch), "open");
	require(!tslab_domain_enter(epoch), "enter");
	for (unsigned i = next() % 400; i-- > 0;) {
		void *object = tslab_malloc(next_size());

		require(object != NULL, "malloc");
		if (next() % 3)
			tslab_free(object);
	}
	if (round % 7 == 0)
		require(!tslab_malloc((size_t)1 << 62), "a huge object");
	require(!tslab_domain_exit(epoch), "exit");
	require(round % 2 ? !tslab_epoch_discard(epoch) : !tslab_epoch_close(epoch), "end");
}

/* -- turns ------------------------------------------------------------------------------------------- */

static pthread_mutex_t turns = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned turn;

static void *work(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg;
	tslab_epoch_t epoch;

	for (unsigned round = 0; round < ROUNDS; round++) {
		pthread_mutex_lock(&turns);
		while (turn != round * THREADS + self)
			pthread_cond_wait(&changed, &turns);
		/* Inside all the time, so that what others free here is handed over. */
		if (!round)
			require(!tslab_epoch_open(heap, "threads", &epoch) &&
					!tslab_domain_enter(epoch),
				"open");
		churn(epoch, 300);
		request(round);
		if (round + 1 == ROUNDS)
			require(!tslab_domain_exit(epoch) && !tslab_epoch_close(epoch), "close");
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&turns);
	}
	/* Threads end one after the other as well. */
	pthread_mutex_lock(&turns);
	while (turn != ROUNDS * THREADS + self)
		pthread_cond_wait(&changed, &turns);
	pthread_mutex_unlock(&turns);
	return NULL;
}

static void run_threads(void)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		require(!pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i), "thread");
	for (unsigned i = 0; i < THREADS; i++) {
		require(!pthread_join(threads[i], NULL), "join");
		pthread_mutex_lock(&turns);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&turns);
	}
}

/* -- what came out ----------------------------------------------------------------------------------- */

static bool to_stdout(void *context, const char *bytes, size_t count)
{
	(void)context;
	return fwrite(bytes, 1, count, stdout) == count;
}

static void print_figures(void)
{
	struct ts_chunk_view chunks[TSLAB_ROOT_CHUNKS];
	struct ts_target target = { .source = "self" };
	struct ts_snapshot snapshot;
	struct ts_json json;
	const char *why = "";

	for (unsigned i = 0; i < tslab_root.chunk_count; i++) {
		chunks[i].base = (const void *)(uintptr_t)tslab_root.chunk[i].address;
		chunks[i].bytes = tslab_root.chunk[i].bytes;
	}
	require(ts_snapshot_read(&snapshot, &target, chunks, tslab_root.chunk_count, &why), why);
	ts_json_start(&json, to_stdout, NULL);
	ts_render_snapshot(&json, &snapshot);
	require(ts_json_end(&json), "cannot write");
	ts_snapshot_free(&snapshot);
}

int main(void)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_epoch_t epoch;

	heap = tslab_heap_create(&options);
	require(heap != NULL, "heap");
	require(!tslab_epoch_open(heap, "alone", &epoch), "open");
	churn(epoch, 20000);
	for (unsigned i = 0; i < 200; i++)
		request(i);
	run_threads();
	for (unsigned i = 0; i < HELD; i += 2) {
		tslab_free(held[i]);
		held[i] = NULL;
	}
	print_figures();
	return 0;
}
