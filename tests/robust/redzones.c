/* SPDX-License-Identifier: MIT */
/*
 * usage: redzones [--count N] [--seed N]
 * Injects N overflows of 1 to 16 bytes and N writes of 1 to 16 bytes into freed objects, by each way of
 * allocating and at each place where the library looks, and counts what it finds. Prints TAP.
 * For builds with canaries (configure --enable-debug=4).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#include "core/redzone.h"
#include "../random.h"
#include "../tap.h"

enum way { WAY_SCOPE, WAY_NAMED, WAY_CALLOC, WAY_REALLOC, WAY_ALIGNED, WAY_HANDLE, WAYS };
enum place { AT_FREE, AT_REMOTE_FREE, AT_CLOSE, AT_DISCARD, AT_REUSE, PLACES };

static const char *const place_names[PLACES] = { "the free", "a free by another thread",
						 "the close", "the discard", "reuse" };
static uint64_t seed = 20261122;

static void __attribute__((noreturn, format(printf, 1, 2))) bail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("Bail out! ");
	vprintf(format, arguments);
	printf("\n");
	va_end(arguments);
	exit(1);
}

static struct tslab_process_stats figures(void)
{
	struct tslab_process_stats stats = { .struct_bytes = sizeof(stats) };

	if (tslab_stats_process(&stats))
		bail("no figures");
	return stats;
}

/* -- one object --------------------------------------------------------------------------------- */

struct object {
	enum way way;
	size_t bytes;
	tslab_epoch_t epoch;
	tslab_handle_t handle;
	char *p;
};

static size_t some_size(enum way way)
{
	switch (rnd_below(&seed, 8)) {
	case 0:
		return 1 + rnd_below(&seed, 16);
	case 1:
		return 16 * (1 + rnd_below(&seed, 64));
	case 2:
		return way == WAY_HANDLE ? 1 + rnd_below(&seed, 32752) : 1 + rnd_below(&seed, 200000);
	default:
		return 1 + rnd_below(&seed, 1000);
	}
}

static void allocate(struct object *o)
{
	static const size_t alignments[] = { 16, 64, 256, 4096 };

	switch (o->way) {
	case WAY_SCOPE:
		o->p = tslab_malloc(o->bytes);
		break;
	case WAY_NAMED:
		o->p = tslab_alloc(o->epoch, o->bytes);
		break;
	case WAY_CALLOC:
		o->p = tslab_calloc(1, o->bytes);
		break;
	case WAY_REALLOC:
		o->p = tslab_realloc(tslab_malloc(1 + rnd_below(&seed, o->bytes)), o->bytes);
		break;
	case WAY_ALIGNED:
		o->p = tslab_aligned_alloc(alignments[rnd_below(&seed, 4)], o->bytes);
		break;
	default:
		if (tslab_handle_alloc(o->epoch, o->bytes, &o->handle))
			bail("no handle");
		o->p = tslab_handle_get(NULL, o->handle);
		break;
	}
	if (!o->p)
		bail("no memory");
	if (tslab_usable_size(o->p) != o->bytes)
		bail("%zu bytes may be used of %zu", tslab_usable_size(o->p), o->bytes);
	memset(o->p, (int)rnd_below(&seed, 256), o->bytes);
}

static void release(struct object *o)
{
	if (o->way == WAY_HANDLE)
		tslab_handle_free(NULL, o->handle);
	else
		tslab_free(o->p);
}

static void *release_elsewhere(void *arg)
{
	release(arg);
	return NULL;
}

static void on_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, arg) || pthread_join(thread, NULL))
		bail("no thread");
}

/* -- faults ------------------------------------------------------------------------------------- */

/* Never the byte that is there: that would be no damage. */
static void overflow(struct object *o, size_t count)
{
	for (size_t i = 0; i < count; i++)
		o->p[o->bytes + i] ^= (char)(1 + rnd_below(&seed, 255));
}

/* Any bytes, by chance also those that are there. */
static void scribble(struct object *o, size_t count)
{
	size_t at = o->bytes > count ? rnd_below(&seed, o->bytes - count) : 0;

	for (size_t i = 0; i < count && at + i < o->bytes; i++)
		o->p[at + i] = (char)rnd_below(&seed, 256);
}

static __attribute__((noinline)) void begin(struct object *o)
{
	if (tslab_scope_begin(NULL, "injected", &o->epoch))
		bail("no epoch");
}

/* The objects around it are sound: nothing is found in them, and they keep what they hold. */
static void neighbours(void *near[4], bool make)
{
	for (unsigned i = 0; i < 4; i++) {
		if (make)
			near[i] = memset(tslab_malloc(100), 0x55, 100);
		else
			tslab_free(near[i]);
	}
}

static void inject_overflow(enum place place)
{
	struct object o = { .way = (enum way)rnd_below(&seed, WAYS) };
	void *near[4];

	begin(&o);
	o.bytes = some_size(o.way);
	neighbours(near, true);
	allocate(&o);
	overflow(&o, 1 + rnd_below(&seed, 16));
	if (place == AT_FREE)
		release(&o);
	else if (place == AT_REMOTE_FREE)
		on_thread(release_elsewhere, &o);
	if (place == AT_CLOSE) {
		tslab_scope_close(o.epoch);
		release(&o);
		neighbours(near, false);
		return;
	}
	neighbours(near, false);
	tslab_scope_discard(o.epoch);
}

static void inject_freed_write(enum place place)
{
	struct object o = { .way = (enum way)rnd_below(&seed, WAYS) };
	void *near[4], *again = NULL;

	begin(&o);
	/* Memory of larger ones leaves the epoch at once. */
	do
		o.bytes = some_size(o.way);
	while (o.bytes > 30000);
	neighbours(near, true);
	allocate(&o);
	if (place == AT_REMOTE_FREE)
		on_thread(release_elsewhere, &o);
	else
		release(&o);
	scribble(&o, 1 + rnd_below(&seed, 16));
	if (place == AT_REUSE && o.way != WAY_HANDLE)
		again = o.way == WAY_ALIGNED ? tslab_malloc(o.bytes) : tslab_alloc(o.epoch, o.bytes);
	if (place == AT_CLOSE) {
		tslab_scope_close(o.epoch);
		neighbours(near, false);
		tslab_free(again);
		return;
	}
	tslab_free(again);
	neighbours(near, false);
	tslab_scope_discard(o.epoch);
}

/* -- what is said ------------------------------------------------------------------------------- */

static int stderr_kept;
static int line_end;

/* From here on what the library says is read, or goes nowhere. */
static void take_stderr(void)
{
	int ends[2];

	stderr_kept = dup(STDERR_FILENO);
	if (stderr_kept < 0 || pipe2(ends, O_NONBLOCK | O_CLOEXEC) || dup2(ends[1], STDERR_FILENO) < 0)
		bail("no pipe");
	line_end = ends[0];
}

static void last_line(char *line, size_t bytes)
{
	ssize_t got = read(line_end, line, bytes - 1);

	line[got > 0 ? got : 0] = '\0';
}

/* The file that holds the code of "site=NAME+0xOFFSET". */
static bool site_is_here(const char *line)
{
	const char *site = strstr(line, "site="), *plus = site ? strchr(site, '+') : NULL;
	char command[160], answer[256] = "";
	FILE *pipe;

	if (!plus)
		return false;
	snprintf(command, sizeof(command), "addr2line -e /proc/%d/exe %.*s", (int)getpid(),
		 (int)strspn(plus + 1, "0123456789abcdefx"), plus + 1);
	pipe = popen(command, "r");
	if (!pipe || !fgets(answer, sizeof(answer), pipe))
		bail("addr2line does not answer");
	pclose(pipe);
	return strstr(answer, "redzones.c:") != NULL;
}

static void check_lines(void (*inject)(enum place), const char *what, unsigned places)
{
	char line[4096], text[64];

	snprintf(text, sizeof(text), "tslab: %s: heap=default epoch=", what);
	for (unsigned place = 0; place < PLACES; place++) {
		if (!(places >> place & 1))
			continue;
		last_line(line, sizeof(line));
		usleep(250000); /* the library's pause between two lines */
		inject((enum place)place);
		last_line(line, sizeof(line));
		bool good = strncmp(line, text, strlen(text)) == 0 &&
			    strstr(line, " label=\"injected\"") && strstr(line, " size=") &&
			    strstr(line, " offset=") && site_is_here(line);
		tap_ok(good, "%s, found at %s: label, size, offset and source file of the enter site",
		       what, place_names[place]);
		if (!good)
			printf("# %s", line);
	}
}

static void sound_objects(unsigned count)
{
	struct tslab_process_stats before = figures(), after;
	char line[4096];

	for (unsigned i = 0; i < count; i++) {
		struct object o = { .way = (enum way)rnd_below(&seed, WAYS) };

		begin(&o);
		o.bytes = some_size(o.way);
		allocate(&o);
		if (rnd_below(&seed, 2))
			release(&o);
		if (rnd_below(&seed, 2))
			allocate(&o);
		tslab_scope_discard(o.epoch);
	}
	after = figures();
	if (after.overflows_found != before.overflows_found ||
	    after.freed_writes_found != before.freed_writes_found) {
		last_line(line, sizeof(line));
		printf("# %s", line);
	}
	tap_ok(after.overflows_found == before.overflows_found &&
		       after.freed_writes_found == before.freed_writes_found,
	       "nothing is found in %u sound epochs", count);
}

static void inject_all(unsigned count)
{
	static const unsigned freed_places = 1u << AT_REUSE | 1u << AT_DISCARD | 1u << AT_CLOSE |
					     1u << AT_REMOTE_FREE;
	struct tslab_process_stats before = figures(), after;
	uint64_t found;
	unsigned done = 0;

	for (unsigned i = 0; i < count; i++)
		inject_overflow((enum place)rnd_below(&seed, AT_DISCARD + 1));
	after = figures();
	found = after.overflows_found - before.overflows_found;
	tap_ok(found == count && after.freed_writes_found == before.freed_writes_found,
	       "%u overflows of 1 to 16 bytes: %llu found, %.3f %%", count,
	       (unsigned long long)found, 100.0 * (double)found / count);
	before = after;
	while (done < count) {
		unsigned place = (unsigned)rnd_below(&seed, PLACES);

		if (!(freed_places >> place & 1))
			continue;
		inject_freed_write((enum place)place);
		done++;
	}
	after = figures();
	found = after.freed_writes_found - before.freed_writes_found;
	tap_ok(found <= count && (double)found >= 0.999 * count &&
		       after.overflows_found == before.overflows_found,
	       "%u writes of 1 to 16 bytes after the free: %llu found, %.3f %%", count,
	       (unsigned long long)found, 100.0 * (double)found / count);
}

int main(int argc, char **argv)
{
	unsigned count = 100000;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--count"))
			count = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (i + 1 < argc && !strcmp(argv[i], "--seed"))
			seed = strtoull(argv[i + 1], NULL, 10);
		else
			bail("usage: redzones [--count N] [--seed N]");
	}
	if (TSLAB_REDZONE != TS_REDZONE_CANARIES)
		bail("this build has no canaries: configure --enable-debug=4");
	printf("# seed %llu\n", (unsigned long long)seed);
	take_stderr();
	sound_objects(count / 10);
	check_lines(inject_overflow, "overflow of an object",
		    1u << AT_FREE | 1u << AT_REMOTE_FREE | 1u << AT_CLOSE | 1u << AT_DISCARD);
	check_lines(inject_freed_write, "write into a freed object",
		    1u << AT_REUSE | 1u << AT_DISCARD | 1u << AT_CLOSE);
	inject_all(count);
	dup2(stderr_kept, STDERR_FILENO);
	return tap_end();
}
