/* SPDX-License-Identifier: MIT */
/*
 * epoch.h: the process-wide table of epochs. A slot is used again and again; its era makes the 64-bit
 * id, era << 16 | slot, that is never used twice. A slot is opened by the thread that took it from the
 * free slots and finished by whoever drops the last reference (epochword.h).
 */
#ifndef TS_CORE_EPOCH_H
#define TS_CORE_EPOCH_H

#include <tslab/tslab.h>

#include "epochword.h"
#include "lane.h"

#define TS_EPOCH_SLOTS 65536u
#define TS_EPOCH_SLOTS_RESERVED 16u /* ids 0-15 are what tools call the ring's entries */

#define TS_IN_ACTIVE (1u << TS_EPOCH_ACTIVE)
#define TS_IN_OPEN (1u << TS_EPOCH_ACTIVE | 1u << TS_EPOCH_CLOSING | 1u << TS_EPOCH_DISCARDING)

struct ts_thread;

struct ts_epoch {
	ts_a64 e;     /* epochword.h */
	ts_a64 id;    /* 0 while free */
	ts_a64 lanes; /* index + 1 of the newest lane; linked with ORD-12, unlinked by finish only */
	ts_a64 heap;  /* struct tslab_heap *; who has no reference may look */
	struct ts_epoch_words *stat;
	uint64_t era;
	ts_a64 charged_bytes;
	ts_a64 limit_bytes;
	ts_a64 references;
	uint32_t slot;
	uint32_t next_free;
	uint32_t label_id;
	uint64_t open_since_ns;
	char label[32]; /* as shown */
	uint8_t is_default;
	uint8_t ring_entry; /* index + 1 */
	bool label_known;
	ts_a32 altered; /* not as it was opened: a limit, a label, a dead lane on its list, ... */
	char label_given[32]; /* as the program wrote it: the same text again costs one comparison */
} __attribute__((aligned(256)));

_Static_assert(sizeof(struct ts_epoch) == 256, "a power of two, for ts_table");

extern TS_HIDDEN struct ts_table ts_epochs;

static inline uint32_t ts_epoch_slot(uint64_t id)
{
	return (uint32_t)(id & 0xffff);
}

static inline uint64_t ts_epoch_era(uint64_t id)
{
	return id >> 16;
}

static inline struct tslab_heap *ts_epoch_heap(const struct ts_epoch *epoch)
{
	return (struct tslab_heap *)ts_a64_load_rlx(&epoch->heap);
}

/* The row of an epoch that is not over yet, or NULL. Checked again where it matters: ts_ew_ref, CAS. */
static inline struct ts_epoch *ts_epoch_find(uint64_t id)
{
	uint32_t slot = ts_epoch_slot(id);
	struct ts_epoch *epoch = ts_table_at(&ts_epochs, slot);

	if (slot < TS_EPOCH_SLOTS_RESERVED || slot >= ts_a32_load_acq(&ts_epochs.count)) /* ORD-20 */
		return NULL;
	/* ORD-22 acquire: pairs with the store of id in open; the row is complete behind it. */
	return ts_a64_load_acq(&epoch->id) == id ? epoch : NULL;
}

/*
 * Open an epoch. 0, -EAGAIN, -ENOMEM. `ring_entry`: index + 1, or 0. Its era is above that of the slot's
 * last epoch, and at least `least_era`: the eras of a ring rise although its epochs use many slots.
 */
int ts_epoch_open(struct tslab_heap *heap, const char *label, unsigned ring_entry, bool is_default,
		  uint64_t least_era, uint64_t *id);
int ts_epoch_close(struct ts_epoch *epoch, uint64_t id);
int ts_epoch_discard(struct ts_epoch *epoch, uint64_t id);
/* Force, for heap_destroy: nobody may be inside or arrive. -EBUSY if somebody is. */
int ts_epoch_destroy(struct ts_epoch *epoch, uint64_t id);
void ts_epoch_drop(struct ts_epoch *epoch, uint64_t count);

/*
 * A lane of the epoch that the caller then holds, as a scope (`with` 0) or for the length of a call
 * (TS_LW_TRANSIENT). Sets holder for scopes. NULL with errno ESTALE or ENOMEM.
 */
struct ts_lane *ts_epoch_take_lane(struct ts_epoch *epoch, uint64_t id, uint64_t with,
				   unsigned flags);

/* Charge memory of a lane against the limits of its epoch and heap. False = refused (counted, errno). */
bool ts_epoch_charge(struct ts_lane *lane, uint64_t bytes);
void ts_epoch_uncharge(struct ts_lane *lane, uint64_t bytes);
/* There is a limit to the memory of the lane's epoch or heap: nobody takes more than he was asked for. */
bool ts_epoch_limited(const struct ts_lane *lane);

/* A pair (keep.h) goes: its lane rests and its slot is free, with `thread` if that may keep them. */
void ts_epoch_dissolve(struct ts_epoch *epoch, struct ts_lane *lane, struct ts_thread *thread);

/* Since it was opened. */
uint64_t ts_epoch_age_ns(const struct ts_epoch *epoch);

/* Label of an epoch, from its shown words: a report may run while the label changes. */
void ts_epoch_label_words(const struct ts_epoch *epoch, uint64_t words[4]);
void ts_epoch_label(const struct ts_epoch *epoch, char label[32]);
int ts_epoch_relabel(struct ts_epoch *epoch, const char *label);

/* A slot is free: `thread` keeps it for the next epoch that it opens, if it may. */
void ts_epoch_return_slot(struct ts_thread *thread, struct ts_epoch *epoch);
/* The end of a thread: its cached slots go back. */
void ts_epoch_return_slots(struct ts_thread *thread);

/* Fork recovery: show the row again; forget all free slots, then add them one by one. */
void ts_epoch_show(struct ts_epoch *epoch);
void ts_epoch_forget_slots(void);
void ts_epoch_share_slot(uint32_t slot);
/* Fork recovery: go on with a close that had begun. The caller owns the open reference. */
void ts_epoch_close_lanes(struct ts_epoch *epoch);

int ts_epoch_start(void);

#endif
