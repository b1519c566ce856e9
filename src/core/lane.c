/* SPDX-License-Identifier: MIT */
#include "lane.h"

#include <errno.h>

#include "check.h"
#include "closing.h"
#include "contention.h"
#include "epoch.h"
#include "guard.h"
#include "heap.h"
#include "large.h"
#include "lock.h"
#include "process.h"
#include "redzone.h"
#include "report.h"
#include "sample.h"
#include "slab.h"
#include "slack.h"
#include "stack.h"
#include "thread.h"

struct ts_table ts_lanes = { .stride = TS_LANE_BYTES, .max = 1 << 20, .twin = &ts_threads };

struct ts_lane ts_lane_none = {
	.bin = { [0 ... TS_CLASS_COUNT] = { .top = TS_STACK_NONE, .bytes = 1 } },
	.class_of = { (uintptr_t)ts_sizeclass_gated },
	.w = { TS_LW_RESTING },
};

#define WARM_LOOKS 4

static uint32_t resting_lanes; /* index + 1; under ts_lock_meta */

/* -- making, binding and resting ---------------------------------------------------------------- */

static struct ts_lane *new_lane(void)
{
	int64_t index = ts_table_grow(&ts_lanes);
	struct ts_block_lane *stat = index < 0 ? NULL : ts_block_get(TS_BLOCK_LANE, 1);
	struct ts_lane *lane;

	if (!stat)
		return NULL;
	lane = ts_lane_at((uint32_t)index);
	lane->index = (uint32_t)index;
	for (unsigned c = 0; c <= TS_CLASS_COUNT; c++) {
		ts_stack_forget(&lane->bin[c]);
		lane->bin[c].bytes = c < TS_CLASS_COUNT ? ts_sizeclasses[c].bytes : 1;
	}
	ts_stack_forget(&lane->large);
	lane->trim_at_bytes = TS_CHUNK_BYTES;
	lane->stat = stat;
	ts_a32_store_rlx(&lane->stat->number, (uint32_t)index + 1);
	ts_a64_store_rlx(&lane->w, TS_LW_RESTING);
	ts_table_publish(&ts_lanes);
	return lane;
}

/*
 * The smallest of the newest few: what the next epoch needs nobody knows, but a large lane is worth more to
 * one that is begun again and again, and that one gets its own back (keep.h).
 */
static struct ts_lane *take_warm(struct ts_thread *thread, struct tslab_heap *heap, unsigned flags)
{
	uint32_t *link = &thread->warm, *best = NULL;
	struct ts_lane *lane;

	for (unsigned looks = 0; *link && looks < WARM_LOOKS; looks++) {
		lane = ts_lane_at(*link - 1);
		if (ts_lane_heap(lane) == heap && ts_lane_flags(lane) == flags &&
		    (!best || lane->chunk_count < ts_lane_at(*best - 1)->chunk_count)) {
			best = link;
			if (lane->chunk_count <= 1) /* none is smaller */
				break;
		}
		link = &lane->next_free;
	}
	if (!best)
		return NULL;
	lane = ts_lane_at(*best - 1);
	*best = lane->next_free;
	thread->warm_count--;
	ts_thread_retain(thread, -(int64_t)ts_lane_bytes(lane));
	return lane;
}

struct ts_lane *ts_lane_get_warm(struct ts_thread *thread, struct tslab_heap *heap)
{
	return thread && thread->warm ? take_warm(thread, heap, 0) : NULL;
}

struct ts_lane *ts_lane_get(struct ts_thread *thread, struct tslab_heap *heap, unsigned flags)
{
	struct ts_lane *lane = thread ? take_warm(thread, heap, flags) : NULL;

	if (lane)
		return lane;
	ts_lock(&ts_lock_meta);
	if (resting_lanes) {
		lane = ts_lane_at(resting_lanes - 1);
		resting_lanes = lane->next_free;
	} else {
		lane = new_lane();
	}
	ts_unlock(&ts_lock_meta);
	if (lane) {
		ts_a16_store_rlx(&lane->flags, (uint16_t)flags);
		ts_a64_store_rlx(&lane->heap, (uintptr_t)heap);
	}
	return lane;
}

void ts_lane_put(struct ts_thread *thread, struct ts_lane *lane)
{
	uint64_t bytes = ts_lane_bytes(lane);

	if (thread && !thread->ending && thread->warm_count < TS_WARM_LANES &&
	    thread->retained_bytes + bytes <= ts_lane_heap(lane)->retain_bytes) {
		lane->next_free = thread->warm;
		thread->warm = lane->index + 1;
		thread->warm_count++;
		ts_thread_retain(thread, (int64_t)bytes);
		return;
	}
	ts_lane_strip(lane);
	ts_lane_rest(lane);
}

void ts_lane_rest(struct ts_lane *lane)
{
	ts_lock(&ts_lock_meta);
	lane->next_free = resting_lanes;
	resting_lanes = lane->index + 1;
	ts_unlock(&ts_lock_meta);
}

void ts_lane_forget_resting(void)
{
	resting_lanes = 0;
}

/* Readers see an odd sequence meanwhile. */
void ts_lane_show(struct ts_lane *lane, uint64_t epoch_id)
{
	struct ts_block_lane *stat = lane->stat;

	ts_bump_word(&stat->head.seq, 1);
	/* ORD-21 release, each: a reader that sees one of them sees the odd sequence before it. */
	ts_a64_store_rel(&stat->w.epoch_id, epoch_id);
	ts_a64_store_rel(&stat->w.enters_base, ts_a64_load_rlx(&stat->w.enters));
	ts_a64_store_rel(&stat->w.exits, ts_a64_load_rlx(&stat->w.enters));
	ts_a64_store_rel(&stat->w.flags, ts_lane_flags(lane)); /* ORD-21 */
	/* ORD-21 release: pairs with the reader's acquire of seq before it believes epoch_id. */
	ts_a64_store_rel(&stat->head.seq, ts_a64_load_rlx(&stat->head.seq) + 1);
}

void ts_lane_bind(struct ts_lane *lane, struct ts_epoch *epoch, uint64_t id, bool held)
{
	uint64_t bytes = ts_lane_bytes(lane);

	ts_a64_store_rlx(&lane->epoch, (uintptr_t)epoch);
	/* ORD-22 release: pairs with count_live of closing.c, which has no reference; what of a new lane never
	 * changes is there. */
	ts_a64_store_rel(&lane->epoch_id, id);
	lane->depth = 0;
	lane->settled = TS_NOT_SETTLED;
	ts_a64_store_rlx(&lane->class_of, ts_sample_table());
	ts_a64_store_rlx(&lane->holder, 0);
	TS_ASSERT((ts_a64_load_rlx(&lane->w) & (TS_LW_DISC | TS_LW_DEAD)) &&
			  (ts_a64_load_rlx(&lane->w) & TS_LW_HELD),
		  "a lane is bound that is not at rest");
	/* The heap has been charged all the time; a parked lane binds before the epoch is published. */
	if (held && bytes)
		ts_a64_add_rlx(&epoch->charged_bytes, bytes);
	else if (bytes)
		ts_a64_store_rlx(&epoch->charged_bytes, bytes);
	ts_lane_show(lane, id);
	while (ts_lw_bind(&lane->w, ts_lw_tag(ts_epoch_era(id)), held ? TS_LW_HELD : 0) == TS_LW_DRAIN)
		ts_lane_drain(lane);
}

void ts_lane_unbind(struct ts_lane *lane)
{
	ts_slab_retag(lane);
	if (lane->slack_chunks)
		ts_slack_end(lane);
	ts_a64_store_rlx(&lane->epoch, 0);
	ts_lane_show(lane, 0);
}

bool ts_lane_never_ends(const struct ts_lane *lane)
{
	const struct ts_epoch *epoch = ts_lane_epoch(lane);

	return epoch && epoch->is_default && ts_lane_heap(lane)->retain_bytes;
}

uint32_t ts_lane_take_chunks(struct ts_lane *lane, uint32_t chunks, uint32_t align_chunks,
			     unsigned cls)
{
	uint64_t bytes = (uint64_t)chunks << TS_CHUNK_SHIFT;
	enum ts_failure why;
	uint32_t start;

	if (!ts_epoch_charge(lane, bytes))
		return 0;
	start = ts_chunk_take(ts_tls.self, chunks, align_chunks, cls, &why);
	if (!start && ts_slack_give_up(lane))
		start = ts_chunk_take(ts_tls.self, chunks, align_chunks, cls, &why);
	if (start)
		return start;
	ts_epoch_uncharge(lane, bytes);
	ts_failed(why);
	errno = ENOMEM;
	return 0;
}

/* -- allocation, slow path ---------------------------------------------------------------------- */

/* Slots of the class that nobody has are less than an eighth of all. */
static bool scarce(const struct ts_lane *lane, unsigned c)
{
	uint64_t slots = ts_lane_class_slots(lane, c);

	return slots - ts_lane_class_live(lane, c) < slots / 8;
}

/* The bin has freed slots, or gets some that wait for it. */
static bool refill_with_freed(struct ts_lane *lane, unsigned c)
{
	struct ts_bin *bin = &lane->bin[c];
	bool stack_mode = ts_bin_in_stack_mode(bin);

	if (bin->top[-1] || (stack_mode && ts_stack_below(lane, bin, c)))
		return true;
	return stack_mode && ts_bin_reserve_slots(bin) && ts_slab_refill(lane, c);
}

/* Another slab at hand, or a fresh one, is carved from now on. */
static bool begin_slab(struct ts_lane *lane, unsigned c)
{
	uint32_t next = lane->slab[c] ? ts_slab_next(lane->slab[c]) : 0;
	uint32_t fresh = next ? 0 : ts_slab_new(lane, c);

	if (!fresh)
		ts_count_own_class(c, slow_others, 1);
	if (next || fresh)
		ts_slab_carve(lane, c, next ? next : fresh);
	return next || fresh;
}

/*
 * What other threads freed is looked at last: the more has come together, the more of it shares a node, which
 * is queued and collected as one. So that it can, a class of which little is free then gets a slab more, unless
 * memory is limited.
 */
static bool refill(struct ts_lane *lane, unsigned c)
{
	bool freed = refill_with_freed(lane, c);

	if (!freed) {
		ts_lane_drain(lane);
		freed = refill_with_freed(lane, c);
		if (!freed && ts_slack_unsuitable(lane) && ts_slack_give_up(lane))
			freed = refill_with_freed(lane, c);
		if (!freed)
			return begin_slab(lane, c) &&
			       (!ts_bin_in_stack_mode(&lane->bin[c]) || ts_slab_refill(lane, c));
		if (scarce(lane, c) && !ts_epoch_limited(lane)) {
			begin_slab(lane, c);
			return true;
		}
	}
	ts_count_own_class(c, slow_reused, 1);
	return true;
}

void *ts_lane_alloc(struct ts_lane *lane, unsigned c)
{
	void *p = ts_bin_alloc(lane, c * TS_PLACE_BYTES);

	if (p)
		return p;
	ts_bump_word(&lane->stat->w.slow_hits, 1);
	while (!p && refill(lane, c))
		p = ts_bin_alloc(lane, c * TS_PLACE_BYTES);
	return p;
}

/* -- free --------------------------------------------------------------------------------------- */

bool ts_lane_refuse(struct ts_lane *lane, uint64_t t)
{
	const struct ts_bin *bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);
	bool start = bin && ts_slab_handed_out(bin, t) && ts_slab_is_slot_start(t);

	if (start) {
		ts_count(refused_double, 1);
		ts_refused(.what = "double free", .heap = ts_lane_heap(lane),
			   .epoch = ts_lane_epoch(lane), .address = (uintptr_t)ts_range_address(t));
	} else {
		ts_count(refused_wild, 1);
		ts_refused(.what = "free of a pointer that is no object's start",
			   .heap = ts_lane_heap(lane), .epoch = ts_lane_epoch(lane),
			   .address = (uintptr_t)ts_range_address(t));
	}
	return false;
}

/* Settled lane: its bins know nothing any more, only how much of each chunk is live. */
static void forget_live(struct ts_lane *lane, uint32_t chunk, unsigned count)
{
	ts_range.chunks[chunk].live -= count;
	ts_slab_return_if_empty(lane, chunk);
}

/*
 * Not as long as no more is free than one block of each class in use holds, and as much again up to what the heap
 * retains: a few live objects of many sizes would give all slabs back and take them again, which costs more than
 * ten times what they do. A heap that retains nothing, and one with a limit, want their memory back at once.
 */
static bool worth_trimming(struct ts_lane *lane)
{
	uint64_t blocks = ts_stack_first_blocks_bytes(lane);
	uint64_t retained = ts_lane_heap(lane)->retain_bytes;
	uint64_t kept = blocks + (blocks < retained ? blocks : retained);

	if (!retained || ts_epoch_limited(lane) || lane->listed_bytes > kept)
		return true;
	lane->trim_at_bytes = kept;
	return false;
}

bool ts_lane_free(struct ts_lane *lane, struct ts_bin *bin, uint64_t t)
{
	struct ts_node *node = &ts_range.nodes[t >> 6];
	uint64_t bit = (uint64_t)1 << (t & 63);
	uint64_t local = ts_a64_load_rlx(&node->local);

	/* ORD-9 relaxed: own writes are seen by coherence; a bit set by somebody else is a second free. */
	if (((local | ts_a64_load_rlx(&node->remote)) & bit) || !ts_slab_handed_out(bin, t))
		return ts_lane_refuse(lane, t);
	ts_a64_store_rlx(&node->local, local | bit);
	if (bin == &lane->large) {
		ts_large_release(lane, t);
		return true;
	}
	ts_count_free(lane, bin);
	if (lane->settled) {
		forget_live(lane, (uint32_t)(t / TS_CHUNK_GRANULES), 1);
		return true;
	}
	ts_slab_list(lane, bin, ts_range_address(t));
	if (ts_slack_review_due(lane))
		ts_slack_review(lane);
	/* The last chunk stays: the next allocation would want it back. */
	if (lane->listed_bytes > lane->trim_at_bytes && lane->chunk_count > 1 && worth_trimming(lane))
		ts_lane_trim(lane);
	return true;
}

void ts_lane_push_turned(uint64_t t, uint64_t unpin)
{
	/* The chunk stays where it is from here on, so the header names the right lane. */
	const struct ts_bin *bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);
	struct ts_lane *lane = ts_lane_of_bin(bin);
	uint32_t index = (uint32_t)(t >> 6);
	uint32_t retries = 0;
	unsigned cls;

	if (ts_lw_push_or_take(&lane->w, ts_range_link(index), index, unpin, &retries) ==
	    TS_LW_TAKEN) {
		ts_lane_collect(lane, index);
		ts_lane_release(lane);
	}
	if (__builtin_expect(!retries, 1))
		return;
	cls = bin == &lane->large ? TS_CLASS_LARGE : ts_lane_class(lane, bin);
	ts_count(pushes_retried, retries);
	ts_count_class(cls, pushes_retried, retries);
	ts_contention_count(cls, pushes_retried, retries);
}

uint64_t ts_lane_free_remote(struct ts_lane *lane, uint64_t t, uint64_t mask, uint64_t unpin)
{
	uint64_t old = ts_node_free(&ts_range.nodes[t >> 6], mask);

	if (!old)
		ts_lane_push_turned(t, unpin);
	else if (unpin && ts_lw_unpin(&lane->w) == TS_LW_TAKEN)
		ts_lane_release(lane);
	return mask & ~old;
}

/* The node of a large object, or one of slabs: what of it was handed out. */
static uint64_t handed_out(const struct ts_lane *lane, const struct ts_bin *bin, uint32_t index)
{
	return bin == &lane->large ? 1 : ts_slab_handed_out_bits(bin, index);
}

void ts_lane_collect(struct ts_lane *lane, uint32_t index)
{
	uint64_t first = (uint64_t)index << 6;
	struct ts_bin *bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[first >> 9]);
	unsigned collected = 0;
	uint64_t refused;
	uint64_t bits =
		ts_node_collect(&ts_range.nodes[index], handed_out(lane, bin, index), &refused);

	for (; refused; refused &= refused - 1)
		ts_lane_refuse(lane, first + (uint64_t)__builtin_ctzll(refused));
	for (uint64_t rest = bits; rest; rest &= rest - 1, collected++)
		if (!lane->settled && bin != &lane->large)
			ts_slab_list(lane, bin,
				     ts_range_address(first + (uint64_t)__builtin_ctzll(rest)));
	ts_bump_word(&lane->stat->w.collected, collected);
	if (bin == &lane->large) {
		if (bits)
			ts_large_release(lane, first);
		return;
	}
	ts_a64_bump_rel(&ts_lane_words(lane, bin)->frees, collected); /* ORD-18 */
	if (lane->settled == TS_SETTLED_LIVE)
		forget_live(lane, index / TS_CHUNK_NODES, collected);
}

void ts_lane_drain(struct ts_lane *lane)
{
	uint32_t index;

	/* What was freed before this call, in the program's own order, is seen by coherence. */
	if (!(ts_a64_load_rlx(&lane->w) & TS_LW_HEAD))
		return;
	index = ts_lw_take_queue(&lane->w);

	while (index) {
		/* The link first: once the remote word is clear, the next freer overwrites it. */
		uint32_t next = ts_a32_load_rlx(ts_range_link(index));

		/* Both lines are with the thread that freed: on their way while this node is collected. */
		__builtin_prefetch(&ts_range.nodes[next], 1);
		__builtin_prefetch(ts_range_link(next));
		ts_lane_collect(lane, index);
		index = next;
	}
}

/* -- closing ------------------------------------------------------------------------------------ */

/* Most often it is so: all classes are looked at, without a branch for each. */
bool ts_lane_all_freed(const struct ts_lane *lane)
{
	const struct ts_class_words *words = lane->stat->cls;
	uint64_t differ = lane->larges;

	for (uint64_t rest = lane->classes; rest; rest &= rest - 1) {
		const struct ts_class_words *of = &words[(unsigned)__builtin_ctzll(rest)];

		differ |= ts_a64_load_rlx(&of->allocs) ^ ts_a64_load_rlx(&of->frees);
	}
	return !differ;
}

/* CLOSING was seen: nothing is allocated here any more. What is empty goes back now. */
static void return_empty_chunks(struct ts_lane *lane)
{
	struct ts_chunk_batch batch = { 0, 0, false };
	const char *why = NULL;
	uint32_t next;

	ts_lane_drain(lane);
	TS_WALK(ts_check_lane(lane, &why), "a lane that closes is inconsistent");
	ts_redzone_check(lane);
	if (ts_lane_all_freed(lane)) {
		lane->settled = TS_SETTLED_EMPTY;
		return;
	}
	lane->settled = TS_SETTLED_LIVE;
	ts_slab_forget_bins(lane);
	for (uint32_t chunk = lane->chunks; chunk; chunk = next) {
		next = ts_range.chunks[chunk].next;
		ts_range.chunks[chunk].live = ts_slab_count_live(chunk);
		if (!ts_range.chunks[chunk].live)
			ts_slab_return(lane, chunk, &batch);
	}
	ts_chunk_flush(&batch);
}

static void settle(struct ts_lane *lane)
{
	struct ts_settling settling;

	ts_settling_begin(&settling, lane);
	return_empty_chunks(lane);
	ts_settling_end(&settling, lane);
}

void ts_lane_release(struct ts_lane *lane)
{
	struct ts_epoch *epoch = ts_lane_epoch(lane);

	for (;;) {
		bool empty = lane->settled == TS_SETTLED_EMPTY ||
			     (!lane->chunk_count && !lane->larges);

		switch (ts_lw_give_back(&lane->w, empty, lane->settled)) {
		case TS_LW_DRAIN:
			ts_lane_drain(lane);
			break;
		case TS_LW_SETTLE:
			settle(lane);
			break;
		case TS_LW_DIED:
			ts_epoch_drop(epoch, 1);
			return;
		default:
			return;
		}
	}
}

void ts_lane_enter(struct ts_lane *lane, const struct ts_thread *thread)
{
	lane->depth = 1;
	ts_a64_store_rlx(&lane->holder, thread->id);
	ts_a64_store_rlx(&lane->stat->w.thread_index, ts_thread_number(thread));
	ts_a64_store_rlx(&lane->stat->w.held, 1);
}

void ts_lane_leave(struct ts_lane *lane)
{
	uint64_t tag = ts_lw_tag(ts_epoch_era(ts_a64_load_rlx(&lane->epoch_id)));

	if ((ts_a64_load_rlx(&lane->w) & TS_LW_TAG) != tag)
		ts_lw_retag(&lane->w, tag);
	ts_a64_store_rlx(&lane->stat->w.held, 0);
	/* Own store, before the give-back: once others may take the lane, ours must not match. */
	ts_a64_store_rlx(&lane->holder, 0);
	ts_lane_release(lane);
}

/* -- discard and return ------------------------------------------------------------------------- */

void ts_lane_discard(struct ts_lane *lane)
{
	const char *why = NULL;

	ts_lane_drain(lane);
	TS_WALK(ts_check_lane(lane, &why), "a lane that is discarded is inconsistent");
	ts_redzone_discard(lane);
	ts_guard_end_epoch(ts_a64_load_rlx(&lane->epoch_id));
	while (lane->larges) {
		uint64_t t = (uint64_t)lane->larges * TS_CHUNK_GRANULES;

		ts_a64_store_rlx(&ts_range.nodes[t >> 6].local, UINT64_MAX);
		ts_large_release(lane, t);
	}
	if (lane->settled == TS_SETTLED_LIVE) {
		/* Bins were given up at close: only the chunks are left. */
		for (unsigned c = 0; c < TS_CLASS_COUNT; c++)
			ts_count_all_freed(&lane->stat->cls[c]);
		ts_lane_strip(lane);
		return;
	}
	ts_slab_rewind(lane);
	if (ts_lane_flags(lane) & TS_LANE_HANDLES)
		for (uint32_t chunk = lane->chunks; chunk; chunk = ts_range.chunks[chunk].next)
			ts_slab_outdate_handles(chunk);
}

void ts_lane_strip(struct ts_lane *lane)
{
	struct ts_chunk_batch batch = { 0, 0, false };

	if (!lane->chunks)
		return;
	lane->settled = TS_SETTLED_EMPTY;
	ts_slab_forget_bins(lane);
	while (lane->chunks) {
		uint32_t chunk = lane->chunks;

		ts_slab_kill_slots(chunk);
		while (!ts_slab_return(lane, chunk, &batch)) {
			/* A stray free has turned a node and is about to push it. */
			ts_lane_drain(lane);
			ts_arch_pause();
		}
	}
	ts_chunk_flush(&batch);
}
