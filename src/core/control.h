/* SPDX-License-Identifier: MIT */
/*
 * control.h: what can be changed while the program runs. The page may be shared with whoever may change
 * it (the observer's business); it is read with relaxed loads on slow paths, and a value that makes no
 * sense counts as the default.
 */
#ifndef TS_CORE_CONTROL_H
#define TS_CORE_CONTROL_H

#include "arch.h"
#include "config.h" /* TSLAB_REDZONE */

#define TS_CONTROL_MAGIC "TSLABCTL"
#define TS_CONTROL_VERSION 1u
#define TS_SAMPLE_INTERVAL_MAX ((uint64_t)1 << 40)

/* When the resident set is read before and after an epoch ends: two file reads, about 8 us. */
enum ts_rss_probe {
	TS_RSS_PROBE_LARGE = 0, /* for epochs that hold 16 MiB or more, where that vanishes */
	TS_RSS_PROBE_ALWAYS = 1,
	TS_RSS_PROBE_NEVER = 2,
};

struct ts_control {
	char magic[8];
	uint32_t version;
	uint32_t bytes;         /* of this structure */
	ts_a64 sample_interval; /* one allocation in so many is timed; 0 = none */
	ts_a64 rss_probe;       /* enum ts_rss_probe */
	ts_a64 trace_failures;  /* 1 = a line on stderr for each failed allocation, at a pace */
	ts_a64 guard_interval; /* one allocation in about so many goes between guard pages; 0 = none */
	ts_a64 capture_off; /* 1 = where scopes are entered and allocations fail is not looked up */
	ts_a64 doctor_threshold_s; /* for readers; 0 = theirs */
};

/* Never NULL. Replaced before the first heap call of the process, and in the child of fork. */
extern TS_HIDDEN ts_a64 ts_control_page;

static inline struct ts_control *ts_control(void)
{
	/* ORD-20 acquire: whoever sees the pointer sees the page behind it. */
	return (struct ts_control *)ts_a64_load_acq(&ts_control_page); /* ORD-20 */
}

/* The environment's wishes. Once, at start. */
void ts_control_start(void);

static inline uint64_t ts_control_sample_interval(void)
{
	uint64_t interval = ts_a64_load_rlx(&ts_control()->sample_interval);

	return interval <= TS_SAMPLE_INTERVAL_MAX ? interval : 0;
}

/* Builds with red zones see everything anyway. */
static inline uint64_t ts_control_guard_interval(void)
{
	uint64_t interval = TSLAB_REDZONE ? 0 : ts_a64_load_rlx(&ts_control()->guard_interval);

	return interval <= TS_SAMPLE_INTERVAL_MAX ? interval : 0;
}

/* Is any allocation watched? Or an interval is out of bounds, which is for others to see. */
static inline bool ts_control_watches(void)
{
	const struct ts_control *control = ts_control();

	return ts_a64_load_rlx(&control->sample_interval) | ts_a64_load_rlx(&control->guard_interval);
}

static inline bool ts_control_captures_sites(void)
{
	return ts_a64_load_rlx(&ts_control()->capture_off) != 1;
}

static inline uint64_t ts_control_rss_probe(void)
{
	return ts_a64_load_rlx(&ts_control()->rss_probe);
}

#endif
