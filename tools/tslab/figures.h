/* SPDX-License-Identifier: MIT */
/* figures.h: what `tslab serve` answers with, made when it is asked for, at most once in an interval. */
#ifndef TSLAB_FIGURES_H
#define TSLAB_FIGURES_H

#include "metrics.h"

/* Text that grows; kept from one snapshot to the next. */
struct made_text {
	char *text;
	size_t bytes;
};

struct figures {
	/* set by the owner */
	struct source source; /* of the one process, unless */
	bool all;             /* all processes that can be read */
	uint64_t interval_ms; /* how old figures may be */
	uint64_t threshold_s; /* the doctor's */
	struct metrics_format format;

	enum figures_detail {
		FIGURES_NONE,    /* nothing was taken yet */
		FIGURES_METRICS, /* without what metrics have no use for */
		FIGURES_ALL,
	} taken;
	uint64_t taken_ms;
	uint64_t asked_for_all_ms;
	double seconds;    /* that taking them took */
	uint64_t errors;   /* times that it failed */
	char why[512];     /* the last reason */
	json_t *documents; /* array of snapshots */
	struct made_text metrics, snapshot, processes;
	json_int_t snapshot_pid; /* whose `snapshot` is */
};

/* Reads anew if the last time is too long ago, or told less. How many processes could be read; if none, `why`. */
size_t figures_take(struct figures *figures, enum figures_detail detail);
/* Of what was taken; NULL: `why`. */
const struct made_text *figures_metrics(struct figures *figures);
/* Of the process, or the only one if `pid` is 0: as `tslab stats --json`, and "findings" of the doctor. */
const struct made_text *figures_snapshot(struct figures *figures, json_int_t pid);
/* A short object for each process. */
const struct made_text *figures_processes(struct figures *figures);
void figures_end(struct figures *figures);

#endif
