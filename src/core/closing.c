/* SPDX-License-Identifier: MIT */
#include "closing.h"

#include <string.h>

#include "histogram.h"
#include "os.h"
#include "process.h"
#include "ring.h"

#define PROBE_BYTES ((uint64_t)16 << 20)

static struct ts_ring closes = {
	.kind = TS_BLOCK_CLOSES,
	.kept = TS_CLOSES_KEPT,
	.per_block = TS_CLOSES_PER_BLOCK,
	.words = sizeof(struct ts_close_words) / sizeof(ts_a64),
};

static bool probes_rss(uint64_t held_bytes)
{
	switch (ts_control_rss_probe()) {
	case TS_RSS_PROBE_ALWAYS:
		return true;
	case TS_RSS_PROBE_NEVER:
		return false;
	default:
		return held_bytes >= PROBE_BYTES;
	}
}

/*
 * Threads may be at work in these lanes: what they do meanwhile may be missed. Without a reference the epoch may end
 * meanwhile, and the list lead into another one's: only what names this epoch is looked at.
 */
static void count_live(struct ts_closing *closing, const struct ts_epoch *epoch)
{
	uint64_t link = ts_a64_load_acq(&epoch->lanes); /* ORD-12 acquire */

	while (link) {
		const struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);
		const struct ts_lane_words *w;

		if (ts_a64_load_acq(&lane->epoch_id) != closing->epoch_id) /* ORD-22 acquire */
			return;
		w = &lane->stat->w;
		closing->live_objects +=
			ts_a64_load_rlx(&w->large_allocs) - ts_a64_load_rlx(&w->large_frees);
		closing->live_bytes += ts_a64_load_rlx(&w->large_bytes);
		for (unsigned c = 0; c < TS_CLASS_COUNT; c++) {
			uint64_t live = ts_lane_class_live(lane, c);

			closing->live_objects += live;
			closing->live_bytes += live * ts_sizeclasses[c].bytes;
		}
		link = ts_a32_load_rlx(&lane->next_in_epoch);
	}
}

static uint64_t purge_ns(void)
{
	return ts_tls.self ? ts_tls.self->purges.ns : 0;
}

void ts_closing_begin(struct ts_closing *closing, const struct ts_epoch *epoch, uint64_t id,
		      enum ts_ended_by by)
{
	const struct ts_epoch_words *w = epoch->stat;

	memset(closing, 0, sizeof(*closing));
	closing->epoch_id = id;
	closing->what = by | ts_a64_load_rlx(&w->ring_index) << 8 |
			ts_a64_load_rlx(&w->heap_id) << 16;
	ts_epoch_label_words(epoch, closing->label);
	closing->open_since_ns = ts_a64_load_rlx(&w->open_since_ns);
	closing->held_bytes = ts_a64_load_rlx(&epoch->charged_bytes);
	count_live(closing, epoch);
	if (probes_rss(closing->held_bytes))
		closing->rss_before = ts_os_rss_bytes();
	if (ts_tls.self) {
		closing->purge_calls = ts_tls.self->purges.calls;
		closing->purge_bytes = ts_tls.self->purges.bytes;
		closing->purge_ns = ts_tls.self->purges.ns;
	}
	closing->began_ns = ts_os_clock_ns();
}

/* 0 once the epoch is over. */
static uint64_t bytes_left(uint64_t id)
{
	const struct ts_epoch *epoch = ts_epoch_find(id);
	uint64_t bytes = epoch ? ts_a64_load_rlx(&epoch->charged_bytes) : 0;

	return ts_epoch_find(id) ? bytes : 0;
}

static void put_event(struct ts_close_words *event, const struct ts_closing *closing, uint64_t ns)
{
	const struct ts_thread *self = ts_tls.self;

	ts_ring_put(event, epoch_id, closing->epoch_id);
	ts_ring_put(event, what, closing->what);
	ts_ring_put(event, open_since_ns, closing->open_since_ns);
	ts_ring_put(event, time_ns, ts_os_coarse_ns());
	ts_ring_put(event, duration_ns, ns);
	ts_ring_put(event, purge_ns, self ? self->purges.ns - closing->purge_ns : 0);
	ts_ring_put(event, live_objects, closing->live_objects);
	ts_ring_put(event, live_bytes, closing->live_bytes);
	ts_ring_put(event, held_bytes, closing->held_bytes);
	ts_ring_put(event, left_bytes, bytes_left(closing->epoch_id));
	ts_ring_put(event, purge_calls, self ? self->purges.calls - closing->purge_calls : 0);
	ts_ring_put(event, purge_bytes, self ? self->purges.bytes - closing->purge_bytes : 0);
	ts_ring_put(event, rss_before, closing->rss_before);
	ts_ring_put(event, rss_after, closing->rss_before ? ts_os_rss_bytes() : 0);
	ts_ring_put(event, label0, closing->label[0]);
	ts_ring_put(event, label1, closing->label[1]);
	ts_ring_put(event, label2, closing->label[2]);
	ts_ring_put(event, label3, closing->label[3]);
}

void ts_closing_end(const struct ts_closing *closing)
{
	uint64_t ns = ts_os_clock_ns() - closing->began_ns;
	struct ts_close_words *event = (struct ts_close_words *)ts_ring_begin(&closes);

	ts_histogram_count(TS_HISTOGRAM_CLOSE, ns);
	if (!event)
		return;
	put_event(event, closing, ns);
	ts_ring_end(&closes, (ts_a64 *)event);
}

/* -- by class ----------------------------------------------------------------------------------- */

void ts_settling_begin(struct ts_settling *settling, const struct ts_lane *lane)
{
	for (unsigned c = 0; c < TS_CLASS_COUNT; c++)
		settling->units[c] = ts_block_units(lane->stat, c);
	settling->purge_ns = purge_ns();
	settling->began_ns = ts_os_clock_ns();
}

void ts_settling_end(const struct ts_settling *settling, const struct ts_lane *lane)
{
	uint64_t ns = ts_os_clock_ns() - settling->began_ns - (purge_ns() - settling->purge_ns);
	bool empty = lane->settled == TS_SETTLED_EMPTY;
	uint64_t all = 0;

	for (unsigned c = 0; c < TS_CLASS_COUNT; c++)
		all += settling->units[c];
	for (unsigned c = 0; c < TS_CLASS_COUNT; c++) {
		uint64_t before = settling->units[c];
		uint64_t after = empty ? 0 : ts_block_units(lane->stat, c);

		if (!before)
			continue;
		ts_count_class(c, close_passes, 1);
		ts_count_class(c, close_scanned_units, before);
		ts_count_class(c, close_recycled_units, before - after);
		ts_count_class(c, close_ns, ns * before / all);
	}
}
