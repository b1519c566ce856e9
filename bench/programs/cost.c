/* SPDX-License-Identifier: MIT */
/*
 * cost.c: runs a command and tells what it cost, in a file of its own, since output and errors are the
 * command's. A process starts with the resident set of the one that it was forked from on its account,
 * so the one that measures has to be small.
 *
 *   cost FILE COMMAND [ARGUMENT...]   writes "USER SYSTEM WALL MAXRSS": seconds, KiB; ends as COMMAND does
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static pid_t start(char **command)
{
	const char *preload = getenv("COST_PRELOAD");
	pid_t pid = fork();

	if (pid)
		return pid;
	/* The command's, not this program's. */
	if (preload)
		setenv("LD_PRELOAD", preload, 1);
	unsetenv("COST_PRELOAD");
	execvp(command[0], command);
	perror(command[0]);
	_exit(127);
}

int main(int argc, char **argv)
{
	double began = now();
	struct rusage usage;
	FILE *file;
	int status;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: cost FILE COMMAND [ARGUMENT...]\n");
		return 126;
	}
	pid = start(argv + 2);
	if (pid < 0 || wait4(pid, &status, 0, &usage) < 0) {
		perror("cost");
		return 126;
	}
	file = fopen(argv[1], "w");
	if (!file ||
	    fprintf(file, "%.6f %.6f %.6f %ld\n", seconds(usage.ru_utime), seconds(usage.ru_stime),
		    now() - began, usage.ru_maxrss) < 0 ||
	    fclose(file)) {
		perror(argv[1]);
		return 126;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
