/* SPDX-License-Identifier: MIT */
#include "environment.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_BYTES = 48 };

/* NULL: the default holds. */
static const char *given(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

/* The value is anybody's text: only what is harmless is repeated. */
static void complain(const char *name, const char *text, const char *wanted)
{
	char shown[SHOWN_BYTES + 1], line[256];
	size_t i;
	int length;

	for (i = 0; i < SHOWN_BYTES && text[i]; i++)
		shown[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	shown[i] = '\0';
	length = snprintf(line, sizeof(line), "tslab: %s=%s%s is not %s: ignored\n", name, shown,
			  text[i] ? "..." : "", wanted);
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return; /* nobody listens */
}

/* The digits that the text begins with; `end` behind them. False: none, or more than `most`. */
static bool parse_digits(const char *text, uint64_t most, uint64_t *value, const char **end)
{
	*value = 0;
	for (*end = text; **end >= '0' && **end <= '9'; ++*end) {
		unsigned digit = (unsigned)(**end - '0');

		if (*value > (most - digit) / 10)
			return false;
		*value = *value * 10 + digit;
	}
	return *end > text;
}

static bool parse_bytes(const char *text, uint64_t most, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	const char *end, *unit;

	if (!parse_digits(text, most, bytes, &end))
		return false;
	if (!*end)
		return true;
	unit = strchr(units, *end);
	if (!unit || end[1])
		return false;
	for (int doublings = 10 * (int)(unit - units + 1); doublings > 0; doublings--) {
		if (*bytes > most / 2)
			return false;
		*bytes *= 2;
	}
	return true;
}

uint64_t ts_environment_bytes(const char *name, uint64_t least, uint64_t most, uint64_t otherwise)
{
	const char *text = given(name);
	char wanted[96];
	uint64_t bytes;

	if (!text)
		return otherwise;
	if (parse_bytes(text, most, &bytes) && bytes >= least)
		return bytes;
	snprintf(wanted, sizeof(wanted), "a size of %llu to %llu bytes, such as 64M",
		 (unsigned long long)least, (unsigned long long)most);
	complain(name, text, wanted);
	return otherwise;
}

uint64_t ts_environment_number(const char *name, uint64_t most, uint64_t otherwise)
{
	const char *text = given(name), *end;
	char wanted[64];
	uint64_t number;

	if (!text)
		return otherwise;
	if (parse_digits(text, most, &number, &end) && !*end)
		return number;
	snprintf(wanted, sizeof(wanted), "a whole number up to %llu", (unsigned long long)most);
	complain(name, text, wanted);
	return otherwise;
}

unsigned ts_environment_word(const char *name, const char *const *words, unsigned otherwise)
{
	const char *text = given(name);
	char wanted[128] = "";

	if (!text)
		return otherwise;
	for (unsigned i = 0; words[i]; i++) {
		size_t used = strlen(wanted);

		if (!strcmp(text, words[i]))
			return i;
		snprintf(wanted + used, sizeof(wanted) - used, "%s%s", i ? " or " : "", words[i]);
	}
	complain(name, text, wanted);
	return otherwise;
}
