/* SPDX-License-Identifier: MIT */
#include "failure.h"

#include <errno.h>

#include "control.h"
#include "epoch.h"
#include "os.h"
#include "process.h"
#include "report.h"
#include "ring.h"
#include "site.h"
#include "thread.h"

static struct ts_ring failures = {
	.kind = TS_BLOCK_FAILURES,
	.kept = TS_FAILURES_KEPT,
	.per_block = TS_FAILURES_PER_BLOCK,
	.words = sizeof(struct ts_failure_words) / sizeof(ts_a64),
};

/* Of threads without a record. */
static ts_a32 reason_elsewhere;

void ts_failed(enum ts_failure reason)
{
	switch (reason) {
	case TS_FAILED_THRESHOLD:
		ts_count(fail_threshold, 1);
		break;
	case TS_FAILED_EXHAUSTED:
		ts_count(fail_exhausted, 1);
		break;
	case TS_FAILED_MAPPING:
		ts_count(fail_mapping, 1);
		break;
	case TS_FAILED_CLOSING:
		ts_count(fail_closing, 1);
		break;
	default:
		ts_count(fail_invalid, 1);
	}
	if (ts_tls.self)
		ts_tls.self->failure = (uint8_t)reason;
	else
		ts_a32_store_rlx(&reason_elsewhere, reason);
}

static enum ts_failure take_reason(void)
{
	struct ts_thread *self = ts_tls.self;
	enum ts_failure reason = self ? self->failure :
					(enum ts_failure)ts_a32_load_rlx(&reason_elsewhere);

	if (self)
		self->failure = TS_FAILED_UNKNOWN;
	return reason;
}

static void put_label(struct ts_failure_words *event, uint64_t epoch_id)
{
	const struct ts_epoch *epoch = epoch_id ? ts_epoch_find(epoch_id) : NULL;
	uint64_t words[4] = { 0 };

	if (epoch)
		ts_epoch_label_words(epoch, words);
	ts_ring_put(event, label0, words[0]);
	ts_ring_put(event, label1, words[1]);
	ts_ring_put(event, label2, words[2]);
	ts_ring_put(event, label3, words[3]);
}

void *ts_failure_record(uint64_t epoch_id, size_t bytes, int error, const void *site)
{
	int saved = errno;
	enum ts_failure reason = take_reason();
	unsigned cls = bytes <= TS_SMALL_MAX_BYTES ? ts_sizeclass_find(bytes) : TS_CLASS_LARGE;
	uint32_t site_id = ts_control_captures_sites() ? ts_site_id(site) : 0;
	struct ts_failure_words *event = (struct ts_failure_words *)ts_ring_begin(&failures);

	if (reason == TS_FAILED_CLOSING)
		ts_count_class(cls, epoch_closed, 1);
	if (event) {
		ts_ring_put(event, time_ns, ts_os_coarse_ns());
		ts_ring_put(event, epoch_id, epoch_id);
		ts_ring_put(event, bytes, bytes);
		ts_ring_put(event, what,
			    reason | (cls + 1) << 8 | (uint32_t)error << 16 | (uint64_t)site_id << 32);
		ts_ring_put(event, tid, ts_tls.self ? ts_a64_load_rlx(&ts_tls.self->stat->w.tid) : 0);
		put_label(event, epoch_id);
		ts_ring_end(&failures, (ts_a64 *)event);
	}
	ts_report_failure(reason, epoch_id, bytes, error, site_id);
	errno = saved;
	return NULL;
}
