/* SPDX-License-Identifier: MIT */
/*
 * Many threads do everything at once, at random, for a given time: allocate in scopes, in named epochs,
 * in the ring and outside; free each other's objects one by one and in batches; resize; hand handles
 * round; open, close, discard, advance; begin and end scopes. Each object carries a pattern that is
 * checked before it is freed. At the end everything is freed, and every figure must balance.
 *
 *   stress [--seconds N] [--threads N] [--seed N]
 *
 * Prints TAP. The seed is printed; with one thread the same seed makes the same run.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#include "../random.h"

enum { THREADS_MAX = 64, OBJECTS = 4096, HANDLES = 512, EPOCHS = 24, DEPTH = 6, BATCH = 64 };

/* At the start of every object. */
struct tag {
	uint64_t bytes;
	uint64_t seed;
};

struct worker {
	pthread_t thread;
	uint64_t random;
	uint64_t steps,
		operations; /* operations: allocations, frees, begins and ends of scopes and epochs */
	uint64_t refused;   /* allocations that met a closing epoch */
	unsigned depth;
	tslab_epoch_t scope[DEPTH];
};

static struct tag *objects[OBJECTS];
static tslab_handle_t handles[HANDLES];
static tslab_epoch_t epochs[EPOCHS];
static tslab_heap *heap;
static bool stop;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	printf("Bail out! ");
	vprintf(format, list);
	printf("\n");
	va_end(list);
	fflush(NULL);
	abort();
}

static uint64_t pattern(const struct tag *tag, size_t at)
{
	return ((uintptr_t)tag ^ tag->seed) * 0x9e3779b97f4a7c15ull + at;
}

/* Words from the tag's end to the object's: all of a small object, every 64th of a large one. */
static size_t stride(const struct tag *tag)
{
	return tag->bytes > 8192 ? 512 : 8;
}

static void mark(struct tag *tag, size_t bytes, uint64_t seed)
{
	tag->bytes = bytes;
	tag->seed = seed;
	for (size_t at = sizeof(*tag); at + 8 <= bytes; at += stride(tag)) {
		uint64_t word = pattern(tag, at);

		memcpy((char *)tag + at, &word, sizeof(word));
	}
}

static void verify(const struct tag *tag)
{
	for (size_t at = sizeof(*tag); at + 8 <= tag->bytes; at += stride(tag)) {
		uint64_t word;

		memcpy(&word, (const char *)tag + at, sizeof(word));
		if (word != pattern(tag, at))
			die("object %p of %zu bytes is damaged at %zu", (const void *)tag,
			    (size_t)tag->bytes, at);
	}
	if (tslab_usable_size(tag) < tag->bytes)
		die("object %p: usable size %zu of %zu", (const void *)tag, tslab_usable_size(tag),
		    (size_t)tag->bytes);
}

static size_t random_bytes(struct worker *w)
{
	uint64_t kind = rnd(&w->random) % 10000;
	uint64_t most = kind < 9600 ? 400 : kind < 9960 ? 8000 : kind < 9996 ? 70000 : 3000000;

	return sizeof(struct tag) + rnd(&w->random) % most;
}

static tslab_epoch_t random_epoch(struct worker *w)
{
	return __atomic_load_n(&epochs[rnd(&w->random) % EPOCHS], __ATOMIC_ACQUIRE);
}

static struct tag *swap_object(struct worker *w, struct tag *with)
{
	return __atomic_exchange_n(&objects[rnd(&w->random) % OBJECTS], with, __ATOMIC_ACQ_REL);
}

static void verify_and_free(struct worker *w, struct tag *tag)
{
	if (tag)
		verify(tag);
	tslab_free(tag);
	w->operations += tag != NULL;
}

/* -------------------------------------------------------------------------------------- actions -- */

static void *allocate_somewhere(struct worker *w, size_t bytes)
{
	switch (rnd(&w->random) % 8) {
	case 0:
		return tslab_alloc(random_epoch(w), bytes);
	case 1:
		return tslab_alloc(tslab_epoch_current(heap), bytes);
	case 2:
		return tslab_calloc(1, bytes);
	case 3:
		return tslab_aligned_alloc((size_t)16 << rnd(&w->random) % 9, bytes);
	default:
		return tslab_malloc(bytes);
	}
}

static void allocate(struct worker *w)
{
	size_t bytes = random_bytes(w);
	struct tag *tag;

	errno = 0;
	w->operations++;
	tag = allocate_somewhere(w, bytes);
	if (tag) {
		if ((uintptr_t)tag % TSLAB_ALIGNMENT)
			die("object %p is misaligned", (void *)tag);
		mark(tag, bytes, rnd(&w->random));
	} else if (errno == ESTALE) {
		w->refused++;
	} else {
		die("allocation of %zu bytes: errno %d", bytes, errno);
	}
	verify_and_free(w, swap_object(w, tag));
}

/* Small objects, one after another, for objects of whoever left one. */
static void trade(struct worker *w)
{
	for (unsigned i = 0; i < 50; i++) {
		size_t bytes = sizeof(struct tag) + rnd(&w->random) % 100;
		struct tag *tag = tslab_malloc(bytes);

		w->operations++;
		if (tag)
			mark(tag, bytes, i);
		else if (errno == ESTALE)
			w->refused++;
		else
			die("malloc(%zu): errno %d", bytes, errno);
		verify_and_free(w, swap_object(w, tag));
	}
}

static void resize(struct worker *w)
{
	struct tag *tag = swap_object(w, NULL), *moved;
	size_t bytes = random_bytes(w);

	if (!tag)
		return;
	verify(tag);
	errno = 0;
	w->operations++;
	moved = tslab_realloc(tag, bytes);
	if (moved) {
		mark(moved, bytes, rnd(&w->random));
		tag = moved;
	} else if (errno != ESTALE) {
		die("realloc to %zu bytes: errno %d", bytes, errno);
	} else {
		verify(tag);
	}
	verify_and_free(w, swap_object(w, tag));
}

static void free_batch(struct worker *w)
{
	void *batch[BATCH];

	for (unsigned i = 0; i < BATCH; i++) {
		struct tag *tag = swap_object(w, NULL);

		if (tag)
			verify(tag);
		w->operations += tag != NULL;
		batch[i] = tag;
	}
	if (tslab_free_many(batch, BATCH) != BATCH)
		die("free_many refused an object");
}

static void pass_handle(struct worker *w)
{
	tslab_handle_t fresh = TSLAB_HANDLE_NONE, old;
	int error = tslab_handle_alloc(random_epoch(w), sizeof(struct tag) + rnd(&w->random) % 500,
				       &fresh);
	struct tag *tag;

	if (error && error != -ESTALE)
		die("handle_alloc: %d", error);
	w->refused += error != 0;
	w->operations++;
	if (!error) {
		tag = tslab_handle_get(heap, fresh);
		if (!tag)
			die("a fresh handle is stale");
		mark(tag, sizeof(*tag), fresh);
	}
	old = __atomic_exchange_n(&handles[rnd(&w->random) % HANDLES], fresh, __ATOMIC_ACQ_REL);
	if (old == TSLAB_HANDLE_NONE)
		return;
	tag = tslab_handle_get(heap, old);
	if (!tag || tag->seed != old)
		die("handle %#llx leads to %p", (unsigned long long)old, (void *)tag);
	w->operations++;
	if (tslab_handle_free(heap, old) != 0)
		die("handle %#llx cannot be freed", (unsigned long long)old);
	if (tslab_handle_free(heap, old) != -ESTALE)
		die("handle %#llx was freed twice", (unsigned long long)old);
}

static void enter(struct worker *w)
{
	tslab_epoch_t epoch = random_epoch(w);
	int error;

	if (w->depth == DEPTH)
		return;
	w->operations++;
	error = tslab_domain_enter(epoch);
	if (error && error != -ESTALE)
		die("enter: %d", error);
	if (!error)
		w->scope[w->depth++] = epoch;
}

static void leave(struct worker *w)
{
	if (!w->depth)
		return;
	if (tslab_domain_current() != w->scope[w->depth - 1])
		die("the current scope is not the innermost");
	w->operations++;
	if (tslab_domain_exit(w->scope[--w->depth]) != 0)
		die("exit failed");
}

static tslab_epoch_t open_epoch(void)
{
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;
	int error = tslab_epoch_open(heap, "stress", &epoch);

	if (error)
		die("open: %d", error);
	return epoch;
}

/* Its objects are in everybody's hands and drain through the tables. */
static void replace_epoch(struct worker *w)
{
	tslab_epoch_t fresh = open_epoch(), old;
	int error;

	old = __atomic_exchange_n(&epochs[rnd(&w->random) % EPOCHS], fresh, __ATOMIC_ACQ_REL);
	w->operations += 2;
	error = tslab_epoch_close(old);
	if (error)
		die("close: %d", error);
}

/* More labels than a thread keeps pairs of slot and lane. */
static tslab_epoch_t begin_scope(struct worker *w)
{
	static const char *const labels[] = { "get", "put", "list", "scan", "drop", "sync", NULL };
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;
	int error = tslab_scope_begin(
		heap, labels[rnd(&w->random) % (sizeof(labels) / sizeof(labels[0]))], &epoch);

	w->operations++;
	if (error)
		die("scope_begin: %d", error);
	return epoch;
}

/* A request of this thread's own: nothing leaves it, so it may be discarded. */
static void request(struct worker *w)
{
	tslab_epoch_t epoch = begin_scope(w);
	struct tag *mine[100];
	unsigned count = 1 + (unsigned)(rnd(&w->random) % 100),
		 keep = (unsigned)(rnd(&w->random) % 4);

	for (unsigned i = 0; i < count; i++) {
		size_t bytes = random_bytes(w);

		mine[i] = tslab_malloc(bytes);
		if (!mine[i])
			die("allocation in an own epoch: errno %d", errno);
		mark(mine[i], bytes, i);
	}
	for (unsigned i = 0; i < count; i++) {
		verify(mine[i]);
		if (!keep || i % keep) {
			tslab_free(mine[i]);
			w->operations++;
		}
	}
	w->operations += count + 1;
	if (rnd(&w->random) % 8 == 0)
		request(w);
	if (rnd(&w->random) % 8 == 0) {
		/* The single calls do the same. */
		if (tslab_domain_exit(epoch) != 0 || tslab_epoch_discard(epoch) != 0)
			die("exit and discard of an own epoch failed");
	} else if ((keep ? tslab_scope_discard : tslab_scope_close)(epoch) != 0) {
		die("end of an own epoch failed");
	}
}

/* Its objects go to everybody, who free them before or after it is closed. */
static void errand(struct worker *w)
{
	tslab_epoch_t epoch = begin_scope(w);

	for (unsigned i = (unsigned)(rnd(&w->random) % 40); i > 0; i--)
		allocate(w);
	w->operations++;
	if (tslab_scope_close(epoch) != 0)
		die("close of an own scope failed");
}

/* An epoch that begins as a scope of this thread is left to everybody; another one is ended from inside. */
static void exchange_scopes(struct worker *w)
{
	tslab_epoch_t fresh = begin_scope(w), old;
	int error;

	allocate(w);
	w->operations += 3;
	if (tslab_domain_exit(fresh) != 0)
		die("exit of an own epoch failed");
	old = __atomic_exchange_n(&epochs[rnd(&w->random) % EPOCHS], fresh, __ATOMIC_ACQ_REL);
	if (tslab_domain_enter(old) != 0)
		die("enter of an epoch that only this thread closes failed");
	allocate(w);
	error = tslab_scope_close(old);
	if (error)
		die("scope_close: %d", error);
}

static void look(struct worker *w)
{
	struct tslab_process_stats p = { .struct_bytes = sizeof(p) };
	struct tslab_epoch_stats e = { .struct_bytes = sizeof(e) };
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	int error = tslab_stats_epoch(random_epoch(w), &e);
	tslab_handle_t handle;

	if (error && error != -ESTALE)
		die("stats of an epoch: %d", error);
	if (tslab_stats_process(&p) || p.frees > p.allocations)
		die("%llu frees, %llu allocations", (unsigned long long)p.frees,
		    (unsigned long long)p.allocations);
	(void)tslab_owner(__atomic_load_n(&objects[rnd(&w->random) % OBJECTS], __ATOMIC_ACQUIRE),
			  &info);
	handle = __atomic_load_n(&handles[rnd(&w->random) % HANDLES], __ATOMIC_ACQUIRE);
	if (handle != TSLAB_HANDLE_NONE)
		(void)tslab_handle_get(heap, handle);
}

static void advance(struct worker *w)
{
	int error = tslab_epoch_advance(heap, NULL);

	w->operations++;
	if (error)
		die("advance: %d", error);
}

static const struct {
	void (*act)(struct worker *w);
	unsigned weight;
} actions[] = {
	{ allocate, 600 },      { trade, 300 }, { resize, 60 }, { free_batch, 10 },
	{ pass_handle, 100 },   { enter, 100 }, { leave, 105 }, { replace_epoch, 8 },
	{ request, 16 },        { look, 2 },    { advance, 2 }, { errand, 4 },
	{ exchange_scopes, 4 },
};

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned total = 0;

	for (unsigned i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		total += actions[i].weight;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned pick = (unsigned)(rnd(&w->random) % total), i = 0;

		while (pick >= actions[i].weight)
			pick -= actions[i++].weight;
		actions[i].act(w);
		w->steps++;
	}
	while (w->depth)
		leave(w);
	return NULL;
}

/* ----------------------------------------------------------------------------------- the whole -- */

static void run(unsigned threads, unsigned seconds, uint64_t seed)
{
	static struct worker workers[THREADS_MAX];
	const struct timespec duration = { .tv_sec = seconds };
	uint64_t steps = 0, operations = 0, refused = 0;

	for (unsigned i = 0; i < EPOCHS; i++)
		epochs[i] = open_epoch();
	for (unsigned i = 0; i < threads; i++) {
		workers[i].random = seed + i * 0x9e3779b97f4a7c15ull + 1;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			die("no thread");
	}
	nanosleep(&duration, NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		steps += workers[i].steps;
		operations += workers[i].operations;
		refused += workers[i].refused;
	}
	printf("# %llu steps, %llu operations, %llu allocations met a closing epoch\n",
	       (unsigned long long)steps, (unsigned long long)operations,
	       (unsigned long long)refused);
}

static void empty_the_tables(void)
{
	struct worker last = { .random = 0 };

	for (unsigned i = 0; i < OBJECTS; i++)
		verify_and_free(&last, objects[i]);
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i] != TSLAB_HANDLE_NONE && tslab_handle_free(heap, handles[i]) != 0)
			die("a handle was lost");
	for (unsigned i = 0; i < EPOCHS; i++)
		if (tslab_epoch_close(epochs[i]) != 0)
			die("an epoch was lost");
}

static unsigned test_number, tests_failed;

static void expect(const char *what, uint64_t got, uint64_t want)
{
	bool ok = got == want;

	tests_failed += !ok;
	printf("%s %u - %s", ok ? "ok" : "not ok", ++test_number, what);
	if (!ok)
		printf(": %llu, not %llu", (unsigned long long)got, (unsigned long long)want);
	printf("\n");
}

static void check_figures(void)
{
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };

	if (tslab_stats_process(&s))
		die("no statistics");
	printf("1..7\n");
	expect("no object is left", s.live_objects, 0);
	expect("as many frees as allocations", s.frees, s.allocations);
	expect("no large memory is left", s.large_bytes, 0);
	expect("no scope is open", s.open_scopes, 0);
	expect("every closed epoch is over", s.closing_epochs, 0);
	/* The stale second frees of handles are refused on purpose. */
	expect("no correct call was refused",
	       s.refused_double + s.refused_wild + s.refused_foreign + s.refused_wrong_handle +
		       s.refused_exit + s.exits_out_of_order,
	       0);
	expect("the heap can be destroyed", (uint64_t)-tslab_heap_destroy(heap), 0);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (!*text || *end || value > most) {
		fprintf(stderr, "stress: bad number '%s'\n", text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "threads", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t seconds = 5, threads = 4, seed = (uint64_t)time(NULL);
	struct tslab_heap_options heap_options = TSLAB_HEAP_OPTIONS_INIT;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			seconds = number(optarg, 1000000);
		else if (option == 't')
			threads = number(optarg, THREADS_MAX);
		else if (option == 'r')
			seed = number(optarg, UINT64_MAX);
		else
			return 2;
	}
	printf("# seed %llu, %llu threads, %llu seconds\n", (unsigned long long)seed,
	       (unsigned long long)threads, (unsigned long long)seconds);
	heap_options.name = "stress";
	heap_options.retain_bytes = seed % 2 ? TSLAB_RETAIN_DEFAULT_BYTES : 0;
	heap = tslab_heap_create(&heap_options);
	if (!heap)
		die("no heap");
	run((unsigned)threads, (unsigned)seconds, seed);
	empty_the_tables();
	check_figures();
	return tests_failed != 0;
}
