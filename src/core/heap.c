/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "chunk.h"
#include "control.h"
#include "epoch.h"
#include "fork.h"
#include "histogram.h"
#include "label.h"
#include "lock.h"
#include "os.h"
#include "process.h"
#include "report.h"
#include "thread.h"

static struct tslab_heap heaps[TS_HEAPS_MAX];
static struct ts_block_heaps *heap_blocks[TS_HEAPS_MAX / TS_HEAPS_PER_BLOCK + 1];
static ts_a32 started;
/* Meta lock held: what the start calls of the C library may call malloc, which may be us. That fails. */
static bool starting;

/* -- shown -------------------------------------------------------------------------------------- */

/* Meta lock held. False: no memory. */
static bool can_be_shown(const struct tslab_heap *heap)
{
	unsigned block = heap->id / TS_HEAPS_PER_BLOCK;

	if (!heap_blocks[block])
		heap_blocks[block] = ts_block_get(TS_BLOCK_HEAPS, 1);
	return heap_blocks[block];
}

static void show_heap(struct tslab_heap *heap, bool alive)
{
	unsigned block = heap->id / TS_HEAPS_PER_BLOCK;
	unsigned row = heap->id % TS_HEAPS_PER_BLOCK;

	memcpy(heap_blocks[block]->heap[row].name, heap->name, sizeof(heap->name));
	ts_a64_store_rlx(&heap_blocks[block]->heap[row].limit_bytes, heap->limit_bytes);
	ts_a64_store_rel(&heap_blocks[block]->heap[row].id, alive ? heap->id + 1 : 0); /* ORD-21 */
}

static void show_ring(struct tslab_heap *heap, unsigned current)
{
	ts_a32_store_rlx(&heap->ring_current, current);
	ts_a64_store_rlx(
		&heap_blocks[heap->id / TS_HEAPS_PER_BLOCK]->heap[heap->id % TS_HEAPS_PER_BLOCK].ring_current,
		current);
}

/* -- making ------------------------------------------------------------------------------------- */

/* Meta lock held. */
static int make_heap(struct tslab_heap *heap, const struct tslab_heap_options *options)
{
	uint64_t id = 0;
	int error;

	if (!can_be_shown(heap))
		return -ENOMEM;
	heap->limit_bytes = options->limit_bytes;
	heap->retain_bytes = options->retain_bytes;
	if (options->name)
		ts_label_clean(options->name, heap->name);
	else
		snprintf(heap->name, sizeof(heap->name), heap->id ? "heap-%u" : "default", heap->id);
	for (unsigned i = 0; i < TSLAB_RING_EPOCHS; i++)
		ts_a64_store_rlx(&heap->ring[i], 0);
	error = ts_epoch_open(heap, "default", 0, true, 0, &id);
	if (error)
		return error;
	ts_a64_store_rlx(&heap->default_epoch, id);
	show_heap(heap, true);
	show_ring(heap, 0);
	/* ORD-20 release: pairs with ts_heap_by_id. */
	ts_a32_store_rel(&heap->alive, 1);
	return 0;
}

static int start_process(void)
{
	if (!ts_arch_tags_begin())
		ts_die("tslab: built with --enable-mte, but this machine has no memory tags\n");
	for (uint32_t i = 0; i < TS_HEAPS_MAX; i++)
		heaps[i].id = i;
	if (ts_blocks_choose_source)
		ts_blocks_choose_source();
	ts_process_start();
	ts_sizeclass_start();
	ts_histogram_start();
	ts_control_start();
	ts_report_start();
	ts_os_clock_sync();
	return 0;
}

static int start_default_heap(void)
{
	static const struct tslab_heap_options defaults = TSLAB_HEAP_OPTIONS_INIT;

	ts_a64_store_rlx(&ts_process()->retain_limit_bytes, defaults.retain_bytes);
	return make_heap(&heaps[0], &defaults);
}

/* Meta lock held. A step that fails is tried again by the next call, from there on. */
static bool start_rooms(void)
{
	static int (*const steps[])(void) = { start_process,     ts_fork_start,  ts_thread_start,
					      ts_range_start,    ts_chunk_start, ts_epoch_start,
					      start_default_heap };
	static unsigned done;

	while (done < sizeof(steps) / sizeof(steps[0])) {
		if (steps[done]())
			return false;
		done++;
	}
	return true;
}

bool ts_start(void)
{
	bool running = ts_a32_load_acq(&started); /* ORD-20 acquire */

	if (__builtin_expect(running, 1))
		return true;
	ts_lock(&ts_lock_meta);
	if (!starting) {
		starting = true;
		running = ts_a32_load_rlx(&started) || start_rooms();
		/* ORD-20 release: all tables are complete behind it. */
		ts_a32_store_rel(&started, running);
		starting = false;
	}
	ts_unlock(&ts_lock_meta);
	return running;
}

struct tslab_heap *ts_heap_by_id(uint32_t id)
{
	return id < TS_HEAPS_MAX && ts_a32_load_acq(&heaps[id].alive) ? &heaps[id] : NULL; /* ORD-20 */
}

struct tslab_heap *ts_heap_of(tslab_heap *heap)
{
	if (!ts_start())
		return NULL;
	if (!heap)
		return &heaps[0];
	return heap >= heaps && heap < heaps + TS_HEAPS_MAX ? ts_heap_by_id(heap->id) : NULL;
}

/* -- API ---------------------------------------------------------------------------------------- */

tslab_heap *tslab_heap_default(void)
{
	ts_start();
	return &heaps[0];
}

tslab_heap *tslab_heap_create(const struct tslab_heap_options *given)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	struct tslab_heap *heap = NULL;
	int error = -EAGAIN;

	if (given && given->struct_bytes != sizeof(options)) {
		ts_count(refused_argument, 1);
		errno = EINVAL;
		return NULL;
	}
	if (given)
		options = *given;
	if (!ts_start()) {
		errno = ENOMEM;
		return NULL;
	}
	ts_fork_check();
	ts_lock(&ts_lock_meta);
	for (uint32_t i = 1; i < TS_HEAPS_MAX && error; i++) {
		if (ts_a32_load_rlx(&heaps[i].alive))
			continue;
		heap = &heaps[i];
		error = make_heap(heap, &options);
		if (error)
			break;
	}
	ts_unlock(&ts_lock_meta);
	if (!error)
		return heap;
	errno = -error;
	return NULL;
}

/* Every epoch of the heap; stops at the first that somebody is inside. */
static int destroy_epochs(struct tslab_heap *heap)
{
	uint32_t count = ts_a32_load_acq(&ts_epochs.count); /* ORD-20 acquire */

	for (uint32_t slot = TS_EPOCH_SLOTS_RESERVED; slot < count; slot++) {
		struct ts_epoch *epoch = ts_table_at(&ts_epochs, slot);
		uint64_t id = ts_a64_load_acq(&epoch->id); /* ORD-22 acquire */
		bool ours = id && ts_a64_load_rlx(&epoch->stat->heap_id) == heap->id;
		int error = ours ? ts_epoch_destroy(epoch, id) : 0;

		if (error)
			return error;
	}
	return 0;
}

/* Is any thread inside an epoch of the heap? The lane of a kept pair (keep.h) is in no epoch. */
static bool occupied(struct tslab_heap *heap)
{
	uint32_t count = ts_a32_load_acq(&ts_lanes.count); /* ORD-20 acquire */

	for (uint32_t i = 0; i < count; i++) {
		struct ts_lane *lane = ts_lane_at(i);

		if (ts_lane_heap(lane) == heap && ts_a64_load_rlx(&lane->holder) &&
		    ts_epoch_find(ts_a64_load_rlx(&lane->epoch_id)))
			return true;
	}
	return false;
}

int tslab_heap_destroy(tslab_heap *heap)
{
	int error;

	if (!heap || !ts_heap_of(heap)) {
		ts_count(refused_argument, 1);
		return -EINVAL;
	}
	if (!heap->id) {
		ts_count(refused_argument, 1);
		return -EPERM;
	}
	ts_fork_check();
	if (occupied(heap))
		return -EBUSY;
	error = destroy_epochs(heap);
	if (error)
		return error;
	/* What the calling thread keeps warm for it; other threads' warm lanes go when they look next. */
	if (ts_tls.self)
		ts_thread_drop_warm(ts_tls.self);
	ts_lock(&ts_lock_meta);
	ts_a32_store_rel(&heap->alive, 0); /* ORD-20 */
	show_heap(heap, false);
	ts_unlock(&ts_lock_meta);
	return 0;
}

tslab_epoch_t tslab_epoch_default(tslab_heap *heap)
{
	heap = ts_heap_of(heap);
	return heap ? ts_a64_load_rlx(&heap->default_epoch) : TSLAB_EPOCH_NONE;
}

/* -- ring --------------------------------------------------------------------------------------- */

/* Meta lock held. Each epoch of a ring has a higher era than all before it. */
static int open_ring_epoch(struct tslab_heap *heap, unsigned index, uint64_t *id)
{
	int error = ts_epoch_open(heap, NULL, index + 1, false, heap->ring_era + 1, id);

	if (!error)
		heap->ring_era = ts_epoch_era(*id);
	return error;
}

/* Meta lock held: the entry's epoch, opened if the entry was never used. */
static uint64_t ring_entry(struct tslab_heap *heap, unsigned index)
{
	uint64_t id = ts_a64_load_rlx(&heap->ring[index]);
	int error = 0;

	if (!id) {
		error = open_ring_epoch(heap, index, &id);
		if (!error)
			ts_a64_store_rlx(&heap->ring[index], id);
	}
	if (error)
		errno = -error;
	return error ? TSLAB_EPOCH_NONE : id;
}

tslab_epoch_t tslab_epoch_ring(tslab_heap *heap, unsigned index)
{
	uint64_t id;

	heap = ts_heap_of(heap);
	if (!heap || index >= TSLAB_RING_EPOCHS) {
		ts_count(refused_argument, 1);
		errno = EINVAL;
		return TSLAB_EPOCH_NONE;
	}
	id = ts_a64_load_rlx(&heap->ring[index]);
	if (id)
		return id;
	ts_fork_check();
	ts_lock(&ts_lock_meta);
	id = ring_entry(heap, index);
	ts_unlock(&ts_lock_meta);
	return id;
}

tslab_epoch_t tslab_epoch_current(tslab_heap *heap)
{
	heap = ts_heap_of(heap);
	if (!heap) {
		errno = EINVAL;
		return TSLAB_EPOCH_NONE;
	}
	return tslab_epoch_ring(heap, ts_a32_load_rlx(&heap->ring_current));
}

static void close_if_open(uint64_t id)
{
	struct ts_epoch *epoch = ts_epoch_find(id);

	if (epoch)
		ts_epoch_close(epoch, id);
}

int tslab_epoch_advance(tslab_heap *heap, tslab_epoch_t *current)
{
	uint64_t old = 0, replaced = 0, fresh = 0;
	unsigned index;
	int error;

	heap = ts_heap_of(heap);
	if (!heap) {
		ts_count(refused_argument, 1);
		return -EINVAL;
	}
	ts_fork_check();
	ts_lock(&ts_lock_meta);
	index = ts_a32_load_rlx(&heap->ring_current);
	old = ring_entry(heap, index);
	index = (index + 1) % TSLAB_RING_EPOCHS;
	replaced = ts_a64_load_rlx(&heap->ring[index]);
	error = open_ring_epoch(heap, index, &fresh);
	if (!error) {
		ts_a64_store_rlx(&heap->ring[index], fresh);
		show_ring(heap, index);
	}
	ts_unlock(&ts_lock_meta);
	if (error)
		return error;
	ts_count(ring_advances, 1);
	/* The entry's epoch of the round before drains on its own. Both may be closing or over already. */
	close_if_open(replaced);
	close_if_open(old);
	if (current)
		*current = fresh;
	return 0;
}
