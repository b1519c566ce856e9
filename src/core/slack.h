/* SPDX-License-Identifier: MIT */
/*
 * slack.h: how much empty memory the lane of a default epoch keeps to itself.
 *
 * A program that fills and empties its memory in turn wants back what it frees, and a chunk that goes to the pool and
 * comes back costs as much as tens of objects do. So a lane learns: what it gave back and took again it may keep the
 * next time, within what all lanes together may (ts_chunk_lend). What it did not touch for long goes, by the low-water
 * mark of its free memory, and all of it when it does not serve what is allocated, or memory is short. Only lanes that
 * never end and whose memory is not limited have any slack.
 */
#ifndef TS_CORE_SLACK_H
#define TS_CORE_SLACK_H

#include "lane.h"

/* A review comes when so many times the slack has been used again, or so much. */
#define TS_SLACK_TURNS 256
#define TS_SLACK_REVIEW_BYTES ((uint64_t)4 << 30)

/* In all of a lane's slack: a cache line of each is a second-level cache full. */
#define TS_SLACK_SLOTS ((uint64_t)16384)

static inline uint64_t ts_slack_bytes(const struct ts_lane *lane)
{
	return (uint64_t)lane->slack_chunks * TS_CHUNK_BYTES;
}

/* Holder: a chunk came from the pool. */
static inline void ts_slack_taken(struct ts_lane *lane)
{
	/* While little lies empty there is too little slack, and not the wrong one. */
	lane->missed_chunks += lane->listed_bytes >= ts_slack_bytes(lane) / 2;
	if (!lane->returned_chunks)
		return;
	lane->returned_chunks--;
	lane->regretted_chunks++;
}

/* Holder: so much of what was freed serves again. */
static inline void ts_slack_reused(struct ts_lane *lane, uint64_t bytes)
{
	lane->reused_bytes += bytes;
	lane->recent_bytes += bytes;
	if (lane->recent_bytes <= ts_slack_bytes(lane))
		return;
	lane->recent_bytes = 0;
	lane->missed_chunks /= 2;
}

/* Holder, at a trim: as much more as was given back in vain since the last one. Empty chunks that may stay. */
uint32_t ts_slack_learn(struct ts_lane *lane);

/* Holder, every now and then: what was not used for long is no slack any more. */
void ts_slack_review(struct ts_lane *lane);

static inline bool ts_slack_review_due(const struct ts_lane *lane)
{
	uint64_t turns = ts_slack_bytes(lane) * TS_SLACK_TURNS;

	return turns &&
	       lane->reused_bytes > (turns < TS_SLACK_REVIEW_BYTES ? turns : TS_SLACK_REVIEW_BYTES);
}

/* Holder, when nothing at hand serves a class: what is kept empty would rather be elsewhere. */
bool ts_slack_unsuitable(const struct ts_lane *lane);

/* Holder: all that is empty goes to where the lane, and others, may take it. False: there was no slack. */
bool ts_slack_give_up(struct ts_lane *lane);

/* Holder: nothing empty is kept from the next trim on. */
void ts_slack_end(struct ts_lane *lane);
/* Fork recovery: the pool has forgotten what it lent. */
void ts_slack_forget(struct ts_lane *lane);

#endif
