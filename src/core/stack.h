/* SPDX-License-Identifier: MIT */
/* stack.h: the stack of free slots of a bin. Its form is told in lane.h; the holder alone uses it. */
#ifndef TS_CORE_STACK_H
#define TS_CORE_STACK_H

#include "lane.h"

/* Slots that a block of this class holds: at most 64 KiB of memory, but four slots at least. */
unsigned ts_stack_capacity(unsigned c);

/* What one block of each class in use holds. */
uint64_t ts_stack_first_blocks_bytes(const struct ts_lane *lane);

/*
 * A fresh block on top of a full one. False = no memory: the slot stays free by its bit and is found
 * again when the lane is trimmed, discarded or closed.
 */
bool ts_stack_grow(struct ts_lane *lane, struct ts_bin *bin);

static inline bool ts_stack_full(char *const *top)
{
	return ((uintptr_t)top & (TS_STACK_BLOCK_BYTES - 1)) == 0;
}

/* The block that `top` stands in; a full one is the one below. */
static inline char **ts_stack_block(char **top)
{
	return (char **)((uintptr_t)(top - 1) & ~(uintptr_t)(TS_STACK_BLOCK_BYTES - 1));
}

/* Where the stack ends without this block. */
static inline char **ts_stack_top_below(char **block)
{
	return block[0] ? (char **)block[0] + TS_STACK_BLOCK_WORDS : TS_STACK_NONE;
}

/* `top` is the bin's. */
static inline void ts_stack_put(struct ts_bin *bin, char **top, void *p)
{
	*top = p;
	bin->top = top + 1;
}

/* Nothing is left in the block: go on in the one below, if there is one. */
bool ts_stack_below(struct ts_lane *lane, struct ts_bin *bin, unsigned c);

/* Forget all entries and let go of the blocks. */
void ts_stack_clear(struct ts_lane *lane, struct ts_bin *bin, unsigned c);

/* Take out the slots of chunks that are marked empty. */
void ts_stack_drop_marked(struct ts_lane *lane, struct ts_bin *bin, unsigned c);

#endif
