/* SPDX-License-Identifier: MIT */
/*
 * blockread.h: reading blocks while others write them. Used inside the process and by the tools.
 *
 * A block is copied first and looked at afterwards, so nobody can change what was checked. Nothing here
 * locks, allocates or calls the system.
 */
#ifndef TS_OBS_BLOCKREAD_H
#define TS_OBS_BLOCKREAD_H

#include <stdbool.h>

#include "obs/format.h"

/* The longest block, also of later minors. */
enum { TS_BLOCKREAD_SLOTS_MAX = 4 };

union ts_block_copy {
	struct ts_block_head head;
	struct ts_block_process process;
	struct ts_block_lane lane;
	struct ts_block_epochs epochs;
	struct ts_block_thread thread;
	struct ts_block_sites sites;
	struct ts_block_module module;
	struct ts_block_labels labels;
	struct ts_block_heaps heaps;
	struct ts_block_header header;
	struct ts_block_fields fields;
	struct ts_block_classes classes;
	struct ts_block_failures failures;
	struct ts_block_closes closes;
	struct ts_block_histograms histograms;
	struct ts_block_label label;
	struct ts_block_chunks chunks;
	ts_a64 words[TS_BLOCKREAD_SLOTS_MAX * TS_BLOCK_BYTES / sizeof(ts_a64)];
};

/* Whether a block of this kind may have this length, in units. */
static inline bool ts_blockread_length_ok(uint32_t kind, uint32_t slots)
{
	return kind == TS_BLOCK_THREAD ? slots >= 2 && slots <= TS_BLOCKREAD_SLOTS_MAX :
					 slots >= 1 && slots <= 2;
}

/*
 * How long the rows of a segment's words are. A library of a later minor may have appended words to them, which
 * a reader passes over; one of an earlier minor lacks some, which read as 0.
 */
struct ts_shape {
	uint16_t row_bytes[TS_SCOPES]; /* by enum ts_field_scope */
	bool own;                      /* as in this reader */
};
/* As this file was compiled. */
extern const struct ts_shape ts_blockread_own;
/* False: makes no sense. */
bool ts_blockread_shape(const struct ts_block_header *header, struct ts_shape *shape);

/*
 * Copies the first `slots` units of a block, at most TS_BLOCKREAD_SLOTS_MAX. False: its identity changed
 * under each of eight tries, and the copy may mix two of them.
 */
bool ts_blockread_copy(const void *block, unsigned slots, union ts_block_copy *copy);
/* The same from a segment of another shape; the copy is of the own one. */
bool ts_blockread_refit(const void *block, unsigned slots, const struct ts_shape *shape,
			union ts_block_copy *copy);

static inline bool ts_blockread_fit(const void *block, unsigned slots, const struct ts_shape *shape,
				    union ts_block_copy *copy)
{
	return __builtin_expect(shape->own, 1) ? ts_blockread_copy(block, slots, copy) :
						 ts_blockread_refit(block, slots, shape, copy);
}

/* Sums over lanes. In the order of a block's words, so that they are added as vectors. */
struct ts_class_sum {
	uint64_t allocs;
	uint64_t frees;
};

struct ts_lane_sum {
	uint64_t lanes; /* bound to an epoch */
	uint64_t held;
	uint64_t enters; /* since the lanes were bound */
	uint64_t exits;
	uint64_t all_enters; /* of all epochs that the lanes were bound to */
	uint64_t all_exits;
	uint64_t open_scopes;
	uint64_t chunk_bytes;
	uint64_t large_bytes;
	uint64_t large_allocs;
	uint64_t large_frees;
	uint64_t slow_hits;
	uint64_t slow_misses;
	uint64_t collected;
	uint64_t trims;
	uint64_t units_live;
	struct ts_class_sum cls[TS_CLASS_COUNT];
	uint64_t units[TS_CLASS_COUNT];
};

/* to[i] += from[i]; a vector where the number is a constant. */
static inline __attribute__((always_inline)) void
ts_add_words(uint64_t *restrict to, const uint64_t *restrict from, size_t words)
{
#pragma GCC unroll 4
	for (size_t i = 0; i < words; i++)
		to[i] += from[i];
}

/* And of sums: all their members are such words. */
void ts_lane_sum_add(struct ts_lane_sum *to, const struct ts_lane_sum *from);

void ts_blockread_add_lane(struct ts_lane_sum *sum, const struct ts_block_lane *lane);
/* Of one that a thread keeps for reuse: the units that are not in a sum. */
void ts_blockread_add_resting(uint64_t units[TS_CLASS_COUNT], const struct ts_block_lane *lane);

/* What threads count, or keep, each for itself; of *_max words the largest. */
struct ts_thread_sum {
	uint64_t threads; /* that have not ended */
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(THREAD, scope, uint64_t name;)
#include "core/words.def"
};

void ts_blockread_add_thread(struct ts_thread_sum *sum, const struct ts_block_thread *thread);

/* Counters of a size class, with those that threads keep for themselves. */
struct ts_class_counts {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(CLASS, scope, uint64_t name;)
#include "core/words.def"
};

void ts_blockread_add_classes(struct ts_class_counts counts[TS_CLASS_ROWS],
			      const struct ts_block_classes *block);
void ts_blockread_add_thread_classes(struct ts_class_counts counts[TS_CLASS_ROWS],
				     const struct ts_block_thread *thread);

/* Every slow path counts as one of three. */
static inline uint64_t ts_class_slow_hits(const struct ts_class_counts *counts)
{
	return counts->slow_others + counts->slow_reused + counts->slabs_opened;
}

/* a - b, or 0: what is read beside running threads may lag, and a foreign segment may lie. */
static inline uint64_t ts_minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

uint64_t ts_lane_sum_allocs(const struct ts_lane_sum *sum);
uint64_t ts_lane_sum_frees(const struct ts_lane_sum *sum);
uint64_t ts_lane_sum_live_objects(const struct ts_lane_sum *sum);
uint64_t ts_lane_sum_live_bytes(const struct ts_lane_sum *sum, const uint32_t *class_bytes);

#endif
