/* SPDX-License-Identifier: MIT */
#include "obs/blockread.h"

#include <string.h>

enum { TRIES = 8 };

/*
 * A row of the epochs gets another life, or another label, while the block stays what it is: its id and
 * the label's sequence are looked at before and after. An id is never used twice. A row that gets another
 * life under each try is left out; one whose label changes under each has none.
 */
static bool copy_epoch(const struct ts_epoch_words *from, struct ts_epoch_words *to)
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
		for (size_t i = sizeof(*from) / sizeof(*word); i-- > 0;)
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

static bool copy_epochs(const struct ts_block_epochs *from, struct ts_block_epochs *to)
{
	bool consistent = true;

	to->head.kind = TS_BLOCK_EPOCHS;
	to->head.slots = 1;
	for (unsigned i = 0; i < TS_EPOCHS_PER_BLOCK; i++)
		consistent &= copy_epoch(&from->row[i], &to->row[i]);
	return consistent;
}

bool ts_blockread_copy(const void *block, unsigned slots, union ts_block_copy *copy)
{
	const struct ts_block_head *head = block;
	const ts_a64 *from = block;
	uint32_t kind = ts_a32_load_acq((const ts_a32 *)&head->kind); /* ORD-20 acquire */
	/* There are many lanes, and a sixth of a block is not theirs. */
	const size_t bytes = kind == TS_BLOCK_LANE ? sizeof(struct ts_block_lane) :
						     (size_t)slots * TS_BLOCK_BYTES;

	if (kind == TS_BLOCK_EPOCHS && slots == 1)
		return copy_epochs(block, &copy->epochs);
	for (unsigned try = 0; try < TRIES; try++) {
		/* ORD-21 acquire: pairs with the writer's release of an even seq; else words of before a
		 * change of identity pass as words of after it. */
		uint64_t before = ts_a64_load_acq(&head->seq);

		/* Last word first: frees and exits lie behind the allocs and enters that they belong to, so no
		 * copy holds more frees than allocations. */
		for (size_t i = (bytes + 31) / 32 * 4; i; i -= 4) {
#pragma GCC unroll 4
			for (size_t k = 1; k <= 4; k++)
				ts_a64_store_rlx(&copy->words[i - k],
						 ts_a64_load_acq(&from[i - k])); /* ORD-18 acquire */
		}
		if (!(before & 1) && ts_a64_load_rlx(&head->seq) == before)
			return true;
		ts_arch_pause();
	}
	return false;
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

static inline __attribute__((always_inline)) void add_units(uint64_t *restrict to,
							    const struct ts_block_lane *restrict lane)
{
	const uint16_t *units = (const uint16_t *)lane->units;

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
