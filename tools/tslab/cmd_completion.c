/* SPDX-License-Identifier: MIT */
/* Completion for shells, made of the commands' own tables. */
#include <string.h>

#include "tool.h"

/* "a|b" with spaces. */
static void print_words(const char *words)
{
	for (; *words; words++)
		putchar(*words == '|' ? ' ' : *words);
}

static bool names_file(const struct option_row *row)
{
	return row->kind == OPTION_FILE || (row->kind == OPTION_TEXTS && !strcmp(row->value, "FILE"));
}

/* -------------------------------------------------------------------------------------------- bash -- */

static void bash_option(const struct option_row *row, void *context)
{
	(void)context;
	printf(" --%s", row->name);
}

/* What follows an option that takes something. */
static void bash_value(const struct option_row *row, void *context)
{
	(void)context;
	if (row->kind == OPTION_FLAG)
		return;
	printf("\t\t--%s) ", row->name);
	if (names_file(row)) {
		printf("COMPREPLY=($(compgen -f -- \"$cur\")); return");
	} else if (row->kind == OPTION_CHOICE) {
		printf("COMPREPLY=($(compgen -W '");
		print_words(row->value);
		printf("' -- \"$cur\")); return");
	} else if (!strcmp(row->name, "name")) {
		printf("COMPREPLY=($(compgen -W \"$(_tslab_processes comm)\" -- \"$cur\")); return");
	} else {
		printf("return");
	}
	puts(" ;;");
}

static void print_bash(void)
{
	puts("# bash completion for tslab\n"
	     "_tslab_processes() {\n"
	     "\ttslab ps --all-users --json 2>/dev/null | sed -n 's/^ *\"'\"$1\"'\": \"*\\([^\",]*\\)\"*,$/\\1/p'\n"
	     "}\n"
	     "_tslab() {\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} options= words=\n"
	     "\tCOMPREPLY=()\n"
	     "\tif [ \"$COMP_CWORD\" -eq 1 ]; then");
	printf("\t\tCOMPREPLY=($(compgen -W '--help --version");
	for (size_t i = 0; commands[i]; i++)
		printf(" %s", commands[i]->name);
	puts("' -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase ${COMP_WORDS[1]} in");
	for (size_t i = 0; commands[i]; i++) {
		printf("\t%s)\n\t\tcase $prev in\n", commands[i]->name);
		options_visit(commands[i], bash_value, NULL);
		printf("\t\tesac\n\t\toptions='");
		options_visit(commands[i], bash_option, NULL);
		printf("'\n\t\twords=\"");
		if (commands[i]->words)
			print_words(commands[i]->words);
		printf("%s\"\n\t\t;;\n",
		       commands[i]->source == SOURCE_NONE ? "" : " $(_tslab_processes pid)");
	}
	puts("\t*) return ;;\n\tesac\n"
	     "\tcase $cur in\n"
	     "\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
	     "\t*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- \"$cur\")) ;;\n"
	     "\tesac\n"
	     "}\n"
	     "complete -F _tslab tslab");
}

/* --------------------------------------------------------------------------------------------- zsh -- */

/* The first line of a text, without what a quoted word of zsh or fish must not have. */
static void print_plain(const char *text)
{
	for (; *text && *text != '\n'; text++)
		if (!strchr("'[]:\\`$\"", *text))
			putchar(*text);
}

static void zsh_option(const struct option_row *row, void *context)
{
	(void)context;
	printf(" \\\n\t\t\t'%s--%s%s[", row->kind == OPTION_TEXTS ? "*" : "", row->name,
	       row->kind == OPTION_FLAG ? "" : "=");
	print_plain(row->help);
	putchar(']');
	if (row->kind == OPTION_CHOICE) {
		printf(":word:(");
		print_words(row->value);
		putchar(')');
	} else if (row->kind != OPTION_FLAG) {
		printf(":%s:%s", row->value, names_file(row) ? "_files" : "");
	}
	putchar('\'');
}

static void print_zsh(void)
{
	puts("# zsh completion for tslab\n"
	     "_tslab() {\n"
	     "\tlocal -a commands\n"
	     "\tcommands=(");
	for (size_t i = 0; commands[i]; i++) {
		printf("\t\t'%s:", commands[i]->name);
		print_plain(commands[i]->summary);
		puts("'");
	}
	puts("\t)\n"
	     "\tif (( CURRENT == 2 )); then\n"
	     "\t\t_describe command commands\n"
	     "\t\treturn\n"
	     "\tfi\n"
	     "\tlocal command=$words[2]\n"
	     "\tshift words\n"
	     "\t(( CURRENT-- ))\n"
	     "\tcase $command in");
	for (size_t i = 0; commands[i]; i++) {
		printf("\t%s)\n\t\t_arguments", commands[i]->name);
		options_visit(commands[i], zsh_option, NULL);
		if (commands[i]->words) {
			printf(" \\\n\t\t\t'1:word:(");
			print_words(commands[i]->words);
			printf(")'");
		}
		printf(" \\\n\t\t\t'*:%s'\n\t\t;;\n",
		       commands[i]->source == SOURCE_NONE ? "file:_files" : "process:_pids");
	}
	puts("\tesac\n}\ncompdef _tslab tslab");
}

/* -------------------------------------------------------------------------------------------- fish -- */

static void fish_option(const struct option_row *row, void *context)
{
	const struct command *command = context;

	printf("complete -c tslab -n '__fish_seen_subcommand_from %s' -l %s", command->name,
	       row->name);
	if (row->kind == OPTION_CHOICE) {
		printf(" -x -a '");
		print_words(row->value);
		putchar('\'');
	} else if (row->kind != OPTION_FLAG) {
		printf(" -r%s", names_file(row) ? " -F" : " -f");
	}
	printf(" -d '");
	print_plain(row->help);
	puts("'");
}

static void print_fish(void)
{
	puts("# fish completion for tslab");
	for (size_t i = 0; commands[i]; i++) {
		const struct command *command = commands[i];

		printf("complete -c tslab -n __fish_use_subcommand -f -a %s -d '", command->name);
		print_plain(command->summary);
		puts("'");
		options_visit(command, fish_option, (void *)command);
		if (command->words) {
			printf("complete -c tslab -n '__fish_seen_subcommand_from %s' -f -a '",
			       command->name);
			print_words(command->words);
			puts("'");
		}
		if (command->source != SOURCE_NONE)
			printf("complete -c tslab -n '__fish_seen_subcommand_from %s' -f -a "
			       "'(__fish_complete_pids)'\n",
			       command->name);
	}
}

static int run(struct source *source, int argc, char **argv)
{
	static void (*const print[])(void) = { print_bash, print_zsh, print_fish };
	unsigned shell;

	(void)source;
	if (argc != 1)
		return complain("give one shell"), complain_usage();
	shell = choice_index(command_completion.words, argv[0]);
	if (shell >= sizeof(print) / sizeof(print[0]))
		return complain("no completion for \"%s\"", argv[0]), complain_usage();
	print[shell]();
	return EXIT_FINE;
}

const struct command command_completion = {
	.name = "completion",
	.summary = "print completion for a shell",
	.usage = "bash|zsh|fish",
	.text = "Prints completion for a shell; what `make install` puts into place asks for it here.\n",
	.words = "bash|zsh|fish",
	.run = run,
};
