/* SPDX-License-Identifier: MIT */
#include "slab.h"

#include <errno.h>

#include "check.h"
#include "epoch.h"
#include "failure.h"
#include "heap.h"
#include "owner.h"
#include "process.h"
#include "redzone.h"
#include "retain.h"
#include "slack.h"
#include "thread.h"

#define NO_HURRY_BYTES ((uint64_t)8 << 20) /* little against what the pool keeps */

static uint64_t unit_granule(uint32_t unit)
{
	return (uint64_t)unit * TS_UNIT_GRANULES;
}

static struct ts_bin *unit_bin(uint32_t unit)
{
	return (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[unit]);
}

static void add_units(struct ts_lane *lane, unsigned c, int units)
{
	ts_block_put_units(lane->stat, c, ts_block_units(lane->stat, c) + (uint32_t)units);
	ts_bump_word(&lane->stat->w.units_live, (uint64_t)(int64_t)units);
}

/* Nodes of a unit in which a slot starts, a bit each; 0 if it carries no slab. The others stay sealed. */
static uint64_t unit_starts(uint32_t unit)
{
	unsigned c = ts_range.chunks[unit / TS_CHUNK_UNITS].unit_class[unit % TS_CHUNK_UNITS];
	unsigned place = (unit - ts_slab_first_unit(unit)) * TS_UNIT_NODES;

	return unit_bin(unit) ? ts_sizeclass_start_nodes[c] >> place & ((1u << TS_UNIT_NODES) - 1) :
				0;
}

/* Of the nodes from the first on: nothing in them can be freed. */
static void kill_nodes(struct ts_node *first, uint64_t which)
{
	for (uint64_t rest = which; rest; rest &= rest - 1)
		ts_a64_store_rlx(&first[__builtin_ctzll(rest)].local, UINT64_MAX);
}

/* -- chunks of a lane --------------------------------------------------------------------------- */

static void link_chunk(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];

	ts_chunk_seal(chunk);
	ts_a32_store_rlx(&c->state, TS_CHUNK_SLABS);
	c->units_used = 0;
	c->empty = 0;
	c->next = lane->chunks;
	c->prev = 0;
	if (lane->chunks)
		ts_range.chunks[lane->chunks].prev = chunk;
	lane->chunks = chunk;
	lane->chunk_count++;
	ts_bump_word(&lane->stat->w.chunk_bytes, TS_CHUNK_BYTES);
	ts_a32_store_rlx(&c->lane, lane->index + 1);
	ts_owner_show(chunk, 1, lane->index + 1);
}

static void unlink_chunk(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];

	if (c->prev)
		ts_range.chunks[c->prev].next = c->next;
	else
		lane->chunks = c->next;
	if (c->next)
		ts_range.chunks[c->next].prev = c->prev;
	if (lane->filling == chunk)
		lane->filling = 0;
	lane->chunk_count--;
	ts_bump_word(&lane->stat->w.chunk_bytes, -(uint64_t)TS_CHUNK_BYTES);
	ts_a32_store_rlx(&c->lane, 0);
	ts_owner_show(chunk, 1, 0);
}

/* A chunk with room for a slab of class c; 0 with errno. */
static uint32_t chunk_with_room(struct ts_lane *lane, unsigned c)
{
	unsigned units = ts_sizeclasses[c].slab_units;
	uint32_t filling = lane->filling;
	uint32_t chunk;

	if (filling && ts_range.chunks[filling].units_used + units <= TS_CHUNK_UNITS)
		return filling;
	ts_bump_word(&lane->stat->w.slow_misses, 1);
	chunk = ts_lane_take_chunks(lane, 1, 1, c);
	if (!chunk)
		return 0;
	filling = lane->filling; /* memory may have been given up */
	link_chunk(lane, chunk);
	ts_chunk_charge_to(chunk, c);
	ts_count_class(c, chunk_misses, 1);
	ts_slack_taken(lane);
	/* The chunk with more room left serves next. */
	if (!filling || ts_range.chunks[filling].units_used > units)
		lane->filling = chunk;
	return chunk;
}

/* -- slabs -------------------------------------------------------------------------------------- */

static void set_next(uint32_t slab, uint32_t next)
{
	uint32_t flags = ts_a32_load_rlx(ts_range_chain(slab)) & ~TS_CHAIN_NEXT;

	ts_a32_store_rlx(ts_range_chain(slab), flags | next);
}

/* Nothing of the slab can be freed. The order: header first, for a turner (ORD-8). */
static void open_units(struct ts_lane *lane, unsigned c, uint32_t first)
{
	unsigned units = ts_sizeclasses[c].slab_units;
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)first * TS_UNIT_NODES];

	for (uint32_t u = first; u < first + units; u++) {
		ts_a32_store_rlx(ts_range_chain(u), u == first ? 0 : TS_CHAIN_INSIDE | (u - first));
		ts_range.chunks[u / TS_CHUNK_UNITS].unit_class[u % TS_CHUNK_UNITS] = (uint8_t)c;
		/* ORD-24 release: in the copy that a fork makes, a unit with a header has sealed nodes. */
		ts_a64_store_rel(&ts_range.headers[u], (uintptr_t)&lane->bin[c]);
	}
	for (uint64_t rest = ts_sizeclass_start_nodes[c]; rest; rest &= rest - 1)
		ts_node_open(&nodes[__builtin_ctzll(rest)], UINT64_MAX);
	ts_redzone_open(first, units);
	ts_slab_retag_units(first, units);
}

uint32_t ts_slab_new(struct ts_lane *lane, unsigned c)
{
	unsigned units = ts_sizeclasses[c].slab_units;
	uint32_t chunk = chunk_with_room(lane, c);
	uint32_t first;

	if (!chunk)
		return 0;
	first = chunk * TS_CHUNK_UNITS + ts_range.chunks[chunk].units_used;
	ts_range.chunks[chunk].units_used += (uint8_t)units;
	open_units(lane, c, first);
	if (lane->slab[c])
		set_next(lane->slab[c], first);
	else
		lane->first_slab[c] = first;
	lane->classes |= (uint64_t)1 << c;
	add_units(lane, c, (int)units);
	ts_count_own_class(c, slabs_opened, 1);
	return first;
}

void ts_slab_note_places(struct ts_lane *lane)
{
	unsigned count = 0;

	for (uint64_t rest = lane->bumped; rest; rest &= rest - 1)
		lane->place[count++] = (uint16_t)((unsigned)__builtin_ctzll(rest) * TS_PLACE_BYTES);
	for (; count % 4; count++)
		lane->place[count] = lane->place[count - 1];
	lane->place_count = (uint16_t)count;
	lane->placed = lane->bumped;
}

/* What a discard has to do for the class. */
static void note_mode(struct ts_lane *lane, unsigned c)
{
	uint64_t bit = (uint64_t)1 << c;
	bool bumped = !ts_bin_in_stack_mode(&lane->bin[c]) && ts_a64_load_rlx(&lane->bin[c].end);
	bool simple = bumped && lane->slab[c] == lane->first_slab[c];

	lane->bumped = bumped ? lane->bumped | bit : lane->bumped & ~bit;
	lane->simple = simple ? lane->simple | bit : lane->simple & ~bit;
}

static inline void clear_flags(uint32_t slab)
{
	ts_a32_store_rlx(ts_range_chain(slab), ts_slab_next(slab));
}

/*
 * [bump, end) before the bits, or before the mark of a slab that has them: what looks live and was never
 * handed out is always inside it, or in a slab that waits. In between the two words may be of different
 * slabs, which whoever looks from outside takes for "none" (see slab.h).
 */
void ts_slab_carve(struct ts_lane *lane, unsigned c, uint32_t slab)
{
	struct ts_bin *bin = &lane->bin[c];
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)slab * TS_UNIT_NODES];
	bool has_bits = ts_bin_in_stack_mode(bin) || ts_slab_waits(slab);

	if (lane->slab[c])
		clear_flags(lane->slab[c]);
	if (has_bits) {
		ts_slab_carve_with_bits(lane, c, slab);
	} else {
		lane->slab[c] = slab;
		ts_a32_store_rlx(ts_range_chain(slab), ts_slab_next(slab) | TS_CHAIN_CARVING);
		ts_slab_set_bounds(bin, c, slab);
		for (uint64_t rest = ts_sizeclass_start_nodes[c]; rest; rest &= rest - 1) {
			unsigned n = (unsigned)__builtin_ctzll(rest);

			ts_a64_store_rel(&nodes[n].local, ts_sizeclass_template[c][n]); /* ORD-24 */
		}
	}
	note_mode(lane, c);
}

/* As ts_lane_alloc would, which counts it. */
static bool go_on_in_stack(struct ts_lane *lane, unsigned c)
{
	struct ts_bin *bin = &lane->bin[c];

	if (!bin->top[-1] && !ts_stack_below(lane, bin, c))
		return false;
	ts_bump_word(&lane->stat->w.slow_hits, 1);
	ts_count_own_class(c, slow_reused, 1);
	return true;
}

bool ts_slab_go_on(struct ts_lane *lane, size_t place)
{
	unsigned c = (unsigned)(place / TS_PLACE_BYTES);

	return ts_bin_in_stack_mode(&lane->bin[c]) ? go_on_in_stack(lane, c) :
						     ts_slab_bump_on(lane, c);
}

/* No slots are left that were never handed out; the mode stays. */
static void stop_carving(struct ts_bin *bin)
{
	ts_a64_store_rlx(&bin->bump, ts_a64_load_rlx(&bin->bump) & TS_BIN_RESERVE);
	ts_a64_store_rlx(&bin->end, 0);
}

static uint32_t slab_of_address(uint64_t address)
{
	return ts_slab_first_unit((uint32_t)((address - (uintptr_t)ts_range.base) >> TS_UNIT_SHIFT));
}

/*
 * Are there slots in [low, high) that were never handed out? [bump, end) are, if the two words are of one slab,
 * which is asked last: it takes two looks at the chain.
 */
static bool uncarved_slots(const struct ts_bin *bin, uint64_t low, uint64_t high, uint64_t *bump)
{
	uint64_t end = ts_a64_load_rlx(&bin->end);

	*bump = ts_bin_next(bin);
	return low < end && high > *bump && *bump && *bump < end &&
	       slab_of_address(*bump) == slab_of_address(end - 1);
}

/*
 * What was never handed out of the slab being carved cannot be freed any more: its bits say so. In the child of
 * a fork the bin may still be about another slab, or in between.
 */
static void retire_uncarved(const struct ts_bin *bin, unsigned c, uint32_t slab)
{
	uint64_t start = (uintptr_t)ts_range_address(unit_granule(slab));
	uint64_t bytes = (uint64_t)ts_sizeclasses[c].slab_units << TS_UNIT_SHIFT;
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)slab * TS_UNIT_NODES];
	uint64_t bump, granule, n;

	if (!uncarved_slots(bin, start, start + bytes, &bump))
		return;
	granule = (bump - start) >> TS_GRANULE_SHIFT;
	n = granule >> 6;
	/* Its lower bits are those of slots that were. */
	ts_a64_store_rlx(&nodes[n].local,
			 ts_a64_load_rlx(&nodes[n].local) | UINT64_MAX << (granule & 63));
	kill_nodes(nodes, ts_sizeclass_start_nodes[c] & ~(uint64_t)1 << n);
}

static void kill_slab(unsigned c, uint32_t slab)
{
	kill_nodes(&ts_range.nodes[(uint64_t)slab * TS_UNIT_NODES], ts_sizeclass_start_nodes[c]);
}

/* Slabs that wait behind the one being carved get the bits of fresh ones. */
static void kill_waiting(struct ts_lane *lane, unsigned c)
{
	for (uint32_t slab = lane->slab[c]; slab && (slab = ts_slab_next(slab));) {
		if (!ts_slab_waits(slab))
			continue;
		kill_slab(c, slab);
		clear_flags(slab);
	}
}

static void begin_stack_mode(struct ts_lane *lane, struct ts_bin *bin)
{
	unsigned c = ts_lane_class(lane, bin);
	uint64_t bump = ts_a64_load_rlx(&bin->bump);

	if (bump != ts_a64_load_rlx(&bin->end))
		retire_uncarved(bin, c, lane->slab[c]);
	kill_waiting(lane, c);
	ts_a64_store_rlx(&bin->bump, bump | TS_BIN_RESERVE);
	note_mode(lane, c);
}

void ts_slab_list_first(struct ts_lane *lane, struct ts_bin *bin, void *p)
{
	/* Without memory for a block the slot is free by its bit alone, and a bump bin goes on as one. */
	if (ts_stack_full(bin, bin->top) && !ts_stack_grow(lane, bin))
		return;
	if (!ts_bin_in_stack_mode(bin))
		begin_stack_mode(lane, bin);
	ts_stack_put(bin, bin->top, p);
}

/* False: no memory for a block of the stack. */
static bool list_reserve(struct ts_lane *lane, unsigned c)
{
	struct ts_bin *bin = &lane->bin[c];
	uint64_t bump = ts_bin_next(bin);
	uint64_t slots = ts_bin_reserve_slots(bin);
	uint64_t most = ts_stack_refill_slots(lane, c);

	if (ts_stack_full(bin, bin->top) && !ts_stack_grow(lane, bin))
		return false;
	slots = slots < most ? slots : most;
	/* The lowest is handed out first. */
	for (uint64_t n = slots; n-- > 0;)
		ts_stack_put(bin, bin->top, (char *)bump + n * bin->bytes);
	ts_a64_store_rlx(&bin->bump, (bump + slots * bin->bytes) | TS_BIN_RESERVE);
	return true;
}

bool ts_slab_refill(struct ts_lane *lane, unsigned c)
{
	if (list_reserve(lane, c))
		return true;
	ts_failed(TS_FAILED_MAPPING);
	errno = ENOMEM;
	return false;
}

/* Nothing was freed one by one: the slabs that were carved wait again, with the bits that they have. */
static void rewind_bump(struct ts_lane *lane, unsigned c)
{
	uint32_t first = lane->first_slab[c];
	uint32_t slab = first;

	for (;; slab = ts_slab_next(slab)) {
		ts_a32_store_rlx(ts_range_chain(slab), ts_slab_next(slab) | TS_CHAIN_WAITING);
		if (slab == lane->slab[c])
			break;
	}
	ts_slab_carve_with_bits(lane, c, first);
	lane->bumped |= (uint64_t)1 << c;
	lane->simple |= (uint64_t)1 << c;
}

/*
 * Slots were freed one by one once: bits and stack begin anew. The class stays in stack mode if that happened
 * since the last discard, because it will happen again, and then the first free of each request would have
 * to change the mode.
 */
static void rewind_stack(struct ts_lane *lane, unsigned c, bool stay)
{
	struct ts_bin *bin = &lane->bin[c];
	uint32_t first = lane->first_slab[c];

	ts_stack_clear(lane, bin, c);
	for (uint32_t slab = first;; slab = ts_slab_next(slab)) {
		kill_slab(c, slab);
		if (slab == lane->slab[c])
			break;
	}
	ts_a64_store_rlx(&bin->bump, stay ? TS_BIN_RESERVE : 0);
	ts_slab_carve(lane, c, first);
	/* Without memory for it the first allocation tries again. */
	if (stay)
		(void)list_reserve(lane, c);
}

/* Has a slot of the class been freed by itself since the last discard? */
static bool freed_singly(struct ts_lane *lane, unsigned c)
{
	return (uint16_t)ts_a64_load_rlx(&lane->stat->cls[c].frees) != lane->frees_seen[c];
}

static void rewind_class(struct ts_lane *lane, unsigned c)
{
	bool stay = freed_singly(lane, c) && !lane->unlisted;

	ts_count_all_freed(&lane->stat->cls[c]);
	lane->frees_seen[c] = (uint16_t)ts_a64_load_rlx(&lane->stat->cls[c].frees);
	if (ts_bin_in_stack_mode(&lane->bin[c]) || lane->unlisted)
		rewind_stack(lane, c, stay);
	else
		rewind_bump(lane, c);
}

void ts_slab_rewind_others(struct ts_lane *lane)
{
	/* A slot that no stack has may be one of a bump bin: then that one's bits are not right either. */
	for (uint64_t rest = lane->classes & ~(lane->unlisted ? 0 : lane->simple); rest;
	     rest &= rest - 1) {
		unsigned c = (unsigned)__builtin_ctzll(rest);

		if ((lane->bumped >> c & 1) && !lane->unlisted)
			rewind_bump(lane, c);
		/* All freed one by one, or unused: stack and bits are right as they are. */
		else if (ts_lane_class_live(lane, c) || lane->unlisted)
			rewind_class(lane, c);
	}
	lane->unlisted = false;
}

void ts_slab_forget_bins(struct ts_lane *lane)
{
	for (uint64_t rest = lane->classes; rest; rest &= rest - 1) {
		unsigned c = (unsigned)__builtin_ctzll(rest);
		struct ts_bin *bin = &lane->bin[c];

		ts_stack_clear(lane, bin, c);
		retire_uncarved(bin, c, lane->slab[c]);
		kill_waiting(lane, c);
		ts_a64_store_rlx(&bin->bump, 0);
		ts_a64_store_rlx(&bin->end, 0);
		lane->first_slab[c] = lane->slab[c] = 0;
	}
	lane->classes = 0;
	lane->bumped = lane->simple = lane->wide = 0;
	lane->filling = 0;
	lane->unlisted = false;
	lane->trim_at_bytes = TS_CHUNK_BYTES;
	ts_slack_end(lane);
}

bool ts_slab_handed_out_of_carved(const struct ts_bin *bin, uint64_t t)
{
	uint64_t address = (uintptr_t)ts_range_address(t);
	uint64_t bump;

	return !uncarved_slots(bin, address, address + TS_GRANULE_BYTES, &bump);
}

uint64_t ts_slab_handed_out_bits(const struct ts_bin *bin, uint64_t node)
{
	uint64_t start = (uintptr_t)ts_range_address(node << 6);
	uint64_t bump;

	if (ts_slab_waits(ts_slab_first_unit((uint32_t)(node / TS_UNIT_NODES))))
		return 0;
	if (!uncarved_slots(bin, start, start + 1024, &bump))
		return UINT64_MAX;
	return start >= bump ? 0 : ((uint64_t)1 << ((bump - start) >> TS_GRANULE_SHIFT)) - 1;
}

uint32_t ts_slab_count_live(uint32_t chunk)
{
	uint64_t node = (uint64_t)chunk * TS_CHUNK_NODES;
	unsigned used = ts_range.chunks[chunk].units_used;
	uint32_t live = 0;

	for (unsigned u = 0; u < used; u++, node += TS_UNIT_NODES)
		for (uint64_t rest = unit_starts(chunk * TS_CHUNK_UNITS + u); rest; rest &= rest - 1)
			live += (uint32_t)__builtin_popcountll(~ts_a64_load_rlx(
				&ts_range.nodes[node + (unsigned)__builtin_ctzll(rest)].local));
	return live;
}

void ts_slab_kill_slots(uint32_t chunk)
{
	uint32_t first = chunk * TS_CHUNK_UNITS;

	for (uint32_t u = first; u < first + ts_range.chunks[chunk].units_used; u++)
		kill_nodes(&ts_range.nodes[(uint64_t)u * TS_UNIT_NODES], unit_starts(u));
}

/* -- return ------------------------------------------------------------------------------------- */

static void unseal_nodes(struct ts_node *first, uint64_t which)
{
	for (uint64_t rest = which; rest; rest &= rest - 1)
		ts_node_unseal(&first[__builtin_ctzll(rest)]);
}

/* All nodes of a unit are sealed then, or none in which a slot starts. */
static bool seal_unit(uint32_t unit)
{
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)unit * TS_UNIT_NODES];
	uint64_t starts = unit_starts(unit);

	for (uint64_t rest = starts; rest; rest &= rest - 1) {
		if (ts_node_seal(&nodes[__builtin_ctzll(rest)]))
			continue;
		unseal_nodes(nodes, starts ^ rest);
		return false;
	}
	return true;
}

void ts_slab_outdate_handles(uint32_t chunk)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];

	if (!c->handles_issued)
		return;
	/* ORD-17 release: pairs with the acquire loads around a generation check. */
	ts_a32_store_rel(&c->gen_base, ts_a32_load_rlx(&c->gen_base) + 1);
	c->handles_issued = 0;
}

bool ts_slab_return(struct ts_lane *lane, uint32_t chunk, struct ts_chunk_batch *batch)
{
	uint32_t first = chunk * TS_CHUNK_UNITS;

	ts_redzone_check_chunk(chunk);
	for (uint32_t u = first; u < first + ts_range.chunks[chunk].units_used; u++) {
		struct ts_bin *bin = unit_bin(u);

		if (!bin)
			continue;
		if (!seal_unit(u))
			return false;
		ts_a64_store_rlx(&ts_range.headers[u], 0);
		ts_slab_retag_units(u, 1);
		add_units(lane, ts_lane_class(lane, bin), -1);
	}
	TS_CHECK(ts_a32_load_rlx(&ts_range.chunks[chunk].lane) == lane->index + 1,
		 "a chunk is returned by a lane that does not own it");
	ts_slab_outdate_handles(chunk);
	unlink_chunk(lane, chunk);
	ts_epoch_uncharge(lane, TS_CHUNK_BYTES);
	ts_chunk_put(ts_tls.self, ts_lane_heap(lane)->retain_bytes, chunk, 1, batch);
	return true;
}

void ts_slab_return_if_empty(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk_batch batch = { 0, 0, false };

	if (ts_range.chunks[chunk].live)
		return;
	ts_slab_return(lane, chunk, &batch);
	ts_chunk_flush(&batch);
}

/* -- trim --------------------------------------------------------------------------------------- */

static bool unit_free(uint32_t unit)
{
	const struct ts_node *nodes = &ts_range.nodes[(uint64_t)unit * TS_UNIT_NODES];
	bool waits = ts_slab_waits(ts_slab_first_unit(unit));

	for (uint64_t rest = unit_starts(unit); rest; rest &= rest - 1) {
		const struct ts_node *node = &nodes[__builtin_ctzll(rest)];

		if (ts_a64_load_rlx(&node->remote) || (~ts_a64_load_rlx(&node->local) && !waits))
			return false;
	}
	return true;
}

static bool all_free(uint32_t chunk)
{
	uint32_t first = chunk * TS_CHUNK_UNITS;
	unsigned used = ts_range.chunks[chunk].units_used;

	for (uint32_t u = first; u < first + used; u++)
		if (!unit_free(u))
			return false;
	return used > 0;
}

/* Those that go; returns how many. `slack` is how many may stay, and then how many more might. */
static uint32_t mark_empty_chunks(struct ts_lane *lane, uint32_t *slack)
{
	uint32_t marked = 0;

	for (uint32_t chunk = lane->chunks; chunk; chunk = ts_range.chunks[chunk].next) {
		bool failed =
			ts_range.chunks[chunk].empty; /* to be returned: it serves no class any more */
		bool empty = all_free(chunk);
		bool stays = empty && *slack && !failed;

		*slack -= stays;
		ts_range.chunks[chunk].empty = empty && !stays;
		marked += ts_range.chunks[chunk].empty;
		if (ts_range.chunks[chunk].empty)
			ts_slab_kill_slots(chunk); /* of slabs that wait */
	}
	return marked;
}

static bool slab_marked(uint32_t slab)
{
	return ts_range.chunks[slab / TS_CHUNK_UNITS].empty;
}

/* Take the slabs of marked chunks out of a class's chain, and keep its carving place meaningful. */
static void drop_marked_slabs(struct ts_lane *lane, unsigned c)
{
	uint32_t carving = lane->slab[c];
	uint32_t kept = 0;       /* last slab kept so far */
	bool reached = false;    /* the carving slab was passed */
	bool carve_next = false; /* it went, and nothing before it stayed */

	for (uint32_t slab = lane->first_slab[c], next; slab; slab = next) {
		next = ts_slab_next(slab);
		if (slab_marked(slab)) {
			if (slab == carving) {
				lane->slab[c] = kept;
				stop_carving(&lane->bin[c]);
				carve_next = !kept;
			}
		} else {
			if (kept)
				set_next(kept, slab);
			else
				lane->first_slab[c] = slab;
			kept = slab;
			if (carve_next && reached) {
				ts_slab_carve(lane, c, slab);
				carve_next = false;
			}
		}
		reached |= slab == carving;
	}
	if (kept) {
		set_next(kept, 0);
	} else {
		/* As if it had never been used. */
		ts_stack_clear(lane, &lane->bin[c], c);
		ts_a64_store_rlx(&lane->bin[c].bump, 0);
		lane->first_slab[c] = lane->slab[c] = 0;
		lane->classes &= ~((uint64_t)1 << c);
		lane->wide &= ~((uint64_t)1 << c);
	}
	note_mode(lane, c);
}

/*
 * To look costs a little for each chunk, and what goes may be wanted back: not before an eighth of the lane more has
 * been freed. Of a lane that never ends up to half, if what it lets go stays in the pool: there is no hurry.
 */
static uint64_t bytes_to_next_look(const struct ts_lane *lane)
{
	uint64_t bytes = ts_lane_bytes(lane);
	uint64_t half = bytes / 2 < NO_HURRY_BYTES ? bytes / 2 : NO_HURRY_BYTES;
	uint64_t step = bytes / 8 < TS_CHUNK_BYTES ? TS_CHUNK_BYTES : bytes / 8;

	bool hurry = !ts_retain_any() || !ts_lane_never_ends(lane) || ts_epoch_limited(lane);

	return hurry || half < step ? step : half;
}

void ts_lane_trim_all(struct ts_lane *lane)
{
	ts_slack_end(lane);
	ts_lane_trim(lane);
}

void ts_lane_trim(struct ts_lane *lane)
{
	struct ts_chunk_batch batch = { 0, 0, ts_lane_never_ends(lane) };
	uint32_t slack = ts_slack_learn(lane);
	uint32_t marked = mark_empty_chunks(lane, &slack);
	uint32_t next;

	ts_bump_word(&lane->stat->w.trims, 1);
	if (marked) {
		for (uint64_t rest = lane->classes; rest; rest &= rest - 1) {
			unsigned c = (unsigned)__builtin_ctzll(rest);

			ts_stack_drop_marked(lane, &lane->bin[c], c);
			drop_marked_slabs(lane, c);
		}
		for (uint32_t chunk = lane->chunks; chunk; chunk = next) {
			next = ts_range.chunks[chunk].next;
			if (ts_range.chunks[chunk].empty)
				ts_slab_return(lane, chunk, &batch);
		}
		ts_chunk_flush(&batch);
		lane->returned_chunks += marked;
	}
	lane->trim_at_bytes =
		lane->listed_bytes + bytes_to_next_look(lane) + (uint64_t)slack * TS_CHUNK_BYTES;
}

/* -- fork recovery ------------------------------------------------------------------------------ */

/* All units of a slab that starts here carry the header; else it was being opened or returned. */
static bool slab_whole(struct ts_lane *lane, uint32_t unit, uint32_t end)
{
	struct ts_bin *bin = unit_bin(unit);
	unsigned units;

	if (!bin || bin < lane->bin || bin >= lane->bin + TS_CLASS_COUNT ||
	    (ts_a32_load_rlx(ts_range_chain(unit)) & TS_CHAIN_INSIDE))
		return false;
	units = ts_sizeclasses[ts_lane_class(lane, bin)].slab_units;
	for (uint32_t u = unit; u < unit + units; u++)
		if (u >= end || unit_bin(u) != bin)
			return false;
	return true;
}

/* Bit = start of a slot of this node that is free: by one of its bits, or because it never left. */
static uint64_t free_bits(const struct ts_bin *bin, uint64_t node, uint64_t starts)
{
	uint64_t local = ts_a64_load_rlx(&ts_range.nodes[node].local);
	uint64_t remote = ts_a64_load_rlx(&ts_range.nodes[node].remote);

	return starts & (local | remote | ~ts_slab_handed_out_bits(bin, node));
}

static uint32_t adopt_node(struct ts_lane *lane, unsigned c, uint64_t node, uint64_t template)
{
	uint64_t starts = ~template;
	uint64_t free = free_bits(&lane->bin[c], node, starts);

	for (uint64_t rest = lane->settled ? 0 : free; rest; rest &= rest - 1)
		ts_slab_list(lane, &lane->bin[c],
			     ts_range_address((node << 6) + (uint64_t)__builtin_ctzll(rest)));
	ts_node_open(&ts_range.nodes[node], template | free);
	return (uint32_t)__builtin_popcountll(starts & ~free);
}

static uint32_t adopt_slab(struct ts_lane *lane, uint32_t first)
{
	unsigned c = ts_lane_class(lane, unit_bin(first));
	unsigned units = ts_sizeclasses[c].slab_units;
	uint32_t live = 0;

	for (uint64_t rest = ts_sizeclass_start_nodes[c]; rest; rest &= rest - 1) {
		unsigned n = (unsigned)__builtin_ctzll(rest);

		live += adopt_node(lane, c, (uint64_t)first * TS_UNIT_NODES + n,
				   ts_sizeclass_template[c][n]);
	}
	ts_a32_store_rlx(ts_range_chain(first), 0);
	if (!lane->settled) {
		if (lane->slab[c])
			set_next(lane->slab[c], first);
		else
			lane->first_slab[c] = first;
		lane->slab[c] = first;
		lane->classes |= (uint64_t)1 << c;
	}
	add_units(lane, c, (int)units);
	ts_count_class(c, slabs_adopted, 1);
	ts_bump_word(&lane->stat->cls[c].allocs, live);
	return live;
}

void ts_slab_all_carved(struct ts_lane *lane)
{
	for (unsigned c = 0; c < TS_CLASS_COUNT; c++) {
		stop_carving(&lane->bin[c]);
		note_mode(lane, c);
	}
}

void ts_slab_keep_chunk(struct ts_lane *lane, uint32_t chunk)
{
	uint32_t first = chunk * TS_CHUNK_UNITS;

	for (uint32_t u = first; u < first + ts_range.chunks[chunk].units_used; u++) {
		if (!unit_bin(u))
			continue;
		add_units(lane, ts_lane_class(lane, unit_bin(u)), 1);
		unseal_nodes(&ts_range.nodes[(uint64_t)u * TS_UNIT_NODES], unit_starts(u));
	}
}

void ts_slab_adopt_chunk(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];
	uint32_t first = chunk * TS_CHUNK_UNITS;
	uint32_t end = first + c->units_used;
	unsigned used = c->units_used;

	/* One whose nodes were just being sealed has no slab yet. */
	link_chunk(lane, chunk);
	c->units_used = (uint8_t)used;
	c->live = 0;
	for (uint32_t u = first; u < first + TS_CHUNK_UNITS;) {
		if (slab_whole(lane, u, end)) {
			unsigned class = ts_lane_class(lane, unit_bin(u));

			c->live += adopt_slab(lane, u);
			u += ts_sizeclasses[class].slab_units;
			continue;
		}
		ts_a64_store_rlx(&ts_range.headers[u], 0);
		for (unsigned n = 0; n < TS_UNIT_NODES; n++)
			ts_node_begin(&ts_range.nodes[(uint64_t)u * TS_UNIT_NODES + n]);
		u++;
	}
	if (used < TS_CHUNK_UNITS)
		lane->filling = chunk;
	ts_a64_add_rlx(&ts_lane_heap(lane)->charged_bytes, TS_CHUNK_BYTES);
	ts_a64_add_rlx(&ts_lane_epoch(lane)->charged_bytes, TS_CHUNK_BYTES);
}

/* -- looks without ownership -------------------------------------------------------------------- */

bool ts_slab_is_slot_start(uint64_t t)
{
	struct ts_bin *bin = unit_bin((uint32_t)(t >> 9));
	struct ts_lane *lane = ts_lane_of_bin(bin);
	uint64_t offset = t - unit_granule(ts_slab_first_unit((uint32_t)(t >> 9)));
	unsigned c;

	if (!bin)
		return false;
	if (bin == &lane->large)
		return (t & (TS_CHUNK_GRANULES - 1)) == 0;
	c = ts_lane_class(lane, bin);
	return !(ts_sizeclass_template[c][offset / 64] >> (offset % 64) & 1);
}
