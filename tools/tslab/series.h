/* SPDX-License-Identifier: MIT */
/* series.h: what each metric has a value of, in documents and in snapshots alike. */
#ifndef TSLAB_SERIES_H
#define TSLAB_SERIES_H

#include "buffer.h"
#include "reading.h"

/* The process, or one of its classes, epochs, buckets... */
struct figure_row {
	const json_t *object;      /* of a document; NULL: it lacks that */
	struct ts_subject subject; /* of a snapshot, if it has one */
};

/*
 * An epoch. Beside the ring's the largest are shown, each by its id; those of one state and label that are
 * not among them share a series.
 */
struct epoch_series {
	struct figure_row row;
	uint64_t bytes;
	char id[24]; /* "other" if it is shared */
	bool shared;
	struct epoch_series *more; /* the next that is added up with this one */
	const char *state;
	const char *label;
	/* epoch="ID",state="STATE",label="LABEL" in the view's labels */
	size_t labels_at, id_bytes, state_bytes, label_bytes;
};

struct class_series {
	struct figure_row row;
	char labels[80];
};

struct view {
	struct figure_row whole;
	struct epoch_series *epochs; /* the largest first */
	size_t epoch_count;
	struct epoch_series **shown;
	size_t shown_count;
	struct class_series *classes; /* that were asked for */
	size_t class_count;
	struct buffer labels;   /* of epochs, as they are written */
	struct buffer identity; /* labels that tell the process from others */
};

/* False: not enough memory. To be freed in either case. */
bool view_make(struct view *view, const struct reading *reading);
void view_free(struct view *view);

/* Text as it stands in an exposition, with a backslash before each of the characters in `special`. */
void put_escaped(struct buffer *to, const char *text, const char *special);

struct figure_row row_of_reading(const struct reading *reading);
/* What of the whole a group without rows belongs to. */
struct figure_row row_of_group(const struct figure_row *whole, enum ts_field_group group);
size_t row_count(const struct figure_row *parent, enum ts_field_group group);
/* False: there is nothing in it. */
bool row_take(const struct figure_row *parent, enum ts_field_group group, size_t i,
	      struct figure_row *row);
/* False: not known there. Of text the value lasts as struct ts_value says. */
bool row_value(const struct figure_row *row, const struct ts_field *field, struct ts_value *value);
uint64_t row_u64(const struct figure_row *row, const struct ts_field *field);
/* A number; what is shared is added up. */
bool series_value(const struct epoch_series *series, const struct ts_field *field,
		  struct ts_value *value);

#endif
