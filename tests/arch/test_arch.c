/* SPDX-License-Identifier: MIT */
/*
 * The contract of src/arch/arch.h, checked on whichever backend is on the include path. It is built
 * twice on every machine: against the CPU's own backend and against `generic`.
 */
#include "config.h"

#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch.h"

#define THREADS 4
#define ROUNDS 20000u

/* ------------------------------------------------------------------------------- one thread -- */

static void test_a64_loads_and_stores(void **state)
{
	ts_a64 a;

	(void)state;
	ts_a64_store_rlx(&a, UINT64_MAX);
	assert_true(ts_a64_load_rlx(&a) == UINT64_MAX);
	ts_a64_store_rel(&a, 1);
	assert_true(ts_a64_load_acq(&a) == 1);
	assert_true(ts_a64_load_sc(&a) == 1);
}

static void test_a64_rmw_returns_old_value(void **state)
{
	ts_a64 a;

	(void)state;
	ts_a64_store_rlx(&a, 0xf0);
	assert_true(ts_a64_xchg_acq(&a, 0x0f) == 0xf0);
	assert_true(ts_a64_xchg_acqrel(&a, 0xf0) == 0x0f);
	assert_true(ts_a64_or_rlx(&a, 1) == 0xf0);
	assert_true(ts_a64_or_rel(&a, 2) == 0xf1);
	assert_true(ts_a64_or_acqrel(&a, UINT64_C(1) << 63) == 0xf3);
	assert_true(ts_a64_and_acq(&a, 0xff) == (UINT64_C(1) << 63 | 0xf3));
	assert_true(ts_a64_and_rel(&a, 0xf0) == 0xf3);
	assert_true(ts_a64_add_rlx(&a, 0x10) == 0xf0);
	assert_true(ts_a64_add_acqrel(&a, UINT64_MAX) == 0x100);
	assert_true(ts_a64_sub_acqrel(&a, 0xff) == 0xff);
	assert_true(ts_a64_load_rlx(&a) == 0);
}

typedef bool cas64(ts_a64 *a, uint64_t *expected, uint64_t desired);

static cas64 *const cas64_of_each_order[] = { ts_a64_cas_rlx, ts_a64_cas_acq, ts_a64_cas_rel,
					      ts_a64_cas_acqrel, ts_a64_cas_sc };
#define CAS64_COUNT (sizeof(cas64_of_each_order) / sizeof(cas64_of_each_order[0]))

static void test_operands_from_memory(void **state)
{
	const uint64_t values[] = { 0, 1, 63, 64, (uint64_t)1 << 63, UINT64_MAX };
	ts_a64 a;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		for (size_t j = 0; j < 6; j++) {
			ts_a64_store_rlx(&a, values[i]);
			assert_int_equal(ts_arch_or_load(values[j], &a), values[i] | values[j]);
			assert_int_equal(ts_arch_below_load(values[j], &a), values[j] < values[i]);
			assert_int_equal(ts_arch_above_load(values[j], &a), values[j] > values[i]);
			assert_int_equal(ts_a64_load_rlx(&a), values[i]);
			ts_a64_bump_rlx(&a, values[j]);
			assert_int_equal(ts_a64_load_rlx(&a), values[i] + values[j]);
			assert_int_equal(ts_arch_with_bit(values[i], values[j]),
					 values[i] | (uint64_t)1 << (values[j] % 64));
		}
	}
}

static void test_a64_cas_reports_what_it_saw(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAS64_COUNT; i++) {
		uint64_t expected = 7;
		ts_a64 a;

		ts_a64_store_rlx(&a, UINT64_C(5) << 40);
		assert_false(cas64_of_each_order[i](&a, &expected, 9));
		assert_true(expected == UINT64_C(5) << 40);
		assert_true(ts_a64_load_rlx(&a) == UINT64_C(5) << 40);
		assert_true(cas64_of_each_order[i](&a, &expected, 9));
		assert_true(expected == UINT64_C(5) << 40);
		assert_true(ts_a64_load_rlx(&a) == 9);
	}
}

static void test_a32_and_a16(void **state)
{
	uint32_t expected = 3;
	ts_a32 a;
	ts_a16 half;

	(void)state;
	ts_a16_store_rlx(&half, UINT16_MAX);
	assert_int_equal(ts_a16_load_rlx(&half), UINT16_MAX);
	ts_a32_store_rlx(&a, 1);
	assert_int_equal(ts_a32_load_rlx(&a), 1);
	ts_a32_store_rel(&a, UINT32_MAX);
	assert_true(ts_a32_load_acq(&a) == UINT32_MAX);
	assert_true(ts_a32_add_rlx(&a, 2) == UINT32_MAX);
	assert_false(ts_a32_cas_acqrel(&a, &expected, 9));
	assert_int_equal(expected, 1);
	assert_true(ts_a32_cas_acqrel(&a, &expected, 9));
	assert_int_equal(ts_a32_load_rlx(&a), 9);
}

/* ----------------------------------------------------------------------------- many threads -- */

struct shared {
	ts_a64 added, subtracted, bits, tokens, looped[CAS64_COUNT];
	ts_a32 narrow, narrow_looped;
};

struct worker {
	struct shared *shared;
	unsigned index;
	unsigned lost_bits; /* own bits that an or or and of others wiped out */
	uint64_t token_sum; /* what this worker took out of `tokens`, less what it put in */
};

static void count_by_cas(struct shared *s)
{
	uint32_t narrow = ts_a32_load_rlx(&s->narrow_looped);

	for (size_t i = 0; i < CAS64_COUNT; i++) {
		uint64_t seen = ts_a64_load_rlx(&s->looped[i]);

		while (!cas64_of_each_order[i](&s->looped[i], &seen, seen + 1))
			ts_arch_pause();
	}
	while (!ts_a32_cas_acqrel(&s->narrow_looped, &narrow, narrow + 1))
		ts_arch_pause();
}

static void *work(void *arg)
{
	struct worker *me = arg;
	struct shared *s = me->shared;
	uint64_t bit = UINT64_C(1) << (me->index * 8);

	for (unsigned round = 0; round < ROUNDS; round++) {
		ts_a64_add_rlx(&s->added, 1);
		ts_a64_add_acqrel(&s->added, 1);
		ts_a64_sub_acqrel(&s->subtracted, 1);
		ts_a32_add_rlx(&s->narrow, 1);
		me->lost_bits += (ts_a64_or_acqrel(&s->bits, bit) & bit) != 0;
		me->lost_bits += (ts_a64_and_acq(&s->bits, ~bit) & bit) == 0;
		me->lost_bits += (ts_a64_or_rel(&s->bits, bit) & bit) != 0;
		me->lost_bits += (ts_a64_and_rel(&s->bits, ~bit) & bit) == 0;
		me->lost_bits += (ts_a64_or_rlx(&s->bits, bit) & bit) != 0;
		me->lost_bits += (ts_a64_and_acq(&s->bits, ~bit) & bit) == 0;
		me->token_sum += ts_a64_xchg_acq(&s->tokens, round) - round;
		me->token_sum += ts_a64_xchg_acqrel(&s->tokens, round + 7) - (round + 7);
		count_by_cas(s);
	}
	return NULL;
}

static void test_no_update_is_lost(void **state)
{
	struct shared s = { 0 };
	struct worker worker[THREADS] = { 0 };
	pthread_t thread[THREADS];
	uint64_t token_sum = 0;

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		worker[i].shared = &s;
		worker[i].index = i;
		assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(worker[i].lost_bits, 0);
		token_sum += worker[i].token_sum;
	}
	assert_true(ts_a64_load_rlx(&s.added) == 2 * THREADS * ROUNDS);
	assert_true(ts_a64_load_rlx(&s.subtracted) + THREADS * ROUNDS == 0);
	assert_true(ts_a64_load_rlx(&s.bits) == 0);
	assert_true(token_sum + ts_a64_load_rlx(&s.tokens) == 0);
	assert_int_equal(ts_a32_load_rlx(&s.narrow), THREADS * ROUNDS);
	assert_int_equal(ts_a32_load_rlx(&s.narrow_looped), THREADS * ROUNDS);
	for (size_t i = 0; i < CAS64_COUNT; i++)
		assert_true(ts_a64_load_rlx(&s.looped[i]) == THREADS * ROUNDS);
}

/* A plain payload handed over by release and acquire: ThreadSanitizer sees a missing order, too. */
struct mailbox {
	ts_a64 full;
	ts_a32 taken;
	uint64_t payload;
};

/* Where both threads have one CPU, the other one's turn comes when this one gives way. */
static void wait_a_little(unsigned *spins)
{
	if (++*spins % 1000)
		ts_arch_pause();
	else
		sched_yield();
}

static void *post(void *arg)
{
	struct mailbox *box = arg;
	unsigned spins = 0;

	for (uint32_t i = 1; i <= ROUNDS; i++) {
		box->payload = i * UINT64_C(0x9e3779b97f4a7c15);
		ts_a64_store_rel(&box->full, i);
		while (ts_a32_load_acq(&box->taken) != i)
			wait_a_little(&spins);
	}
	return NULL;
}

static void test_release_carries_the_payload(void **state)
{
	struct mailbox box = { 0 };
	unsigned wrong = 0, spins = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, post, &box), 0);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		while (ts_a64_load_acq(&box.full) != i)
			wait_a_little(&spins);
		wrong += box.payload != i * UINT64_C(0x9e3779b97f4a7c15);
		ts_a32_store_rel(&box.taken, i);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(wrong, 0);
}

/* Store buffering: of two threads that each write their own word and read the other's, one sees. */
struct duel {
	ts_a64 word[2];
	pthread_barrier_t round;
	uint64_t seen[2];
};

struct duellist {
	struct duel *duel;
	unsigned side;
};

#define DUELS 2000

static void *fight(void *arg)
{
	struct duellist *me = arg;
	struct duel *d = me->duel;

	for (unsigned i = 0; i < DUELS; i++) {
		uint64_t expected = 0;

		pthread_barrier_wait(&d->round);
		ts_a64_cas_sc(&d->word[me->side], &expected, 1);
		d->seen[me->side] = ts_a64_load_sc(&d->word[!me->side]);
		pthread_barrier_wait(&d->round);
		/* The test's thread judges the round and clears it between these two. */
		pthread_barrier_wait(&d->round);
	}
	return NULL;
}

static void test_sequentially_consistent_pair(void **state)
{
	struct duel d = { 0 };
	struct duellist side[2] = { { &d, 0 }, { &d, 1 } };
	pthread_t thread[2];
	unsigned both_blind = 0;

	(void)state;
	assert_int_equal(pthread_barrier_init(&d.round, NULL, 3), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, fight, &side[i]), 0);
	for (unsigned i = 0; i < DUELS; i++) {
		pthread_barrier_wait(&d.round);
		pthread_barrier_wait(&d.round);
		both_blind += !d.seen[0] && !d.seen[1];
		ts_a64_store_rlx(&d.word[0], 0);
		ts_a64_store_rlx(&d.word[1], 0);
		pthread_barrier_wait(&d.round);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	pthread_barrier_destroy(&d.round);
	assert_int_equal(both_blind, 0);
}

/* -------------------------------------------------------------------------------- the machine -- */

static void test_identity(void **state)
{
	Elf64_Ehdr header;
	struct utsname machine;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &header, sizeof(header)), sizeof(header));
	close(fd);
	assert_int_equal(uname(&machine), 0);
	assert_string_equal(TS_ARCH_NAME, EXPECTED_ARCH);
	if (strcmp(TS_ARCH_NAME, "generic") == 0) {
		assert_int_equal(TS_ARCH_ELF_MACHINE, EM_NONE);
	} else {
		assert_string_equal(TS_ARCH_NAME, machine.machine);
		assert_int_equal(TS_ARCH_ELF_MACHINE, header.e_machine);
	}
}

static void test_cache_line(void **state)
{
	long line_bytes = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);

	(void)state;
	assert_int_equal(TS_ARCH_CACHE_LINE_BYTES & (TS_ARCH_CACHE_LINE_BYTES - 1), 0);
	/* The kernel may not know (0); if it does, padding must reach from line to line. */
	if (line_bytes > 0)
		assert_true(TS_ARCH_CACHE_LINE_BYTES >= line_bytes);
}

static void test_page_size_is_the_kernels(void **state)
{
	size_t page_bytes = ts_arch_page_bytes();
	const char *meant = getenv("TEST_PAGE_BYTES");

	(void)state;
	assert_int_equal(page_bytes & (page_bytes - 1), 0);
	assert_int_equal(page_bytes, getpagesize());
	/* A run under an emulator says which page size it means to have, and gets it or fails. */
	if (meant)
		assert_int_equal(page_bytes, strtoul(meant, NULL, 10));
}

static void test_page_rounding(void **state)
{
	static const size_t page_bytes[] = { 4096, 16384, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(page_bytes) / sizeof(page_bytes[0]); i++) {
		size_t page = page_bytes[i];
		uintptr_t base = (uintptr_t)1 << 40;

		assert_true(ts_arch_page_down(base, page) == base);
		assert_true(ts_arch_page_up(base, page) == base);
		assert_true(ts_arch_page_down(base + 1, page) == base);
		assert_true(ts_arch_page_up(base + 1, page) == base + page);
		assert_true(ts_arch_page_down(base + page - 1, page) == base);
		assert_true(ts_arch_page_up(base + page - 1, page) == base + page);
		assert_true(ts_arch_page_up(0, page) == 0);
	}
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Every difference the counter shows must be a multiple of the step that the backend claims. */
static void test_cycles_rise_in_claimed_steps(void **state)
{
	uint64_t step = ts_arch_cycles_step();
	uint64_t before = ts_arch_cycles();
	uint64_t first = before;
	unsigned backward = 0, off_step = 0;

	(void)state;
	assert_true(step > 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t now = ts_arch_cycles();

		backward += now < before;
		off_step += (now - before) % step != 0;
		before = now;
	}
	assert_int_equal(backward, 0);
	assert_int_equal(off_step, 0);
	assert_true(before > first);
}

/* Counted over 50 ms of the system's clock, the rate is the claimed one; 2 % is for preemption. */
static void test_cycles_run_at_the_claimed_rate(void **state)
{
	uint64_t hz = ts_arch_cycles_hz();
	uint64_t best_ppm = UINT64_MAX;

	(void)state;
	if (hz == 0)
		skip(); /* the CPU does not say, and the backend does not guess */
	for (unsigned attempt = 0; attempt < 5 && best_ppm > 20000; attempt++) {
		uint64_t since_ns = now_ns();
		uint64_t since = ts_arch_cycles();
		uint64_t spent_ns, expected, counted, ppm;

		while ((spent_ns = now_ns() - since_ns) < 50000000)
			ts_arch_pause();
		counted = ts_arch_cycles() - since;
		expected = (uint64_t)((double)hz * (double)spent_ns / 1e9);
		ppm = (counted > expected ? counted - expected : expected - counted) * 1000000 /
		      expected;
		if (ppm < best_ppm)
			best_ppm = ppm;
	}
	assert_true(best_ppm <= 20000);
}

static void test_features_fit_their_buffer(void **state)
{
	char text[128], small[4] = "xxx";
	volatile size_t too_few_bytes = 2; /* volatile: the compiler is not to warn of the truncation */

	(void)state;
	memset(text, 'x', sizeof(text));
	ts_arch_features(text, sizeof(text));
	assert_non_null(memchr(text, '\0', sizeof(text)));
	for (const char *c = text; *c; c++)
		assert_true(*c == ' ' || *c == '_' || (*c >= 'a' && *c <= 'z') ||
			    (*c >= '0' && *c <= '9'));
	assert_true(text[0] != ' ' && (text[0] == '\0' || text[strlen(text) - 1] != ' '));
	ts_arch_features(small, too_few_bytes);
	assert_true(strlen(small) <= 1);
	assert_int_equal(small[2], 'x');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a64_loads_and_stores),
		cmocka_unit_test(test_a64_rmw_returns_old_value),
		cmocka_unit_test(test_operands_from_memory),
		cmocka_unit_test(test_a64_cas_reports_what_it_saw),
		cmocka_unit_test(test_a32_and_a16),
		cmocka_unit_test(test_no_update_is_lost),
		cmocka_unit_test(test_release_carries_the_payload),
		cmocka_unit_test(test_sequentially_consistent_pair),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_cache_line),
		cmocka_unit_test(test_page_size_is_the_kernels),
		cmocka_unit_test(test_page_rounding),
		cmocka_unit_test(test_cycles_rise_in_claimed_steps),
		cmocka_unit_test(test_cycles_run_at_the_claimed_rate),
		cmocka_unit_test(test_features_fit_their_buffer),
	};

	return cmocka_run_group_tests_name("arch " TS_ARCH_NAME, tests, NULL, NULL);
}
