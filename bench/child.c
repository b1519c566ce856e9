/* SPDX-License-Identifier: MIT */
/* child.c: one allocator at work. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static struct bench_run child_run;

static void must_write(int channel, const void *data, size_t bytes)
{
	if (write(channel, data, bytes) != (ssize_t)bytes)
		_exit(1); /* the parent is gone */
}

/* A burst for each byte from the parent, until it closes the channel. */
static void serve(struct bench_run *run, int channel, const struct bench_ready *ready)
{
	char command;

	must_write(channel, ready, sizeof(*ready));
	while (read(channel, &command, 1) == 1) {
		double figures[BENCH_PARTS_MAX] = { 0 };

		bench_team_burst(run, figures);
		must_write(channel, figures, sizeof(figures));
	}
}

/* The last burst is marked for a tracer. */
static void print_bursts(struct bench_run *run, unsigned bursts)
{
	for (unsigned i = 1; i <= bursts; i++) {
		double figures[BENCH_PARTS_MAX] = { 0 };

		run->marked = i == bursts;
		bench_team_burst(run, figures);
		for (unsigned part = 0; part < bench_workloads_parts(run->workload); part++)
			printf("%s%.3f", part ? " " : "", figures[part]);
		printf("\n");
	}
	fflush(stdout);
}

void bench_child_main(const struct bench_job *job)
{
	double figures[BENCH_PARTS_MAX];
	struct bench_ready ready;

	child_run.workload = job->workload;
	child_run.allocator = job->allocator;
	child_run.seed = job->seed;
	memset(&ready, 0, sizeof(ready));
	bench_allocators_load(job->allocator, &child_run.calls, ready.file, sizeof(ready.file));
	bench_team_start(&child_run);
	bench_team_burst(&child_run,
			 figures); /* the first one is for caches, page faults and lazy starts */
	if (job->channel >= 0)
		serve(&child_run, job->channel, &ready);
	else
		print_bursts(&child_run, job->bursts);
	_exit(0);
}
