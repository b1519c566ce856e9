/* SPDX-License-Identifier: MIT */
/*
 * usage: redzone_deaths             each mistake in a child that AddressSanitizer must end: TAP
 *        redzone_deaths MISTAKE     makes it: what Valgrind is run on by test_redzones.sh
 * For builds whose red zones a tool watches: --enable-debug=4 --with-sanitizer=address, --enable-valgrind.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tslab/tslab.h>

#include "core/redzone.h"

/* What the compiler cannot know the length of. */
static char *volatile object;
static tslab_epoch_t epoch;

static void touch(size_t at)
{
	object[at] = 1;
}

static void nothing(void)
{
	for (size_t bytes = 1; bytes < 200000; bytes = bytes * 3 / 2 + 1) {
		object = tslab_malloc(bytes);
		memset(object, 1, bytes);
		object = tslab_realloc(object, bytes * 2);
		memset(object, 2, bytes * 2);
		object = tslab_realloc(object, bytes + bytes / 2);
		tslab_free(object);
		object = tslab_calloc(1, bytes);
		for (size_t i = 0; i < bytes; i++)
			if (object[i])
				abort();
	}
	tslab_scope_discard(epoch);
	for (unsigned round = 0; round < 100; round++) {
		tslab_scope_begin(NULL, "again", &epoch);
		memset(tslab_malloc(1000), 3, 1000);
		tslab_scope_discard(epoch);
	}
}

static void overflow(void)
{
	touch(100);
}

static void overflow_of_a_full_slot(void)
{
	object = tslab_malloc(128);
	touch(128);
}

static void overflow_of_a_large_object(void)
{
	object = tslab_malloc(100000);
	touch(100000);
}

static void overflow_after_realloc(void)
{
	object = tslab_realloc(object, 90);
	touch(90);
}

static void use_after_free(void)
{
	tslab_free(object);
	touch(0);
}

static void use_after_free_of_a_large_object(void)
{
	object = tslab_malloc(100000);
	tslab_free(object);
	touch(50000);
}

static void use_after_discard(void)
{
	tslab_scope_discard(epoch);
	touch(50);
}

static void use_after_close(void)
{
	tslab_free(object);
	tslab_scope_close(epoch);
	touch(50);
}

static void use_of_a_freed_handle(void)
{
	tslab_handle_t handle;

	tslab_handle_alloc(epoch, 100, &handle);
	object = tslab_handle_get(NULL, handle);
	tslab_handle_free(NULL, handle);
	touch(8);
}

static const struct {
	const char *name;
	void (*make)(void);
} mistakes[] = {
	{ "nothing", nothing },
	{ "overflow", overflow },
	{ "overflow_of_a_full_slot", overflow_of_a_full_slot },
	{ "overflow_of_a_large_object", overflow_of_a_large_object },
	{ "overflow_after_realloc", overflow_after_realloc },
	{ "use_after_free", use_after_free },
	{ "use_after_free_of_a_large_object", use_after_free_of_a_large_object },
	{ "use_after_discard", use_after_discard },
	{ "use_after_close", use_after_close },
	{ "use_of_a_freed_handle", use_of_a_freed_handle },
};
enum { MISTAKES = sizeof(mistakes) / sizeof(mistakes[0]) };

static void make(unsigned i)
{
	if (tslab_scope_begin(NULL, "mistaken", &epoch) || !(object = tslab_malloc(100)))
		abort();
	memset(object, 0, 100);
	mistakes[i].make();
}

/* What it wrote to stderr, and whether it ended well. */
static bool in_child(unsigned i, char *text, size_t bytes)
{
	int ends[2], status = 0;
	size_t have = 0;
	ssize_t got;
	pid_t pid;

	fflush(NULL);
	if (pipe(ends) || (pid = fork()) < 0)
		abort();
	if (!pid) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		make(i);
		_exit(0);
	}
	close(ends[1]);
	while (have + 1 < bytes && (got = read(ends[0], text + have, bytes - 1 - have)) > 0)
		have += (size_t)got;
	text[have] = '\0';
	close(ends[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	static char text[65536];
	unsigned failures = 0;

	if (argc > 1) {
		for (unsigned i = 0; i < MISTAKES; i++) {
			if (strcmp(argv[1], mistakes[i].name) != 0)
				continue;
			make(i);
			return 0;
		}
		fprintf(stderr, "redzone_deaths: no mistake \"%s\"\n", argv[1]);
		return 2;
	}
	if (TSLAB_REDZONE != TS_REDZONE_ASAN) {
		puts("Bail out! no build for AddressSanitizer: --enable-debug=4 --with-sanitizer=address");
		return 1;
	}
	for (unsigned i = 0; i < MISTAKES; i++) {
		bool well = in_child(i, text, sizeof(text));
		bool good = i ? !well && strstr(text, "use-after-poison") && strstr(text, "touch") :
				well;

		failures += !good;
		printf("%sok %u - AddressSanitizer %s %s\n", good ? "" : "not ", i + 1,
		       i ? "traps" : "finds", mistakes[i].name);
		if (!good)
			printf("# %.2000s\n", text);
	}
	printf("1..%u\n", MISTAKES);
	return failures != 0;
}
