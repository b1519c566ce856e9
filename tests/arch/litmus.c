/* SPDX-License-Identifier: MIT */
/*
 * Litmus shapes on this machine: two threads touch two words in opposite ways, millions of times. With the
 * library's ordered operations the outcome that each shape forbids must never be seen. The same with relaxed
 * ones shows whether this machine, and this test on it, could have seen it: on ARM it can, on x86-64 only
 * in SB, under an emulator on x86-64 as there.
 *
 *   litmus [--rounds N]     (200)
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch.h"

enum { PLACES = 4096, THREADS = 2 };

/* Words of one place lie on lines of their own. */
struct place {
	ts_a64 x __attribute__((aligned(TS_ARCH_CACHE_LINE_BYTES)));
	ts_a64 y __attribute__((aligned(TS_ARCH_CACHE_LINE_BYTES)));
	uint64_t seen[THREADS] __attribute__((aligned(TS_ARCH_CACHE_LINE_BYTES)));
};

typedef void side(struct place *p);
typedef bool outcome(const struct place *p);

/* -- MP, message passing: a flag seen set, and not what was written before it ------------------------- */

static void mp_post(struct place *p)
{
	ts_a64_store_rlx(&p->x, 1);
	ts_a64_store_rel(&p->y, 1);
}

static void mp_post_rlx(struct place *p)
{
	ts_a64_store_rlx(&p->x, 1);
	ts_a64_store_rlx(&p->y, 1);
}

static void mp_fetch(struct place *p)
{
	uint64_t flag = ts_a64_load_acq(&p->y);

	p->seen[1] = flag << 1 | ts_a64_load_rlx(&p->x);
}

static void mp_fetch_rlx(struct place *p)
{
	uint64_t flag = ts_a64_load_rlx(&p->y);

	p->seen[1] = flag << 1 | ts_a64_load_rlx(&p->x);
}

static bool mp_torn(const struct place *p)
{
	return p->seen[1] == 2;
}

/* -- MP by read-modify-writes, as lanes are handed over: compare-and-swap to compare-and-swap ----------- */

static void hand_over(struct place *p)
{
	uint64_t expected = 0;

	ts_a64_store_rlx(&p->x, 1);
	ts_a64_cas_rel(&p->y, &expected, 1);
}

static void take_over(struct place *p)
{
	uint64_t expected = 1;

	p->seen[1] = 0;
	if (ts_a64_cas_acq(&p->y, &expected, 2))
		p->seen[1] = 2 | ts_a64_load_rlx(&p->x);
}

static void hand_over_rlx(struct place *p)
{
	uint64_t expected = 0;

	ts_a64_store_rlx(&p->x, 1);
	ts_a64_cas_rlx(&p->y, &expected, 1);
}

static void take_over_rlx(struct place *p)
{
	uint64_t expected = 1;

	p->seen[1] = 0;
	if (ts_a64_cas_rlx(&p->y, &expected, 2))
		p->seen[1] = 2 | ts_a64_load_rlx(&p->x);
}

/* -- SB, store buffering: neither sees the other's word (ORD-12, ORD-13) -------------------------------- */

static void sb_left(struct place *p)
{
	uint64_t expected = 0;

	ts_a64_cas_sc(&p->x, &expected, 1);
	p->seen[0] = ts_a64_load_sc(&p->y);
}

static void sb_right(struct place *p)
{
	uint64_t expected = 0;

	ts_a64_cas_sc(&p->y, &expected, 1);
	p->seen[1] = ts_a64_load_sc(&p->x);
}

static void sb_left_rlx(struct place *p)
{
	ts_a64_store_rlx(&p->x, 1);
	p->seen[0] = ts_a64_load_rlx(&p->y);
}

static void sb_right_rlx(struct place *p)
{
	ts_a64_store_rlx(&p->y, 1);
	p->seen[1] = ts_a64_load_rlx(&p->x);
}

static bool sb_blind(const struct place *p)
{
	return !p->seen[0] && !p->seen[1];
}

/* -- LB, load buffering: each sees what the other writes later ------------------------------------------ */

static void lb_left(struct place *p)
{
	p->seen[0] = ts_a64_load_acq(&p->x);
	ts_a64_store_rel(&p->y, 1);
}

static void lb_right(struct place *p)
{
	p->seen[1] = ts_a64_load_acq(&p->y);
	ts_a64_store_rel(&p->x, 1);
}

static void lb_left_rlx(struct place *p)
{
	p->seen[0] = ts_a64_load_rlx(&p->x);
	ts_a64_store_rlx(&p->y, 1);
}

static void lb_right_rlx(struct place *p)
{
	p->seen[1] = ts_a64_load_rlx(&p->y);
	ts_a64_store_rlx(&p->x, 1);
}

static bool lb_early(const struct place *p)
{
	return p->seen[0] && p->seen[1];
}

/* -- S: a store behind an acquire is not overtaken by the store that the release published --------------- */

static void s_left(struct place *p)
{
	ts_a64_store_rlx(&p->x, 2);
	ts_a64_store_rel(&p->y, 1);
}

static void s_left_rlx(struct place *p)
{
	ts_a64_store_rlx(&p->x, 2);
	ts_a64_store_rlx(&p->y, 1);
}

static void s_right(struct place *p)
{
	p->seen[1] = ts_a64_load_acq(&p->y);
	ts_a64_store_rlx(&p->x, 1);
}

static void s_right_rlx(struct place *p)
{
	p->seen[1] = ts_a64_load_rlx(&p->y);
	ts_a64_store_rlx(&p->x, 1);
}

static bool s_overtaken(const struct place *p)
{
	return p->seen[1] && ts_a64_load_rlx(&p->x) == 2;
}

static const struct shape {
	const char *name;
	side *ordered[THREADS], *relaxed[THREADS];
	outcome *forbidden;
} shapes[] = {
	{ "MP", { mp_post, mp_fetch }, { mp_post_rlx, mp_fetch_rlx }, mp_torn },
	{ "MP+cas", { hand_over, take_over }, { hand_over_rlx, take_over_rlx }, mp_torn },
	{ "SB", { sb_left, sb_right }, { sb_left_rlx, sb_right_rlx }, sb_blind },
	{ "LB", { lb_left, lb_right }, { lb_left_rlx, lb_right_rlx }, lb_early },
	{ "S", { s_left, s_right }, { s_left_rlx, s_right_rlx }, s_overtaken },
};

/* -- running them ---------------------------------------------------------------------------------------- */

static struct place places[PLACES];
static pthread_barrier_t barrier;
static ts_a64 ready;
static unsigned rounds = 200;

/* Threads that a barrier wakes come one after the other. */
static void start_together(unsigned round)
{
	ts_a64_add_acqrel(&ready, 1);
	for (unsigned spins = 1; ts_a64_load_acq(&ready) < (uint64_t)THREADS * (round + 1); spins++)
		if (spins % 1024)
			ts_arch_pause();
		else
			sched_yield();
}

static void *run_side(void *arg)
{
	side *const *mine = arg;

	for (unsigned round = 0; round < rounds; round++) {
		pthread_barrier_wait(&barrier);
		start_together(round);
		for (unsigned i = 0; i < PLACES; i++)
			(*mine)(&places[(i * 2654435761u + round) % PLACES]);
		pthread_barrier_wait(&barrier);
		/* The places are judged and cleared in between. */
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static uint64_t count_outcomes(side *const sides[THREADS], outcome *forbidden)
{
	pthread_t threads[THREADS];
	uint64_t count = 0;

	memset(places, 0, sizeof(places));
	ts_a64_store_rlx(&ready, 0);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (unsigned t = 0; t < THREADS; t++)
		if (pthread_create(&threads[t], NULL, run_side, (void *)&sides[t]))
			exit(99);
	for (unsigned round = 0; round < rounds; round++) {
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		for (unsigned i = 0; i < PLACES; i++)
			count += forbidden(&places[i]);
		memset(places, 0, sizeof(places));
		pthread_barrier_wait(&barrier);
	}
	for (unsigned t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	pthread_barrier_destroy(&barrier);
	return count;
}

int main(int argc, char **argv)
{
	const unsigned count = sizeof(shapes) / sizeof(shapes[0]);
	bool failed = false;

	if (argc == 3 && !strcmp(argv[1], "--rounds"))
		rounds = (unsigned)strtoul(argv[2], NULL, 10);
	else if (argc != 1 || !rounds)
		return fprintf(stderr, "usage: litmus [--rounds N]\n"), 2;
	printf("1..%u\n", count);
	for (unsigned i = 0; i < count; i++) {
		uint64_t seen = count_outcomes(shapes[i].ordered, shapes[i].forbidden);
		uint64_t relaxed = count_outcomes(shapes[i].relaxed, shapes[i].forbidden);

		failed |= seen > 0;
		printf("%s %u - %s: %" PRIu64 " forbidden outcomes of %" PRIu64 ", %" PRIu64
		       " with relaxed operations\n",
		       seen ? "not ok" : "ok", i + 1, shapes[i].name, seen,
		       (uint64_t)rounds * PLACES, relaxed);
	}
	return failed;
}
