/* SPDX-License-Identifier: MIT */
/*
 * verify --parity: snapshots of one recorded workload on several machines, side by side. All figures must
 * be the same but those that are of the machine, the moment or the process: these are listed here.
 */
#include <stdlib.h>
#include <string.h>

#include "obs/fields.h"
#include "tool.h"

enum { SNAPSHOTS_MAX = 8, CELL_BYTES = 64, PATH_BYTES = 160 };

/* What may differ, and whose it is. A path that ends with a dot stands for all below it. */
static const struct {
	const char *path, *whose;
} own[] = {
	{ "timestamp_ns", "time" },
	{ "timestamp", "time" },
	{ "monotonic_ns", "time" },
	{ "start_time_ns", "time" },
	{ "last_epoch_close.timestamp_ns", "time" },
	{ "last_epoch_close.duration_ns", "time" },
	{ "closes[].timestamp_ns", "time" },
	{ "closes[].age_ns", "time" },
	{ "closes[].duration_ns", "time" },
	{ "closes[].madvise_ns", "time" },
	{ "alloc_failures.recent[].timestamp_ns", "time" },
	{ "classes[].epoch_close_total_ns", "time" },
	{ "epochs[].age_sec", "time" },
	{ "epochs[].age_ns", "time" },
	{ "epochs[].closing_sec", "time" },
	{ "epochs[].open_since_ns", "time" },
	{ "hist.", "time" },
	{ "arch", "machine" },
	{ "features", "machine" },
	{ "page_size", "machine" },
	{ "cache_line_size", "machine" },
	{ "cycle_counter_hz", "machine" },
	{ "cycle_counter_step", "machine" },
	{ "boot_id", "machine" },
	{ "range_bytes", "machine" },
	{ "build_id", "build" },
	{ "alloc_failures.recent[].site", "build" },
	{ "alloc_failures.recent[].function", "build" },
	{ "alloc_failures.recent[].file", "build" },
	{ "alloc_failures.recent[].line", "build" },
	{ "pid", "process" },
	{ "ns_pid", "process" },
	{ "comm", "process" },
	{ "container", "process" },
	{ "rss_bytes_current", "process" },
	{ "anon_rss_bytes", "process" },
	{ "heap_resident_bytes", "process" },
	{ "epochs[].resident_bytes", "process" },
	{ "alloc_failures.recent[].tid", "process" },
	{ "threads[].tid", "process" },
	/* Contended or not is the scheduler's matter; the sum is the same. */
	{ "total_lock_fast_acquire", "scheduler" },
	{ "total_lock_contended", "scheduler" },
	{ "classes[].lock_fast_acquire", "scheduler" },
	{ "classes[].lock_contended", "scheduler" },
	{ "classes[].lock_contention_rate", "scheduler" },
};

/* Whose the field is; NULL: it must be the same. */
static const char *whose(const char *path)
{
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		size_t length = strlen(own[i].path);

		if (!strcmp(path, own[i].path) ||
		    (own[i].path[length - 1] == '.' && !strncmp(path, own[i].path, length)))
			return own[i].whose;
	}
	return NULL;
}

/* The member that the path names first; *path is moved behind its name. */
static const json_t *step(const json_t *object, const char **path)
{
	size_t length = strcspn(*path, ".[");
	char name[PATH_BYTES];

	snprintf(name, sizeof(name), "%.*s", (int)length, *path);
	*path += length;
	return json_object_get(object, name);
}

/* Is what the path names the same in both, row by row? */
static bool same(const json_t *a, const json_t *b, const char *path)
{
	const char *rest = path;

	a = step(a, &path);
	b = step(b, &rest);
	if (!a || !b)
		return a == b;
	if (!*path)
		return json_equal(a, b);
	if (*path == '.')
		return same(a, b, path + 1);
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!same(json_array_get(a, i), json_array_get(b, i), path + strlen("[].")))
			return false;
	return true;
}

/* How many values the path names, their sum, and the last one. */
struct seen {
	size_t count;
	double sum;
	const json_t *last;
};

static void see(const json_t *value, const char *path, struct seen *seen)
{
	const json_t *row;
	size_t i;

	value = step(value, &path);
	if (*path == '.') {
		see(value, path + 1, seen);
	} else if (*path) {
		json_array_foreach(value, i, row)
			see(row, path + strlen("[]."), seen);
	} else if (value) {
		seen->count++;
		seen->sum += json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
		seen->last = value;
	}
}

/* A value, or of several rows their sum. */
static const char *cell(const json_t *document, const char *path, char *buffer)
{
	struct seen seen = { 0 };
	char cleaned[CLEAN_BYTES];

	see(document, path, &seen);
	if (!seen.count)
		snprintf(buffer, CELL_BYTES, "-");
	else if (json_is_string(seen.last) && strstr(path, "[]"))
		snprintf(buffer, CELL_BYTES, "%zu texts", seen.count);
	else if (json_is_string(seen.last))
		snprintf(buffer, CELL_BYTES, "%.40s",
			 clean(json_string_value(seen.last), cleaned, sizeof(cleaned)));
	else if (json_is_null(seen.last) && seen.count == 1)
		snprintf(buffer, CELL_BYTES, "null");
	else
		snprintf(buffer, CELL_BYTES, json_is_real(seen.last) ? "%.6g" : "%.0f", seen.sum);
	return buffer;
}

static void print_head(json_t *const *documents, size_t count)
{
	printf("| field |");
	for (size_t i = 0; i < count; i++)
		printf(" %s, pages of %llu KiB |", get_text(documents[i], "arch"),
		       (unsigned long long)get_u64(documents[i], "page_size") / 1024);
	printf(" |\n|---|");
	for (size_t i = 0; i <= count; i++)
		printf("---|");
	putchar('\n');
}

/* Prints a field's line, or adds it to the findings if it should be the same and is not. */
static bool compare_field(const char *path, json_t *const *documents, size_t count, json_t *findings)
{
	const char *owner = whose(path);
	char text[CELL_BYTES], line[PATH_BYTES + SNAPSHOTS_MAX * CELL_BYTES];
	size_t used = 0;
	bool agree = true;

	for (size_t i = 0; i < count; i++) {
		agree = agree && same(documents[0], documents[i], path);
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s", i ? " | " : "",
					 cell(documents[i], path, text));
	}
	if (!findings)
		printf("| %s | %s | %s |\n", path, line, agree ? "" : owner ? owner : "DIFFERS");
	else if (!agree && !owner)
		json_array_append_new(findings,
				      json_pack("{s:s, s:s}", "id", path, "evidence", line));
	return agree || owner;
}

static bool compare(json_t *const *documents, size_t count, json_t *findings)
{
	bool agree = true;

	if (!findings)
		print_head(documents, count);
	for (size_t i = 0; i < ts_field_count; i++) {
		char path[PATH_BYTES], group[PATH_BYTES - 64];

		snprintf(path, sizeof(path), "%s%.60s",
			 ts_group_path(ts_fields[i].group, group, sizeof(group)), ts_fields[i].name);
		agree &= compare_field(path, documents, count, findings);
	}
	return agree;
}

int show_parity(int argc, char **argv, bool as_json)
{
	json_t *documents[SNAPSHOTS_MAX] = { NULL }, *findings = as_json ? json_array() : NULL;
	size_t count = 0;
	int code = EXIT_TROUBLE;

	if (argc < 2 || argc > SNAPSHOTS_MAX) {
		complain("--parity compares 2 to %d files", SNAPSHOTS_MAX);
		return complain_usage();
	}
	while (count < (size_t)argc) {
		struct source source = { .file = argv[count], .bare = true };

		documents[count] = source_load(&source);
		if (!documents[count++])
			goto out;
	}
	code = compare(documents, count, findings) ? EXIT_FINE : EXIT_FINDINGS;
	if (as_json)
		code = print_json(findings, code);
out:
	for (size_t i = 0; i < count; i++)
		json_decref(documents[i]);
	json_decref(findings);
	return code;
}
