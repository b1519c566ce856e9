/* SPDX-License-Identifier: MIT */
/* tslab: looks into programs that use the library, from outside. */
#include <stdarg.h>
#include <string.h>

#include "config.h"
#include "tool.h"

static const struct {
	const char *name;
	command_main *main;
	const char *summary;
} commands[] = {
	{ "ps", cmd_ps, "list processes that use the library" },
	{ "stats", cmd_stats, "show the figures of a process" },
	{ "top", cmd_top, "rank epochs or size classes" },
	{ "leaks", cmd_leaks, "show scopes that were entered and not left" },
	{ "doctor", cmd_doctor, "say what is wrong, why, and what to do" },
	{ "set", cmd_set, "change what a process does, while it runs" },
	{ "verify", cmd_verify, "check that the figures agree with each other" },
};
enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

int complain(const char *format, ...)
{
	char message[1024], cleaned[CLEAN_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	fprintf(stderr, "tslab: %s\n", clean(message, cleaned, sizeof(cleaned)));
	return EXIT_TROUBLE;
}

int complain_usage(const char *command)
{
	fprintf(stderr, "Try `tslab %s --help`.\n", command);
	return EXIT_TROUBLE;
}

int finish_output(int code)
{
	if (fflush(stdout) || ferror(stdout))
		return complain("cannot write: %m");
	return code;
}

static void print_help(FILE *to)
{
	fputs("Usage: tslab COMMAND [OPTION]... [PID]\n"
	      "Looks into a program that uses libtslab, from outside: no preparation, no restart, no help\n"
	      "from the program. Also works on programs that are stopped or deadlocked.\n\n",
	      to);
	for (unsigned i = 0; i < COMMAND_COUNT; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs("\n`tslab COMMAND --help` tells more. A process can be read by its own user and by root.\n"
	      "Exit status: 0 fine, 1 no process (ps), 2 trouble, 4 something was found (leaks, doctor, verify).\n",
	      to);
}

static int run(const char *name, int argc, char **argv)
{
	for (unsigned i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(name, commands[i].name))
			return finish_output(commands[i].main(argc, argv));
	complain("no command \"%s\"", name);
	print_help(stderr);
	return EXIT_TROUBLE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EXIT_TROUBLE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help(stdout);
		return finish_output(EXIT_FINE);
	}
	if (!strcmp(argv[1], "--version")) {
		puts("tslab " PACKAGE_VERSION);
		return finish_output(EXIT_FINE);
	}
	return run(argv[1], argc - 1, argv + 1);
}
