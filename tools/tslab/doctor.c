/* SPDX-License-Identifier: MIT */
/* doctor.c: what is wrong in a snapshot. Findings only; how they are shown is the commands' business. */
#include <stdarg.h>
#include <string.h>

#include "doctor.h"

void doctor_add(struct checkup *c, const struct kind *kind, const char *subject,
		const char *diagnosis, const char *evidence, ...)
{
	char text[4 * CLEAN_BYTES], runbook[128];
	va_list arguments;

	va_start(arguments, evidence);
	vsnprintf(text, sizeof(text), evidence, arguments);
	va_end(arguments);
	snprintf(runbook, sizeof(runbook), "docs/runbooks/%s.md", kind->runbook);
	json_array_append_new(c->findings, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}",
						     "id", kind->id, "subject", subject, "severity",
						     kind->severity, "confidence", kind->confidence,
						     "diagnosis", diagnosis, "evidence", text,
						     "action", kind->action, "runbook", runbook));
}

/* ----------------------------------------------------------------------------------------- epochs -- */

static void name_epoch(const json_t *epoch, char *subject, size_t subject_bytes)
{
	snprintf(subject, subject_bytes, "epoch %llu, era %llu",
		 (unsigned long long)get_u64(epoch, "epoch_id"),
		 (unsigned long long)get_u64(epoch, "epoch_era"));
}

/* "Epoch 12 (background-worker-3) age=600s refcount=2 RSS=50.0 MiB" */
static void head_epoch(const json_t *epoch, char *head, size_t head_bytes)
{
	char label[64], held[HUMAN_BYTES];
	const char *text = get_text(epoch, "label");

	snprintf(head, head_bytes, "Epoch %llu (%s) age=%llus refcount=%llu RSS=%s",
		 (unsigned long long)get_u64(epoch, "epoch_id"),
		 *text ? clean(text, label, sizeof(label)) : "unlabeled",
		 (unsigned long long)get_u64(epoch, "age_sec"),
		 (unsigned long long)get_u64(epoch, "refcount"),
		 human_bytes(get_u64(epoch, "estimated_rss_bytes"), held));
}

static void check_leak(struct checkup *c, const json_t *leak)
{
	static const struct kind scope = {
		"open-scope", "error", "high", "EpochLeak",
		"leave the scope on every path out of that function, also on errors; tslab leaks has all places"
	};
	static const struct kind reference = {
		"reference-kept", "error", "high", "EpochLeak",
		"give each reference back that tslab_epoch_add_references() took"
	};
	char subject[64], head[256], epoch[CLEAN_BYTES], missing[256], where[CLEAN_BYTES] = "";
	const json_t *domains = json_object_get(leak, "domains");

	name_epoch(leak, subject, sizeof(subject));
	head_epoch(leak, head, sizeof(head));
	describe_epoch(leak, epoch, sizeof(epoch));
	describe_missing(leak, missing, sizeof(missing));
	/* The oldest place; `tslab leaks` has them all. */
	if (json_array_size(domains))
		describe_domain(json_array_get(domains, 0), where, sizeof(where));
	if (get_u64(leak, "missing_exits"))
		strncat(head, ". Application bug: missing domain_exit() calls",
			sizeof(head) - strlen(head) - 1);
	doctor_add(c, get_u64(leak, "missing_exits") ? &scope : &reference, subject, head,
		   "%s; %s %s", epoch, missing, where);
}

static void check_scopes(struct checkup *c)
{
	json_t *leaks = find_leaks(c->document, c->threshold_s);
	const json_t *leak;
	size_t i;

	json_array_foreach(leaks, i, leak)
		check_leak(c, leak);
	json_decref(leaks);
}

static void check_draining(struct checkup *c)
{
	static const struct kind kind = {
		"not-draining", "warning", "high", "NotDraining",
		"free these objects, or end the epoch with tslab_epoch_discard() instead of closing it"
	};
	const json_t *epoch;
	size_t i;

	json_array_foreach(json_object_get(c->document, "epochs"), i, epoch) {
		char text[CLEAN_BYTES], subject[64], head[256];

		/* Open scopes are reported as such; here it is objects alone that keep it. */
		if (strcmp(get_text(epoch, "state"), "CLOSING") != 0 || get_u64(epoch, "refcount") ||
		    get_u64(epoch, "closing_sec") < c->threshold_s || !get_u64(epoch, "live_objects"))
			continue;
		name_epoch(epoch, subject, sizeof(subject));
		head_epoch(epoch, head, sizeof(head));
		describe_epoch(epoch, text, sizeof(text));
		doctor_add(c, &kind, subject, head, "%s; it was closed %llu s ago", text,
			   (unsigned long long)get_u64(epoch, "closing_sec"));
	}
}

/* --------------------------------------------------------------------------------------- counters -- */

/* Those that are 0 in a correct program. */
static const struct {
	struct kind kind;
	const char *path;
	const char *diagnosis;
	const char *what;
} counters[] = {
	{ { "double-free", "error", "high", "RefusedCalls",
	    "look for the first line of libtslab on the program's stderr: it names heap, epoch and label; "
	    "TSLAB_ON_ERROR=abort stops at the place" },
	  "safety.invalid_free.double",
	  "Application bug: objects are freed twice",
	  "frees of objects that were freed already (refused)" },
	{ { "wild-free", "error", "high", "RefusedCalls",
	    "free the pointer that the allocation returned; TSLAB_ON_ERROR=abort stops at the place" },
	  "safety.invalid_free.wild",
	  "Application bug: what is freed is no object's address",
	  "frees of addresses where no object starts (refused)" },
	{ { "foreign-free", "error", "high", "RefusedCalls",
	    "free it with the allocator that it came from; TSLAB_ON_ERROR=abort stops at the place" },
	  "safety.invalid_free.foreign",
	  "Application bug: memory of another allocator is freed here",
	  "frees of memory that is not libtslab's (refused)" },
	{ { "stale-handle", "warning", "medium", "RefusedCalls",
	    "expected if the program uses handles to find out; else something keeps handles too long" },
	  "safety.invalid_free.stale",
	  "Handles outlive their objects",
	  "uses of handles whose object is gone (refused)" },
	{ { "wrong-handle", "error", "high", "RefusedCalls",
	    "pass the heap that the handle's epoch belongs to" },
	  "safety.wrong_handle",
	  "Application bug: handles are mixed up",
	  "handles used with another heap than theirs, or that are no handles" },
	{ { "exit-without-enter", "error", "high", "RefusedCalls",
	    "pair enter and exit on the same thread, one exit for each enter that succeeded" },
	  "safety.refused_exits",
	  "Application bug: domain_exit() without domain_enter()",
	  "domain exits without an enter on that thread" },
	{ { "exit-out-of-order", "error", "high", "RefusedCalls",
	    "leave scopes in the reverse order of entering" },
	  "safety.exits_out_of_order",
	  "Application bug: scopes are left in the wrong order",
	  "domain exits that skipped scopes inside" },
	{ { "reference-count", "warning", "high", "RefusedCalls",
	    "pair the calls that add and take references" },
	  "safety.references_saturated",
	  "Application bug: references are given back that were not taken",
	  "reference counts that would have gone below zero or above their top" },
	{ { "labels-overflowed", "info", "high", "RefusedCalls",
	    "name kinds of work in labels, not single items" },
	  "label_registry.overflowed",
	  "More labels than metrics can tell apart",
	  "labels beyond the registry of 16: metrics show them as unlabeled" },
};

static void check_counters(struct checkup *c)
{
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint64_t count = (uint64_t)sum_path(c->document, counters[i].path);

		if (count)
			doctor_add(c, &counters[i].kind, "", counters[i].diagnosis, "%llu %s",
				   (unsigned long long)count, counters[i].what);
	}
}

/* --------------------------------------------------------------------------- failed allocations -- */

static const struct {
	struct kind kind;
	const char *reason;
	const char *diagnosis;
	const char *what;
} causes[] = {
	{ { "request-too-large", "error", "high", "AllocFailures",
	    "a size was computed wrongly, or the object does not belong here" },
	  "threshold",
	  "Allocation failure: Threshold (size class mismatch)",
	  "allocations larger than the largest size" },
	{ { "limit-reached", "warning", "high", "AllocFailures",
	    "raise the limit of heap or epoch, or TSLAB_RANGE; tslab top shows who holds the memory" },
	  "exhaustion",
	  "Allocation failure: Exhaustion (pool depletion)",
	  "allocations refused by a limit, or because the reserved range is used up" },
	{ { "os-refused-memory", "error", "high", "AllocFailures",
	    "look at cgroup limits, ulimit -v and -d, vm.overcommit_memory" },
	  "mapfail",
	  "Allocation failure: MapFail (OS memory allocation failure)",
	  "allocations that the operating system had no memory for" },
	{ { "allocation-in-closed-epoch", "error", "high", "EpochClosedAllocations", DOCTOR_CLOSED },
	  "epoch_closed",
	  "Application bug: allocations in an epoch that was CLOSING",
	  "allocations in an epoch that was closing or over (they got NULL)" },
	{ { "bad-argument", "error", "high", "AllocFailures",
	    "a size or an alignment was computed wrongly" },
	  "invalid",
	  "Allocation failure: bad argument",
	  "allocations with an alignment or a size that makes no sense" },
};

/* The newest failure of a cause; NULL if it is not kept any more. */
static const json_t *last_failure(const json_t *failures, const char *reason)
{
	const json_t *event;
	size_t i;

	json_array_foreach(json_object_get(failures, "recent"), i, event)
		if (!strcmp(get_text(event, "reason"), reason))
			return event;
	return NULL;
}

static void check_failures(struct checkup *c)
{
	const json_t *failures = json_object_get(c->document, "alloc_failures");

	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		const json_t *event = last_failure(failures, causes[i].reason);
		uint64_t count = get_u64(failures, causes[i].reason);
		char last[2 * CLEAN_BYTES] = "which is not kept any more";

		if (!count)
			continue;
		if (event)
			describe_failure(event, last, sizeof(last));
		doctor_add(c, &causes[i].kind, "", causes[i].diagnosis,
			   "%llu %s; the last: %s (tslab trace failures has the last 256)",
			   (unsigned long long)count, causes[i].what, last);
	}
}

/* ------------------------------------------------------------------------------------------ others -- */

static void check_ring(struct checkup *c)
{
	static const struct kind kind = {
		"closing-backlog", "warning", "medium", "ClosingBacklog",
		"see what the epochs hold with tslab top --epochs --by live_objects"
	};
	uint64_t closing = get_u64(c->document, "closing_epoch_count");

	if (closing > 10)
		doctor_add(c, &kind, "", "Closed epochs pile up",
			   "%llu of 16 entries of the default heap's ring drain",
			   (unsigned long long)closing);
}

/*
 * A ring that is advanced again and again, and then no more: ten times longer than usual, and longer than
 * the threshold. Whoever advances it has stopped, and what it frees by that stays.
 */
static void check_advance(struct checkup *c)
{
	static const struct kind kind = {
		"ring-stalled", "warning", "low", "RingStalled",
		"see whether the thread that calls tslab_epoch_advance still runs"
	};
	uint64_t advances = get_u64(c->document, "total_epoch_advances");
	double ran_s =
		(get_number(c->document, "timestamp_ns") - get_number(c->document, "start_time_ns")) /
		1e9;
	const json_t *epoch;
	size_t i;

	json_array_foreach(json_object_get(c->document, "epochs"), i, epoch) {
		uint64_t age_s = get_u64(epoch, "age_sec");
		double before_s = ran_s - (double)age_s;

		if (get_u64(epoch, "epoch_id") != get_u64(c->document, "current_epoch") ||
		    get_u64(epoch, "heap_id") || advances < 100 || !age_s ||
		    age_s < c->threshold_s || (double)age_s * (double)advances < 10 * before_s)
			continue;
		doctor_add(c, &kind, "", "The epoch ring stands still",
			   "entry %llu of the default heap's ring is current for %llu s; before, the ring was "
			   "advanced %llu times in %.1f s",
			   (unsigned long long)get_u64(epoch, "epoch_id"),
			   (unsigned long long)age_s, (unsigned long long)advances, before_s);
	}
}

static void check_segment(struct checkup *c)
{
	static const struct kind kind = {
		"inconsistent-figures", "info", "medium", "SnapshotStale",
		"look again; if it stays, the program forked without libc's fork, or an older process left a "
		"part"
	};

	if (!json_is_true(json_object_get(c->document, "consistent")))
		doctor_add(c, &kind, "", "The figures are not of one moment",
			   "parts of the figures changed while they were read, or are missing");
}

/* Could worst_class() choose it? */
static bool may_be_worst(const struct ts_class_view *cls, const struct ts_snapshot *s)
{
	uint64_t hits = ts_class_slow_hits(cls->counts), misses = cls->counts->chunk_misses;
	bool most_hits = hits > 0, most_misses = misses > 0;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++) {
		most_hits = most_hits && ts_class_slow_hits(s->classes[i].counts) <= hits;
		most_misses = most_misses && s->classes[i].counts->chunk_misses <= misses;
	}
	return most_hits || most_misses;
}

bool may_be_trouble(enum ts_field_group group, const struct ts_subject *row)
{
	const struct ts_epoch_view *epoch = row->epoch;

	if (group == TS_GROUP_CLASS)
		return may_be_worst(row->cls, row->snapshot);
	if (group == TS_GROUP_CLOSE)
		return row->close->rss_before > 0;
	if (group != TS_GROUP_EPOCH)
		return true;
	return epoch->domain_count || epoch->references || epoch->state != 1 ||
	       (epoch->ring_current && epoch->ring_index == row->snapshot->current_epoch + 1);
}

/* A build that does not fit its machine works, at a price. */
static void check_machine(struct checkup *c)
{
	static const struct kind atomics = {
		"lse-unused", "warning", "high", "BuildMisfit",
		"build with -moutline-atomics, which is GCC's default, or with -march=armv8.1-a"
	};
	static const struct kind pages = {
		"pages-above-chunks", "warning", "high", "BuildMisfit",
		"a kernel with pages of at most 64 KiB, if memory has to go back"
	};
	uint64_t page_bytes = get_u64(c->document, "page_size");

	if (strstr(get_text(c->document, "features"), "lse_unused"))
		doctor_add(c, &atomics, "", "The build does not use this CPU's atomic instructions",
			   "the CPU has LSE, the library was built for LL/SC alone: each atomic operation is a loop, "
			   "which many cores make slow");
	if (page_bytes > 65536)
		doctor_add(c, &pages, "", "A page is larger than what an epoch owns",
			   "pages of %llu bytes, chunks of 65536: a chunk alone cannot be given back",
			   (unsigned long long)page_bytes);
}

uint64_t doctor_threshold(const json_t *document, uint64_t asked_s)
{
	uint64_t told_s = get_u64(document, "doctor_threshold_sec");

	if (asked_s != DOCTOR_THRESHOLD_UNSET)
		return asked_s;
	return told_s ? told_s : DOCTOR_THRESHOLD_S;
}

json_t *find_trouble(const json_t *document, uint64_t threshold_s)
{
	struct checkup c = { document, doctor_threshold(document, threshold_s), json_array() };

	check_scopes(&c);
	check_draining(&c);
	check_counters(&c);
	check_failures(&c);
	doctor_check_costs(&c);
	check_ring(&c);
	check_advance(&c);
	check_segment(&c);
	check_machine(&c);
	return c.findings;
}

void print_finding(FILE *to, const json_t *finding)
{
	char diagnosis[1024], evidence[4 * CLEAN_BYTES];

	fprintf(to,
		"%s: %s: %s\n  evidence   %s\n  action     %s\n  confidence %s\n  runbook    %s\n",
		get_text(finding, "severity"), get_text(finding, "id"),
		clean(get_text(finding, "diagnosis"), diagnosis, sizeof(diagnosis)),
		clean(get_text(finding, "evidence"), evidence, sizeof(evidence)),
		get_text(finding, "action"), get_text(finding, "confidence"),
		get_text(finding, "runbook"));
}

void print_trouble(FILE *to, const json_t *findings)
{
	const json_t *finding;
	size_t i;

	json_array_foreach(findings, i, finding)
		print_finding(to, finding);
	if (!i)
		fputs("nothing found\n", to);
}
