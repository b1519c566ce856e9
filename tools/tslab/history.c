/* SPDX-License-Identifier: MIT */
/* history.c: a recording as commands see it: a file, what rotation left beside it, and a moment. */
#include "history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recording.h"
#include "tool.h"

enum { PARTS = 2 }; /* PATH.1, which is the older one, and PATH */

struct history {
	const char *path;
	struct recording part[PARTS];
	void *bytes[PARTS];
};

/* All of a file; NULL with errno. */
static void *read_whole(FILE *file, size_t *size)
{
	size_t room = 1 << 16, used = 0, got;
	char *bytes = malloc(room), *more;

	while (bytes && (got = fread(bytes + used, 1, room - used, file)) > 0) {
		used += got;
		if (used < room)
			continue;
		room *= 2;
		more = realloc(bytes, room);
		if (!more)
			free(bytes);
		bytes = more;
	}
	if (bytes && ferror(file)) {
		free(bytes);
		bytes = NULL;
	}
	*size = used;
	return bytes;
}

/* 1: there; 0: no such file; -1: complained. */
static int open_part(struct history *h, int part, const char *path)
{
	FILE *file = fopen(path, "re");
	const char *why = "";
	size_t size = 0;

	if (!file && errno == ENOENT)
		return 0;
	h->bytes[part] = file ? read_whole(file, &size) : NULL;
	if (!h->bytes[part])
		complain("%s cannot be read: %m", path);
	else if (!recording_open(&h->part[part], h->bytes[part], size, &why))
		complain("%s is %s", path, why);
	if (file)
		fclose(file);
	return h->part[part].frame_count ? 1 : -1;
}

struct history *history_open(const char *path)
{
	struct history *h = calloc(1, sizeof(*h));
	char older[4096];
	int found;

	if (!h)
		return complain("not enough memory"), NULL;
	h->path = path;
	snprintf(older, sizeof(older), "%s" HISTORY_OLDER, path);
	found = open_part(h, 1, path);
	if (found == 0)
		complain("%s cannot be read: %m", path);
	if (found <= 0 || open_part(h, 0, older) < 0) {
		history_close(h);
		return NULL;
	}
	return h;
}

void history_close(struct history *h)
{
	for (int i = 0; h && i < PARTS; i++) {
		recording_close(&h->part[i]);
		free(h->bytes[i]);
	}
	free(h);
}

void history_describe(const struct history *h, struct history_facts *facts)
{
	const struct recording *first = &h->part[h->part[0].frame_count ? 0 : 1], *last = &h->part[1];

	*facts = (struct history_facts){
		.pid = last->header.pid,
		.interval_ms = last->header.interval_ms,
		.from_ns = first->frames[0].realtime_ns,
		.to_ns = last->frames[last->frame_count - 1].realtime_ns,
		.frames = h->part[0].frame_count + last->frame_count,
		.bytes = h->part[0].size + last->size,
		.cut = last->cut,
	};
	snprintf(facts->comm, sizeof(facts->comm), "%s", last->header.comm);
}

/* ----------------------------------------------------------------------------------------- moments -- */

/* "2026-11-21T22:35:38Z", with a fraction or without. */
static bool parse_date(const char *text, uint64_t *ns)
{
	struct tm tm = { .tm_year = 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	double fraction = 0;
	char *end = (char *)rest;
	time_t seconds;

	if (!rest)
		return false;
	if (*rest == '.')
		fraction = strtod(rest, &end);
	seconds = timegm(&tm);
	*ns = (uint64_t)seconds * 1000000000u + (uint64_t)(fraction * 1e9 + 0.5);
	return seconds > 0 && (!strcmp(end, "Z") || !*end);
}

bool history_moment(const struct history *h, const char *at, uint64_t *ns)
{
	struct history_facts facts;
	uint64_t ms;

	history_describe(h, &facts);
	*ns = facts.to_ns;
	if (!at)
		return true;
	if (*at == '+' && parse_ms(at + 1, &ms))
		*ns = facts.from_ns + ms * 1000000u;
	else if (*at == '-' && parse_ms(at + 1, &ms))
		*ns = ms * 1000000u < facts.to_ns ? facts.to_ns - ms * 1000000u : 0;
	else if (parse_ms(at, &ms))
		*ns = ms * 1000000u;
	else if (!parse_date(at, ns)) {
		complain("--at: \"%s\" is no time such as 2026-01-31T12:00:00Z, a Unix time, +90s from the "
			 "start or -5m from the end",
			 at);
		return false;
	}
	if (*ns >= facts.from_ns && *ns <= facts.to_ns)
		return true;
	complain("--at: \"%s\" is %s the recording", at, *ns < facts.from_ns ? "before" : "behind");
	return false;
}

bool history_go(struct history *h, uint64_t ns, struct history_view *view)
{
	struct recording *r = &h->part[0];
	const char *why;

	if (!r->frame_count || h->part[1].frames[0].realtime_ns <= ns)
		r = &h->part[1];
	if (!recording_go(r, recording_find(r, ns), &why)) {
		complain("%s is %s", h->path, why);
		return false;
	}
	view->chunk_count = recording_view(r, &view->target, view->chunks, &view->gaps);
	return true;
}
