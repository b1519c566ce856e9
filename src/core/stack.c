/* SPDX-License-Identifier: MIT */
#include "stack.h"

#include "config.h" /* TSLAB_STACK_SLOTS */
#include "slack.h"
#include "thread.h"

_Static_assert(TSLAB_STACK_SLOTS <= TS_STACK_BLOCK_WORDS - 2,
	       "the link and a NULL are in a block, too");

char *const ts_stack_none[TS_STACK_BLOCK_WORDS] __attribute__((aligned(TS_STACK_BLOCK_BYTES)));

unsigned ts_stack_capacity(unsigned c)
{
	unsigned slots = TS_CHUNK_BYTES / ts_sizeclasses[c].bytes;

	slots = slots < 4 ? 4 : slots;
	return slots < TSLAB_STACK_SLOTS ? slots : TSLAB_STACK_SLOTS;
}

static uint64_t block_bytes(unsigned c)
{
	return (uint64_t)ts_stack_capacity(c) * ts_sizeclasses[c].bytes;
}

uint64_t ts_stack_first_blocks_bytes(const struct ts_lane *lane)
{
	uint64_t bytes = 0;

	for (uint64_t rest = lane->classes; rest; rest &= rest - 1)
		bytes += block_bytes((unsigned)__builtin_ctzll(rest));
	return bytes;
}

bool ts_stack_grow(struct ts_lane *lane, struct ts_bin *bin)
{
	unsigned c = ts_lane_class(lane, bin);
	char **block = ts_thread_block_get(ts_tls.self);
	char **bottom;

	if (!block) {
		lane->unlisted = true;
		return false;
	}
	bottom = block + TS_STACK_BLOCK_WORDS - ts_stack_capacity(c) - 1;
	block[0] = bin->top == TS_STACK_NONE ? NULL : (char *)(bin->top - TS_STACK_BLOCK_WORDS);
	*bottom = NULL;
	bin->top = bottom + 1;
	lane->listed_bytes += block_bytes(c);
	return true;
}

/* Give back the topmost block. */
static void pop_block(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	char **block = ts_stack_block(bin->top);

	bin->top = ts_stack_top_below(block);
	ts_thread_block_put(ts_tls.self, block);
	lane->listed_bytes -= block_bytes(c);
	if (lane->listed_bytes < lane->least_listed_bytes)
		lane->least_listed_bytes = lane->listed_bytes;
}

static bool below(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	/* The last block stays: the next free would want it back. */
	if (bin->top == TS_STACK_NONE || !ts_stack_block(bin->top)[0])
		return false;
	pop_block(lane, bin, c);
	return true;
}

bool ts_stack_below(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	if (!below(lane, bin, c))
		return false;
	ts_slack_reused(lane, block_bytes(c));
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

	bin->top = TS_STACK_NONE;
	while (old.top[-1] || below(lane, &old, c)) {
		char *p = *--old.top;
		uint64_t chunk = (uint64_t)(p - ts_range.base) >> TS_CHUNK_SHIFT;

		if (ts_range.chunks[chunk].empty)
			continue;
		if (!ts_stack_full(bin->top) || ts_stack_grow(lane, bin))
			ts_stack_put(bin, bin->top, p);
	}
	ts_stack_clear(lane, &old, c);
}
