/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* Field that qsort compares by; the tool has one thread. */
static const char *rank_field;

static int largest_first(const void *a, const void *b)
{
	double x = get_number(*(json_t *const *)a, rank_field),
	       y = get_number(*(json_t *const *)b, rank_field);

	return (x < y) - (x > y);
}

json_t *rank_rows(const json_t *rows, const char *field, size_t most)
{
	size_t count = json_array_size(rows);
	json_t **sorted = malloc((count + 1) * sizeof(json_t *));
	json_t *ranked = json_array();

	if (!sorted || !ranked)
		count = 0;
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(rows, i);
	rank_field = field;
	if (count)
		qsort(sorted, count, sizeof(sorted[0]), largest_first);
	for (size_t i = 0; i < count && i < most; i++)
		json_array_append(ranked, sorted[i]);
	free(sorted);
	return ranked;
}

bool rankable(const json_t *rows, const char *field)
{
	const json_t *value = json_object_get(json_array_get(rows, 0), field);

	return json_array_size(rows) == 0 || json_is_number(value) || json_is_boolean(value);
}

void list_rankable(FILE *to, const json_t *rows)
{
	const char *name, *separator = "";
	json_t *value;

	json_object_foreach(json_array_get(rows, 0), name, value) {
		char cleaned[64];

		if (!json_is_number(value))
			continue;
		fprintf(to, "%s%s", separator, clean(name, cleaned, sizeof(cleaned)));
		separator = ", ";
	}
	fputc('\n', to);
}

/* Columns that every listing of epochs shows. */
static bool is_shown(const char *field)
{
	static const char *const shown[] = {
		"age_sec",   "refcount", "live_objects", "live_bytes", "estimated_rss_bytes",
		"rss_bytes", "epoch_id"
	};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (!strcmp(field, shown[i]))
			return true;
	return false;
}

void print_epoch_rows(FILE *to, const json_t *rows, const char *by)
{
	bool extra = by && !is_shown(by);
	const json_t *row;
	size_t i;

	fprintf(to, "  %7s %-10s %-31s %9s %8s %10s %10s %10s", "epoch", "state", "label", "age",
		"refcount", "objects", "live", "held");
	if (extra)
		fprintf(to, "  %s", by);
	fputc('\n', to);
	json_array_foreach(rows, i, row) {
		char label[64], age[HUMAN_BYTES], live[HUMAN_BYTES], held[HUMAN_BYTES];

		fprintf(to, "  %7llu %-10s %-31s %9s %8llu %10llu %10s %10s",
			(unsigned long long)get_u64(row, "epoch_id"), get_text(row, "state_detail"),
			*get_text(row, "label") ? clean(get_text(row, "label"), label, sizeof(label)) :
						  "-",
			human_seconds(get_u64(row, "age_sec"), age),
			(unsigned long long)get_u64(row, "refcount"),
			(unsigned long long)get_u64(row, "live_objects"),
			human_bytes(get_u64(row, "live_bytes"), live),
			human_bytes(get_u64(row, "estimated_rss_bytes"), held));
		if (extra)
			fprintf(to, "  %.15g", get_number(row, by));
		fputc('\n', to);
	}
}
