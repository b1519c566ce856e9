/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/support.h"

enum { OBJECTS = 60, LARGE = 3 };

static struct {
	void *p;
	size_t bytes;
} objects[OBJECTS + LARGE];
unsigned workload_failures;
bool workload_must_succeed, workload_child_may_abort;

static bool documented(int error)
{
	workload_failures += error != 0;
	return error == 0 || error == -ENOMEM || error == -EAGAIN;
}

static void *checked(void *p)
{
	if (!p) {
		workload_failures++;
		REQUIRE(errno == ENOMEM);
	}
	return p;
}

static size_t bytes_of(unsigned i)
{
	return i >= OBJECTS ? 40000 + (i - OBJECTS) * 30001 : 16 + i * 131 % 6000;
}

static void allocate(tslab_epoch_t epoch)
{
	for (unsigned i = 0; i < OBJECTS + LARGE; i++) {
		errno = 0;
		objects[i].bytes = bytes_of(i);
		objects[i].p = checked(tslab_alloc(epoch, objects[i].bytes));
		if (objects[i].p)
			fill(objects[i].p, objects[i].bytes, i);
	}
	for (unsigned i = 0; i < OBJECTS + LARGE; i += 7) {
		if (!objects[i].p)
			continue;
		REQUIRE(holds(objects[i].p, objects[i].bytes, i));
		errno = 0;
		void *p = checked(tslab_realloc(objects[i].p, objects[i].bytes * 2));
		/* The pattern depends on the address, so a moved object gets a new one. */
		if (p) {
			objects[i].p = p;
			objects[i].bytes *= 2;
			fill(p, objects[i].bytes, i);
		}
	}
}

static void check_all(void)
{
	for (unsigned i = 0; i < OBJECTS + LARGE; i++)
		REQUIRE(!objects[i].p || holds(objects[i].p, objects[i].bytes, i));
}

static void check_and_free(void)
{
	check_all();
	for (unsigned i = 0; i < OBJECTS + LARGE; i++) {
		tslab_free(objects[i].p);
		objects[i].p = NULL;
	}
}

static uint64_t live_now(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	REQUIRE(tslab_stats_epoch(epoch, &s) == 0);
	return s.live_objects;
}

static unsigned still_there(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < OBJECTS + LARGE; i++)
		count += objects[i].p != NULL;
	return count;
}

static void an_epoch(tslab_heap *heap, bool discard)
{
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;
	tslab_handle_t handle = TSLAB_HANDLE_NONE;
	int error = tslab_epoch_open(heap, "faults", &epoch);

	REQUIRE(documented(error));
	if (error)
		return;
	error = tslab_domain_enter(epoch);
	REQUIRE(documented(error));
	allocate(epoch);
	unsigned handles = tslab_handle_alloc(epoch, 64, &handle) == 0;
	REQUIRE(live_now(epoch) == still_there() + handles);
	REQUIRE(error || tslab_domain_exit(epoch) == 0);
	if (discard) {
		check_all();
		REQUIRE(tslab_epoch_discard(epoch) == 0);
		memset(objects, 0, sizeof(objects));
	} else {
		check_and_free();
		REQUIRE(!handles || tslab_handle_free(heap, handle) == 0);
		REQUIRE(live_now(epoch) == 0);
		REQUIRE(tslab_epoch_close(epoch) == 0);
	}
	REQUIRE(tslab_epoch_close(epoch) == -ESTALE);
}

static void scopes(tslab_heap *heap)
{
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;

	for (unsigned round = 0; round < 4; round++) {
		int error = tslab_scope_begin(heap, "scope", &epoch);

		REQUIRE(documented(error));
		if (error)
			continue;
		allocate(epoch);
		if (round % 2 == 0)
			check_and_free();
		REQUIRE((round % 2 ? tslab_scope_discard : tslab_scope_close)(epoch) == 0);
		memset(objects, 0, sizeof(objects));
	}
}

static void *a_life(void *arg)
{
	errno = 0;
	void *p = checked(tslab_malloc(100));

	if (p)
		fill(p, 100, 1);
	REQUIRE(!p || holds(p, 100, 1));
	tslab_free(p);
	return arg;
}

static void a_thread(void)
{
	pthread_attr_t small; /* where address space is little */
	pthread_t thread;

	REQUIRE(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 1 << 18) == 0);
	REQUIRE(pthread_create(&thread, &small, a_life, NULL) == 0);
	REQUIRE(pthread_join(thread, NULL) == 0);
}

static void a_child(tslab_heap *heap)
{
	void *inherited = tslab_malloc(1000);
	int status = 0;

	if (inherited)
		fill(inherited, 1000, 5);
	pid_t pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		a_life(NULL);
		REQUIRE(!inherited || holds(inherited, 1000, 5));
		tslab_free(inherited);
		an_epoch(heap, true);
		REQUIRE(!workload_must_succeed || !workload_failures);
		_exit(0);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	/* A child that cannot leave its parent's figures ends, rather than to write into them. */
	if (!workload_child_may_abort || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	REQUIRE(!inherited || holds(inherited, 1000, 5));
	tslab_free(inherited);
}

void workload(void)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	options.retain_bytes = 0;
	errno = 0;
	tslab_heap *heap = tslab_heap_create(&options);
	if (!heap) {
		workload_failures++;
		REQUIRE(errno == ENOMEM || errno == EAGAIN);
		return;
	}
	an_epoch(heap, false);
	an_epoch(heap, true);
	scopes(heap);
	a_thread();
	tslab_free((void *)(uintptr_t)16); /* a line on stderr */
	a_child(heap);
	REQUIRE(tslab_heap_destroy(heap) == 0);
}

void workload_check_figures(void)
{
	struct tslab_process_stats s = counters();

	REQUIRE(s.live_objects == 0);
	REQUIRE(s.allocations == s.frees);
	REQUIRE(s.large_bytes == 0);
	REQUIRE(s.closing_epochs == 0 && s.open_scopes == 0);
	REQUIRE(s.refused_double + s.refused_wild + s.refused_stale_handle +
			s.refused_wrong_handle + s.refused_exit ==
		0);
}
