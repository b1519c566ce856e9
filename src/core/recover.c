/* SPDX-License-Identifier: MIT */
#include "recover.h"

#include "epoch.h"
#include "guard.h"
#include "heap.h"
#include "histogram.h"
#include "os.h"
#include "owner.h"
#include "process.h"
#include "redzone.h"
#include "slab.h"
#include "slack.h"
#include "stack.h"

enum fate {
	FATE_RESTING, /* nobody's: its chunks go to the pool */
	FATE_BOUND,   /* serves an epoch */
	FATE_OVER,    /* died, still on the list of an epoch that lives on */
	FATE_WARM,    /* in the survivor's cache, whole */
};

/* -- which lanes stay --------------------------------------------------------------------------- */

static bool epoch_lives(const struct ts_epoch *epoch)
{
	uint64_t e = ts_a64_load_rlx(&epoch->e);

	return ts_a64_load_rlx(&epoch->id) && ts_ew_state(e) != TS_EPOCH_FREE && (e & TS_EW_REFS);
}

static void decide_lanes_of(struct ts_epoch *epoch)
{
	uint64_t link = ts_a64_load_rlx(&epoch->lanes);

	while (link) {
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);
		bool over = ts_a64_load_rlx(&lane->w) & TS_LW_DEAD;

		lane->fate = over ? FATE_OVER : FATE_BOUND;
		link = ts_a32_load_rlx(&lane->next_in_epoch);
	}
}

static void decide_lanes(const struct ts_thread *survivor)
{
	uint32_t lanes = ts_a32_load_rlx(&ts_lanes.count);
	uint32_t slots = ts_a32_load_rlx(&ts_epochs.count);

	for (uint32_t i = 0; i < lanes; i++)
		ts_lane_at(i)->fate = FATE_RESTING;
	for (uint32_t slot = TS_EPOCH_SLOTS_RESERVED; slot < slots; slot++) {
		struct ts_epoch *epoch = ts_table_at(&ts_epochs, slot);

		if (epoch_lives(epoch))
			decide_lanes_of(epoch);
	}
	for (uint32_t link = survivor ? survivor->warm : 0; link;) {
		ts_lane_at(link - 1)->fate = FATE_WARM;
		link = ts_lane_at(link - 1)->next_free;
	}
}

/* -- chunks ------------------------------------------------------------------------------------- */

/* What it shows is counted anew; the child of a process that others can read finds nothing there anyway. */
static void clear_shown(struct ts_lane *lane)
{
	for (unsigned c = 0; c < TS_CLASS_COUNT; c++) {
		ts_block_put_units(lane->stat, c, 0);
		ts_a64_store_rlx(&lane->stat->cls[c].allocs, 0);
		ts_a64_store_rlx(&lane->stat->cls[c].frees, 0);
	}
	ts_words_clear(&lane->stat->w, sizeof(lane->stat->w));
}

static void empty_lane(struct ts_lane *lane)
{
	for (unsigned c = 0; c < TS_CLASS_COUNT; c++) {
		/* bump and end still say which slots were never handed out */
		ts_stack_forget(&lane->bin[c]);
		lane->first_slab[c] = lane->slab[c] = 0;
	}
	lane->classes = lane->bumped = lane->simple = lane->wide = 0;
	lane->listed_bytes = 0;
	lane->trim_at_bytes = TS_CHUNK_BYTES;
	ts_slack_forget(lane);
	lane->chunks = lane->chunk_count = lane->filling = lane->larges = 0;
	lane->unlisted = false;
	lane->settled = TS_NOT_SETTLED;
}

static struct ts_lane *lane_of_chunk(const struct ts_chunk *chunk)
{
	uint32_t link = ts_a32_load_rlx(&chunk->lane);

	return link && link <= ts_a32_load_rlx(&ts_lanes.count) ? ts_lane_at(link - 1) : NULL;
}

static bool cached(const struct ts_thread *survivor, uint32_t chunk)
{
	for (uint32_t i = 0; survivor && i < survivor->cache.count; i++)
		if (chunk - survivor->cache.start[i] < survivor->cache.chunks[i])
			return true;
	return false;
}

/* No owner: what its units said is void. */
static void release_chunk(uint32_t chunk, struct ts_chunk_batch *batch)
{
	uint32_t first = chunk * TS_CHUNK_UNITS;

	for (uint32_t u = first; u < first + TS_CHUNK_UNITS; u++)
		ts_a64_store_rlx(&ts_range.headers[u], 0);
	/* Before it serves again. */
	ts_range.chunks[chunk].sealed = 0;
	ts_slab_outdate_handles(chunk);
	ts_a32_store_rlx(&ts_range.chunks[chunk].lane, 0);
	ts_owner_show(chunk, 1, 0);
	ts_chunk_drop(chunk, 1, batch);
}

/* The chunks of a large object; 0 if it was freed, or never finished. */
static uint32_t keep_large(struct ts_lane *lane, uint32_t chunk)
{
	uint64_t t = (uint64_t)chunk * TS_CHUNK_GRANULES;
	struct ts_node *node = &ts_range.nodes[t >> 6];
	struct ts_chunk *c = &ts_range.chunks[chunk];
	uint64_t bytes = (uint64_t)c->run_chunks * TS_CHUNK_BYTES;

	if (ts_a64_load_rlx(&ts_range.headers[t >> 9]) != (uintptr_t)&lane->large ||
	    ((ts_a64_load_rlx(&node->local) | ts_a64_load_rlx(&node->remote)) & 1))
		return 0;
	ts_node_open(node, ~(uint64_t)1);
	c->prev = 0;
	c->next = lane->larges;
	if (lane->larges)
		ts_range.chunks[lane->larges].prev = chunk;
	lane->larges = chunk;
	ts_owner_show(chunk, c->run_chunks, lane->index + 1);
	ts_bump_word(&lane->stat->w.large_bytes, bytes);
	ts_bump_word(&lane->stat->w.large_allocs, 1);
	ts_a64_add_rlx(&ts_lane_heap(lane)->charged_bytes, bytes);
	ts_a64_add_rlx(&ts_lane_epoch(lane)->charged_bytes, bytes);
	return c->run_chunks;
}

/* Returns how many chunks were dealt with. */
static uint32_t place_chunk(struct ts_thread *survivor, uint32_t chunk, struct ts_chunk_batch *batch)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];
	struct ts_lane *lane = lane_of_chunk(c);
	uint32_t kept = 0;

	if (ts_chunk_pooled(chunk) || cached(survivor, chunk))
		return 1;
	if (ts_a32_load_rlx(&c->state) == TS_CHUNK_SLABS && lane && lane->fate == FATE_WARM) {
		ts_slab_keep_chunk(lane, chunk);
		ts_owner_show(chunk, 1, lane->index + 1);
		return 1;
	}
	if (ts_a32_load_rlx(&c->state) == TS_CHUNK_SLABS && lane && lane->fate == FATE_BOUND) {
		ts_slab_adopt_chunk(lane, chunk);
		return 1;
	}
	if (ts_a32_load_rlx(&c->state) == TS_CHUNK_LARGE && lane && lane->fate == FATE_BOUND)
		kept = keep_large(lane, chunk);
	if (kept)
		return kept;
	release_chunk(chunk, batch);
	return 1;
}

/* -- lanes and epochs --------------------------------------------------------------------------- */

static void charge_warm(struct ts_lane *lane)
{
	uint64_t bytes = ts_lane_bytes(lane);

	for (unsigned c = 0; c < TS_CLASS_COUNT; c++)
		ts_count_class(c, slabs_adopted,
			       ts_block_units(lane->stat, c) / ts_sizeclasses[c].slab_units);
	ts_a64_store_rlx(&lane->w, TS_LW_RESTING);
	ts_a64_store_rlx(&lane->stat->w.chunk_bytes, bytes);
	ts_a64_add_rlx(&ts_lane_heap(lane)->charged_bytes, bytes);
}

/* Nobody is inside but the survivor; closing lanes of others are settled when their close goes on. */
static void reset_word(struct ts_lane *lane, const struct ts_thread *survivor)
{
	uint64_t w = (ts_a64_load_rlx(&lane->w) & TS_LW_CLOSING) |
		     ts_lw_tag(ts_epoch_era(ts_a64_load_rlx(&lane->epoch_id)));
	bool held = survivor && ts_a64_load_rlx(&lane->holder) == survivor->id;
	/* To hold the default lane is to be inside, but no scope. */
	uint32_t scopes = held ? lane->depth - (lane == survivor->default_lane) : 0;

	ts_a64_store_rlx(&lane->stat->w.epoch_id, ts_a64_load_rlx(&lane->epoch_id));
	ts_a64_store_rlx(&lane->stat->w.flags, ts_lane_flags(lane));
	ts_a64_store_rlx(&lane->stat->w.held, held);
	ts_a64_store_rlx(&lane->stat->w.enters, scopes);
	ts_a64_store_rlx(&lane->stat->w.thread_index, held ? ts_thread_number(survivor) : 0);
	if (!held)
		ts_a64_store_rlx(&lane->holder, 0);
	ts_a64_store_rlx(&lane->w, held ? w | TS_LW_HELD : w);
}

static void rebuild_lanes(const struct ts_thread *survivor)
{
	uint32_t count = ts_a32_load_rlx(&ts_lanes.count);

	ts_lane_forget_resting();
	for (uint32_t i = 0; i < count; i++) {
		struct ts_lane *lane = ts_lane_at(i);

		ts_a32_store_rlx(&lane->stat->number, i + 1);
		if (lane->fate == FATE_WARM)
			charge_warm(lane);
		if (lane->fate != FATE_WARM)
			ts_slab_all_carved(lane);
		if (lane->fate == FATE_BOUND)
			reset_word(lane, survivor);
		if (lane->fate != FATE_RESTING)
			continue;
		ts_a64_store_rlx(&lane->w, TS_LW_RESTING);
		ts_a64_store_rlx(&lane->holder, 0);
		ts_a64_store_rlx(&lane->epoch, 0);
		ts_lane_rest(lane);
	}
}

static uint64_t living_lanes(const struct ts_epoch *epoch)
{
	uint64_t lanes = 0;

	for (uint64_t link = ts_a64_load_rlx(&epoch->lanes); link;) {
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);

		lanes += lane->fate == FATE_BOUND;
		link = ts_a32_load_rlx(&lane->next_in_epoch);
	}
	return lanes;
}

static bool slot_cached(const struct ts_thread *survivor, uint32_t slot)
{
	for (uint32_t i = 0; survivor && i < survivor->slot_count; i++)
		if (survivor->slots[i] == slot)
			return true;
	return false;
}

/* References anew; a close or discard that had begun goes on. */
static void rebuild_epoch(struct ts_epoch *epoch, const struct ts_thread *survivor)
{
	uint64_t e = ts_a64_load_rlx(&epoch->e);
	uint64_t id = ts_a64_load_rlx(&epoch->id);
	enum ts_epoch_state was = ts_ew_state(e);
	bool close = was == TS_EPOCH_CLOSING || (e & TS_EW_CLOSE_WANTED);

	if (!epoch_lives(epoch)) {
		ts_a64_store_rlx(&epoch->id, 0);
		ts_a64_store_rlx(&epoch->lanes, 0);
		ts_a64_store_rlx(&epoch->e, ts_ew_make(epoch->era, TS_EPOCH_FREE, 0));
		if (!slot_cached(survivor, epoch->slot))
			ts_epoch_share_slot(epoch->slot);
		return;
	}
	ts_a64_store_rlx(&epoch->e, ts_ew_make(epoch->era, close ? TS_EPOCH_CLOSING : TS_EPOCH_ACTIVE,
					       living_lanes(epoch) + 1));
	ts_epoch_show(epoch);
	if (close)
		ts_epoch_close_lanes(epoch);
	else if (was == TS_EPOCH_COMMITTED)
		ts_epoch_discard(epoch, id);
}

void ts_recover(struct ts_thread *survivor)
{
	struct ts_chunk_batch batch = { 0, 0, false };
	uint32_t lanes = ts_a32_load_rlx(&ts_lanes.count);
	uint32_t slots = ts_a32_load_rlx(&ts_epochs.count);

	ts_process_clear();
	ts_histogram_clear();
	ts_os_clock_sync();
	ts_chunk_recover();
	ts_a64_store_rlx(&ts_process()->range_bytes, ts_range.chunk_count << TS_CHUNK_SHIFT);
	ts_a64_store_rlx(&ts_process()->retain_limit_bytes, tslab_heap_default()->retain_bytes);
	for (uint32_t i = 0; i < TS_HEAPS_MAX; i++)
		if (ts_heap_by_id(i))
			ts_a64_store_rlx(&ts_heap_by_id(i)->charged_bytes, 0);
	for (uint32_t slot = TS_EPOCH_SLOTS_RESERVED; slot < slots; slot++)
		ts_a64_store_rlx(&((struct ts_epoch *)ts_table_at(&ts_epochs, slot))->charged_bytes,
				 0);
	ts_thread_recover(survivor);
	decide_lanes(survivor);
	for (uint32_t i = 0; i < lanes; i++) {
		clear_shown(ts_lane_at(i));
		if (ts_lane_at(i)->fate != FATE_WARM)
			empty_lane(ts_lane_at(i));
	}
	ts_redzone_recover();
	for (uint32_t chunk = 1; chunk < ts_chunk_end();)
		chunk += place_chunk(survivor, chunk, &batch);
	ts_chunk_flush(&batch);
	rebuild_lanes(survivor);
	ts_epoch_forget_slots();
	for (uint32_t slot = slots; slot-- > TS_EPOCH_SLOTS_RESERVED;)
		rebuild_epoch(ts_table_at(&ts_epochs, slot), survivor);
	ts_guard_recover();
	ts_count(forks_recovered, 1);
}
