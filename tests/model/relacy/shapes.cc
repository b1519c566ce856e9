/* SPDX-License-Identifier: MIT */
/*
 * The shapes that ARM and RISC-V are known for, with the operations of arch.h: what tests/arch/litmus looks
 * for on silicon, here in all interleavings. Load buffering and S are not among them: Relacy never lets a
 * load see a later store, nor stores pass each other.
 */
#include "harness.h"

/* MP by compare-and-swap, as a lane goes from one holder to the next. */
struct hand_over_test : rl::test_suite<hand_over_test, 2> {
	ts_a64 data, word;

	void before()
	{
		ts_a64_store_rlx(&data, 0);
		ts_a64_store_rlx(&word, 0);
	}

	void thread(unsigned t)
	{
		uint64_t expected = t;

		if (t == 0) {
			ts_a64_store_rlx(&data, 1);
			ts_a64_cas_rel(&word, &expected, 1);      /* ORD-2 */
		} else if (ts_a64_cas_acq(&word, &expected, 2)) { /* ORD-1 */
			RL_ASSERT(ts_a64_load_rlx(&data) == 1);
		}
	}
};

/* SB: each writes its own word and reads the other's; one sees. */
struct store_buffering_test : rl::test_suite<store_buffering_test, 2> {
	ts_a64 word[2];
	uint64_t seen[2];

	void before()
	{
		ts_a64_store_rlx(&word[0], 0);
		ts_a64_store_rlx(&word[1], 0);
	}

	void thread(unsigned t)
	{
		uint64_t expected = 0;

		ts_a64_cas_sc(&word[t], &expected, 1);  /* ORD-12 */
		seen[t] = ts_a64_load_sc(&word[1 - t]); /* ORD-13 */
	}

	void after()
	{
		RL_ASSERT(seen[0] || seen[1]);
	}
};

/* WRC: what one thread saw, and told a third, the third sees: not so on CPUs that are not multi-copy atomic. */
struct told_on_test : rl::test_suite<told_on_test, 3> {
	ts_a64 data, told;

	void before()
	{
		ts_a64_store_rlx(&data, 0);
		ts_a64_store_rlx(&told, 0);
	}

	void thread(unsigned t)
	{
		if (t == 0)
			ts_a64_store_rlx(&data, 1);
		else if (t == 1 && ts_a64_load_rlx(&data))
			ts_a64_store_rel(&told, 1);        /* ORD-20 */
		else if (t == 2 && ts_a64_load_acq(&told)) /* ORD-20 */
			RL_ASSERT(ts_a64_load_rlx(&data) == 1);
	}
};

/* ISA2: through two hands. */
struct two_hands_test : rl::test_suite<two_hands_test, 3> {
	ts_a64 data, first, second;

	void before()
	{
		ts_a64_store_rlx(&data, 0);
		ts_a64_store_rlx(&first, 0);
		ts_a64_store_rlx(&second, 0);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			ts_a64_store_rlx(&data, 1);
			ts_a64_store_rel(&first, 1);             /* ORD-20 */
		} else if (t == 1 && ts_a64_load_acq(&first)) {  /* ORD-20 */
			ts_a64_store_rel(&second, 1);            /* ORD-20 */
		} else if (t == 2 && ts_a64_load_acq(&second)) { /* ORD-20 */
			RL_ASSERT(ts_a64_load_rlx(&data) == 1);
		}
	}
};

void run_shapes(void)
{
	run<hand_over_test>("MP", 0, 0);
	run<store_buffering_test>("SB", 0, 0);
	run<told_on_test>("WRC", 0, 0);
	run<two_hands_test>("ISA2", 0, 0);
}
