/* SPDX-License-Identifier: MIT */
/* growth.c: how cost grows with live objects, with threads, and with the chunks of a lifetime. */
#include <stdio.h>
#include <string.h>

#include "arch.h"
#include "bench.h"
#include "epoch.h"

const struct bench_series bench_series[] = {
	{ .name = "objects",
	  .title = "live objects of 64 bytes",
	  .workload = "growth-objects",
	  .axis = BENCH_AXIS_OBJECTS,
	  .values = { 1000, 3000, 10000, 30000, 100000, 300000, 1000000, 3000000, 10000000,
		      30000000, 100000000 } },
	{ .name = "threads",
	  .title = "threads, WS8192 in each",
	  .workload = "growth-threads",
	  .axis = BENCH_AXIS_THREADS,
	  .values = { 1, 2, 4, 8, 16, 32, 64 } },
	{ .name = "chunks",
	  .title = "chunks of 64 KiB in an epoch",
	  .workload = "growth-chunks",
	  .axis = BENCH_AXIS_OBJECTS,
	  .values = { 1, 4, 16, 64, 256, 1024, 4096 } },
};

const unsigned bench_series_count = sizeof(bench_series) / sizeof(bench_series[0]);

unsigned bench_series_length(const struct bench_series *series)
{
	unsigned length = 0;

	while (length < BENCH_SERIES_MAX && series->values[length] > 0)
		length++;
	return length;
}

struct bench_workload bench_series_workload(const struct bench_series *series, unsigned point)
{
	struct bench_workload workload = *bench_workloads_find(series->workload);

	if (series->axis == BENCH_AXIS_OBJECTS)
		workload.objects = series->values[point];
	else
		workload.threads = series->values[point];
	return workload;
}

/* An allocator may take half as much again, and the table of pointers is the benchmark's. */
bool bench_series_fits(const struct bench_workload *workload)
{
	double bytes = (double)workload->objects * (1.5 * workload->max_bytes + sizeof(void *));
	unsigned long long kib = 0;
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return bytes < (double)kib * 1024;
}

/* ------------------------------------------------------------------- the end of a large epoch -- */

#define CHUNK_BYTES 65536u

/* By part: small and large objects, discarded, or freed one by one before their epoch is closed. */
static const struct {
	uint32_t bytes;
	bool close;
} ends[] = { { 64, false }, { 512, false }, { 64, true }, { 512, true } };

static double ends_ns[sizeof(ends) / sizeof(ends[0])];

static double time_end(struct bench_worker *worker, unsigned end)
{
	const struct bench_calls *calls = &worker->run->calls;
	uint32_t objects = worker->run->workload->objects * (CHUNK_BYTES / ends[end].bytes);
	tslab_epoch_t epoch = bench_epoch_begin(worker);
	uint64_t begin;
	void *newest = NULL;

	for (uint32_t i = 0; i < objects; i++) {
		void **object = calls->allocate(ends[end].bytes);

		*object = newest;
		newest = object;
	}
	while (ends[end].close && newest) {
		void *object = newest;

		newest = *(void **)object;
		calls->release(object);
	}
	bench_epoch_leave(worker, epoch);
	begin = ts_arch_cycles();
	if (ends[end].close)
		bench_epoch_finish(worker, epoch);
	else
		bench_epoch_drop(worker, epoch);
	return (double)(ts_arch_cycles() - begin) * bench_team_ns_per_cycle();
}

/* Small epochs are ended as often as it takes to be sure of a figure. */
void bench_growth_ends_burst(struct bench_worker *worker)
{
	unsigned times = 1 + 256 / worker->run->workload->objects;

	memset(ends_ns, 0, sizeof(ends_ns));
	for (unsigned end = 0; end < sizeof(ends) / sizeof(ends[0]); end++)
		for (unsigned n = 0; n < times; n++)
			ends_ns[end] += time_end(worker, end) / times;
}

void bench_growth_ends_figures(struct bench_run *run, double *figures)
{
	(void)run;
	memcpy(figures, ends_ns, sizeof(ends_ns));
}
