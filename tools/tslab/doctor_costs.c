/* SPDX-License-Identifier: MIT */
/* doctor_costs.c: what the figures say of the cost of allocating, and of giving memory back. */
#include <errno.h>
#include <string.h>

#include "doctor.h"

static bool is_found(const struct checkup *c, const char *id)
{
	const json_t *finding;
	size_t i;

	json_array_foreach(c->findings, i, finding)
		if (!strcmp(get_text(finding, "id"), id))
			return true;
	return false;
}

/* ----------------------------------------------------------------------------------------- sampled -- */

/* Time of sampled allocations: work of the allocator, or of the scheduler. */
static void check_samples(struct checkup *c)
{
	static const struct kind interference = {
		"scheduler-interference", "warning", "medium", "SchedulerInterference",
		"latencies measured here are the machine's, not the allocator's: fewer runnable threads than "
		"CPUs, or bare metal, before judging"
	};
	static const struct kind slow = {
		"slow-allocation", "warning", "medium", "SlowPathRateHigh",
		"real work of the allocator: see new chunks, madvise and lock waits in tslab stats --json; a "
		"larger retain_bytes keeps memory at hand"
	};
	const json_t *s = json_object_get(c->document, "sampling");
	double ratio = get_number(s, "wall_cpu_ratio");
	uint64_t longest = get_u64(s, "alloc_wall_ns_max"), worked = get_u64(s, "alloc_cpu_ns_max");

	if (get_u64(s, "alloc_samples") < 10)
		return;
	if (ratio > 2)
		doctor_add(c, &interference, "", "wall >> cpu: Scheduler interference",
			   "sampled allocations took %.0f ns of wall and %.0f ns of CPU time, %.2fx: the rest was "
			   "waiting; the longest took %llu ns, none worked more than %llu ns",
			   get_number(s, "avg_wall_ns"), get_number(s, "avg_cpu_ns"), ratio,
			   (unsigned long long)longest, (unsigned long long)worked);
	else if (worked > 1000000)
		doctor_add(c, &slow, "", "wall ~ cpu: real allocator work",
			   "the longest sampled allocation worked %llu ns",
			   (unsigned long long)worked);
}

/* -------------------------------------------------------------------------------------- slow paths -- */

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
	static const char *const severities[] = { "warning", "error" };
	struct kind undersized = { "cache-undersized", NULL, "high", "SlowPathRateHigh",
				   DOCTOR_UNDERSIZED };
	struct kind rate = { "slow-path-rate", NULL, "medium", "SlowPathRateHigh", DOCTOR_SLOW_PATH };
	uint64_t all = get_u64(c->document, "total_allocations");
	uint64_t slow = get_u64(c->document, "total_slow_path_hits");
	uint64_t misses = get_u64(c->document, "total_slow_cache_miss");
	bool lacks_chunks = misses * 2 > slow;
	const json_t *worst =
		worst_class(c, lacks_chunks ? "slow_path_cache_miss" : "slow_path_hits");
	char head[128];

	/* A sampler makes every allocation take that way. */
	if (all < 10000 || slow * 20 <= all || !worst ||
	    sum_path(c->document, "sampling.sample_interval") > 0)
		return;
	undersized.severity = rate.severity = severities[slow * 5 > all];
	if (lacks_chunks)
		snprintf(head, sizeof(head), "Class %llu cache undersized (%.0f%% miss rate)",
			 (unsigned long long)get_u64(worst, "class_index"),
			 percent(get_u64(worst, "slow_path_cache_miss"),
				 get_u64(worst, "slow_path_hits")));
	else
		snprintf(head, sizeof(head), "%.1f%% of the allocations take the slow path",
			 percent(slow, all));
	doctor_add(c, lacks_chunks ? &undersized : &rate, "", head,
		   "%.1f %% of %llu allocations took the slow path; %.1f %% of these needed a new chunk; the most, "
		   "%.1f %%, in class %llu (%llu bytes)",
		   percent(slow, all), (unsigned long long)all, percent(misses, slow),
		   percent(get_u64(worst, "slow_path_hits"), slow),
		   (unsigned long long)get_u64(worst, "class_index"),
		   (unsigned long long)get_u64(worst, "object_size"));
}

/* ------------------------------------------------------------------------------------- reclamation -- */

/* What closing epochs looked at, found empty, and took. */
static void check_closes(struct checkup *c)
{
	static const struct kind yield = {
		"low-reclamation-yield", "warning", "medium", "LowReclamationYield",
		"epochs are closed while much of them is in use: close later, give what lives longer an epoch "
		"of its own, or end them with tslab_epoch_discard()"
	};
	static const struct kind slow = { "slow-closes", "warning", "medium", "EpochCloseSlow",
					  "smaller epochs, or closing them where nobody waits" };
	uint64_t passes = (uint64_t)sum_path(c->document, "classes.epoch_close_calls");
	uint64_t scanned = (uint64_t)sum_path(c->document, "classes.epoch_close_scanned_slabs");
	uint64_t recycled = (uint64_t)sum_path(c->document, "classes.epoch_close_recycled_slabs");
	uint64_t ns = (uint64_t)sum_path(c->document, "classes.epoch_close_total_ns");

	if (scanned >= 1000 && recycled * 10 < scanned * 3)
		doctor_add(c, &yield, "", "Closing epochs give little back",
			   "closing epochs gave up %llu of %llu slabs, %.1f %%",
			   (unsigned long long)recycled, (unsigned long long)scanned,
			   percent(recycled, scanned));
	if (passes && ns / passes > 10000000)
		doctor_add(c, &slow, "", "Closing an epoch takes long",
			   "a closing epoch worked %.1f ms for a size class, madvise not counted",
			   (double)ns / (double)passes / 1e6);
}

/*
 * Empty slabs that threads could not keep, by those that they could. Giving memory back is what the end of
 * an epoch is for, so only a process that does little else is told.
 */
static void check_overflow(struct checkup *c)
{
	static const struct kind kind = {
		"retain-too-small", "info", "low", "CacheOverflowHigh",
		"a larger retain_bytes of the heap saves the way to the pool and back"
	};
	uint64_t over = get_u64(c->document, "total_cache_overflows");
	uint64_t kept = get_u64(c->document, "total_slabs_recycled");

	/* An undersized cache is told as that. */
	if (is_found(c, "cache-undersized"))
		return;
	if (over >= 1000 && over > 16 * kept &&
	    get_u64(c->document, "total_slow_cache_miss") * 8 > over)
		doctor_add(c, &kind, "", "Memory goes to the pool and back",
			   "%llu slabs that became empty were kept by threads, %llu went back, and new ones were "
			   "taken all the time",
			   (unsigned long long)kept, (unsigned long long)over);
}

/* The kernel's reason, in words. */
static void check_madvise(struct checkup *c)
{
	static const struct kind locked = { "madvise-failed", "warning", "high", "MadviseFailures",
					    "locked memory (mlock, mlockall) cannot be returned" };
	static const struct kind refused = {
		"madvise-failed", "warning", "high", "MadviseFailures",
		"a seccomp profile or a limit is in the way; see docs/syscalls.md"
	};
	uint64_t failures = get_u64(c->document, "total_madvise_failures");
	int error = (int)get_u64(c->document, "madvise_last_errno");

	if (failures)
		doctor_add(c, error == EINVAL ? &locked : &refused, "",
			   "The kernel refuses to take memory back",
			   "%llu returns of memory that the operating system refused; the last: errno %d (%s)",
			   (unsigned long long)failures, error, strerror(error));
}

/*
 * What the resident set fell by around closes that looked at it, by what they gave back. A heuristic: other
 * threads and other allocators change it too.
 */
static void check_cooperation(struct checkup *c)
{
	static const struct kind kind = {
		"kernel-not-cooperating", "info", "low", "KernelNotCooperating",
		"Check vm.swappiness, transparent huge pages; look whether something else grew meanwhile"
	};
	uint64_t given = 0, before = 0, after = 0;
	const json_t *close;
	char gone[HUMAN_BYTES], fell[HUMAN_BYTES];
	size_t i;

	json_array_foreach(json_object_get(c->document, "closes"), i, close) {
		if (!get_u64(close, "rss_before"))
			continue;
		given += get_u64(close, "madvise_bytes");
		before += get_u64(close, "rss_before");
		after += get_u64(close, "rss_after");
	}
	if (get_u64(c->document, "total_madvise_failures") || given < 16 << 20 ||
	    ts_minus(before, after) * 2 >= given)
		return;
	doctor_add(c, &kind, "", "Allocator is madvising correctly, kernel is retaining pages",
		   "closes passed %s to madvise, none of which failed, and the resident set fell by %s",
		   human_bytes(given, gone), human_bytes(ts_minus(before, after), fell));
}

static void check_contention(struct checkup *c)
{
	static const struct kind kind = {
		"lock-contention", "warning", "medium", "HighLockContention",
		"a larger retain_bytes of the heap keeps threads away from the shared pool"
	};
	uint64_t all = get_u64(c->document, "total_lock_acquisitions");
	uint64_t contended = get_u64(c->document, "total_lock_contended");

	if (all >= 10000 && contended * 5 > all)
		doctor_add(c, &kind, "", "Threads wait for the shared pool",
			   "%llu of %llu lock acquisitions had to wait",
			   (unsigned long long)contended, (unsigned long long)all);
}

void doctor_check_costs(struct checkup *c)
{
	check_madvise(c);
	check_cooperation(c);
	check_slow_paths(c);
	check_closes(c);
	check_overflow(c);
	check_samples(c);
	check_contention(c);
}
