/* SPDX-License-Identifier: MIT */
#include "slack.h"

#include "epoch.h"

static void set(struct ts_lane *lane, uint32_t chunks)
{
	lane->slack_chunks = ts_chunk_lend(lane->slack_chunks, chunks);
	lane->least_listed_bytes = lane->listed_bytes;
	lane->reused_bytes = 0;
	lane->missed_chunks = 0;
}

uint32_t ts_slack_learn(struct ts_lane *lane)
{
	bool may = ts_lane_never_ends(lane) && !ts_epoch_limited(lane);

	if (!may)
		ts_slack_end(lane);
	else if (lane->regretted_chunks)
		set(lane, lane->slack_chunks + lane->regretted_chunks);
	lane->regretted_chunks = 0;
	return lane->slack_chunks;
}

/* It does not serve what is allocated, which is of other classes; or memory has become limited. */
bool ts_slack_unsuitable(const struct ts_lane *lane)
{
	uint64_t missed_bytes = (uint64_t)lane->missed_chunks * TS_CHUNK_BYTES;
	bool missed = lane->missed_chunks > lane->slack_chunks / 4 &&
		      missed_bytes > lane->reused_bytes / 4;

	return lane->slack_chunks && (missed || ts_epoch_limited(lane));
}

void ts_slack_review(struct ts_lane *lane)
{
	uint64_t idle = lane->least_listed_bytes / TS_CHUNK_BYTES;
	uint32_t kept = idle < lane->slack_chunks ? lane->slack_chunks - (uint32_t)idle : 0;

	if (kept < lane->slack_chunks)
		lane->trim_at_bytes = 0; /* to be looked for now */
	set(lane, kept);
}

void ts_slack_end(struct ts_lane *lane)
{
	lane->returned_chunks = lane->regretted_chunks = 0;
	if (lane->slack_chunks)
		set(lane, 0);
}

void ts_slack_forget(struct ts_lane *lane)
{
	lane->returned_chunks = lane->regretted_chunks = lane->slack_chunks = 0;
}
