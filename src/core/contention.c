/* SPDX-License-Identifier: MIT */
#include "contention.h"

#include <string.h>

#include "epoch.h"
#include "thread.h"

static ts_a64 blocks[TS_LABEL_IDS]; /* struct ts_block_label * */
static struct ts_block_label early; /* what is counted before label 0 has its block */

static struct ts_block_label *block_of(unsigned label_id)
{
	/* ORD-20 acquire: whoever sees the pointer sees the block behind it. */
	struct ts_block_label *block = (struct ts_block_label *)ts_a64_load_acq(&blocks[label_id]);

	return block ? block : &early;
}

struct ts_label_class_words *ts_contention_words(unsigned cls)
{
	const struct ts_thread *thread = ts_tls.self;
	const struct ts_epoch *epoch = thread ? ts_lane_epoch(ts_thread_lane(thread)) : NULL;
	uint64_t label_id = epoch ? ts_a64_load_rlx(&epoch->stat->label_id) : 0;

	return &block_of((unsigned)label_id)->cls[cls];
}

void ts_contention_start_label(unsigned label_id)
{
	struct ts_block_label *block = ts_block_get(TS_BLOCK_LABEL, 1);

	if (!block)
		return;
	block->label_id = label_id;
	/* What was counted so far moves over; nothing runs concurrently this early. */
	if (!label_id)
		memcpy(block->cls, early.cls, sizeof(block->cls));
	/* ORD-20 release: pairs with block_of. */
	ts_a64_store_rel(&blocks[label_id], (uint64_t)block);
}

void ts_contention_clear_words(void)
{
	for (unsigned i = 0; i < TS_LABEL_IDS; i++)
		ts_words_clear(block_of(i)->cls, sizeof(early.cls));
}
