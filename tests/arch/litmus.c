/* SPDX-License-Identifier: MIT */
/*
 * Litmus shapes on this machine: two threads touch two words in opposite ways, many times. With the library's
 * ordered operations the outcome that each shape forbids must never be seen. The same with relaxed ones shows
 * whether this machine, and this test on it, could have seen it: on ARM it can, on x86-64 only in SB, under
 * an emulator on x86-64 as there. SB is therefore the control: with relaxed operations it has to be seen,
 * wherever two threads run at the same time. That they did is counted, by meetings that both came to in time.
 *
 *   litmus [--rounds N]     (2)
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arch.h"
#include "../random.h"

enum { PLACES = 4096, THREADS = 2, CONTROL_TRIES = 500, MEETINGS_ENOUGH = 1000000 };

/* Words of one place lie on lines of their own; `there` and `start` are for meet(). */
struct place {
	ts_a64 there __attribute__((aligned(TS_ARCH_CACHE_LINE_BYTES)));
	ts_a64 start __attribute__((aligned(TS_ARCH_CACHE_LINE_BYTES)));
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

enum { MP, MP_CAS, SB, LB, S };

static const struct shape {
	const char *name;
	side *ordered[THREADS], *relaxed[THREADS];
	outcome *forbidden;
} shapes[] = {
	[MP] = { "MP", { mp_post, mp_fetch }, { mp_post_rlx, mp_fetch_rlx }, mp_torn },
	[MP_CAS] = { "MP+cas", { hand_over, take_over }, { hand_over_rlx, take_over_rlx }, mp_torn },
	[SB] = { "SB", { sb_left, sb_right }, { sb_left_rlx, sb_right_rlx }, sb_blind },
	[LB] = { "LB", { lb_left, lb_right }, { lb_left_rlx, lb_right_rlx }, lb_early },
	[S] = { "S", { s_left, s_right }, { s_left_rlx, s_right_rlx }, s_overtaken },
};

/* -- running them ---------------------------------------------------------------------------------------- */

static struct place places[PLACES];
static pthread_barrier_t barrier;
static unsigned rounds = 2;
static uint64_t ahead_cycles; /* half a microsecond: in which the other thread hears of a start */
static uint64_t spread_cycles; /* each comes up to this much later than at the start that was named */

struct runner {
	side *run;
	unsigned thread;
	uint64_t random;
	uint64_t in_time; /* meetings that this one came to before their start */
};

static void calibrate(void)
{
	const struct timespec pause = { 0, 1000000 };
	uint64_t before = ts_arch_cycles();

	nanosleep(&pause, NULL);
	ahead_cycles = (ts_arch_cycles() - before) / 2000 + 1;
}

static uint64_t wait_for(ts_a64 *word)
{
	uint64_t value = 0;

	for (unsigned spins = 1; !(value = ts_a64_load_rlx(word)); spins++)
		if (spins % 1024 == 0)
			sched_yield();
	return value;
}

/*
 * Both touch the words at one moment, which the first thread names when the second is there: an outcome
 * needs both within the time that a store takes to be seen. That is long, and a load short, if both have looked
 * at the words before. Nothing here orders, which would hide what is looked for.
 */
static void meet(struct runner *mine, struct place *p)
{
	uint64_t start;

	(void)ts_a64_load_rlx(&p->x);
	(void)ts_a64_load_rlx(&p->y);
	if (mine->thread == 0) {
		wait_for(&p->there);
		start = ts_arch_cycles() + ahead_cycles;
		ts_a64_store_rlx(&p->start, start);
	} else {
		ts_a64_store_rlx(&p->there, 1);
		start = wait_for(&p->start);
		mine->in_time += ts_arch_cycles() < start;
	}
	if (spread_cycles)
		start += rnd_below(&mine->random, spread_cycles);
	while (ts_arch_cycles() < start)
		continue;
}

static void *run_side(void *arg)
{
	struct runner *mine = arg;

	for (unsigned round = 0; round < rounds; round++) {
		pthread_barrier_wait(&barrier);
		for (unsigned i = 0; i < PLACES; i++) {
			meet(mine, &places[i]);
			mine->run(&places[i]);
		}
		pthread_barrier_wait(&barrier);
		/* The places are judged and cleared in between. */
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

struct seen {
	uint64_t outcomes, in_time;
};

static struct seen count_outcomes(side *const sides[THREADS], outcome *forbidden)
{
	struct runner runners[THREADS];
	pthread_t threads[THREADS];
	struct seen seen = { 0, 0 };

	memset(places, 0, sizeof(places));
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (unsigned t = 0; t < THREADS; t++) {
		runners[t] = (struct runner){ .run = sides[t], .thread = t, .random = 1 + t };
		if (pthread_create(&threads[t], NULL, run_side, &runners[t]))
			exit(99);
	}
	for (unsigned round = 0; round < rounds; round++) {
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		for (unsigned i = 0; i < PLACES; i++)
			seen.outcomes += forbidden(&places[i]);
		memset(places, 0, sizeof(places));
		pthread_barrier_wait(&barrier);
	}
	for (unsigned t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	pthread_barrier_destroy(&barrier);
	seen.in_time = runners[1].in_time;
	return seen;
}

/* One after the other, they see all. */
static bool one_cpu(void)
{
	cpu_set_t allowed;

	return !sched_getaffinity(0, sizeof(allowed), &allowed) && CPU_COUNT(&allowed) < THREADS;
}

/*
 * SB with relaxed operations, looked for again while it is not seen: two processors may count cycles from different
 * moments, so the meetings spread ever wider, and news may travel slowly, so they are named further ahead.
 */
static bool control(unsigned number, struct seen seen)
{
	const struct shape *sb = &shapes[SB];
	const uint64_t ahead = ahead_cycles;

	if (one_cpu()) {
		printf("ok %u - control: # SKIP one CPU\n", number);
		return true;
	}
	for (unsigned tries = 0; !seen.outcomes && tries < CONTROL_TRIES; tries++) {
		spread_cycles = UINT64_C(64) << tries % 12;
		ahead_cycles = ahead << tries % 8;
		struct seen more = count_outcomes(sb->relaxed, sb->forbidden);

		seen.outcomes += more.outcomes;
		seen.in_time += more.in_time;
	}
	if (!seen.outcomes && seen.in_time < MEETINGS_ENOUGH) {
		printf("ok %u - control: # SKIP two threads came to only %" PRIu64
		       " meetings in time\n",
		       number, seen.in_time);
		return true;
	}
	printf("%s %u - control: without order, SB is seen (%" PRIu64 " meetings in time)\n",
	       seen.outcomes ? "ok" : "not ok", number, seen.in_time);
	return seen.outcomes > 0;
}

int main(int argc, char **argv)
{
	const unsigned count = sizeof(shapes) / sizeof(shapes[0]);
	struct seen sb_relaxed = { 0, 0 };
	bool failed = false;

	if (argc == 3 && !strcmp(argv[1], "--rounds"))
		rounds = (unsigned)strtoul(argv[2], NULL, 10);
	else if (argc != 1)
		rounds = 0;
	if (!rounds)
		return fprintf(stderr, "usage: litmus [--rounds N]\n"), 2;
	calibrate();
	printf("1..%u\n", count + 1);
	for (unsigned i = 0; i < count; i++) {
		uint64_t seen = count_outcomes(shapes[i].ordered, shapes[i].forbidden).outcomes;
		struct seen relaxed = count_outcomes(shapes[i].relaxed, shapes[i].forbidden);

		failed |= seen > 0;
		if (i == SB)
			sb_relaxed = relaxed;
		printf("%s %u - %s: %" PRIu64 " forbidden outcomes of %" PRIu64 ", %" PRIu64
		       " with relaxed operations\n",
		       seen ? "not ok" : "ok", i + 1, shapes[i].name, seen,
		       (uint64_t)rounds * PLACES, relaxed.outcomes);
	}
	failed |= !control(count + 1, sb_relaxed);
	return failed;
}
