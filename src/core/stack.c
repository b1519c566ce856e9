/* SPDX-License-Identifier: MIT */
#include "stack.h"

#include <string.h>

#include "config.h" /* TSLAB_STACK_SLOTS */
#include "slack.h"
#include "thread.h"

_Static_assert(TSLAB_STACK_SLOTS <= 126, "the link and a NULL are in a wide block, too");

char *const ts_stack_none[1];

/* A thread that ends has given its spare blocks away. */
static struct ts_spare_blocks *own_blocks(void)
{
	return ts_tls.self && !ts_tls.self->ending ? ts_tls.self->spare : NULL;
}

static enum ts_stack_block kind_of(const struct ts_lane *lane, unsigned c)
{
	return lane->wide >> c & 1 ? TS_STACK_WIDE : TS_STACK_NARROW;
}

static unsigned words(enum ts_stack_block kind)
{
	return (unsigned)(ts_stackblock_bytes(kind) / sizeof(void *));
}

/* The block that `top` stands in; a full one is the one below. */
static char **block_at(enum ts_stack_block kind, char **top)
{
	return (char **)((uintptr_t)(top - 1) & ~(ts_stackblock_bytes(kind) - 1));
}

static unsigned capacity(enum ts_stack_block kind, unsigned c)
{
	unsigned slots = TS_CHUNK_BYTES / ts_sizeclasses[c].bytes;
	unsigned most = words(kind) - 2; /* the link and the NULL */

	slots = slots < 4 ? 4 : slots;
	slots = slots < most ? slots : most;
	return slots < TSLAB_STACK_SLOTS ? slots : TSLAB_STACK_SLOTS;
}

unsigned ts_stack_capacity(const struct ts_lane *lane, unsigned c)
{
	return capacity(kind_of(lane, c), c);
}

unsigned ts_stack_refill_slots(const struct ts_lane *lane, unsigned c)
{
	unsigned slots = ts_stack_capacity(lane, c);

	return kind_of(lane, c) == TS_STACK_WIDE ? (slots + 1) / 2 : slots;
}

static uint64_t block_bytes(const struct ts_lane *lane, unsigned c)
{
	return (uint64_t)ts_stack_capacity(lane, c) * ts_sizeclasses[c].bytes;
}

uint64_t ts_stack_first_blocks_bytes(const struct ts_lane *lane)
{
	uint64_t bytes = 0;

	for (uint64_t rest = lane->classes; rest; rest &= rest - 1)
		bytes += block_bytes(lane, (unsigned)__builtin_ctzll(rest));
	return bytes;
}

char **ts_stack_top_below(const struct ts_lane *lane, unsigned c, char **top)
{
	enum ts_stack_block kind = kind_of(lane, c);
	char **below = (char **)block_at(kind, top)[0];

	return below ? below + words(kind) : TS_STACK_NONE;
}

/* An empty block on top of the stack. */
static bool push_block(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	enum ts_stack_block kind = kind_of(lane, c);
	char **block = ts_stackblock_get(own_blocks(), kind);

	if (!block)
		return false;
	block[0] = bin->top == TS_STACK_NONE ? NULL : (char *)block_at(kind, bin->top);
	ts_stack_set_end(bin, block + words(kind));
	bin->top -= capacity(kind, c);
	bin->top[-1] = NULL;
	lane->listed_bytes += block_bytes(lane, c);
	return true;
}

/* It is four times as long. */
static bool worth_widening(unsigned c)
{
	return 2 * capacity(TS_STACK_WIDE, c) >= 3 * capacity(TS_STACK_NARROW, c);
}

/* The first block is full: a wide one takes over what it has. */
static bool widen(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	unsigned slots = capacity(TS_STACK_NARROW, c);
	char **narrow = bin->top;
	uint64_t narrow_bytes = block_bytes(lane, c);
	uint64_t bit = (uint64_t)1 << c;

	lane->wide |= bit;
	ts_stack_forget(bin);
	if (!push_block(lane, bin, c)) {
		lane->wide &= ~bit;
		ts_stack_set_end(bin, narrow);
		return false;
	}
	memcpy(bin->top, narrow - slots, slots * sizeof(*bin->top));
	bin->top += slots;
	ts_stackblock_put(own_blocks(), TS_STACK_NARROW, block_at(TS_STACK_NARROW, narrow));
	lane->listed_bytes -= narrow_bytes;
	return true;
}

bool ts_stack_grow(struct ts_lane *lane, struct ts_bin *bin)
{
	unsigned c = ts_lane_class(lane, bin);
	bool first = bin->top != TS_STACK_NONE && kind_of(lane, c) == TS_STACK_NARROW;

	if (first && worth_widening(c) ? widen(lane, bin, c) : push_block(lane, bin, c))
		return true;
	lane->unlisted = true;
	return false;
}

/* Give back the topmost block. */
static void pop_block(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	enum ts_stack_block kind = kind_of(lane, c);
	char **block = block_at(kind, bin->top);

	ts_stack_set_end(bin, ts_stack_top_below(lane, c, bin->top));
	ts_stackblock_put(own_blocks(), kind, block);
	lane->listed_bytes -= block_bytes(lane, c);
	if (lane->listed_bytes < lane->least_listed_bytes)
		lane->least_listed_bytes = lane->listed_bytes;
}

static bool below(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	/* The last block stays: the next free would want it back. */
	if (bin->top == TS_STACK_NONE || !block_at(kind_of(lane, c), bin->top)[0])
		return false;
	pop_block(lane, bin, c);
	return true;
}

bool ts_stack_below(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	if (!below(lane, bin, c))
		return false;
	ts_slack_reused(lane, block_bytes(lane, c));
	return true;
}

void ts_stack_clear(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	while (bin->top != TS_STACK_NONE)
		pop_block(lane, bin, c);
}

void ts_stack_drop_marked(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	struct ts_bin old = *bin;

	ts_stack_forget(bin);
	while (old.top[-1] || below(lane, &old, c)) {
		char *p = *--old.top;
		uint64_t chunk = (uint64_t)(p - ts_range.base) >> TS_CHUNK_SHIFT;

		if (ts_range.chunks[chunk].empty)
			continue;
		if (!ts_stack_full(bin, bin->top) || ts_stack_grow(lane, bin))
			ts_stack_put(bin, bin->top, p);
	}
	ts_stack_clear(lane, &old, c);
}
