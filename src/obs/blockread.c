/* SPDX-License-Identifier: MIT */
#include "obs/blockread.h"

#include <stddef.h>
#include <string.h>

enum { TRIES = 8 };

/*
 * A row of the epochs gets another life, or another label, while the block stays what it is: its id and
 * the label's sequence are looked at before and after. An id is never used twice. A row that gets another
 * life under each try is left out; one whose label changes under each has none.
 */
static inline __attribute__((always_inline)) bool copy_epoch(const struct ts_epoch_words *from,
							     size_t words, struct ts_epoch_words *to)
{
	const ts_a64 *word = (const ts_a64 *)from;
	ts_a64 *copy = (ts_a64 *)to;
	uint64_t id = 0;

	for (unsigned try = 0; try < TRIES; try++) {
		uint64_t seq;

		/* ORD-21 acquire, each: words of a life are read behind its id, and the id, which was taken
		 * away before the next life wrote any, behind them. */
		id = ts_a64_load_acq(&from->id);
		seq = ts_a64_load_acq(&from->label_seq);
		for (size_t i = words; i-- > 0;)
			ts_a64_store_rlx(&copy[i], ts_a64_load_acq(&word[i])); /* ORD-21 */
		if (!id)
			break;
		if (ts_a64_load_rlx(&to->id) == id && !(seq & 1) &&
		    ts_a64_load_rlx(&from->label_seq) == seq)
			return true;
		ts_arch_pause();
	}
	if (ts_a64_load_rlx(&to->id) != id)
		ts_a64_store_rlx(&to->id, 0);
	ts_a64_store_rlx(&to->label_id, 0);
	ts_a64_store_rlx(&to->label0, 0);
	ts_a64_store_rlx(&to->label1, 0);
	ts_a64_store_rlx(&to->label2, 0);
	ts_a64_store_rlx(&to->label3, 0);
	return !id;
}

/* As many rows as there are, each of so many bytes. */
static inline __attribute__((always_inline)) bool
copy_epochs(const struct ts_block_epochs *from, size_t row_bytes, struct ts_block_epochs *to)
{
	size_t known = row_bytes < sizeof(from->row[0]) ? row_bytes : sizeof(from->row[0]);
	const char *row = (const char *)from->row;
	bool consistent = true;

	to->head.kind = TS_BLOCK_EPOCHS;
	to->head.slots = 1;
	for (unsigned i = 0; i < TS_EPOCHS_PER_BLOCK; i++, row += row_bytes)
		if (row + row_bytes <= (const char *)from + TS_BLOCK_BYTES)
			consistent &= copy_epoch((const struct ts_epoch_words *)row,
						 known / sizeof(ts_a64), &to->row[i]);
	return consistent;
}

static inline __attribute__((always_inline)) bool copy_words(const struct ts_block_head *head,
							     size_t bytes, ts_a64 *copy)
{
	const ts_a64 *from = (const ts_a64 *)head;

	for (unsigned try = 0; try < TRIES; try++) {
		/* ORD-21 acquire: pairs with the writer's release of an even seq; else words of before a
		 * change of identity pass as words of after it. */
		uint64_t before = ts_a64_load_acq(&head->seq);

		/* Last word first: frees and exits lie behind the allocs and enters that they belong to, so no
		 * copy holds more frees than allocations. */
		for (size_t i = (bytes + 31) / 32 * 4; i; i -= 4) {
#pragma GCC unroll 4
			for (size_t k = 1; k <= 4; k++)
				ts_a64_store_rlx(&copy[i - k],
						 ts_a64_load_acq(&from[i - k])); /* ORD-18 acquire */
		}
		if (!(before & 1) && ts_a64_load_rlx(&head->seq) == before)
			return true;
		ts_arch_pause();
	}
	return false;
}

bool ts_blockread_copy(const void *block, unsigned slots, union ts_block_copy *copy)
{
	const struct ts_block_head *head = block;
	uint32_t kind = ts_a32_load_acq((const ts_a32 *)&head->kind); /* ORD-20 acquire */

	if (kind == TS_BLOCK_EPOCHS && slots == 1)
		return copy_epochs(block, sizeof(copy->epochs.row[0]), &copy->epochs);
	/* There are many lanes, and a part of each block is not theirs. */
	return copy_words(head,
			  kind == TS_BLOCK_LANE ? sizeof(struct ts_block_lane) :
						  (size_t)slots * TS_BLOCK_BYTES,
			  copy->words);
}

/* -- segments of other minors ------------------------------------------------------------------------ */

const struct ts_shape ts_blockread_own = {
	.own = true,
	.row_bytes = {
		[TS_SCOPE_PROCESS] = sizeof(struct ts_process_words),
		[TS_SCOPE_LANE] = sizeof(struct ts_lane_words),
		[TS_SCOPE_EPOCH] = sizeof(struct ts_epoch_words),
		[TS_SCOPE_THREAD] = sizeof(struct ts_thread_words),
		[TS_SCOPE_CLASS] = sizeof(struct ts_class_row),
		[TS_SCOPE_THREAD_CLASS] = sizeof(struct ts_thread_class_words),
		[TS_SCOPE_FAILURE] = sizeof(struct ts_failure_words),
		[TS_SCOPE_CLOSE] = sizeof(struct ts_close_words),
		[TS_SCOPE_LABEL_CLASS] = sizeof(struct ts_label_class_words),
	},
};

/* Before the header told: minor 2. */
static const uint16_t untold[TS_SCOPES] = {
	[TS_SCOPE_PROCESS] = 376, [TS_SCOPE_LANE] = 128,  [TS_SCOPE_EPOCH] = 144,
	[TS_SCOPE_THREAD] = 120,  [TS_SCOPE_CLASS] = 144, [TS_SCOPE_THREAD_CLASS] = 24,
	[TS_SCOPE_FAILURE] = 88,  [TS_SCOPE_CLOSE] = 160, [TS_SCOPE_LABEL_CLASS] = 24,
};

bool ts_blockread_shape(const struct ts_block_header *header, struct ts_shape *shape)
{
	for (unsigned i = 0; i < TS_SCOPES; i++) {
		uint16_t bytes = header->row_bytes[i];

		shape->row_bytes[i] = bytes ? bytes : untold[i];
		if (bytes % sizeof(ts_a64))
			return false;
	}
	shape->own = !memcmp(shape->row_bytes, ts_blockread_own.row_bytes, sizeof(shape->row_bytes));
	return true;
}

/* What a block consists of behind its head: rows of a scope's words, or (scope 0) of what never changes. */
struct part {
	uint16_t offset;
	uint16_t row_bytes;
	uint8_t rows;
	uint8_t scope;
};
#define PART(block, member, count, scope_)                                                         \
	{                                                                                          \
		offsetof(struct block, member), sizeof(((struct block *)0)->member) / (count),     \
			(count), scope_                                                            \
	}
enum { PARTS = 5 };
static const struct part parts[][PARTS] = {
	[TS_BLOCK_PROCESS] = { PART(ts_block_process, w, 1, TS_SCOPE_PROCESS) },
	[TS_BLOCK_LANE] = { PART(ts_block_lane, w, 1, TS_SCOPE_LANE),
			    PART(ts_block_lane, cls, TS_CLASS_COUNT, 0),
			    PART(ts_block_lane, units, TS_CLASS_COUNT, 0),
			    PART(ts_block_lane, number, 1, 0),
			    PART(ts_block_lane, units_16k, TS_CLASS_COUNT, 0) },
	[TS_BLOCK_THREAD] = { PART(ts_block_thread, w, 1, TS_SCOPE_THREAD),
			      PART(ts_block_thread, scope, TS_SCOPES_SHOWN, 0),
			      PART(ts_block_thread, cls, TS_CLASS_COUNT, TS_SCOPE_THREAD_CLASS) },
	[TS_BLOCK_CLASSES] = { PART(ts_block_classes, row, TS_CLASS_ROWS_PER_BLOCK, TS_SCOPE_CLASS) },
	[TS_BLOCK_FAILURES] = { PART(ts_block_failures, event, TS_FAILURES_PER_BLOCK,
				     TS_SCOPE_FAILURE) },
	[TS_BLOCK_CLOSES] = { PART(ts_block_closes, event, TS_CLOSES_PER_BLOCK, TS_SCOPE_CLOSE) },
	[TS_BLOCK_LABEL] = { PART(ts_block_label, cls, TS_CLASS_ROWS, TS_SCOPE_LABEL_CLASS) },
};

/* From rows of their length to rows of ours, as far as there are any in so many bytes. */
static void fit(const struct part *part, const struct ts_shape *shape, const char *from,
		size_t bytes, char *to)
{
	size_t at = part->offset;

	memcpy(to, from, at);
	for (unsigned i = 0; i < PARTS && part[i].rows; i++) {
		size_t ours = part[i].row_bytes;
		size_t theirs = part[i].scope ? shape->row_bytes[part[i].scope] : ours;

		for (unsigned row = 0; row < part[i].rows && at + theirs <= bytes; row++, at += theirs)
			memcpy(to + part[i].offset + row * ours, from + at,
			       theirs < ours ? theirs : ours);
	}
}

bool ts_blockread_refit(const void *block, unsigned slots, const struct ts_shape *shape,
			union ts_block_copy *copy)
{
	const struct ts_block_head *head = block;
	uint32_t kind = ts_a32_load_acq((const ts_a32 *)&head->kind); /* ORD-20 acquire */
	size_t bytes = (size_t)slots * TS_BLOCK_BYTES;
	union ts_block_copy raw;
	bool consistent;

	memset(copy, 0, sizeof(*copy));
	if (kind == TS_BLOCK_EPOCHS)
		return copy_epochs(block, shape->row_bytes[TS_SCOPE_EPOCH], &copy->epochs);
	consistent = copy_words(head, bytes, raw.words);
	if (kind < sizeof(parts) / sizeof(parts[0]) && parts[kind][0].rows)
		fit(parts[kind], shape, (const char *)&raw, bytes, (char *)copy);
	else
		memcpy(copy, &raw, bytes);
	return consistent;
}

/* What a bound lane holds now. Memory of an unbound one is kept by its thread and counted there. */
static void add_holdings(struct ts_lane_sum *sum, const struct ts_block_lane *lane)
{
	uint64_t base = ts_a64_load_rlx(&lane->w.enters_base);
	uint64_t enters = ts_minus(ts_a64_load_rlx(&lane->w.enters), base);
	uint64_t exits = ts_minus(ts_a64_load_rlx(&lane->w.exits), base);

	sum->lanes++;
	sum->held += ts_a64_load_rlx(&lane->w.held) && ts_a64_load_rlx(&lane->w.epoch_id);
	sum->enters += enters;
	sum->exits += exits;
	sum->open_scopes += ts_minus(enters, exits);
	sum->chunk_bytes += ts_a64_load_rlx(&lane->w.chunk_bytes);
	sum->large_bytes += ts_a64_load_rlx(&lane->w.large_bytes);
	sum->units_live += ts_a64_load_rlx(&lane->w.units_live);
}

static __attribute__((noinline)) void add_many_units(uint64_t *to, const struct ts_block_lane *lane)
{
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		to[i] += ts_block_units(lane, i);
}

static inline __attribute__((always_inline)) void add_units(uint64_t *restrict to,
							    const struct ts_block_lane *restrict lane)
{
	const uint16_t *units = (const uint16_t *)lane->units;

	if (__builtin_expect(ts_a64_load_rlx(&lane->w.units_live) >> TS_UNITS_STEP_SHIFT != 0, 0)) {
		add_many_units(to, lane);
		return;
	}
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		to[i] += units[i];
}

/* The copy is the reader's own: plain accesses, which the compiler makes vectors of. */
void ts_blockread_add_lane(struct ts_lane_sum *sum, const struct ts_block_lane *lane)
{
	bool bound = ts_a64_load_rlx(&lane->w.epoch_id) != 0;

	if (bound)
		add_holdings(sum, lane);
	sum->all_enters += ts_a64_load_rlx(&lane->w.enters);
	sum->all_exits += ts_a64_load_rlx(&lane->w.exits);
	sum->large_allocs += ts_a64_load_rlx(&lane->w.large_allocs);
	sum->large_frees += ts_a64_load_rlx(&lane->w.large_frees);
	sum->slow_hits += ts_a64_load_rlx(&lane->w.slow_hits);
	sum->slow_misses += ts_a64_load_rlx(&lane->w.slow_misses);
	sum->collected += ts_a64_load_rlx(&lane->w.collected);
	sum->trims += ts_a64_load_rlx(&lane->w.trims);
	_Static_assert(sizeof(sum->cls) == sizeof(lane->cls), "the same words");
	ts_add_words((uint64_t *)sum->cls, (const uint64_t *)lane->cls,
		     sizeof(sum->cls) / (sizeof(uint64_t)));
	if (bound)
		add_units(sum->units, lane);
}

void ts_blockread_add_resting(uint64_t units[TS_CLASS_COUNT], const struct ts_block_lane *lane)
{
	if (!ts_a64_load_rlx(&lane->w.epoch_id))
		add_units(units, lane);
}

void ts_lane_sum_add(struct ts_lane_sum *to, const struct ts_lane_sum *from)
{
	ts_add_words((uint64_t *)to, (const uint64_t *)from, sizeof(*to) / sizeof(uint64_t));
}

/* The largest of words called *_max, the sum of the others. */
static void add_word(const char *name, uint64_t *sum, uint64_t value)
{
	size_t length = strlen(name);

	if (length < 4 || strcmp(name + length - 4, "_max") != 0)
		*sum += value;
	else if (value > *sum)
		*sum = value;
}

void ts_blockread_add_thread(struct ts_thread_sum *sum, const struct ts_block_thread *thread)
{
	sum->threads += ts_a64_load_rlx(&thread->w.tid) != 0;
#define ADD(name) add_word(#name, &sum->name, ts_a64_load_rlx(&thread->w.name));
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(THREAD, scope, ADD(name))
#include "core/words.def"
#undef ADD
}

void ts_blockread_add_classes(struct ts_class_counts counts[TS_CLASS_ROWS],
			      const struct ts_block_classes *block)
{
	for (unsigned i = 0; i < TS_CLASS_ROWS_PER_BLOCK; i++) {
		const struct ts_class_row *row = &block->row[i];
		uint64_t cls = block->first + i;

		if (cls >= TS_CLASS_ROWS)
			return;
#define ADD(name) counts[cls].name += ts_a64_load_rlx(&row->name);
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(CLASS, scope, ADD(name))
#include "core/words.def"
#undef ADD
	}
}

void ts_blockread_add_thread_classes(struct ts_class_counts counts[TS_CLASS_ROWS],
				     const struct ts_block_thread *thread)
{
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++) {
#define ADD(name) counts[i].name += ts_a64_load_rlx(&thread->cls[i].name);
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(THREAD_CLASS, scope, ADD(name))
#include "core/words.def"
#undef ADD
	}
}

uint64_t ts_lane_sum_allocs(const struct ts_lane_sum *sum)
{
	uint64_t total = sum->large_allocs;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		total += sum->cls[i].allocs;
	return total;
}

uint64_t ts_lane_sum_frees(const struct ts_lane_sum *sum)
{
	uint64_t total = sum->large_frees;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		total += sum->cls[i].frees;
	return total;
}

uint64_t ts_lane_sum_live_objects(const struct ts_lane_sum *sum)
{
	uint64_t total = ts_minus(sum->large_allocs, sum->large_frees);

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		total += ts_minus(sum->cls[i].allocs, sum->cls[i].frees);
	return total;
}

uint64_t ts_lane_sum_live_bytes(const struct ts_lane_sum *sum, const uint32_t *class_bytes)
{
	uint64_t total = sum->large_bytes;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		total += ts_minus(sum->cls[i].allocs, sum->cls[i].frees) * class_bytes[i];
	return total;
}
