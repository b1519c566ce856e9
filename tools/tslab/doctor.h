/* SPDX-License-Identifier: MIT */
/* doctor.h: how the doctor's parts say what they found. */
#ifndef TSLAB_DOCTOR_H
#define TSLAB_DOCTOR_H

#include "tool.h"

/* What a finding is, whatever its figures are. */
struct kind {
	const char *id;
	const char *severity;
	const char *confidence;
	const char *runbook; /* page of docs/runbooks */
	const char *action;
};

struct checkup {
	const json_t *document;
	uint64_t threshold_s;
	json_t *findings;
};

/* `subject` tells findings of one kind apart over time; `diagnosis` is the finding in a line. */
void doctor_add(struct checkup *c, const struct kind *kind, const char *subject,
		const char *diagnosis, const char *evidence, ...)
	__attribute__((format(printf, 5, 6)));

/* -- doctor_costs.c -- */
void doctor_check_costs(struct checkup *c);

#endif
