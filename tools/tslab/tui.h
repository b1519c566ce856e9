/* SPDX-License-Identifier: MIT */
/* tui.h: `tslab top --tui`, a full screen of tables that follow a process. */
#ifndef TSLAB_TUI_H
#define TSLAB_TUI_H

#include "tool.h"

/* -- tui_rows.c: what a view shows -- */

enum tui_format { TUI_TEXT, TUI_COUNT, TUI_BYTES, TUI_SECONDS };

struct tui_column {
	const char *title;
	const char *field; /* of a row */
	enum tui_format format;
	int width; /* 0: what the others leave */
};

struct tui_view {
	const char *name;
	const struct tui_column *columns; /* ends with one without a title */
	unsigned sort;                    /* the column that it is sorted by at first */
	const char *key;                  /* the field that tells rows apart */
	/* A new array of rows; `before` may be NULL. */
	json_t *(*rows)(const json_t *document, const json_t *before);
};

enum { TUI_VIEWS = 4 };
extern const struct tui_view tui_views[TUI_VIEWS];

unsigned tui_column_count(const struct tui_view *view);
/* Sorted by a column, with those that have `filter` in one of their texts. A new reference. */
json_t *tui_select(const json_t *rows, const struct tui_view *view, unsigned sort, bool ascending,
		   const char *filter);
void tui_format(const json_t *row, const struct tui_column *column, char *text, size_t text_bytes);

/* -- tui_history.c: memory of each epoch over time -- */

enum { TUI_HISTORY = 240 };

struct tui_history {
	struct tui_sample {
		struct tui_held {
			uint64_t epoch, bytes;
		} * held;
		size_t count;
	} samples[TUI_HISTORY]; /* a ring */
	size_t next, count;
};

void tui_remember(struct tui_history *history, const json_t *document);
void tui_forget(struct tui_history *history);
/* The last `most` figures of an epoch, oldest first; 0 where it was not. How many. */
size_t tui_recall(const struct tui_history *history, uint64_t epoch, uint64_t *bytes, size_t most);

/* -- tui_draw.c: text on a screen whose letters are not all one byte or one column -- */

/* False: complained. */
bool tui_open_screen(void);
void tui_close_screen(void);
/* At most `width` columns of `text`, and spaces up to there; `right`: spaces first. */
void tui_put(int y, int x, int width, const char *text, bool right);
/* All of it, in as many lines as that takes; their number. */
int tui_put_text(int y, int x, int width, const char *text);
/* Which way a column is sorted. */
const char *tui_mark(bool ascending);
/* A graph of these figures, `height` lines from `y` on, the latest at the right end. */
void tui_put_sparkline(int y, int x, int width, int height, const uint64_t *values, size_t count);

/* -- tui.c -- */

/* Until the user ends it. An exit status. */
int tui_run(struct source *source, json_t *first, uint64_t interval_ms, const char *view);

#endif
