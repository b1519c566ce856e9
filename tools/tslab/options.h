/* SPDX-License-Identifier: MIT */
/*
 * options.h: what a command is. Its options are a table, from which the command line is read, --help is
 * printed and the shells' completion is made, so that none of them can lag behind.
 */
#ifndef TSLAB_OPTIONS_H
#define TSLAB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct source;

enum option_kind {
	OPTION_FLAG,    /* into a bool, true when given */
	OPTION_TEXT,    /* into a const char * */
	OPTION_TEXTS,   /* into a struct texts: may be given more than once */
	OPTION_FILE,    /* as OPTION_TEXT; shells complete it to a file */
	OPTION_COUNT,   /* into a size_t, 1 to 1000000 */
	OPTION_SECONDS, /* into a uint64_t: 90s, 5m, 1h, 1d */
	OPTION_MS,      /* into a uint64_t, milliseconds: 250ms, 1s */
	OPTION_BYTES,   /* into a uint64_t: 500K, 100M, 1G */
	OPTION_CHOICE,  /* into an unsigned: which of the words in `value` */
};

struct option_row {
	const char *name; /* of one letter: also with one dash */
	enum option_kind kind;
	void *into;
	const char *value; /* what --help calls it; of a choice its words, "md|json|junit" */
	const char *help;  /* lines */
};

enum { TEXTS_MAX = 64 };
struct texts {
	const char *text[TEXTS_MAX];
	size_t count;
};

/* Which options of source.c a command has besides its own. */
enum source_kind {
	SOURCE_NONE,
	SOURCE_PROCESS,  /* PID, --name */
	SOURCE_SNAPSHOT, /* these, --stdin, --file, --core, --at, --sysroot */
};

struct command {
	const char *name;
	const char *summary;              /* a line in the list of commands */
	const char *usage;                /* operands, in --help */
	const char *text;                 /* what it does, in --help */
	const struct option_row *options; /* ends with a row without a name; may be NULL */
	enum source_kind source;
	bool stops;        /* options behind the first operand are not this command's */
	const char *words; /* operands that are words of a choice, "NAME|NAME"; for completion */
	const char *notes; /* below the options, in --help; may be NULL */
	/* With the operands; for an exit status. */
	int (*run)(struct source *source, int argc, char **argv);
};

/*
 * Reads the options in argv[1] and on, and moves argc and argv to the operands. False: *code is the exit
 * status, because --help was asked for, or the usage was bad, which has been said.
 */
bool options_read(const struct command *command, int *argc, char ***argv, int *code);
void options_help(FILE *to, const struct command *command);
/* Visits a command's options, those of its source and --help included. */
typedef void visit_option(const struct option_row *row, void *context);
void options_visit(const struct command *command, visit_option *visit, void *context);
/* The index of `text` among the words of "a|b|c", or their number. */
unsigned choice_index(const char *words, const char *text);
/* Bad usage of the command that options were read for last: points at --help. Returns EXIT_TROUBLE. */
int complain_usage(void);

#endif
