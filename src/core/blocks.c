/* SPDX-License-Identifier: MIT */
#include "blocks.h"

#include <string.h>

#include "contention.h"
#include "lock.h"
#include "os.h"
#include "process.h"

enum { BLOCKS_MAX = 1 << 17, PRIVATE_STEP_BYTES = 64 * 1024 };

static ts_block_source private_source;
static ts_block_source *source = private_source;
static struct ts_block_head **blocks; /* append-only */
static ts_a64 block_count;

/* Stand in before the first block exists. */
static struct ts_block_process early_process;
ts_a64 ts_process_at = { (uintptr_t)&early_process.w };
static struct ts_block_classes early_classes[TS_CLASS_BLOCKS];
static ts_a64 class_blocks[TS_CLASS_BLOCKS]; /* struct ts_block_classes * */

struct ts_class_row *ts_class_row(unsigned cls)
{
	unsigned i = cls / TS_CLASS_ROWS_PER_BLOCK;
	struct ts_block_classes *block =
		(struct ts_block_classes *)ts_a64_load_acq(&class_blocks[i]); /* ORD-20 */

	return &(block ? block : &early_classes[i])->row[cls % TS_CLASS_ROWS_PER_BLOCK];
}

void ts_process_clear(void)
{
	ts_words_clear(ts_process(), sizeof(*ts_process()));
	for (unsigned cls = 0; cls < TS_CLASS_ROWS; cls++)
		ts_words_clear(ts_class_row(cls), sizeof(*ts_class_row(cls)));
	ts_contention_clear();
}

static void *private_source(unsigned slots)
{
	static char *next, *end;
	static void *reserved;
	size_t bytes = (size_t)slots * TS_BLOCK_BYTES;
	char *block;

	if ((size_t)(end - next) < bytes) {
		char *step = ts_os_obtain(&reserved, PRIVATE_STEP_BYTES, TS_BLOCK_BYTES);

		if (!step)
			return NULL;
		next = step;
		end = step + PRIVATE_STEP_BYTES;
	}
	block = next;
	next += bytes;
	return block;
}

void ts_blocks_set_source(ts_block_source *new_source)
{
	source = new_source;
}

static bool remember(struct ts_block_head *head)
{
	uint64_t count = ts_a64_load_rlx(&block_count);

	if (!blocks) {
		static void *reserved;

		blocks = ts_os_obtain(&reserved, BLOCKS_MAX * sizeof(*blocks), TS_BLOCK_BYTES);
		if (!blocks)
			return false;
	}
	if (count == BLOCKS_MAX)
		return false;
	blocks[count] = head;
	/* ORD-20 release: pairs with ts_block_count(); a reader sees the entry, then the block. */
	ts_a64_store_rel(&block_count, count + 1);
	return true;
}

void *ts_block_get(enum ts_block_kind kind, unsigned slots)
{
	struct ts_block_head *head;

	ts_lock(&ts_lock_meta);
	head = source(slots);
	if (!head && source != private_source && (head = private_source(slots)))
		ts_count(blocks_private, slots);
	if (head) {
		head->slots = slots;
		/* ORD-20 release: a reader of another process that sees the kind sees the length. */
		ts_a32_store_rel((ts_a32 *)&head->kind, (uint32_t)kind); /* ORD-20 */
		remember(head);
	}
	ts_unlock(&ts_lock_meta);
	return head;
}

unsigned ts_block_count(void)
{
	return (unsigned)ts_a64_load_acq(&block_count); /* ORD-20 acquire */
}

struct ts_block_head *ts_block_at(unsigned index)
{
	return index < ts_block_count() ? blocks[index] : NULL;
}

static void start_classes(void)
{
	for (unsigned i = 0; i < TS_CLASS_BLOCKS; i++) {
		struct ts_block_classes *block = ts_block_get(TS_BLOCK_CLASSES, 1);

		if (!block)
			return;
		memcpy(block->row, early_classes[i].row, sizeof(block->row));
		block->first = (uint64_t)i * TS_CLASS_ROWS_PER_BLOCK;
		ts_a64_store_rel(&class_blocks[i], (uint64_t)block); /* ORD-20 */
	}
}

void ts_process_start(void)
{
	struct ts_block_process *block;

	if (ts_process() != &early_process.w)
		return;
	block = ts_block_get(TS_BLOCK_PROCESS, 1);
	if (!block)
		return;
	/* What was counted so far moves over; nothing runs concurrently this early. */
	memcpy(&block->w, &early_process.w, sizeof(block->w));
	/* ORD-20 release: pairs with ts_process(). */
	ts_a64_store_rel(&ts_process_at, (uint64_t)&block->w);
	start_classes();
	ts_contention_start(0);
}
