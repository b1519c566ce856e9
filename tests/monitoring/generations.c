/* SPDX-License-Identifier: MIT */
/*
 * A program to watch. It prints "ready" and ends when stdin does.
 *
 *   generations          three epochs that hold 50, 10 and 5 MiB, and a thread that fills the ring's epochs one
 *                        after the other
 *   generations reclaim  an epoch of 100 MiB; at a line of stdin its objects are freed and it is closed
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tslab/tslab.h>

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "generations: %s\n", what);
	exit(1);
}

static void hold(const char *label, unsigned mib)
{
	tslab_epoch_t epoch;

	require(!tslab_epoch_open(NULL, label, &epoch), "open");
	for (unsigned i = 0; i < mib * 1024; i++)
		require(tslab_alloc(epoch, 1024) != NULL, "alloc");
}

static void free_all(void **objects, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		tslab_free(objects[i]);
		objects[i] = NULL;
	}
}

/* Half of an epoch's objects is gone when it is closed, the rest when the next one is full. */
static void *rotate(void *endless)
{
	enum { OBJECTS = 16384 };
	static void *objects[2][OBJECTS];
	unsigned round = 0;

	while (endless) {
		tslab_epoch_t epoch = tslab_epoch_current(NULL);
		void **mine = objects[round % 2], **before = objects[!(round % 2)];

		for (unsigned i = 0; i < OBJECTS; i++)
			require((mine[i] = tslab_alloc(epoch, 512)) != NULL, "alloc");
		free_all(before, OBJECTS);
		free_all(mine, OBJECTS / 2);
		require(!tslab_epoch_advance(NULL, NULL), "advance");
		round++;
		usleep(20000);
	}
	return NULL;
}

static void say_ready(void)
{
	puts("ready");
	fflush(stdout);
}

static void reclaim(void)
{
	enum { OBJECTS = 12800, OBJECT_BYTES = 8192 };
	static void *objects[OBJECTS];
	tslab_epoch_t epoch;

	require(!tslab_epoch_open(NULL, "batch", &epoch), "open");
	for (unsigned i = 0; i < OBJECTS; i++)
		require((objects[i] = tslab_alloc(epoch, OBJECT_BYTES)) != NULL, "alloc");
	say_ready();
	while (getchar() != '\n')
		;
	free_all(objects, OBJECTS);
	require(!tslab_epoch_close(epoch), "close");
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int endless = 1;

	if (argc > 1 && !strcmp(argv[1], "reclaim")) {
		reclaim();
	} else {
		hold("request-handler", 50);
		hold("background-task", 10);
		hold("cache", 5);
		require(!pthread_create(&thread, NULL, rotate, &endless), "thread");
		say_ready();
	}
	while (getchar() != EOF)
		;
	return 0;
}
