/* SPDX-License-Identifier: MIT */
/* fields.h: the rows of fields.def as data: what to call a field, and how to get it. */
#ifndef TS_OBS_FIELDS_H
#define TS_OBS_FIELDS_H

#include <math.h>

#include "obs/snapshot.h"

enum ts_field_group {
	TS_GROUP_SNAPSHOT,
	TS_GROUP_GLOBAL,
	TS_GROUP_LAST_CLOSE,
	TS_GROUP_CLOSE,
	TS_GROUP_LABELS,
	TS_GROUP_FAILURES,
	TS_GROUP_RECENT,
	TS_GROUP_SAMPLING,
	TS_GROUP_TLS_CACHE,
	TS_GROUP_BACKEND,
	TS_GROUP_SAFETY,
	TS_GROUP_INVALID_FREE,
	TS_GROUP_CLASS,
	TS_GROUP_CONTENTION,
	TS_GROUP_EPOCH,
	TS_GROUP_DOMAIN,
	TS_GROUP_THREAD,
	TS_GROUP_HIST,
	TS_GROUP_ALLOC_WALL,
	TS_GROUP_CLOSE_TIME,
	TS_GROUP_LOCK_WAIT,
	TS_GROUP_COUNT,
};

/* Where a group stands in the JSON: the name of its object or array, in the object of another group. */
struct ts_group {
	const char *name; /* "" = the top level */
	enum ts_field_group parent;
	bool rows; /* an array with an object a row */
};
extern const struct ts_group ts_groups[TS_GROUP_COUNT];

/* "epochs[].domains[]." and such: what precedes a field's name. */
const char *ts_group_path(enum ts_field_group group, char *path, size_t path_bytes);

enum ts_value_type {
	TS_VALUE_U64,
	TS_VALUE_KNOWN_U64, /* TS_UNKNOWN: null */
	TS_VALUE_I64,
	TS_VALUE_F64,
	TS_VALUE_BOOL,
	TS_VALUE_TEXT,
};

struct ts_value {
	enum ts_value_type type;
	union {
		uint64_t u64;
		int64_t i64;
		double f64;
		bool boolean;
		const char *text; /* good until the next text of a field is asked for */
	};
};

/* Whether a value is more than null. */
static inline bool ts_value_known(const struct ts_value *value)
{
	return value->type == TS_VALUE_KNOWN_U64 ?
		       value->u64 != TS_UNKNOWN :
		       value->type != TS_VALUE_F64 || isfinite(value->f64);
}

/* What a field is asked of. */
struct ts_subject {
	const struct ts_snapshot *snapshot;
	const struct ts_class_view *cls;
	const struct ts_epoch_view *epoch;
	const struct ts_domain_view *domain;
	const struct ts_thread_view *thread;
	const struct ts_close_view *close;
	const struct ts_failure_view *failure;
	const struct ts_contention_view *contention;
	unsigned bucket;
};

struct ts_field {
	enum ts_field_group group;
	const char *name;
	const char *kind;
	enum ts_value_type type;
	const char *unit;
	const char *metric; /* "family" or "family,label" or "family,label=value"; "" = none */
	const char *help;
	struct ts_value (*value)(const struct ts_subject *subject);
};

extern const struct ts_field ts_fields[];
extern const size_t ts_field_count;

/* "x86_64" and such; "unknown" for others. */
const char *ts_field_machine(uint32_t e_machine);

#endif
