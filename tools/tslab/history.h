/* SPDX-License-Identifier: MIT */
/* history.h: a recording and the moments in it. */
#ifndef TSLAB_HISTORY_H
#define TSLAB_HISTORY_H

#include "obs/snapshot.h"

/* What rotation makes of a file's name. */
#define HISTORY_OLDER ".1"

struct history;

struct history_facts {
	int pid;
	char comm[32];
	uint64_t interval_ms;
	uint64_t from_ns; /* Unix, of the first frame */
	uint64_t to_ns;   /* of the last */
	uint64_t frames;
	uint64_t bytes;
	bool cut; /* the last frame was not written whole */
};

/* What to read a snapshot of. */
struct history_view {
	struct ts_target target;
	struct ts_chunk_view chunks[TS_SNAPSHOT_CHUNKS_MAX];
	size_t chunk_count;
	bool gaps;
};

/* PATH and, if it is there, PATH.1. NULL = complained. */
struct history *history_open(const char *path);
void history_close(struct history *h);
void history_describe(const struct history *h, struct history_facts *facts);
/* As --at has it; NULL is the end. False = complained. */
bool history_moment(const struct history *h, const char *at, uint64_t *ns);
/* The last frame at or before `ns`; good until the next. False = complained. */
bool history_go(struct history *h, uint64_t ns, struct history_view *view);

#endif
