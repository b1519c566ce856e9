/* SPDX-License-Identifier: MIT */
/*
 * How often a lost race makes a thread try again, and how often a lock makes one wait: 12 trials each with 1, 2, 8
 * and 16 threads, in which every thread frees what others allocated. A line a count of threads, with the columns of
 * the older allocator's tables: what it did by switching the order in which it scanned bitmaps, here there is nothing
 * to scan.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <slab_stats.h>
#include <tslab/stats.h>
#include <tslab/tslab.h>

enum { TRIALS = 12, OBJECTS = 200000, SHELF = 512, THREADS_MAX = 16 };

static void *shelf[SHELF]; /* objects on their way from one thread to another */

static void require(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "retries: %s\n", what);
	exit(1);
}

static void *work(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg;
	uint64_t random = 0x9e3779b97f4a7c15ull * (self + 1);

	for (unsigned i = 0; i < OBJECTS; i++) {
		void *object = tslab_malloc(128);

		require(object != NULL, "malloc");
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		tslab_free(__atomic_exchange_n(&shelf[random % SHELF], object, __ATOMIC_ACQ_REL));
	}
	return NULL;
}

static void trial(unsigned threads)
{
	pthread_t thread[THREADS_MAX];

	for (unsigned i = 0; i < threads; i++)
		require(!pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i), "thread");
	for (unsigned i = 0; i < threads; i++)
		require(!pthread_join(thread[i], NULL), "join");
}

int main(void)
{
	static const unsigned counts[] = { 1, 2, 8, 16 };
	SlabAllocator *allocator = slab_allocator_create();

	require(allocator != NULL, "allocator");
	printf("threads trials mode switches alloc_retries free_retries operations locks contended\n");
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct tslab_process_stats locks = { .struct_bytes = sizeof(locks) }, now = locks;
		SlabGlobalStats before, after;
		SlabClassStats class;

		slab_stats_global(allocator, &before);
		require(!tslab_stats_process(&locks), "statistics");
		for (unsigned k = 0; k < TRIALS; k++)
			trial(counts[i]);
		slab_stats_global(allocator, &after);
		require(!tslab_stats_process(&now), "statistics");
		slab_stats_class(allocator, 2, &class);
		printf("%u %d %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		       " %" PRIu64 "\n",
		       counts[i], TRIALS, class.scan_mode, class.scan_adapt_switches,
		       after.total_bitmap_alloc_cas_retries - before.total_bitmap_alloc_cas_retries,
		       after.total_bitmap_free_cas_retries - before.total_bitmap_free_cas_retries,
		       after.total_bitmap_alloc_attempts - before.total_bitmap_alloc_attempts +
			       after.total_bitmap_free_attempts - before.total_bitmap_free_attempts,
		       now.lock_fast + now.lock_contended - locks.lock_fast - locks.lock_contended,
		       now.lock_contended - locks.lock_contended);
	}
	return 0;
}
