/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "slab.h"
#include "stack.h"
#include "thread.h"

void ts_die(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		abort();
	abort();
}

static bool fail(const char **why, const char *text)
{
	*why = text;
	return false;
}

/* Entries of a bin's stack; each must be a free slot of the bin. UINT64_MAX if one is not. */
static uint64_t stack_length(const struct ts_lane *lane, const struct ts_bin *bin)
{
	unsigned c = ts_lane_class(lane, bin);
	char **top = bin->top;
	uint64_t length = 0;

	while (top != TS_STACK_NONE) {
		for (; top[-1]; top--) {
			uint64_t t = (uint64_t)(top[-1] - ts_range.base) >> TS_GRANULE_SHIFT;

			if (ts_a64_load_rlx(&ts_range.headers[t >> 9]) != (uintptr_t)bin ||
			    !(ts_a64_load_rlx(&ts_range.nodes[t >> 6].local) >> (t & 63) & 1) ||
			    !ts_slab_is_slot_start(t))
				return UINT64_MAX;
			length++;
		}
		top = ts_stack_top_below(lane, c, top);
	}
	return length;
}

/* The chain of blocks: only the topmost may have room. What all of them may hold, in bytes, or UINT64_MAX. */
static uint64_t blocks_bytes(const struct ts_lane *lane, unsigned c)
{
	const struct ts_bin *bin = &lane->bin[c];
	uint64_t most = ts_stack_capacity(lane, c);
	uint64_t blocks = 0;

	for (char **top = bin->top; top != TS_STACK_NONE; top = ts_stack_top_below(lane, c, top)) {
		uint64_t slots = 0;

		while (top[-1 - (ptrdiff_t)slots])
			slots++;
		if (blocks++ ? slots != most : slots > most)
			return UINT64_MAX;
	}
	return blocks * most * bin->bytes;
}

/* What the lane remembers of its stacks and slabs, so that it need not look. */
static bool check_notes(const struct ts_lane *lane, const char **why)
{
	uint64_t listed = 0;

	for (unsigned c = 0; c < TS_CLASS_COUNT; c++) {
		const struct ts_bin *bin = &lane->bin[c];
		bool stack_mode = ts_bin_in_stack_mode(bin);
		bool bumped = !stack_mode && ts_a64_load_rlx(&bin->end);
		bool simple = bumped && lane->slab[c] == lane->first_slab[c];
		uint64_t bytes = blocks_bytes(lane, c);

		if (bytes == UINT64_MAX)
			return fail(why, "a block below the topmost is not full");
		if (bytes && !(stack_mode && lane->classes >> c & 1))
			return fail(why, "a class without a stack has blocks of one");
		if ((lane->bumped >> c & 1) != bumped || (lane->simple >> c & 1) != simple)
			return fail(why, "bumped or simple is not what the bin is");
		listed += bytes;
	}
	return listed == lane->listed_bytes ||
	       fail(why, "listed_bytes differs from the blocks of the stacks");
}

/* Slots of one class by state, from the bits. */
struct tally {
	uint64_t live, free;
	uint64_t open; /* nodes without a slot that are not sealed */
};

/* A node in which no slot starts. */
static bool sealed(uint64_t node)
{
	return !~ts_a64_load_rlx(&ts_range.nodes[node].local) &&
	       ts_a64_load_rlx(&ts_range.nodes[node].remote) == TS_NODE_SEALED;
}

static void tally_unit(uint32_t unit, const struct ts_bin *bin, unsigned c, struct tally *tally)
{
	uint32_t first = ts_slab_first_unit(unit);

	for (unsigned n = 0; n < TS_UNIT_NODES; n++) {
		unsigned place = (unit - first) * TS_UNIT_NODES + n;
		uint64_t node = (uint64_t)unit * TS_UNIT_NODES + n;
		uint64_t starts = ~ts_sizeclass_template[c][place];

		tally->open += !starts && !sealed(node);
		for (; starts; starts &= starts - 1) {
			uint64_t t = (node << 6) + (uint64_t)__builtin_ctzll(starts);
			bool set = ts_a64_load_rlx(&ts_range.nodes[node].local) >> (t & 63) & 1;

			tally->live += !set && ts_slab_handed_out(bin, t);
			tally->free += set || ts_slab_waits(first);
		}
	}
}

static bool check_chunks(struct ts_lane *lane, struct tally tally[TS_CLASS_COUNT], const char **why)
{
	uint32_t prev = 0, count = 0;

	for (uint32_t chunk = lane->chunks; chunk; chunk = ts_range.chunks[chunk].next) {
		const struct ts_chunk *c = &ts_range.chunks[chunk];

		if (c->prev != prev || ts_a32_load_rlx(&c->state) != TS_CHUNK_SLABS ||
		    ts_a32_load_rlx(&c->lane) != lane->index + 1)
			return fail(why, "a chunk does not know its lane or its neighbour");
		for (uint32_t u = chunk * TS_CHUNK_UNITS;
		     u < chunk * TS_CHUNK_UNITS + c->units_used; u++) {
			struct ts_bin *bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[u]);

			if (!bin)
				continue;
			if (ts_lane_of_bin(bin) != lane)
				return fail(why, "a unit of the lane belongs to another lane");
			tally_unit(u, bin, ts_lane_class(lane, bin),
				   &tally[ts_lane_class(lane, bin)]);
		}
		prev = chunk;
		count++;
	}
	return count == lane->chunk_count || fail(why, "chunk_count differs from the list");
}

/* Free slots that no stack has: the reserve, and slabs that wait behind the one being carved. */
static uint64_t waiting_slots(const struct ts_lane *lane, unsigned c)
{
	const struct ts_bin *bin = &lane->bin[c];
	uint64_t slots = ts_bin_in_stack_mode(bin) ? ts_bin_reserve_slots(bin) : 0;

	for (uint32_t slab = lane->slab[c]; slab && (slab = ts_slab_next(slab));)
		slots += ts_sizeclasses[c].slab_slots;
	return slots;
}

bool ts_check_lane(struct ts_lane *lane, const char **why)
{
	struct tally tally[TS_CLASS_COUNT];

	memset(tally, 0, sizeof(tally));
	if (!check_chunks(lane, tally, why) || !check_notes(lane, why))
		return false;
	for (unsigned c = 0; c < TS_CLASS_COUNT; c++) {
		const struct ts_class_words *words = &lane->stat->cls[c];
		uint64_t listed = stack_length(lane, &lane->bin[c]);

		if (listed == UINT64_MAX)
			return fail(why, "a stack entry is no free slot of its bin");
		if (tally[c].open)
			return fail(why, "a node without a slot is not sealed");
		if (!lane->unlisted && !lane->settled &&
		    listed + waiting_slots(lane, c) != tally[c].free)
			return fail(why, "stack length differs from the free bits");
		if (ts_a64_load_rlx(&words->allocs) - ts_a64_load_rlx(&words->frees) != tally[c].live)
			return fail(why, "allocs - frees differs from the live bits");
	}
	return true;
}
