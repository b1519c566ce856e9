/* SPDX-License-Identifier: MIT */
/*
 * stackblock.h: the blocks that stacks of free slots are made of (stack.h), while they are in none.
 *
 * A thread keeps some of each kind for itself, linked by their word 0; the rest is everybody's. They are never
 * returned to the OS.
 */
#ifndef TS_CORE_STACKBLOCK_H
#define TS_CORE_STACKBLOCK_H

#include <stdint.h>

enum ts_stack_block { TS_STACK_NARROW, TS_STACK_WIDE, TS_STACK_BLOCKS };

static inline uintptr_t ts_stackblock_bytes(enum ts_stack_block kind)
{
	return kind == TS_STACK_WIDE ? 1024 : 256;
}

struct ts_spare_blocks {
	char **first;
	uint32_t count;
};

/* Aligned to its size, from the thread's `own` if there is one; `own` may be NULL. NULL = no memory. */
char **ts_stackblock_get(struct ts_spare_blocks own[TS_STACK_BLOCKS], enum ts_stack_block kind);
void ts_stackblock_put(struct ts_spare_blocks own[TS_STACK_BLOCKS], enum ts_stack_block kind,
		       char **block);
/* A thread ends: its own are everybody's. */
void ts_stackblock_share(struct ts_spare_blocks own[TS_STACK_BLOCKS]);

#endif
