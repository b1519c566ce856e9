/* SPDX-License-Identifier: MIT */
/* Pins: against discard, against death, against the next binding of the lane. */
#include "harness.h"

/* Two handle frees of a parked lane: one takes it, the other takes it later or pins it. */
struct take_or_pin_test : rl::test_suite<take_or_pin_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
	}

	void thread(unsigned)
	{
		switch (ts_lw_take_or_pin(&lane.w, ts_lw_tag(1))) {
		case TS_LW_TAKEN:
			lane.release(false);
			break;
		case TS_LW_PINNED:
			RL_ASSERT(ts_lw_unpin(&lane.w) == TS_LW_RETURNED);
			break;
		default:
			RL_ASSERT(!"neither taken nor pinned");
		}
	}

	void after()
	{
		RL_ASSERT(ts_a64_load_rlx(&lane.w) == ts_lw_tag(1));
	}
};

/* What is read under a pin is not rewritten by the discarder until the pin is gone. */
struct discard_test : rl::test_suite<discard_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(ts_lw_tag(1) | TS_LW_HELD, ts_ew_make(1, TS_EPOCH_DISCARDING, 2));
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.release(false); /* the scope goes */
			if (ts_lw_take(&lane.w, ts_lw_tag(1), TS_LW_DISC) != TS_LW_TAKEN)
				return; /* pinned: a discarder waits and tries again */
			lane.object[1]($) = 1;
			ts_lw_die(&lane.w);
		} else if (ts_lw_take_or_pin(&lane.w, ts_lw_tag(1)) == TS_LW_PINNED) {
			int seen = lane.object[1]($);

			RL_ASSERT(seen == 0);
			if (ts_lw_unpin(&lane.w) == TS_LW_TAKEN)
				lane.release(false);
		}
	}
};

/* The last unpin of a closing lane that nobody holds takes it; it sees the last holder's work. */
struct last_unpin_test : rl::test_suite<last_unpin_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(ts_lw_tag(1) | TS_LW_HELD | TS_LW_CLOSING | TS_LW_PIN,
			  ts_ew_make(1, TS_EPOCH_CLOSING, 1));
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.release(true);
		} else {
			RL_ASSERT(lane.object[1]($) == 0);
			if (ts_lw_unpin(&lane.w) == TS_LW_TAKEN)
				lane.release(true);
		}
	}

	void after()
	{
		RL_ASSERT(lane.finished($).load(rl::mo_relaxed) == 1);
	}
};

/* The lane dies after an unpin: its finisher rewrites what the pinned thread read. */
struct death_test : rl::test_suite<death_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(ts_lw_tag(1) | TS_LW_HELD | TS_LW_CLOSING | TS_LW_PIN,
			  ts_ew_make(1, TS_EPOCH_CLOSING, 1));
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.release(true);
			if (lane.finished($).load(rl::mo_relaxed) && ts_a64_load_rlx(&lane.w) & TS_LW_DEAD &&
			    died_here())
				lane.object[1]($) = 1;
		} else {
			RL_ASSERT(lane.object[1]($) == 0);
			if (ts_lw_unpin(&lane.w) == TS_LW_TAKEN)
				lane.release(true);
		}
	}

	/* TRANSIENT is left in the word when the unpinner was the one. */
	bool died_here()
	{
		return !(ts_a64_load_rlx(&lane.w) & TS_LW_TRANSIENT);
	}
};

/* A pinned freer pushes its node and its pin goes with the same step. */
struct push_unpin_test : rl::test_suite<push_unpin_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(ts_lw_tag(1) | TS_LW_HELD | TS_LW_PIN, ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			lane.release(false);
			if (ts_lw_take(&lane.w, ts_lw_tag(1), TS_LW_DISC) == TS_LW_TAKEN)
				lane.object[1]($) = 2;
		} else {
			uint32_t retries = 0;

			lane.object[1]($) = 1;
			RL_ASSERT(ts_node_free(&lane.node[1], 1) == 0);
			if (ts_lw_push_or_take(&lane.w, &lane.link[1], 1, TS_LW_PIN, &retries) ==
			    TS_LW_TAKEN) {
				lane.collect(1);
				lane.release(false);
			}
		}
	}

	void after()
	{
		RL_ASSERT(!(ts_a64_load_rlx(&lane.w) & (TS_LW_PINS | TS_LW_HEAD)));
		RL_ASSERT(lane.collected($).load(rl::mo_relaxed) == 1);
	}
};

/*
 * The lane is discarded and bound again with the same tag: a pin on the new binding comes with the new
 * generation base.
 */
struct rebind_test : rl::test_suite<rebind_test, 2> {
	lane_model lane;
	ts_a64 base, epoch_id;

	void before()
	{
		lane.init(ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_DISCARDING, 2));
		ts_a64_store_rlx(&base, 1);
		ts_a64_store_rlx(&epoch_id, 1);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			if (ts_lw_take(&lane.w, ts_lw_tag(1), TS_LW_DISC) != TS_LW_TAKEN)
				return;
			ts_a64_store_rlx(&base, 2);
			ts_lw_die(&lane.w);
			ts_a64_store_rlx(&epoch_id, 2);
			ts_lw_bind(&lane.w, ts_lw_tag(1), TS_LW_HELD);
		} else if (ts_lw_take_or_pin(&lane.w, ts_lw_tag(1)) == TS_LW_PINNED) {
			/* Nobody holds the first binding, so a pin is one on the second. */
			RL_ASSERT(ts_a64_load_rlx(&base) == 2);
			RL_ASSERT(ts_a64_load_rlx(&epoch_id) == 2);
			ts_lw_unpin(&lane.w);
		}
	}
};

void run_pins(void)
{
	run<take_or_pin_test>("take-or-pin", 0, 0);
	run<discard_test>("pin-discard", 0, 0);
	run<last_unpin_test>("last-unpin", 0, 0);
	run<death_test>("pin-death", 0, 0);
	run<push_unpin_test>("push-unpin", 0, 0);
	run<rebind_test>("rebind", 0, 0);
}
