/* SPDX-License-Identifier: MIT */
#include "ring.h"

/* False: no memory that a reader could see. */
static bool make_blocks(struct ts_ring *ring)
{
	for (uint32_t i = (ring->kept + ring->per_block - 1) / ring->per_block; i-- > 0;) {
		struct ts_block_head *block;

		if (ts_a64_load_rlx(&ring->blocks[i]))
			continue;
		block = ts_block_get(ring->kind, 1);
		if (!block)
			return false;
		/* ORD-20 release. Two threads may both make one: the loser's stays empty. */
		ts_a64_store_rel(&ring->blocks[i], (uintptr_t)block);
	}
	return true;
}

ts_a64 *ts_ring_begin(struct ts_ring *ring)
{
	uint64_t number = ts_a64_add_rlx(&ring->numbers, 1) + 1;
	uint32_t place = (uint32_t)((number - 1) % ring->kept);
	uint64_t block, old;
	ts_a64 *entry;

	/* Block 0 is made last. ORD-20 acquire. */
	if (!ts_a64_load_acq(&ring->blocks[0]) && !make_blocks(ring))
		return NULL;
	block = ts_a64_load_acq(&ring->blocks[place / ring->per_block]); /* ORD-20 */
	entry = (ts_a64 *)((struct ts_block_head *)block + 1) +
		(size_t)(place % ring->per_block) * ring->words;
	/* ORD-21 acquire: the words of the entry's last event were all written. */
	old = ts_a64_load_acq(&entry[ring->words - 1]);
	return ts_a64_cas_acq(entry, &old, number) ? entry : NULL;
}

void ts_ring_end(const struct ts_ring *ring, ts_a64 *entry)
{
	/* ORD-21 release: the last word says that the others are there. */
	ts_a64_store_rel(&entry[ring->words - 1], ts_a64_load_rlx(entry));
}
