/* SPDX-License-Identifier: MIT */
/* doctor.c: what is wrong in a snapshot. Findings only; how they are shown is the commands' business. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "tool.h"

/* What to do about allocations off the fast path, by what they lacked. */
#define UNDERSIZED_ACTION                                                                          \
	"raise retain_bytes of the heap: what a thread gives back it soon takes again"
#define SLOW_PATH_ACTION                                                                           \
	"see which sizes are asked for; larger objects leave the fast path more often by nature"
#define CLOSED_ACTION "close an epoch after the last exit; allocate in the current one"

struct checkup {
	const json_t *document;
	uint64_t threshold_s;
	json_t *findings;
};

static void add(struct checkup *c, const char *id, const char *severity, const char *confidence,
		const char *action, const char *evidence, ...) __attribute__((format(printf, 6, 7)));

static void add(struct checkup *c, const char *id, const char *severity, const char *confidence,
		const char *action, const char *evidence, ...)
{
	char text[4 * CLEAN_BYTES];
	va_list arguments;

	va_start(arguments, evidence);
	vsnprintf(text, sizeof(text), evidence, arguments);
	va_end(arguments);
	json_array_append_new(c->findings, json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id,
						     "severity", severity, "confidence", confidence,
						     "evidence", text, "action", action));
}

/* ----------------------------------------------------------------------------------------- checks -- */

static void check_scopes(struct checkup *c)
{
	json_t *leaks = find_leaks(c->document, c->threshold_s);
	const json_t *leak, *domain;
	size_t i, k;

	json_array_foreach(leaks, i, leak) {
		char epoch[CLEAN_BYTES], missing[256], where[CLEAN_BYTES] = "";

		describe_epoch(leak, epoch, sizeof(epoch));
		describe_missing(leak, missing, sizeof(missing));
		/* The oldest place; `tslab leaks` has them all. */
		json_array_foreach(json_object_get(leak, "domains"), k, domain)
			if (!k)
				describe_domain(domain, where, sizeof(where));
		add(c, "open-scope", "error", "high",
		    "leave the scope on every path out of that function, also on errors; tslab leaks has all places",
		    "%s; %s %s", epoch, missing, where);
	}
	json_decref(leaks);
}

static void check_draining(struct checkup *c)
{
	const json_t *epoch;
	size_t i;

	json_array_foreach(json_object_get(c->document, "epochs"), i, epoch) {
		char text[CLEAN_BYTES];

		/* Open scopes are reported as such; here it is objects alone that keep it. */
		if (strcmp(get_text(epoch, "state"), "CLOSING") != 0 || get_u64(epoch, "refcount") ||
		    get_u64(epoch, "closing_sec") < c->threshold_s || !get_u64(epoch, "live_objects"))
			continue;
		describe_epoch(epoch, text, sizeof(text));
		add(c, "not-draining", "warning", "high",
		    "free these objects, or end the epoch with tslab_epoch_discard() instead of closing it",
		    "%s; it was closed %llu s ago", text,
		    (unsigned long long)get_u64(epoch, "closing_sec"));
	}
}

/* Counters that are 0 in a correct program. */
static const struct {
	const char *group[2]; /* objects that lead to the counter */
	const char *name;
	const char *id, *severity, *confidence;
	const char *what;
	const char *action;
} counters[] = {
	{ { "safety", "invalid_free" },
	  "double",
	  "double-free",
	  "error",
	  "high",
	  "frees of objects that were freed already (refused)",
	  "look for the first line of libtslab on the program's stderr: it names heap, epoch and label; "
	  "TSLAB_ON_ERROR=abort stops at the place" },
	{ { "safety", "invalid_free" },
	  "wild",
	  "wild-free",
	  "error",
	  "high",
	  "frees of addresses where no object starts (refused)",
	  "free the pointer that the allocation returned; TSLAB_ON_ERROR=abort stops at the place" },
	{ { "safety", "invalid_free" },
	  "foreign",
	  "foreign-free",
	  "error",
	  "high",
	  "frees of memory that is not libtslab's (refused)",
	  "free it with the allocator that it came from; TSLAB_ON_ERROR=abort stops at the place" },
	{ { "safety", "invalid_free" },
	  "stale",
	  "stale-handle",
	  "warning",
	  "medium",
	  "uses of handles whose object is gone (refused)",
	  "expected if the program uses handles to find out; else something keeps handles too long" },
	{ { "safety", NULL },
	  "wrong_handle",
	  "wrong-handle",
	  "error",
	  "high",
	  "handles used with another heap than theirs, or that are no handles",
	  "pass the heap that the handle's epoch belongs to" },
	{ { "safety", NULL },
	  "refused_exits",
	  "exit-without-enter",
	  "error",
	  "high",
	  "domain exits without an enter on that thread",
	  "pair enter and exit on the same thread, one exit for each enter that succeeded" },
	{ { "safety", NULL },
	  "exits_out_of_order",
	  "exit-out-of-order",
	  "error",
	  "high",
	  "domain exits that skipped scopes inside",
	  "leave scopes in the reverse order of entering" },
	{ { "safety", NULL },
	  "references_saturated",
	  "reference-count",
	  "warning",
	  "high",
	  "reference counts that would have gone below zero or above their top",
	  "pair the calls that add and take references" },
	{ { "alloc_failures", NULL },
	  "epoch_closed",
	  "allocation-in-closed-epoch",
	  "error",
	  "high",
	  "allocations in an epoch that was closing or over (they got NULL)",
	  CLOSED_ACTION },
	{ { "alloc_failures", NULL },
	  "exhaustion",
	  "limit-reached",
	  "warning",
	  "high",
	  "allocations refused by a limit, or because the reserved range is used up",
	  "raise the limit of heap or epoch, or TSLAB_RANGE; tslab top shows who holds the memory" },
	{ { "alloc_failures", NULL },
	  "mapfail",
	  "os-refused-memory",
	  "error",
	  "high",
	  "allocations that the operating system had no memory for",
	  "look at cgroup limits, ulimit -v and -d, vm.overcommit_memory" },
	{ { NULL, NULL },
	  "total_madvise_failures",
	  "madvise-failed",
	  "warning",
	  "high",
	  "returns of memory that the operating system refused",
	  "locked memory (mlockall) cannot be returned; look at madvise_last_errno" },
	{ { "label_registry", NULL },
	  "overflowed",
	  "labels-overflowed",
	  "info",
	  "high",
	  "labels beyond the registry of 16: metrics show them as unlabeled",
	  "name kinds of work in labels, not single items" },
};

static const json_t *follow(const json_t *object, const char *const *path, size_t steps)
{
	for (size_t i = 0; i < steps && path[i]; i++)
		object = json_object_get(object, path[i]);
	return object;
}

static void check_counters(struct checkup *c)
{
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		const json_t *object = follow(c->document, counters[i].group, 2);
		uint64_t count = get_u64(object, counters[i].name);

		if (count)
			add(c, counters[i].id, counters[i].severity, counters[i].confidence,
			    counters[i].action, "%llu %s", (unsigned long long)count,
			    counters[i].what);
	}
}

/* The newest failure that the program met, by name. */
static void check_failures(struct checkup *c)
{
	const json_t *recent =
		json_object_get(json_object_get(c->document, "alloc_failures"), "recent");
	const json_t *event = json_array_get(recent, 0);
	char text[2 * CLEAN_BYTES];

	if (!event)
		return;
	describe_failure(event, text, sizeof(text));
	add(c, "allocation-failed", "info", "high",
	    "the finding of the same cause says what to do; tslab trace failures shows the last 256",
	    "the last that failed: %s", text);
}

/* Time of sampled allocations: work of the allocator, or of the scheduler. */
static void check_samples(struct checkup *c)
{
	const json_t *s = json_object_get(c->document, "sampling");
	double ratio = get_number(s, "wall_cpu_ratio");

	if (get_u64(s, "alloc_samples") < 10)
		return;
	if (ratio > 2)
		add(c, "scheduler-interference", "warning", "medium",
		    "latencies measured here are the machine's, not the allocator's: fewer runnable threads "
		    "than CPUs, or bare metal, before judging",
		    "sampled allocations took %.0f ns of wall and %.0f ns of CPU time, %.2fx: the rest was "
		    "waiting; the longest waited %llu ns",
		    get_number(s, "avg_wall_ns"), get_number(s, "avg_cpu_ns"), ratio,
		    (unsigned long long)get_u64(s, "alloc_wait_ns_max"));
	else if (get_u64(s, "alloc_cpu_ns_max") > 1000000)
		add(c, "slow-allocation", "warning", "medium",
		    "real work of the allocator: see new chunks, madvise and lock waits in tslab stats --json; "
		    "a larger retain_bytes keeps memory at hand",
		    "the longest sampled allocation worked %llu ns",
		    (unsigned long long)get_u64(s, "alloc_cpu_ns_max"));
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* The class that a figure is largest of; NULL if there is none. A borrowed reference. */
static const json_t *worst_class(const struct checkup *c, const char *figure)
{
	const json_t *row, *worst = NULL;
	size_t i;

	json_array_foreach(json_object_get(c->document, "classes"), i, row)
		if (get_u64(row, figure) > get_u64(worst, figure))
			worst = row;
	return worst;
}

/* One allocation in a hundred is usual; one in five means that memory is never at hand. */
static void check_slow_paths(struct checkup *c)
{
	uint64_t all = get_u64(c->document, "total_allocations");
	uint64_t slow = get_u64(c->document, "total_slow_path_hits");
	uint64_t misses = get_u64(c->document, "total_slow_cache_miss");
	const json_t *worst = worst_class(c, "slow_path_hits");

	if (all < 10000 || slow * 20 <= all || !worst)
		return;
	add(c, "slow-path-rate", slow * 5 > all ? "error" : "warning", "medium",
	    misses * 2 > slow ? UNDERSIZED_ACTION : SLOW_PATH_ACTION,
	    "%.1f %% of %llu allocations took the slow path; %.1f %% of these needed a new chunk; the most, "
	    "%.1f %%, in class %llu (%llu bytes)",
	    percent(slow, all), (unsigned long long)all, percent(misses, slow),
	    percent(get_u64(worst, "slow_path_hits"), slow),
	    (unsigned long long)get_u64(worst, "class_index"),
	    (unsigned long long)get_u64(worst, "object_size"));
}

static uint64_t sum_classes(const struct checkup *c, const char *figure)
{
	const json_t *row;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(json_object_get(c->document, "classes"), i, row)
		sum += get_u64(row, figure);
	return sum;
}

/* What closing epochs looked at, found empty, and took. */
static void check_closes(struct checkup *c)
{
	uint64_t passes = sum_classes(c, "epoch_close_calls");
	uint64_t scanned = sum_classes(c, "epoch_close_scanned_slabs");
	uint64_t recycled = sum_classes(c, "epoch_close_recycled_slabs");
	uint64_t ns = sum_classes(c, "epoch_close_total_ns");

	if (scanned >= 1000 && recycled * 10 < scanned * 3)
		add(c, "low-reclamation-yield", "warning", "medium",
		    "epochs are closed while much of them is in use: close later, give what lives longer an "
		    "epoch of its own, or end them with tslab_epoch_discard()",
		    "closing epochs gave up %llu of %llu slabs, %.1f %%",
		    (unsigned long long)recycled, (unsigned long long)scanned,
		    percent(recycled, scanned));
	if (passes && ns / passes > 10000000)
		add(c, "slow-closes", "warning", "medium",
		    "smaller epochs, or closing them where nobody waits",
		    "a closing epoch worked %.1f ms for a size class, madvise not counted",
		    (double)ns / (double)passes / 1e6);
}

/*
 * Empty slabs that threads could not keep, by those that they could. Giving memory back is what the end of
 * an epoch is for, so only a process that does little else is told.
 */
static void check_overflow(struct checkup *c)
{
	uint64_t over = get_u64(c->document, "total_cache_overflows");
	uint64_t kept = get_u64(c->document, "total_slabs_recycled");

	if (over >= 1000 && over > 16 * kept &&
	    get_u64(c->document, "total_slow_cache_miss") * 8 > over)
		add(c, "retain-too-small", "info", "low",
		    "a larger retain_bytes of the heap saves the way to the pool and back",
		    "%llu slabs that became empty were kept by threads, %llu went back, and new ones were "
		    "taken all the time",
		    (unsigned long long)kept, (unsigned long long)over);
}

/* The kernel's reason, in words. */
static void check_madvise(struct checkup *c)
{
	int error = (int)get_u64(c->document, "madvise_last_errno");

	if (get_u64(c->document, "total_madvise_failures"))
		add(c, "madvise-errno", "warning", "high",
		    error == EINVAL ?
			    "locked memory (mlockall) cannot be returned" :
			    "a seccomp profile or a limit is in the way; see docs/syscalls.md",
		    "the last madvise that failed: errno %d (%s)", error, strerror(error));
}

static void check_contention(struct checkup *c)
{
	uint64_t all = get_u64(c->document, "total_lock_acquisitions");
	uint64_t contended = get_u64(c->document, "total_lock_contended");

	if (all >= 10000 && contended * 5 > all)
		add(c, "lock-contention", "warning", "medium",
		    "a larger retain_bytes of the heap keeps threads away from the shared pool",
		    "%llu of %llu lock acquisitions had to wait", (unsigned long long)contended,
		    (unsigned long long)all);
}

static void check_ring(struct checkup *c)
{
	uint64_t closing = get_u64(c->document, "closing_epoch_count");

	if (closing > 10)
		add(c, "closing-backlog", "warning", "medium",
		    "see what the epochs hold with tslab top --epochs --by live_objects",
		    "%llu of 16 entries of the default heap's ring drain",
		    (unsigned long long)closing);
}

static void check_segment(struct checkup *c)
{
	if (!json_is_true(json_object_get(c->document, "consistent")))
		add(c, "inconsistent-figures", "info", "medium",
		    "look again; if it stays, the program forked without libc's fork, or an older process left a part",
		    "parts of the figures changed while they were read, or are missing");
}

json_t *find_trouble(const json_t *document, uint64_t threshold_s)
{
	struct checkup c = { document, threshold_s, json_array() };

	check_scopes(&c);
	check_draining(&c);
	check_counters(&c);
	check_failures(&c);
	check_madvise(&c);
	check_slow_paths(&c);
	check_closes(&c);
	check_overflow(&c);
	check_samples(&c);
	check_contention(&c);
	check_ring(&c);
	check_segment(&c);
	return c.findings;
}

/* ------------------------------------------------------------------------------------- diagnostics -- */

/* Why the allocations of a class left the fast path. */
static json_t *slow_path_of(const json_t *row)
{
	uint64_t hits = get_u64(row, "slow_path_hits"),
		 closed = get_u64(row, "slow_path_epoch_closed");
	uint64_t misses = get_u64(row, "slow_path_cache_miss");

	return json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s}", "class_index",
			 (json_int_t)get_u64(row, "class_index"), "object_size",
			 (json_int_t)get_u64(row, "object_size"), "slow_path_hits",
			 (json_int_t)hits, "cache_miss_pct", percent(misses, hits + closed),
			 "epoch_closed_pct", percent(closed, hits + closed), "partial_null_pct",
			 percent(get_u64(row, "current_partial_null"), hits), "partial_full_pct",
			 percent(get_u64(row, "current_partial_full"), hits), "recommendation",
			 closed > misses   ? CLOSED_ACTION :
			 misses * 2 > hits ? UNDERSIZED_ACTION :
					     SLOW_PATH_ACTION);
}

/* What the closes and returns of a class came to. */
static json_t *reclamation_of(const json_t *row)
{
	uint64_t scanned = get_u64(row, "epoch_close_scanned_slabs");
	uint64_t recycled = get_u64(row, "epoch_close_recycled_slabs");

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "class_index",
			 (json_int_t)get_u64(row, "class_index"), "madvise_calls",
			 (json_int_t)get_u64(row, "madvise_calls"), "madvise_bytes",
			 (json_int_t)get_u64(row, "madvise_bytes"), "madvise_failures",
			 (json_int_t)get_u64(row, "madvise_failures"), "scanned_slabs",
			 (json_int_t)scanned, "recycled_slabs", (json_int_t)recycled, "cache_size",
			 (json_int_t)get_u64(row, "cache_size"), "yield_pct",
			 percent(recycled, scanned));
}

void add_diagnostics(json_t *document)
{
	json_t *slow = json_array(), *reclamation = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(document, "classes"), i, row) {
		if (get_u64(row, "slow_path_hits") + get_u64(row, "slow_path_epoch_closed"))
			json_array_append_new(slow, slow_path_of(row));
		if (get_u64(row, "madvise_calls") + get_u64(row, "epoch_close_scanned_slabs"))
			json_array_append_new(reclamation, reclamation_of(row));
	}
	json_object_set_new(document, "diagnostics",
			    json_pack("{s:o, s:o, s:o, s:o}", "leaks",
				      find_leaks(document, DOCTOR_THRESHOLD_S), "slow_path", slow,
				      "reclamation", reclamation, "findings",
				      find_trouble(document, DOCTOR_THRESHOLD_S)));
}

void print_trouble(FILE *to, const json_t *findings)
{
	const json_t *finding;
	size_t i;

	json_array_foreach(findings, i, finding) {
		char evidence[4 * CLEAN_BYTES];

		fprintf(to, "%s: %s\n  evidence   %s\n  action     %s\n  confidence %s\n",
			get_text(finding, "severity"), get_text(finding, "id"),
			clean(get_text(finding, "evidence"), evidence, sizeof(evidence)),
			get_text(finding, "action"), get_text(finding, "confidence"));
	}
	if (!i)
		fputs("nothing found\n", to);
}
