/* SPDX-License-Identifier: MIT */
#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "tui.h"

enum { CELLS_MAX = 512 };

static SCREEN *screen;
static bool has_unicode;

bool tui_open_screen(void)
{
	const char *terminal = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		complain("--tui needs a terminal");
		return false;
	}
	setlocale(LC_CTYPE, "");
	has_unicode = !strcmp(nl_langinfo(CODESET), "UTF-8");
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		complain("--tui: the terminal \"%s\" is not known", terminal ? terminal : "");
		return false;
	}
	set_escdelay(50);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	curs_set(0);
	return true;
}

void tui_close_screen(void)
{
	endwin();
	delscreen(screen);
}

/* In the terminal's own letters, at most `width` columns of them. Returns the columns. */
static int fit(const char *text, int width, wchar_t *wide)
{
	char cleaned[CLEAN_BYTES];
	const char *at = clean(text, cleaned, sizeof(cleaned));
	int used = 0, count = 0;
	mbstate_t state;

	memset(&state, 0, sizeof(state));
	while (*at && count < CELLS_MAX) {
		wchar_t letter;
		size_t bytes = mbrtowc(&letter, at, strlen(at), &state);
		int columns;

		if (bytes == (size_t)-1 || bytes == (size_t)-2) {
			memset(&state, 0, sizeof(state));
			letter = L'?';
			bytes = 1;
		}
		columns = wcwidth(letter);
		if (columns < 1) { /* a mark that would join the letter before, or none at all */
			letter = L'?';
			columns = 1;
		}
		if (used + columns > width)
			break;
		wide[count++] = letter;
		used += columns;
		at += bytes;
	}
	wide[count] = L'\0';
	return used;
}

void tui_put(int y, int x, int width, const char *text, bool right)
{
	wchar_t wide[CELLS_MAX + 1];
	int used;

	if (x + width > COLS)
		width = COLS - x;
	if (y >= LINES || width <= 0)
		return;
	used = fit(text, width, wide);
	move(y, x);
	for (int i = used; right && i < width; i++)
		addch(' ');
	addwstr(wide);
	for (int i = used; !right && i < width; i++)
		addch(' ');
}

int tui_put_text(int y, int x, int width, const char *text)
{
	int first = y;

	while (*text) {
		size_t length = strlen(text), at = length;
		char line[CELLS_MAX];

		if (length > (size_t)width) {
			at = (size_t)width;
			while (at && text[at] != ' ')
				at--;
			at = at ? at : (size_t)width;
		}
		snprintf(line, sizeof(line), "%.*s", (int)at, text);
		tui_put(y++, x, width, line, false);
		text += at;
		text += strspn(text, " ");
	}
	return y - first;
}

const char *tui_mark(bool ascending)
{
	if (has_unicode)
		return ascending ? "\u25b2" : "\u25bc";
	return ascending ? "+" : "-";
}

/* One line of a graph: `from` eighths of a cell and more are drawn in it. */
static void put_level(int y, int x, const unsigned *eighths, size_t count, unsigned from)
{
	static const wchar_t blocks[] = L" \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588";
	static const wchar_t letters[] = L" ...::ooO";
	const wchar_t *levels = has_unicode ? blocks : letters;
	wchar_t line[CELLS_MAX + 1];

	for (size_t i = 0; i < count; i++)
		line[i] = levels[eighths[i] <= from     ? 0 :
				 eighths[i] >= from + 8 ? 8 :
							  eighths[i] - from];
	line[count] = L'\0';
	if (y < LINES)
		mvaddwstr(y, x, line);
}

void tui_put_sparkline(int y, int x, int width, int height, const uint64_t *values, size_t count)
{
	size_t cells = width < CELLS_MAX ? (size_t)width : CELLS_MAX;
	unsigned eighths[CELLS_MAX] = { 0 };
	uint64_t most = 1;

	if (count > cells) {
		values += count - cells;
		count = cells;
	}
	for (size_t i = 0; i < count; i++)
		most = values[i] > most ? values[i] : most;
	/* Something is never drawn as nothing. */
	for (size_t i = 0; i < count; i++)
		eighths[cells - count + i] =
			(values[i] > 0) +
			(unsigned)((double)values[i] / (double)most * (8 * height - 1));
	for (int i = 0; i < height; i++)
		put_level(y + i, x, eighths, cells, (unsigned)(8 * (height - 1 - i)));
}
