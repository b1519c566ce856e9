/* SPDX-License-Identifier: MIT */
/*
 * tslab: the interface of the research prototype, as inline calls over <tslab/tslab.h>.
 *
 * Programs written for it compile as they are: `pkg-config --cflags tslab-compat` also finds this file
 * as <slab_alloc.h>, <slab_stats.h>, <epoch_domain.h> and <slab_diagnostics.h>.
 *
 * An allocator is a heap, an EpochId is an entry of the heap's ring (0 to 15). What differs, on purpose:
 *   objects    any size (the prototype stopped at 768), aligned to 16; a handle covers up to 32 KiB
 *   handles    are checked to the slot: one that is stale, forged or of another allocator is refused
 *   domains    misuse is refused and counted, with and without NDEBUG; each enter of a domain counts as
 *              a scope of its epoch, so that an enter without its exit is found with its source line
 *   the ring   a wrap onto an epoch that still holds objects opens a fresh one; the old one drains
 *   closing    memory also goes back when the last object is freed after epoch_close
 *   figures    are exact and of the whole process, except those of an epoch. What this library does not
 *              do (retries, list moves, repairs) or does not count by class is 0
 *
 * Everything here keeps the conventions of <tslab/tslab.h> for errors, threads, fork and signals.
 */
#ifndef TSLAB_COMPAT_H
#define TSLAB_COMPAT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TSLAB_COMPAT_API static inline __attribute__((unused))
/* One object a program, whatever number of files include this. */
#define TSLAB_COMPAT_THREAD __attribute__((weak)) __thread

#define EPOCH_COUNT ((uint32_t)TSLAB_RING_EPOCHS)
#define SLAB_STATS_VERSION 2
#define SLAB_DIAGNOSTICS_VERSION 1
/* The classes that the prototype had; they keep their indices. */
#define TSLAB_COMPAT_CLASSES 8u

typedef uint32_t EpochId;
typedef tslab_handle_t SlabHandle;
typedef enum EpochLifecycleState { EPOCH_ACTIVE = 0, EPOCH_CLOSING = 1 } EpochLifecycleState;

typedef struct SlabAllocator {
	tslab_heap *heap; /* NULL: could not be made, every call fails */
} SlabAllocator;

/* ------------------------------------------------------------------------------------- lifetime -- */

/* Storage of the caller. On failure the allocator exists and allocates nothing. */
TSLAB_COMPAT_API void allocator_init(SlabAllocator *a)
{
	if (a)
		a->heap = tslab_heap_create(NULL);
}

/* Refused, with a line on stderr, while a thread is inside one of its epochs. */
TSLAB_COMPAT_API void allocator_destroy(SlabAllocator *a)
{
	if (a && a->heap && tslab_heap_destroy(a->heap) == 0)
		a->heap = NULL;
}

TSLAB_COMPAT_API SlabAllocator *slab_allocator_create(void)
{
	SlabAllocator *a = (SlabAllocator *)malloc(sizeof(*a));

	if (!a)
		return NULL;
	allocator_init(a);
	if (!a->heap) {
		free(a);
		return NULL;
	}
	return a;
}

TSLAB_COMPAT_API void slab_allocator_free(SlabAllocator *a)
{
	allocator_destroy(a);
	if (a && !a->heap)
		free(a);
}

/* --------------------------------------------------------------------------------------- epochs -- */

/* The epoch behind a ring entry; TSLAB_EPOCH_NONE for a bad allocator or index. */
TSLAB_COMPAT_API tslab_epoch_t tslab_compat_epoch(SlabAllocator *a, EpochId epoch)
{
	if (!a || !a->heap || epoch >= EPOCH_COUNT) {
		errno = EINVAL;
		return TSLAB_EPOCH_NONE;
	}
	return tslab_epoch_ring(a->heap, epoch);
}

/* False if the epoch is over. */
TSLAB_COMPAT_API bool tslab_compat_epoch_stats(tslab_epoch_t epoch, struct tslab_epoch_stats *s)
{
	memset(s, 0, sizeof(*s));
	s->struct_bytes = sizeof(*s);
	return tslab_stats_epoch(epoch, s) == 0;
}

/* Closing what is closing or over already was no error in the prototype: it is how it was used. */
TSLAB_COMPAT_API void tslab_compat_close(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s;

	if (tslab_compat_epoch_stats(epoch, &s) && s.state == TSLAB_EPOCH_ACTIVE)
		(void)tslab_epoch_close(epoch);
}

TSLAB_COMPAT_API EpochId epoch_current(SlabAllocator *a)
{
	tslab_epoch_t now = a && a->heap ? tslab_epoch_current(a->heap) : TSLAB_EPOCH_NONE;

	for (EpochId e = 0; now != TSLAB_EPOCH_NONE && e < EPOCH_COUNT; e++)
		if (tslab_epoch_ring(a->heap, e) == now)
			return e;
	return 0;
}

TSLAB_COMPAT_API void epoch_advance(SlabAllocator *a)
{
	if (a && a->heap)
		(void)tslab_epoch_advance(a->heap, NULL);
}

TSLAB_COMPAT_API void epoch_close(SlabAllocator *a, EpochId epoch)
{
	tslab_compat_close(tslab_compat_epoch(a, epoch));
}

TSLAB_COMPAT_API void slab_epoch_set_label(SlabAllocator *a, EpochId epoch, const char *label)
{
	(void)tslab_epoch_set_label(tslab_compat_epoch(a, epoch), label);
}

TSLAB_COMPAT_API void slab_epoch_inc_refcount(SlabAllocator *a, EpochId epoch)
{
	(void)tslab_epoch_add_references(tslab_compat_epoch(a, epoch), 1);
}

/* Stops at 0, and is counted when it does. */
TSLAB_COMPAT_API void slab_epoch_dec_refcount(SlabAllocator *a, EpochId epoch)
{
	(void)tslab_epoch_add_references(tslab_compat_epoch(a, epoch), -1);
}

/* Open scopes plus the references of the two calls above. */
TSLAB_COMPAT_API uint64_t slab_epoch_get_refcount(SlabAllocator *a, EpochId epoch)
{
	struct tslab_epoch_stats s;

	if (!tslab_compat_epoch_stats(tslab_compat_epoch(a, epoch), &s))
		return 0;
	return s.open_scopes + s.references;
}

/* ------------------------------------------------------------------------------ sampling of calls -- */

/*
 * With ENABLE_SLOWPATH_SAMPLING, one call in 1024 of alloc_obj_epoch is timed from end to end, on all
 * its return paths, by the wall clock and by the thread's CPU clock. Repairs do not exist here: the
 * lists that the prototype had to repair do not exist either.
 */
#define SAMPLE_RATE_MASK 1023u
#define REPAIR_REASON_FULL_BITMAP (1u << 0)
#define REPAIR_REASON_LIST_MISMATCH (1u << 1)

typedef struct ThreadStats {
	uint64_t alloc_samples;
	uint64_t alloc_wall_ns_sum;
	uint64_t alloc_cpu_ns_sum;
	uint64_t alloc_wait_ns_sum; /* wall - cpu: the scheduler's share */
	uint64_t alloc_wall_ns_max;
	uint64_t alloc_cpu_ns_max;
	uint64_t alloc_wait_ns_max;
	uint64_t repair_count;
	uint64_t repair_wall_ns_sum;
	uint64_t repair_cpu_ns_sum;
	uint64_t repair_wait_ns_sum;
	uint64_t repair_wall_ns_max;
	uint64_t repair_cpu_ns_max;
	uint64_t repair_wait_ns_max;
	uint64_t repair_reason_full_bitmap;
	uint64_t repair_reason_list_mismatch;
	uint64_t repair_reason_other;
} ThreadStats;

TSLAB_COMPAT_THREAD ThreadStats tslab_compat_sampled;
TSLAB_COMPAT_THREAD uint64_t tslab_compat_calls;

/* What was sampled on the calling thread. */
TSLAB_COMPAT_API ThreadStats slab_stats_thread(void)
{
	return tslab_compat_sampled;
}

TSLAB_COMPAT_API uint64_t ns_from_ts(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

TSLAB_COMPAT_API uint64_t tslab_compat_clock_ns(clockid_t clock)
{
	struct timespec now = { 0, 0 };

	clock_gettime(clock, &now);
	return ns_from_ts(&now);
}

TSLAB_COMPAT_API uint64_t now_ns(void)
{
	return tslab_compat_clock_ns(CLOCK_MONOTONIC);
}

TSLAB_COMPAT_API void tslab_compat_add_sample(uint64_t *sum, uint64_t *max, uint64_t ns)
{
	*sum += ns;
	if (ns > *max)
		*max = ns;
}

TSLAB_COMPAT_API void tslab_compat_sample(uint64_t wall_ns, uint64_t cpu_ns)
{
	ThreadStats *t = &tslab_compat_sampled;

	t->alloc_samples++;
	tslab_compat_add_sample(&t->alloc_wall_ns_sum, &t->alloc_wall_ns_max, wall_ns);
	tslab_compat_add_sample(&t->alloc_cpu_ns_sum, &t->alloc_cpu_ns_max, cpu_ns);
	tslab_compat_add_sample(&t->alloc_wait_ns_sum, &t->alloc_wait_ns_max,
				wall_ns > cpu_ns ? wall_ns - cpu_ns : 0);
}

/* -------------------------------------------------------------------------------------- objects -- */

TSLAB_COMPAT_API void *tslab_compat_alloc(SlabAllocator *a, uint32_t size, EpochId epoch,
					  SlabHandle *out)
{
	tslab_epoch_t e = tslab_compat_epoch(a, epoch);
	tslab_handle_t handle;
	int error;

	if (out)
		*out = TSLAB_HANDLE_NONE;
	if (e == TSLAB_EPOCH_NONE)
		return NULL;
	error = tslab_handle_alloc(e, size, &handle);
	if (error) {
		errno = -error;
		return NULL;
	}
	if (out)
		*out = handle;
	return tslab_handle_get(a->heap, handle);
}

/*
 * NULL with errno EINVAL (size 0 or above 32 KiB, no such epoch), ESTALE (the epoch is closing) or
 * ENOMEM. `out` may be NULL: the object then lives until its epoch is over.
 */
TSLAB_COMPAT_API void *alloc_obj_epoch(SlabAllocator *a, uint32_t size, EpochId epoch, SlabHandle *out)
{
#ifdef ENABLE_SLOWPATH_SAMPLING
	if ((++tslab_compat_calls & SAMPLE_RATE_MASK) == 0) {
		uint64_t wall = now_ns(), cpu = tslab_compat_clock_ns(CLOCK_THREAD_CPUTIME_ID);
		void *p = tslab_compat_alloc(a, size, epoch, out);

		cpu = tslab_compat_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
		tslab_compat_sample(now_ns() - wall, cpu);
		return p;
	}
#endif
	return tslab_compat_alloc(a, size, epoch, out);
}

/* True to exactly one caller; false for a handle that is stale, forged or of another allocator. */
TSLAB_COMPAT_API bool free_obj(SlabAllocator *a, SlabHandle handle)
{
	return a && a->heap && tslab_handle_free(a->heap, handle) == 0;
}

/* Size 0 gives NULL, as it did. */
TSLAB_COMPAT_API void *slab_malloc_epoch(SlabAllocator *a, size_t size, EpochId epoch)
{
	tslab_epoch_t e = size ? tslab_compat_epoch(a, epoch) : TSLAB_EPOCH_NONE;

	return e == TSLAB_EPOCH_NONE ? NULL : tslab_alloc(e, size);
}

TSLAB_COMPAT_API void slab_free(SlabAllocator *a, void *ptr)
{
	(void)a;
	tslab_free(ptr);
}

/* Objects in a slab of the class that serves this size; 0 if none does. */
TSLAB_COMPAT_API uint32_t slab_object_count(uint32_t obj_size)
{
	struct tslab_class_stats best, s;

	memset(&best, 0, sizeof(best));
	memset(&s, 0, sizeof(s));
	s.struct_bytes = sizeof(s);
	for (unsigned c = 0; c < TSLAB_CLASS_COUNT; c++)
		if (tslab_stats_class(c, &s) == 0 && s.object_bytes >= obj_size &&
		    (!best.object_bytes || s.object_bytes < best.object_bytes))
			best = s;
	return (uint32_t)best.objects_per_slab;
}

/* Resident memory of the process; 0 if the kernel does not say. */
TSLAB_COMPAT_API uint64_t read_rss_bytes_linux(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	unsigned long long kib = 0;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Rss: %llu", &kib) == 1)
			break;
	fclose(f);
	return kib * 1024u;
}

/* -------------------------------------------------------------------------------------- domains -- */

typedef struct epoch_domain {
	SlabAllocator *alloc;
	EpochId epoch_id;    /* ring entry */
	uint64_t epoch_era;  /* rises with each epoch of that entry */
	uint32_t refcount;   /* enters without their exit */
	bool auto_close;     /* close the epoch when the last scope in it is left */
	pid_t owner_tid;     /* a domain is entered and left on the thread that made it */
	tslab_epoch_t epoch; /* the epoch itself: a wrap of the ring does not change it */
} epoch_domain_t;

/* The domains that the calling thread is in, innermost last. */
#define TSLAB_COMPAT_DEPTH 64u
TSLAB_COMPAT_THREAD struct {
	uint32_t depth;
	epoch_domain_t *domain[TSLAB_COMPAT_DEPTH];
} tslab_compat_scopes;

/* A refusal that is counted and reported as every other one. */
TSLAB_COMPAT_API void tslab_compat_refuse(void)
{
	(void)tslab_domain_enter(TSLAB_EPOCH_NONE);
}

TSLAB_COMPAT_API bool tslab_compat_owns(const epoch_domain_t *d)
{
	if (d && d->owner_tid == (pid_t)syscall(SYS_gettid))
		return true;
	tslab_compat_refuse();
	return false;
}

/* NULL for an epoch that does not exist or is over. */
TSLAB_COMPAT_API epoch_domain_t *epoch_domain_wrap(SlabAllocator *a, EpochId epoch, bool auto_close)
{
	tslab_epoch_t e = tslab_compat_epoch(a, epoch);
	struct tslab_epoch_stats s;
	epoch_domain_t *d;

	if (e == TSLAB_EPOCH_NONE)
		return NULL;
	if (!tslab_compat_epoch_stats(e, &s)) {
		errno = ESTALE;
		return NULL;
	}
	d = (epoch_domain_t *)malloc(sizeof(*d));
	if (!d)
		return NULL;
	d->alloc = a;
	d->epoch_id = epoch;
	d->epoch_era = s.era;
	d->refcount = 0;
	d->auto_close = auto_close;
	d->owner_tid = (pid_t)syscall(SYS_gettid);
	d->epoch = e;
	return d;
}

/* Wraps the current epoch; it is not closed by itself. */
TSLAB_COMPAT_API epoch_domain_t *epoch_domain_create(SlabAllocator *a)
{
	return epoch_domain_wrap(a, epoch_current(a), false);
}

/* Not inline, so that the return address is the line of the program that enters. */
static __attribute__((noinline, unused)) void epoch_domain_enter(epoch_domain_t *d)
{
	if (!tslab_compat_owns(d))
		return;
	if (tslab_compat_scopes.depth == TSLAB_COMPAT_DEPTH) {
		tslab_compat_refuse();
		return;
	}
	if (tslab_domain_enter_at(d->epoch, __builtin_return_address(0)) != 0)
		return;
	d->refcount++;
	tslab_compat_scopes.domain[tslab_compat_scopes.depth++] = d;
}

/* Takes the innermost scope of a domain off the thread's stack. */
TSLAB_COMPAT_API bool tslab_compat_pop(const epoch_domain_t *d)
{
	uint32_t at = tslab_compat_scopes.depth;

	while (at && tslab_compat_scopes.domain[at - 1] != d)
		at--;
	if (!at)
		return false;
	for (; at < tslab_compat_scopes.depth; at++)
		tslab_compat_scopes.domain[at - 1] = tslab_compat_scopes.domain[at];
	tslab_compat_scopes.depth--;
	return true;
}

TSLAB_COMPAT_API void epoch_domain_exit(epoch_domain_t *d)
{
	struct tslab_epoch_stats s;

	if (!tslab_compat_owns(d))
		return;
	/* Without an enter, the call below is refused and counted. */
	if (tslab_compat_pop(d))
		d->refcount--;
	(void)tslab_domain_exit(d->epoch);
	if (d->auto_close && !d->refcount && tslab_compat_epoch_stats(d->epoch, &s) &&
	    s.state == TSLAB_EPOCH_ACTIVE && s.open_scopes + s.references == 0)
		(void)tslab_epoch_close(d->epoch);
}

TSLAB_COMPAT_API epoch_domain_t *epoch_domain_current(void)
{
	uint32_t depth = tslab_compat_scopes.depth;

	return depth ? tslab_compat_scopes.domain[depth - 1] : NULL;
}

TSLAB_COMPAT_API SlabAllocator *epoch_domain_allocator(void)
{
	epoch_domain_t *d = epoch_domain_current();

	return d ? d->alloc : NULL;
}

/* Closes the epoch, whoever is inside; its scopes stay open until they are left. */
TSLAB_COMPAT_API void epoch_domain_force_close(epoch_domain_t *d)
{
	if (d)
		tslab_compat_close(d->epoch);
}

/* Refused while the domain is entered. */
TSLAB_COMPAT_API void epoch_domain_destroy(epoch_domain_t *d)
{
	if (!d)
		return;
	if (d->refcount) {
		tslab_compat_refuse();
		return;
	}
	if (d->auto_close)
		tslab_compat_close(d->epoch);
	free(d);
}

/* ----------------------------------------------------------------------------------- statistics -- */

typedef struct SlabGlobalStats {
	uint32_t version;
	uint32_t current_epoch;
	uint32_t active_epoch_count; /* of the allocator's ring; with the next one always 16 */
	uint32_t closing_epoch_count;
	uint64_t total_slabs_allocated; /* in units of 8 KiB */
	uint64_t total_slabs_recycled;
	uint64_t net_slabs;
	uint64_t rss_bytes_current;
	uint64_t estimated_slab_rss_bytes;
	uint64_t total_slow_path_hits;
	uint64_t total_cache_overflows;
	uint64_t total_slow_cache_miss;
	uint64_t total_slow_epoch_closed;
	uint64_t total_madvise_calls;
	uint64_t total_madvise_bytes;
	uint64_t total_madvise_failures;
	uint64_t total_bitmap_alloc_cas_retries;
	uint64_t total_bitmap_free_cas_retries;
	uint64_t total_current_partial_cas_failures;
	uint64_t total_bitmap_alloc_attempts;
	uint64_t total_bitmap_free_attempts;
	uint64_t total_current_partial_cas_attempts;
} SlabGlobalStats;

typedef struct SlabClassStats {
	uint32_t version;
	uint32_t class_index;
	uint32_t object_size;
	uint64_t slow_path_hits;
	uint64_t new_slab_count;
	uint64_t list_move_partial_to_full;
	uint64_t list_move_full_to_partial;
	uint64_t current_partial_null;
	uint64_t current_partial_full;
	uint64_t empty_slab_recycled;
	uint64_t empty_slab_overflowed;
	uint64_t slow_path_cache_miss;
	uint64_t slow_path_epoch_closed;
	uint64_t madvise_calls;
	uint64_t madvise_bytes;
	uint64_t madvise_failures;
	uint64_t epoch_close_calls;
	uint64_t epoch_close_scanned_slabs;
	uint64_t epoch_close_recycled_slabs;
	uint64_t epoch_close_total_ns;
	uint64_t bitmap_alloc_cas_retries;
	uint64_t bitmap_free_cas_retries;
	uint64_t current_partial_cas_failures;
	uint64_t bitmap_alloc_attempts; /* successful allocations */
	uint64_t bitmap_free_attempts;  /* successful frees */
	uint64_t current_partial_cas_attempts;
	uint64_t lock_fast_acquire;
	uint64_t lock_contended;
	uint32_t scan_adapt_checks;
	uint32_t scan_adapt_switches;
	uint32_t scan_mode;
	uint64_t committed_bytes;
	uint64_t live_bytes;
	uint64_t empty_slabs_count;
	double avg_alloc_cas_retries_per_attempt;
	double avg_free_cas_retries_per_attempt;
	double current_partial_cas_failure_rate;
	double lock_contention_rate;
	uint32_t cache_size;
	uint32_t cache_capacity;
	uint32_t cache_overflow_len;
	uint32_t total_partial_slabs; /* at least; the live objects could fill fewer slabs */
	uint32_t total_full_slabs;    /* at most */
	double recycle_rate_pct;
	uint64_t net_slabs;
	uint64_t estimated_rss_bytes;
} SlabClassStats;

typedef struct SlabEpochStats {
	uint32_t version;
	uint32_t class_index;
	uint32_t object_size;
	EpochId epoch_id;
	uint64_t epoch_era;
	EpochLifecycleState state;
	uint64_t open_since_ns;
	uint64_t alloc_count; /* live objects of this class */
	char label[32];
	uint64_t rss_before_close;
	uint64_t rss_after_close;
	uint32_t partial_slab_count;
	uint32_t full_slab_count;
	uint64_t estimated_rss_bytes;
	uint32_t reclaimable_slab_count;
	uint64_t reclaimable_bytes;
	uint64_t refcount; /* open scopes and references of the whole epoch */
} SlabEpochStats;

typedef struct PerfCounters {
	uint64_t slow_path_hits;
	uint64_t new_slab_count;
	uint64_t list_move_partial_to_full;
	uint64_t list_move_full_to_partial;
	uint64_t current_partial_null;
	uint64_t current_partial_full;
	uint64_t empty_slab_recycled;
	uint64_t empty_slab_overflowed;
} PerfCounters;

TSLAB_COMPAT_API void tslab_compat_process_stats(struct tslab_process_stats *s)
{
	memset(s, 0, sizeof(*s));
	s->struct_bytes = sizeof(*s);
	(void)tslab_stats_process(s);
}

/* Units of 8 KiB in chunks of 64 KiB, as the tools count them. */
TSLAB_COMPAT_API uint64_t tslab_compat_units(uint64_t chunks)
{
	return chunks * 8u;
}

TSLAB_COMPAT_API void slab_stats_global(SlabAllocator *a, SlabGlobalStats *out)
{
	struct tslab_process_stats s;
	struct tslab_epoch_stats e;

	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	out->version = SLAB_STATS_VERSION;
	if (!a || !a->heap)
		return;
	tslab_compat_process_stats(&s);
	out->current_epoch = epoch_current(a);
	for (EpochId i = 0; i < EPOCH_COUNT; i++)
		if (tslab_compat_epoch_stats(tslab_compat_epoch(a, i), &e) &&
		    e.state == TSLAB_EPOCH_ACTIVE)
			out->active_epoch_count++;
	out->closing_epoch_count = EPOCH_COUNT - out->active_epoch_count;
	out->total_slabs_allocated = tslab_compat_units(s.chunks_fresh + s.chunks_reused);
	out->total_slabs_recycled = tslab_compat_units(s.chunks_cached);
	out->net_slabs = s.slab_units;
	out->rss_bytes_current = read_rss_bytes_linux();
	out->estimated_slab_rss_bytes = s.committed_bytes;
	out->total_slow_path_hits = s.slow_path_hits;
	out->total_cache_overflows = tslab_compat_units(s.chunks_returned);
	out->total_slow_cache_miss = s.slow_path_misses;
	out->total_slow_epoch_closed = s.fail_closing;
	out->total_madvise_calls = s.purge_calls;
	out->total_madvise_bytes = s.purge_bytes;
	out->total_madvise_failures = s.purge_failures;
	out->total_bitmap_free_cas_retries = s.pushes_retried;
	out->total_bitmap_alloc_attempts = s.allocations;
	out->total_bitmap_free_attempts = s.frees;
}

TSLAB_COMPAT_API void slab_stats_class(SlabAllocator *a, uint32_t size_class, SlabClassStats *out)
{
	struct tslab_class_stats s;

	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	memset(&s, 0, sizeof(s));
	s.struct_bytes = sizeof(s);
	out->version = SLAB_STATS_VERSION;
	out->class_index = size_class;
	if (!a || tslab_stats_class(size_class, &s) != 0)
		return;
	out->object_size = (uint32_t)s.object_bytes;
	out->bitmap_alloc_attempts = s.allocations;
	out->bitmap_free_attempts = s.frees;
	out->committed_bytes = s.committed_bytes;
	out->live_bytes = s.live_bytes;
	out->total_full_slabs = (uint32_t)(s.live_objects / s.objects_per_slab);
	out->total_partial_slabs = (uint32_t)s.slabs - out->total_full_slabs;
	out->net_slabs = s.slabs;
	out->estimated_rss_bytes = s.committed_bytes;
}

/* An epoch that is over is CLOSING and empty. */
TSLAB_COMPAT_API void slab_stats_epoch(SlabAllocator *a, uint32_t size_class, EpochId epoch,
				       SlabEpochStats *out)
{
	tslab_epoch_t e = tslab_compat_epoch(a, epoch);
	struct tslab_class_stats c;
	struct tslab_epoch_stats s;

	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	memset(&c, 0, sizeof(c));
	c.struct_bytes = sizeof(c);
	out->version = SLAB_STATS_VERSION;
	out->class_index = size_class;
	out->epoch_id = epoch;
	out->state = EPOCH_CLOSING;
	if (tslab_stats_class(size_class, &c) == 0)
		out->object_size = (uint32_t)c.object_bytes;
	if (!tslab_compat_epoch_stats(e, &s) || tslab_stats_epoch_class(e, size_class, &c) != 0)
		return;
	out->epoch_era = s.era;
	out->state = s.state == TSLAB_EPOCH_ACTIVE ? EPOCH_ACTIVE : EPOCH_CLOSING;
	out->open_since_ns = s.open_since_ns;
	out->alloc_count = c.live_objects;
	memcpy(out->label, s.label, sizeof(out->label));
	out->full_slab_count = (uint32_t)(c.live_objects / c.objects_per_slab);
	out->partial_slab_count = (uint32_t)c.slabs - out->full_slab_count;
	out->estimated_rss_bytes = c.committed_bytes;
	if (!c.live_objects)
		out->reclaimable_slab_count = (uint32_t)c.slabs;
	out->reclaimable_bytes = out->reclaimable_slab_count * c.slab_bytes;
	out->refcount = s.open_scopes + s.references;
}

/* All 0: neither moves nor caches exist by class. Zeroed for a class that does not exist, too. */
TSLAB_COMPAT_API void get_perf_counters(SlabAllocator *a, uint32_t size_class, PerfCounters *out)
{
	SlabClassStats s;

	if (!out)
		return;
	slab_stats_class(a, size_class, &s);
	memset(out, 0, sizeof(*out));
	out->slow_path_hits = s.slow_path_hits;
	out->new_slab_count = s.new_slab_count;
	out->empty_slab_recycled = s.empty_slab_recycled;
	out->empty_slab_overflowed = s.empty_slab_overflowed;
}

/* What threads keep for reuse, in place of the prototype's handle cache. */
TSLAB_COMPAT_API void tls_print_stats(void)
{
	struct tslab_process_stats s;

	tslab_compat_process_stats(&s);
	fprintf(stderr, "tslab: %llu bytes kept by %llu threads, %llu chunks reused from there\n",
		(unsigned long long)s.retained_bytes, (unsigned long long)s.threads,
		(unsigned long long)s.chunks_cached);
}

/* ---------------------------------------------------------------------------------- diagnostics -- */

typedef struct EpochLeakCandidate {
	uint32_t class_index;
	uint32_t object_size;
	EpochId epoch_id;
	uint64_t epoch_era;
	char label[32];
	uint64_t age_sec;
	uint64_t alloc_count; /* live objects */
	uint64_t estimated_rss_bytes;
	uint32_t partial_slab_count;
	uint32_t full_slab_count;
	uint32_t reclaimable_slab_count;
} EpochLeakCandidate;

typedef struct EpochLeakReport {
	uint32_t version;
	uint32_t threshold_sec;
	uint32_t candidate_count;
	uint32_t top_count;
	EpochLeakCandidate *candidates; /* free() it */
} EpochLeakReport;

typedef struct SlowPathAttribution {
	uint32_t class_index;
	uint32_t object_size;
	uint64_t total_slow_path_hits;
	uint64_t cache_miss_count;
	uint64_t epoch_closed_count;
	uint64_t partial_null_count;
	uint64_t partial_full_count;
	double cache_miss_pct;
	double epoch_closed_pct;
	double partial_null_pct;
	double partial_full_pct;
	char recommendation[128];
} SlowPathAttribution;

typedef struct SlowPathReport {
	uint32_t version;
	uint32_t class_count;
	SlowPathAttribution *classes; /* free() it */
} SlowPathReport;

typedef struct EpochReclamation {
	uint32_t class_index;
	EpochId epoch_id;
	uint64_t epoch_era;
	uint64_t slabs_recycled;
	uint64_t bytes_madvised;
	uint64_t rss_before;
	uint64_t rss_after;
	int64_t rss_delta;
	char label[32];
	bool was_closed;
} EpochReclamation;

typedef struct ReclamationReport {
	uint32_t version;
	uint64_t total_madvise_calls;
	uint64_t total_madvise_bytes;
	uint64_t total_madvise_failures;
	uint32_t epoch_count;
	EpochReclamation *epochs; /* free() it */
} ReclamationReport;

TSLAB_COMPAT_API int tslab_compat_by_memory(const void *a, const void *b)
{
	const EpochLeakCandidate *x = (const EpochLeakCandidate *)a;
	const EpochLeakCandidate *y = (const EpochLeakCandidate *)b;

	return (x->estimated_rss_bytes < y->estimated_rss_bytes) -
	       (x->estimated_rss_bytes > y->estimated_rss_bytes);
}

/* A class of an epoch that is closing and still holds memory after `threshold_sec`. */
TSLAB_COMPAT_API bool tslab_compat_leak(SlabAllocator *a, uint32_t c, EpochId e,
					uint32_t threshold_sec, EpochLeakCandidate *out)
{
	uint64_t now = tslab_compat_clock_ns(CLOCK_BOOTTIME);
	SlabEpochStats s;

	slab_stats_epoch(a, c, e, &s);
	if (s.state != EPOCH_CLOSING || !s.open_since_ns || !s.estimated_rss_bytes ||
	    now < s.open_since_ns + threshold_sec * 1000000000ull)
		return false;
	out->class_index = c;
	out->object_size = s.object_size;
	out->epoch_id = e;
	out->epoch_era = s.epoch_era;
	memcpy(out->label, s.label, sizeof(out->label));
	out->age_sec = (now - s.open_since_ns) / 1000000000u;
	out->alloc_count = s.alloc_count;
	out->estimated_rss_bytes = s.estimated_rss_bytes;
	out->partial_slab_count = s.partial_slab_count;
	out->full_slab_count = s.full_slab_count;
	out->reclaimable_slab_count = s.reclaimable_slab_count;
	return true;
}

/* How many there are; the largest `max_top` in out->candidates. `tslab leaks` says more, from outside. */
TSLAB_COMPAT_API uint32_t slab_detect_epoch_leaks(SlabAllocator *a, uint32_t threshold_sec,
						  uint32_t max_top, EpochLeakReport *out)
{
	if (!out)
		return 0;
	memset(out, 0, sizeof(*out));
	out->version = SLAB_DIAGNOSTICS_VERSION;
	out->threshold_sec = threshold_sec;
	out->candidates = (EpochLeakCandidate *)calloc((size_t)TSLAB_CLASS_COUNT * EPOCH_COUNT,
						       sizeof(*out->candidates));
	if (!out->candidates)
		return 0;
	for (uint32_t c = 0; c < TSLAB_CLASS_COUNT; c++)
		for (EpochId e = 0; e < EPOCH_COUNT; e++)
			out->candidate_count += tslab_compat_leak(
				a, c, e, threshold_sec, &out->candidates[out->candidate_count]);
	qsort(out->candidates, out->candidate_count, sizeof(*out->candidates),
	      tslab_compat_by_memory);
	out->top_count = out->candidate_count < max_top ? out->candidate_count : max_top;
	return out->candidate_count;
}

/* One row: slow paths are counted for the process. The percentages overlap no more. */
TSLAB_COMPAT_API void slab_analyze_slow_path(SlabAllocator *a, SlowPathReport *out)
{
	SlowPathAttribution *row;
	SlabGlobalStats s;
	const char *advice = "No slow paths";

	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	out->version = SLAB_DIAGNOSTICS_VERSION;
	row = out->classes = (SlowPathAttribution *)calloc(1, sizeof(*row));
	if (!row)
		return;
	out->class_count = 1;
	slab_stats_global(a, &s);
	row->total_slow_path_hits = s.total_slow_path_hits + s.total_slow_epoch_closed;
	row->cache_miss_count = s.total_slow_cache_miss;
	row->epoch_closed_count = s.total_slow_epoch_closed;
	if (row->total_slow_path_hits) {
		double all = (double)row->total_slow_path_hits;

		row->cache_miss_pct = 100.0 * (double)row->cache_miss_count / all;
		row->epoch_closed_pct = 100.0 * (double)row->epoch_closed_count / all;
		advice = "Normal churn";
		if (row->epoch_closed_pct > 50)
			advice = "Allocations in closing epochs: close after the last exit";
		else if (row->cache_miss_pct > 50)
			advice = "New memory for most of them: raise retain_bytes";
	}
	snprintf(row->recommendation, sizeof(row->recommendation), "%s", advice);
}

TSLAB_COMPAT_API void slab_analyze_reclamation(SlabAllocator *a, ReclamationReport *out)
{
	SlabEpochStats s;
	SlabGlobalStats g;

	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	out->version = SLAB_DIAGNOSTICS_VERSION;
	slab_stats_global(a, &g);
	out->total_madvise_calls = g.total_madvise_calls;
	out->total_madvise_bytes = g.total_madvise_bytes;
	out->total_madvise_failures = g.total_madvise_failures;
	out->epochs = (EpochReclamation *)calloc(EPOCH_COUNT, sizeof(*out->epochs));
	if (!out->epochs)
		return;
	out->epoch_count = EPOCH_COUNT;
	for (EpochId e = 0; e < EPOCH_COUNT; e++) {
		slab_stats_epoch(a, 0, e, &s);
		out->epochs[e].epoch_id = e;
		out->epochs[e].epoch_era = s.epoch_era;
		memcpy(out->epochs[e].label, s.label, sizeof(s.label));
		out->epochs[e].was_closed = s.state == EPOCH_CLOSING;
	}
}

#ifdef __cplusplus
}
#endif

#endif
