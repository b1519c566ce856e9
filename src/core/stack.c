/* SPDX-License-Identifier: MIT */
#include "stack.h"

#include "thread.h"

unsigned ts_stack_capacity(unsigned c)
{
	unsigned slots = TS_CHUNK_BYTES / ts_sizeclasses[c].bytes;

	return slots < 4 ? 4 : slots > TS_STACK_BLOCK_WORDS - 2 ? TS_STACK_BLOCK_WORDS - 2 : slots;
}

static uint64_t block_bytes(unsigned c)
{
	return (uint64_t)ts_stack_capacity(c) * ts_sizeclasses[c].bytes;
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
	block[0] = bin->top ? (char *)(bin->top - TS_STACK_BLOCK_WORDS) : NULL;
	*bottom = NULL;
	bin->top = bin->head ? bottom + 1 : bottom;
	lane->listed_bytes += block_bytes(c);
	return true;
}

static char **block_of(char **top)
{
	return (char **)((uintptr_t)top & ~(uintptr_t)(TS_STACK_BLOCK_BYTES - 1));
}

bool ts_stack_below(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	char **block = block_of(bin->top);
	char **below;

	if (!bin->top)
		return false;
	below = (char **)block[0];
	ts_thread_block_put(ts_tls.self, block);
	lane->listed_bytes -= block_bytes(c);
	bin->top = below;
	if (!below)
		return false;
	bin->top = below + TS_STACK_BLOCK_WORDS - 1;
	bin->head = *bin->top;
	return true;
}

void ts_stack_clear(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	while (bin->top) {
		/* A full block is the one below `top`. */
		char **block = block_of(bin->top - 1);
		char **below = (char **)block[0];

		ts_thread_block_put(ts_tls.self, block);
		lane->listed_bytes -= block_bytes(c);
		bin->top = below ? below + TS_STACK_BLOCK_WORDS : NULL;
	}
	bin->head = NULL;
}

void ts_stack_drop_marked(struct ts_lane *lane, struct ts_bin *bin, unsigned c)
{
	struct ts_bin old = *bin;

	bin->head = NULL;
	bin->top = NULL;
	while (old.head || ts_stack_below(lane, &old, c)) {
		char *p = old.head;
		uint64_t chunk = (uint64_t)(p - ts_range.base) >> TS_CHUNK_SHIFT;

		old.head = *--old.top;
		if (!ts_range.chunks[chunk].empty)
			ts_stack_push(lane, bin, p);
	}
}
