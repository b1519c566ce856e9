/* SPDX-License-Identifier: MIT */
/* One node: two freers of it, the seal, a slab's opening against a late free. */
#include "harness.h"

/* Two threads free two slots of one node; the second may find it turned and must touch nothing more. */
struct freers_test : rl::test_suite<freers_test, 2> {
	lane_model lane;

	void before()
	{
		lane.init(ts_lw_tag(1), ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
	}

	void thread(unsigned t)
	{
		lane.remote_free(1, t ? 2 : 1, t ? 0 : 1);
	}

	void after()
	{
		RL_ASSERT(lane.collected($).load(rl::mo_relaxed) == 2);
		RL_ASSERT(!(ts_a64_load_rlx(&lane.w) & (TS_LW_HELD | TS_LW_HEAD)));
	}
};

/*
 * A stray free against a chunk's return and its next life (litmus 4): the one who turned the node finds
 * the header of the lane that owns it now, never the old one or none.
 */
struct open_test : rl::test_suite<open_test, 2> {
	ts_node node;
	ts_a64 header;
	rl::var<int> sealed, found;

	void before()
	{
		ts_a64_store_rlx(&node.local, 1);
		ts_a64_store_rlx(&node.remote, 0);
		ts_a64_store_rlx(&header, 1);
		sealed($) = found($) = 0;
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			if (!ts_node_seal(&node))
				return;
			sealed($) = 1;
			ts_a64_store_rlx(&header, 0);
			ts_a64_store_rlx(&header, 2);
			ts_node_open(&node, 1);
		} else if (!ts_node_free(&node, 1)) {
			found($) = (int)ts_a64_load_rlx(&header);
		}
	}

	void after()
	{
		RL_ASSERT(!found($) || found($) == (sealed($) ? 2 : 1));
	}
};

/* The same for a seal that is taken back. */
struct unseal_test : rl::test_suite<unseal_test, 2> {
	ts_node node;
	ts_a64 header;

	void before()
	{
		ts_a64_store_rlx(&node.local, 0);
		ts_a64_store_rlx(&node.remote, TS_NODE_SEALED);
		ts_a64_store_rlx(&header, 1);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			ts_a64_store_rlx(&header, 2);
			ts_node_unseal(&node);
		} else if (!ts_node_free(&node, 1)) {
			RL_ASSERT(ts_a64_load_rlx(&header) == 2);
		}
	}
};

/* A fresh slab: who turns a node of it sees its header. */
struct fresh_test : rl::test_suite<fresh_test, 2> {
	ts_node node;
	ts_a64 header;

	void before()
	{
		ts_a64_store_rlx(&node.local, 1);
		ts_a64_store_rlx(&node.remote, TS_NODE_SEALED);
		ts_a64_store_rlx(&header, 0);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			ts_a64_store_rlx(&header, 2);
			ts_node_open(&node, 0);
		} else if (!ts_node_free(&node, 1)) {
			RL_ASSERT(ts_a64_load_rlx(&header) == 2);
		}
	}
};

void run_node(void)
{
	run<freers_test>("freers", 0, 0);
	run<fresh_test>("fresh", 0, 0);
	run<unseal_test>("unseal", 0, 0);
	run<open_test>("open", 0, 0);
}
