/* SPDX-License-Identifier: MIT */
/*
 * Do the figures agree with each other? Every relation here holds exactly while the process rests. While
 * it works, figures that are read one after the other belong to different moments, and are not compared.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "tool.h"

static struct {
	const char *schema;
	bool json, list, parity;
} set;

static const struct option_row options[] = {
	{ "json", OPTION_FLAG, &set.json, NULL, "an array of what does not agree" },
	{ "schema", OPTION_FILE, &set.schema, "FILE",
	  "against this JSON Schema too (one that tslab stats --schema wrote)" },
	{ "list", OPTION_FLAG, &set.list, NULL, "what is checked; needs no process" },
	{ "parity", OPTION_FLAG, &set.parity, NULL,
	  "compare snapshots of the same work on several machines: FILE FILE..." },
	{ .name = NULL },
};

enum { LOOKS = 20, PAUSE_MS = 20 };

/* One relation of two figures of an object; in rows, of each row. */
struct relation {
	const char *id;
	const char *rows; /* array of the document whose rows are looked at; NULL: the document */
	const char *left; /* "a + 2 * b.c - d", where b is an object, or an array to sum over */
	char is;          /* '=', '<' for at most, '%' for a multiple */
	const char *right;
	const char *only_if_zero; /* holds only while this figure is 0 */
};

static const struct relation relations[] = {
	{ "slow-paths-by-class", NULL, "classes.slow_path_hits", '=', "total_slow_path_hits", NULL },
	{ "misses-by-class", NULL, "classes.slow_path_cache_miss", '=', "total_slow_cache_miss",
	  NULL },
	{ "closed-by-class", NULL, "classes.slow_path_epoch_closed + large_slow_epoch_closed", '=',
	  "total_slow_epoch_closed", NULL },
	{ "madvise-calls-by-class", NULL, "classes.madvise_calls + large_madvise_calls", '=',
	  "total_madvise_calls", NULL },
	{ "madvise-bytes-by-class", NULL, "classes.madvise_bytes + large_madvise_bytes", '=',
	  "total_madvise_bytes", NULL },
	{ "madvise-failures-by-class", NULL, "classes.madvise_failures + large_madvise_failures",
	  '=', "total_madvise_failures", NULL },
	{ "slab-memory-by-class", NULL, "classes.estimated_rss_bytes", '=',
	  "estimated_slab_rss_bytes", NULL },
	{ "slabs-cut-by-class", NULL, "classes.new_slab_count", '=', "total_slabs_allocated", NULL },
	{ "slabs-recycled-by-class", NULL, "classes.empty_slab_recycled", '=',
	  "total_slabs_recycled", NULL },
	{ "slabs-overflowed-by-class", NULL, "classes.empty_slab_overflowed", '=',
	  "total_cache_overflows", NULL },
	{ "slabs-in-use-by-class", NULL, "classes.net_slabs", '=', "net_slabs", NULL },
	{ "allocations-by-class", NULL, "classes.allocations + large_allocations", '=',
	  "total_allocations", NULL },
	{ "frees-by-class", NULL, "classes.frees + large_frees", '=', "total_frees", NULL },
	{ "live-objects-by-class", NULL, "classes.live_objects + large_objects", '=',
	  "live_objects", NULL },
	{ "live-bytes-by-class", NULL, "classes.live_bytes + large_bytes", '=', "live_bytes", NULL },
	{ "live-objects-by-epoch", NULL, "epochs.live_objects", '=', "live_objects", NULL },
	{ "live-bytes-by-epoch", NULL, "epochs.live_bytes", '=', "live_bytes", NULL },
	{ "large-bytes-by-epoch", NULL, "epochs.large_bytes", '=', "large_bytes", NULL },
	{ "held-by-epoch", NULL, "epochs.estimated_rss_bytes + retained_bytes", '=',
	  "committed_bytes", NULL },
	{ "locks-by-class", NULL, "classes.lock_acquisitions", '<', "total_lock_acquisitions", NULL },
	{ "free-retries-by-class", NULL, "classes.bitmap_free_cas_retries", '<',
	  "total_bitmap_free_cas_retries", NULL },
	{ "live-objects", NULL, "live_objects + total_frees", '=', "total_allocations", NULL },
	{ "live-within-held", NULL, "live_bytes", '<', "committed_bytes", NULL },
	{ "allocation-attempts", NULL, "total_bitmap_alloc_attempts", '=', "total_allocations", NULL },
	{ "free-attempts", NULL, "total_bitmap_free_attempts", '=', "total_frees", NULL },
	{ "locks", NULL, "total_lock_fast_acquire + total_lock_contended", '=',
	  "total_lock_acquisitions", NULL },
	{ "ring", NULL, "active_epoch_count + closing_epoch_count", '=', "epoch_count", NULL },
	{ "epochs", NULL, "total_epochs_finished + open_epochs", '=', "total_epochs_opened",
	  "total_forks_recovered" },
	{ "chunks", NULL, "65536 * chunks_fresh + 65536 * chunks_reused - 65536 * chunks_returned",
	  '=', "committed_bytes - pool_bytes", "total_forks_recovered" },
	{ "threads", NULL, "threads.retained_bytes + pool_bytes", '=', "retained_bytes", NULL },
	{ "samples-by-thread", NULL, "threads.alloc_samples", '<', "sampling.alloc_samples", NULL },
	{ "resident-within-segments", NULL, "heap_resident_bytes + heap_swapped_bytes", '<',
	  "backend.superslab_bytes", NULL },
	{ "resident-by-epoch", NULL, "epochs.resident_bytes", '<', "heap_resident_bytes", NULL },
	{ "madvise-whole-pages", NULL, "total_madvise_bytes", '%', "page_size", NULL },
	{ "closed-allocations", NULL, "alloc_failures.epoch_closed", '=', "total_slow_epoch_closed",
	  NULL },
	{ "labels", NULL, "label_registry.count", '<', "label_registry.max_labels", NULL },
	{ "sampled-wait", NULL, "sampling.alloc_wall_ns_sum", '<',
	  "sampling.alloc_cpu_ns_sum + sampling.alloc_wait_ns_sum", NULL },
	{ "class-live-objects", "classes", "live_objects + frees", '=', "allocations", NULL },
	{ "class-slabs", "classes",
	  "net_slabs + cache_size + empty_slab_recycled + empty_slab_overflowed", '=',
	  "new_slab_count", NULL },
	{ "class-miss-without-slab", "classes", "slow_path_cache_miss", '<', "current_partial_null",
	  NULL },
	{ "class-slow-paths", "classes", "current_partial_null + current_partial_full", '=',
	  "slow_path_hits", NULL },
	{ "class-close-yield", "classes", "epoch_close_recycled_slabs", '<',
	  "epoch_close_scanned_slabs", NULL },
	{ "class-slab-states", "classes", "total_partial_slabs + total_full_slabs", '=',
	  "net_slabs", NULL },
	{ "class-live-within-slabs", "classes", "live_bytes", '<', "committed_bytes", NULL },
	{ "class-locks", "classes", "lock_fast_acquire + lock_contended", '=', "lock_acquisitions",
	  NULL },
	{ "epoch-references", "epochs", "open_scopes + references", '=', "refcount", NULL },
	{ "epoch-scopes", "epochs", "exits + open_scopes", '=', "enters", NULL },
	{ "epoch-open-scopes", "epochs", "domains.open", '<', "open_scopes", NULL },
	{ "epoch-live-within-held", "epochs", "live_bytes", '<', "estimated_rss_bytes", NULL },
};
enum { RELATIONS = sizeof(relations) / sizeof(relations[0]) };

static bool holds(const struct relation *relation, double left, double right)
{
	switch (relation->is) {
	case '<':
		return left <= right;
	case '%':
		return right > 0 && fmod(left, right) == 0;
	default:
		return left == right;
	}
}

/* ---------------------------------------------------------------------------------------- findings -- */

static void add(json_t *findings, const char *id, const char *text)
{
	char cleaned[CLEAN_BYTES];

	json_array_append_new(findings, json_pack("{s:s, s:s}", "id", id, "evidence",
						  clean(text, cleaned, sizeof(cleaned))));
}

static void check_object(json_t *findings, const struct relation *relation, const json_t *object,
			 size_t row)
{
	double left = evaluate(object, relation->left), right = evaluate(object, relation->right);
	const char *is = relation->is == '<' ? "at most" :
			 relation->is == '%' ? "a multiple of" :
					       "equal to";
	char text[512], where[64] = "";

	if (holds(relation, left, right))
		return;
	if (relation->rows)
		snprintf(where, sizeof(where), "%s[%zu]: ", relation->rows, row);
	snprintf(text, sizeof(text), "%s%s is %.0f, which is not %s %s, %.0f", where,
		 relation->left, left, is, relation->right, right);
	add(findings, relation->id, text);
}

static void check_relations(json_t *findings, const json_t *document)
{
	for (size_t i = 0; i < RELATIONS; i++) {
		const struct relation *relation = &relations[i];
		const json_t *row;
		size_t k;

		if (relation->only_if_zero && get_u64(document, relation->only_if_zero))
			continue;
		if (!relation->rows)
			check_object(findings, relation, document, 0);
		json_array_foreach(relation->rows ? json_object_get(document, relation->rows) : NULL,
				   k, row)
			check_object(findings, relation, row, k);
	}
}

static bool has_type(const json_t *value, enum ts_value_type type)
{
	switch (type) {
	case TS_VALUE_U64:
		return json_is_integer(value) && json_integer_value(value) >= 0;
	case TS_VALUE_I64:
		return json_is_integer(value);
	case TS_VALUE_F64:
		return json_is_number(value) || json_is_null(value);
	case TS_VALUE_KNOWN_U64:
		return json_is_null(value) || has_type(value, TS_VALUE_U64);
	case TS_VALUE_BOOL:
		return json_is_boolean(value);
	default:
		return json_is_string(value);
	}
}

/* Is the field there, with its type, in every row of the arrays on its way? */
static bool has_field(const json_t *value, const char *path, enum ts_value_type type)
{
	size_t length = strcspn(path, ".[");
	char name[64];
	const json_t *row;
	size_t i;

	snprintf(name, sizeof(name), "%.*s", (int)length, path);
	value = json_object_get(value, name);
	path += length;
	if (!*path)
		return has_type(value, type);
	if (*path == '.')
		return has_field(value, path + 1, type);
	if (!json_is_array(value))
		return false;
	json_array_foreach(value, i, row)
		if (!has_field(row, path + strlen("[]."), type))
			return false;
	return true;
}

static void check_fields(json_t *findings, const json_t *document)
{
	for (size_t i = 0; i < ts_field_count; i++) {
		char path[96], name[160], text[256];

		snprintf(name, sizeof(name), "%s%s",
			 ts_group_path(ts_fields[i].group, path, sizeof(path)), ts_fields[i].name);
		if (has_field(document, name, ts_fields[i].type))
			continue;
		snprintf(text, sizeof(text), "%s is missing or of another type", name);
		add(findings, "field", text);
	}
}

/* False = complained. */
static bool check_schema(json_t *findings, const json_t *document)
{
	json_error_t error;
	json_t *schema = json_load_file(set.schema, 0, &error), *errors;
	const json_t *text;
	size_t i;

	if (!json_is_object(schema)) {
		complain("%s: %s", set.schema, schema ? "is no JSON Schema" : error.text);
		json_decref(schema);
		return false;
	}
	errors = schema_errors(schema, document);
	json_array_foreach(errors, i, text)
		add(findings, "schema", json_string_value(text));
	json_decref(errors);
	json_decref(schema);
	return true;
}

/* ------------------------------------------------------------------------------------------- looks -- */

/* Counters of which one rises with whatever the library does. */
static bool same_moment(const json_t *before, const json_t *after)
{
	static const char *const counters[] = {
		"total_allocations",       "total_frees",
		"total_epochs_opened",     "total_epochs_finished",
		"total_epoch_close_calls", "total_lock_acquisitions",
		"total_madvise_calls",     "total_slow_path_hits",
		"chunks_cached",
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		if (get_u64(before, counters[i]) != get_u64(after, counters[i]))
			return false;
	return true;
}

/* A document between two looks at nothing that moved, or the last one with *rested false. */
static json_t *look(struct source *source, bool *rested)
{
	static const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	json_t *document = source_load(source), *later = NULL;

	*rested = !source->pid &&
		  (!source->history || json_is_true(json_object_get(document, "consistent")));
	for (int i = 0; i < LOOKS && document && source->pid && !*rested; i++) {
		nanosleep(&pause, NULL);
		later = source_load(source);
		*rested = later && same_moment(document, later);
		json_decref(document);
		document = later;
	}
	return document;
}

static void print_findings(const json_t *findings, bool rested)
{
	const json_t *finding;
	size_t i;

	json_array_foreach(findings, i, finding)
		printf("%s: %s\n", get_text(finding, "id"), get_text(finding, "evidence"));
	if (!rested)
		printf("%zu fields looked for; the process does not rest, so its figures are of different "
		       "moments and were not compared\n",
		       ts_field_count);
	else if (!i)
		printf("%zu fields and %d relations agree\n", ts_field_count, (int)RELATIONS);
}

static int print_relations(void)
{
	for (size_t i = 0; i < RELATIONS; i++)
		printf("%-26s %s%s%s %s %s\n", relations[i].id,
		       relations[i].rows ? relations[i].rows : "", relations[i].rows ? "[]: " : "",
		       relations[i].left,
		       relations[i].is == '<' ? "<=" :
		       relations[i].is == '%' ? "is a multiple of" :
						"=",
		       relations[i].right);
	return EXIT_FINE;
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document, *findings;
	bool rested;
	int code;

	if (set.list)
		return print_relations();
	if (set.parity)
		return show_parity(argc, argv, set.json);
	source->bare = true;
	if (!source_arguments(source, argc, argv))
		return EXIT_TROUBLE;
	document = look(source, &rested);
	if (!document)
		return EXIT_TROUBLE;
	findings = json_array();
	check_fields(findings, document);
	if (rested)
		check_relations(findings, document);
	if (set.schema && !check_schema(findings, document)) {
		json_decref(findings);
		json_decref(document);
		return EXIT_TROUBLE;
	}
	json_decref(document);
	code = json_array_size(findings) ? EXIT_FINDINGS : rested ? EXIT_FINE : EXIT_NONE;
	if (set.json)
		code = print_json(findings, code);
	else
		print_findings(findings, rested);
	json_decref(findings);
	return code;
}

const struct command command_verify = {
	.name = "verify",
	.summary = "check that the figures agree with each other",
	.usage = "",
	.text = "Checks that a snapshot has all fields, and that its figures agree with each other.\n"
		"With --parity: a table of every field of each FILE, and what should be the same and is not.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.notes = "Exit status: 0 all agree, 1 the process did not rest, so that only the presence of fields\n"
		 "could be checked, 2 trouble, 4 some do not agree.",
	.run = run,
};
