/* SPDX-License-Identifier: MIT */
/* domain.c: a thread enters an epoch and exits it. One atomic operation each once the lane is known. */
#include <errno.h>

#include <tslab/tslab.h>

#include "control.h"
#include "epoch.h"
#include "fork.h"
#include "heap.h"
#include "keep.h"
#include "os.h"
#include "process.h"
#include "report.h"
#include "site.h"
#include "thread.h"

static inline void show_scope(struct ts_thread *thread, uint64_t epoch_id, uint64_t now_ns)
{
	uint32_t i = thread->depth;

	if (i < TS_SCOPES_SHOWN) {
		struct ts_scope_words *shown = &thread->stat->scope[i];

		ts_a64_store_rlx(&shown->since_ns, now_ns);
		/* ORD-21 release: a reader that sees the id sees site and time. */
		ts_a64_store_rel(&shown->epoch_id, epoch_id);
	}
	ts_a64_store_rlx(&thread->stat->w.depth, i + 1);
}

#define inlined inline __attribute__((always_inline))

static inlined void push_scope(struct ts_thread *thread, uint64_t epoch_id, struct ts_lane *lane,
			       const void *pc, uint64_t now_ns)
{
	struct ts_scope *scope = &thread->scopes[thread->depth];

	/* Most often the same place as last time. */
	if (scope->pc != pc) {
		bool captured = ts_control_captures_sites();

		/* What is not captured now is asked for again. */
		scope->pc = captured ? pc : NULL;
		scope->site = captured ? ts_site_id(pc) : 0;
		if (thread->depth < TS_SCOPES_SHOWN)
			ts_a64_store_rlx(&thread->stat->scope[thread->depth].site, scope->site);
	}
	scope->epoch_id = epoch_id;
	scope->lane = lane;
	show_scope(thread, epoch_id, now_ns);
	thread->depth++;
	ts_bump_word(&lane->stat->w.enters, 1);
	ts_tls.lane = lane;
}

/* The thread is inside this epoch already: its lane, after the same state check as a first enter. */
static struct ts_lane *nested_lane(struct ts_thread *thread, struct ts_epoch *epoch, uint64_t id)
{
	struct ts_lane *lane = ts_thread_known_lane(thread, id, 0);
	uint64_t e;

	if (!lane || ts_a64_load_rlx(&lane->holder) != thread->id ||
	    ts_a64_load_rlx(&lane->epoch_id) != id)
		return NULL;
	e = ts_a64_load_acq(&epoch->e); /* ORD-10 acquire */
	if (ts_ew_state(e) == TS_EPOCH_CLOSING || !ts_ew_is(e, ts_epoch_era(id)))
		return NULL;
	lane->depth++;
	return lane;
}

static int refuse_enter(uint64_t id)
{
	ts_count(refused_argument, 1);
	ts_refused(.what = "enter refused: the epoch is not open", .epoch = ts_epoch_find(id),
		   .epoch_id = id);
	return -ESTALE;
}

int tslab_domain_enter_at(tslab_epoch_t id, const void *site)
{
	struct ts_thread *thread = ts_thread_self();
	struct ts_epoch *epoch;
	struct ts_lane *lane;

	ts_fork_check();
	if (!thread || thread->ending || !ts_thread_reserve_scope(thread))
		return -ENOMEM;
	epoch = ts_epoch_find(id);
	if (!epoch)
		return refuse_enter(id);
	lane = nested_lane(thread, epoch, id);
	if (!lane) {
		lane = ts_epoch_take_lane(epoch, id, 0, 0);
		if (!lane)
			return errno == ESTALE ? refuse_enter(id) : -ENOMEM;
		ts_lane_enter(lane, thread);
	}
	push_scope(thread, id, lane, site, ts_os_coarse_ns());
	return 0;
}

int tslab_domain_enter(tslab_epoch_t id)
{
	return tslab_domain_enter_at(id, __builtin_return_address(0));
}

/* Take scope i off the stack; the ones above it move down. */
static struct ts_lane *pop_scope(struct ts_thread *thread, uint32_t i)
{
	struct ts_lane *lane = thread->scopes[i].lane;

	for (thread->depth--; i < thread->depth; i++) {
		thread->scopes[i] = thread->scopes[i + 1];
		if (i >= TS_SCOPES_SHOWN)
			continue;
		ts_a64_store_rel(&thread->stat->scope[i].epoch_id, 0); /* ORD-21 */
		ts_a64_store_rlx(&thread->stat->scope[i].site, thread->scopes[i].site);
		if (i + 1 < TS_SCOPES_SHOWN)
			ts_a64_store_rlx(&thread->stat->scope[i].since_ns,
					 ts_a64_load_rlx(&thread->stat->scope[i + 1].since_ns));
		ts_a64_store_rel(&thread->stat->scope[i].epoch_id,
				 thread->scopes[i].epoch_id); /* ORD-21 */
	}
	if (i < TS_SCOPES_SHOWN)
		ts_a64_store_rlx(&thread->stat->scope[i].epoch_id, 0);
	ts_a64_store_rlx(&thread->stat->w.depth, thread->depth);
	return lane;
}

static int refuse_exit(uint64_t id)
{
	ts_count(refused_exit, 1);
	ts_refused(.what = "exit refused: this thread is not inside the epoch",
		   .epoch = ts_epoch_find(id), .epoch_id = id);
	return -EINVAL;
}

int tslab_domain_exit(tslab_epoch_t id)
{
	struct ts_thread *thread = ts_tls.self;
	uint32_t i = thread ? thread->depth : 0;
	bool innermost;
	struct ts_lane *lane;

	ts_fork_check();
	while (i && thread->scopes[i - 1].epoch_id != id)
		i--;
	if (!i)
		return refuse_exit(id);
	innermost = i == thread->depth;
	if (!innermost) {
		ts_count(exits_out_of_order, 1);
		ts_refused(.what = "exit out of order: inner scopes are still open",
			   .epoch = ts_epoch_find(id), .epoch_id = id);
	}
	lane = pop_scope(thread, i - 1);
	ts_bump_word(&lane->stat->w.exits, 1);
	ts_tls.lane = ts_thread_lane(thread);
	if (--lane->depth == 0)
		ts_lane_leave(lane);
	return innermost ? 0 : -EPERM;
}

/* -- epoch and scope together ------------------------------------------------------------------- */

static __attribute__((noinline, cold)) int open_and_enter(tslab_heap *heap, const char *label,
							  const void *site, tslab_epoch_t *epoch)
{
	int error = tslab_epoch_open(heap, label, epoch);

	if (error)
		return error;
	error = tslab_domain_enter_at(*epoch, site);
	if (error)
		tslab_epoch_discard(*epoch);
	return error;
}

static inlined int scope_begin(tslab_heap *heap, const char *label, const void *site,
			       tslab_epoch_t *epoch)
{
	struct ts_thread *thread = ts_tls.self;
	struct ts_lane *lane;
	uint64_t now_ns;

	ts_fork_check();
	if (!thread || !thread->kept_count || !epoch || thread->depth == thread->scopes_max)
		return open_and_enter(heap, label, site, epoch);
	now_ns = ts_os_coarse_ns();
	lane = ts_keep_begin(thread, heap, label, now_ns, epoch);
	if (!lane)
		return open_and_enter(heap, label, site, epoch);
	push_scope(thread, *epoch, lane, site, now_ns);
	return 0;
}

int tslab_scope_begin(tslab_heap *heap, const char *label, tslab_epoch_t *epoch)
{
	return scope_begin(heap, label, __builtin_return_address(0), epoch);
}

int tslab_scope_begin_at(tslab_heap *heap, const char *label, const void *site, tslab_epoch_t *epoch)
{
	return scope_begin(heap, label, site, epoch);
}

/* The common end: innermost scope, nobody else ever came. False: nothing was changed. */
static inlined bool end_kept(tslab_epoch_t id, bool if_empty)
{
	struct ts_thread *thread = ts_tls.self;
	struct ts_scope *scope;

	ts_fork_check();
	if (!thread || !thread->depth || thread->ending)
		return false;
	scope = &thread->scopes[thread->depth - 1];
	if (scope->epoch_id != id || scope->lane->depth != 1 ||
	    !ts_keep_end(thread, scope->lane, if_empty))
		return false;
	thread->depth--;
	if (thread->depth < TS_SCOPES_SHOWN)
		ts_a64_store_rlx(&thread->stat->scope[thread->depth].epoch_id, 0);
	ts_a64_store_rlx(&thread->stat->w.depth, thread->depth);
	ts_tls.lane = ts_thread_lane(thread);
	return true;
}

static __attribute__((noinline, cold)) int exit_and_end(tslab_epoch_t epoch,
							int (*end)(tslab_epoch_t))
{
	int left = tslab_domain_exit(epoch);
	int error;

	if (left && left != -EPERM)
		return left;
	error = end(epoch);
	return error ? error : left;
}

int tslab_scope_close(tslab_epoch_t epoch)
{
	if (!end_kept(epoch, true))
		return exit_and_end(epoch, tslab_epoch_close);
	ts_bump_word(&ts_tls.self->stat->w.epochs_closed, 1);
	return 0;
}

int tslab_scope_discard(tslab_epoch_t epoch)
{
	if (!end_kept(epoch, false))
		return exit_and_end(epoch, tslab_epoch_discard);
	ts_bump_word(&ts_tls.self->stat->w.epochs_discarded, 1);
	return 0;
}

tslab_epoch_t tslab_domain_current(void)
{
	struct ts_thread *thread = ts_tls.self;

	return thread && thread->depth ? thread->scopes[thread->depth - 1].epoch_id :
					 TSLAB_EPOCH_NONE;
}
