/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "environment.h"
#include "heap.h"
#include "os.h"
#include "site.h"
#include "thread.h"

#define LINE_EVERY_NS 100000000u

/* How often one kind of line may be printed. */
struct pace {
	ts_a64 next_line_ns;
	ts_a64 left_out;
};
static struct pace refusals, failures;

/* One caller in 100 ms wins; the others are counted. */
static bool may_print(struct pace *pace)
{
	uint64_t now = ts_os_coarse_ns();
	uint64_t due = ts_a64_load_rlx(&pace->next_line_ns);

	if (now >= due && ts_a64_cas_rlx(&pace->next_line_ns, &due, now + LINE_EVERY_NS))
		return true;
	ts_a64_add_rlx(&pace->left_out, 1);
	return false;
}

/* What TSLAB_ON_ERROR wants; it is read with the first heap, or the first refusal if that comes earlier. */
static bool fatal(void)
{
	static const char *const policies[] = { "report", "abort", NULL };
	static ts_a32 policy; /* + 1; 0 = not read yet */
	uint32_t known = ts_a32_load_rlx(&policy);

	if (!known) {
		known = 1 + ts_environment_word("TSLAB_ON_ERROR", policies, 0);
		ts_a32_store_rlx(&policy, known);
	}
	return known == 2;
}

void ts_report_start(void)
{
	(void)fatal();
}

/*
 * heap, epoch and label, as far as they are known; "-" stands for what is not. Read from words that may
 * change meanwhile: the epoch of a refused free can be over, and its slot open again.
 */
static int where(const struct ts_refusal *refusal, char *buf, size_t bytes)
{
	const struct ts_epoch *epoch = refusal->epoch;
	const struct tslab_heap *heap = refusal->heap;
	uint64_t id = refusal->epoch_id;
	char label[32] = "";

	if (epoch) {
		id = ts_a64_load_rlx(&epoch->id);
		heap = ts_heap_by_id((uint32_t)ts_a64_load_rlx(&epoch->stat->heap_id));
		ts_epoch_label(epoch, label);
	}
	if (!id && refusal->label)
		return snprintf(buf, bytes, "heap=%s epoch=- label=\"%s\"", heap ? heap->name : "-",
				refusal->label);
	if (!id)
		return snprintf(buf, bytes, "heap=%s epoch=- label=-", heap ? heap->name : "-");
	return snprintf(buf, bytes, "heap=%s epoch=%u era=%llu label=%s%s%s", heap ? heap->name : "-",
			ts_epoch_slot(id), (unsigned long long)ts_epoch_era(id), epoch ? "\"" : "-",
			label, epoch ? "\"" : "");
}

/* Ends the line in a buffer of `bytes`, cut if need be, and writes it. */
static void write_line(struct pace *pace, char *line, int length, int bytes)
{
	uint64_t quiet =
		ts_a64_xchg_acq(&pace->left_out, 0); /* ORD-23: a counter, any order would do */

	if (quiet && length < bytes)
		length += snprintf(line + length, (size_t)(bytes - length),
				   " (%llu like it left out)", (unsigned long long)quiet);
	if (length > bytes - 2)
		length = bytes - 2;
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return; /* nobody listens; the counter has it */
}

static void print(const struct ts_refusal *refusal)
{
	char place[128];
	char line[480];
	int length;

	where(refusal, place, sizeof(place));
	length = snprintf(line, sizeof(line), "tslab: %s: %s", refusal->what, place);
	if (refusal->address && length < (int)sizeof(line))
		length += snprintf(line + length, sizeof(line) - (size_t)length, " address=0x%llx",
				   (unsigned long long)refusal->address);
	if (refusal->detail && length < (int)sizeof(line))
		length += snprintf(line + length, sizeof(line) - (size_t)length, " %s",
				   refusal->detail);
	write_line(&refusals, line, length, sizeof(line));
}

void ts_report(const struct ts_refusal *refusal)
{
	int saved = errno;
	bool die = fatal();

	if (die || may_print(&refusals))
		print(refusal);
	if (die)
		abort();
	errno = saved;
}

void ts_report_failure(unsigned reason, uint64_t epoch_id, size_t bytes, int error, uint32_t site)
{
	static const char *const reasons[] = { "unknown", "threshold",    "exhaustion",
					       "mapfail", "epoch_closed", "invalid" };
	struct ts_refusal refusal = { .epoch = ts_epoch_find(epoch_id), .epoch_id = epoch_id };
	char place[128], call[96];
	char line[384];
	int length;

	if (ts_a64_load_rlx(&ts_control()->trace_failures) != 1 || !may_print(&failures))
		return;
	where(&refusal, place, sizeof(place));
	ts_site_describe(site, call, sizeof(call));
	length = snprintf(line, sizeof(line),
			  "tslab: allocation failed: reason=%s size=%zu errno=%d %s site=%s",
			  reasons[reason], bytes, error, place, call);
	write_line(&failures, line, length, sizeof(line));
}

/* The open scopes are read from what the threads show; nothing is locked. */
void ts_report_busy(const struct ts_epoch *epoch, uint64_t id)
{
	uint32_t count = ts_a32_load_acq(&ts_threads.count); /* ORD-20 acquire */
	char what[160] = "discard refused: a thread is inside, or discards it too";

	for (uint32_t i = 0; i < count; i++) {
		const struct ts_thread *thread = ts_table_at(&ts_threads, i);

		for (unsigned s = 0; s < TS_SCOPES_SHOWN; s++) {
			char site[96];

			if (ts_a64_load_acq(&thread->stat->scope[s].epoch_id) != id) /* ORD-21 */
				continue;
			ts_site_describe((uint32_t)ts_a64_load_rlx(&thread->stat->scope[s].site),
					 site, sizeof(site));
			snprintf(what, sizeof(what), "discard refused: thread %llu entered at %s",
				 (unsigned long long)ts_a64_load_rlx(&thread->stat->w.tid), site);
			break;
		}
	}
	ts_refused(.what = what, .epoch = epoch);
}
