/* SPDX-License-Identifier: MIT */
/*
 * reading.h: what was read at one time, of a process or from a file: a snapshot, of which a document can be
 * made; or a document that somebody wrote before.
 */
#ifndef TSLAB_READING_H
#define TSLAB_READING_H

#include "tool.h"

struct reading {
	bool is_document;            /* then there is no snapshot */
	struct ts_snapshot snapshot; /* stays where it is: it points into itself */
	json_t *document;            /* NULL: not made yet */
};

/* As source_load() and source_reload(), short of a document. NULL = complained. */
struct reading *source_read(struct source *source);
struct reading *source_read_again(struct source *source);
/* With all that `source` says about it. A borrowed reference; NULL = complained. */
json_t *reading_document(struct reading *reading, const struct source *source);
void reading_free(struct reading *reading);

#endif
