/* SPDX-License-Identifier: MIT */
#include "obs/json.h"

#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

static void flush(struct ts_json *json)
{
	if (json->used && !json->failed)
		json->failed = !json->sink(json->context, json->buffer, json->used);
	json->used = 0;
}

static void put_beyond(struct ts_json *json, const char *bytes, size_t count)
{
	while (count) {
		size_t room = sizeof(json->buffer) - json->used;
		size_t now = count < room ? count : room;

		memcpy(json->buffer + json->used, bytes, now);
		json->used += now;
		bytes += now;
		count -= now;
		if (json->used == sizeof(json->buffer))
			flush(json);
	}
}

static inline void put(struct ts_json *json, const char *bytes, size_t count)
{
	if (count >= sizeof(json->buffer) - json->used) {
		put_beyond(json, bytes, count);
		return;
	}
	memcpy(json->buffer + json->used, bytes, count);
	json->used += count;
}

static void put_text(struct ts_json *json, const char *text)
{
	put(json, text, strlen(text));
}

unsigned ts_json_utf8_length(const char *s)
{
	uint32_t code;

	return ts_utf8_decode((const unsigned char *)s, &code);
}

/* How many characters stand for themselves, and are one byte: nearly all. */
static size_t plain_length(const unsigned char *s)
{
	size_t length = 0;

	while (s[length] >= 0x20 && s[length] < 0x7f && s[length] != '"' && s[length] != '\\')
		length++;
	return length;
}

static void put_string(struct ts_json *json, const char *string)
{
	const unsigned char *s = (const unsigned char *)string;
	char escape[8];

	put(json, "\"", 1);
	for (;;) {
		size_t plain = plain_length(s);
		unsigned length;
		uint32_t code;

		put(json, (const char *)s, plain);
		s += plain;
		if (!*s)
			break;
		length = ts_utf8_decode(s, &code);
		if (!length) {
			put_text(json, "\\ufffd");
			s++;
			continue;
		}
		if (code == '"' || code == '\\') {
			put(json, "\\", 1);
			put(json, (const char *)s, 1);
		} else if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 ||
			   code == 0x2029) {
			snprintf(escape, sizeof(escape), "\\u%04x", code);
			put_text(json, escape);
		} else {
			put(json, (const char *)s, length);
		}
		s += length;
	}
	put(json, "\"", 1);
}

/* Where so many bytes can be written; far fewer than the buffer has. */
static char *room_for(struct ts_json *json, size_t bytes)
{
	if (sizeof(json->buffer) - json->used <= bytes)
		flush(json);
	return json->buffer + json->used;
}

static void put_number(struct ts_json *json, uint64_t number)
{
	char digits[20], *first = digits + sizeof(digits);

	if (number < 10) { /* most are */
		*room_for(json, 1) = (char)('0' + number);
		json->used++;
		return;
	}
	do
		*--first = (char)('0' + number % 10);
	while (number /= 10);
	put(json, first, (size_t)(digits + sizeof(digits) - first));
}

/* As "%.6g" writes it, which takes ten times as long; true for what fields are: counts, ratios and seconds. */
static void put_real(struct ts_json *json, double real)
{
	static const uint32_t tens[] = { 1,      10,      100,      1000,     10000,
					 100000, 1000000, 10000000, 100000000 };
	unsigned decimals = 5;
	char text[40];
	uint64_t number;

	if (!(real >= 0.001 && real < 100000) && real != 0) {
		snprintf(text, sizeof(text), "%.6g", real);
		put_text(json, text);
		return;
	}
	while (decimals && real >= tens[6 - decimals])
		decimals--;
	for (unsigned i = 0; real && real * tens[i] < 1; i++)
		decimals++;
	number = (uint64_t)(real * tens[decimals] + 0.5);
	for (; decimals && number % 10 == 0; decimals--)
		number /= 10;
	put_number(json, number / tens[decimals]);
	if (!decimals)
		return;
	text[0] = '.';
	number %= tens[decimals];
	for (unsigned i = decimals; i; i--, number /= 10)
		text[i] = (char)('0' + number % 10);
	put(json, text, decimals + 1);
}

/* A comma if one is due, and "name": - names are words, and the most that there is to write. */
static void put_name(struct ts_json *json, const char *name)
{
	size_t length = name ? strlen(name) : 0;
	char *to = room_for(json, length + strlen(",\"\":"));

	if (json->comma)
		*to++ = ',';
	json->comma = false;
	if (name) {
		*to++ = '"';
		memcpy(to, name, length);
		to += length;
		*to++ = '"';
		*to++ = ':';
	}
	json->used = (size_t)(to - json->buffer);
}

void ts_json_start(struct ts_json *json, ts_json_sink *sink, void *context)
{
	json->builder = NULL;
	json->sink = sink;
	json->context = context;
	json->failed = false;
	json->comma = false;
	json->groups = ~0u;
	json->wants = NULL;
	json->used = 0;
}

void ts_json_start_building(struct ts_json *json, const struct ts_json_builder *builder, void *context)
{
	ts_json_start(json, NULL, context);
	json->builder = builder;
}

bool ts_json_end(struct ts_json *json)
{
	if (json->builder)
		return true;
	put(json, "\n", 1);
	flush(json);
	return !json->failed;
}

void ts_json_open(struct ts_json *json, const char *name, char bracket)
{
	if (json->builder) {
		json->builder->open(json->context, name, bracket);
		return;
	}
	put_name(json, name);
	put(json, &bracket, 1);
}

void ts_json_close(struct ts_json *json, char bracket)
{
	if (json->builder) {
		json->builder->close(json->context);
		return;
	}
	put(json, &bracket, 1);
	json->comma = true;
}

void ts_json_value(struct ts_json *json, const char *name, const struct ts_value *value)
{
	if (json->builder) {
		json->builder->value(json->context, name, value);
		return;
	}
	put_name(json, name);
	json->comma = true;
	if (!ts_value_known(value)) { /* JSON has no word for what is not a number */
		put_text(json, "null");
		return;
	}
	switch (value->type) {
	case TS_VALUE_U64:
	case TS_VALUE_KNOWN_U64:
		/* Readers of JSON know no more than 63 bits; nothing that is true comes near. */
		put_number(json, value->u64 > INT64_MAX ? INT64_MAX : value->u64);
		break;
	case TS_VALUE_I64:
		put(json, "-", value->i64 < 0);
		put_number(json, value->i64 < 0 ? -(uint64_t)value->i64 : (uint64_t)value->i64);
		break;
	case TS_VALUE_F64:
		put_real(json, value->f64);
		break;
	case TS_VALUE_BOOL:
		put_text(json, value->boolean ? "true" : "false");
		break;
	case TS_VALUE_TEXT:
		put_string(json, value->text);
		break;
	}
}
