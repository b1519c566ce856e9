/* SPDX-License-Identifier: MIT */
/*
 * slack.h: how much empty memory the lane of a default epoch keeps to itself.
 *
 * A program that fills and empties its memory in turn wants back what it frees, and a chunk that goes to the pool and
 * comes back costs as much as tens of objects do. So a lane learns: what it gave back and took again it may keep the
 * next time, within what all lanes together may (ts_chunk_lend). What it did not touch for long goes, by the low-water
 * mark of its free memory, and all of it when it does not serve what is allocated. Only lanes that never end and whose
 * memory is not limited have any slack.
 */
#ifndef TS_CORE_SLACK_H
#define TS_CORE_SLACK_H

#include "lane.h"

/* A review comes when so many times the slack has been used again. */
#define TS_SLACK_TURNS 256

/* Holder: a chunk came from the pool. */
static inline void ts_slack_taken(struct ts_lane *lane)
{
	lane->missed_chunks++;
	if (!lane->returned_chunks)
		return;
	lane->returned_chunks--;
	lane->regretted_chunks++;
}

/* Holder, at a trim: as much more as was given back in vain since the last one. Empty chunks that may stay. */
uint32_t ts_slack_learn(struct ts_lane *lane);

/* Holder, every now and then: what was not used for long goes back to the pool's allowance. */
void ts_slack_review(struct ts_lane *lane);

/* Holder, before a fresh chunk: what is kept empty would rather be elsewhere. */
bool ts_slack_unsuitable(const struct ts_lane *lane);

static inline bool ts_slack_review_due(const struct ts_lane *lane)
{
	uint64_t slack_bytes = (uint64_t)lane->slack_chunks * TS_CHUNK_BYTES;

	return slack_bytes && lane->reused_bytes > slack_bytes * TS_SLACK_TURNS;
}

/* Holder: nothing empty is kept from here on. */
void ts_slack_end(struct ts_lane *lane);
/* Fork recovery: the pool has forgotten what it lent. */
void ts_slack_forget(struct ts_lane *lane);

#endif
