/* SPDX-License-Identifier: MIT */
/* ending.c: how an epoch ends, as epoch.h has it: closed, discarded, destroyed, and finished by who is last. */
#include "epoch.h"

#include <errno.h>

#include "closing.h"
#include "guard.h"
#include "heap.h"
#include "os.h"
#include "process.h"
#include "report.h"
#include "thread.h"

/* -- close and finish --------------------------------------------------------------------------- */

/* Of an epoch that is over: its lanes rest, in `thread`'s cache if they may. */
static void rest_lanes(struct ts_epoch *epoch, struct ts_thread *thread)
{
	uint64_t link = ts_a64_load_acq(&epoch->lanes); /* ORD-12 acquire */

	while (link) {
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);

		link = ts_a32_load_rlx(&lane->next_in_epoch);
		ts_lane_unbind(lane);
		ts_lane_put(thread, lane);
	}
}

/* Whoever dropped the last reference, alone. */
static void finish(struct ts_epoch *epoch)
{
	struct ts_thread *thread = ts_tls.self;

	ts_a64_store_rlx(&epoch->stat->id, 0);
	ts_a64_store_rel(&epoch->stat->state, TS_EPOCH_FREE); /* ORD-21 */
	ts_a64_store_rlx(&epoch->id, 0);
	rest_lanes(epoch, thread);
	ts_ew_finish(&epoch->e, epoch->era);
	ts_count_own(epochs_finished);
	ts_epoch_return_slot(thread, epoch);
}

void ts_epoch_drop(struct ts_epoch *epoch, uint64_t count)
{
	if (ts_ew_drop(&epoch->e, count))
		finish(epoch);
}

/* CLOSING is set: every lane learns it; those that nobody holds are emptied here. */
void ts_epoch_close_lanes(struct ts_epoch *epoch)
{
	uint64_t link = ts_a64_load_sc(&epoch->lanes); /* ORD-13 */

	ts_a64_store_rlx(&epoch->stat->state, TS_EPOCH_CLOSING);
	/* ORD-21 release: a reader that sees since when it closes sees that it does. */
	ts_a64_store_rel(&epoch->stat->close_since_ns, ts_os_coarse_ns());
	while (link) {
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);
		enum ts_lw_result marked = ts_lw_mark_closing(&lane->w);

		link = ts_a32_load_rlx(&lane->next_in_epoch);
		if (marked == TS_LW_BUSY)
			ts_a64_store_rlx(&lane->class_of, (uintptr_t)ts_sizeclass_gated);
		if (marked == TS_LW_TAKEN)
			ts_lane_release(lane);
	}
	/* The open reference goes last: until here no lane can serve another era. */
	ts_epoch_drop(epoch, 1);
}

static bool nothing_live(struct ts_lane *lane)
{
	ts_lane_drain(lane);
	return ts_lane_all_freed(lane);
}

/*
 * The common end of an epoch: one lane, nobody inside, nobody else looking. `if_empty` asks that nothing
 * be live in it, which makes a close and a discard the same. False: nothing was changed.
 */
static bool end_at_once(struct ts_epoch *epoch, uint64_t id, bool if_empty)
{
	uint64_t link = ts_a64_load_acq(&epoch->lanes); /* ORD-12 acquire */
	struct ts_lane *lane = link ? ts_lane_at((uint32_t)link - 1) : NULL;

	if (!lane || ts_a64_load_rlx(&lane->epoch_id) != id ||
	    (ts_lane_flags(lane) & TS_LANE_HANDLES) ||
	    ts_lw_take(&lane->w, ts_lw_tag(ts_epoch_era(id)), TS_LW_DISC) != TS_LW_TAKEN)
		return false;
	if (ts_a64_load_rlx(&lane->epoch_id) != id || (if_empty && !nothing_live(lane)) ||
	    !ts_ew_discard_at_once(&epoch->e, ts_epoch_era(id))) {
		ts_lane_release(lane);
		return false;
	}
	/* The lane rests with DISC instead of DEAD: nothing but the next binding takes it either way. */
	ts_lane_discard(lane);
	finish(epoch);
	return true;
}

/* With something to tell: memory goes back, or objects or threads are in the way. */
static __attribute__((noinline)) int close_and_tell(struct ts_epoch *epoch, uint64_t id)
{
	struct ts_closing closing;

	ts_closing_begin(&closing, epoch, id, TS_ENDED_BY_CLOSE);
	if (!end_at_once(epoch, id, true)) {
		switch (ts_ew_begin_close(&epoch->e, ts_epoch_era(id))) {
		case TS_EPOCH_ACTIVE:
			ts_epoch_close_lanes(epoch);
			break;
		case TS_EPOCH_DISCARDING:
			ts_count_own(epochs_closed);
			return 0; /* the discarder finishes, or closes after its roll-back */
		case TS_EPOCH_CLOSING:
			return -EALREADY;
		default:
			return -ESTALE;
		}
	}
	ts_count_own(epochs_closed);
	ts_closing_end(&closing);
	return 0;
}

int ts_epoch_close(struct ts_epoch *epoch, uint64_t id)
{
	if (ts_closing_moves_memory(epoch) || !end_at_once(epoch, id, true))
		return close_and_tell(epoch, id);
	ts_count_own(epochs_closed);
	return 0;
}

/* -- discard ------------------------------------------------------------------------------------ */

void ts_epoch_dissolve(struct ts_epoch *epoch, struct ts_lane *lane, struct ts_thread *thread)
{
	ts_guard_end_epoch(epoch->era << 16 | epoch->slot);
	ts_lw_die(&lane->w);
	ts_a64_store_rlx(&lane->stat->w.held, 0);
	ts_a64_store_rlx(&lane->holder, 0);
	rest_lanes(epoch, thread);
	ts_epoch_return_slot(thread, epoch);
}

/*
 * Hold a lane for the discard. False: a thread is inside. HELD without TRANSIENT and without a holder is
 * a thread that comes or goes: it sees DISCARDING and steps back, or is about to give back. The lane is
 * on the epoch's list, so it serves this epoch, although its tag may be an older one (keep.h).
 */
static bool seize(struct ts_lane *lane)
{
	unsigned rounds = 0;

	for (;;) {
		uint64_t w = ts_a64_load_rlx(&lane->w);

		if (ts_lw_take(&lane->w, w & TS_LW_TAG, TS_LW_DISC) == TS_LW_TAKEN)
			return true;
		/* Its holder is inside, or comes or goes; or another discard has it, at once or to step
		 * back; or its tag was set right meanwhile. */
		w = ts_a64_load_rlx(&lane->w);
		if (w & TS_LW_DEAD)
			return true;
		if ((w & TS_LW_HELD) && !(w & TS_LW_TRANSIENT) && ts_a64_load_rlx(&lane->holder))
			return false;
		ts_os_wait_a_little(&rounds);
	}
}

static bool seized(const struct ts_lane *lane)
{
	uint64_t w = ts_a64_load_rlx(&lane->w);

	return (w & TS_LW_DISC) && !(w & TS_LW_DEAD);
}

static int roll_back(struct ts_epoch *epoch, uint64_t end)
{
	uint64_t link = ts_a64_load_sc(&epoch->lanes); /* ORD-13 */

	while (link != end) {
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);

		link = ts_a32_load_rlx(&lane->next_in_epoch);
		if (seized(lane))
			ts_lane_release(lane);
	}
	if (ts_ew_roll_back_discard(&epoch->e))
		ts_epoch_close_lanes(epoch);
	ts_count(discards_busy, 1);
	return -EBUSY;
}

static void discard_lanes(struct ts_epoch *epoch, uint64_t lanes)
{
	uint64_t link = ts_a64_load_sc(&epoch->lanes); /* ORD-13 */
	bool alone = ts_ew_commit_discard(&epoch->e, lanes);

	while (link) {
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);

		link = ts_a32_load_rlx(&lane->next_in_epoch);
		if (!seized(lane))
			continue;
		ts_lane_discard(lane);
		ts_lw_die(&lane->w);
	}
	if (alone)
		finish(epoch);
	else
		ts_epoch_drop(epoch, 1);
}

static int discard(struct ts_epoch *epoch, uint64_t id)
{
	uint64_t lanes = 0;
	uint64_t link;

	if (end_at_once(epoch, id, false)) {
		ts_count_own(epochs_discarded);
		return 0;
	}
	switch (ts_ew_begin_discard(&epoch->e, ts_epoch_era(id))) {
	case TS_EPOCH_ACTIVE:
		break;
	case TS_EPOCH_CLOSING:
		return -EALREADY;
	case TS_EPOCH_DISCARDING:
		ts_count(discards_busy, 1);
		return -EBUSY; /* it may yet find a thread inside and leave the epoch open */
	default:
		return -ESTALE;
	}
	for (link = ts_a64_load_sc(&epoch->lanes); link;) { /* ORD-13 */
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);

		if (!seize(lane))
			return roll_back(epoch, link);
		lanes += seized(lane);
		link = ts_a32_load_rlx(&lane->next_in_epoch);
	}
	discard_lanes(epoch, lanes);
	ts_count_own(epochs_discarded);
	return 0;
}

int ts_epoch_discard(struct ts_epoch *epoch, uint64_t id)
{
	struct ts_closing closing;
	int error;

	if (!ts_closing_moves_memory(epoch))
		return discard(epoch, id);
	ts_closing_begin(&closing, epoch, id, TS_ENDED_BY_DISCARD);
	error = discard(epoch, id);
	if (!error)
		ts_closing_end(&closing);
	return error;
}

/* A closing epoch of a heap that is going: its parked lanes are emptied one by one. */
static int empty_closing(struct ts_epoch *epoch, uint64_t id)
{
	uint64_t link;

	if (ts_ew_ref(&epoch->e, ts_epoch_era(id), 1u << TS_EPOCH_CLOSING) != TS_EPOCH_CLOSING)
		return 0;
	for (link = ts_a64_load_acq(&epoch->lanes); link;) { /* ORD-12 acquire */
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);

		link = ts_a32_load_rlx(&lane->next_in_epoch);
		if (!seize(lane) || !seized(lane))
			continue;
		ts_lane_discard(lane);
		ts_lane_release(lane);
	}
	ts_epoch_drop(epoch, 1);
	return ts_epoch_find(id) ? -EBUSY : 0;
}

int ts_epoch_destroy(struct ts_epoch *epoch, uint64_t id)
{
	int error = ts_epoch_discard(epoch, id);

	return error == -EALREADY ? empty_closing(epoch, id) : error == -ESTALE ? 0 : error;
}
