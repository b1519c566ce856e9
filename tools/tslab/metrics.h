/* SPDX-License-Identifier: MIT */
/*
 * metrics.h: snapshots as metrics, in the text formats of Prometheus and OpenMetrics. Names, types and help
 * come from the list of fields, obs/fields.def; what no field says is the exporter's own.
 */
#ifndef TSLAB_METRICS_H
#define TSLAB_METRICS_H

#include "buffer.h"
#include "reading.h"

#define METRICS_PREFIX "temporal_slab_"

/* Some names of old break a convention; these have a clean twin. */
enum metrics_naming {
	METRICS_SEED = 1,
	METRICS_CLEAN = 2,
	METRICS_BOTH = METRICS_SEED | METRICS_CLEAN
};

struct metrics_format {
	enum metrics_naming naming;
	bool openmetrics;
	bool of_many; /* each series says whose it is: pid, comm, allocator */
};

/* What a server says about itself. */
struct metrics_self {
	double scrape_seconds;
	uint64_t scrape_errors;
};

/* The Content-Type of what metrics_write() writes. */
const char *metrics_content_type(const struct metrics_format *format);
/*
 * The exposition of what was read, nothing included: then the target is down. `self` may be NULL. False: not
 * enough memory.
 */
bool metrics_write(struct buffer *to, const struct metrics_format *format,
		   struct reading *const *readings, size_t count, const struct metrics_self *self);
/* Every family, a line each: name, type, labels, naming, help. */
void metrics_list(FILE *to);

#endif
