/* SPDX-License-Identifier: MIT */
#include "stackblock.h"

#include <stddef.h>

#include "lock.h"
#include "meta.h"

/* Of each kind that a thread keeps for itself. */
#define OWN_BYTES (64u << 10)

static struct ts_spare_blocks shared[TS_STACK_BLOCKS]; /* under ts_lock_meta */

static char **pop(struct ts_spare_blocks *spare)
{
	char **block = spare->first;

	if (block) {
		spare->first = (char **)block[0];
		spare->count--;
	}
	return block;
}

static void push(struct ts_spare_blocks *spare, char **block)
{
	block[0] = (char *)spare->first;
	spare->first = block;
	spare->count++;
}

/* Fresh ones, as many as a wide one is long: then none needs padding to be aligned. */
static void make_shared(enum ts_stack_block kind)
{
	size_t bytes = ts_stackblock_bytes(TS_STACK_WIDE);
	char *fresh = ts_meta_alloc(bytes);

	for (size_t at = bytes; fresh && at;) {
		at -= ts_stackblock_bytes(kind);
		push(&shared[kind], (char **)(fresh + at));
	}
}

char **ts_stackblock_get(struct ts_spare_blocks own[TS_STACK_BLOCKS], enum ts_stack_block kind)
{
	char **block = own ? pop(&own[kind]) : NULL;

	if (block)
		return block;
	ts_lock(&ts_lock_meta);
	if (!shared[kind].first)
		make_shared(kind);
	block = pop(&shared[kind]);
	ts_unlock(&ts_lock_meta);
	return block;
}

void ts_stackblock_put(struct ts_spare_blocks own[TS_STACK_BLOCKS], enum ts_stack_block kind,
		       char **block)
{
	if (own && own[kind].count * ts_stackblock_bytes(kind) < OWN_BYTES) {
		push(&own[kind], block);
		return;
	}
	ts_lock(&ts_lock_meta);
	push(&shared[kind], block);
	ts_unlock(&ts_lock_meta);
}

void ts_stackblock_share(struct ts_spare_blocks own[TS_STACK_BLOCKS])
{
	ts_lock(&ts_lock_meta);
	for (unsigned kind = 0; kind < TS_STACK_BLOCKS; kind++) {
		char **block;

		while ((block = pop(&own[kind])))
			push(&shared[kind], block);
	}
	ts_unlock(&ts_lock_meta);
}
