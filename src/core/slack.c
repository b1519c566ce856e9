/* SPDX-License-Identifier: MIT */
#include "slack.h"

#include "epoch.h"

static void set(struct ts_lane *lane, uint32_t chunks)
{
	lane->slack_chunks = ts_chunk_lend(lane->slack_chunks, chunks);
}

/*
 * Chunks of slack, as the lane's classes are, that have no more slots than TS_SLACK_SLOTS. A chunk of small objects
 * costs each of them little when it moves, and comes back with its slots in order; slots that stay keep the order in
 * which they were freed, and beyond the caches that costs more.
 */
static uint32_t most_chunks(const struct ts_lane *lane)
{
	uint64_t slots = 0;

	for (uint64_t rest = lane->classes; rest; rest &= rest - 1)
		slots += ts_lane_class_slots(lane, (unsigned)__builtin_ctzll(rest));
	return slots ? (uint32_t)(TS_SLACK_SLOTS * lane->chunk_count / slots) : 0;
}

static void begin_window(struct ts_lane *lane)
{
	lane->least_listed_bytes = lane->listed_bytes;
	lane->reused_bytes = lane->recent_bytes = 0;
	lane->missed_chunks = 0;
}

uint32_t ts_slack_learn(struct ts_lane *lane)
{
	uint32_t want = lane->slack_chunks + lane->regretted_chunks;
	uint32_t most = want ? most_chunks(lane) : 0;

	if (!ts_lane_never_ends(lane) || ts_epoch_limited(lane)) {
		ts_slack_end(lane);
		return 0;
	}
	/* Asked each time: all lanes together may have less than when it was granted. */
	if (want)
		set(lane, want < most ? want : most);
	if (lane->regretted_chunks)
		begin_window(lane);
	lane->regretted_chunks = 0;
	return lane->slack_chunks;
}

/* It does not serve what is allocated, which is of other classes; or memory has become limited. */
bool ts_slack_unsuitable(const struct ts_lane *lane)
{
	bool missed = lane->missed_chunks > lane->slack_chunks / 4;

	return lane->slack_chunks && (missed || ts_epoch_limited(lane));
}

void ts_slack_review(struct ts_lane *lane)
{
	uint64_t idle = lane->least_listed_bytes / TS_CHUNK_BYTES;
	uint32_t had = lane->slack_chunks;

	set(lane, idle < had ? had - (uint32_t)idle : 0);
	begin_window(lane);
	if (lane->slack_chunks < had)
		lane->trim_at_bytes = 0; /* the free that asked for this looks for it */
}

bool ts_slack_give_up(struct ts_lane *lane)
{
	if (!lane->slack_chunks)
		return false;
	ts_lane_trim_all(lane);
	return true;
}

void ts_slack_end(struct ts_lane *lane)
{
	lane->returned_chunks = lane->regretted_chunks = 0;
	if (lane->slack_chunks)
		set(lane, 0);
	begin_window(lane);
}

void ts_slack_forget(struct ts_lane *lane)
{
	lane->returned_chunks = lane->regretted_chunks = lane->slack_chunks = 0;
}
