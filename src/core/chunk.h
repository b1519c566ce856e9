/* SPDX-License-Identifier: MIT */
/*
 * chunk.h: 64 KiB chunks: the pool of all free ones, and the small cache of each thread.
 *
 * What lies in a cache holds memory; what lies in the pool does not (it was purged before it came there,
 * or never touched), but for as much as retain.h allows of what is freed in a default epoch: that
 * never ends, so there is no moment at which the program expects its memory to be back at the OS. The same
 * goes for what a thread had in its cache when it ended: another one begins, as a rule.
 */
#ifndef TS_CORE_CHUNK_H
#define TS_CORE_CHUNK_H

#include "failure.h"
#include "range.h"

struct ts_thread;

#define TS_CACHE_RUNS 32

struct ts_chunk_cache {
	uint32_t count;
	uint32_t start[TS_CACHE_RUNS];
	uint32_t chunks[TS_CACHE_RUNS];
};

/* Neighbouring chunks on their way back, so that one madvise serves them all. */
struct ts_chunk_batch {
	uint32_t start;
	uint32_t chunks;
	bool keep; /* the pool may hold it as it is */
};

/* Sets up the pool. 0 or -ENOMEM. */
int ts_chunk_start(void);

/*
 * A run of chunks, its first index a multiple of `align_chunks`, for a size class or TS_CLASS_LARGE.
 * `thread` may be NULL. Returns 0 and why if the range is used up or the OS refuses.
 */
uint32_t ts_chunk_take(struct ts_thread *thread, uint32_t chunks, uint32_t align_chunks,
		       unsigned cls, enum ts_failure *why);

/* Extends a large object's run in place by `more` chunks if they are free. */
bool ts_chunk_extend(uint32_t start, uint32_t chunks, uint32_t more);

/* Returns a run: into the thread's cache if that stays within `retain_bytes`, else to the pool. */
void ts_chunk_put(struct ts_thread *thread, uint64_t retain_bytes, uint32_t start, uint32_t chunks,
		  struct ts_chunk_batch *batch);
/* To the OS; for what no class gives back. */
void ts_chunk_drop(uint32_t start, uint32_t chunks, struct ts_chunk_batch *batch);
void ts_chunk_flush(struct ts_chunk_batch *batch);

/* See ts_retain_exactly. */
void ts_chunk_keep(uint64_t bytes);
/* What it holds goes to the OS. */
void ts_chunk_purge_pool(void);
/*
 * A lane may keep `want` empty chunks, where it might keep `had`; all lanes together up to half of what the pool may
 * hold at least, and a sixteenth of the range. Returns how many are granted.
 */
uint32_t ts_chunk_lend(uint32_t had, uint32_t want);
/* After fork: the gauge of what it holds; nothing is lent. */
void ts_chunk_recover(void);
/* Whom the returns of the chunk are charged to, before the first slab is known. */
void ts_chunk_charge_to(uint32_t chunk, unsigned cls);
/*
 * Before a unit of the chunk gets a header, of a slab or of a large object: all its nodes are sealed. Does nothing
 * from the second time on, since what serves and comes back is sealed again.
 */
void ts_chunk_seal(uint32_t chunk);

/* Empties a thread's cache. */
void ts_chunk_cache_drain(struct ts_thread *thread);

/* For the child of fork: what the pool knows. */
uint32_t ts_chunk_end(void);
bool ts_chunk_pooled(uint32_t chunk);

/* True if the run reads as zeroes. */
bool ts_chunk_zeroed(uint32_t start, uint32_t chunks);

#endif
