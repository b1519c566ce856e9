/* SPDX-License-Identifier: MIT */
/*
 * Processes and threads that end while others go on: forks under eight threads that do everything, the
 * child using the whole interface; threads that leave objects behind and allocate in their last
 * destructors; and signal handlers that take snapshots all the time.
 *
 *   lives [--forks N] [--threads N] [--seconds N] [--module FILE]
 *
 * --module: libtslab.so, loaded, used by threads that outlive its unloading, and loaded again.
 */
#include "../unit/support.h"
#include "workload.h"

#include <dlfcn.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 8, MAIL = 256, HANGS_AFTER = 600 };

static unsigned forks = 200, thread_lives = 5000, signal_seconds = 2;
static const char *module_file;

static double seconds_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

/* ------------------------------------------------------------------------------- busy threads -- */

/* At the start of every object in the mail. */
struct letter {
	uint64_t bytes, seed;
};

static struct {
	tslab_heap *heap;
	pthread_t threads[WORKERS];
	struct letter *mail[MAIL];
	bool stop, signalled;
} busy;

static struct letter *write_letter(uint64_t *seed)
{
	size_t bytes = sizeof(struct letter) + rnd(seed) % 2000;
	struct letter *l = tslab_malloc(bytes);

	if (!l)
		abort();
	l->bytes = bytes;
	l->seed = *seed;
	fill(l + 1, bytes - sizeof(*l), l->seed);
	return l;
}

static void read_letter(struct letter *l)
{
	if (!l)
		return;
	if (!holds(l + 1, l->bytes - sizeof(*l), l->seed))
		abort();
	tslab_free(l);
}

static void correspond(uint64_t *seed)
{
	struct letter **box = &busy.mail[rnd(seed) % MAIL];

	read_letter(__atomic_exchange_n(box, write_letter(seed), __ATOMIC_ACQ_REL));
}

static void a_round(uint64_t *seed)
{
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE, request = TSLAB_EPOCH_NONE;
	tslab_handle_t handle = TSLAB_HANDLE_NONE;

	if (tslab_epoch_open(busy.heap, "busy", &epoch) || tslab_domain_enter(epoch))
		abort();
	for (unsigned i = 0; i < 30; i++)
		correspond(seed);
	if (tslab_handle_alloc(epoch, 48, &handle) || tslab_handle_free(busy.heap, handle) ||
	    tslab_handle_free(busy.heap, handle) != -ESTALE)
		abort();
	if (tslab_scope_begin(busy.heap, "request", &request))
		abort();
	for (unsigned i = 0; i < 30; i++)
		if (!tslab_malloc(16 + rnd(seed) % 500))
			abort();
	if (tslab_scope_discard(request) || tslab_domain_exit(epoch) || tslab_epoch_close(epoch))
		abort();
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static __thread timer_t signal_timer;

/* The handler asks for the next one: with many lanes it may take as long as that, and the thread must get on. */
static int signal_in_25_us(void)
{
	const struct itimerspec once = { .it_value = { 0, 25000 } };

	return timer_settime(signal_timer, 0, &once, NULL);
}

/* SIGPROF to the calling thread, again and again: in the middle of anything, whenever it runs. */
static void begin_signals(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF };

	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &signal_timer) || signal_in_25_us())
		abort();
}

static void *be_busy(void *arg)
{
	uint64_t seed = (uintptr_t)&arg | 1;

	if (busy.signalled)
		begin_signals();
	while (!__atomic_load_n(&busy.stop, __ATOMIC_RELAXED))
		a_round(&seed);
	if (busy.signalled && timer_delete(signal_timer))
		abort();
	return arg;
}

static void start_work(bool signalled)
{
	memset(&busy, 0, sizeof(busy));
	busy.signalled = signalled;
	busy.heap = new_heap("busy", 0, TSLAB_RETAIN_DEFAULT_BYTES);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&busy.threads[i], NULL, be_busy, NULL), 0);
}

static void read_all_letters(void)
{
	for (unsigned i = 0; i < MAIL; i++) {
		read_letter(busy.mail[i]);
		busy.mail[i] = NULL;
	}
}

static void end_work(void)
{
	__atomic_store_n(&busy.stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(busy.threads[i], NULL), 0);
	read_all_letters();
	assert_int_equal(tslab_heap_destroy(busy.heap), 0);
	struct tslab_process_stats s = counters();
	assert_int_equal(s.live_objects, 0);
	assert_int_equal(s.allocations, s.frees);
	assert_int_equal(s.closing_epochs, 0);
	assert_int_equal(s.refused_double + s.refused_wild + s.refused_foreign, 0);
}

/* --------------------------------------------------------------------------------------- forks -- */

/* What it finds is whatever eight threads were in the middle of. */
static void use_the_whole_interface(void *arg)
{
	tslab_epoch_t kept = *(tslab_epoch_t *)arg;

	alarm(HANGS_AFTER);
	read_all_letters();
	tslab_free(tslab_alloc(kept, 500));
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	REQUIRE(tslab_stats_epoch(kept, &s) == 0 && s.live_objects == 1);
	workload_must_succeed = true;
	workload();
	for (uint64_t seed = 1; seed < 4; seed++)
		a_round(&seed);
	REQUIRE(workload_failures == 0);
	REQUIRE(tslab_epoch_discard(kept) == 0);
	REQUIRE(tslab_heap_destroy(busy.heap) == 0 || counters().open_scopes > 0);
	REQUIRE(counters().forks_recovered == 1);
}

static void forks_under_load(void **state)
{
	(void)state;
	start_work(false);
	tslab_epoch_t kept = new_epoch(NULL, "kept");
	void *p = tslab_alloc(kept, 300);
	fill(p, 300, 3);
	double began = seconds();
	for (unsigned i = 0; i < forks; i++) {
		if (!exited_well(in_child(use_the_whole_interface, &kept)))
			fail_msg("child %u of %u", i + 1, forks);
	}
	print_message("# %u forks under %d threads, none hung, %.1f a second\n", forks, WORKERS,
		      forks / (seconds() - began));
	assert_true(holds(p, 300, 3));
	tslab_free(p);
	assert_int_equal(tslab_epoch_close(kept), 0);
	end_work();
}

/* ------------------------------------------------------------------------------------- threads -- */

enum { KEYS = 3, AT_ONCE = 50, LEFT = 20, WARM_LIVES = 5000 };
static pthread_key_t keys[KEYS];
static struct letter *left[AT_ONCE][LEFT];
static pthread_barrier_t all_live; /* so that what they keep is always that of fifty */

/* Runs after the library's own destructor, and again: each round allocates for the next one. */
static void last_words(void *value)
{
	uintptr_t rounds = (uintptr_t)value;
	uint64_t seed = rounds;

	read_letter(write_letter(&seed));
	tslab_free(tslab_malloc(40000));
	if (rounds > 1)
		(void)pthread_setspecific(keys[rounds % KEYS], (void *)(rounds - 1));
}

static void *a_short_life(void *arg)
{
	struct letter **mine = arg;
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;
	uint64_t seed = (uintptr_t)arg;

	for (unsigned i = 0; i < LEFT; i++)
		mine[i] = write_letter(&seed);
	for (unsigned i = 0; i < KEYS; i++)
		if (pthread_setspecific(keys[i], (void *)(uintptr_t)3))
			abort();
	/* One of eight leaves a scope open. */
	if ((mine - left[0]) / LEFT % 8 == 0 &&
	    (tslab_scope_begin(NULL, "abandoned", &epoch) || !tslab_malloc(100)))
		abort();
	pthread_barrier_wait(&all_live);
	return (void *)(uintptr_t)epoch;
}

static void fifty_lives(void)
{
	pthread_t threads[AT_ONCE];
	void *epoch = NULL;

	for (unsigned i = 0; i < AT_ONCE; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, a_short_life, left[i]), 0);
	for (unsigned i = 0; i < AT_ONCE; i++) {
		assert_int_equal(pthread_join(threads[i], &epoch), 0);
		if (epoch)
			assert_int_equal(tslab_epoch_discard((tslab_epoch_t)(uintptr_t)epoch), 0);
		for (unsigned k = 0; k < LEFT; k++)
			read_letter(left[i][k]);
	}
}

static void threads_that_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(pthread_key_create(&keys[i], last_words), 0);
	assert_int_equal(pthread_barrier_init(&all_live, NULL, AT_ONCE), 0);
	for (unsigned lives = 0; lives < WARM_LIVES; lives += AT_ONCE)
		fifty_lives();
	struct tslab_process_stats before = counters();
	for (unsigned lives = 0; lives < thread_lives; lives += AT_ONCE)
		fifty_lives();
	struct tslab_process_stats after = counters();
	print_message("# %u lives: %llu KiB before, %llu KiB after, %llu lanes before, %llu after\n",
		      thread_lives, (unsigned long long)before.committed_bytes >> 10,
		      (unsigned long long)after.committed_bytes >> 10,
		      (unsigned long long)before.lanes, (unsigned long long)after.lanes);
	assert_int_equal(after.live_objects, before.live_objects);
	assert_int_equal(after.threads, 1);
	assert_true(after.scopes_abandoned > before.scopes_abandoned);
	/* What fifty threads keep varies; 100 000 lives that lose 16 bytes each lose more. */
	assert_true(after.committed_bytes <= before.committed_bytes + (1u << 20));
	assert_true(after.lanes <= before.lanes + AT_ONCE);
	assert_int_equal(after.segment_bytes, before.segment_bytes);
}

/* ------------------------------------------------------------------------------------- signals -- */

static uint64_t snapshots, wrong_snapshots;

static void take_snapshots(int number)
{
	struct tslab_process_stats p = { .struct_bytes = sizeof(p) };
	struct tslab_class_stats c = { .struct_bytes = sizeof(c) };
	struct tslab_epoch_stats e = { .struct_bytes = sizeof(e) };
	int saved = errno;
	bool ok = tslab_stats_process(&p) == 0 && p.frees <= p.allocations;

	(void)number;
	ok = ok && tslab_stats_class((unsigned)(p.allocations % TSLAB_CLASS_COUNT), &c) == 0 &&
	     c.frees <= c.allocations;
	ok = ok && tslab_stats_epoch(tslab_domain_current(), &e) <= 0;
	__atomic_fetch_add(ok ? &snapshots : &wrong_snapshots, 1, __ATOMIC_RELAXED);
	(void)signal_in_25_us(); /* the last one comes when there is no timer any more */
	errno = saved;
}

/*
 * A timer a thread: one for the process picks a thread that does not run, with more threads than CPUs, and its
 * signals are lost while the first one waits.
 */
static void snapshots_from_handlers(void **state)
{
	struct sigaction action = { .sa_handler = take_snapshots, .sa_flags = SA_RESTART };
	double began = seconds(), cpu_began = seconds_of(CLOCK_PROCESS_CPUTIME_ID);

	(void)state;
	assert_int_equal(sigaction(SIGPROF, &action, NULL), 0);
	start_work(true);
	/* Longer if the machine has no time for it. */
	while (seconds() < began + signal_seconds ||
	       (__atomic_load_n(&snapshots, __ATOMIC_RELAXED) < 100 * signal_seconds &&
		seconds() < began + 60 * signal_seconds))
		usleep(10000);
	double count = (double)__atomic_load_n(&snapshots, __ATOMIC_RELAXED);
	double rate = count / (seconds() - began);
	double cpu_rate = count / (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_began);
	end_work();
	print_message("# %llu snapshots in handlers, %.0f a second, %.0f in a second of CPU time\n",
		      (unsigned long long)snapshots, rate, cpu_rate);
	assert_int_equal(wrong_snapshots, 0);
	assert_true(snapshots >= 100 * signal_seconds);
}

/* -------------------------------------------------------------------------------------- module -- */

static struct {
	void *(*allocate)(size_t bytes);
	void (*release)(void *ptr);
	pthread_barrier_t gate;
} module;

static void load_module(void **library)
{
	*library = dlopen(module_file, RTLD_NOW | RTLD_LOCAL);
	REQUIRE(*library != NULL);
	*(void **)&module.allocate = dlsym(*library, "tslab_malloc");
	*(void **)&module.release = dlsym(*library, "tslab_free");
	REQUIRE(module.allocate && module.release);
}

/* Uses it before and after the program says that it needs it no more, and ends then. */
static void *outlive(void *arg)
{
	void *p = module.allocate(1000);

	REQUIRE(p);
	fill(p, 1000, 1);
	pthread_barrier_wait(&module.gate);
	pthread_barrier_wait(&module.gate);
	REQUIRE(holds(p, 1000, 1));
	module.release(p);
	return arg;
}

static void load_use_unload(void *unused)
{
	pthread_t threads[4];
	void *library;

	(void)unused;
	for (unsigned round = 0; round < 250; round++) {
		load_module(&library);
		REQUIRE(pthread_barrier_init(&module.gate, NULL, 5) == 0);
		for (unsigned i = 0; i < 4; i++)
			REQUIRE(pthread_create(&threads[i], NULL, outlive, NULL) == 0);
		pthread_barrier_wait(&module.gate);
		REQUIRE(dlclose(library) == 0);
		pthread_barrier_wait(&module.gate);
		for (unsigned i = 0; i < 4; i++)
			REQUIRE(pthread_join(threads[i], NULL) == 0);
		pthread_barrier_destroy(&module.gate);
	}
}

static void unloaded_too_early(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(load_use_unload, NULL)));
}

/* ---------------------------------------------------------------------------------------- main -- */

static unsigned number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!*text || *end || value == 0 || value > 100000000) {
		fprintf(stderr, "lives: bad number '%s'\n", text);
		exit(2);
	}
	return (unsigned)value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "forks", required_argument, NULL, 'f' },
		{ "threads", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 's' },
		{ "module", required_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forks_under_load),
		cmocka_unit_test(threads_that_end),
		cmocka_unit_test(snapshots_from_handlers),
		cmocka_unit_test(unloaded_too_early),
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'f')
			forks = number(optarg);
		else if (option == 't')
			thread_lives = number(optarg);
		else if (option == 's')
			signal_seconds = number(optarg);
		else if (option == 'm')
			module_file = optarg;
		else
			return 2;
	}
	if (!module_file || optind < argc) {
		fprintf(stderr, "lives: --module FILE is missing, or there is more than options\n");
		return 2;
	}
	return cmocka_run_group_tests_name("lives", tests, NULL, NULL);
}
