/* SPDX-License-Identifier: MIT */
/* The lane word with its queue and nodes; scopes in turn; close and the last holder. */
#include "harness.h"

/* A scope that drains and leaves, two freers of two nodes: litmus 1, the release sequence through W. */
struct queue_test : rl::test_suite<queue_test, 3> {
	lane_model lane;

	void before()
	{
		lane.init(TS_LW_HELD | ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.touch();
			lane.drain();
			lane.release(false);
		} else {
			lane.remote_free(t, 1, t);
		}
	}

	void after()
	{
		uint64_t w = ts_a64_load_rlx(&lane.w);

		RL_ASSERT(!(w & (TS_LW_HELD | TS_LW_TRANSIENT | TS_LW_HEAD)));
		RL_ASSERT(lane.collected($).load(rl::mo_relaxed) == 2);
	}
};

/* The same with a closer's flag between the pushes, on a word that stays held until it is closing. */
struct flag_test : rl::test_suite<flag_test, 3> {
	lane_model lane;

	void before()
	{
		lane.init(TS_LW_HELD | ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_CLOSING, 2));
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.touch();
			lane.release(false);
		} else if (t == 1) {
			lane.remote_free(1, 1, 1);
			lane.remote_free(2, 1, 2);
		} else {
			if (ts_lw_mark_closing(&lane.w) == TS_LW_TAKEN)
				lane.release(false);
		}
	}

	void after()
	{
		RL_ASSERT(lane.collected($).load(rl::mo_relaxed) == 2);
		RL_ASSERT(ts_a64_load_rlx(&lane.w) == (TS_LW_CLOSING | ts_lw_tag(1)));
	}
};

/* Two threads enter a parked lane in turn. */
struct scopes_test : rl::test_suite<scopes_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
	}

	void thread(unsigned)
	{
		if (ts_lw_take(&lane.w, ts_lw_tag(1), 0) == TS_LW_TAKEN)
			lane.release(false);
	}
};

/* A free in a parked lane holds it for a moment; who enters next hands the slot out again. */
struct direct_test : rl::test_suite<direct_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
	}

	void free_directly()
	{
		uint64_t local = ts_a64_load_rlx(&lane.node[1].local);

		ts_a64_store_rlx(&lane.node[1].local, local | 1);
		lane.release(false);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.object[1]($) = 1; /* the freer's last store to its object */
			if (ts_lw_take(&lane.w, ts_lw_tag(1), TS_LW_TRANSIENT) == TS_LW_TAKEN)
				free_directly();
			else
				lane.remote_free(1, 1, 1);
		} else if (ts_lw_take(&lane.w, ts_lw_tag(1), 0) == TS_LW_TAKEN) {
			if (ts_a64_load_rlx(&lane.node[1].local) & 1)
				lane.object[1]($) = -1; /* the slot's next owner writes */
			lane.release(false);
		}
	}

	void after()
	{
		RL_ASSERT(ts_a64_load_rlx(&lane.node[1].local) & 1);
		RL_ASSERT(ts_a64_load_rlx(&lane.w) == ts_lw_tag(1));
	}
};

/* A lane is bound as parked by one thread and taken by another that knows nothing but the word. */
struct bind_test : rl::test_suite<bind_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(TS_LW_RESTING, ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.touch();
			RL_ASSERT(ts_lw_bind(&lane.w, ts_lw_tag(1), 0) == TS_LW_RETURNED);
		} else if (ts_lw_take(&lane.w, ts_lw_tag(1), 0) == TS_LW_TAKEN) {
			lane.release(false);
		}
	}
};

/* A holder leaves while the epoch closes: one of the two finishes it and touches the lane again. */
struct close_test : rl::test_suite<close_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(TS_LW_HELD | ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.release(true);
			return;
		}
		RL_ASSERT(ts_ew_begin_close(&lane.e, 1) == TS_EPOCH_ACTIVE);
		if (ts_lw_mark_closing(&lane.w) == TS_LW_TAKEN)
			lane.release(true);
		lane.drop(1);
	}

	void after()
	{
		RL_ASSERT(lane.finished($).load(rl::mo_relaxed) == 1);
		RL_ASSERT(ts_ew_state(ts_a64_load_rlx(&lane.e)) == TS_EPOCH_FREE);
	}
};

void run_lane(void)
{
	run<scopes_test>("scopes", 0, 0);
	run<direct_test>("direct", 0, 0);
	run<bind_test>("bind", 0, 0);
	run<close_test>("close", 0, 0);
	run<queue_test>("queue", 3, 4);
	run<flag_test>("flag", 3, 4);
}
