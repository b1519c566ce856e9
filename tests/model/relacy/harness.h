/* SPDX-License-Identifier: MIT */
/*
 * harness.h: the protocol headers and what all harnesses share: a small lane around a real lane word.
 *
 * `state` stands for everything that the holder touches plainly (bins, local bits, counters) and
 * `object` for the memory of the slots; Relacy reports a race on either.
 */
#ifndef TS_RELACY_HARNESS_H
#define TS_RELACY_HARNESS_H

#include "arch.h"

#include "epochword.h"
#include "laneword.h"

struct result {
	const char *name;
	bool passed;
	uint64_t iterations;
	const char *what;
};

enum { MAX_RESULTS = 64 };
extern result results[MAX_RESULTS];
extern unsigned result_count;
extern bool soak;

template <class Test> static void run(const char *name, unsigned bound, unsigned soak_bound)
{
	rl::test_params params;
	std::ostream out(nullptr); /* the history is not wanted, and Relacy allocates for it */
	result *r = &results[result_count++];

	params.output_stream = &out;
	params.progress_stream = &out;
	params.execution_depth_limit = 5000;
	params.search_type = bound ? rl::fair_context_bound_scheduler_type :
				     rl::fair_full_search_scheduler_type;
	params.context_bound = soak ? soak_bound : bound;
	r->name = name;
	r->passed = rl::simulate<Test>(params);
	r->iterations = params.stop_iteration;
	r->what = rl::test_result_str(params.test_result);
}

/* A lane of two nodes with a slot each (bit 1) that lives in an epoch. */
struct lane_model {
	ts_a64 w;
	ts_a64 e;
	ts_node node[3]; /* index 0 is never used: head 0 means empty */
	ts_a32 link[3];
	rl::var<int> state;
	rl::var<int> object[3];
	rl::atomic<int> collected;
	rl::atomic<int> finished;

	void init(uint64_t word, uint64_t epoch)
	{
		ts_a64_store_rlx(&w, word);
		ts_a64_store_rlx(&e, epoch);
		for (unsigned i = 0; i < 3; i++) {
			ts_a64_store_rlx(&node[i].local, ~(uint64_t)3);
			ts_a64_store_rlx(&node[i].remote, 0);
			ts_a32_store_rlx(&link[i], 0);
			object[i]($) = 0;
		}
		state($) = 0;
		collected($).store(0, rl::mo_relaxed);
		finished($).store(0, rl::mo_relaxed);
	}

	void touch()
	{
		state($) = state($) + 1;
	}

	void collect(uint32_t i)
	{
		uint64_t refused;
		uint64_t bits = ts_node_collect(&node[i], 3, &refused);

		RL_ASSERT(bits && !refused);
		RL_ASSERT(!(bits & ~ts_a64_load_rlx(&node[i].local)));
		touch();
		if (bits & 1)
			object[i]($) = -1; /* the slot's next owner writes */
		if (bits & 2)
			object[0]($) = -1;
		collected($).fetch_add((int)(bits & 1) + (int)(bits >> 1 & 1), rl::mo_relaxed);
	}

	void drain()
	{
		for (uint32_t i = ts_lw_take_queue(&w); i;) {
			uint32_t next = ts_a32_load_rlx(&link[i]);

			collect(i);
			i = next;
		}
	}

	/* The finisher alone: it reads and rewrites what holders wrote. */
	void drop(uint64_t count)
	{
		if (!ts_ew_drop(&e, count))
			return;
		touch();
		RL_ASSERT(finished($).fetch_add(1, rl::mo_relaxed) == 0);
		ts_ew_finish(&e, 1);
	}

	void release(bool empty)
	{
		bool settled = false;

		touch();
		for (;;) {
			switch (ts_lw_give_back(&w, empty, settled)) {
			case TS_LW_DRAIN:
				drain();
				break;
			case TS_LW_SETTLE:
				touch();
				settled = true;
				break;
			case TS_LW_DIED:
				drop(1);
				return;
			default:
				return;
			}
		}
	}

	void remote_free(uint32_t i, uint64_t bit, unsigned which)
	{
		uint32_t retries = 0;

		object[which]($) = 1; /* the freer's last store to its object */
		if (ts_node_free(&node[i], bit))
			return;
		if (ts_lw_push_or_take(&w, &link[i], i, 0, &retries) == TS_LW_TAKEN) {
			collect(i);
			release(false);
		}
	}
};

#endif
