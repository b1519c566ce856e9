/* SPDX-License-Identifier: MIT */
/* stats.c: <tslab/stats.h>. Everything here is async-signal-safe. */
#include "tslab/stats.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/fork.h"
#include "core/sizeclass.h"
#include "obs/blockread.h"
#include "obs/segment.h"

_Static_assert(TSLAB_CLASS_COUNT == TS_CLASS_COUNT, "public and internal number of classes");

typedef void visit_block(const union ts_block_copy *copy, void *context);
/* A look at a block that may change: is it worth a copy? */
typedef bool want_block(const struct ts_block_head *head, const void *context);

/* Calls `visit` with a copy of each wanted block of a kind. Returns whether all copies were consistent. */
static bool visit_wanted(enum ts_block_kind kind, want_block *wants, visit_block *visit, void *context)
{
	unsigned count = ts_block_count();
	bool consistent = true;
	union ts_block_copy copy;

	for (unsigned i = 0; i < count; i++) {
		const struct ts_block_head *head = ts_block_at(i);

		/* ORD-20 acquire: pairs with the release of the kind. */
		if (!head || ts_a32_load_acq((const ts_a32 *)&head->kind) != (uint32_t)kind ||
		    (wants && !wants(head, context)))
			continue;
		consistent &= ts_blockread_copy(head, head->slots, &copy);
		visit(&copy, context);
	}
	return consistent;
}

static bool visit_blocks(enum ts_block_kind kind, visit_block *visit, void *context)
{
	return visit_wanted(kind, NULL, visit, context);
}

static void class_bytes_table(uint32_t *class_bytes)
{
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		class_bytes[i] = ts_sizeclasses[i].bytes;
}

static uint64_t boot_ns(void)
{
	struct timespec now = { 0, 0 };

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Hands a finished structure out: what the caller knows of it, and zeros beyond what we know. */
static int hand_out(void *to, const void *from, size_t known_bytes)
{
	size_t bytes = *(size_t *)to;

	if (bytes > known_bytes)
		memset((char *)to + known_bytes, 0, bytes - known_bytes);
	memcpy((char *)to + sizeof(bytes), (const char *)from + sizeof(bytes),
	       (bytes < known_bytes ? bytes : known_bytes) - sizeof(bytes));
	return 0;
}

/* In the child of fork the figures are not there yet; waiting for them is not async-signal-safe. */
static int not_found(int error)
{
	return ts_a32_load_rlx(&ts_fork_pending) ? -EAGAIN : error;
}

static bool accepts(const void *stats)
{
	return stats && *(const size_t *)stats >= sizeof(size_t);
}

static void add_lane(const union ts_block_copy *copy, void *context)
{
	ts_blockread_add_lane(context, &copy->lane);
}

static void add_epochs(const union ts_block_copy *copy, void *context)
{
	struct tslab_process_stats *out = context;

	for (unsigned i = 0; i < TS_EPOCHS_PER_BLOCK; i++) {
		const struct ts_epoch_words *row = &copy->epochs.row[i];

		if (!ts_a64_load_rlx(&row->id))
			continue;
		out->open_epochs++;
		out->closing_epochs += ts_a64_load_rlx(&row->state) == TSLAB_EPOCH_CLOSING;
	}
}

static void add_thread(const union ts_block_copy *copy, void *context)
{
	ts_blockread_add_thread(context, &copy->thread);
}

static void take_process_words(const union ts_block_copy *copy, void *context)
{
	struct tslab_process_stats *out = context;

#define TS_WORD(scope, name, kind, unit, text)                                                     \
	TS_OF_SCOPE(PROCESS, scope, out->name = ts_a64_load_rlx(&copy->process.w.name);)
#include "core/words.def"
}

int tslab_stats_process(struct tslab_process_stats *stats)
{
	struct tslab_process_stats out = { .struct_bytes = sizeof(out) };
	uint32_t class_bytes[TS_CLASS_COUNT];
	struct ts_lane_sum sum = { .lanes = 0 };
	struct ts_thread_sum threads = { .threads = 0 };
	bool consistent;

	if (!accepts(stats))
		return -EINVAL;
	consistent = visit_blocks(TS_BLOCK_PROCESS, take_process_words, &out);
	consistent &= visit_blocks(TS_BLOCK_LANE, add_lane, &sum);
	consistent &= visit_blocks(TS_BLOCK_EPOCHS, add_epochs, &out);
	consistent &= visit_blocks(TS_BLOCK_THREAD, add_thread, &threads);
	class_bytes_table(class_bytes);
	out.lock_fast += out.meta_lock_fast;
	out.threads = threads.threads;
	out.retained_bytes = threads.retained_bytes + out.pool_bytes;
	out.epochs_opened += threads.epochs_opened;
	out.epochs_closed += threads.epochs_closed;
	out.epochs_discarded += threads.epochs_discarded;
	out.epochs_finished += threads.epochs_finished;
	out.live_objects = ts_lane_sum_live_objects(&sum);
	out.live_bytes = ts_lane_sum_live_bytes(&sum, class_bytes);
	out.committed_bytes = sum.chunk_bytes + sum.large_bytes + out.retained_bytes;
	out.large_objects = ts_minus(sum.large_allocs, sum.large_frees);
	out.large_bytes = sum.large_bytes;
	out.slab_units = sum.units_live;
	out.open_scopes = sum.open_scopes;
	out.lanes = sum.lanes;
	out.segment_bytes = ts_segment_visible_bytes();
	out.allocations = ts_lane_sum_allocs(&sum);
	out.frees = ts_lane_sum_frees(&sum);
	out.slow_path_hits = sum.slow_hits;
	out.slow_path_misses = sum.slow_misses;
	out.frees_collected = sum.collected;
	out.consistent = consistent;
	return hand_out(stats, &out, sizeof(out));
}

static void describe_class(struct tslab_class_stats *out, unsigned class_index, uint64_t units,
			   uint64_t live_objects)
{
	const struct ts_sizeclass *cls = &ts_sizeclasses[class_index];

	out->class_index = class_index;
	out->object_bytes = cls->bytes;
	out->slab_bytes = (uint64_t)cls->slab_units * TS_UNIT_BYTES;
	out->objects_per_slab = cls->slab_slots;
	out->live_objects = live_objects;
	out->live_bytes = live_objects * cls->bytes;
	out->slabs = units / cls->slab_units;
	out->committed_bytes = units * TS_UNIT_BYTES;
}

struct class_counts {
	struct ts_class_counts cls[TS_CLASS_ROWS];
};

static void add_classes(const union ts_block_copy *copy, void *context)
{
	ts_blockread_add_classes(((struct class_counts *)context)->cls, &copy->classes);
}

static void add_thread_classes(const union ts_block_copy *copy, void *context)
{
	ts_blockread_add_thread_classes(((struct class_counts *)context)->cls, &copy->thread);
}

static void take_class_counts(struct tslab_class_stats *out, const struct ts_class_counts *counts)
{
	out->slow_path_hits = ts_class_slow_hits(counts);
	out->slow_path_reused = counts->slow_reused;
	out->slow_path_new_slabs = counts->slabs_opened;
	out->slow_path_misses = counts->chunk_misses;
	out->epoch_closed = counts->epoch_closed;
	out->slabs_adopted = counts->slabs_adopted;
	out->slab_units_recycled = counts->units_recycled;
	out->slab_units_returned = counts->units_overflowed;
	out->purge_calls = counts->purge_calls;
	out->purge_bytes = counts->purge_bytes;
	out->purge_failures = counts->purge_failures;
	out->close_passes = counts->close_passes;
	out->close_scanned_units = counts->close_scanned_units;
	out->close_recycled_units = counts->close_recycled_units;
	out->close_ns = counts->close_ns;
	out->lock_fast = counts->lock_fast;
	out->lock_contended = counts->lock_contended;
	out->pushes_retried = counts->pushes_retried;
}

int tslab_stats_class(unsigned class_index, struct tslab_class_stats *stats)
{
	struct tslab_class_stats out = { .struct_bytes = sizeof(out) };
	struct class_counts counts = { .cls = { { .slow_others = 0 } } };
	struct ts_lane_sum sum = { .lanes = 0 };

	if (!accepts(stats) || class_index >= TS_CLASS_COUNT)
		return -EINVAL;
	visit_blocks(TS_BLOCK_LANE, add_lane, &sum);
	visit_blocks(TS_BLOCK_CLASSES, add_classes, &counts);
	visit_blocks(TS_BLOCK_THREAD, add_thread_classes, &counts);
	take_class_counts(&out, &counts.cls[class_index]);
	out.allocations = sum.cls[class_index].allocs;
	out.frees = sum.cls[class_index].frees;
	describe_class(&out, class_index, sum.units[class_index],
		       ts_minus(out.allocations, out.frees));
	return hand_out(stats, &out, sizeof(out));
}

/* ------------------------------------------------------------------------------------- one epoch -- */

struct epoch_search {
	uint64_t id;
	bool found;
	struct tslab_epoch_stats out;
	struct ts_lane_sum sum;
};

static void take_epoch_row(struct tslab_epoch_stats *out, const struct ts_epoch_words *row)
{
	const uint64_t label[] = { ts_a64_load_rlx(&row->label0), ts_a64_load_rlx(&row->label1),
				   ts_a64_load_rlx(&row->label2), ts_a64_load_rlx(&row->label3) };

	out->epoch = ts_a64_load_rlx(&row->id);
	out->era = out->epoch >> 16;
	out->slot = (uint32_t)(out->epoch & 0xffff);
	out->state = (uint32_t)ts_a64_load_rlx(&row->state);
	out->heap_id = (uint32_t)ts_a64_load_rlx(&row->heap_id);
	out->ring_index = (uint32_t)ts_a64_load_rlx(&row->ring_index) - 1;
	out->is_default = ts_a64_load_rlx(&row->kind) == 1;
	out->label_id = (uint32_t)ts_a64_load_rlx(&row->label_id);
	memcpy(out->label, label, sizeof(out->label));
	out->label[sizeof(out->label) - 1] = '\0';
	out->open_since_ns = ts_a64_load_rlx(&row->open_since_ns);
	out->close_since_ns = ts_a64_load_rlx(&row->close_since_ns);
	out->references = ts_a64_load_rlx(&row->references);
	out->abandoned = ts_a64_load_rlx(&row->abandoned);
	out->charged_bytes = ts_a64_load_rlx(&row->charged_bytes);
	out->limit_bytes = ts_a64_load_rlx(&row->limit_bytes);
}

static void find_epoch(const union ts_block_copy *copy, void *context)
{
	struct epoch_search *search = context;

	for (unsigned i = 0; i < TS_EPOCHS_PER_BLOCK; i++) {
		const struct ts_epoch_words *row = &copy->epochs.row[i];

		if (ts_a64_load_rlx(&row->id) == search->id) {
			search->found = true;
			take_epoch_row(&search->out, row);
		}
	}
}

/* Relaxed: a lane that comes to the epoch now was not there a moment before. */
static bool is_lane_of_epoch(const struct ts_block_head *head, const void *context)
{
	const struct ts_block_lane *lane = (const void *)head;

	return ts_a64_load_rlx(&lane->w.epoch_id) == ((const struct epoch_search *)context)->id;
}

static void add_lane_of_epoch(const union ts_block_copy *copy, void *context)
{
	struct epoch_search *search = context;

	if (ts_a64_load_rlx(&copy->lane.w.epoch_id) == search->id)
		ts_blockread_add_lane(&search->sum, &copy->lane);
}

/* They are few among many: the others are not copied. */
static bool add_lanes_of_epoch(struct epoch_search *search)
{
	return visit_wanted(TS_BLOCK_LANE, is_lane_of_epoch, add_lane_of_epoch, search);
}

int tslab_stats_epoch_class(tslab_epoch_t epoch, unsigned class_index, struct tslab_class_stats *stats)
{
	struct tslab_class_stats out = { .struct_bytes = sizeof(out) };
	struct epoch_search search = { .id = epoch };
	const struct ts_class_sum *cls;

	if (!accepts(stats) || class_index >= TS_CLASS_COUNT)
		return -EINVAL;
	if (epoch == TSLAB_EPOCH_NONE)
		return -ESTALE;
	visit_blocks(TS_BLOCK_EPOCHS, find_epoch, &search);
	if (!search.found)
		return not_found(-ESTALE);
	add_lanes_of_epoch(&search);
	cls = &search.sum.cls[class_index];
	describe_class(&out, class_index, search.sum.units[class_index],
		       ts_minus(cls->allocs, cls->frees));
	return hand_out(stats, &out, sizeof(out));
}

int tslab_stats_epoch(tslab_epoch_t epoch, struct tslab_epoch_stats *stats)
{
	struct epoch_search search = { .id = epoch };
	struct tslab_epoch_stats *out = &search.out;
	uint32_t class_bytes[TS_CLASS_COUNT];
	bool consistent;

	if (!accepts(stats))
		return -EINVAL;
	if (epoch == TSLAB_EPOCH_NONE)
		return -ESTALE;
	consistent = visit_blocks(TS_BLOCK_EPOCHS, find_epoch, &search);
	if (!search.found)
		return not_found(-ESTALE);
	consistent &= add_lanes_of_epoch(&search);
	class_bytes_table(class_bytes);
	out->age_ns = ts_minus(boot_ns(), out->open_since_ns);
	out->open_scopes = search.sum.open_scopes;
	out->live_objects = ts_lane_sum_live_objects(&search.sum);
	out->live_bytes = ts_lane_sum_live_bytes(&search.sum, class_bytes);
	out->large_objects = ts_minus(search.sum.large_allocs, search.sum.large_frees);
	out->large_bytes = search.sum.large_bytes;
	out->slab_units = search.sum.units_live;
	out->committed_bytes = search.sum.chunk_bytes + search.sum.large_bytes;
	out->lanes = search.sum.lanes;
	out->consistent = consistent;
	return hand_out(stats, out, sizeof(*out));
}

/* ------------------------------------------------------------------------------------ one thread -- */

struct thread_search {
	uint64_t tid;
	bool found;
	struct tslab_thread_stats out;
};

static void find_thread(const union ts_block_copy *copy, void *context)
{
	const struct ts_thread_words *words = &copy->thread.w;
	struct thread_search *search = context;

	if (ts_a64_load_rlx(&words->tid) != search->tid)
		return;
	search->found = true;
	search->out.tid = search->tid;
	search->out.incarnation = ts_a64_load_rlx(&words->incarnation);
	search->out.open_scopes = ts_a64_load_rlx(&words->depth);
	search->out.retained_bytes = ts_a64_load_rlx(&words->retained_bytes);
	search->out.alloc_samples = ts_a64_load_rlx(&words->alloc_samples);
	search->out.alloc_wall_ns_sum = ts_a64_load_rlx(&words->alloc_wall_ns_sum);
	search->out.alloc_cpu_ns_sum = ts_a64_load_rlx(&words->alloc_cpu_ns_sum);
	search->out.alloc_wait_ns_sum = ts_a64_load_rlx(&words->alloc_wait_ns_sum);
	search->out.alloc_wall_ns_max = ts_a64_load_rlx(&words->alloc_wall_ns_max);
	search->out.alloc_cpu_ns_max = ts_a64_load_rlx(&words->alloc_cpu_ns_max);
	search->out.alloc_wait_ns_max = ts_a64_load_rlx(&words->alloc_wait_ns_max);
}

int tslab_stats_thread(int tid, struct tslab_thread_stats *stats)
{
	struct thread_search search = { .tid = (uint64_t)tid };

	if (!accepts(stats) || tid < 0)
		return -EINVAL;
	if (!tid)
		search.tid = (uint64_t)syscall(SYS_gettid);
	search.out.consistent = visit_blocks(TS_BLOCK_THREAD, find_thread, &search);
	if (!search.found)
		return not_found(-ESRCH);
	return hand_out(stats, &search.out, sizeof(search.out));
}
