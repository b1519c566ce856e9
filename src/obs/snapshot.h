/* SPDX-License-Identifier: MIT */
/*
 * snapshot.h: one consistent look at a process, from the blocks of its stats segment.
 *
 * For programs outside the observed process; it allocates. Chunks are hostile input: every length is
 * checked against the bytes that are there, every block is copied before it is looked at, and what
 * makes no sense is counted in `malformed`, not believed.
 */
#ifndef TS_OBS_SNAPSHOT_H
#define TS_OBS_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "obs/blockread.h"

enum { TS_SNAPSHOT_CHUNKS_MAX = 64, TS_PLACES_MAX = 4096, TS_LABEL_BYTES = 32 };
#define TS_UNKNOWN UINT64_MAX

/* Memory that holds a chunk, and how much of it may be read. */
struct ts_chunk_view {
	const void *base;
	size_t bytes;
};

struct ts_epoch_view {
	uint64_t id;
	uint64_t state;
	uint64_t heap_id;
	uint64_t ring_index; /* + 1; 0 = not of a ring */
	bool ring_current;   /* the epoch that its ring entry names now */
	bool is_default;
	uint64_t label_id;
	char label[TS_LABEL_BYTES];
	uint64_t open_since_ns;
	uint64_t close_since_ns;
	uint64_t limit_bytes;
	uint64_t charged_bytes;
	uint64_t references;
	uint64_t abandoned;
	uint64_t abandoned_site;
	uint64_t resident_bytes; /* by the kernel's page map; TS_UNKNOWN = not looked at */
	struct ts_lane_sum *lanes;
	size_t first_lane; /* + 1, in lane_views; 0 = none */
	size_t first_domain;
	size_t domain_count;
	const struct ts_close_view *last_close; /* of this epoch, or of its ring entry; NULL: none kept */
};

struct ts_place_view;

/* Open scopes of one thread in one epoch, entered at one place. */
struct ts_domain_view {
	uint64_t epoch_id;
	uint64_t site;
	uint64_t tid; /* 0: the thread has ended */
	uint64_t open;
	uint64_t oldest_since_ns; /* 0: unknown */
	uint64_t enters;          /* of this thread in this epoch, all places together */
	uint64_t exits;
	struct ts_place_view *place; /* NULL: the library did not know where */
};

/* Where a domain was entered. */
struct ts_place_view {
	uint64_t site;
	char module[512];
	uint64_t offset; /* of the return address, in the module's own addresses */
	char build_id[2 * 64 + 1];
	/* filled in by whoever can read the module's debug information; "" and 0 where unknown */
	char function[256];
	char file[512];
	uint64_t line;
	char note[128]; /* why there is no source line */
};

struct ts_class_view {
	uint64_t index;
	uint64_t object_bytes;
	uint64_t objects_per_slab;
	uint64_t units_per_slab;
	uint64_t units;
	uint64_t resting_units;
	const struct ts_class_sum *sum;
	const struct ts_class_counts *counts;
};

/* What threads in epochs of one label met, by class; of objects above 32 KiB last. */
struct ts_contention_view {
	uint64_t label_id;
	struct {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(LABEL_CLASS, scope, uint64_t name;)
#include "core/words.def"
	} cls[TS_CLASS_ROWS];
};

/* An allocation that failed. */
struct ts_failure_view {
	uint64_t number;
	uint64_t time_ns;
	uint64_t epoch_id; /* 0 = unknown */
	uint64_t bytes;
	unsigned reason; /* as ts_field_reason names them */
	unsigned cls;    /* TS_CLASS_LARGE; TS_CLASS_ROWS = none */
	unsigned error;
	uint64_t site;
	uint64_t tid;
	char label[TS_LABEL_BYTES];
	const struct ts_place_view *place;
};

/* The end of an epoch that moved memory or left something behind. */
struct ts_close_view {
	char label[TS_LABEL_BYTES];
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(CLOSE, scope, uint64_t name;)
#include "core/words.def"
};

struct ts_module_view {
	uint32_t index;
	uint32_t build_id_bytes;
	uint8_t build_id[64];
	char path[512];
};

struct ts_site_view {
	uint32_t module; /* index of the module + 1; 0 = unknown */
	uint64_t offset;
};

struct ts_thread_view {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(THREAD, scope, uint64_t name;)
#include "core/words.def"
};

struct ts_lane_view {
	struct ts_epoch_view *epoch;
	uint32_t number;       /* as in the owners of chunks; 0 = unknown */
	uint64_t thread_index; /* + 1; 0 = none yet */
	uint64_t enters;
	uint64_t exits;
	size_t next; /* of the same epoch: + 1; 0 = none */
};

/* Whose 64 chunks of the heaps' range are: numbers of lanes, 0 = nobody's. */
struct ts_chunk_group {
	uint64_t number; /* in the range, from 1 */
	uint32_t lane[TS_CHUNK_GROUP];
};

/* What /proc says about the process; the caller fills it in. */
struct ts_target {
	int pid;
	int ns_pid;
	char comm[32];
	char container[65];
	char boot_id[40];
	const char *source; /* "live" */
	uint64_t rss_bytes;
	uint64_t anon_rss_bytes;
	uint64_t heap_resident_bytes; /* of the library's address range; 0 = not looked at */
	uint64_t heap_swapped_bytes;
	uint64_t doctor_threshold_s; /* what the process was told that readers are to take; 0 = nothing */
	uint64_t realtime_ns;
	uint64_t boot_ns;
	uint64_t monotonic_ns;
};

struct ts_snapshot {
	struct ts_target target;
	struct ts_block_header header;
	struct ts_shape shape;
	struct ts_block_process process;
	bool consistent;
	uint64_t malformed;
	uint64_t segment_bytes;
	uint64_t chunk_count;
	uint32_t class_bytes[TS_CLASS_COUNT];
	struct ts_class_view classes[TS_CLASS_COUNT];
	struct ts_lane_sum lanes;
	uint64_t resting_units[TS_CLASS_COUNT]; /* of lanes that a thread keeps for reuse */
	struct ts_thread_sum thread_sum;
	struct ts_class_counts class_counts[TS_CLASS_ROWS];
	struct ts_class_counts class_total; /* large objects included */
	uint64_t label_count;
	char labels[TS_LABEL_IDS][TS_LABEL_BYTES];
	uint64_t current_epoch; /* ring index of the default heap's newest epoch */
	uint64_t ring_closing;  /* entries of that ring that drain */
	uint64_t open_epochs;

	struct ts_epoch_view *epochs; /* by id */
	size_t epoch_count;
	struct ts_lane_sum *epoch_lanes; /* one for each of them */
	struct ts_domain_view *domains;  /* by epoch, the oldest first */
	size_t domain_count;
	struct ts_place_view *places; /* one for each site that a domain names */
	size_t place_count;
	struct ts_site_view *sites;
	size_t site_count;
	struct ts_module_view *modules;
	size_t module_count;
	struct ts_thread_view *threads; /* by thread index */
	size_t thread_count;
	struct ts_lane_view *lane_views; /* bound ones */
	size_t lane_view_count;
	struct ts_chunk_group *chunk_groups; /* by number, once owners.h has read them */
	size_t chunk_group_count;
	struct ts_contention_view *contention; /* by label; none unless the library was built for it */
	size_t contention_count;
	struct ts_failure_view *failures; /* the newest first */
	size_t failure_count;
	uint64_t times[TS_HISTOGRAMS][TS_HISTOGRAM_BUCKETS]; /* histogram.h has the bounds */
	struct ts_close_view *closes;                        /* the newest first */
	size_t close_count;
};

/*
 * Whether a chunk starts with a header that this reader understands. If not, `why` tells what the
 * segment is: "its stats segment is ...".
 */
bool ts_snapshot_check_header(const struct ts_chunk_view *chunk, struct ts_block_header *header,
			      const char **why);

/*
 * Reads all chunks; the first is chunk 0. `target` is what the caller knows. False with *why as above. Free with ts_snapshot_free in either case.
 */
bool ts_snapshot_read(struct ts_snapshot *snapshot, const struct ts_target *target,
		      const struct ts_chunk_view *chunks, size_t chunk_count, const char **why);
void ts_snapshot_free(struct ts_snapshot *snapshot);

/* Calls `take` with copies of the blocks of some kinds, a bit each, in a chunk. False: it did, no memory. */
typedef bool ts_take_block(struct ts_snapshot *snapshot, const union ts_block_copy *copy);
bool ts_snapshot_walk(struct ts_snapshot *snapshot, const struct ts_chunk_view *chunk,
		      uint64_t kinds, ts_take_block *take);

const struct ts_module_view *ts_snapshot_module(const struct ts_snapshot *snapshot, uint32_t index);

/* Derived figures that more than one output needs. */
uint64_t ts_snapshot_retained_bytes(const struct ts_snapshot *s);
uint64_t ts_snapshot_committed_bytes(const struct ts_snapshot *snapshot);
uint64_t ts_snapshot_slab_bytes(const struct ts_snapshot *snapshot);
uint64_t ts_epoch_refcount(const struct ts_epoch_view *epoch);
/* Slabs of an epoch that its live objects can fill, at most. */
uint64_t ts_epoch_slabs(const struct ts_snapshot *snapshot, const struct ts_epoch_view *epoch);
uint64_t ts_epoch_full_slabs(const struct ts_snapshot *snapshot, const struct ts_epoch_view *epoch);
/* Whether threads of a label met anything in a class. */
bool ts_contention_met(const struct ts_contention_view *contention, uint64_t cls);
/* 8 KiB units of an epoch that hold no object. */
uint64_t ts_epoch_reclaimable_units(const struct ts_snapshot *snapshot,
				    const struct ts_epoch_view *epoch);

#endif
