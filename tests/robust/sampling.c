/* SPDX-License-Identifier: MIT */
/* clang-format off */
#define ENABLE_SLOWPATH_SAMPLING
/* clang-format on */
/*
 * Three workloads with sampled allocations, one line of figures each, which analyze_sampling.sh judges:
 *   sampling simple_test | contention_sampling_test | zombie_repair_test
 * One thread; eight threads pinned to CPUs in one allocator; sixteen threads that allocate and free in
 * batches, as in the seeds' tests of these names. Objects carry a pattern that is checked.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tslab/compat.h>

enum { THREADS_MAX = 16, ROUNDS = 25000, BATCH_MAX = 8 };

static SlabAllocator *allocator;
static bool pinned;
static ThreadStats of_thread[THREADS_MAX];

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		abort();
}

static void *work(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg;
	SlabHandle handles[BATCH_MAX];

	if (pinned)
		pin(self);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned count = 4 + (round + self) % 5;

		for (unsigned i = 0; i < count; i++) {
			unsigned char *p = alloc_obj_epoch(allocator, 768, epoch_current(allocator),
							   &handles[i]);

			if (!p)
				abort();
			p[0] = p[767] = (unsigned char)(self + i);
		}
		for (unsigned i = 0; i < count; i++) {
			unsigned char *p = tslab_handle_get(allocator->heap, handles[i]);

			if (!p || p[0] != (unsigned char)(self + i) || p[767] != p[0] ||
			    !free_obj(allocator, handles[i]))
				abort();
		}
	}
	of_thread[self] = slab_stats_thread();
	return NULL;
}

static void print(const char *name, unsigned threads)
{
	ThreadStats sum = { 0 };

	for (unsigned i = 0; i < threads; i++) {
		sum.alloc_samples += of_thread[i].alloc_samples;
		sum.alloc_wall_ns_sum += of_thread[i].alloc_wall_ns_sum;
		sum.alloc_cpu_ns_sum += of_thread[i].alloc_cpu_ns_sum;
		sum.alloc_wait_ns_sum += of_thread[i].alloc_wait_ns_sum;
		sum.repair_count += of_thread[i].repair_count;
	}
	printf("%s threads=%u samples=%llu wall_ns=%llu cpu_ns=%llu wait_ns=%llu repairs=%llu\n",
	       name, threads, (unsigned long long)sum.alloc_samples,
	       (unsigned long long)(sum.alloc_wall_ns_sum / sum.alloc_samples),
	       (unsigned long long)(sum.alloc_cpu_ns_sum / sum.alloc_samples),
	       (unsigned long long)(sum.alloc_wait_ns_sum / sum.alloc_samples),
	       (unsigned long long)sum.repair_count);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		unsigned threads;
		bool pinned;
	} tests[] = { { "simple_test", 1, false },
		      { "contention_sampling_test", 8, true },
		      { "zombie_repair_test", 16, false } };
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };
	pthread_t threads[THREADS_MAX];
	unsigned test = 0;

	while (test < 3 && (argc != 2 || strcmp(argv[1], tests[test].name)))
		test++;
	if (test == 3) {
		fprintf(stderr,
			"usage: sampling simple_test | contention_sampling_test | zombie_repair_test\n");
		return 2;
	}
	allocator = slab_allocator_create();
	pinned = tests[test].pinned;
	for (uintptr_t i = 0; i < tests[test].threads; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)i))
			abort();
	for (unsigned i = 0; i < tests[test].threads; i++)
		pthread_join(threads[i], NULL);
	print(tests[test].name, tests[test].threads);
	if (tslab_stats_process(&s) || s.live_objects || s.refused_double || s.refused_wild ||
	    s.refused_stale_handle)
		return 1;
	slab_allocator_free(allocator);
	return 0;
}
