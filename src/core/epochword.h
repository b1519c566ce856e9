/* SPDX-License-Identifier: MIT */
/*
 * epochword.h: the life of an epoch slot in one 64-bit word E: era, state, references.
 *
 * FREE -> ACTIVE -> CLOSING -> FREE, or ACTIVE -> DISCARDING -> (COMMITTED -> FREE | ACTIVE | CLOSING).
 * References: 1 for being open + 1 for each lane that is not DEAD + short ones (set_label and such).
 * Whoever takes the last reference finishes the epoch, alone; that happens once an era (I7).
 *
 * This header is compiled as it is into the library and into the Relacy harnesses.
 */
#ifndef TS_CORE_EPOCHWORD_H
#define TS_CORE_EPOCHWORD_H

#include "arch.h"

enum ts_epoch_state {
	TS_EPOCH_FREE = 0,
	TS_EPOCH_ACTIVE = 1,
	TS_EPOCH_CLOSING = 2,
	TS_EPOCH_DISCARDING = 3, /* the discarder looks whether anybody is inside; may roll back */
	TS_EPOCH_COMMITTED = 4,  /* nobody was: the memory goes */
};

#define TS_EW_ERA ((uint64_t)0xffffffffu)
#define TS_EW_STATE_SHIFT 32
#define TS_EW_STATE ((uint64_t)7 << TS_EW_STATE_SHIFT)
#define TS_EW_CLOSE_WANTED ((uint64_t)1 << 35)
#define TS_EW_REF ((uint64_t)1 << 36)
#define TS_EW_REFS (~(TS_EW_REF - 1))

static inline uint64_t ts_ew_make(uint64_t era, enum ts_epoch_state state, uint64_t refs)
{
	return (era & TS_EW_ERA) | (uint64_t)state << TS_EW_STATE_SHIFT | refs * TS_EW_REF;
}

static inline enum ts_epoch_state ts_ew_state(uint64_t e)
{
	return (enum ts_epoch_state)((e & TS_EW_STATE) >> TS_EW_STATE_SHIFT);
}

static inline bool ts_ew_is(uint64_t e, uint64_t era)
{
	return (e & TS_EW_ERA) == (era & TS_EW_ERA) && ts_ew_state(e) != TS_EPOCH_FREE;
}

static inline uint64_t ts_ew_with_state(uint64_t e, enum ts_epoch_state state)
{
	return (e & ~TS_EW_STATE) | (uint64_t)state << TS_EW_STATE_SHIFT;
}

/*
 * A reference for a new lane, or a short one; only while the era lives in one of the `states` (bit set
 * of 1 << state). Never a blind add: on a slot that is free that would make a second finish.
 * Returns the state that was seen; it is in `states` exactly if the reference was taken.
 */
static inline enum ts_epoch_state ts_ew_ref(ts_a64 *e, uint64_t era, unsigned states)
{
	uint64_t seen = ts_a64_load_rlx(e);

	for (;;) {
		/* No references: somebody is finishing it. */
		if (!ts_ew_is(seen, era) || !(seen & TS_EW_REFS))
			return TS_EPOCH_FREE;
		if (!(states >> ts_ew_state(seen) & 1))
			return ts_ew_state(seen);
		/* ORD-10 acquire: pairs with ORD-11; else a new lane reads the row of the era before. */
		if (ts_a64_cas_acq(e, &seen, seen + TS_EW_REF))
			return ts_ew_state(seen);
	}
}

/* Drop `count` references. True: the caller must finish the epoch. */
static inline bool ts_ew_drop(ts_a64 *e, uint64_t count)
{
	/* ORD-11 acq_rel: all that was done under any reference precedes the finish. */
	uint64_t old = ts_a64_sub_acqrel(e, count * TS_EW_REF);

	return (old & TS_EW_REFS) == count * TS_EW_REF;
}

/*
 * ACTIVE -> CLOSING (or COMMITTED etc. as given). Returns the state that was seen: `from` means that
 * this caller made the step. A close that meets a discard leaves its wish behind (CLOSE_WANTED).
 */
static inline enum ts_epoch_state ts_ew_begin_close(ts_a64 *e, uint64_t era)
{
	uint64_t seen = ts_a64_load_rlx(e);

	for (;;) {
		uint64_t next;

		if (!ts_ew_is(seen, era))
			return TS_EPOCH_FREE;
		if (ts_ew_state(seen) == TS_EPOCH_ACTIVE)
			next = ts_ew_with_state(seen, TS_EPOCH_CLOSING);
		else if (ts_ew_state(seen) == TS_EPOCH_DISCARDING && !(seen & TS_EW_CLOSE_WANTED))
			next = seen | TS_EW_CLOSE_WANTED;
		else
			return ts_ew_state(seen) == TS_EPOCH_DISCARDING ? TS_EPOCH_CLOSING :
									  ts_ew_state(seen);
		/* ORD-13 seq_cst: pairs with ORD-12; else close and a lane that is being linked miss each
		 * other, and the lane never closes. */
		if (ts_a64_cas_sc(e, &seen, next))
			return ts_ew_state(seen);
	}
}

/*
 * ACTIVE -> COMMITTED in one step, by a thread that holds (DISC) the only lane of the epoch and whose
 * open reference and that lane's are the only ones: then nobody is inside or on the way, because whoever
 * makes a lane takes a reference before. Gives up the lane's reference; the caller finishes.
 */
static inline bool ts_ew_discard_at_once(ts_a64 *e, uint64_t era)
{
	uint64_t alone = ts_ew_make(era, TS_EPOCH_ACTIVE, 2);

	/* ORD-11 acq_rel, as in ts_ew_commit_discard. */
	return ts_a64_cas_acqrel(e, &alone, ts_ew_make(era, TS_EPOCH_COMMITTED, 1));
}

/*
 * ACTIVE -> FREE in one step, by the thread that is inside with the only lane (HELD): as above, but the
 * slot and the lane stay with the caller, who alone opens the slot again.
 */
static inline bool ts_ew_end_alone(ts_a64 *e, uint64_t era)
{
	uint64_t alone = ts_ew_make(era, TS_EPOCH_ACTIVE, 2);

	/* ORD-11 acquire: all that was done under references that are gone precedes. Nothing is published:
	 * who finds the slot free by this word may not open it. */
	return ts_a64_cas_acq(e, &alone, ts_ew_make(era, TS_EPOCH_FREE, 0));
}

/* ACTIVE -> DISCARDING. Returns the state that was seen; ACTIVE means that this caller made the step. */
static inline enum ts_epoch_state ts_ew_begin_discard(ts_a64 *e, uint64_t era)
{
	uint64_t seen = ts_a64_load_rlx(e);

	for (;;) {
		uint64_t next;

		if (!ts_ew_is(seen, era))
			return TS_EPOCH_FREE;
		if (ts_ew_state(seen) != TS_EPOCH_ACTIVE)
			return ts_ew_state(seen);
		next = ts_ew_with_state(seen, TS_EPOCH_DISCARDING);
		/* ORD-13 seq_cst, as in ts_ew_begin_close. */
		if (ts_a64_cas_sc(e, &seen, next))
			return TS_EPOCH_ACTIVE;
	}
}

/*
 * Nobody is inside, the discarder holds `lanes` lanes: from here on there is no way back. It gives up
 * the references of those lanes with the same step and keeps the open one. Returns true if that is the
 * only one left: as nobody can take one in COMMITTED, the discarder finishes without a further step.
 */
static inline bool ts_ew_commit_discard(ts_a64 *e, uint64_t lanes)
{
	uint64_t seen = ts_a64_load_rlx(e);
	uint64_t next;

	do {
		next = ts_ew_with_state(seen, TS_EPOCH_COMMITTED) - lanes * TS_EW_REF;
		/* ORD-11 acq_rel: all that was done under the references that are gone precedes. */
	} while (!ts_a64_cas_acqrel(e, &seen, next));
	return (next & TS_EW_REFS) == TS_EW_REF;
}

/* Somebody is inside: ACTIVE again, or CLOSING if a close came meanwhile (true: finish that close). */
static inline bool ts_ew_roll_back_discard(ts_a64 *e)
{
	uint64_t seen = ts_a64_load_rlx(e);

	for (;;) {
		bool wanted = (seen & TS_EW_CLOSE_WANTED) != 0;
		uint64_t next = ts_ew_with_state(seen & ~TS_EW_CLOSE_WANTED,
						 wanted ? TS_EPOCH_CLOSING : TS_EPOCH_ACTIVE);

		/* ORD-13 seq_cst: becoming CLOSING here pairs with ORD-12 as in a close. */
		if (ts_a64_cas_sc(e, &seen, next))
			return wanted;
	}
}

/* The owner of a free slot alone: the era begins, with `refs` references. */
static inline void ts_ew_open(ts_a64 *e, uint64_t era, uint64_t refs)
{
	/* ORD-10 release: pairs with ts_ew_ref; the row is complete before anybody may use it. */
	ts_a64_store_rel(e, ts_ew_make(era, TS_EPOCH_ACTIVE, refs));
}

/* The finisher alone: the slot may be opened again. */
static inline void ts_ew_finish(ts_a64 *e, uint64_t era)
{
	/* ORD-11 release: pairs with the opener's acquire load. */
	ts_a64_store_rel(e, ts_ew_make(era, TS_EPOCH_FREE, 0));
}

#endif
