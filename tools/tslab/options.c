/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

enum { ROWS_MAX = 32, FIRST_VALUE = 256 };

/* The command that is being read; the tool has one thread. */
static const struct command *current;

static const struct option_row help_rows[] = {
	{ "help", OPTION_FLAG, NULL, NULL, "this text" },
	{ .name = NULL },
};

static void visit_table(const struct option_row *rows, visit_option *visit, void *context)
{
	for (; rows && rows->name; rows++)
		visit(rows, context);
}

void options_visit(const struct command *command, visit_option *visit, void *context)
{
	visit_table(command->options, visit, context);
	if (command->source != SOURCE_NONE)
		visit_table(source_process_rows, visit, context);
	if (command->source == SOURCE_SNAPSHOT)
		visit_table(source_snapshot_rows, visit, context);
	visit_table(help_rows, visit, context);
}

/* What stands before the command's name. */
static const char *program(void)
{
	return current == &command_stats_dump ? "" : "tslab ";
}

/* ------------------------------------------------------------------------------------------- values -- */

unsigned choice_index(const char *words, const char *text)
{
	unsigned index = 0;

	while (words) {
		size_t length = strcspn(words, "|");

		if (strlen(text) == length && !strncmp(words, text, length))
			return index;
		index++;
		words = words[length] ? words + length + 1 : NULL;
	}
	return index;
}

static bool take_choice(const struct option_row *row, const char *text)
{
	unsigned index = choice_index(row->value, text);

	*(unsigned *)row->into = index;
	return index < choice_index(row->value, "");
}

/* What `text` should have been. */
static const char *wanted(const struct option_row *row)
{
	switch (row->kind) {
	case OPTION_COUNT:
		return "no number from 1 to 1000000";
	case OPTION_SECONDS:
		return "no time such as 0, 90s or 5m";
	case OPTION_MS:
		return "no time such as 250ms, 1s or 5m";
	case OPTION_BYTES:
		return "no size such as 500K, 100M or 1G";
	case OPTION_TEXTS:
		return "one too many";
	default:
		return "none of";
	}
}

static bool take_value(const struct option_row *row, const char *text)
{
	struct texts *texts = row->into;
	uint64_t ms;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)row->into = true;
		return true;
	case OPTION_TEXT:
	case OPTION_FILE:
		*(const char **)row->into = text;
		return true;
	case OPTION_TEXTS:
		if (texts->count == TEXTS_MAX)
			return false;
		texts->text[texts->count++] = text;
		return true;
	case OPTION_COUNT:
		return parse_count(text, row->into);
	case OPTION_SECONDS:
		if (!parse_ms(text, &ms) || ms % 1000)
			return false;
		*(uint64_t *)row->into = ms / 1000;
		return true;
	case OPTION_MS:
		return parse_ms(text, row->into) && *(uint64_t *)row->into > 0;
	case OPTION_BYTES:
		return parse_bytes(text, row->into);
	case OPTION_CHOICE:
		return take_choice(row, text);
	}
	return false;
}

static bool take(const struct option_row *row, const char *text)
{
	if (take_value(row, text))
		return true;
	complain("--%s: \"%s\" is %s%s%s", row->name, text, wanted(row),
		 row->kind == OPTION_CHOICE ? " " : "", row->kind == OPTION_CHOICE ? row->value : "");
	return false;
}

/* ------------------------------------------------------------------------------------------ reading -- */

/* The options in getopt's form. */
struct reader {
	const struct option_row *rows[ROWS_MAX];
	struct option options[ROWS_MAX + 1];
	char letters[2 * ROWS_MAX + 4];
	int count;
};

static void add_option(const struct option_row *row, void *context)
{
	struct reader *reader = context;
	bool value = row->kind != OPTION_FLAG;

	if (reader->count == ROWS_MAX)
		abort();
	reader->rows[reader->count] = row;
	reader->options[reader->count] = (struct option){ row->name,
							  value ? required_argument : no_argument,
							  NULL, FIRST_VALUE + reader->count };
	if (!row->name[1])
		strcat(strcat(reader->letters, row->name), value ? ":" : "");
	reader->count++;
}

static const struct option_row *row_of(const struct reader *reader, int option)
{
	for (int i = 0; i < reader->count; i++)
		if (option == FIRST_VALUE + i ||
		    (option == reader->rows[i]->name[0] && !reader->rows[i]->name[1]))
			return reader->rows[i];
	return &help_rows[0]; /* -h */
}

bool options_read(const struct command *command, int *argc, char ***argv, int *code)
{
	struct reader reader = { .letters = "" };
	int option;

	current = command;
	*code = EXIT_TROUBLE;
	strcpy(reader.letters, command->stops ? "+h" : "h");
	options_visit(command, add_option, &reader);
	optind = 0; /* glibc: start anew */
	while ((option = getopt_long(*argc, *argv, reader.letters, reader.options, NULL)) != -1) {
		const struct option_row *row = row_of(&reader, option);

		if (option == '?')
			return complain_usage(), false;
		if (row == &help_rows[0]) {
			options_help(stdout, command);
			*code = EXIT_FINE;
			return false;
		}
		if (!take(row, optarg))
			return complain_usage(), false;
	}
	*argc -= optind;
	*argv += optind;
	return true;
}

int complain_usage(void)
{
	fprintf(stderr, "Try `%s%s --help`.\n", program(), current->name);
	return EXIT_TROUBLE;
}

/* --------------------------------------------------------------------------------------------- help -- */

static void print_option(const struct option_row *row, void *context)
{
	enum { COLUMN = 20 };
	FILE *to = context;
	int used = fprintf(to, "  --%s%s%s", row->name, row->value ? " " : "",
			   row->value ? row->value : "");

	fprintf(to, "%*s", used < COLUMN - 1 ? COLUMN - used : 0, "");
	if (used >= COLUMN - 1)
		fprintf(to, "\n%*s", COLUMN, "");
	for (const char *at = row->help; *at; at++) {
		fputc(*at, to);
		if (*at == '\n')
			fprintf(to, "%*s", COLUMN, "");
	}
	fputc('\n', to);
}

void options_help(FILE *to, const struct command *command)
{
	static const char *const sources[] = {
		[SOURCE_NONE] = "",
		[SOURCE_PROCESS] = " PID | --name NAME",
		[SOURCE_SNAPSHOT] = " PID | --name NAME | --stdin | --file FILE",
	};

	fprintf(to, "Usage: %s%s [OPTION]...%s%s%s\n%s\n", program(), command->name,
		*command->usage ? " " : "", command->usage, sources[command->source], command->text);
	options_visit(command, print_option, to);
	if (command->notes)
		fprintf(to, "\n%s\n", command->notes);
}
