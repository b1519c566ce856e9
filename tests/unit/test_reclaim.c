/* SPDX-License-Identifier: MIT */
/*
 * Memory is back at the OS when the call returns. Compiled twice: against the library as it is, and
 * against the simulated kernel with pages of 4, 16 and 64 KiB.
 */
#include "support.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#if TEST_SIMULATED
static const char *const pages[] = { "4096", "16384", "65536" };
#else
static const char *const pages[] = { "" };
#endif

enum { OBJECTS = 60000 };
static void *objects[OBJECTS];

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* A sanitizer's shadow is resident memory too, so only the pages where the objects lie are counted. */
static size_t resident_bytes(void)
{
	static unsigned char page_is_there[1 << 20];
	uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE), low = UINTPTR_MAX, high = 0;
	size_t count = 0;

	for (unsigned i = 0; i < OBJECTS; i++) {
		low = (uintptr_t)objects[i] < low ? (uintptr_t)objects[i] : low;
		high = (uintptr_t)objects[i] > high ? (uintptr_t)objects[i] : high;
	}
	low &= ~(uintptr_t)65535;
	size_t pages_seen = (high + (1 << 20) - low) / page_bytes;
	REQUIRE(pages_seen <= sizeof(page_is_there));
	REQUIRE(mincore((void *)low, pages_seen * page_bytes, page_is_there) == 0);
	for (size_t i = 0; i < pages_seen; i++)
		count += page_is_there[i] & 1;
	return count * page_bytes;
}
#else
static size_t resident_bytes(void)
{
	return anon_rss_bytes();
}
#endif

/* At least 16 MiB live, every page of it touched, in all size classes and some large objects. */
static tslab_epoch_t fill_epoch(tslab_heap *heap, uint64_t *slab_bytes)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	tslab_epoch_t epoch = 0;

	REQUIRE(tslab_epoch_open(heap, "reclaimed", &epoch) == 0);
	REQUIRE(tslab_domain_enter(epoch) == 0);
	for (unsigned i = 0; i < OBJECTS; i++) {
		size_t bytes = i % 1000 == 0 ? 200000 : i % 50 == 0 ? 4000 : 16 + i % 600;

		objects[i] = tslab_malloc(bytes);
		REQUIRE(objects[i]);
		memset(objects[i], 0x5a, tslab_usable_size(objects[i]));
	}
	REQUIRE(tslab_domain_exit(epoch) == 0);
	REQUIRE(tslab_stats_epoch(epoch, &s) == 0);
	REQUIRE(s.live_bytes >= 16u << 20);
	*slab_bytes = s.committed_bytes;
	return epoch;
}

static tslab_heap *heap_without_retain(void)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	options.retain_bytes = 0;
	tslab_heap *heap = tslab_heap_create(&options);
	REQUIRE(heap);
	return heap;
}

static void require_returned(size_t before, uint64_t slab_bytes, int line)
{
	size_t after = resident_bytes();
	char text[128];

	snprintf(text, sizeof(text), "%zu of %zu KiB returned", (before - after) / 1024,
		 (size_t)slab_bytes / 1024);
	child_require(after <= before && before - after >= slab_bytes * 95 / 100, text, line);
}

static void freed_then_closed(tslab_heap *heap)
{
	uint64_t slab_bytes;
	tslab_epoch_t epoch = fill_epoch(heap, &slab_bytes);
	size_t before = resident_bytes();

	for (unsigned i = 0; i < OBJECTS; i++)
		tslab_free(objects[i]);
	REQUIRE(tslab_epoch_close(epoch) == 0);
	require_returned(before, slab_bytes, __LINE__);
	REQUIRE(tslab_epoch_close(epoch) == -ESTALE);
}

static void discarded(tslab_heap *heap)
{
	uint64_t slab_bytes;
	tslab_epoch_t epoch = fill_epoch(heap, &slab_bytes);
	size_t before = resident_bytes();

	REQUIRE(tslab_epoch_discard(epoch) == 0);
	require_returned(before, slab_bytes, __LINE__);
}

static void *free_all(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < OBJECTS; i++)
		tslab_free(objects[i]);
	return NULL;
}

static void closed_then_freed_by_another(tslab_heap *heap)
{
	uint64_t slab_bytes;
	tslab_epoch_t epoch = fill_epoch(heap, &slab_bytes);
	size_t before = resident_bytes();
	pthread_t thread;

	REQUIRE(tslab_epoch_close(epoch) == 0);
	REQUIRE(pthread_create(&thread, NULL, free_all, NULL) == 0);
	REQUIRE(pthread_join(thread, NULL) == 0);
	require_returned(before, slab_bytes, __LINE__);
	REQUIRE(tslab_epoch_close(epoch) == -ESTALE);
}

/* Everything but one object a thousand: those stay what they are, their neighbours' memory goes. */
static void survivors(tslab_heap *heap)
{
	uint64_t slab_bytes;
	tslab_epoch_t epoch = fill_epoch(heap, &slab_bytes);
	enum { EVERY = 5000 };

	for (unsigned i = 0; i < OBJECTS; i += EVERY)
		fill(objects[i], 16, i);
	REQUIRE(tslab_epoch_close(epoch) == 0);
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (i % EVERY)
			tslab_free(objects[i]);
	}
	for (unsigned i = 0; i < OBJECTS; i += EVERY) {
		REQUIRE(holds(objects[i], 16, i));
		tslab_free(objects[i]);
	}
	REQUIRE(tslab_epoch_close(epoch) == -ESTALE);
}

static void heap_destroyed(tslab_heap *unused)
{
	uint64_t slab_bytes;
	tslab_heap *heap = heap_without_retain();

	(void)unused;
	fill_epoch(heap, &slab_bytes);
	size_t before = resident_bytes();
	REQUIRE(tslab_heap_destroy(heap) == 0);
	require_returned(before, slab_bytes, __LINE__);
}

struct trial {
	void (*way)(tslab_heap *heap);
	unsigned rounds;
};

static void run_trial(void *arg)
{
	const struct trial *t = arg;
	tslab_heap *heap = heap_without_retain();

	for (unsigned i = 0; i < t->rounds; i++)
		t->way(heap);
	REQUIRE(counters().purge_failures == 0);
	REQUIRE(tslab_heap_destroy(heap) == 0);
}

static void on_all_pages(void (*way)(tslab_heap *heap), unsigned rounds)
{
	struct trial trial = { way, rounds };

	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (*pages[i])
			setenv("TSLAB_SIM_PAGE", pages[i], 1);
		assert_true(exited_well(in_child(run_trial, &trial)));
	}
}

/* 100 times in a row, each drop inside the call. */
static void close_returns_memory(void **state)
{
	(void)state;
	on_all_pages(freed_then_closed, TEST_SIMULATED ? 10 : 100);
}

static void discard_returns_memory(void **state)
{
	(void)state;
	on_all_pages(discarded, 5);
}

static void last_free_returns_memory(void **state)
{
	(void)state;
	on_all_pages(closed_then_freed_by_another, 5);
}

static void survivors_are_not_harmed(void **state)
{
	(void)state;
	on_all_pages(survivors, 3);
}

static void destroy_returns_memory(void **state)
{
	(void)state;
	on_all_pages(heap_destroyed, 3);
}

static void keeps_what_it_says(void *unused)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	uint64_t slab_bytes;

	(void)unused;
	tslab_heap *heap = tslab_heap_create(&options);
	REQUIRE(heap);
	tslab_epoch_t epoch = fill_epoch(heap, &slab_bytes);
	size_t before = resident_bytes();
	for (unsigned i = 0; i < OBJECTS; i++)
		tslab_free(objects[i]);
	REQUIRE(tslab_epoch_close(epoch) == 0);
	require_returned(before, slab_bytes - options.retain_bytes, __LINE__);
	REQUIRE(counters().retained_bytes <= options.retain_bytes);
	REQUIRE(counters().committed_bytes <= options.retain_bytes + (1u << 20));
}

/* With the default options a thread keeps at most what the option says, and the figures show it. */
static void retain_is_a_bound(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (*pages[i])
			setenv("TSLAB_SIM_PAGE", pages[i], 1);
		assert_true(exited_well(in_child(keeps_what_it_says, NULL)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_returns_memory),
		cmocka_unit_test(discard_returns_memory),
		cmocka_unit_test(last_free_returns_memory),
		cmocka_unit_test(survivors_are_not_harmed),
		cmocka_unit_test(destroy_returns_memory),
		cmocka_unit_test(retain_is_a_bound),
	};

	return cmocka_run_group_tests_name(TEST_SIMULATED ? "reclaim, simulated pages" : "reclaim",
					   tests, NULL, NULL);
}
