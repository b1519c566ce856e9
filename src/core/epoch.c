/* SPDX-License-Identifier: MIT */
#include "epoch.h"

#include <errno.h>
#include <string.h>

#include "failure.h"
#include "fork.h"
#include "heap.h"
#include "label.h"
#include "lock.h"
#include "os.h"
#include "process.h"
#include "report.h"
#include "slack.h"
#include "thread.h"

struct ts_table ts_epochs = { .stride = sizeof(struct ts_epoch), .max = TS_EPOCH_SLOTS };

static uint32_t free_slots; /* slot, 0 = none; under ts_lock_meta */

/* -- slots -------------------------------------------------------------------------------------- */

static struct ts_epoch *row_at(uint32_t slot)
{
	return ts_table_at(&ts_epochs, slot);
}

/* Meta lock held. */
static int64_t new_slot(void)
{
	static struct ts_block_epochs *block;
	static unsigned used;
	int64_t slot = ts_table_grow(&ts_epochs);

	if (slot < 0)
		return -1;
	if (!block || used == TS_EPOCHS_PER_BLOCK) {
		block = ts_block_get(TS_BLOCK_EPOCHS, 1);
		used = 0;
	}
	if (!block)
		return -1;
	row_at((uint32_t)slot)->slot = (uint32_t)slot;
	row_at((uint32_t)slot)->stat = &block->row[used++];
	ts_table_publish(&ts_epochs);
	return slot;
}

int ts_epoch_start(void)
{
	while (ts_a32_load_rlx(&ts_epochs.count) < TS_EPOCH_SLOTS_RESERVED) {
		if (ts_table_grow(&ts_epochs) < 0)
			return -ENOMEM;
		ts_table_publish(&ts_epochs);
	}
	return 0;
}

/* Meta lock held. */
static int64_t take_shared(void)
{
	uint32_t slot = free_slots;

	if (!slot)
		return new_slot();
	free_slots = row_at(slot)->next_free;
	return slot;
}

static struct ts_epoch *take_slot(struct ts_thread *thread)
{
	int64_t slot;

	if (thread && thread->slot_count)
		return row_at(thread->slots[--thread->slot_count]);
	ts_lock(&ts_lock_meta);
	slot = take_shared();
	/* More of those that were used before, while we are here. */
	while (slot > 0 && thread && !thread->ending && free_slots &&
	       thread->slot_count < TS_SLOTS_CACHED / 2)
		thread->slots[thread->slot_count++] = (uint32_t)take_shared();
	ts_unlock(&ts_lock_meta);
	return slot > 0 ? row_at((uint32_t)slot) : NULL;
}

static void share(uint32_t slot)
{
	row_at(slot)->next_free = free_slots;
	free_slots = slot;
}

void ts_epoch_share_slot(uint32_t slot)
{
	ts_lock(&ts_lock_meta);
	share(slot);
	ts_unlock(&ts_lock_meta);
}

void ts_epoch_forget_slots(void)
{
	free_slots = 0;
}

void ts_epoch_return_slot(struct ts_thread *thread, struct ts_epoch *epoch)
{
	if (!thread || thread->ending) {
		ts_epoch_share_slot(epoch->slot);
		return;
	}
	if (thread->slot_count == TS_SLOTS_CACHED) {
		ts_lock(&ts_lock_meta);
		while (thread->slot_count > TS_SLOTS_CACHED / 2)
			share(thread->slots[--thread->slot_count]);
		ts_unlock(&ts_lock_meta);
	}
	thread->slots[thread->slot_count++] = epoch->slot;
}

void ts_epoch_return_slots(struct ts_thread *thread)
{
	while (thread->slot_count)
		ts_epoch_share_slot(thread->slots[--thread->slot_count]);
}

/* -- limits ------------------------------------------------------------------------------------- */

static bool charge_one(ts_a64 *charged, uint64_t limit, uint64_t bytes)
{
	uint64_t before = ts_a64_add_rlx(charged, bytes);

	if (!limit || before + bytes <= limit)
		return true;
	ts_a64_add_rlx(charged, -bytes);
	return false;
}

static bool charge_heap(struct tslab_heap *heap, uint64_t bytes)
{
	if (charge_one(&heap->charged_bytes, heap->limit_bytes, bytes))
		return true;
	/* What this thread keeps for reuse counts too: give it up, once. */
	if (!ts_tls.self || !(ts_tls.self->warm || ts_tls.self->kept_count))
		return false;
	ts_thread_drop_warm(ts_tls.self);
	return charge_one(&heap->charged_bytes, heap->limit_bytes, bytes);
}

static bool charge_both(struct ts_lane *lane, struct ts_epoch *epoch, uint64_t bytes)
{
	uint64_t limit = ts_a64_load_rlx(&epoch->limit_bytes);

	if (!charge_one(&epoch->charged_bytes, limit, bytes))
		return false;
	if (!charge_heap(ts_lane_heap(lane), bytes)) {
		ts_a64_add_rlx(&epoch->charged_bytes, -bytes);
		return false;
	}
	ts_a64_store_rlx(&epoch->stat->charged_bytes, ts_a64_load_rlx(&epoch->charged_bytes));
	return true;
}

bool ts_epoch_charge(struct ts_lane *lane, uint64_t bytes)
{
	struct ts_epoch *epoch = ts_lane_epoch(lane);

	if (charge_both(lane, epoch, bytes))
		return true;
	if (ts_slack_give_up(lane) && charge_both(lane, epoch, bytes))
		return true;
	ts_failed(TS_FAILED_EXHAUSTED);
	ts_refused(.what = "allocation refused: memory limit reached", .epoch = epoch);
	errno = ENOMEM;
	return false;
}

bool ts_epoch_limited(const struct ts_lane *lane)
{
	const struct ts_epoch *epoch = ts_lane_epoch(lane);

	return !epoch || ts_a64_load_rlx(&epoch->limit_bytes) || ts_lane_heap(lane)->limit_bytes;
}

void ts_epoch_uncharge(struct ts_lane *lane, uint64_t bytes)
{
	struct ts_epoch *epoch = ts_lane_epoch(lane);

	ts_a64_add_rlx(&ts_lane_heap(lane)->charged_bytes, -bytes);
	if (!epoch)
		return;
	ts_a64_add_rlx(&epoch->charged_bytes, -bytes);
	ts_a64_store_rlx(&epoch->stat->charged_bytes, ts_a64_load_rlx(&epoch->charged_bytes));
}

/* -- open --------------------------------------------------------------------------------------- */

/* One at a time: the owner of the slot, or who has the meta lock. */
static void show_label(struct ts_epoch *epoch)
{
	struct ts_epoch_words *w = epoch->stat;
	uint64_t odd = ts_a64_load_rlx(&w->label_seq) | 1;
	uint64_t words[4];

	memcpy(words, epoch->label, sizeof(words));
	ts_a64_store_rlx(&w->label_seq, odd);
	/* ORD-21 release, each: a reader that sees one of them sees the odd sequence, or the id gone. */
	ts_a64_store_rel(&w->label0, words[0]);
	ts_a64_store_rel(&w->label1, words[1]);
	ts_a64_store_rel(&w->label2, words[2]);          /* ORD-21 */
	ts_a64_store_rel(&w->label3, words[3]);          /* ORD-21 */
	ts_a64_store_rel(&w->label_id, epoch->label_id); /* ORD-21 */
	ts_a64_store_rel(&w->label_seq, odd + 1);        /* ORD-21 */
}

/* The owner of the slot. The same text as in the slot's last life needs no work. */
static void set_label(struct ts_epoch *epoch, const char *label)
{
	if (epoch->label_known && !strncmp(epoch->label_given, label ? label : "", 32))
		return;
	strncpy(epoch->label_given, label ? label : "", 32);
	epoch->label_known = !epoch->label_given[31]; /* else the rest may differ next time */
	epoch->label_given[31] = '\0';
	ts_label_clean(label, epoch->label);
	epoch->label_id = ts_label_id(epoch->label);
	show_label(epoch);
}

int ts_epoch_relabel(struct ts_epoch *epoch, const char *label)
{
	ts_lock(&ts_lock_meta);
	epoch->label_known = false;
	ts_a32_store_rlx(&epoch->altered, 1);
	ts_label_clean(label, epoch->label);
	epoch->label_id = ts_label_id(epoch->label);
	show_label(epoch);
	ts_unlock(&ts_lock_meta);
	return 0;
}

/* Eight tries: nobody waits for a text. */
void ts_epoch_label_words(const struct ts_epoch *epoch, uint64_t words[4])
{
	const struct ts_epoch_words *w = epoch->stat;

	for (unsigned tries = 0; tries < 8; tries++) {
		uint64_t seq = ts_a64_load_acq(&w->label_seq); /* ORD-21 acquire, as each below */

		words[0] = ts_a64_load_acq(&w->label0);
		words[1] = ts_a64_load_acq(&w->label1);
		words[2] = ts_a64_load_acq(&w->label2); /* ORD-21 */
		words[3] = ts_a64_load_acq(&w->label3); /* ORD-21 */
		if (!(seq & 1) && ts_a64_load_rlx(&w->label_seq) == seq)
			return;
	}
}

void ts_epoch_label(const struct ts_epoch *epoch, char label[32])
{
	uint64_t words[4];

	ts_epoch_label_words(epoch, words);
	memcpy(label, words, 32);
	label[31] = '\0';
}

uint64_t ts_epoch_age_ns(const struct ts_epoch *epoch)
{
	uint64_t since = ts_a64_load_rlx(&epoch->stat->open_since_ns);
	uint64_t now = ts_os_coarse_ns();

	return now > since ? now - since : 0;
}

static void show_open(struct ts_epoch *epoch, uint64_t id)
{
	struct ts_epoch_words *w = epoch->stat;

	/* ORD-21 release, each: a reader that sees one of them sees that the id before it is gone. */
	ts_a64_store_rel(&w->heap_id, ts_epoch_heap(epoch)->id);
	ts_a64_store_rel(&w->ring_index, epoch->ring_entry);
	ts_a64_store_rel(&w->kind, epoch->is_default);
	ts_a64_store_rel(&w->open_since_ns, epoch->open_since_ns);                   /* ORD-21 */
	ts_a64_store_rel(&w->close_since_ns, 0);                                     /* ORD-21 */
	ts_a64_store_rel(&w->limit_bytes, ts_a64_load_rlx(&epoch->limit_bytes));     /* ORD-21 */
	ts_a64_store_rel(&w->charged_bytes, ts_a64_load_rlx(&epoch->charged_bytes)); /* ORD-21 */
	ts_a64_store_rel(&w->references, ts_a64_load_rlx(&epoch->references));       /* ORD-21 */
	ts_a64_store_rel(&w->abandoned, 0);                                          /* ORD-21 */
	ts_a64_store_rel(&w->state, ts_ew_state(ts_a64_load_rlx(&epoch->e)));        /* ORD-21 */
	/* ORD-21 release: a reader that sees the id sees the rest of the row. */
	ts_a64_store_rel(&w->id, id);
}

void ts_epoch_show(struct ts_epoch *epoch)
{
	show_label(epoch);
	show_open(epoch, ts_a64_load_rlx(&epoch->id));
}

int ts_epoch_open(struct tslab_heap *heap, const char *label, unsigned ring_entry, bool is_default,
		  uint64_t least_era, uint64_t *id)
{
	struct ts_thread *thread = ts_tls.self;
	struct ts_epoch *epoch = take_slot(thread);
	struct ts_lane *warm;

	if (!epoch)
		return ts_a32_load_rlx(&ts_epochs.count) == TS_EPOCH_SLOTS ? -EAGAIN : -ENOMEM;
	epoch->era = epoch->era + 1 > least_era ? epoch->era + 1 : least_era;
	*id = epoch->era << 16 | epoch->slot;
	ts_a64_store_rlx(&epoch->heap, (uintptr_t)heap);
	epoch->ring_entry = (uint8_t)ring_entry;
	epoch->is_default = is_default;
	ts_a64_store_rlx(&epoch->limit_bytes, 0);
	ts_a64_store_rlx(&epoch->charged_bytes, 0);
	ts_a64_store_rlx(&epoch->references, 0);
	ts_a32_store_rlx(&epoch->altered, 0);
	set_label(epoch, label);
	/* A warm lane joins before the epoch exists for others: that takes no atomic operation. */
	warm = ts_lane_get_warm(thread, heap);
	if (warm) {
		ts_lane_bind(warm, epoch, *id, false);
		ts_a32_store_rlx(&warm->next_in_epoch, 0);
		ts_thread_know_lane(thread, *id, warm);
	}
	ts_a64_store_rlx(&epoch->lanes, warm ? warm->index + 1 : 0);
	epoch->open_since_ns = ts_os_coarse_ns();
	ts_ew_open(&epoch->e, epoch->era, warm ? 2 : 1);
	show_open(epoch, *id);
	/* ORD-22 release: pairs with ts_epoch_find. */
	ts_a64_store_rel(&epoch->id, *id);
	ts_count_own(epochs_opened);
	return 0;
}

/* -- lanes of an epoch -------------------------------------------------------------------------- */

enum take { TOOK, TAKE_OTHER, TAKE_WAIT, TAKE_STALE };

/* Try one lane. On TOOK the epoch was ACTIVE after the take. */
static enum take try_lane(struct ts_epoch *epoch, uint64_t id, struct ts_lane *lane, uint64_t with,
			  unsigned flags)
{
	uint64_t e;

	/* Tags of different slots are equal all the time: do not even touch another epoch's lane. */
	if (ts_a64_load_rlx(&lane->epoch_id) != id)
		return TAKE_OTHER;
	switch (ts_lw_take(&lane->w, ts_lw_tag(ts_epoch_era(id)), with)) {
	case TS_LW_TAKEN:
		break;
	case TS_LW_WAIT:
		return TAKE_WAIT;
	default:
		return TAKE_OTHER;
	}
	/* That was a filter; under HELD the full id is the truth, and the kind: a thread may know the lane
	 * from an older era of the slot, when it had the other one. */
	if (ts_a64_load_rlx(&lane->epoch_id) != id || ts_lane_flags(lane) != flags) {
		ts_lane_release(lane);
		return TAKE_OTHER;
	}
	e = ts_a64_load_acq(&epoch->e); /* ORD-10 acquire */
	if (ts_ew_is(e, ts_epoch_era(id)) && ts_ew_state(e) == TS_EPOCH_ACTIVE)
		return TOOK;
	ts_lane_release(lane);
	return ts_ew_is(e, ts_epoch_era(id)) && ts_ew_state(e) == TS_EPOCH_DISCARDING ? TAKE_WAIT :
											TAKE_STALE;
}

/* A parked lane among all lanes of the epoch. The caller has a reference, so the list stays. */
static enum take walk_lanes(struct ts_epoch *epoch, uint64_t id, uint64_t with, unsigned flags,
			    struct ts_lane **found)
{
	uint64_t link = ts_a64_load_acq(&epoch->lanes); /* ORD-12 acquire: the lane behind the link */

	while (link) {
		struct ts_lane *lane = ts_lane_at((uint32_t)link - 1);

		if (ts_lane_flags(lane) == flags) {
			enum take took = try_lane(epoch, id, lane, with, flags);

			*found = lane;
			if (took != TAKE_OTHER)
				return took;
		}
		link = ts_a32_load_rlx(&lane->next_in_epoch);
	}
	return TAKE_OTHER;
}

/* The caller's reference becomes the lane's. TAKE_WAIT: a discard may have walked past the new lane. */
static enum take create_lane(struct ts_epoch *epoch, uint64_t id, uint64_t with, unsigned flags,
			     struct ts_lane **found)
{
	struct ts_lane *lane = ts_lane_get(ts_tls.self, ts_epoch_heap(epoch), flags);
	uint64_t head;

	if (!lane) {
		ts_epoch_drop(epoch, 1);
		ts_failed(TS_FAILED_MAPPING);
		errno = ENOMEM;
		*found = NULL;
		return TOOK;
	}
	ts_lane_bind(lane, epoch, id, true);
	if (with)
		ts_a64_or_rlx(&lane->w, with);
	head = ts_a64_load_rlx(&epoch->lanes);
	do {
		ts_a32_store_rlx(&lane->next_in_epoch, (uint32_t)head);
		/* ORD-12 seq_cst: pairs with ORD-13; either the closer sees the lane or we see its state. Who
		 * sees this link has all older ones with it: each is a read-modify-write of the same word. */
	} while (!ts_a64_cas_sc(&epoch->lanes, &head, lane->index + 1));
	*found = lane;
	switch (ts_ew_state(ts_a64_load_sc(&epoch->e))) { /* ORD-12 */
	case TS_EPOCH_ACTIVE:
		return TOOK;
	case TS_EPOCH_CLOSING:
		ts_lw_mark_closing(&lane->w);
		ts_lane_release(lane);
		return TAKE_STALE;
	default:
		ts_a32_store_rlx(&epoch->altered, 1);
		ts_lw_die(&lane->w);
		ts_epoch_drop(epoch, 1);
		return TAKE_WAIT;
	}
}

static enum take find_lane(struct ts_epoch *epoch, uint64_t id, uint64_t with, unsigned flags,
			   struct ts_lane **lane)
{
	enum take took;

	switch (ts_ew_ref(&epoch->e, ts_epoch_era(id), TS_IN_ACTIVE)) {
	case TS_EPOCH_ACTIVE:
		break;
	case TS_EPOCH_DISCARDING:
		return TAKE_WAIT;
	default:
		return TAKE_STALE;
	}
	if (ts_a64_load_rlx(&epoch->id) != id) {
		ts_epoch_drop(epoch, 1);
		return TAKE_STALE;
	}
	took = walk_lanes(epoch, id, with, flags, lane);
	if (took == TAKE_OTHER)
		return create_lane(epoch, id, with, flags, lane);
	ts_epoch_drop(epoch, 1);
	return took;
}

struct ts_lane *ts_epoch_take_lane(struct ts_epoch *epoch, uint64_t id, uint64_t with, unsigned flags)
{
	struct ts_thread *thread = ts_tls.self;
	struct ts_lane *lane = thread ? ts_thread_known_lane(thread, id, flags) : NULL;
	enum take took = lane ? try_lane(epoch, id, lane, with, flags) : TAKE_OTHER;
	unsigned rounds = 0;

	if (took == TOOK)
		return lane;
	ts_fork_check();
	while (took == TAKE_OTHER || took == TAKE_WAIT) {
		if (took == TAKE_WAIT)
			ts_os_wait_a_little(&rounds);
		took = find_lane(epoch, id, with, flags, &lane);
	}
	if (took == TOOK) {
		if (lane && thread && !thread->ending)
			ts_thread_know_lane(thread, id, lane);
		return lane;
	}
	errno = ESTALE;
	return NULL;
}
