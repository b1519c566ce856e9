/* SPDX-License-Identifier: MIT */
/*
 * json.h: JSON, written as it is made. No memory is allocated; what a value holds is escaped: control
 * characters, quotes, U+2028 and U+2029, and bytes that are not UTF-8 become U+FFFD.
 */
#ifndef TS_OBS_JSON_H
#define TS_OBS_JSON_H

#include "obs/fields.h"

/* Takes bytes; false ends the output. */
typedef bool ts_json_sink(void *context, const char *bytes, size_t count);

/* Takes values instead of text: whoever wants them need not parse. */
struct ts_json_builder {
	void (*open)(void *context, const char *name, char bracket);
	void (*close)(void *context);
	void (*value)(void *context, const char *name, const struct ts_value *value);
};

struct ts_json {
	const struct ts_json_builder *builder; /* NULL: text goes to the sink */
	ts_json_sink *sink;
	void *context;
	bool failed;
	bool comma;      /* before the next value */
	uint32_t groups; /* of ts_render_snapshot only these: bit = enum ts_field_group; all at first */
	bool (*wants)(enum ts_field_group group, const struct ts_subject *row); /* NULL: all rows */
	size_t used;
	char buffer[4096];
};

void ts_json_start(struct ts_json *json, ts_json_sink *sink, void *context);
void ts_json_start_building(struct ts_json *json, const struct ts_json_builder *builder,
			    void *context);
/* False if the sink refused anything. */
bool ts_json_end(struct ts_json *json);

/* `name` NULL inside arrays. */
void ts_json_open(struct ts_json *json, const char *name, char bracket);
void ts_json_close(struct ts_json *json, char bracket);
void ts_json_value(struct ts_json *json, const char *name, const struct ts_value *value);

/* Bytes of the UTF-8 sequence at `s`, 0 if there is none. */
unsigned ts_json_utf8_length(const char *s);

#endif
