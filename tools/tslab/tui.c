/* SPDX-License-Identifier: MIT */
/*
 * tui.c: the screen, the keys and the clock. Everything is drawn anew each time; ncurses sends what has
 * changed. Nothing depends on colour: what is chosen is marked with a letter too.
 */
#include <curses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tui.h"

enum {
	LINE_TOTALS = 1,
	LINE_VIEWS = 2,
	LINE_HEAD = 3,
	LINE_ROWS = 4,
	FILTER_BYTES = 40,
	LEAST_LINES = 12,
	GRAPH_LINES = 4
};

struct tui {
	struct source *source;
	uint64_t interval_ms;
	json_t *document, *before; /* the last two of the same process */
	json_t *findings;
	struct tui_history history;
	char why[256]; /* there is nothing newer */
	bool paused, typing, help;

	unsigned view;
	unsigned sort[TUI_VIEWS];
	bool ascending[TUI_VIEWS];
	char filter[FILTER_BYTES];
	json_t *rows; /* that are shown, in order */
	size_t chosen, top;
	uint64_t detail; /* the epoch that is looked into; 0: none */
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------------------------------ figures -- */

static const struct tui_view *current(const struct tui *t)
{
	return &tui_views[t->view];
}

static void select_rows(struct tui *t)
{
	json_t *all = current(t)->rows(t->document, t->before);

	json_decref(t->rows);
	t->rows = tui_select(all, current(t), t->sort[t->view], t->ascending[t->view], t->filter);
	json_decref(all);
	if (t->chosen >= json_array_size(t->rows))
		t->chosen = json_array_size(t->rows) ? json_array_size(t->rows) - 1 : 0;
}

/* Takes over the document. */
static void take(struct tui *t, json_t *document)
{
	if (t->document &&
	    get_u64(t->document, "start_time_ns") != get_u64(document, "start_time_ns")) {
		json_decref(t->document);
		t->document = NULL;
		tui_forget(&t->history);
	}
	json_decref(t->before);
	t->before = t->document;
	t->document = document;
	json_decref(t->findings);
	t->findings = find_trouble(document, DOCTOR_THRESHOLD_UNSET);
	tui_remember(&t->history, document);
	t->why[0] = '\0';
	select_rows(t);
}

static void look(struct tui *t)
{
	char why[sizeof(t->why)] = "";
	json_t *document;

	complain_into(why, sizeof(why));
	document = t->source->history ? source_next(t->source, t->interval_ms) :
					source_reload(t->source);
	complain_into(NULL, 0);
	/* A number says no more than which process had it once. */
	if (document && t->source->pid && !t->source->name &&
	    get_u64(document, "start_time_ns") != get_u64(t->document, "start_time_ns")) {
		json_decref(document);
		document = NULL;
		snprintf(why, sizeof(why), "process %d has ended; another one has its number",
			 (int)t->source->pid);
	}
	if (document)
		take(t, document);
	else if (t->source->history)
		snprintf(t->why, sizeof(t->why), "the recording ends here");
	else
		snprintf(t->why, sizeof(t->why), "%s", why);
}

/* ------------------------------------------------------------------------------------------ drawing -- */

static void put_line(int y, attr_t attributes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void put_line(int y, attr_t attributes, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	attrset(attributes);
	tui_put(y, 0, COLS, text, false);
	attrset(A_NORMAL);
}

static void draw_top(const struct tui *t)
{
	const json_t *d = t->document;
	char time[16], rss[HUMAN_BYTES], held[HUMAN_BYTES], live[HUMAN_BYTES], kept[HUMAN_BYTES];
	uint64_t all = get_u64(d, "total_allocations");
	char state[sizeof(t->why) + 16];

	snprintf(time, sizeof(time), "%.8s",
		 strlen(get_text(d, "timestamp")) > 19 ? get_text(d, "timestamp") + 11 : "");
	snprintf(state, sizeof(state), "%s%s",
		 *t->why   ? "ENDED: " :
		 t->paused ? "paused" :
			     "live",
		 t->why);
	put_line(0, A_REVERSE, " tslab  %s (%llu)  %s UTC  %s", get_text(d, "comm"),
		 (unsigned long long)get_u64(d, "pid"), time, state);
	put_line(LINE_TOTALS, A_NORMAL,
		 " findings %zu  resident %s  held %s  live %s  slow %.1f %%%s%s",
		 json_array_size(t->findings), human_bytes(get_u64(d, "rss_bytes_current"), rss),
		 human_bytes(get_u64(d, "estimated_slab_rss_bytes"), held),
		 human_bytes(get_u64(d, "live_bytes"), live),
		 all ? 100.0 * (double)get_u64(d, "total_slow_path_hits") / (double)all : 0,
		 COLS >= 100 ? "  kept " : "",
		 COLS >= 100 ? human_bytes(get_u64(d, "retained_bytes"), kept) : "");
}

static void draw_views(const struct tui *t)
{
	int x = 1;

	tui_put(LINE_VIEWS, 0, COLS, "", false);
	for (unsigned i = 0; i < TUI_VIEWS; i++) {
		char name[32];

		snprintf(name, sizeof(name), i == t->view ? "[%u %s]" : " %u %s ", i + 1,
			 tui_views[i].name);
		attrset(i == t->view ? A_BOLD : A_NORMAL);
		tui_put(LINE_VIEWS, x, (int)strlen(name), name, false);
		x += (int)strlen(name) + 1;
	}
	attrset(A_NORMAL);
	if (*t->filter || t->typing) {
		char filter[FILTER_BYTES + 16];

		snprintf(filter, sizeof(filter), "  filter: %s%s", t->filter, t->typing ? "_" : "");
		tui_put(LINE_VIEWS, x, COLS - x, filter, false);
	}
}

/* What a column without a width gets. */
static int room(const struct tui_view *view)
{
	int left = COLS - 1;

	for (const struct tui_column *column = view->columns; column->title; column++)
		left -= column->width + 1;
	return left < 8 ? 8 : left > 40 ? 40 : left;
}

static void draw_cells(const struct tui *t, int y, const json_t *row)
{
	const struct tui_view *view = current(t);
	int x = 1;

	for (unsigned i = 0; i < tui_column_count(view); i++) {
		const struct tui_column *column = &view->columns[i];
		int width = column->width ? column->width : room(view);
		char text[128];

		if (x + width > COLS) /* part of a number is none */
			break;
		if (row)
			tui_format(row, column, text, sizeof(text));
		else
			snprintf(text, sizeof(text), "%s%s", column->title,
				 i == t->sort[t->view] ? tui_mark(t->ascending[t->view]) : "");
		tui_put(y, x, width, text, column->format != TUI_TEXT);
		tui_put(y, x + width, 1, "", false);
		x += width + 1;
	}
}

static void draw_rows(struct tui *t)
{
	size_t most = (size_t)(LINES - LINE_ROWS - 2);

	if (t->chosen < t->top)
		t->top = t->chosen;
	if (t->chosen >= t->top + most)
		t->top = t->chosen - most + 1;
	put_line(LINE_HEAD, A_UNDERLINE, " ");
	attrset(A_UNDERLINE);
	draw_cells(t, LINE_HEAD, NULL);
	for (size_t i = 0; i < most; i++) {
		const json_t *row = json_array_get(t->rows, t->top + i);
		int y = LINE_ROWS + (int)i;
		bool chosen = row && t->top + i == t->chosen;

		put_line(y, chosen ? A_REVERSE : A_NORMAL, "%s", chosen ? ">" : "");
		attrset(chosen ? A_REVERSE : A_NORMAL);
		if (row)
			draw_cells(t, y, row);
	}
	attrset(A_NORMAL);
	if (!json_array_size(t->rows))
		put_line(LINE_ROWS, A_NORMAL, "   none%s",
			 *t->filter ? " that the filter leaves" : "");
}

/* -- one epoch -- */

static const json_t *find_detail(const struct tui *t)
{
	const json_t *epochs = json_object_get(t->document, "epochs"), *epoch;
	size_t i;

	json_array_foreach(epochs, i, epoch)
		if (get_u64(epoch, "epoch") == t->detail)
			return epoch;
	return NULL;
}

static int draw_figures(const json_t *epoch, int y)
{
	char text[CLEAN_BYTES], limit[HUMAN_BYTES], live[HUMAN_BYTES], back[HUMAN_BYTES];

	describe_epoch(epoch, text, sizeof(text));
	attrset(A_BOLD);
	y += tui_put_text(y, 1, COLS - 2, text);
	attrset(A_NORMAL);
	put_line(y++, A_NORMAL, " live %s, reclaimable %s, limit %s",
		 human_bytes(get_u64(epoch, "live_bytes"), live),
		 human_bytes(get_u64(epoch, "reclaimable_bytes"), back),
		 get_u64(epoch, "limit_bytes") ? human_bytes(get_u64(epoch, "limit_bytes"), limit) :
						 "none");
	put_line(y++, A_NORMAL,
		 " entered %llu, left %llu, scopes open %llu, references of the program %llu",
		 (unsigned long long)get_u64(epoch, "enters"),
		 (unsigned long long)get_u64(epoch, "exits"),
		 (unsigned long long)get_u64(epoch, "open_scopes"),
		 (unsigned long long)get_u64(epoch, "references"));
	return y;
}

static int draw_memory(const struct tui *t, int y)
{
	uint64_t bytes[TUI_HISTORY], most = 0;
	size_t count = tui_recall(&t->history, t->detail, bytes,
				  COLS - 2 < TUI_HISTORY ? (size_t)COLS - 2 : TUI_HISTORY);
	char human[HUMAN_BYTES], now[HUMAN_BYTES];

	for (size_t i = 0; i < count; i++)
		most = bytes[i] > most ? bytes[i] : most;
	put_line(y++, A_NORMAL, " held over the last %.0f s: at most %s, now %s",
		 (double)(count - 1) * (double)t->interval_ms / 1000, human_bytes(most, human),
		 human_bytes(bytes[count - 1], now));
	tui_put_sparkline(y, 1, COLS - 2, GRAPH_LINES, bytes, count);
	return y + GRAPH_LINES;
}

static void draw_detail(const struct tui *t)
{
	const json_t *epoch = find_detail(t), *domain;
	int y = LINE_VIEWS;
	size_t i;

	if (epoch)
		y = draw_figures(epoch, y);
	else
		put_line(y++, A_BOLD, " this epoch is over");
	y = draw_memory(t, y + 1) + 1;
	json_array_foreach(json_object_get(epoch, "domains"), i, domain) {
		char text[CLEAN_BYTES + 128];

		if (y >= LINES - 3)
			break;
		describe_domain(domain, text, sizeof(text));
		y += tui_put_text(y, 1, COLS - 2, text);
	}
}

static void draw_help(void)
{
	static const char *const lines[] = {
		"1 2 3 4, Tab    epochs, classes, labels, threads",
		"up, down        choose a row; page up and down, home, end",
		"<, >            sort by the column to the left, to the right",
		"r               the other way round",
		"/               show only rows with this text; Enter keeps it, Esc drops it",
		"Enter           look into the epoch, or at a label's epochs; Esc goes back",
		"p, space        pause",
		"h, ?            this text",
		"q               end",
		"",
		"scopes: open scopes and references    held: memory kept from the system",
		"live: what objects take               kept: empty memory threads have at hand",
	};

	put_line(LINE_VIEWS, A_BOLD, " Keys");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		put_line(LINE_HEAD + 1 + (int)i, A_NORMAL, "   %s", lines[i]);
}

static void draw_bottom(const struct tui *t)
{
	const json_t *finding = json_array_get(t->findings, 0);
	const char *back = t->detail || t->help ?
				   "Esc back" :
				   "1-4 view  <> sort  r turn  / filter  Enter look into";

	if (finding)
		put_line(LINES - 2, A_BOLD, " %s: %s: %s", get_text(finding, "severity"),
			 get_text(finding, "id"), get_text(finding, "evidence"));
	put_line(LINES - 1, A_REVERSE, " q end  ? keys  p pause  %s", back);
}

static void draw(struct tui *t)
{
	erase();
	if (LINES < LEAST_LINES || COLS < 40) {
		put_line(0, A_NORMAL, "too small");
	} else {
		draw_top(t);
		if (t->help) {
			draw_help();
		} else if (t->detail) {
			draw_detail(t);
		} else {
			draw_views(t);
			draw_rows(t);
		}
		draw_bottom(t);
	}
	refresh();
}

/* --------------------------------------------------------------------------------------------- keys -- */

static void change_view(struct tui *t, unsigned view)
{
	t->view = view;
	t->detail = 0;
	t->chosen = t->top = 0;
	t->filter[0] = '\0';
	select_rows(t);
}

static void change_sort(struct tui *t, int step)
{
	unsigned count = tui_column_count(current(t));

	t->sort[t->view] = (t->sort[t->view] + count + (unsigned)step) % count;
	t->ascending[t->view] = current(t)->columns[t->sort[t->view]].format == TUI_TEXT;
	select_rows(t);
}

static void move_by(struct tui *t, long step)
{
	long last = (long)json_array_size(t->rows) - 1, to = (long)t->chosen + step;

	t->chosen = (size_t)(to < 0 || last < 0 ? 0 : to > last ? last : to);
}

static void look_into(struct tui *t)
{
	const json_t *row = json_array_get(t->rows, t->chosen);

	if (!row)
		return;
	if (!strcmp(current(t)->name, "epochs")) {
		t->detail = get_u64(row, "epoch");
	} else if (!strcmp(current(t)->name, "labels")) {
		char label[FILTER_BYTES];

		snprintf(label, sizeof(label), "%s", get_text(row, "label"));
		change_view(t, 0);
		if (strcmp(label, "unlabeled") != 0)
			snprintf(t->filter, sizeof(t->filter), "%s", label);
		select_rows(t);
	}
}

static void type(struct tui *t, int key)
{
	size_t length = strlen(t->filter);

	if (key == 27)
		t->filter[0] = '\0';
	if (key == 27 || key == '\r' || key == '\n' || key == KEY_ENTER)
		t->typing = false;
	else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && length)
		t->filter[length - 1] = '\0';
	else if (key >= ' ' && key < 256 && key != 127 && length + 1 < FILTER_BYTES)
		t->filter[length] = (char)key, t->filter[length + 1] = '\0';
	select_rows(t);
}

static void go_back(struct tui *t)
{
	if (t->help)
		t->help = false;
	else if (t->detail)
		t->detail = 0;
	else
		t->filter[0] = '\0';
	select_rows(t);
}

static void on_move(struct tui *t, int key)
{
	long page = LINES - LINE_ROWS - 2;

	switch (key) {
	case KEY_UP:
	case 'k':
		return move_by(t, -1);
	case KEY_DOWN:
	case 'j':
		return move_by(t, 1);
	case KEY_PPAGE:
		return move_by(t, -page);
	case KEY_NPAGE:
		return move_by(t, page);
	case KEY_HOME:
		return move_by(t, -(long)t->chosen);
	case KEY_END:
		return move_by(t, (long)json_array_size(t->rows));
	}
}

/* False: the user has seen enough. */
static bool on_key(struct tui *t, int key)
{
	if (t->typing)
		return type(t, key), true;
	switch (key) {
	case 'q':
		return false;
	case '1':
	case '2':
	case '3':
	case '4':
		change_view(t, (unsigned)(key - '1'));
		break;
	case '\t':
		change_view(t, (t->view + 1) % TUI_VIEWS);
		break;
	case '<':
	case KEY_LEFT:
		change_sort(t, -1);
		break;
	case '>':
	case KEY_RIGHT:
		change_sort(t, 1);
		break;
	case 'r':
		t->ascending[t->view] = !t->ascending[t->view];
		select_rows(t);
		break;
	case '/':
		t->typing = !t->detail;
		break;
	case '\r':
	case '\n':
	case KEY_ENTER:
		look_into(t);
		break;
	case 27:
		go_back(t);
		break;
	case 'p':
	case ' ':
		t->paused = !t->paused;
		break;
	case 'h':
	case '?':
		t->help = !t->help;
		break;
	default:
		on_move(t, key);
	}
	return true;
}

/* --------------------------------------------------------------------------------------------- loop -- */

static void loop(struct tui *t)
{
	uint64_t due = now_ms() + t->interval_ms;
	bool more = true;

	while (more && !ended) {
		uint64_t now = now_ms();
		int key;

		if (now >= due) {
			if (!t->paused)
				look(t);
			due = now + t->interval_ms;
		}
		draw(t);
		timeout((int)(due > now ? due - now : 0));
		key = getch();
		if (key != ERR && key != KEY_RESIZE)
			more = on_key(t, key);
	}
}

static void choose_view(struct tui *t, const char *view)
{
	for (unsigned i = 0; i < TUI_VIEWS; i++) {
		t->sort[i] = tui_views[i].sort;
		if (!strcmp(tui_views[i].name, view))
			t->view = i;
	}
}

int tui_run(struct source *source, json_t *first, uint64_t interval_ms, const char *view)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct tui t = { .source = source, .interval_ms = interval_ms };

	if (!tui_open_screen()) {
		json_decref(first);
		return EXIT_TROUBLE;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	choose_view(&t, view);
	take(&t, first);
	loop(&t);
	tui_close_screen();
	tui_forget(&t.history);
	json_decref(t.rows);
	json_decref(t.findings);
	json_decref(t.before);
	json_decref(t.document);
	return EXIT_FINE;
}
