/* SPDX-License-Identifier: MIT */
/* domain.c: a thread enters an epoch and exits it. One atomic operation each once the lane is known. */
#include <errno.h>

#include <tslab/tslab.h>

#include "epoch.h"
#include "fork.h"
#include "heap.h"
#include "os.h"
#include "process.h"
#include "report.h"
#include "site.h"
#include "thread.h"

static void show_scope(struct ts_thread *thread, uint64_t epoch_id, uint32_t site)
{
	uint32_t i = thread->depth;

	if (i < TS_SCOPES_SHOWN) {
		struct ts_scope_words *shown = &thread->stat->scope[i];

		ts_a64_store_rlx(&shown->site, site);
		ts_a64_store_rlx(&shown->since_ns, ts_os_coarse_ns());
		/* ORD-21 release: a reader that sees the id sees site and time. */
		ts_a64_store_rel(&shown->epoch_id, epoch_id);
	}
	ts_a64_store_rlx(&thread->stat->w.depth, i + 1);
}

static void push_scope(struct ts_thread *thread, uint64_t epoch_id, struct ts_lane *lane,
		       const void *site)
{
	uint32_t number = ts_site_id(site);
	struct ts_scope *scope = &thread->scopes[thread->depth];

	scope->epoch_id = epoch_id;
	scope->lane = lane;
	scope->site = number;
	show_scope(thread, epoch_id, number);
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
	push_scope(thread, id, lane, site);
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

tslab_epoch_t tslab_domain_current(void)
{
	struct ts_thread *thread = ts_tls.self;

	return thread && thread->depth ? thread->scopes[thread->depth - 1].epoch_id :
					 TSLAB_EPOCH_NONE;
}
