/* SPDX-License-Identifier: MIT */
/* slab.h: slabs within the chunks of a lane. All calls are the holder's. */
#ifndef TS_CORE_SLAB_H
#define TS_CORE_SLAB_H

#include "stack.h"

/*
 * An entry of chain[]: of a slab's first unit the next slab of the class and lane, and whether the slab is
 * being carved, or waits for it again after a discard: then nothing of it is handed out, although its bits
 * are still those of a slab that is carved. Of its other units the distance to the first.
 */
#define TS_CHAIN_INSIDE 0x80000000u
#define TS_CHAIN_CARVING 0x40000000u
#define TS_CHAIN_WAITING 0x20000000u
#define TS_CHAIN_NEXT 0x1fffffffu

static inline uint32_t ts_slab_next(uint32_t slab)
{
	return ts_a32_load_rlx(ts_range_chain(slab)) & TS_CHAIN_NEXT;
}

static inline bool ts_slab_waits(uint32_t slab)
{
	return ts_a32_load_rlx(ts_range_chain(slab)) & TS_CHAIN_WAITING;
}

/* First unit of the slab that unit lies in. */
static inline uint32_t ts_slab_first_unit(uint32_t unit)
{
	uint32_t link = ts_a32_load_rlx(ts_range_chain(unit));

	return link & TS_CHAIN_INSIDE ? unit - (link & TS_CHAIN_NEXT) : unit;
}

/* For ts_slab_rewind. */
void ts_slab_note_places(struct ts_lane *lane);
void ts_slab_rewind_others(struct ts_lane *lane);

static inline void ts_slab_rewind_carved(struct ts_lane *lane, char *words, size_t place)
{
	struct ts_bin *bin = ts_bin_at(lane, place);

	ts_a64_store_rlx(&bin->bump, ts_a64_load_rlx(&bin->end) - ts_sizeclass_slab_bytes(place));
	ts_count_all_freed((struct ts_class_words *)(words + place));
}

/*
 * All slots of all classes as never handed out. A class of which nothing was freed one by one has its bits
 * still; it is not asked whether it was used at all, or how far: that differs from request to request, and a
 * wrong guess of the CPU costs more than the stores. Those that left their first slab are led back to it
 * afterwards. Four at a time, because a loop's taken branch costs as much as one class.
 */
static inline void ts_slab_rewind(struct ts_lane *lane)
{
	const uint16_t *place = lane->place;
	char *words = (char *)lane->stat->cls;

	if (__builtin_expect(lane->bumped != lane->placed, 0))
		ts_slab_note_places(lane);
	for (const uint16_t *end = place + lane->place_count; place < end; place += 4) {
		ts_slab_rewind_carved(lane, words, place[0]);
		ts_slab_rewind_carved(lane, words, place[1]);
		ts_slab_rewind_carved(lane, words, place[2]);
		ts_slab_rewind_carved(lane, words, place[3]);
	}
	if ((lane->classes & ~lane->simple) || lane->unlisted)
		ts_slab_rewind_others(lane);
}

/* What points into these units, or into memory of the lane, traps from now on: in builds with memory tags. */
static inline void ts_slab_retag_units(uint32_t first, unsigned units)
{
	ts_arch_retag(ts_range_address((uint64_t)first * TS_UNIT_GRANULES),
		      (size_t)units * TS_UNIT_BYTES);
}

static inline void ts_slab_retag(const struct ts_lane *lane)
{
	for (uint64_t rest = TS_ARCH_TAGS ? lane->classes : 0; rest; rest &= rest - 1) {
		unsigned c = (unsigned)__builtin_ctzll(rest);

		for (uint32_t slab = lane->first_slab[c]; slab; slab = ts_slab_next(slab))
			ts_slab_retag_units(slab, ts_sizeclasses[c].slab_units);
	}
}

/* A fresh slab of class c at the end of the class's chain: its first unit, or 0 with errno ENOMEM. */
uint32_t ts_slab_new(struct ts_lane *lane, unsigned c);
/* The slots of this slab are the next to hand out, in the mode that the bin is in. */
void ts_slab_carve(struct ts_lane *lane, unsigned c, uint32_t slab);

static inline void ts_slab_set_bounds(struct ts_bin *bin, unsigned c, uint32_t slab)
{
	uint64_t mode = ts_a64_load_rlx(&bin->bump) & TS_BIN_RESERVE;
	uint64_t start = (uintptr_t)ts_range_address((uint64_t)slab * TS_UNIT_GRANULES);

	ts_a64_store_rlx(&bin->bump, start | mode);
	/* ORD-24 release, and for what says that the slab is carved: the copy that a fork makes has them in
	 * this order. */
	ts_a64_store_rel(&bin->end, start + ts_sizeclasses[c].slab_bytes);
}

/* A slab with its bits is carved from now on. */
static inline void ts_slab_carve_with_bits(struct ts_lane *lane, unsigned c, uint32_t slab)
{
	lane->slab[c] = slab;
	ts_slab_set_bounds(&lane->bin[c], c, slab);
	ts_a32_store_rel(ts_range_chain(slab), ts_slab_next(slab) | TS_CHAIN_CARVING); /* ORD-24 */
}

/*
 * Of a bin in bump mode that has nothing at hand: the slots of the slab behind the one being carved, which waits since
 * a discard, are the next to hand out. False: there is none, or others freed what is to be looked at before.
 */
static inline bool ts_slab_bump_on(struct ts_lane *lane, unsigned c)
{
	uint64_t bit = (uint64_t)1 << c;
	/* Unit 0 is nobody's: its entry is 0. */
	ts_a32 *link = ts_range_chain(lane->slab[c]);
	uint32_t next = ts_a32_load_rlx(link) & TS_CHAIN_NEXT;

	if (!ts_slab_waits(next) || (ts_a64_load_rlx(&lane->w) & TS_LW_HEAD))
		return false;
	ts_a32_store_rlx(link, next);
	ts_slab_carve_with_bits(lane, c, next);
	lane->bumped |= bit;
	lane->simple &= ~bit;
	return true;
}

/* The same in either mode; in stack mode the slots of the block below. */
bool ts_slab_go_on(struct ts_lane *lane, size_t place);
/* Stack mode: put some slots of the reserve, which has some, on the stack. False with errno: no memory. */
bool ts_slab_refill(struct ts_lane *lane, unsigned c);
/* For ts_slab_list. */
void ts_slab_list_first(struct ts_lane *lane, struct ts_bin *bin, void *p);

/* A slot whose bit says free goes on the stack; the bin is in stack mode from then on. */
static inline void ts_slab_list(struct ts_lane *lane, struct ts_bin *bin, void *p)
{
	char **top = bin->top;

	if (__builtin_expect(!ts_stack_full(bin, top) && ts_bin_in_stack_mode(bin), 1))
		ts_stack_put(bin, top, p);
	else
		ts_slab_list_first(lane, bin, p);
}

/* The bins let go of all slabs: from now on chunks and local bits are all that is known. */
void ts_slab_forget_bins(struct ts_lane *lane);
/* Live slots of a chunk, counted from the bits, once the bins let go. */
uint32_t ts_slab_count_live(uint32_t chunk);
/* Set all local bits of a chunk: nothing in it can be freed any more. */
void ts_slab_kill_slots(uint32_t chunk);
/* Seal an empty chunk and return it. False: a stray free is under way, the chunk stays for now. */
bool ts_slab_return(struct ts_lane *lane, uint32_t chunk, struct ts_chunk_batch *batch);
/* Settled lane: return the chunk if its live count is 0. */
void ts_slab_return_if_empty(struct ts_lane *lane, uint32_t chunk);
/* Handles issued in this chunk are stale from now on. */
void ts_slab_outdate_handles(uint32_t chunk);
/*
 * Fork recovery: take a chunk whose unit headers name this lane, slot by slot. Slots never handed out
 * become free ones; freed bits of other threads are merged.
 */
void ts_slab_adopt_chunk(struct ts_lane *lane, uint32_t chunk);
/* Fork recovery, after the last chunk: every slot is free or live now. */
void ts_slab_all_carved(struct ts_lane *lane);
/*
 * Fork recovery, of a chunk with nothing live whose lane stays as it is: its units are counted, stray frees that
 * nobody will push any more are forgotten.
 */
void ts_slab_keep_chunk(struct ts_lane *lane, uint32_t chunk);
/* Bit = granule of a node of the bin that is not among the slots never handed out. */
uint64_t ts_slab_handed_out_bits(const struct ts_bin *bin, uint64_t node);
/* For ts_slab_handed_out. */
bool ts_slab_handed_out_of_carved(const struct ts_bin *bin, uint64_t t);

/*
 * Not among the slots never handed out? A look without ownership, after one at the local bit with acquire
 * (ORD-24). Touches the owner's bin only for slabs that are being carved: its line is the owner's hottest.
 */
static inline bool ts_slab_handed_out(const struct ts_bin *bin, uint64_t t)
{
	uint32_t unit = (uint32_t)(t >> 9);
	uint32_t link = ts_a32_load_rlx(ts_range_chain(unit));

	if (link & TS_CHAIN_INSIDE)
		link = ts_a32_load_rlx(ts_range_chain(unit - (link & TS_CHAIN_NEXT)));
	if (__builtin_expect(link & TS_CHAIN_CARVING, 0))
		return ts_slab_handed_out_of_carved(bin, t);
	return !(link & TS_CHAIN_WAITING);
}

/* Does a slot start at t, live or not? A look without ownership. */
bool ts_slab_is_slot_start(uint64_t t);

#endif
