/* SPDX-License-Identifier: MIT */
/* owners.h: which epoch each chunk of the heaps' address range belongs to. A look of its own: few want it. */
#ifndef TS_OBS_OWNERS_H
#define TS_OBS_OWNERS_H

#include "obs/snapshot.h"

/* A lane of the snapshot, by number. */
struct ts_owner {
	uint32_t lane;
	struct ts_epoch_view *epoch;
};

struct ts_owners {
	const struct ts_snapshot *snapshot;
	struct ts_owner *owner;
	size_t count;
};

/*
 * Of a snapshot that was read from these chunks. False: they do not say (a library before minor 3 of the
 * format), or no memory. Free with ts_owners_free in either case.
 */
bool ts_owners_read(struct ts_owners *owners, struct ts_snapshot *snapshot,
		    const struct ts_chunk_view *chunks, size_t chunk_count);
void ts_owners_free(struct ts_owners *owners);

/* The epoch of the snapshot that a chunk of the range belongs to, or NULL. */
struct ts_epoch_view *ts_owners_find(const struct ts_owners *owners, uint64_t chunk);

#endif
