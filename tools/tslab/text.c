/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "tool.h"

/* Bytes of a character that must not reach a terminal, 0 if the one at `s` may. */
static size_t harmful(const unsigned char *s)
{
	if (s[0] < 0x20 || s[0] == 0x7f)
		return 1;
	if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0) /* C1 controls */
		return 2;
	if (s[0] == 0xe2 && s[1] == 0x80 &&
	    ((s[2] >= 0x8b && s[2] <= 0x8f) || (s[2] >= 0xa8 && s[2] <= 0xae))) /* zero width, direction */
		return 3;
	if (s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa0 && s[2] <= 0xaf) /* invisible, direction */
		return 3;
	if (s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf) /* byte order mark */
		return 3;
	if ((s[0] == 0xcc) || (s[0] == 0xcd && s[1] < 0xb0)) /* marks that pile up on a letter */
		return s[1] ? 2 : 1;
	return 0;
}

const char *clean(const char *text, char *buffer, size_t buffer_bytes)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;

	while (*s && used + 1 < buffer_bytes) {
		size_t bad = harmful(s);

		buffer[used++] = bad ? '?' : (char)*s;
		s += bad ? bad : 1;
	}
	buffer[used] = '\0';
	return buffer;
}

const char *human_bytes(uint64_t bytes, char *buffer)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes / 1024;
	unsigned unit = 0;

	if (bytes < 1024) {
		snprintf(buffer, HUMAN_BYTES, "%u B", (unsigned)bytes);
		return buffer;
	}
	for (; value >= 1024 && unit < 3; unit++)
		value /= 1024;
	snprintf(buffer, HUMAN_BYTES, "%.1f %s", value, units[unit]);
	return buffer;
}

const char *human_seconds(uint64_t seconds, char *buffer)
{
	if (seconds < 120)
		snprintf(buffer, HUMAN_BYTES, "%u s", (unsigned)seconds);
	else if (seconds < 7200)
		snprintf(buffer, HUMAN_BYTES, "%u min", (unsigned)(seconds / 60));
	else if (seconds < 172800)
		snprintf(buffer, HUMAN_BYTES, "%u h", (unsigned)(seconds / 3600));
	else
		snprintf(buffer, HUMAN_BYTES, "%llu days", (unsigned long long)(seconds / 86400));
	return buffer;
}

const char *times(uint64_t count, char *buffer)
{
	if (count == 0)
		return "zero times";
	if (count == 1)
		return "once";
	if (count == 2)
		return "twice";
	snprintf(buffer, HUMAN_BYTES, "%llu times", (unsigned long long)count);
	return buffer;
}

void describe_site(const json_t *domain, char *buffer, size_t buffer_bytes)
{
	const char *file = get_text(domain, "file"), *function = get_text(domain, "function");
	const char *site = get_text(domain, "site"), *note = get_text(domain, "note");
	char raw[CLEAN_BYTES];

	if (*file)
		snprintf(raw, sizeof(raw), "%s:%llu%s%s%s", file,
			 (unsigned long long)get_u64(domain, "line"), *function ? " (" : "",
			 function, *function ? ")" : "");
	else if (*site)
		snprintf(raw, sizeof(raw), "%s%s%s%s%s%s%s", site, *function ? " (" : "", function,
			 *function ? ")" : "", *note ? " [" : "", note, *note ? "]" : "");
	else
		snprintf(raw, sizeof(raw), "a place that the library could not tell");
	clean(raw, buffer, buffer_bytes);
}

void describe_failure(const json_t *event, char *buffer, size_t buffer_bytes)
{
	json_int_t cls = json_integer_value(json_object_get(event, "class_index"));
	char place[CLEAN_BYTES], label[64], of_class[64] = "an object above 32 KiB";
	int error = (int)get_u64(event, "errno");

	describe_site(event, place, sizeof(place));
	if (cls >= 0)
		snprintf(of_class, sizeof(of_class), "class %d", (int)cls);
	snprintf(buffer, buffer_bytes,
		 "cause %s, %llu bytes (%s), errno %d (%s), label \"%s\", at %s",
		 get_text(event, "reason"), (unsigned long long)get_u64(event, "size"), of_class,
		 error, strerror(error), clean(get_text(event, "label"), label, sizeof(label)),
		 place);
}
