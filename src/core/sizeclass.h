/* SPDX-License-Identifier: MIT */
/*
 * sizeclass.h: sizes up to 32 KiB in 40 classes. A class index is a stable id, not an order: 0-7 are
 * the sizes that tools know from the start of the project, the others are appended. A slab of a class
 * is one 8 KiB unit or a run of up to 5, so that at most an eighth of it is waste.
 */
#ifndef TS_CORE_SIZECLASS_H
#define TS_CORE_SIZECLASS_H

#include <stddef.h>
#include <stdint.h>

#include "blocks.h"

#define TS_GRANULE_SHIFT 4
#define TS_GRANULE_BYTES 16u
#define TS_UNIT_SHIFT 13
#define TS_UNIT_BYTES 8192u
#define TS_UNIT_GRANULES 512u
#define TS_UNIT_NODES 8u
#define TS_SMALL_MAX_BYTES 32768u
#define TS_SLAB_UNITS_MAX 5u

/* Index of the bin that is always empty: allocation lands there while a lane is gated. */
#define TS_CLASS_GATE TS_CLASS_COUNT

struct ts_sizeclass {
	uint32_t bytes;      /* of a slot */
	uint16_t slab_units; /* units of a slab */
	uint16_t slab_slots;
	uint64_t slab_bytes; /* of all slots of a slab */
};

extern TS_HIDDEN const struct ts_sizeclass ts_sizeclasses[TS_CLASS_COUNT];
/*
 * Where the counters of a size's class lie in a lane's block, class * TS_PLACE_BYTES, by the size in granules,
 * 0 to 2048; its bin lies twice as far in the lane. The gated table sends every size to TS_CLASS_GATE.
 */
#define TS_PLACE_BYTES 16u
extern TS_HIDDEN uint16_t ts_sizeclass_of[TS_SMALL_MAX_BYTES / TS_GRANULE_BYTES + 1];
extern TS_HIDDEN const uint16_t ts_sizeclass_gated[TS_SMALL_MAX_BYTES / TS_GRANULE_BYTES + 2];
/* The same by another address: the slow path allocates after all (sample.h). */
#define ts_sizeclass_sampled (ts_sizeclass_gated + 1)
/* Local bits of a fresh slab: 0 where a slot starts, 1 elsewhere. */
extern TS_HIDDEN uint64_t ts_sizeclass_template[TS_CLASS_COUNT][TS_SLAB_UNITS_MAX * TS_UNIT_NODES];
/* Bit = node of a slab in which a slot starts. */
extern TS_HIDDEN uint64_t ts_sizeclass_start_nodes[TS_CLASS_COUNT];

_Static_assert(64 >= TS_SLAB_UNITS_MAX * TS_UNIT_NODES, "a slab's nodes have a bit each");

static inline size_t ts_sizeclass_place(size_t bytes)
{
	return ts_sizeclass_of[(bytes + TS_GRANULE_BYTES - 1) >> TS_GRANULE_SHIFT];
}

static inline unsigned ts_sizeclass_find(size_t bytes)
{
	return (unsigned)(ts_sizeclass_place(bytes) / TS_PLACE_BYTES);
}

/*
 * The size whose class holds `bytes` at a multiple of `align`, a power of two up to 8 KiB: a class that is a
 * multiple of it holds so much at least, and the smallest class for a multiple is one. Above 256 bytes the four
 * classes of an octave are an eighth of its end apart, so either all are multiples, or of the multiples each has
 * its own class; below, each multiple of 32 up to 128 and of 64 up to 256 has.
 */
static inline size_t ts_sizeclass_aligned_bytes(size_t bytes, size_t align)
{
	return (bytes + !bytes + align - 1) & ~(align - 1);
}

_Static_assert(sizeof(struct ts_sizeclass) == TS_PLACE_BYTES, "classes are found by place as well");

/* What a slab's slots take, by the place of the class. */
static inline uint64_t ts_sizeclass_slab_bytes(size_t place)
{
	return *(const uint64_t *)((const char *)&ts_sizeclasses[0].slab_bytes + place);
}

/* Fills the tables; once, before the first allocation. */
void ts_sizeclass_start(void);

#endif
