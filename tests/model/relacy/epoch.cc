/* SPDX-License-Identifier: MIT */
/* The epoch word: linking a lane against close and discard, references, reuse of the slot. */
#include "harness.h"

/* ORD-12/13, litmus 2: link, look at the state || set the state, look at the list. Not both miss. */
struct link_test_base {
	ts_a64 e, lanes;
	rl::var<int> linker_saw, walker_saw;

	void init(void)
	{
		ts_a64_store_rlx(&e, ts_ew_make(1, TS_EPOCH_ACTIVE, 2));
		ts_a64_store_rlx(&lanes, 0);
		linker_saw($) = 0;
		walker_saw($) = 0;
	}

	void link(void)
	{
		uint64_t head = ts_a64_load_rlx(&lanes);

		while (!ts_a64_cas_sc(&lanes, &head, 1)) /* ORD-12 */
			;
		linker_saw($) = ts_ew_state(ts_a64_load_sc(&e)) != TS_EPOCH_ACTIVE; /* ORD-12 */
	}

	void walk(void)
	{
		walker_saw($) = ts_a64_load_sc(&lanes) != 0; /* ORD-13 */
	}

	void check(void)
	{
		RL_ASSERT(linker_saw($) || walker_saw($));
	}
};

struct link_close_test : rl::test_suite<link_close_test, 2>, link_test_base {
	void before() { init(); }
	void thread(unsigned t)
	{
		if (t == 0) {
			link();
		} else {
			ts_ew_begin_close(&e, 1);
			walk();
		}
	}
	void after() { check(); }
};

struct link_discard_test : rl::test_suite<link_discard_test, 2>, link_test_base {
	void before() { init(); }
	void thread(unsigned t)
	{
		if (t == 0) {
			link();
		} else {
			ts_ew_begin_discard(&e, 1);
			walk();
		}
	}
	void after() { check(); }
};

/* A roll-back that finds a wish to close becomes CLOSING and walks: the same pair. */
struct link_roll_back_test : rl::test_suite<link_roll_back_test, 2>, link_test_base {
	void before()
	{
		init();
		ts_a64_store_rlx(&e, ts_ew_make(1, TS_EPOCH_DISCARDING, 2) | TS_EW_CLOSE_WANTED);
	}
	void thread(unsigned t)
	{
		if (t == 0) {
			uint64_t head = ts_a64_load_rlx(&lanes);

			while (!ts_a64_cas_sc(&lanes, &head, 1)) /* ORD-12 */
				;
			linker_saw($) = ts_ew_state(ts_a64_load_sc(&e)) == TS_EPOCH_CLOSING; /* ORD-12 */
		} else {
			RL_ASSERT(ts_ew_roll_back_discard(&e));
			walk();
		}
	}
	void after() { check(); }
};

/* ORD-12: two threads link a lane each; who walks the list finds both as they were made. */
struct list_test : rl::test_suite<list_test, 3> {
	ts_a64 lanes;
	ts_a32 next[3];
	rl::var<int> lane[3];

	void before()
	{
		ts_a64_store_rlx(&lanes, 0);
		for (unsigned i = 0; i < 3; i++) {
			ts_a32_store_rlx(&next[i], 0);
			lane[i]($) = 0;
		}
	}

	void link(unsigned index)
	{
		uint64_t head = ts_a64_load_rlx(&lanes);

		lane[index]($) = 1;
		do {
			ts_a32_store_rlx(&next[index], (uint32_t)head);
		} while (!ts_a64_cas_sc(&lanes, &head, index)); /* ORD-12 */
	}

	void walk(void)
	{
		uint64_t link = ts_a64_load_acq(&lanes); /* ORD-12 */

		while (link) {
			RL_ASSERT(lane[link]($) == 1);
			link = ts_a32_load_rlx(&next[link]);
		}
	}

	void thread(unsigned t)
	{
		if (t == 0)
			walk();
		else
			link(t);
	}
};

/* Two references are dropped; the finisher sees what was done under the other one. */
struct drop_test : rl::test_suite<drop_test, 2> {
	ts_a64 e;
	rl::var<int> row[2];

	void before()
	{
		ts_a64_store_rlx(&e, ts_ew_make(1, TS_EPOCH_CLOSING, 2));
		row[0]($) = row[1]($) = 0;
	}

	void thread(unsigned t)
	{
		row[t]($) = 1;
		if (ts_ew_drop(&e, 1)) {
			row[0]($) = 2;
			row[1]($) = 2;
			ts_ew_finish(&e, 1);
		}
	}
};

/* A slot is finished, opened again by a thread that saw it free, and a third takes a reference. */
struct reuse_test : rl::test_suite<reuse_test, 3> {
	ts_a64 e;
	rl::var<int> row;

	void before()
	{
		ts_a64_store_rlx(&e, ts_ew_make(1, TS_EPOCH_CLOSING, 1));
		row($) = 0;
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			RL_ASSERT(ts_ew_drop(&e, 1));
			row($) = 1;
			ts_ew_finish(&e, 1);
		} else if (t == 1) {
			if (ts_ew_state(ts_a64_load_acq(&e)) == TS_EPOCH_FREE) { /* ORD-11 */
				row($) = 2;
				ts_ew_open(&e, 2, 1);
			}
		} else if (ts_ew_ref(&e, 2, 1u << TS_EPOCH_ACTIVE) == TS_EPOCH_ACTIVE) {
			RL_ASSERT(row($) == 2);
			RL_ASSERT(!ts_ew_drop(&e, 1));
		}
	}
};

/*
 * The discarder gives up its lane's reference as it commits; a creator that still has one drops it at any
 * time. Whoever finishes, the discarder alone or the last of the two, sees the other's work.
 */
struct commit_test : rl::test_suite<commit_test, 2> {
	ts_a64 e;
	rl::var<int> row[2];

	void before()
	{
		ts_a64_store_rlx(&e, ts_ew_make(1, TS_EPOCH_DISCARDING, 3));
		row[0]($) = row[1]($) = 0;
	}

	void thread(unsigned t)
	{
		bool last = t == 0 && ts_ew_commit_discard(&e, 1);

		row[t]($) = 1;
		if (!last)
			last = ts_ew_drop(&e, 1);
		if (last) {
			RL_ASSERT(ts_ew_state(ts_a64_load_rlx(&e)) == TS_EPOCH_COMMITTED);
			row[0]($) = 2;
			row[1]($) = 2;
			ts_ew_finish(&e, 1);
		}
	}

	void after()
	{
		RL_ASSERT(ts_ew_state(ts_a64_load_rlx(&e)) == TS_EPOCH_FREE);
	}
};

/* The discard in one step comes after everything that was done under a reference that is gone. */
struct at_once_test : rl::test_suite<at_once_test, 2> {
	ts_a64 e;
	rl::var<int> row;

	void before()
	{
		ts_a64_store_rlx(&e, ts_ew_make(1, TS_EPOCH_ACTIVE, 3));
		row($) = 0;
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			if (!ts_ew_discard_at_once(&e, 1))
				return;
			row($) = 2;
			ts_ew_finish(&e, 1);
		} else {
			row($) = 1;
			RL_ASSERT(!ts_ew_drop(&e, 1));
		}
	}
};

void run_epoch(void)
{
	run<at_once_test>("at-once", 0, 0);
	run<link_close_test>("link-close", 0, 0);
	run<link_discard_test>("link-discard", 0, 0);
	run<link_roll_back_test>("link-roll-back", 0, 0);
	run<list_test>("list", 0, 0);
	run<drop_test>("drop", 0, 0);
	run<commit_test>("commit", 0, 0);
	run<reuse_test>("reuse", 4, 6);
}
