/* SPDX-License-Identifier: MIT */
/* Every name of the prototype's interface, and that its defects are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <epoch_domain.h>
#include <slab_alloc.h>
#include <slab_diagnostics.h>
#include <slab_stats.h>

#include <pthread.h>

#include "second.h"

static uint64_t refused(void)
{
	struct tslab_process_stats s;

	memset(&s, 0, sizeof(s));
	s.struct_bytes = sizeof(s);
	assert_int_equal(tslab_stats_process(&s), 0);
	return s.refused_double + s.refused_wild + s.refused_foreign + s.refused_stale_handle +
	       s.refused_wrong_handle + s.refused_exit + s.exits_out_of_order + s.refused_argument;
}

static void lifetime(void **state)
{
	SlabAllocator own, *a = slab_allocator_create();

	(void)state;
	assert_non_null(a);
	slab_allocator_free(a);
	slab_allocator_free(NULL);
	allocator_init(&own);
	void *p = slab_malloc_epoch(&own, 100, epoch_current(&own));
	assert_non_null(p);
	slab_free(&own, p);
	allocator_destroy(&own);
	allocator_destroy(&own);
	assert_null(slab_malloc_epoch(&own, 100, 0));
	allocator_init(NULL);
	allocator_destroy(NULL);
}

static void handles(void **state)
{
	SlabAllocator *a = slab_allocator_create(), *b = slab_allocator_create();
	SlabHandle h = 0, other = 0;

	(void)state;
	void *p = alloc_obj_epoch(a, 128, 0, &h);
	assert_non_null(p);
	assert_int_not_equal(h, 0);
	assert_int_equal((uintptr_t)p % 16, 0);
	memset(p, 1, 128);
	/* The allocator's identity is part of the handle. */
	assert_false(free_obj(b, h));
	assert_true(free_obj(a, h));
	assert_false(free_obj(a, h));
	/* The slot is used again: the stale handle does not reach its new owner. */
	void *q = alloc_obj_epoch(a, 128, 0, &other);
	assert_ptr_equal(p, q);
	assert_false(free_obj(a, h));
	assert_true(free_obj(a, other));
	assert_false(free_obj(a, 0));
	assert_false(free_obj(NULL, other));
	assert_non_null(alloc_obj_epoch(a, 64, 3, NULL));
	/* More than the prototype could. */
	assert_non_null(alloc_obj_epoch(a, 768, 0, &h));
	assert_true(free_obj(a, h));
	assert_non_null(alloc_obj_epoch(a, 32768, 0, &h));
	assert_true(free_obj(a, h));
	h = 4711;
	assert_null(alloc_obj_epoch(a, 0, 0, &h));
	assert_int_equal(h, 0);
	assert_null(alloc_obj_epoch(a, 40000, 0, &h));
	assert_null(alloc_obj_epoch(a, 64, EPOCH_COUNT, &h));
	assert_null(alloc_obj_epoch(NULL, 64, 0, &h));
	slab_allocator_free(a);
	slab_allocator_free(b);
}

static void pointers(void **state)
{
	SlabAllocator *a = slab_allocator_create();

	(void)state;
	for (size_t size = 1; size < 100000; size = size * 2 + 1) {
		char *p = slab_malloc_epoch(a, size, 2);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		memset(p, 2, size);
		slab_free(a, p);
	}
	assert_null(slab_malloc_epoch(a, 0, 0));
	assert_null(slab_malloc_epoch(a, 10, 16));
	assert_null(slab_malloc_epoch(NULL, 10, 0));
	slab_free(a, NULL);
	uint64_t before = refused();
	slab_free(a, &before);
	assert_int_equal(refused(), before + 1);
	slab_allocator_free(a);
}

static void epochs(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	SlabEpochStats s;
	SlabHandle h;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		EpochId old = epoch_current(a);
		uint64_t before = refused();

		assert_int_equal(old, i % 16);
		assert_non_null(alloc_obj_epoch(a, 64, old, &h));
		slab_stats_epoch(a, 0, old, &s);
		assert_int_equal(s.state, EPOCH_ACTIVE);
		assert_int_equal(s.alloc_count, 1);
		epoch_advance(a);
		assert_null(slab_malloc_epoch(a, 64, old));
		assert_true(free_obj(a, h));
		/* The way of old programs: advance, then close what was left. That is no misuse. */
		epoch_close(a, old);
		epoch_close(a, old);
		assert_int_equal(refused(), before);
		slab_stats_epoch(a, 0, old, &s);
		assert_int_equal(s.state, EPOCH_CLOSING);
	}
	epoch_close(a, 16);
	epoch_close(NULL, 0);
	epoch_advance(NULL);
	assert_int_equal(epoch_current(NULL), 0);
	slab_allocator_free(a);
}

static void labels_and_references(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	EpochId e = epoch_current(a);
	SlabEpochStats s;

	(void)state;
	slab_epoch_set_label(a, e, "background-worker-3");
	slab_stats_epoch(a, 0, e, &s);
	assert_string_equal(s.label, "background-worker-3");
	assert_true(s.open_since_ns > 0);
	assert_true(s.epoch_era > 0);
	assert_int_equal(slab_epoch_get_refcount(a, e), 0);
	slab_epoch_dec_refcount(a, e);
	assert_int_equal(slab_epoch_get_refcount(a, e), 0);
	slab_epoch_inc_refcount(a, e);
	slab_epoch_inc_refcount(a, e);
	assert_int_equal(slab_epoch_get_refcount(a, e), 2);
	slab_epoch_dec_refcount(a, e);
	slab_stats_epoch(a, 0, e, &s);
	assert_int_equal(s.refcount, 1);
	/* The next epoch of the entry starts without label and count. */
	for (unsigned i = 0; i < 16; i++)
		epoch_advance(a);
	assert_int_equal(epoch_current(a), e);
	slab_stats_epoch(a, 0, e, &s);
	assert_string_equal(s.label, "");
	assert_int_equal(slab_epoch_get_refcount(a, e), 0);
	assert_int_equal(slab_epoch_get_refcount(a, 99), 0);
	slab_allocator_free(a);
}

static void domains(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	epoch_domain_t *d = epoch_domain_create(a), *n;

	(void)state;
	assert_non_null(d);
	assert_ptr_equal(d->alloc, a);
	assert_int_equal(d->epoch_id, epoch_current(a));
	assert_false(d->auto_close);
	assert_null(epoch_domain_current());
	assert_null(epoch_domain_allocator());
	epoch_domain_enter(d);
	assert_ptr_equal(epoch_domain_current(), d);
	assert_ptr_equal(second_current(), d);
	assert_ptr_equal(epoch_domain_allocator(), a);
	assert_int_equal(slab_epoch_get_refcount(a, d->epoch_id), 1);
	n = epoch_domain_wrap(a, 5, false);
	second_enter(n);
	assert_ptr_equal(epoch_domain_current(), n);
	epoch_domain_enter(d);
	assert_int_equal(d->refcount, 2);
	assert_int_equal(slab_epoch_get_refcount(a, d->epoch_id), 2);
	epoch_domain_exit(d);
	assert_ptr_equal(epoch_domain_current(), n);
	epoch_domain_exit(n);
	epoch_domain_exit(d);
	assert_null(epoch_domain_current());
	assert_int_equal(slab_epoch_get_refcount(a, d->epoch_id), 0);
	epoch_domain_destroy(n);
	epoch_domain_destroy(d);
	epoch_domain_destroy(NULL);
	assert_null(epoch_domain_wrap(a, 16, false));
	assert_null(epoch_domain_wrap(a, UINT32_MAX, true));
	assert_null(epoch_domain_wrap(NULL, 0, true));
	assert_null(epoch_domain_create(NULL));
	slab_allocator_free(a);
}

/* What the prototype left to assert(): refused and counted, in every build. */
static void domain_misuse(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	epoch_domain_t *d = epoch_domain_create(a), *n = epoch_domain_wrap(a, 3, false);

	(void)state;
	uint64_t before = refused();
	epoch_domain_exit(d);
	assert_int_equal(refused(), before + 1);
	epoch_domain_enter(NULL);
	epoch_domain_exit(NULL);
	assert_int_equal(refused(), before + 3);
	epoch_domain_enter(d);
	epoch_domain_destroy(d);
	assert_int_equal(refused(), before + 4);
	assert_ptr_equal(epoch_domain_current(), d);
	/* Out of order: that scope is left, the inner one stays. */
	epoch_domain_enter(n);
	epoch_domain_exit(d);
	assert_int_equal(refused(), before + 5);
	assert_ptr_equal(epoch_domain_current(), n);
	assert_int_equal(slab_epoch_get_refcount(a, d->epoch_id), 0);
	/* An allocator in use is not pulled from under its scope. */
	allocator_destroy(a);
	assert_non_null(a->heap);
	epoch_domain_exit(n);
	/* Deeper than the thread's stack: the surplus is refused, nothing is overwritten. */
	before = refused();
	for (unsigned i = 0; i < 70; i++)
		epoch_domain_enter(d);
	assert_int_equal(d->refcount, 64);
	assert_int_equal(refused(), before + 6);
	for (unsigned i = 0; i < 64; i++)
		epoch_domain_exit(d);
	assert_int_equal(d->refcount, 0);
	epoch_domain_destroy(d);
	epoch_domain_destroy(n);
	slab_allocator_free(a);
}

static void *use_anothers_domain(void *arg)
{
	epoch_domain_t *d = arg;

	epoch_domain_enter(d);
	epoch_domain_exit(d);
	return epoch_domain_current();
}

static void domain_of_another_thread(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	epoch_domain_t *d = epoch_domain_create(a);
	pthread_t thread;
	void *current;

	(void)state;
	epoch_domain_enter(d);
	uint64_t before = refused();
	assert_int_equal(pthread_create(&thread, NULL, use_anothers_domain, d), 0);
	assert_int_equal(pthread_join(thread, &current), 0);
	assert_null(current);
	assert_int_equal(refused(), before + 2);
	assert_int_equal(d->refcount, 1);
	epoch_domain_exit(d);
	epoch_domain_destroy(d);
	slab_allocator_free(a);
}

static bool is_active(SlabAllocator *a, EpochId e)
{
	SlabEpochStats s;

	slab_stats_epoch(a, 0, e, &s);
	return s.state == EPOCH_ACTIVE;
}

static void automatic_close(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	epoch_domain_t *d = epoch_domain_wrap(a, 4, true), *second = epoch_domain_wrap(a, 4, true);

	(void)state;
	epoch_domain_enter(d);
	epoch_domain_enter(second);
	epoch_domain_exit(second);
	/* The other domain is still inside. */
	assert_true(is_active(a, 4));
	void *p = slab_malloc_epoch(a, 100, 4);
	assert_non_null(p);
	epoch_domain_exit(d);
	assert_false(is_active(a, 4));
	assert_null(slab_malloc_epoch(a, 100, 4));
	slab_free(a, p);
	epoch_domain_enter(d);
	assert_null(epoch_domain_current());
	epoch_domain_destroy(second);
	epoch_domain_destroy(d);
	d = epoch_domain_wrap(a, 6, false);
	epoch_domain_enter(d);
	epoch_domain_force_close(d);
	epoch_domain_force_close(NULL);
	assert_false(is_active(a, 6));
	epoch_domain_exit(d);
	/* Its epoch is over, the ring entry may name another: the domain stays with its own. */
	epoch_domain_force_close(d);
	epoch_domain_destroy(d);
	/* A domain with auto_close that was never entered closes when it is destroyed. */
	d = epoch_domain_wrap(a, 7, true);
	epoch_domain_destroy(d);
	assert_false(is_active(a, 7));
	slab_allocator_free(a);
}

/* A wrap of the ring with a domain inside: its epoch drains, the new one is another. */
static void domain_survives_the_wrap(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	epoch_domain_t *d = epoch_domain_create(a), *fresh;

	(void)state;
	epoch_domain_enter(d);
	void *p = slab_malloc_epoch(a, 64, d->epoch_id);
	memset(p, 7, 64);
	for (unsigned i = 0; i < 16; i++)
		epoch_advance(a);
	fresh = epoch_domain_create(a);
	assert_int_equal(fresh->epoch_id, d->epoch_id);
	assert_int_not_equal(fresh->epoch, d->epoch);
	assert_int_equal(slab_epoch_get_refcount(a, fresh->epoch_id), 0);
	epoch_domain_enter(fresh);
	epoch_domain_exit(fresh);
	assert_int_equal(((char *)p)[63], 7);
	slab_free(a, p);
	epoch_domain_exit(d);
	assert_true(is_active(a, fresh->epoch_id));
	epoch_domain_destroy(d);
	epoch_domain_destroy(fresh);
	slab_allocator_free(a);
}

static void statistics(void **state)
{
	static const uint32_t sizes[] = { 64, 96, 128, 192, 256, 384, 512, 768 };
	SlabAllocator *a = slab_allocator_create();
	SlabGlobalStats g;
	SlabClassStats c, before;
	SlabEpochStats e;
	PerfCounters p;
	void *objects[300];

	(void)state;
	for (unsigned i = 0; i < TSLAB_COMPAT_CLASSES; i++) {
		slab_stats_class(a, i, &before);
		assert_int_equal(before.version, SLAB_STATS_VERSION);
		assert_int_equal(before.class_index, i);
		assert_int_equal(before.object_size, sizes[i]);
		for (unsigned k = 0; k < 300; k++)
			objects[k] = slab_malloc_epoch(a, sizes[i], 1);
		slab_stats_class(a, i, &c);
		assert_int_equal(c.bitmap_alloc_attempts - before.bitmap_alloc_attempts, 300);
		assert_int_equal(c.live_bytes - before.live_bytes, 300 * sizes[i]);
		assert_true(c.net_slabs >= 300 / slab_object_count(sizes[i]));
		assert_int_equal(c.total_full_slabs + c.total_partial_slabs, c.net_slabs);
		slab_stats_epoch(a, i, 1, &e);
		assert_int_equal(e.alloc_count, 300);
		assert_int_equal(e.object_size, sizes[i]);
		assert_true(e.estimated_rss_bytes >= 300 * sizes[i]);
		for (unsigned k = 0; k < 300; k++)
			slab_free(a, objects[k]);
		slab_stats_class(a, i, &c);
		assert_int_equal(c.bitmap_free_attempts - before.bitmap_free_attempts, 300);
		slab_stats_epoch(a, i, 1, &e);
		assert_int_equal(e.alloc_count, 0);
		assert_int_equal(e.reclaimable_slab_count, e.full_slab_count + e.partial_slab_count);
		get_perf_counters(a, i, &p);
	}
	slab_stats_global(a, &g);
	assert_int_equal(g.version, SLAB_STATS_VERSION);
	assert_int_equal(g.active_epoch_count + g.closing_epoch_count, 16);
	assert_int_equal(g.current_epoch, epoch_current(a));
	assert_true(g.total_bitmap_alloc_attempts >= 8 * 300);
	assert_true(g.rss_bytes_current > 0);
	assert_true(g.total_slow_path_hits > 0);
	uint64_t closed = g.total_slow_epoch_closed;
	epoch_close(a, 1);
	assert_null(slab_malloc_epoch(a, 64, 1));
	slab_stats_global(a, &g);
	assert_int_equal(g.total_slow_epoch_closed, closed + 1);
	/* Bad arguments: filled with zeroes, or left alone where there is nothing to fill. */
	memset(&p, 0xff, sizeof(p));
	get_perf_counters(a, 4711, &p);
	assert_int_equal(p.slow_path_hits, 0);
	slab_stats_class(a, 4711, &c);
	assert_int_equal(c.object_size, 0);
	slab_stats_epoch(a, 4711, 4711, &e);
	assert_int_equal(e.alloc_count, 0);
	slab_stats_global(NULL, &g);
	slab_stats_global(a, NULL);
	slab_stats_class(a, 0, NULL);
	slab_stats_epoch(a, 0, 0, NULL);
	get_perf_counters(a, 0, NULL);
	slab_allocator_free(a);
}

static void utilities(void **state)
{
	(void)state;
	uint64_t then = now_ns();
	const struct timespec t = { 2, 5 };

	assert_true(now_ns() >= then);
	assert_int_equal(ns_from_ts(&t), 2000000005u);
	assert_true(read_rss_bytes_linux() > 100000);
	assert_int_equal(slab_object_count(64), 8192 / 64);
	assert_int_equal(slab_object_count(1), 8192 / 16);
	assert_int_equal(slab_object_count(UINT32_MAX), 0);
	assert_int_equal(sizeof(SlabHandle), 8);
	tls_print_stats();
}

/* Compiled with ENABLE_SLOWPATH_SAMPLING: every return path is timed, one call in 1024. */
static void sampling(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	ThreadStats before = slab_stats_thread(), t;
	SlabHandle h;

	(void)state;
	for (unsigned i = 0; i < 10 * 1024; i++) {
		assert_non_null(alloc_obj_epoch(a, 100, 0, &h));
		assert_true(free_obj(a, h));
	}
	t = slab_stats_thread();
	assert_int_equal(t.alloc_samples - before.alloc_samples, 10);
	assert_true(t.alloc_wall_ns_sum > 0);
	assert_true(t.alloc_wall_ns_max <= t.alloc_wall_ns_sum);
	assert_true(t.alloc_wall_ns_sum <= t.alloc_cpu_ns_sum + t.alloc_wait_ns_sum);
	assert_true(t.alloc_cpu_ns_max <= t.alloc_cpu_ns_sum);
	assert_true(t.alloc_wait_ns_max <= t.alloc_wait_ns_sum);
	assert_int_equal(t.repair_count + t.repair_reason_full_bitmap +
				 t.repair_reason_list_mismatch + t.repair_reason_other,
			 0);
	assert_int_equal(SAMPLE_RATE_MASK, 1023u);
	assert_int_equal(REPAIR_REASON_FULL_BITMAP | REPAIR_REASON_LIST_MISMATCH, 3);
	before = t;
	for (unsigned i = 0; i < 2048; i++)
		assert_null(alloc_obj_epoch(a, 0, 0, &h));
	assert_int_equal(slab_stats_thread().alloc_samples - before.alloc_samples, 2);
	slab_allocator_free(a);
}

static void diagnostics(void **state)
{
	SlabAllocator *a = slab_allocator_create();
	EpochLeakReport leaks;
	SlowPathReport slow;
	ReclamationReport reclaim;

	(void)state;
	EpochId e = epoch_current(a);
	slab_epoch_set_label(a, e, "stuck");
	void *small = slab_malloc_epoch(a, 128, e), *big = NULL;
	for (unsigned i = 0; i < 200; i++)
		big = slab_malloc_epoch(a, 512, e);
	assert_int_equal(slab_detect_epoch_leaks(a, 0, 10, &leaks), 0);
	free(leaks.candidates);
	epoch_advance(a);
	assert_int_equal(slab_detect_epoch_leaks(a, 3600, 10, &leaks), 0);
	free(leaks.candidates);
	assert_int_equal(slab_detect_epoch_leaks(a, 0, 1, &leaks), 2);
	assert_int_equal(leaks.top_count, 1);
	assert_int_equal(leaks.candidates[0].object_size, 512);
	assert_int_equal(leaks.candidates[0].alloc_count, 200);
	assert_int_equal(leaks.candidates[0].epoch_id, e);
	assert_string_equal(leaks.candidates[0].label, "stuck");
	assert_int_equal(leaks.candidates[1].object_size, 128);
	free(leaks.candidates);
	assert_int_equal(slab_detect_epoch_leaks(a, 0, 1, NULL), 0);
	(void)slab_malloc_epoch(a, 64, e);
	slab_analyze_slow_path(a, &slow);
	assert_int_equal(slow.class_count, 1);
	assert_true(slow.classes[0].total_slow_path_hits > 0);
	assert_true(slow.classes[0].epoch_closed_count > 0);
	assert_true(slow.classes[0].cache_miss_pct + slow.classes[0].epoch_closed_pct <= 100.0);
	assert_true(slow.classes[0].recommendation[0]);
	free(slow.classes);
	slab_analyze_slow_path(a, NULL);
	slab_free(a, small);
	slab_free(a, big);
	slab_analyze_reclamation(a, &reclaim);
	assert_int_equal(reclaim.epoch_count, 16);
	assert_true(reclaim.epochs[e].was_closed);
	assert_int_equal(reclaim.total_madvise_failures, 0);
	free(reclaim.epochs);
	slab_analyze_reclamation(a, NULL);
	slab_allocator_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lifetime),
		cmocka_unit_test(handles),
		cmocka_unit_test(pointers),
		cmocka_unit_test(epochs),
		cmocka_unit_test(labels_and_references),
		cmocka_unit_test(domains),
		cmocka_unit_test(domain_misuse),
		cmocka_unit_test(domain_of_another_thread),
		cmocka_unit_test(automatic_close),
		cmocka_unit_test(domain_survives_the_wrap),
		cmocka_unit_test(statistics),
		cmocka_unit_test(utilities),
		cmocka_unit_test(sampling),
		cmocka_unit_test(diagnostics),
	};

	return cmocka_run_group_tests_name("compat", tests, NULL, NULL);
}
