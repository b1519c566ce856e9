/* SPDX-License-Identifier: MIT */
/*
 * redzone.h: builds that find overflows and uses after free: configure --enable-debug=4 (canaries, poison),
 * --with-sanitizer=address, --enable-valgrind. In others nothing is left of a call.
 *
 * An object gets a red zone: its slot behind the bytes that were asked for, TS_REDZONE_BYTES at least, so
 * that in these builds an object may be of a larger class. ts_range.redzones has a word for each granule; that
 * of an object's first one says how many bytes were asked for and where its scope was entered, and outlives
 * the free. How the bytes are marked is up to the kind of build; with canaries the marks are looked at when
 * the object is freed, when its slot is handed out again, and by walks when the epoch is closed or discarded.
 *
 * Allocations take the slow path, as while sampling (sample.h): the fast one knows no red zones.
 */
#ifndef TS_CORE_REDZONE_H
#define TS_CORE_REDZONE_H

#include "config.h" /* TSLAB_REDZONE */
#include "lane.h"

#define TS_REDZONE_CANARIES 1
#define TS_REDZONE_ASAN 2
#define TS_REDZONE_VALGRIND 3

#if TSLAB_REDZONE
#define TS_REDZONE_BYTES 16u

/* An allocation has got its slot. `pc`: the program's call, or NULL. */
void ts_redzone_arm(void *p, size_t bytes, const void *pc);
/* Before slot t is freed, by whoever frees it. */
void ts_redzone_disarm(uint64_t t);
/* The same for a pointer that may be anything. */
void ts_redzone_free(const void *p);
/* The object goes on with another length; its slot had so many bytes. Returns p. */
void *ts_redzone_resize(void *p, size_t bytes, size_t slot_bytes);
/* Bytes that the object at t may use, in a slot of so many. */
size_t ts_redzone_usable(uint64_t t, size_t slot_bytes);
/* Units that became a slab: no slot of it is anybody's. */
void ts_redzone_open(uint32_t first_unit, unsigned units);
/* Holder: look at all slots; at those of a chunk that is given back. */
void ts_redzone_check(struct ts_lane *lane);
void ts_redzone_check_chunk(uint32_t chunk);
/* Holder: the same, and what is live goes with its epoch. */
void ts_redzone_discard(struct ts_lane *lane);
/* Free chunks that keep their bytes, and free ones that are wanted again. Whoever owns them. */
void ts_redzone_put(uint32_t start, uint32_t chunks);
void ts_redzone_take(uint32_t start, uint32_t chunks);
/* Fork recovery: words that other threads of the parent were busy with. */
void ts_redzone_recover(void);
#else
#define TS_REDZONE_BYTES 0u

static inline void ts_redzone_arm(void *p, size_t bytes, const void *pc)
{
	(void)p;
	(void)bytes;
	(void)pc;
}

static inline void ts_redzone_disarm(uint64_t t)
{
	(void)t;
}

static inline void ts_redzone_free(const void *p)
{
	(void)p;
}

static inline void *ts_redzone_resize(void *p, size_t bytes, size_t slot_bytes)
{
	(void)bytes;
	(void)slot_bytes;
	return p;
}

static inline size_t ts_redzone_usable(uint64_t t, size_t slot_bytes)
{
	(void)t;
	return slot_bytes;
}

static inline void ts_redzone_open(uint32_t first_unit, unsigned units)
{
	(void)first_unit;
	(void)units;
}

static inline void ts_redzone_check(struct ts_lane *lane)
{
	(void)lane;
}

static inline void ts_redzone_check_chunk(uint32_t chunk)
{
	(void)chunk;
}

static inline void ts_redzone_discard(struct ts_lane *lane)
{
	(void)lane;
}

static inline void ts_redzone_put(uint32_t start, uint32_t chunks)
{
	(void)start;
	(void)chunks;
}

static inline void ts_redzone_take(uint32_t start, uint32_t chunks)
{
	(void)start;
	(void)chunks;
}

static inline void ts_redzone_recover(void)
{
}
#endif

#endif
