/* SPDX-License-Identifier: MIT */
#include "owner.h"

#include "lock.h"
#include "range.h"

/* Changed under ts_lock_meta: where the next group goes. */
static struct ts_block_chunks *block;
static unsigned groups;

/* NULL: no memory. Tried again by the next chunk of the group. */
static ts_a32 *make_group(uint64_t chunk)
{
	ts_a64 *owners = &ts_range_free(chunk)->owners;
	ts_a32 *lanes;

	ts_lock(&ts_lock_meta);
	lanes = (ts_a32 *)ts_a64_load_rlx(owners);
	if (!lanes && (!block || groups == TS_CHUNK_GROUPS_PER_BLOCK)) {
		block = ts_block_get(TS_BLOCK_CHUNKS, 1);
		groups = 0;
	}
	if (!lanes && block) {
		lanes = block->lane[groups];
		ts_a64_store_rlx(&block->group[groups++], chunk / TS_CHUNK_GROUP + 1);
		ts_a64_store_rel(owners, (uintptr_t)lanes); /* ORD-20 */
	}
	ts_unlock(&ts_lock_meta);
	return lanes;
}

void ts_owner_show(uint32_t chunk, uint32_t chunks, uint32_t lane)
{
	uint64_t end = (uint64_t)chunk + chunks;

	for (uint64_t at = chunk; at < end;) {
		uint64_t stop = (at / TS_CHUNK_GROUP + 1) * TS_CHUNK_GROUP;
		/* ORD-20 acquire */
		ts_a32 *lanes = (ts_a32 *)ts_a64_load_acq(&ts_range_free(at)->owners); /* ORD-20 */

		if (!lanes && lane)
			lanes = make_group(at);
		for (stop = stop < end ? stop : end; at < stop; at++)
			if (lanes)
				ts_a32_store_rlx(&lanes[at % TS_CHUNK_GROUP], lane);
	}
}
