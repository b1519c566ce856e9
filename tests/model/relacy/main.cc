/* SPDX-License-Identifier: MIT */
/*
 * Runs the harnesses: relacy [--soak] [--weaken FILE:LINE:HALF]
 * One line a harness: name, ok or FAIL, iterations, what was found. With --weaken it stops at the first
 * failure and exits 0 if there was one, 1 if the weakening went unnoticed, 2 if the line never ran.
 */
#include "harness.h"

#include <cstdio>
#include <cstdlib>

weaken_site weaken;
result results[MAX_RESULTS];
unsigned result_count;
bool soak;

void run_lane(void);
void run_node(void);
void run_epoch(void);
void run_keep(void);
void run_pins(void);
void run_data(void);
void run_shapes(void);

static int parse_weaken(char *text)
{
	char *line = strchr(text, ':');
	char *half = line ? strchr(line + 1, ':') : NULL;

	if (!half)
		return -1;
	*line++ = *half++ = '\0';
	weaken.file = text;
	weaken.line = atoi(line);
	weaken.half = half;
	return 0;
}

static void (*const suites[])(void) = { run_node, run_shapes, run_data, run_epoch,
					run_keep, run_pins,   run_lane };

int main(int argc, char **argv)
{
	bool failed = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--soak")) {
			soak = true;
		} else if (strcmp(argv[i], "--weaken") || ++i == argc || parse_weaken(argv[i])) {
			fprintf(stderr, "usage: relacy [--soak] [--weaken FILE:LINE:HALF]\n");
			return 2;
		}
	}
	for (unsigned s = 0; s < sizeof(suites) / sizeof(suites[0]); s++) {
		unsigned first = result_count;

		suites[s]();
		for (unsigned i = first; i < result_count; i++) {
			const result *r = &results[i];

			if (!weaken.file || !r->passed)
				printf("%s %s %llu %s\n", r->name, r->passed ? "ok" : "FAIL",
				       (unsigned long long)r->iterations, r->what);
			failed |= !r->passed;
		}
		if (weaken.file && failed)
			return 0;
	}
	if (weaken.file)
		return weaken.hits ? 1 : 2;
	return failed;
}
