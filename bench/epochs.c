/* SPDX-License-Identifier: MIT */
/* epochs.c: many lifetimes at once, and short ones among long ones. */
#include "arch.h"
#include "bench.h"
#include "epoch.h"

/* ------------------------------------------------------------------------- many epochs are open -- */

/* Objects of an epoch have these sizes in turn: four classes, each of less than a page. */
static const uint16_t many_sizes[] = { 32, 64, 128, 256 };
#define MANY_EPOCHS 1000u
#define MANY_OBJECTS 50u

static struct {
	tslab_epoch_t epochs[MANY_EPOCHS];
	uint64_t cycles; /* of open, enter, exit and close, and of reading the counter for them */
	uint64_t empty_cycles; /* of as many readings alone */
	uint64_t resident_bytes;
} many;

static void open_many(struct bench_worker *worker)
{
	const struct bench_calls *calls = &worker->run->calls;

	for (uint32_t i = 0; i < MANY_EPOCHS; i++) {
		void **table = &worker->objects[i * MANY_OBJECTS];
		uint64_t begin = ts_arch_cycles();

		many.epochs[i] = bench_epoch_begin(worker);
		many.cycles += ts_arch_cycles() - begin;
		for (uint32_t k = 0; k < MANY_OBJECTS; k++) {
			table[k] = calls->allocate(many_sizes[k % 4]);
			memset(table[k], 1, many_sizes[k % 4]);
		}
		begin = ts_arch_cycles();
		bench_epoch_leave(worker, many.epochs[i]);
		many.cycles += ts_arch_cycles() - begin;
	}
}

static void close_many(struct bench_worker *worker)
{
	for (uint32_t i = 0; i < MANY_EPOCHS; i++) {
		uint64_t begin;

		for (uint32_t k = 0; k < MANY_OBJECTS; k++)
			worker->run->calls.release(worker->objects[i * MANY_OBJECTS + k]);
		begin = ts_arch_cycles();
		bench_epoch_finish(worker, many.epochs[i]);
		many.cycles += ts_arch_cycles() - begin;
	}
}

static uint64_t time_readings(unsigned count)
{
	uint64_t cycles = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t begin = ts_arch_cycles();

		cycles += ts_arch_cycles() - begin;
	}
	return cycles;
}

void bench_many_prepare(struct bench_worker *worker)
{
	/* A chunk of 64 KiB an epoch, kept from one to the next. */
	bench_heap_prepare(worker, (uint64_t)MANY_EPOCHS * 2 * 65536);
	worker->run->calls.release(worker->run->calls.allocate(many_sizes[0]));
	worker->run->base_resident_bytes = bench_team_resident_bytes();
}

void bench_many_burst(struct bench_worker *worker)
{
	uint64_t rounds = worker->run->workload->operations / MANY_EPOCHS;

	many.cycles = 0;
	many.empty_cycles = 0;
	for (uint64_t n = 0; n < rounds; n++) {
		open_many(worker);
		if (n == 0)
			many.resident_bytes = bench_team_resident_bytes();
		close_many(worker);
		many.empty_cycles += time_readings(3 * MANY_EPOCHS);
	}
}

void bench_many_figures(struct bench_run *run, double *figures)
{
	double cycles = (double)many.cycles - (double)many.empty_cycles;

	figures[0] = cycles * bench_team_ns_per_cycle() / (double)run->workload->operations;
	figures[1] = (double)(many.resident_bytes - run->base_resident_bytes) / MANY_EPOCHS / 1024;
}

/* ---------------------------------------------------------------------------- mixed lifetimes -- */

/*
 * In each cycle one object of LONG_EVERY stays for LONG_CYCLES; the others end with the cycle. tslab has
 * an epoch for each cycle's short ones, and one for the long ones of SHARED_CYCLES, which it discards when
 * the last of them are over: each epoch touches pages of its own in each class, so that one for each cycle
 * would hold more. Every object is written as a whole.
 */
#define LONG_EVERY 50u
#define LONG_CYCLES 40u
#define SHARED_CYCLES 4u
#define LONG_EPOCHS (LONG_CYCLES / SHARED_CYCLES + 1)

static struct {
	tslab_epoch_t epochs[LONG_EPOCHS];
	void **long_objects[LONG_CYCLES];
	uint64_t long_bytes[LONG_CYCLES];
	uint64_t cycle;
	double resident_per_live; /* sum of SHARED_CYCLES samples */
	double sampling_ns;
} mixed;

/* A cycle of 5.6 MB is more than the default retains for a thread, as is a frame. */
void bench_mixed_prepare(struct bench_worker *worker)
{
	uint32_t long_objects = worker->run->workload->objects / LONG_EVERY;

	bench_heap_prepare(worker, (uint64_t)7 << 20);
	for (unsigned i = 0; i < LONG_CYCLES; i++)
		mixed.long_objects[i] = bench_team_pages(long_objects * sizeof(void *));
	worker->run->base_resident_bytes = bench_team_resident_bytes();
}

static tslab_epoch_t *long_epoch(void)
{
	return &mixed.epochs[mixed.cycle / SHARED_CYCLES % LONG_EPOCHS];
}

/* Ends the long lifetimes that are over and begins those of this cycle. */
static void turn_long(struct bench_worker *worker, unsigned at)
{
	const struct bench_calls *calls = &worker->run->calls;
	uint32_t long_objects = worker->run->workload->objects / LONG_EVERY;
	bool over = mixed.long_bytes[at] > 0;

	mixed.long_bytes[at] = 0;
	if (worker->run->allocator->kind != BENCH_TSLAB) {
		for (uint32_t i = 0; over && i < long_objects; i++)
			calls->release(mixed.long_objects[at][i]);
		return;
	}
	if (mixed.cycle % SHARED_CYCLES)
		return;
	if (mixed.cycle >= LONG_EPOCHS * SHARED_CYCLES)
		bench_epoch_drop(worker, *long_epoch());
	bench_must(calls->epoch_open(worker->heap, "long", long_epoch()), "tslab_epoch_open");
}

/* Return: bytes of the short ones. */
static uint64_t fill_cycle(struct bench_worker *worker, unsigned at)
{
	const struct bench_workload *workload = worker->run->workload;
	const struct bench_calls *calls = &worker->run->calls;
	bool tslab = worker->run->allocator->kind == BENCH_TSLAB;
	uint32_t span = workload->max_bytes - workload->min_bytes + 1;
	uint64_t short_bytes = 0;

	for (uint32_t i = 0; i < workload->objects; i++) {
		uint32_t random = (uint32_t)bench_random(&worker->random);
		size_t bytes = workload->min_bytes + bench_scale(random, span);
		bool is_long = i % LONG_EVERY == 0;
		void *object = is_long && tslab ? calls->epoch_allocate(*long_epoch(), bytes) :
						  calls->allocate(bytes);

		memset(object, 1, bytes);
		if (is_long) {
			mixed.long_objects[at][i / LONG_EVERY] = object;
			mixed.long_bytes[at] += bytes;
		} else {
			worker->objects[i] = object;
			short_bytes += bytes;
		}
	}
	return short_bytes;
}

static void end_cycle(struct bench_worker *worker, tslab_epoch_t epoch)
{
	const struct bench_workload *workload = worker->run->workload;

	if (worker->run->allocator->kind == BENCH_TSLAB) {
		bench_epoch_discard(worker, epoch);
		return;
	}
	for (uint32_t i = 0; i < workload->objects; i++)
		if (i % LONG_EVERY != 0)
			worker->run->calls.release(worker->objects[i]);
}

/* At the end of a cycle, when all is live; the time for it is not the allocator's. */
static void sample_resident(const struct bench_run *run, uint64_t live_bytes)
{
	double begin = bench_team_cpu_ns();

	for (unsigned i = 0; i < LONG_CYCLES; i++)
		live_bytes += mixed.long_bytes[i];
	mixed.resident_per_live += (double)(bench_team_resident_bytes() - run->base_resident_bytes) /
				   (double)live_bytes;
	mixed.sampling_ns += bench_team_cpu_ns() - begin;
}

void bench_mixed_burst(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;
	uint64_t cycles = workload->operations / workload->objects;

	mixed.resident_per_live = 0;
	mixed.sampling_ns = 0;
	for (uint64_t n = 0; n < cycles; n++, mixed.cycle++) {
		unsigned at = mixed.cycle % LONG_CYCLES;
		tslab_epoch_t epoch = 0;
		uint64_t short_bytes;

		turn_long(worker, at);
		if (worker->run->allocator->kind == BENCH_TSLAB)
			epoch = bench_epoch_begin(worker);
		short_bytes = fill_cycle(worker, at);
		if (n + SHARED_CYCLES >= cycles)
			sample_resident(worker->run, short_bytes);
		end_cycle(worker, epoch);
	}
}

void bench_mixed_figures(struct bench_run *run, double *figures)
{
	figures[0] -= mixed.sampling_ns / (double)run->workload->operations;
	figures[1] = mixed.resident_per_live / SHARED_CYCLES;
}
