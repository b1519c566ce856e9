/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without a fuzzer, as TAP: the inputs of a corpus, then random ones.
 *
 *   TARGET [--random N] [--seed N] [FILE | DIRECTORY]...
 *
 * A target that finds something aborts; the input's name, or its number, is the last line printed.
 */
#include <dirent.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fuzz.h"
#include "../random.h"

enum { INPUT_MAX = 1 << 20, RANDOM_MAX = 2000 };

static uint8_t input[INPUT_MAX];
static unsigned long long inputs;

static void die(const char *what, const char *which)
{
	printf("Bail out! %s: %s\n", which, what);
	exit(2);
}

static void run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t bytes;

	if (!f)
		die("cannot be read", path);
	bytes = fread(input, 1, sizeof(input), f);
	fclose(f);
	printf("# %s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(input, bytes);
	inputs++;
}

static void run_path(const char *path)
{
	struct dirent **names;
	struct stat st;
	int count;

	if (stat(path, &st))
		die("is not there", path);
	if (!S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	count = scandir(path, &names, NULL, alphasort);
	if (count < 3)
		die("has no inputs", path);
	for (int i = 0; i < count; i++) {
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			run_file(file);
		free(names[i]);
	}
	free(names);
}

static void run_random(unsigned long long count, uint64_t seed)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;

	for (unsigned long long n = 0; n < count; n++) {
		size_t bytes = 0, length;

		length = rnd(&state) % RANDOM_MAX;
		while (bytes < length)
			input[bytes++] = (uint8_t)(rnd(&state) >> 33);
		if (n % 1000 == 0) {
			printf("# random input %llu of seed %llu\n", n, (unsigned long long)seed);
			fflush(stdout);
		}
		LLVMFuzzerTestOneInput(input, bytes);
		inputs++;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "random", required_argument, NULL, 'n' },
						 { "seed", required_argument, NULL, 's' },
						 { NULL, 0, NULL, 0 } };
	unsigned long long count = 0;
	uint64_t seed = (uint64_t)time(NULL);
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		char *stop = NULL;
		unsigned long long value = optarg ? strtoull(optarg, &stop, 10) : 0;

		if (option == '?' || !stop || *stop || stop == optarg)
			return 2;
		if (option == 'n')
			count = value;
		else
			seed = value;
	}
	for (int i = optind; i < argc; i++)
		run_path(argv[i]);
	run_random(count, seed);
	if (!inputs)
		die("no input was given", argv[0]);
	printf("ok 1 - %llu inputs, %llu operations, no divergence\n1..1\n", inputs,
	       (unsigned long long)fuzz_operations);
	return 0;
}
