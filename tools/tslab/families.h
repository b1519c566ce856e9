/* SPDX-License-Identifier: MIT */
/* families.h: what metrics there are, made of the list of fields. */
#ifndef TSLAB_FAMILIES_H
#define TSLAB_FAMILIES_H

#include "metrics.h"
#include "obs/fields.h"

enum {
	MEMBERS_MAX = 8, /* fields of one family */
	NAME_BYTES = 64,
};

struct member {
	const struct ts_field *field;
	char label[NAME_BYTES]; /* "reason=mapfail"; "version": the field's text is the label; "" = none */
};

struct family {
	char name[NAME_BYTES]; /* without the prefix */
	const char *type;
	const char *help;
	unsigned namings;    /* enum metrics_naming that have it */
	size_t member_count; /* 0: the exporter's own */
	struct member members[MEMBERS_MAX];
};

/* All of them, in the order of the fields. */
const struct family *metric_families(size_t *count);
bool family_is_histogram(const struct family *family);
/*
 * OpenMetrics tells families apart by their name without _total: where a histogram has that name, its _sum
 * is the counter.
 */
bool family_clashes(const struct family *family);
/*
 * Of an epoch's families: which labels they have. What is not of a state cannot be added up over epochs
 * either.
 */
bool family_has_state(const struct family *family);
bool family_has_label(const struct family *family);
bool ends_with(const char *text, const char *end);

#endif
