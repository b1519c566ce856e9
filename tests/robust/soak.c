/* SPDX-License-Identifier: MIT */
/*
 * Constant load, and does memory stay constant? A cycle opens epochs, fills them, frees part of it from
 * another thread, closes or discards them. After each: committed memory, resident memory, mappings.
 *
 *   soak [--cycles N]       as TAP: no drift from the tenth cycle on, RSS within a tenth
 *   soak --seconds N        as long as that, five cycles a second where the machine has the time for them; besides, the
 *                           slopes in percent an hour (0.1 from ten minutes on)
 */
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

enum { EPOCHS = 8, OBJECTS = 2000, WARM_CYCLES = 10, JUDGED_SECONDS = 600, CYCLE_US = 200000 };

/* Of one quantity, over all cycles that count: least squares against the time. */
struct series {
	const char *name;
	double n, t, y, tt, ty, least, most;
};

static struct series committed = { .name = "committed memory" };
static struct series resident = { .name = "resident memory" };
static struct series mappings = { .name = "mappings" };
static void *objects[EPOCHS][OBJECTS];
static unsigned tests, failures;

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("Bail out! %s\n", what);
	exit(1);
}

/* ---------------------------------------------------------------------------------------- load -- */

static size_t bytes_of(unsigned i)
{
	return i % 500 == 0 ? 100000 : 16 + i * 131 % 3000;
}

static void *free_a_third(void *arg)
{
	void **mine = arg;

	for (unsigned i = 0; i < OBJECTS; i += 3) {
		tslab_free(mine[i]);
		mine[i] = NULL;
	}
	return NULL;
}

static void cycle(void)
{
	tslab_epoch_t epochs[EPOCHS];
	pthread_t helper;

	for (unsigned e = 0; e < EPOCHS; e++) {
		must(tslab_epoch_open(NULL, "soak", &epochs[e]) == 0, "no epoch");
		must(tslab_domain_enter(epochs[e]) == 0, "no scope");
		for (unsigned i = 0; i < OBJECTS; i++) {
			objects[e][i] = tslab_malloc(bytes_of(i));
			must(objects[e][i] != NULL, "no memory");
			memset(objects[e][i], (int)i, bytes_of(i));
		}
		must(pthread_create(&helper, NULL, free_a_third, objects[e]) == 0, "no thread");
		must(pthread_join(helper, NULL) == 0, "no thread");
		must(tslab_domain_exit(epochs[e]) == 0, "no exit");
	}
	for (unsigned e = 0; e < EPOCHS; e++) {
		if (e % 2) {
			must(tslab_epoch_discard(epochs[e]) == 0, "no discard");
			continue;
		}
		must(tslab_epoch_close(epochs[e]) == 0, "no close");
		for (unsigned i = 0; i < OBJECTS; i++)
			tslab_free(objects[e][i]);
	}
}

/* ------------------------------------------------------------------------------------- measures -- */

static void add(struct series *s, double t, double y)
{
	if (!s->n || y < s->least)
		s->least = y;
	if (!s->n || y > s->most)
		s->most = y;
	s->n++;
	s->t += t;
	s->y += y;
	s->tt += t * t;
	s->ty += t * y;
}

/* Change an hour in percent of the mean. */
static double slope(const struct series *s)
{
	double below = s->n * s->tt - s->t * s->t;

	return below > 0 && s->y > 0 ?
		       (s->n * s->ty - s->t * s->y) / below * 3600 / (s->y / s->n) * 100 :
		       0;
}

/* Sums what stands behind `word` at the start of lines of a file of /proc, or counts the lines. */
static double from_proc(const char *path, const char *word)
{
	FILE *f = fopen(path, "r");
	char line[1024];
	double sum = 0, kib;

	must(f != NULL, path);
	while (fgets(line, sizeof(line), f)) {
		size_t length = word ? strlen(word) : 0;

		if (!word)
			sum++;
		else if (!strncmp(line, word, length) && sscanf(line + length, "%lf", &kib) == 1)
			sum += kib * 1024;
	}
	fclose(f);
	return sum;
}

static struct tslab_process_stats counters(void)
{
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };

	must(tslab_stats_process(&s) == 0, "no statistics");
	return s;
}

static void result(bool ok, const char *text)
{
	failures += !ok;
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++tests, text);
}

static void judge(const struct series *s, double ratio_most, bool slopes)
{
	char text[200];

	snprintf(text, sizeof(text), "%s: %.0f to %.0f after %d cycles", s->name, s->least, s->most,
		 WARM_CYCLES);
	result(s->most <= s->least * ratio_most, text);
	if (!slopes)
		return;
	snprintf(text, sizeof(text), "%s: %+.4f %% an hour", s->name, slope(s));
	result(slope(s) <= 0.1, text);
}

/* The load is constant: a cycle that is early waits for its time. */
static void wait_until(double due)
{
	double left = due - seconds();

	if (left > 0)
		usleep((useconds_t)(left * 1e6));
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	must(*text && !*end && value > 0, "not a number above 0");
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "cycles", required_argument, NULL, 'c' },
						 { "seconds", required_argument, NULL, 's' },
						 { NULL, 0, NULL, 0 } };
	unsigned long cycles = 200, most_seconds = 0, done = 0;
	double began = seconds();
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			cycles = number(optarg);
		else if (option == 's')
			most_seconds = number(optarg);
		else
			return 2;
	}
	while (most_seconds ? seconds() - began < (double)most_seconds : done < cycles) {
		if (most_seconds)
			wait_until(began + (double)done * CYCLE_US / 1e6);
		cycle();
		if (++done <= WARM_CYCLES)
			continue;
		add(&committed, seconds(), (double)counters().committed_bytes);
		add(&resident, seconds(), from_proc("/proc/self/smaps_rollup", "Anonymous:"));
		add(&mappings, seconds(), from_proc("/proc/self/maps", NULL));
	}
	must(done > WARM_CYCLES, "too few cycles");
	printf("# %lu cycles in %.0f s\n", done, seconds() - began);
	judge(&committed, 1.0, most_seconds >= JUDGED_SECONDS);
	judge(&resident, 1.1, most_seconds >= JUDGED_SECONDS);
	judge(&mappings, 1.0, false);
	result(counters().live_objects == 0 && counters().allocations == counters().frees,
	       "nothing lives, all figures balance");
	printf("1..%u\n", tests);
	return failures != 0;
}
