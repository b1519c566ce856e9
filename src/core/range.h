/* SPDX-License-Identifier: MIT */
/*
 * range.h: the one reserved address range that all heaps share, and the flat arrays that describe it.
 *
 * An address of ours is turned into a granule index t = (p - base) / 16 by one subtraction and one
 * rotation, which also sends every foreign and every misaligned address out of range. All metadata is
 * found from t by shifts; it lies outside the objects, is never purged and never moves, so any index
 * below ts_range.granules may be read at any time.
 *
 *   t >> 9   unit (8 KiB)     headers: address of the owner's bin, 0 = no slab
 *                             chain:   next slab of the same class and lane (first units only)
 *   t >> 6   node (1 KiB)     nodes, links (laneword.h)
 *   t >> 12  chunk (64 KiB)   chunks
 *   t >> 18  64 chunks        free:    which of them are free (chunk.c)
 *
 * Two of them at a time begin at one address in the middle of a page, one grows up and one down: what a
 * small process touches is the beginning of each, and a page may be 64 KiB. Those that grow down (links,
 * chain, free) are off the fast paths and have a call for an index. The beginnings lie at unrelated page and
 * line offsets: where arrays are a bare power of two apart, hot words of different ones evict each other.
 */
#ifndef TS_CORE_RANGE_H
#define TS_CORE_RANGE_H

#include "laneword.h"
#include "sizeclass.h"

#define TS_NODE_SHIFT 10
#define TS_CHUNK_SHIFT 16
#define TS_CHUNK_BYTES 65536u
#define TS_CHUNK_UNITS 8u
#define TS_CHUNK_GRANULES 4096u
#define TS_CHUNK_NODES 64u
#define TS_SEGMENT_BYTES ((uint64_t)4 << 20)
#define TS_SEGMENT_CHUNKS 64u

enum ts_chunk_state {
	TS_CHUNK_FREE = 0,  /* in the pool, or never used */
	TS_CHUNK_CACHED,    /* in a thread's cache */
	TS_CHUNK_SLABS,     /* units of one lane */
	TS_CHUNK_LARGE,     /* first chunk of an object above 32 KiB */
	TS_CHUNK_LARGE_TAIL /* the others */
};

struct ts_chunk {
	ts_a32 lane;     /* index + 1; 0 = none. Holder; read by handle frees */
	ts_a32 gen_base; /* added to each slot's generation; rises when handles must go stale */
	ts_a64 gens; /* ts_a32[TS_CHUNK_GRANULES], slot generations; 0 = no handle was ever issued here */
	ts_a32 state;  /* enum ts_chunk_state; owner writes, reports read */
	uint32_t next; /* in the lane's list; 0 = end */
	uint32_t prev;
	uint32_t live;        /* settled lanes only: live slots */
	uint32_t run_chunks;  /* TS_CHUNK_LARGE */
	uint64_t large_bytes; /* TS_CHUNK_LARGE: bytes asked for */
	uint8_t units_used;
	uint8_t handles_issued; /* since gen_base rose last */
	uint8_t empty;          /* trim's mark */
	uint8_t dirty;          /* may hold old bytes; 0 = reads as zeroes; see also redzone.h */
	uint8_t sealed;         /* its nodes are, but those where a slot starts now */
	/* Class of each unit's slab, now or last, or TS_CLASS_LARGE: whom a return is charged to. */
	uint8_t unit_class[TS_CHUNK_UNITS];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct ts_chunk) == 64, "chunks are indexed by a shift");

/* Of 64 chunks, a bit each. */
struct ts_free_words {
	uint64_t free;  /* in the pool */
	uint64_t dirty; /* ... and still holds memory */
	ts_a64 owners;  /* where their owners are shown (owner.h); 0 = nowhere yet */
};

struct ts_range {
	char *base;      /* a multiple of TS_SEGMENT_BYTES */
	ts_a64 granules; /* end of what is committed; 0 until the range exists */
	struct ts_node *nodes;
	ts_a64 *headers;
	struct ts_chunk *chunks;
	/* These grow down: the end of entry 0. */
	ts_a32 *links;
	ts_a32 *chain;
	struct ts_free_words *free;
	uint64_t chunk_count;
	/* nodes less what `base` adds to their index: found from an address without `base` */
	uintptr_t nodes_from_zero;
	ts_a64 *redzones; /* grows up, one for each granule, see redzone.h; of no use in builds without */
};

extern TS_HIDDEN struct ts_range ts_range;

/* Where in the range an address of the program's lies; beyond its end for all that are not ours. */
static inline uint64_t ts_range_offset(const void *p)
{
	return (uint64_t)((const char *)ts_arch_untag(p) - ts_range.base);
}

/* Granule index of an address; >= ts_range.granules for what is not an object start of ours. */
static inline uint64_t ts_range_granule(const void *p)
{
	uint64_t offset = ts_range_offset(p);

	return offset >> TS_GRANULE_SHIFT | offset << (64 - TS_GRANULE_SHIFT);
}

static inline void *ts_range_address(uint64_t t)
{
	return ts_range.base + (t << TS_GRANULE_SHIFT);
}

/* For addresses of ours only. */
static inline struct ts_node *ts_range_node_of(const void *p)
{
	return (struct ts_node *)(ts_range.nodes_from_zero +
				  ((uintptr_t)p >> TS_NODE_SHIFT) * sizeof(struct ts_node));
}

static inline ts_a32 *ts_range_link(uint64_t node)
{
	return ts_range.links - 1 - node;
}

static inline ts_a32 *ts_range_chain(uint64_t unit)
{
	return ts_range.chain - 1 - unit;
}

static inline struct ts_free_words *ts_range_free(uint64_t chunk)
{
	return ts_range.free - 1 - chunk / 64;
}

static inline void *ts_chunk_address(uint64_t chunk)
{
	return ts_range.base + (chunk << TS_CHUNK_SHIFT);
}

/* Reserves the range. 0 or -ENOMEM, then ts_range.granules stays 0. */
int ts_range_start(void);

/* Makes chunks [0, end_chunk) and their metadata writable. Pool lock held. 0 or -ENOMEM. */
int ts_range_commit(uint64_t end_chunk);

/*
 * An array of type-stable records: address space for `max`, memory as it grows. The size of a record is a
 * power of two; `stride` is that, or less than 0 for a table that grows down, from where its twin begins.
 * ts_table_grow: meta lock held; index of a fresh zeroed record, or -1. It counts from ts_table_publish on, which
 * follows as soon as what never changes in it is there: who walks the table takes no lock.
 */
struct ts_table {
	char *records; /* the first */
	int32_t stride;
	uint32_t max;
	ts_a32 count;
	size_t committed_bytes;
	struct ts_table *twin;
};

int64_t ts_table_grow(struct ts_table *table);
void ts_table_publish(struct ts_table *table);

static inline void *ts_table_at(const struct ts_table *table, uint32_t index)
{
	return table->records + (int64_t)index * table->stride;
}

#endif
