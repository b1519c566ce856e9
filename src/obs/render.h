/* SPDX-License-Identifier: MIT */
/* render.h: a snapshot, and its schema, as JSON. */
#ifndef TS_OBS_RENDER_H
#define TS_OBS_RENDER_H

#include "obs/json.h"

/* What fields are asked of that have no rows, and of it the rows of a group. */
struct ts_subject ts_subject_of(const struct ts_snapshot *snapshot);
size_t ts_row_count(enum ts_field_group group, const struct ts_subject *subject);
/* False: there is nothing in that row. */
bool ts_row_take(enum ts_field_group group, size_t i, struct ts_subject *subject);

/* JSON Schema (draft 2020-12) of what ts_render_snapshot writes. */
void ts_render_schema(struct ts_json *json);

/* The whole snapshot as one object. */
void ts_render_snapshot(struct ts_json *json, const struct ts_snapshot *snapshot);

#endif
