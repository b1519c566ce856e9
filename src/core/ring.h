/* SPDX-License-Identifier: MIT */
/*
 * ring.h: the last events of a kind, where other processes can read them.
 *
 * An entry is a row of words whose first and last are the event's number. The writer claims an entry by
 * its first word, fills it, and writes the last; a reader that copies from the last word to the first
 * and finds the same number in both has one whole event. Nobody waits: an event whose entry is still
 * being written by somebody else, a whole turn behind, is lost.
 */
#ifndef TS_CORE_RING_H
#define TS_CORE_RING_H

#include "blocks.h"

enum { TS_RING_BLOCKS_MAX = 24 };

struct ts_ring {
	enum ts_block_kind kind;
	uint32_t kept;                     /* entries */
	uint32_t per_block;                /* of them in a block */
	uint32_t words;                    /* of an entry */
	ts_a64 numbers;                    /* of events so far */
	ts_a64 blocks[TS_RING_BLOCKS_MAX]; /* struct ts_block_head *; made with the first event */
};

/* An entry to fill in by ts_ring_put, or NULL. */
ts_a64 *ts_ring_begin(struct ts_ring *ring);
void ts_ring_end(const struct ts_ring *ring, ts_a64 *entry);

/* ORD-21 release, each word: a reader that sees it sees the number in front. */
#define ts_ring_put(event, name, value) ts_a64_store_rel(&(event)->name, (uint64_t)(value))

#endif
