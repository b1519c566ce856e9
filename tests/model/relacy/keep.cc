/* SPDX-License-Identifier: MIT */
/* Kept pairs: the end of an epoch by the thread inside, the next life of its slot and lane. */
#include "harness.h"

/* The end in one step comes after everything that was done under a reference that is gone. */
struct end_alone_test : rl::test_suite<end_alone_test, 2> {
	ts_a64 e;
	rl::var<int> row;

	void before()
	{
		ts_a64_store_rlx(&e, ts_ew_make(1, TS_EPOCH_ACTIVE, 3));
		row($) = 0;
	}

	void thread(unsigned t)
	{
		if (t == 1) {
			row($) = 1;
			RL_ASSERT(!ts_ew_drop(&e, 1));
		} else if (ts_ew_end_alone(&e, 1)) {
			RL_ASSERT(row($) == 1);
			row($) = 2;
			ts_ew_open(&e, 2, 2);
		}
	}
};

/* A short reference to the era that ends, from 2: the end fails, or the reference is refused. */
struct end_or_ref_test : rl::test_suite<end_or_ref_test, 2> {
	ts_a64 e;
	rl::var<int> row;

	void before()
	{
		ts_a64_store_rlx(&e, ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
		row($) = 1;
	}

	void thread(unsigned t)
	{
		if (t == 1) {
			if (ts_ew_ref(&e, 1, 1u << TS_EPOCH_ACTIVE) != TS_EPOCH_ACTIVE)
				return;
			row($) = row($) + 10;
			RL_ASSERT(!ts_ew_drop(&e, 1));
		} else if (ts_ew_end_alone(&e, 1)) {
			row($) = 2;
			ts_ew_open(&e, 2, 2);
		}
	}
};

/*
 * The keeper ends era 1, begins era 2 in the same lane, drains and leaves: the tag is set right before the
 * lane is given back. A freer, who has an object of era 2, and a taker come at any time.
 */
struct kept_test : rl::test_suite<kept_test, 3> {
	lane_model lane;
	rl::var<int> row;
	rl::atomic<int> freed;

	void before()
	{
		lane.init(TS_LW_HELD | ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
		row($) = 1;
		freed($).store(0, rl::mo_relaxed);
	}

	void keep()
	{
		lane.touch();
		RL_ASSERT(ts_ew_end_alone(&lane.e, 1));
		lane.touch();
		row($) = 2;
		lane.object[1]($) = 2;
		ts_ew_open(&lane.e, 2, 2);
		lane.touch();
		lane.drain();
		ts_lw_retag(&lane.w, ts_lw_tag(2));
		lane.release(false);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			keep();
			return;
		}
		if (ts_ew_ref(&lane.e, 2, 1u << TS_EPOCH_ACTIVE) != TS_EPOCH_ACTIVE)
			return;
		RL_ASSERT(row($) == 2);
		if (t == 1) {
			lane.remote_free(1, 1, 1);
			freed($).store(1, rl::mo_relaxed);
		} else if (ts_lw_take(&lane.w, ts_lw_tag(2), 0) == TS_LW_TAKEN) {
			lane.touch();
			lane.release(false);
		}
		RL_ASSERT(!ts_ew_drop(&lane.e, 1));
	}

	void after()
	{
		uint64_t w = ts_a64_load_rlx(&lane.w);

		RL_ASSERT(w == ts_lw_tag(2));
		RL_ASSERT(lane.collected($).load(rl::mo_relaxed) == freed($).load(rl::mo_relaxed));
		RL_ASSERT(ts_a64_load_rlx(&lane.e) == ts_ew_make(2, TS_EPOCH_ACTIVE, 2));
	}
};

void run_keep(void)
{
	run<end_alone_test>("end-alone", 0, 0);
	run<end_or_ref_test>("end-or-ref", 0, 0);
	run<kept_test>("kept", 3, 4);
}
