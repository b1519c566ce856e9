/* SPDX-License-Identifier: MIT */
/*
 * tslab: statistics from inside the process.
 *
 * The same figures that the `tslab` tool reads from outside. All calls here are async-signal-safe: they
 * take no lock, allocate nothing and wait for nobody. They may run beside anything; a figure may lag by
 * one operation, never goes backwards where it is a counter, and is exact when nothing runs.
 *
 * Every structure starts with its own size, which the caller sets: a program that was compiled against
 * an older header gets the fields that it knows, one that is newer than the library finds the rest 0.
 * Counters only rise. The child of fork starts its own, opened with what it inherited, on its first
 * call that leaves the fast path; until then its totals are 0 and single epochs and threads -EAGAIN.
 */
#ifndef TSLAB_STATS_H
#define TSLAB_STATS_H

#include <tslab/tslab.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Size classes: indices 0 to TSLAB_CLASS_COUNT - 1 are stable names, not an order of sizes. */
#define TSLAB_CLASS_COUNT 40u

enum tslab_epoch_state {
	TSLAB_EPOCH_OVER = 0,       /* the slot is free */
	TSLAB_EPOCH_ACTIVE = 1,     /* takes allocations */
	TSLAB_EPOCH_CLOSING = 2,    /* drains: objects or scopes are left */
	TSLAB_EPOCH_DISCARDING = 3, /* a discard is looking whether anybody is inside */
	TSLAB_EPOCH_COMMITTED = 4,  /* a discard is returning the memory */
};

struct tslab_process_stats {
	size_t struct_bytes; /* set by the caller: sizeof(struct tslab_process_stats) */

	/* what is there now */
	uint64_t live_objects;    /* all sizes */
	uint64_t live_bytes;      /* in slots, as handed out, and objects above 32 KiB */
	uint64_t committed_bytes; /* memory that lanes hold plus retained_bytes */
	uint64_t retained_bytes;  /* empty memory kept for reuse */
	uint64_t large_objects;   /* live objects above 32 KiB */
	uint64_t large_bytes;
	uint64_t slab_units;     /* 8 KiB units that carry a slab */
	uint64_t open_epochs;    /* not yet over, in whatever state */
	uint64_t closing_epochs; /* of these, closing */
	uint64_t open_scopes;    /* domain enters without their exit */
	uint64_t threads;        /* threads that have used the library and still run */
	uint64_t lanes;          /* pairs of epoch and thread that hold memory or may */
	uint64_t segment_bytes; /* memory of the figures themselves that other processes can see; 0 = none */

	/* counters: allocation */
	uint64_t allocations;
	uint64_t frees;
	uint64_t slow_path_hits;   /* allocations that took the slow path */
	uint64_t slow_path_misses; /* slow paths that needed a new chunk */
	uint64_t frees_collected;  /* frees of other threads, collected */

	/* counters: memory to and from the OS */
	uint64_t segments_committed; /* 4 MiB made writable */
	uint64_t chunks_fresh;       /* 64 KiB taken from never used address space */
	uint64_t chunks_reused;      /* ... from the pool, after a return to the OS */
	uint64_t chunks_cached;      /* ... from a thread's cache */
	uint64_t chunks_returned;    /* returned to the pool */
	uint64_t purge_calls;        /* madvise(MADV_DONTNEED) */
	uint64_t purge_bytes;
	uint64_t purge_failures;
	uint64_t purge_last_errno; /* not a counter */
	uint64_t commit_failures;  /* mprotect or mmap that failed */

	/* counters: epochs and scopes */
	uint64_t epochs_opened;
	uint64_t epochs_closed;    /* tslab_epoch_close calls that succeeded */
	uint64_t epochs_discarded; /* tslab_epoch_discard calls that succeeded */
	uint64_t epochs_finished;  /* all memory is back */
	uint64_t ring_advances;
	uint64_t discards_busy;    /* discards refused with EBUSY */
	uint64_t scopes_abandoned; /* left open by threads that ended */

	/* counters: refusals by cause */
	uint64_t refused_double;       /* frees: freed already */
	uint64_t refused_wild;         /* frees: no object starts there */
	uint64_t refused_foreign;      /* frees: not memory of this library */
	uint64_t refused_stale_handle; /* freed, reused, or the epoch is over */
	uint64_t refused_wrong_handle; /* of another heap, or no handle */
	uint64_t refused_exit;         /* no such scope on this thread */
	uint64_t exits_out_of_order;   /* a scope below the innermost was left */
	uint64_t refused_argument;     /* other calls: EINVAL, ESTALE, EPERM */
	uint64_t references_saturated; /* tslab_epoch_add_references hit 0 or the top */

	/* counters: allocations that failed, by cause */
	uint64_t fail_threshold; /* larger than the largest size */
	uint64_t fail_exhausted; /* a limit, or the reserved range, is used up */
	uint64_t fail_mapping;   /* the OS refused memory */
	uint64_t fail_closing;   /* the epoch is closing or over */
	uint64_t fail_invalid;   /* bad argument */

	/* counters: the rest */
	uint64_t labels_overflowed; /* labels that found the registry of 16 full */
	uint64_t lock_fast;         /* locks taken at once */
	uint64_t lock_contended;    /* locks that had to wait */
	uint64_t pushes_retried;    /* frees across threads that lost a race and tried again */
	uint64_t forks_recovered;

	uint64_t range_bytes;    /* address space reserved for all heaps; constant */
	uint64_t boot_offset_ns; /* CLOCK_BOOTTIME minus CLOCK_MONOTONIC when last looked */
	uint64_t consistent; /* 0: some thread changed what was being read, eight times in a row */
	uint64_t pool_bytes; /* of retained_bytes, what no thread keeps but the pool that all share */
	uint64_t retain_limit_bytes; /* empty memory that a thread may keep of the default heap */
	uint64_t blocks_private;     /* KiB of the figures that other processes cannot see */
	uint64_t sample_interval;    /* one allocation in so many is timed; 0 = none */
	uint64_t meta_lock_fast;     /* of lock_fast, the lock of the tables */
	uint64_t overflows_found;    /* objects written beyond their end; see docs/debugging.md */
	uint64_t freed_writes_found; /* objects written to after their free */
	uint64_t guarded_objects;    /* placed between guard pages, TSLAB_GUARD */
	uint64_t guards_missed;      /* ... but for want of a guard slot */
};

struct tslab_class_stats {
	size_t struct_bytes; /* set by the caller: sizeof(struct tslab_class_stats) */
	uint64_t class_index;
	uint64_t object_bytes; /* size of a slot */
	uint64_t slab_bytes;   /* a run of 8 KiB units that is cut into slots */
	uint64_t objects_per_slab;
	uint64_t allocations; /* counters */
	uint64_t frees;
	uint64_t live_objects;
	uint64_t live_bytes;
	uint64_t slabs;
	uint64_t committed_bytes; /* slabs * slab_bytes */
	/* counters of the class in all heaps; 0 from tslab_stats_epoch_class */
	uint64_t slow_path_hits;      /* allocations that took the slow path: */
	uint64_t slow_path_reused;    /* ... served by slabs at hand */
	uint64_t slow_path_new_slabs; /* ... needed a fresh slab */
	uint64_t slow_path_misses;    /* ... whose slab needed a new chunk */
	uint64_t epoch_closed;        /* refused: the epoch was closing or over */
	uint64_t slabs_adopted;       /* found by the child of a fork */
	uint64_t slab_units_recycled; /* empty 8 KiB units that a thread's cache took */
	uint64_t slab_units_returned; /* ... beyond it, returned to the pool */
	uint64_t purge_calls;         /* madvise calls whose first unit was of the class */
	uint64_t purge_bytes;
	uint64_t purge_failures;
	uint64_t close_passes; /* closing lanes that looked at slabs of the class */
	uint64_t close_scanned_units;
	uint64_t close_recycled_units;
	uint64_t close_ns; /* without madvise */
	uint64_t lock_fast;
	uint64_t lock_contended;
	uint64_t pushes_retried;
};

struct tslab_epoch_stats {
	size_t struct_bytes; /* set by the caller: sizeof(struct tslab_epoch_stats) */
	tslab_epoch_t epoch;
	uint64_t era; /* rises with every epoch that uses the slot */
	uint32_t slot;
	uint32_t state; /* enum tslab_epoch_state */
	uint32_t heap_id;
	uint32_t ring_index; /* entry of the heap's ring, UINT32_MAX = opened by the program */
	uint32_t is_default; /* 1 = takes what is allocated outside any scope */
	uint32_t label_id;   /* registry id; 0 = unlabeled or beyond the registry */
	char label[TSLAB_LABEL_MAX + 1];
	uint64_t open_since_ns;  /* CLOCK_BOOTTIME */
	uint64_t close_since_ns; /* the same; 0 while active */
	uint64_t age_ns;         /* since it was opened */
	uint64_t open_scopes;    /* domain enters without their exit */
	uint64_t references;     /* of tslab_epoch_add_references */
	uint64_t abandoned;      /* scopes whose thread ended inside */
	uint64_t live_objects;
	uint64_t live_bytes;
	uint64_t large_objects; /* of these, above 32 KiB */
	uint64_t large_bytes;
	uint64_t slab_units;      /* 8 KiB units that carry a slab */
	uint64_t committed_bytes; /* chunks and large objects */
	uint64_t charged_bytes;   /* what the limit counts */
	uint64_t limit_bytes;     /* 0 = no limit */
	uint64_t lanes;           /* threads that have memory here */
	uint64_t consistent;      /* as in struct tslab_process_stats */
};

struct tslab_thread_stats {
	size_t struct_bytes; /* set by the caller: sizeof(struct tslab_thread_stats) */
	uint64_t tid;        /* kernel thread id */
	uint64_t incarnation; /* rises when a thread that ended is followed by another in its place */
	uint64_t open_scopes;
	uint64_t retained_bytes; /* empty memory kept for reuse */
	uint64_t consistent;     /* as in struct tslab_process_stats */
	uint64_t alloc_samples;  /* allocations that were timed; 0 unless sampling is on */
	uint64_t alloc_wall_ns_sum;
	uint64_t alloc_cpu_ns_sum;
	uint64_t alloc_wait_ns_sum; /* wall less CPU */
	uint64_t alloc_wall_ns_max;
	uint64_t alloc_cpu_ns_max;
	uint64_t alloc_wait_ns_max;
};

/**
 * tslab_stats_process - totals of the process, all heaps together
 * @stats: struct_bytes set by the caller; the rest is filled in
 *
 * Return: 0; -EINVAL (@stats NULL, struct_bytes smaller than itself). Async-signal-safe. Cost: reads
 * one block of 1 KiB for each lane that ever was, and one a thread; no system call.
 */
TSLAB_API int tslab_stats_process(struct tslab_process_stats *stats);

/**
 * tslab_stats_class - one size class, all heaps and epochs together
 * @class_index: 0 to TSLAB_CLASS_COUNT - 1
 *
 * Return: 0; -EINVAL. Async-signal-safe. Cost: as tslab_stats_process.
 */
TSLAB_API int tslab_stats_class(unsigned class_index, struct tslab_class_stats *stats);

/**
 * tslab_stats_epoch_class - one size class in one epoch
 * @epoch: an epoch that is not yet over
 *
 * Fills in what is there now (live_*, slabs, committed_bytes) and what the class is; allocations and
 * frees stay 0, for threads count them over all the epochs that they pass through.
 * Return: 0; -EINVAL; -ESTALE (over, or never was); -EAGAIN (after fork, see above).
 * Async-signal-safe. Cost: as tslab_stats_process.
 */
TSLAB_API int tslab_stats_epoch_class(tslab_epoch_t epoch, unsigned class_index,
				      struct tslab_class_stats *stats);

/**
 * tslab_stats_epoch - one epoch
 * @epoch: an epoch that is not yet over
 *
 * Return: 0; -EINVAL; -ESTALE (over, or never was); -EAGAIN (after fork, see above).
 * Async-signal-safe. Cost: as tslab_stats_process.
 */
TSLAB_API int tslab_stats_epoch(tslab_epoch_t epoch, struct tslab_epoch_stats *stats);

/**
 * tslab_stats_thread - one thread
 * @tid: kernel thread id (gettid); 0 = the calling thread
 *
 * Return: 0; -EINVAL; -ESRCH (has not used the library, or has ended); -EAGAIN (after fork, see above).
 * Async-signal-safe. Cost: reads one block a thread.
 */
TSLAB_API int tslab_stats_thread(int tid, struct tslab_thread_stats *stats);

/*
 * Where the figures lie, for debuggers and readers of core files: the chunks of the stats segment, also
 * those that could not be made visible to other processes. Programs have no use for it.
 */
#define TSLAB_ROOT_CHUNKS 64
struct tslab_root {
	char magic[8]; /* "TSLABSEG" */
	uint32_t struct_bytes;
	uint32_t chunk_count; /* written last */
	struct {
		uint64_t address;
		uint64_t bytes;
	} chunk[TSLAB_ROOT_CHUNKS];
};
TSLAB_API extern struct tslab_root tslab_root;

#ifdef __cplusplus
}
#endif

#endif
