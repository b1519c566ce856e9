/* SPDX-License-Identifier: MIT */
/*
 * keep.h: an epoch slot and its only lane that a thread ended together and keeps for the next epoch that
 * it begins. A program that serves request after request gets the pair back each time: beginning takes
 * no atomic read-modify-write, ending takes one, on the epoch word.
 *
 * While a pair is kept the epoch word is FREE, which nobody but the keeper changes; the lane is linked to
 * the slot and HELD as by a scope, so that nobody takes it. A stray free may queue a node there at any
 * time, as in every lane that somebody holds. The tag in the lane word stays that of the era in which the
 * lane was last bound by ts_lw_bind: ts_lane_leave sets it right before anybody may take the lane.
 */
#ifndef TS_CORE_KEEP_H
#define TS_CORE_KEEP_H

#include <string.h>

#include "check.h"
#include "heap.h"
#include "os.h"
#include "redzone.h"
#include "slab.h"
#include "thread.h"

/* The text that the pair's last epoch was opened with? */
static inline bool ts_keep_same_label(const struct ts_epoch *epoch, const char *label)
{
	return epoch->label_known && !strcmp(epoch->label_given, label ? label : "");
}

static inline bool ts_keep_same_heap(const struct tslab_heap *kept, const struct tslab_heap *heap)
{
	return (kept == heap || (!heap && !kept->id)) && ts_a32_load_rlx(&kept->alive);
}

/* The place of a pair that an epoch of this heap and label may have, or NULL. */
static inline struct ts_kept *ts_keep_find(struct ts_thread *thread, const struct tslab_heap *heap,
					   const char *label)
{
	for (uint32_t i = thread->kept_count; i-- > 0;) {
		const struct ts_epoch *epoch = thread->kept[i].epoch;

		if (ts_keep_same_heap(ts_epoch_heap(epoch), heap) && ts_keep_same_label(epoch, label))
			return &thread->kept[i];
	}
	return NULL;
}

/*
 * The lane's place in the shown tables, as ts_lane_show; the rest is as the pair's last epoch left it.
 * ORD-21 release, each: a reader that sees one of them sees the odd sequence before it.
 */
static inline void ts_keep_show(struct ts_block_lane *stat, uint64_t epoch_id)
{
	uint64_t seq = ts_a64_load_rlx(&stat->head.seq);

	ts_a64_store_rlx(&stat->head.seq, seq + 1);
	ts_a64_store_rel(&stat->w.epoch_id, epoch_id);                            /* ORD-21 */
	ts_a64_store_rel(&stat->w.enters_base, ts_a64_load_rlx(&stat->w.enters)); /* ORD-21 */
	ts_a64_store_rel(&stat->head.seq, seq + 2);                               /* ORD-21 */
}

/* A kept pair serves a new epoch: its lane, held and entered once; NULL = no pair fits. */
static inline __attribute__((always_inline)) struct ts_lane *
ts_keep_begin(struct ts_thread *thread, const struct tslab_heap *heap, const char *label,
	      uint64_t now_ns, uint64_t *opened)
{
	struct ts_kept *kept = ts_keep_find(thread, heap, label);
	struct ts_epoch *epoch;
	struct ts_lane *lane;
	uint64_t id;

	if (!kept)
		return NULL;
	epoch = kept->epoch;
	lane = kept->lane;
	*kept = thread->kept[thread->kept_count - 1];
	if (__builtin_expect((ts_a64_load_rlx(&lane->w) & TS_LW_HEAD) != 0, 0))
		ts_lane_drain(lane);
	thread->kept_count--;
	ts_thread_retain(thread, -(int64_t)ts_lane_bytes(lane));
	id = *opened = ++epoch->era << 16 | epoch->slot;
	ts_a64_store_rlx(&lane->epoch_id, id);
	ts_keep_show(lane->stat, id);
	epoch->open_since_ns = now_ns;
	ts_a64_store_rel(&epoch->stat->open_since_ns, now_ns); /* ORD-21 */
	ts_ew_open(&epoch->e, epoch->era, 2);
	ts_a64_store_rel(&epoch->stat->id, id); /* ORD-21 */
	ts_a64_store_rel(&epoch->id, id);       /* ORD-22 */
	ts_bump_word(&thread->stat->w.epochs_opened, 1);
	return lane;
}

/*
 * The thread's innermost scope is its only one in `lane`; it is left and its epoch ended, if nobody else
 * is or comes there: what is allocated is undone and the pair is kept. `if_empty` asks that nothing be
 * live, which makes a close and a discard the same. False: nothing was changed.
 */
static inline __attribute__((always_inline)) bool ts_keep_end(struct ts_thread *thread,
							      struct ts_lane *lane, bool if_empty)
{
	struct ts_epoch *epoch = ts_lane_epoch(lane);
	uint64_t bytes = ts_lane_bytes(lane);
	const char *why = NULL;

	if (epoch->is_default || epoch->ring_entry ||
	    thread->retained_bytes + bytes > ts_epoch_heap(epoch)->retain_bytes)
		return false;
	if (__builtin_expect((ts_a64_load_rlx(&lane->w) & TS_LW_HEAD) != 0, 0))
		ts_lane_drain(lane);
	if ((ts_a64_load_rlx(&lane->w) & ~(TS_LW_TAG | TS_LW_HEAD | TS_LW_HELD)) ||
	    (if_empty && !ts_lane_all_freed(lane)) || !ts_ew_end_alone(&epoch->e, epoch->era))
		return false;
	TS_WALK(ts_check_lane(lane, &why), "a lane that is kept is inconsistent");
	ts_redzone_discard(lane);
	ts_a64_store_rlx(&epoch->stat->id, 0);
	ts_a64_store_rlx(&epoch->id, 0);
	ts_a64_store_rlx(&lane->stat->w.epoch_id, 0);
	if (lane->larges)
		ts_lane_discard(lane);
	else if (!if_empty)
		ts_slab_rewind(lane);
	ts_slab_retag(lane);
	ts_bump_word(&lane->stat->w.exits, 1);
	ts_bump_word(&thread->stat->w.epochs_finished, 1);
	/* What somebody left there is not for the next epoch: a limit, a label, the lane that a discard which
	 * was rolled back had refused to its creator. Nobody can add to it now. */
	if (ts_a32_load_rlx(&epoch->altered)) {
		ts_epoch_dissolve(epoch, lane, thread);
		return true;
	}
	if (__builtin_expect(thread->kept_count == TS_KEPT, 0))
		ts_thread_drop_one_kept(thread);
	thread->kept[thread->kept_count++] = (struct ts_kept){ epoch, lane };
	ts_thread_retain(thread, (int64_t)ts_lane_bytes(lane));
	return true;
}

#endif
