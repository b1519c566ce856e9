/* SPDX-License-Identifier: MIT */
/*
 * report.h: what is said about misuse. Each refusal is counted by its caller; at most one line in
 * 100 ms goes to stderr, with the number of lines left out. TSLAB_ON_ERROR=abort makes one fatal.
 * Uses write(2) and no allocation; labels are printed as data.
 */
#ifndef TS_CORE_REPORT_H
#define TS_CORE_REPORT_H

#include "epoch.h"

struct ts_refusal {
	const char *what;              /* a fixed text */
	const struct tslab_heap *heap; /* where known without an epoch */
	const struct ts_epoch *epoch;  /* NULL: over, or unknown */
	uint64_t epoch_id;             /* of an epoch that is over */
	uint64_t address;
	const char *label;  /* where known without an epoch */
	const char *detail; /* more words for the end of the line */
};

/* Reads the environment's wish, once. */
void ts_report_start(void);
void ts_report(const struct ts_refusal *refusal);
#define ts_refused(...) ts_report(&(struct ts_refusal){ __VA_ARGS__ })
/* An allocation failed. With TSLAB_TRACE_FAILURES=1 one line, at most one in 100 ms of its own kind. */
void ts_report_failure(unsigned reason, uint64_t epoch_id, size_t bytes, int error, uint32_t site);
/* A discard was refused: one line that says where the threads inside came in. */
void ts_report_busy(const struct ts_epoch *epoch, uint64_t id);

#endif
