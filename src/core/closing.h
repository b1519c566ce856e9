/* SPDX-License-Identifier: MIT */
/*
 * closing.h: what the end of an epoch takes and gives back.
 *
 * A close or discard that moves memory, or leaves objects or scopes behind, is recorded in a ring. One
 * that does neither, because nothing lives and the memory stays with the thread, is only counted: there
 * is nothing to tell, and to write it down would take as long as the call.
 */
#ifndef TS_CORE_CLOSING_H
#define TS_CORE_CLOSING_H

#include "control.h"
#include "heap.h"
#include "thread.h"

enum ts_ended_by { TS_ENDED_BY_CLOSE = 1, TS_ENDED_BY_DISCARD = 2 };

struct ts_closing {
	uint64_t epoch_id;
	uint64_t what;
	uint64_t label[4];
	uint64_t open_since_ns;
	uint64_t began_ns; /* CLOCK_MONOTONIC */
	uint64_t live_objects;
	uint64_t live_bytes;
	uint64_t held_bytes;
	uint64_t rss_before;
	uint64_t purge_calls, purge_bytes, purge_ns; /* of the thread so far */
};

/* Would ending the epoch give memory back? As ts_lane_put decides. */
static inline bool ts_closing_moves_memory(const struct ts_epoch *epoch)
{
	const struct ts_thread *thread = ts_tls.self;
	uint64_t held = ts_a64_load_rlx(&epoch->charged_bytes);

	return !thread || thread->ending || thread->warm_count >= TS_WARM_LANES ||
	       thread->retained_bytes + held > ts_epoch_heap(epoch)->retain_bytes ||
	       ts_control_rss_probe() == TS_RSS_PROBE_ALWAYS;
}

void ts_closing_begin(struct ts_closing *closing, const struct ts_epoch *epoch, uint64_t id,
		      enum ts_ended_by by);
void ts_closing_end(const struct ts_closing *closing);

/* A closing lane looks at its slabs: counted by class. */
struct ts_settling {
	uint32_t units[TS_CLASS_COUNT];
	uint64_t began_ns;
	uint64_t purge_ns;
};
void ts_settling_begin(struct ts_settling *settling, const struct ts_lane *lane);
void ts_settling_end(const struct ts_settling *settling, const struct ts_lane *lane);

#endif
