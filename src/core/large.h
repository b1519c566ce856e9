/* SPDX-License-Identifier: MIT */
/*
 * large.h: objects above 32 KiB: runs of whole chunks that belong to a lane. The first granule of the
 * run is the object's one slot, so frees, double frees and remote frees go the same way as for small
 * objects; the memory goes back at once, to the thread's cache, the pool or the OS (chunk.h).
 */
#ifndef TS_CORE_LARGE_H
#define TS_CORE_LARGE_H

#include "lane.h"

/* Holder. NULL with errno ENOMEM. `align` a power of two up to 4 MiB. */
void *ts_large_alloc(struct ts_lane *lane, size_t bytes, size_t align);
/* Holder, after the slot's local bit was set: seal, unlink, return the chunks. */
void ts_large_release(struct ts_lane *lane, uint64_t t);
/* Holder: make the object at least `bytes` long where it is. */
bool ts_large_grow(struct ts_lane *lane, uint64_t t, size_t bytes);
/* Bytes that the object at t may use. */
size_t ts_large_usable(uint64_t t);

/* Length of the slot at t, whatever it is. */
static inline size_t ts_slot_bytes(const struct ts_bin *bin, uint64_t t)
{
	const struct ts_lane *lane = ts_lane_of_bin(bin);

	return bin == &lane->large ? ts_large_usable(t) :
				     ts_sizeclasses[ts_lane_class(lane, bin)].bytes;
}

#endif
