/* SPDX-License-Identifier: MIT */
#include "control.h"

#include "environment.h"

static struct ts_control private_control = {
	.magic = { 'T', 'S', 'L', 'A', 'B', 'C', 'T', 'L' },
	.version = TS_CONTROL_VERSION,
	.bytes = sizeof(struct ts_control),
};

ts_a64 ts_control_page = { (uintptr_t)&private_control };

void ts_control_start(void)
{
	static const char *const probes[] = { "large", "always", "never", NULL };
	struct ts_control *control = ts_control();

	ts_a64_store_rlx(&control->sample_interval,
			 ts_environment_number("TSLAB_SAMPLE", TS_SAMPLE_INTERVAL_MAX,
					       TSLAB_SAMPLING ? 1024 : 0));
	ts_a64_store_rlx(&control->rss_probe,
			 ts_environment_word("TSLAB_RSS_PROBE", probes, TS_RSS_PROBE_LARGE));
	ts_a64_store_rlx(&control->trace_failures,
			 ts_environment_number("TSLAB_TRACE_FAILURES", 1, 0));
	ts_a64_store_rlx(&control->guard_interval,
			 ts_environment_number("TSLAB_GUARD", TS_SAMPLE_INTERVAL_MAX, 0));
}
