/* SPDX-License-Identifier: MIT */
/* figures.h: what `tslab serve` answers with, made when it is asked for, at most once in an interval. */
#ifndef TSLAB_FIGURES_H
#define TSLAB_FIGURES_H

#include "metrics.h"

struct figures {
	/* set by the owner */
	struct source source; /* of the one process, unless */
	bool all;             /* all processes that can be read */
	uint64_t interval_ms; /* how old figures may be */
	uint64_t threshold_s; /* the doctor's */

	bool taken;
	uint64_t taken_ms;
	double seconds;  /* that taking them took */
	uint64_t errors; /* times that it failed */
	char why[512];   /* the last reason */
	struct reading **readings;
	size_t count;
	/* made of them when they are asked for; empty: not yet */
	struct buffer metrics[2]; /* of Prometheus, of OpenMetrics */
	struct buffer snapshot, processes;
	uint64_t snapshot_pid; /* whose `snapshot` is */
};

/* Reads anew if the last time is too long ago. How many processes could be read; if none, `why`. */
size_t figures_take(struct figures *figures);
/* Of what was taken; NULL: `why`. */
const struct buffer *figures_metrics(struct figures *figures, const struct metrics_format *format);
/* Of the process, or the only one if `pid` is 0: as `tslab stats --json`, and "findings" of the doctor. */
const struct buffer *figures_snapshot(struct figures *figures, uint64_t pid);
/* A short object for each process. */
const struct buffer *figures_processes(struct figures *figures);
void figures_end(struct figures *figures);

#endif
