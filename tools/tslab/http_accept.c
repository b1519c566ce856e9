/* SPDX-License-Identifier: MIT */
/* http_accept.c: what a client would rather have (RFC 9110, 12.5.1). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http.h"

/* The element's quality, 0 to 1; 1 if it does not say. */
static double quality_of(const char *element, size_t length)
{
	const char *end = element + length;

	for (const char *at = element; (at = memchr(at, ';', (size_t)(end - at)));) {
		at += 1 + strspn(at + 1, " \t");
		if (end - at > 2 && !strncasecmp(at, "q=", 2))
			return strtod(at + 2, NULL);
	}
	return 1;
}

static bool is_type(const char *element, size_t length, const char *type)
{
	return length == strlen(type) && !strncasecmp(element, type, length);
}

/* 0: not accepted. What stands for any type counts where `any` is set. */
static double accepts(const char *accept, const char *type, bool any)
{
	double best = 0;

	while (*accept) {
		size_t length = strcspn(accept, ","), blank = strspn(accept, " \t");
		const char *element = accept + blank;
		size_t rest = length > blank ? length - blank : 0;
		size_t name = strcspn(element, ",; \t");
		double quality = quality_of(element, rest);

		if ((is_type(element, name, type) || (any && is_type(element, name, "*/*"))) &&
		    quality > best)
			best = quality;
		accept += length + (accept[length] == ',');
	}
	return best;
}

bool http_prefers(const char *accept, const char *special, const char *usual)
{
	double quality = accepts(accept, special, false);

	return quality > 0 && quality >= accepts(accept, usual, true);
}
