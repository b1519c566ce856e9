/* SPDX-License-Identifier: MIT */
/* Words outside the two protocol words: the looks of freers, counters, generations. */
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

/*
 * ORD-24: a bin goes over to slab 1 (slots 16 to 31 of the bits here, 0 to 15 are slab 0), hands slot 16
 * out, gets a stack when slot 17 is freed, and refills it. A thread that looks at slot 20, which was never
 * handed out, never takes it for live; who got slot 16 always does.
 */
struct carve_test : rl::test_suite<carve_test, 3> {
	static const uint64_t reserve = (uint64_t)1 << 63;
	ts_a64 local, bump, end, mailbox;
	ts_a32 carving;

	void before()
	{
		ts_a64_store_rlx(&local, ~(uint64_t)0);
		ts_a64_store_rlx(&bump, 8);
		ts_a64_store_rlx(&end, 8);
		ts_a64_store_rlx(&mailbox, 0);
		ts_a32_store_rlx(&carving, 0);
	}

	void own()
	{
		ts_a32_store_rlx(&carving, 1);
		ts_a64_store_rlx(&bump, 16);
		ts_a64_store_rel(&end, 32); /* ORD-24 */
		/* The bits of all its slots: live. */
		ts_a64_store_rel(&local, 0); /* ORD-24 */
		ts_a64_store_rlx(&bump, 18);
		ts_a64_store_rel(&mailbox, 1); /* the program's hand-over */
		ts_a64_store_rlx(&local, (uint64_t)1 << 17);
		/* begin_stack_mode, ts_slab_refill */
		ts_a64_store_rlx(&local, ts_a64_load_rlx(&local) | (uint64_t)0xfffc << 16);
		ts_a64_store_rlx(&bump, 18 | reserve);
		ts_a64_store_rlx(&bump, 19 | reserve);
		/* slot 18 leaves the stack */
		ts_a64_store_rlx(&local, ts_a64_load_rlx(&local) & ~((uint64_t)1 << 18));
	}

	/* looks_live */
	bool live(uint64_t slot)
	{
		uint64_t b, e;

		if (ts_a64_load_acq(&local) >> slot & 1) /* ORD-24 */
			return false;
		if (!ts_a32_load_rlx(&carving))
			return true;
		b = ts_a64_load_rlx(&bump) & ~reserve;
		e = ts_a64_load_rlx(&end);
		return !(b < e && b / 16 == (e - 1) / 16) || slot < b || slot >= e;
	}

	void thread(unsigned t)
	{
		if (t == 0)
			own();
		else if (t == 1)
			RL_ASSERT(!live(20));
		else if (ts_a64_load_acq(&mailbox)) /* the program's hand-over */
			RL_ASSERT(live(16));
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

/* ORD-20 and ORD-22: who sees a count, a key or an id sees the record behind it. */
struct publish_test : rl::test_suite<publish_test, 2> {
	ts_a32 count;
	rl::var<int> record;

	void before()
	{
		ts_a32_store_rlx(&count, 0);
		record($) = 0;
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			record($) = 1;
			ts_a32_store_rel(&count, 1); /* ORD-20 ORD-22 */
		} else if (ts_a32_load_acq(&count)) { /* ORD-20 ORD-22 */
			RL_ASSERT(record($) == 1);
		}
	}
};

/*
 * ORD-17, litmus 5: base, own, base. The handle was issued with base 1 and own 0, and is freed (own 1); a
 * get that still reads base 0 must not add that to the new own.
 */
struct generation_test : rl::test_suite<generation_test, 2> {
	ts_a32 base, own;

	void before()
	{
		ts_a32_store_rlx(&base, 0);
		ts_a32_store_rlx(&own, 0);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			uint32_t seen = 0;

			ts_a32_store_rlx(&base, 1);
			bool won = ts_a32_cas_acqrel(&own, &seen, 1); /* ORD-17 */

			RL_ASSERT(won);
		} else {
			uint32_t b = ts_a32_load_rlx(&base);
			uint32_t o = ts_a32_load_acq(&own); /* ORD-17 */

			RL_ASSERT(ts_a32_load_rlx(&base) != b || b + o != 1 || o == 0);
		}
	}
};

/* ORD-17: a chunk's table of generations is made when its first handle is. */
struct table_test : rl::test_suite<table_test, 2> {
	ts_a64 table;
	rl::var<int> generations;

	void before()
	{
		ts_a64_store_rlx(&table, 0);
		generations($) = -1;
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			generations($) = 0;
			ts_a64_store_rel(&table, 1); /* ORD-17 */
		} else if (ts_a64_load_acq(&table)) { /* ORD-17 */
			RL_ASSERT(generations($) == 0);
		}
	}
};

/* ORD-21: a block changes its identity under an odd sequence; no copy mixes old and new words. */
struct identity_test : rl::test_suite<identity_test, 2> {
	ts_a64 seq, id, figure;

	void before()
	{
		ts_a64_store_rlx(&seq, 0);
		ts_a64_store_rlx(&id, 1);
		ts_a64_store_rlx(&figure, 1);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			ts_a64_store_rlx(&seq, 1);
			ts_a64_store_rel(&id, 2);     /* ORD-21 */
			ts_a64_store_rel(&figure, 2); /* ORD-21 */
			ts_a64_store_rel(&seq, 2);    /* ORD-21 */
		} else {
			uint64_t before = ts_a64_load_acq(&seq);     /* ORD-21 */
			uint64_t seen_figure = ts_a64_load_acq(&figure); /* ORD-21 */
			uint64_t seen_id = ts_a64_load_acq(&id);     /* ORD-21 */

			if (!(before & 1) && ts_a64_load_rlx(&seq) == before)
				RL_ASSERT(seen_figure == seen_id);
		}
	}
};

/* ORD-21: an epoch's row gets another life; who sees the same id before and after has one life's words. */
struct row_test : rl::test_suite<row_test, 2> {
	ts_a64 id, figure;

	void before()
	{
		ts_a64_store_rlx(&id, 1);
		ts_a64_store_rlx(&figure, 1);
	}

	void thread(unsigned t)
	{
		if (t == 0) {
			ts_a64_store_rlx(&id, 0);
			ts_a64_store_rel(&figure, 2); /* ORD-21 */
			ts_a64_store_rel(&id, 2);     /* ORD-21 */
		} else {
			uint64_t before = ts_a64_load_acq(&id);          /* ORD-21 */
			uint64_t seen_figure = ts_a64_load_acq(&figure); /* ORD-21 */

			if (before && ts_a64_load_rlx(&id) == before)
				RL_ASSERT(seen_figure == before);
		}
	}
};

/* ORD-21: events of a ring that has one entry. A copy has one event's words; an event may be lost. */
struct event_test : rl::test_suite<event_test, 3> {
	ts_a64 numbers, first, word, last;

	void before()
	{
		ts_a64_store_rlx(&numbers, 1);
		ts_a64_store_rlx(&first, 1);
		ts_a64_store_rlx(&word, 1);
		ts_a64_store_rlx(&last, 1);
	}

	void put(void)
	{
		uint64_t number = ts_a64_add_rlx(&numbers, 1) + 1;
		uint64_t old = ts_a64_load_acq(&last); /* ORD-21 */

		if (!ts_a64_cas_acq(&first, &old, number)) /* ORD-21 */
			return;
		ts_a64_store_rel(&word, number); /* ORD-21 */
		ts_a64_store_rel(&last, number); /* ORD-21 */
	}

	void thread(unsigned t)
	{
		if (t) {
			put();
			return;
		}
		uint64_t seen_last = ts_a64_load_acq(&last); /* ORD-21 */
		uint64_t seen_word = ts_a64_load_acq(&word); /* ORD-21 */

		if (ts_a64_load_rlx(&first) == seen_last)
			RL_ASSERT(seen_word == seen_last);
	}
};

void run_data(void)
{
	run<table_test>("table", 0, 0);
	run<event_test>("event", 3, 5);
	run<publish_test>("publish", 0, 0);
	run<generation_test>("generation", 0, 0);
	run<identity_test>("identity", 0, 0);
	run<row_test>("row", 0, 0);
	run<honest_test>("honest-freer", 0, 0);
	run<carve_test>("carve", 4, 6);
	run<counters_test>("counters", 0, 0);
}
