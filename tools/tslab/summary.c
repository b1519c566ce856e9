/* SPDX-License-Identifier: MIT */
/* summary.c: a snapshot for people. */
#include <string.h>

#include "tool.h"

enum { EPOCHS_SHOWN = 10 };

static void print_bytes(FILE *to, const char *label, const json_t *object, const char *name,
			const char *remark)
{
	char text[HUMAN_BYTES];

	fprintf(to, "  %-22s %12s   %s\n", label, human_bytes(get_u64(object, name), text), remark);
}

static void print_count(FILE *to, const char *label, const json_t *object, const char *name,
			const char *remark)
{
	fprintf(to, "  %-22s %12llu   %s\n", label, (unsigned long long)get_u64(object, name),
		remark);
}

/* How AArch64 does atomic operations, which is its first feature; others have one way. */
static const char *atomics_of(const json_t *d)
{
	const char *features = get_text(d, "features");

	if (strcmp(get_text(d, "arch"), "aarch64") != 0)
		return "";
	return strcspn(features, " ") == 3 && !strncmp(features, "lse", 3) ? ", atomics by LSE" :
									     ", atomics by LL/SC";
}

void print_machine(FILE *to, const json_t *d)
{
	char page[HUMAN_BYTES], features[CLEAN_BYTES];
	double megahertz = get_number(d, "cycle_counter_hz") / 1e6;

	fprintf(to, "machine %s", get_text(d, "arch"));
	if (*get_text(d, "features"))
		fprintf(to, " (%s)", clean(get_text(d, "features"), features, sizeof(features)));
	fprintf(to, "%s, pages of %s", atomics_of(d), human_bytes(get_u64(d, "page_size"), page));
	if (get_u64(d, "cache_line_size"))
		fprintf(to, ", cache lines of %llu bytes",
			(unsigned long long)get_u64(d, "cache_line_size"));
	if (megahertz > 0)
		fprintf(to, ", cycle counter at %.6g MHz", megahertz);
	fputc('\n', to);
}

static void print_process(FILE *to, const json_t *d)
{
	char comm[64], age[HUMAN_BYTES];
	uint64_t started = get_u64(d, "start_time_ns"), now = get_u64(d, "timestamp_ns");

	fprintf(to, "process %llu (%s), %s, libtslab %s, using it for %s%s\n",
		(unsigned long long)get_u64(d, "pid"),
		clean(get_text(d, "comm"), comm, sizeof(comm)), get_text(d, "arch"),
		get_text(d, "lib_version"), human_seconds(ts_minus(now, started) / 1000000000u, age),
		json_is_true(json_object_get(d, "consistent")) ? "" : "; figures mix two moments");
	print_machine(to, d);
	fputs("\nmemory\n", to);
	print_bytes(to, "live", d, "live_bytes", "in objects of the program");
	print_bytes(to, "held", d, "committed_bytes", "by epochs, and retained");
	print_bytes(to, "retained", d, "retained_bytes", "empty, kept by threads for reuse");
	print_bytes(to, "resident", d, "rss_bytes_current", "whole process");
	fputs("\nwork\n", to);
	print_count(to, "allocations", d, "total_allocations", "");
	print_count(to, "frees", d, "total_frees", "those of discards included");
	print_count(to, "slow paths", d, "total_slow_path_hits", "allocations off the fast path");
	print_count(to, "new chunks", d, "total_slow_cache_miss", "of these, took 64 KiB more");
	print_count(to, "epochs opened", d, "total_epochs_opened", "");
	print_count(to, "epochs closed", d, "total_epoch_close_calls", "");
	print_count(to, "epochs discarded", d, "total_epoch_discards", "");
	print_count(to, "epochs open", d, "open_epochs", "");
	print_bytes(to, "given back to the OS", d, "total_madvise_bytes", "");
	print_count(to, "threads", d, "threads_registered", "");
}

/* Counters that should be 0, printed only where they are not. */
static void print_nonzero(FILE *to, const json_t *object, const char *title)
{
	bool any = false;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		char cleaned[64];

		if (!json_is_integer(value) || !json_integer_value(value))
			continue;
		if (!any)
			fprintf(to, "\n%s\n", title);
		any = true;
		fprintf(to, "  %-22s %12lld\n", clean(name, cleaned, sizeof(cleaned)),
			(long long)json_integer_value(value));
	}
}

static void print_classes(FILE *to, const json_t *classes)
{
	const json_t *row;
	size_t i;

	fprintf(to, "\nsize classes in use\n  %5s %8s %14s %14s %12s %10s %10s\n", "class",
		"object", "allocations", "frees", "live", "live", "slabs");
	json_array_foreach(classes, i, row) {
		char live[HUMAN_BYTES], slabs[HUMAN_BYTES];

		if (!get_u64(row, "allocations"))
			continue;
		fprintf(to, "  %5llu %8llu %14llu %14llu %12llu %10s %10s\n",
			(unsigned long long)get_u64(row, "class_index"),
			(unsigned long long)get_u64(row, "object_size"),
			(unsigned long long)get_u64(row, "allocations"),
			(unsigned long long)get_u64(row, "frees"),
			(unsigned long long)get_u64(row, "live_objects"),
			human_bytes(get_u64(row, "live_bytes"), live),
			human_bytes(get_u64(row, "committed_bytes"), slabs));
	}
}

static void print_epochs(FILE *to, const json_t *document, size_t shown)
{
	json_t *ranked = rank_rows(json_object_get(document, "epochs"), "estimated_rss_bytes", shown);
	size_t all = json_array_size(json_object_get(document, "epochs"));

	fprintf(to, "\nepochs open: %zu%s\n", all, all > shown ? ", the largest" : "");
	print_epoch_rows(to, ranked, NULL);
	json_decref(ranked);
}

void print_summary(FILE *to, const json_t *document, bool all_epochs)
{
	print_process(to, document);
	print_nonzero(to, json_object_get(document, "alloc_failures"), "allocations that failed");
	print_nonzero(to, json_object_get(json_object_get(document, "safety"), "invalid_free"),
		      "frees refused");
	print_nonzero(to, json_object_get(document, "safety"), "calls refused");
	print_classes(to, json_object_get(document, "classes"));
	print_epochs(to, document, all_epochs ? SIZE_MAX : EPOCHS_SHOWN);
	if (json_object_get(document, "diagnostics")) {
		fputs("\nfindings\n", to);
		print_trouble(to,
			      json_object_get(json_object_get(document, "diagnostics"), "findings"));
	}
}
