/* SPDX-License-Identifier: MIT */
/*
 * stack.h: the stack of free slots of a bin. Its form is told in lane.h; the holder alone uses it.
 *
 * A class begins with one narrow block, of which an epoch with a few objects has one for each class that it frees
 * to. When that is full a wide one takes its place and is the first of a chain: the larger the blocks, the rarer
 * the slow path. A block of large slots holds so few that narrow ones do for them.
 */
#ifndef TS_CORE_STACK_H
#define TS_CORE_STACK_H

#include "lane.h"

/* Slots that a block of this class holds now: at most 64 KiB of memory, but four slots at least. */
unsigned ts_stack_capacity(const struct ts_lane *lane, unsigned c);

/*
 * How many to put on an empty stack: all that a narrow block holds, half of a wide one, so that frees find room.
 * (The narrow one is no loss: who frees more than he took wants a wide one.)
 */
unsigned ts_stack_refill_slots(const struct ts_lane *lane, unsigned c);

/* What one block of each class in use holds. */
uint64_t ts_stack_first_blocks_bytes(const struct ts_lane *lane);

/*
 * Room on a full stack: a fresh block on top, or a wide one in the place of the first. False = no memory: the slot
 * stays free by its bit and is found again when the lane is trimmed, discarded or closed.
 */
bool ts_stack_grow(struct ts_lane *lane, struct ts_bin *bin);

static inline bool ts_stack_full(const struct ts_bin *bin, char *const *top)
{
	return (uint32_t)(uintptr_t)top == bin->full;
}

/* The stack goes on at `top`, the end of a block. */
static inline void ts_stack_set_end(struct ts_bin *bin, char **top)
{
	bin->top = top;
	bin->full = (uint32_t)(uintptr_t)top;
}

/* Without looking at its blocks. */
static inline void ts_stack_forget(struct ts_bin *bin)
{
	ts_stack_set_end(bin, TS_STACK_NONE);
}

/* Where the stack ends without the block of class c that `top` stands in. */
char **ts_stack_top_below(const struct ts_lane *lane, unsigned c, char **top);

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
