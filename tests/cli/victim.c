/* SPDX-License-Identifier: MIT */
/*
 * A program to look into. It does what its arguments say, in their order, prints "ready" and then does
 * as it is told on stdin: "repair" undoes the leak, anything else ends it.
 *
 *   leak             an epoch entered twice and not left, with objects
 *   label TEXT       an epoch with this label and one object
 *   closing          an epoch that was closed with an object in it
 *   thread-end       a thread that ends inside an epoch
 *   misuse           a double free and an exit without an enter
 *   references       a reference that is not given back
 *   hidden           forbid other processes of this user to look
 *   impostor         something else under the segment's name (run with TSLAB_STATS=0)
 *   truncating       the same, with its size going up and down for ever
 *   deadlock         hold everything up instead of reading stdin
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <tslab/tslab.h>

static tslab_epoch_t leaked;

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "victim: %s\n", what);
	exit(1);
}

static tslab_epoch_t open_epoch(const char *label)
{
	tslab_epoch_t epoch;

	require(!tslab_epoch_open(NULL, label, &epoch), label);
	return epoch;
}

static __attribute__((noinline)) void forget_to_exit(void)
{
	leaked = open_epoch("background-worker-3");
	for (int i = 0; i < 2; i++) {
		require(!tslab_domain_enter(leaked), "enter"); /* LEAK */
		for (int k = 0; k < 100; k++)
			require(tslab_malloc(1000) != NULL, "malloc");
	}
}

static void *end_inside(void *arg)
{
	tslab_epoch_t epoch = open_epoch("left-by-thread");

	(void)arg;
	require(!tslab_domain_enter(epoch), "enter"); /* ABANDONED */
	return NULL;
}

static void misuse(void)
{
	tslab_epoch_t epoch = open_epoch("misuse");
	void *object = tslab_alloc(epoch, 100);

	tslab_free(object);
	tslab_free(object);
	require(tslab_domain_exit(epoch) != 0, "an exit without an enter was accepted");
	require(!tslab_epoch_discard(epoch), "discard");
}

static int impostor(void)
{
	int fd = memfd_create("tslab.v1", MFD_CLOEXEC);

	require(fd >= 0 && !ftruncate(fd, 1 << 18), "memfd");
	return fd;
}

static void *truncate_for_ever(void *arg)
{
	int fd = impostor();

	(void)arg;
	for (;;)
		require(!ftruncate(fd, 0) && !ftruncate(fd, 1 << 18), "ftruncate");
	return NULL;
}

static void obey(const char *word, const char *operand)
{
	pthread_t thread;

	if (!strcmp(word, "leak")) {
		forget_to_exit();
	} else if (!strcmp(word, "label")) {
		require(tslab_alloc(open_epoch(operand), 100) != NULL, "alloc");
	} else if (!strcmp(word, "closing")) {
		tslab_epoch_t epoch = open_epoch("draining");

		require(tslab_alloc(epoch, 100) != NULL, "alloc");
		require(!tslab_epoch_close(epoch), "close");
	} else if (!strcmp(word, "thread-end")) {
		require(!pthread_create(&thread, NULL, end_inside, NULL), "thread");
		require(!pthread_join(thread, NULL), "join");
	} else if (!strcmp(word, "misuse")) {
		misuse();
	} else if (!strcmp(word, "references")) {
		require(!tslab_epoch_add_references(open_epoch("referenced"), 1), "references");
	} else if (!strcmp(word, "impostor")) {
		impostor();
	} else if (!strcmp(word, "truncating")) {
		require(!pthread_create(&thread, NULL, truncate_for_ever, NULL), "thread");
	} else if (!strcmp(word, "hidden")) {
		require(!prctl(PR_SET_DUMPABLE, 0), "prctl");
	} else {
		require(0, word);
	}
}

static void repair(void)
{
	require(!tslab_domain_exit(leaked) && !tslab_domain_exit(leaked), "exit");
	require(!tslab_epoch_discard(leaked), "discard");
}

static void deadlock(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&mutex);
	pthread_mutex_lock(&mutex);
}

int main(int argc, char **argv)
{
	char line[64];

	require(tslab_epoch_default(NULL) != TSLAB_EPOCH_NONE, "no default epoch");
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "deadlock")) {
			puts("ready");
			fflush(stdout);
			deadlock();
		}
		obey(argv[i], i + 1 < argc ? argv[i + 1] : "");
		i += !strcmp(argv[i], "label");
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && !strcmp(line, "repair\n")) {
		repair();
		puts("repaired");
		fflush(stdout);
	}
	return 0;
}
