/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* What is missing reads as 0 and "": an older library's document lacks newer fields. */

uint64_t get_u64(const json_t *object, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(object, name));

	return value > 0 ? (uint64_t)value : 0;
}

double get_number(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
}

const char *get_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

double sum_path(const json_t *value, const char *path)
{
	size_t length = strcspn(path, ".");
	char name[64];
	const json_t *row;
	double sum = 0;
	size_t i;

	if (json_is_array(value)) {
		json_array_foreach(value, i, row)
			sum += sum_path(row, path);
		return sum;
	}
	snprintf(name, sizeof(name), "%.*s", (int)length, path);
	if (path[length] == '.')
		return sum_path(json_object_get(value, name), path + length + 1);
	return get_number(value, name);
}

double evaluate(const json_t *object, const char *expression)
{
	double sum = 0, sign = 1, factor = 1;
	char word[64];
	int used;

	while (sscanf(expression, " %63s%n", word, &used) == 1) {
		double number;
		char rest;

		expression += used;
		if (!strcmp(word, "*"))
			continue;
		if (!strcmp(word, "+") || !strcmp(word, "-")) {
			sign = *word == '-' ? -1 : 1;
			factor = 1;
		} else if (sscanf(word, "%lf%c", &number, &rest) == 1) {
			factor = number;
		} else {
			sum += sign * factor * sum_path(object, word);
		}
	}
	return sum;
}

/* "classes[]." and "frees" against "classes.frees". */
static bool names_field(const char *path, const struct ts_field *field)
{
	char group[96];
	const char *at = ts_group_path(field->group, group, sizeof(group));

	for (; *at; at++) {
		if (*at == '[' || *at == ']')
			continue;
		if (*at != *path++)
			return false;
	}
	return !strcmp(path, field->name);
}

const struct ts_field *find_field(const char *path)
{
	for (size_t i = 0; i < ts_field_count; i++)
		if (ts_fields[i].type != TS_VALUE_TEXT && names_field(path, &ts_fields[i]))
			return &ts_fields[i];
	return NULL;
}

const struct ts_field *field_named(enum ts_field_group group, const char *name)
{
	for (size_t i = 0; i < ts_field_count; i++)
		if (ts_fields[i].group == group && !strcmp(ts_fields[i].name, name))
			return &ts_fields[i];
	return NULL;
}

uint32_t groups_of(const struct ts_field *field)
{
	enum ts_field_group group = field->group;
	uint32_t groups = 1u << group;

	for (; group != TS_GROUP_SNAPSHOT; group = ts_groups[group].parent)
		groups |= 1u << group;
	return groups;
}

bool is_counter(const struct ts_field *field)
{
	return !strcmp(field->kind, "COUNTER");
}

double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

double seconds_between(const json_t *before, const json_t *after)
{
	return (double)(get_u64(after, "monotonic_ns") - get_u64(before, "monotonic_ns")) / 1e9;
}

static bool parse_number(const char *text, unsigned long long *value, char **end)
{
	errno = 0;
	*value = strtoull(text, end, 10);
	return text[0] >= '0' && text[0] <= '9' && !errno;
}

struct unit {
	const char *suffix;
	uint64_t times;
};

/* A whole number with one of these units; `units` ends with a NULL. */
static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *value)
{
	unsigned long long number;
	char *end;

	if (!parse_number(text, &number, &end))
		return false;
	while (units->suffix && strcmp(end, units->suffix) != 0)
		units++;
	return units->suffix && !__builtin_mul_overflow(number, units->times, value);
}

bool parse_ms(const char *text, uint64_t *ms)
{
	static const struct unit units[] = { { "", 1000 },   { "ms", 1 },      { "s", 1000 },
					     { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
					     { NULL, 0 } };

	return parse_with_unit(text, units, ms);
}

bool parse_bytes(const char *text, uint64_t *bytes)
{
	static const struct unit units[] = {
		{ "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { NULL, 0 }
	};

	return parse_with_unit(text, units, bytes);
}

bool parse_count(const char *text, size_t *count)
{
	unsigned long long value;
	char *end;

	if (!parse_number(text, &value, &end) || *end || !value || value > 1000000)
		return false;
	*count = (size_t)value;
	return true;
}
