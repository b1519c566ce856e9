/* SPDX-License-Identifier: MIT */
/* Words outside the two protocol words: the look of an honest freer, counters, generations. */
#include "harness.h"

/*
 * ORD-9, litmus 3: the slot was free once, is handed out again and its pointer handed over with release
 * and acquire; the freer's relaxed look never finds the old bit.
 */
struct honest_test : rl::test_suite<honest_test, 2> {
	ts_node node;
	ts_a64 mailbox;
	ts_a32 carved;

	void before()
	{
		ts_a64_store_rlx(&node.local, 1);
		ts_a64_store_rlx(&node.remote, 0);
		ts_a64_store_rlx(&mailbox, 0);
		ts_a32_store_rlx(&carved, 0);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			ts_a32_store_rlx(&carved, 1);
			ts_a64_store_rlx(&node.local, 0);
			ts_a64_store_rel(&mailbox, 1); /* the program's hand-over */
		} else if (ts_a64_load_acq(&mailbox)) { /* the program's hand-over */
			RL_ASSERT(!(ts_a64_load_rlx(&node.local) & 1));
			RL_ASSERT(ts_a32_load_rlx(&carved) == 1);
			RL_ASSERT(ts_node_free(&node, 1) == 0);
		}
	}
};

/* ORD-18, litmus 6: frees are read first, with acquire; live is never negative. */
struct counters_test : rl::test_suite<counters_test, 2> {
	ts_a64 allocs, frees;

	void before()
	{
		ts_a64_store_rlx(&allocs, 0);
		ts_a64_store_rlx(&frees, 0);
	}

	void thread(unsigned t)
	{
		for (uint64_t i = 1; i <= 2; i++) {
			if (t == 0) {
				ts_a64_store_rlx(&allocs, i);
				ts_a64_store_rel(&frees, i); /* ORD-18 */
			} else {
				uint64_t freed = ts_a64_load_acq(&frees); /* ORD-18 */

				RL_ASSERT(ts_a64_load_rlx(&allocs) >= freed);
			}
		}
	}
};

void run_data(void)
{
	run<honest_test>("honest-freer", 0, 0);
	run<counters_test>("counters", 0, 0);
}
