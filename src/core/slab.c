/* SPDX-License-Identifier: MIT */
#include "slab.h"

#include <errno.h>

#include "check.h"
#include "epoch.h"
#include "heap.h"
#include "process.h"
#include "stack.h"
#include "thread.h"

/* chain[] of a unit that is not a slab's first: how far it is from the first. */
#define INSIDE 0x80000000u

static uint64_t unit_granule(uint32_t unit)
{
	return (uint64_t)unit * TS_UNIT_GRANULES;
}

/* carved[] of a unit none of whose slots was handed out. */
static uint32_t uncarved(uint32_t unit)
{
	return (uint32_t)(uintptr_t)ts_range_address(unit_granule(unit));
}

static struct ts_bin *unit_bin(uint32_t unit)
{
	return (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[unit]);
}

static void add_units(struct ts_lane *lane, unsigned c, int units)
{
	ts_a16 *word = &lane->stat->units[c];

	ts_a16_store_rlx(word, (uint16_t)(ts_a16_load_rlx(word) + units));
	ts_bump_word(&lane->stat->w.units_live, (uint64_t)(int64_t)units);
}

/* -- chunks of a lane --------------------------------------------------------------------------- */

static void link_chunk(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];

	ts_a32_store_rlx(&c->state, TS_CHUNK_SLABS);
	c->units_used = 0;
	c->empty = 0;
	c->dirty = 1;
	c->next = lane->chunks;
	c->prev = 0;
	if (lane->chunks)
		ts_range.chunks[lane->chunks].prev = chunk;
	lane->chunks = chunk;
	lane->chunk_count++;
	ts_bump_word(&lane->stat->w.chunk_bytes, TS_CHUNK_BYTES);
	ts_a32_store_rlx(&c->lane, lane->index + 1);
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
}

/* A chunk with room for `units`; 0 with errno. */
static uint32_t chunk_with_room(struct ts_lane *lane, unsigned units)
{
	uint32_t filling = lane->filling;
	uint32_t chunk;

	if (filling && ts_range.chunks[filling].units_used + units <= TS_CHUNK_UNITS)
		return filling;
	if (!ts_epoch_charge(lane, TS_CHUNK_BYTES))
		return 0;
	ts_bump_word(&lane->stat->w.slow_misses, 1);
	chunk = ts_chunk_take(ts_tls.self, 1, 1);
	if (!chunk) {
		ts_epoch_uncharge(lane, TS_CHUNK_BYTES);
		return 0;
	}
	link_chunk(lane, chunk);
	/* The chunk with more room left serves next. */
	if (!filling || ts_range.chunks[filling].units_used > units)
		lane->filling = chunk;
	return chunk;
}

/* -- slabs -------------------------------------------------------------------------------------- */

/* The order matters to a turner (ORD-8) and to fork recovery: header and carve limit, then the nodes. */
static void open_units(struct ts_lane *lane, unsigned c, uint32_t first)
{
	unsigned units = ts_sizeclasses[c].slab_units;
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)first * TS_UNIT_NODES];

	for (uint32_t u = first; u < first + units; u++) {
		ts_range.chain[u] = u == first ? 0 : INSIDE | (u - first);
		ts_a32_store_rlx(&ts_range.carved[u], uncarved(u));
		ts_a64_store_rlx(&ts_range.headers[u], (uintptr_t)&lane->bin[c]);
	}
	for (unsigned n = 0; n < units * TS_UNIT_NODES; n++)
		ts_node_open(&nodes[n], ts_sizeclass_template[c][n]);
}

uint32_t ts_slab_new(struct ts_lane *lane, unsigned c)
{
	unsigned units = ts_sizeclasses[c].slab_units;
	uint32_t chunk = chunk_with_room(lane, units);
	uint32_t first;

	if (!chunk)
		return 0;
	first = chunk * TS_CHUNK_UNITS + ts_range.chunks[chunk].units_used;
	ts_range.chunks[chunk].units_used += (uint8_t)units;
	open_units(lane, c, first);
	if (lane->slab[c])
		ts_range.chain[lane->slab[c]] = first;
	else
		lane->first_slab[c] = first;
	lane->classes |= (uint64_t)1 << c;
	add_units(lane, c, (int)units);
	return first;
}

void ts_slab_carve(struct ts_lane *lane, unsigned c, uint32_t slab)
{
	struct ts_bin *bin = &lane->bin[c];

	lane->slab[c] = slab;
	bin->bump = ts_range_address(unit_granule(slab));
	bin->last = bin->bump + (ts_sizeclasses[c].slab_slots - 1) * ts_sizeclasses[c].bytes;
}

static void rewind_slab(unsigned c, uint32_t slab, bool bits)
{
	unsigned units = ts_sizeclasses[c].slab_units;
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)slab * TS_UNIT_NODES];

	for (uint32_t u = slab; u < slab + units; u++)
		ts_a32_store_rlx(&ts_range.carved[u], uncarved(u));
	for (unsigned n = 0; bits && n < units * TS_UNIT_NODES; n++)
		ts_a64_store_rlx(&nodes[n].local, ts_sizeclass_template[c][n]);
}

/* Nothing was freed one by one, and the first slab was enough. */
static bool rewind_simple(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	uint32_t first = lane->first_slab[c];

	if (bin->top || lane->unlisted || lane->slab[c] != first || ts_sizeclasses[c].slab_units > 1)
		return false;
	ts_a32_store_rlx(&ts_range.carved[first], uncarved(first));
	bin->bump = ts_range_address(unit_granule(first));
	return true;
}

void ts_slab_rewind(struct ts_lane *lane, unsigned c)
{
	struct ts_class_words *words = &lane->stat->cls[c];
	struct ts_bin *bin = &lane->bin[c];
	uint64_t allocs = ts_a64_load_rlx(&words->allocs);
	bool bits = bin->top != NULL || lane->unlisted;

	/* All freed one by one: stack and bits are right as they are. */
	if (allocs == ts_a64_load_rlx(&words->frees) && !lane->unlisted)
		return;
	ts_a64_store_rel(&words->frees, allocs); /* ORD-18 */
	if (rewind_simple(lane, bin, c))
		return;
	ts_stack_clear(lane, bin, c);
	for (uint32_t slab = lane->first_slab[c];; slab = ts_range.chain[slab]) {
		rewind_slab(c, slab, bits);
		if (slab == lane->slab[c])
			break;
	}
	ts_slab_carve(lane, c, lane->first_slab[c]);
}

void ts_slab_forget_bins(struct ts_lane *lane)
{
	for (uint64_t rest = lane->classes; rest; rest &= rest - 1) {
		unsigned c = (unsigned)__builtin_ctzll(rest);
		struct ts_bin *bin = &lane->bin[c];

		ts_stack_clear(lane, bin, c);
		bin->bump = TS_BIN_NONE_LEFT;
		bin->last = NULL;
		lane->first_slab[c] = lane->slab[c] = 0;
	}
	lane->classes = 0;
	lane->filling = 0;
	lane->unlisted = false;
	lane->trim_at_bytes = TS_CHUNK_BYTES;
}

uint64_t ts_slab_carved_bits(uint64_t node)
{
	uint64_t first = node << 6;
	uint32_t start = (uint32_t)(uintptr_t)ts_range_address(first);
	/* From the node's start; not above 0 if nothing in the node was handed out. */
	int32_t carved_bytes = (int32_t)(ts_a32_load_rlx(&ts_range.carved[first >> 9]) - start);

	if (carved_bytes <= 0)
		return 0;
	return carved_bytes >= 1024 ? UINT64_MAX :
				      ((uint64_t)1 << (carved_bytes >> TS_GRANULE_SHIFT)) - 1;
}

/* Bit = a slot that was handed out and is not free, for one node. */
static uint64_t live_bits(uint64_t node)
{
	return ~ts_a64_load_rlx(&ts_range.nodes[node].local) & ts_slab_carved_bits(node);
}

uint32_t ts_slab_count_live(uint32_t chunk)
{
	uint64_t node = (uint64_t)chunk * TS_CHUNK_NODES;
	unsigned used = ts_range.chunks[chunk].units_used;
	uint32_t live = 0;

	for (unsigned u = 0; u < used; u++, node += TS_UNIT_NODES) {
		if (!unit_bin(chunk * TS_CHUNK_UNITS + u))
			continue;
		for (unsigned n = 0; n < TS_UNIT_NODES; n++)
			live += (uint32_t)__builtin_popcountll(live_bits(node + n));
	}
	return live;
}

void ts_slab_kill_slots(uint32_t chunk)
{
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)chunk * TS_CHUNK_NODES];
	unsigned used = ts_range.chunks[chunk].units_used;

	for (unsigned n = 0; n < used * TS_UNIT_NODES; n++)
		ts_a64_store_rlx(&nodes[n].local, UINT64_MAX);
}

/* -- return ------------------------------------------------------------------------------------- */

/* All nodes of a unit, or none: what is sealed carries no slab. */
static bool seal_unit(uint32_t unit)
{
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)unit * TS_UNIT_NODES];

	for (unsigned n = 0; n < TS_UNIT_NODES; n++) {
		if (ts_node_seal(&nodes[n]))
			continue;
		while (n-- > 0)
			ts_node_unseal(&nodes[n]);
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

	for (uint32_t u = first; u < first + ts_range.chunks[chunk].units_used; u++) {
		struct ts_bin *bin = unit_bin(u);

		if (!bin)
			continue;
		if (!seal_unit(u))
			return false;
		ts_a64_store_rlx(&ts_range.headers[u], 0);
		add_units(lane, ts_lane_class(lane, bin), -1);
	}
	TS_CHECK(ts_a32_load_rlx(&ts_range.chunks[chunk].lane) == lane->index + 1,
		 "a chunk is returned by a lane that does not own it");
	ts_slab_outdate_handles(chunk);
	unlink_chunk(lane, chunk);
	ts_epoch_uncharge(lane, TS_CHUNK_BYTES);
	ts_chunk_put(ts_tls.self, lane->heap->retain_bytes, chunk, 1, batch);
	return true;
}

void ts_slab_return_if_empty(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk_batch batch = { 0, 0 };

	if (ts_range.chunks[chunk].live)
		return;
	ts_slab_return(lane, chunk, &batch);
	ts_chunk_flush(&batch);
}

/* -- trim --------------------------------------------------------------------------------------- */

static bool all_free(uint32_t chunk)
{
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)chunk * TS_CHUNK_NODES];
	unsigned used = ts_range.chunks[chunk].units_used;

	for (unsigned n = 0; n < used * TS_UNIT_NODES; n++)
		if (~ts_a64_load_rlx(&nodes[n].local) ||
		    (ts_a64_load_rlx(&nodes[n].remote) &&
		     unit_bin(chunk * TS_CHUNK_UNITS + n / TS_UNIT_NODES)))
			return false;
	return used > 0;
}

static uint32_t mark_empty_chunks(struct ts_lane *lane)
{
	uint32_t marked = 0;

	for (uint32_t chunk = lane->chunks; chunk; chunk = ts_range.chunks[chunk].next) {
		ts_range.chunks[chunk].empty = all_free(chunk);
		marked += ts_range.chunks[chunk].empty;
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
		next = ts_range.chain[slab];
		if (slab_marked(slab)) {
			if (slab == carving) {
				lane->slab[c] = kept;
				lane->bin[c].bump = TS_BIN_NONE_LEFT;
				lane->bin[c].last = NULL;
				carve_next = !kept;
			}
		} else {
			if (kept)
				ts_range.chain[kept] = slab;
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
		ts_range.chain[kept] = 0;
	} else {
		lane->first_slab[c] = lane->slab[c] = 0;
		lane->classes &= ~((uint64_t)1 << c);
	}
}

void ts_lane_trim(struct ts_lane *lane)
{
	struct ts_chunk_batch batch = { 0, 0 };
	uint64_t step = ts_lane_bytes(lane) / 8;
	uint32_t next;

	ts_bump_word(&lane->stat->w.trims, 1);
	if (mark_empty_chunks(lane)) {
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
	}
	/* Looking costs a little for each chunk: do it again when an eighth more has been freed. */
	lane->trim_at_bytes = lane->listed_bytes + (step > TS_CHUNK_BYTES ? step : TS_CHUNK_BYTES);
}

/* -- fork recovery ------------------------------------------------------------------------------ */

/* All units of a slab that starts here carry the header; else it was being opened or returned. */
static bool slab_whole(struct ts_lane *lane, uint32_t unit, uint32_t end)
{
	struct ts_bin *bin = unit_bin(unit);
	unsigned units;

	if (!bin || bin < lane->bin || bin >= lane->bin + TS_CLASS_COUNT ||
	    (ts_range.chain[unit] & INSIDE))
		return false;
	units = ts_sizeclasses[ts_lane_class(lane, bin)].slab_units;
	for (uint32_t u = unit; u < unit + units; u++)
		if (u >= end || unit_bin(u) != bin)
			return false;
	return true;
}

/* Bit = start of a slot of this node that is free: by one of its bits, or because it never left. */
static uint64_t free_bits(uint64_t node, uint64_t starts)
{
	uint64_t local = ts_a64_load_rlx(&ts_range.nodes[node].local);
	uint64_t remote = ts_a64_load_rlx(&ts_range.nodes[node].remote);

	return starts & (local | remote | ~ts_slab_carved_bits(node));
}

static uint32_t adopt_node(struct ts_lane *lane, unsigned c, uint64_t node, uint64_t template)
{
	uint64_t starts = ~template;
	uint64_t free = free_bits(node, starts);

	for (uint64_t rest = lane->settled ? 0 : free; rest; rest &= rest - 1)
		ts_stack_push(lane, &lane->bin[c],
			      ts_range_address((node << 6) + (uint64_t)__builtin_ctzll(rest)));
	ts_node_open(&ts_range.nodes[node], template | free);
	return (uint32_t)__builtin_popcountll(starts & ~free);
}

static uint32_t adopt_slab(struct ts_lane *lane, uint32_t first)
{
	unsigned c = ts_lane_class(lane, unit_bin(first));
	unsigned units = ts_sizeclasses[c].slab_units;
	uint32_t live = 0;

	for (unsigned n = 0; n < units * TS_UNIT_NODES; n++)
		live += adopt_node(lane, c, (uint64_t)first * TS_UNIT_NODES + n,
				   ts_sizeclass_template[c][n]);
	for (uint32_t u = first; u < first + units; u++)
		ts_a32_store_rlx(&ts_range.carved[u], uncarved(u) + TS_UNIT_BYTES);
	ts_range.chain[first] = 0;
	if (!lane->settled) {
		if (lane->slab[c])
			ts_range.chain[lane->slab[c]] = first;
		else
			lane->first_slab[c] = first;
		lane->slab[c] = first;
		lane->classes |= (uint64_t)1 << c;
	}
	add_units(lane, c, (int)units);
	ts_bump_word(&lane->stat->cls[c].allocs, live);
	return live;
}

void ts_slab_wipe_remote(uint32_t chunk)
{
	uint32_t first = chunk * TS_CHUNK_UNITS;

	for (uint32_t u = first; u < first + ts_range.chunks[chunk].units_used; u++)
		for (unsigned n = 0; unit_bin(u) && n < TS_UNIT_NODES; n++)
			ts_node_unseal(&ts_range.nodes[(uint64_t)u * TS_UNIT_NODES + n]);
}

void ts_slab_adopt_chunk(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];
	uint32_t first = chunk * TS_CHUNK_UNITS;
	uint32_t end = first + c->units_used;
	unsigned used = c->units_used;

	link_chunk(lane, chunk);
	c->units_used = (uint8_t)used;
	c->live = 0;
	for (uint32_t u = first; u < end;) {
		if (slab_whole(lane, u, end)) {
			unsigned class = ts_lane_class(lane, unit_bin(u));

			c->live += adopt_slab(lane, u);
			u += ts_sizeclasses[class].slab_units;
			continue;
		}
		ts_a64_store_rlx(&ts_range.headers[u], 0);
		for (unsigned n = 0; n < TS_UNIT_NODES; n++) {
			struct ts_node *node = &ts_range.nodes[(uint64_t)u * TS_UNIT_NODES + n];

			ts_a64_store_rlx(&node->local, UINT64_MAX);
			ts_a64_store_rlx(&node->remote, TS_NODE_SEALED);
		}
		u++;
	}
	if (used < TS_CHUNK_UNITS)
		lane->filling = chunk;
	ts_a64_add_rlx(&lane->heap->charged_bytes, TS_CHUNK_BYTES);
	ts_a64_add_rlx(&lane->epoch->charged_bytes, TS_CHUNK_BYTES);
}

/* -- looks without ownership -------------------------------------------------------------------- */

uint32_t ts_slab_first_unit(uint32_t unit)
{
	uint32_t link = ts_range.chain[unit];

	return link & INSIDE ? unit - (link & ~INSIDE) : unit;
}

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
