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

static bool parse_number(const char *text, unsigned long long *value, char **end)
{
	errno = 0;
	*value = strtoull(text, end, 10);
	return text[0] >= '0' && text[0] <= '9' && !errno;
}

bool parse_ms(const char *text, uint64_t *ms)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = { { "", 1000 },   { "ms", 1 },      { "s", 1000 },
		      { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	unsigned long long value;
	char *end;

	if (!parse_number(text, &value, &end) || value > UINT64_MAX / 86400000)
		return false;
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(end, units[i].suffix)) {
			*ms = value * units[i].ms;
			return true;
		}
	}
	return false;
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
