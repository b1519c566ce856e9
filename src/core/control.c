/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h" /* TSLAB_SAMPLING */

static struct ts_control private_control = {
	.magic = { 'T', 'S', 'L', 'A', 'B', 'C', 'T', 'L' },
	.version = TS_CONTROL_VERSION,
	.bytes = sizeof(struct ts_control),
};

ts_a64 ts_control_page = { (uintptr_t)&private_control };

/* A whole number, or the default. */
static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	unsigned long long value;
	int saved = errno;
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return otherwise;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end)
		value = otherwise;
	errno = saved;
	return value;
}

static enum ts_rss_probe rss_probe(void)
{
	const char *wanted = getenv("TSLAB_RSS_PROBE");

	if (wanted && !strcmp(wanted, "always"))
		return TS_RSS_PROBE_ALWAYS;
	return wanted && !strcmp(wanted, "never") ? TS_RSS_PROBE_NEVER : TS_RSS_PROBE_LARGE;
}

void ts_control_start(void)
{
	ts_a64_store_rlx(&ts_control()->sample_interval,
			 number("TSLAB_SAMPLE", TSLAB_SAMPLING ? 1024 : 0));
	ts_a64_store_rlx(&ts_control()->rss_probe, rss_probe());
	ts_a64_store_rlx(&ts_control()->trace_failures, number("TSLAB_TRACE_FAILURES", 0));
}
