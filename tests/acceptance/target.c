/* SPDX-License-Identifier: MIT */
/*
 * The program that the acceptance rows look into from outside: three epochs of known size, one of them
 * entered twice and never left, a ring that moved on. Waits for the end of its stdin.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tslab/tslab.h>

static void require(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "target: %s\n", what);
	exit(1);
}

static void allocate(tslab_epoch_t epoch, size_t total_bytes)
{
	for (size_t bytes = 0; bytes < total_bytes; bytes += 1024) {
		void *p = tslab_alloc(epoch, 1024);

		require(p != NULL, "alloc");
		memset(p, 1, 1024);
	}
}

static void work(tslab_epoch_t epoch)
{
	require(tslab_domain_enter(epoch) == 0, "enter"); /* NEVER LEFT */
}

int main(void)
{
	tslab_epoch_t worker, request, parser, closed;
	char byte;

	require(tslab_epoch_open(NULL, "background-worker-3", &worker) == 0, "open");
	require(tslab_epoch_open(NULL, "request-handler", &request) == 0, "open");
	require(tslab_epoch_open(NULL, "parser", &parser) == 0, "open");
	allocate(worker, 20u << 20);
	allocate(request, 10u << 20);
	allocate(parser, 5u << 20);
	for (int i = 0; i < 2; i++)
		work(worker);
	for (int i = 0; i < 3; i++)
		require(tslab_epoch_advance(NULL, NULL) == 0, "advance");
	/* An allocation in an epoch that is over: counted apart from slow paths for memory. */
	closed = tslab_epoch_ring(NULL, 0);
	require(!tslab_alloc(closed, 64), "allocation in a closed epoch");
	puts("ready");
	fflush(stdout);
	require(read(STDIN_FILENO, &byte, 1) >= 0, "read");
	return 0;
}
