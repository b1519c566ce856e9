/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "epoch.h"
#include "fork.h"
#include "heap.h"
#include "lock.h"
#include "meta.h"
#include "os.h"
#include "process.h"
#include "slack.h"

__thread struct ts_tls ts_tls = { .lane = &ts_lane_none };

struct ts_table ts_threads = { .stride = -8192, .max = 1 << 17, .twin = &ts_lanes };
_Static_assert(sizeof(struct ts_thread) <= 8192, "one table record");

static pthread_key_t end_key;
static bool end_key_made;
static uint32_t free_threads; /* index + 1; under ts_lock_meta */

/* What a thread points at after its end: destructors of other keys may still allocate. */
static struct ts_block_thread ended_stat;
static struct ts_thread ended = { .id = UINT64_MAX, .stat = &ended_stat, .ending = true };

/* -- beginning and end of a thread -------------------------------------------------------------- */

/* Meta lock held. */
static int64_t new_record(void)
{
	int64_t index = ts_table_grow(&ts_threads);
	struct ts_block_thread *stat = index < 0 ? NULL : ts_block_get(TS_BLOCK_THREAD, 2);
	struct ts_thread *thread;

	if (!stat)
		return -1;
	thread = ts_table_at(&ts_threads, (uint32_t)index);
	thread->stat = stat;
	thread->scopes = thread->scopes_inline;
	thread->scopes_max = TS_SCOPES_INLINE;
	thread->directory[0] = thread->directory_inline;
	ts_table_publish(&ts_threads);
	return index;
}

/* Meta lock held. */
static int64_t take_free_record(void)
{
	uint32_t index = free_threads - 1;

	free_threads = ((struct ts_thread *)ts_table_at(&ts_threads, index))->next_free;
	return index;
}

static struct ts_thread *take_record(void)
{
	struct ts_thread *thread;
	uint64_t incarnation;
	int64_t index;

	ts_lock(&ts_lock_meta);
	index = free_threads ? take_free_record() : new_record();
	ts_unlock(&ts_lock_meta);
	if (index < 0)
		return NULL;
	thread = ts_table_at(&ts_threads, (uint32_t)index);
	incarnation = (thread->id >> 32) + 1;
	thread->id = incarnation << 32 | ((uint32_t)index + 1);
	thread->ending = false;
	ts_a64_store_rlx(&thread->stat->w.incarnation, incarnation);
	ts_a64_store_rlx(&thread->stat->w.tid, (uint64_t)syscall(SYS_gettid));
	return thread;
}

struct ts_thread *ts_thread_make(void)
{
	struct ts_thread *thread = ts_tls.self;

	if (thread || !ts_start() || !end_key_made)
		return thread;
	ts_fork_check();
	thread = take_record();
	if (!thread)
		return NULL;
	ts_arch_tags_begin(); /* a thread of the parent's before the library was started */
	/* Published first: the C library may allocate in setspecific and come back here. */
	ts_tls.self = thread;
	if (pthread_setspecific(end_key, thread)) {
		ts_tls.self = NULL;
		ts_lock(&ts_lock_meta);
		thread->next_free = free_threads;
		free_threads = ts_thread_number(thread);
		ts_unlock(&ts_lock_meta);
		return NULL;
	}
	ts_os_clock_sync();
	return thread;
}

/* A scope whose thread ends is left: the epoch keeps where it was entered. */
static void abandon_scopes(struct ts_thread *thread)
{
	while (thread->depth) {
		struct ts_scope *scope = &thread->scopes[--thread->depth];
		struct ts_lane *lane = scope->lane;
		struct ts_epoch *epoch = ts_lane_epoch(lane);

		ts_count(scopes_abandoned, 1);
		ts_a64_add_rlx(&epoch->stat->abandoned, 1);
		ts_a64_store_rlx(&epoch->stat->abandoned_site, scope->site);
		ts_a32_store_rlx(&epoch->altered, 1);
		if (thread->depth < TS_SCOPES_SHOWN)
			ts_a64_store_rlx(&thread->stat->scope[thread->depth].epoch_id, 0);
		if (--lane->depth == 0)
			ts_lane_leave(lane);
	}
	ts_a64_store_rlx(&thread->stat->w.depth, 0);
}

static void drop_kept(struct ts_thread *thread, uint32_t i, struct ts_thread *heir)
{
	struct ts_kept kept = thread->kept[i];

	for (thread->kept_count--; i < thread->kept_count; i++)
		thread->kept[i] = thread->kept[i + 1];
	ts_thread_retain(thread, -(int64_t)ts_lane_bytes(kept.lane));
	ts_epoch_dissolve(kept.epoch, kept.lane, heir);
}

void ts_thread_drop_one_kept(struct ts_thread *thread)
{
	drop_kept(thread, 0, thread);
}

void ts_thread_drop_warm(struct ts_thread *thread)
{
	while (thread->kept_count)
		drop_kept(thread, thread->kept_count - 1, NULL);
	while (thread->warm) {
		struct ts_lane *lane = ts_lane_at(thread->warm - 1);

		thread->warm = lane->next_free;
		ts_thread_retain(thread, -(int64_t)ts_lane_bytes(lane));
		ts_lane_put(NULL, lane);
	}
	thread->warm_count = 0;
}

void ts_thread_trim(void)
{
	struct ts_thread *thread = ts_tls.self;

	ts_fork_check();
	if (!thread || thread->ending)
		return;
	if (ts_tls.lane != &ts_lane_none) {
		ts_lane_drain(ts_tls.lane);
		ts_lane_trim_all(ts_tls.lane);
	}
	ts_thread_drop_warm(thread);
	ts_chunk_cache_drain(thread);
	ts_chunk_purge_pool();
}

static void end_thread(void *arg)
{
	struct ts_thread *thread = arg;

	thread->ending = true;
	ts_tls.lane = &ts_lane_none;
	abandon_scopes(thread);
	if (thread->default_lane) {
		/* Nobody may come for it: more than a thread may keep is not left there. */
		ts_slack_end(thread->default_lane);
		if (ts_lane_bytes(thread->default_lane) > tslab_heap_default()->retain_bytes)
			ts_lane_trim(thread->default_lane);
		ts_lane_leave(thread->default_lane);
		thread->default_lane = NULL;
	}
	ts_thread_drop_warm(thread);
	ts_chunk_cache_drain(thread);
	ts_epoch_return_slots(thread);
	ts_a64_store_rlx(&thread->stat->w.tid, 0);
	ts_tls.self = &ended;
	ts_stackblock_share(thread->spare);
	ts_lock(&ts_lock_meta);
	thread->next_free = free_threads;
	free_threads = ts_thread_number(thread);
	ts_unlock(&ts_lock_meta);
}

static void show_again(struct ts_thread *thread)
{
	ts_a64_store_rlx(&thread->stat->w.tid, (uint64_t)syscall(SYS_gettid));
	ts_a64_store_rlx(&thread->stat->w.incarnation, thread->id >> 32);
	ts_a64_store_rlx(&thread->stat->w.retained_bytes, thread->retained_bytes);
	ts_a64_store_rlx(&thread->stat->w.depth, thread->depth);
	for (uint32_t i = 0; i < thread->depth && i < TS_SCOPES_SHOWN; i++) {
		struct ts_scope_words *shown = &thread->stat->scope[i];

		ts_a64_store_rlx(&shown->site, thread->scopes[i].site);
		ts_a64_store_rlx(&shown->since_ns, ts_os_coarse_ns());
		ts_a64_store_rel(&shown->epoch_id, thread->scopes[i].epoch_id); /* ORD-21 */
	}
}

void ts_thread_recover(struct ts_thread *survivor)
{
	uint32_t count = ts_a32_load_rlx(&ts_threads.count);

	free_threads = 0;
	for (uint32_t i = count; i-- > 0;) {
		struct ts_thread *thread = ts_table_at(&ts_threads, i);

		ts_words_clear(&thread->stat->w, sizeof(thread->stat->w));
		ts_words_clear(thread->stat->cls, sizeof(thread->stat->cls));
		if (thread == survivor)
			continue;
		thread->depth = 0;
		thread->default_lane = NULL;
		thread->cache.count = 0;
		thread->retained_bytes = 0;
		thread->kept_count = 0;
		thread->warm = thread->warm_count = 0;
		thread->slot_count = 0;
		/* Caught in the middle of a step, perhaps: not worth a walk. */
		memset(thread->spare, 0, sizeof(thread->spare));
		thread->next_free = free_threads;
		free_threads = i + 1;
	}
	if (!survivor || survivor->ending)
		return;
	while (survivor->kept_count)
		survivor->retained_bytes -=
			ts_lane_bytes(survivor->kept[--survivor->kept_count].lane);
	show_again(survivor);
}

int ts_thread_start(void)
{
	int error = end_key_made ? 0 : pthread_key_create(&end_key, end_thread);

	end_key_made = !error;
	return -error;
}

/* -- lanes a thread knows ----------------------------------------------------------------------- */

bool ts_thread_hold_default(struct ts_thread *thread)
{
	uint64_t id = ts_a64_load_rlx(&tslab_heap_default()->default_epoch);
	struct ts_epoch *epoch = ts_epoch_find(id);
	struct ts_lane *lane;

	if (thread->default_lane)
		return true;
	if (!epoch) {
		errno = ENOMEM;
		return false;
	}
	lane = ts_epoch_take_lane(epoch, id, 0, 0);
	if (!lane)
		return false;
	/* The holding counts as one scope; scopes of the default epoch come on top. */
	ts_lane_enter(lane, thread);
	thread->default_lane = lane;
	if (!thread->depth)
		ts_tls.lane = lane;
	return true;
}

void ts_thread_know_lane(struct ts_thread *thread, uint64_t epoch_id, struct ts_lane *lane)
{
	uint32_t slot = ts_epoch_slot(epoch_id);
	struct ts_lane ***directory =
		ts_lane_flags(lane) & TS_LANE_HANDLES ? thread->handle_directory : thread->directory;
	struct ts_lane **page = directory[slot / TS_DIRECTORY_SPAN];

	if (!page) {
		page = ts_meta_alloc(TS_DIRECTORY_SPAN * sizeof(*page));
		directory[slot / TS_DIRECTORY_SPAN] = page;
	}
	/* Without a page the lane is found by walking the epoch's list. */
	if (page)
		page[slot % TS_DIRECTORY_SPAN] = lane;
}

bool ts_thread_reserve_scope(struct ts_thread *thread)
{
	struct ts_scope *more;

	if (thread->depth < thread->scopes_max)
		return true;
	if (thread->scopes_max * 2 > TS_SCOPES_MAX)
		return false;
	more = ts_meta_alloc((size_t)thread->scopes_max * 2 * 32);
	if (!more)
		return false;
	_Static_assert(sizeof(struct ts_scope) <= 32, "scopes grow by powers of two");
	for (uint32_t i = 0; i < thread->depth; i++)
		more[i] = thread->scopes[i];
	thread->scopes = more;
	thread->scopes_max *= 2;
	return true;
}
