/* SPDX-License-Identifier: MIT */
/* tslab: looks into programs that use the library, from outside. */
#include <stdarg.h>
#include <string.h>

#include "config.h"
#include "tool.h"

const struct command *const commands[] = {
	&command_ps,     &command_stats,      &command_watch,
	&command_top,    &command_leaks,      &command_doctor,
	&command_drain,  &command_trace,      &command_hist,
	&command_diff,   &command_record,     &command_replay,
	&command_export, &command_serve,      &command_verify,
	&command_set,    &command_completion, NULL,
};

static char *listener;
static size_t listener_bytes;

void complain_into(char *buffer, size_t buffer_bytes)
{
	listener = buffer;
	listener_bytes = buffer_bytes;
}

int complain(const char *format, ...)
{
	char message[1024], cleaned[CLEAN_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	clean(message, cleaned, sizeof(cleaned));
	if (listener)
		snprintf(listener, listener_bytes, "%s", cleaned);
	else
		fprintf(stderr, "tslab: %s\n", cleaned);
	return EXIT_TROUBLE;
}

int finish_output(int code)
{
	if (fflush(stdout) || ferror(stdout))
		return complain("cannot write: %m");
	return code;
}

int print_json(const json_t *value, int code)
{
	if (json_dumpf(value, stdout, JSON_INDENT(1)) || putchar('\n') == EOF)
		return complain("cannot write the JSON");
	return code;
}

static void print_help(FILE *to)
{
	fputs("Usage: tslab COMMAND [OPTION]... [PID]\n"
	      "Looks into a program that uses libtslab, from outside: no preparation, no restart, no help\n"
	      "from the program. Also works on programs that are stopped or deadlocked.\n\n",
	      to);
	for (unsigned i = 0; commands[i]; i++)
		fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n`tslab COMMAND --help` tells more. A process can be read by its own user and by root.\n"
	      "Exit status: 0 fine, 1 no process (ps), 2 trouble, 3 a regression (diff),\n"
	      "4 something was found (leaks, doctor, verify).\n",
	      to);
}

const struct command *find_command(const char *name)
{
	for (unsigned i = 0; commands[i]; i++)
		if (!strcmp(name, commands[i]->name))
			return commands[i];
	return NULL;
}

static int run(const struct command *command, int argc, char **argv)
{
	int code;

	if (options_read(command, &argc, &argv, &code))
		code = command->run(&the_source, argc, argv);
	source_close(&the_source);
	return finish_output(code);
}

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const struct command *command;

	if (argc && !strcmp(slash ? slash + 1 : argv[0], command_stats_dump.name))
		return run(&command_stats_dump, argc, argv);
	if (argc < 2) {
		print_help(stderr);
		return EXIT_TROUBLE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help(stdout);
		return finish_output(EXIT_FINE);
	}
	if (!strcmp(argv[1], "--version")) {
		puts("tslab " PACKAGE_VERSION);
		return finish_output(EXIT_FINE);
	}
	command = find_command(argv[1]);
	if (command)
		return run(command, argc - 1, argv + 1);
	complain("no command \"%s\"", argv[1]);
	print_help(stderr);
	return EXIT_TROUBLE;
}
