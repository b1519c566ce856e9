/* SPDX-License-Identifier: MIT */
/*
 * Memory tags (configure --enable-mte; an ARM CPU that has them, or QEMU's): what uses an epoch's memory after its
 * end traps with SEGV_MTESERR, and nothing else does. Prints TAP.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#include "../tap.h"

/* Linux include/uapi/asm-generic/siginfo.h: the kind of trap that says "tags differ". */
#ifndef SEGV_MTESERR
#define SEGV_MTESERR 9
#endif

enum { SMALL = 100, LARGE = 300000, MANY = 2000 };

/* -- traps -------------------------------------------------------------------------------------- */

static sigjmp_buf back;
static volatile sig_atomic_t expected;
static int trap_code;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	char text[100];

	(void)signal;
	(void)context;
	if (!expected) {
		snprintf(text, sizeof(text), "Bail out! what must not trap does, code %d, at %p\n",
			 info->si_code, info->si_addr);
		(void)!write(STDOUT_FILENO, text, strlen(text));
		_exit(1);
	}
	expected = false;
	trap_code = info->si_code;
	siglongjmp(back, 1);
}

static bool traps(void (*touch)(volatile char *), volatile char *at)
{
	trap_code = 0;
	if (sigsetjmp(back, 1))
		return true;
	expected = true;
	touch(at);
	expected = false;
	return false;
}

static void read_byte(volatile char *at)
{
	(void)*at;
}

static void write_byte(volatile char *at)
{
	*at = 1;
}

static bool read_traps(volatile char *at)
{
	return traps(read_byte, at) && trap_code == SEGV_MTESERR;
}

static bool write_traps(volatile char *at)
{
	return traps(write_byte, at) && trap_code == SEGV_MTESERR;
}

/*
 * QEMU 7.2 plays a whole machine with a fault: what crosses a boundary of 32 bytes traps, although the tags on both
 * sides fit. (Its emulation of a user's program does not.)
 */
static void write_across(volatile char *at)
{
	static const char bytes[16];

	memcpy((char *)at + 4, bytes, sizeof(bytes));
	memcpy((char *)at + 20, bytes, sizeof(bytes));
}

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* -- lives that end ----------------------------------------------------------------------------- */

typedef void end_epoch(tslab_epoch_t epoch, void **objects, unsigned count);

static void close_it(tslab_epoch_t epoch, void **objects, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		tslab_free(objects[i]);
	must(!tslab_epoch_close(epoch));
}

static void discard_it(tslab_epoch_t epoch, void **objects, unsigned count)
{
	(void)objects;
	(void)count;
	must(!tslab_epoch_discard(epoch));
}

static void *objects[MANY];

/* Each of `count` objects can be used until the end of their epoch, and none after it. */
static bool use_until(tslab_heap *heap, end_epoch *end, size_t bytes, unsigned count)
{
	tslab_epoch_t epoch;
	unsigned trapped = 0;

	must(!tslab_epoch_open(heap, "tags", &epoch));
	for (unsigned i = 0; i < count; i++) {
		objects[i] = tslab_alloc(epoch, bytes + i % 7 * 100);
		must(objects[i] && !write_traps(objects[i]) &&
		     !read_traps((char *)objects[i] + bytes - 1));
	}
	end(epoch, objects, count);
	for (unsigned i = 0; i < count; i++)
		trapped += read_traps(objects[i]) && write_traps((char *)objects[i] + bytes - 1);
	return trapped == count;
}

/* The pair of epoch and lane is kept for the next scope: its memory is the same, its tag is not. */
static bool use_until_scope_ends(int end(tslab_epoch_t), bool free_all)
{
	unsigned trapped = 0;

	for (unsigned i = 0; i < MANY; i++) {
		tslab_epoch_t epoch;
		char *p;

		must(!tslab_scope_begin(NULL, "scope", &epoch));
		p = tslab_malloc(SMALL);
		must(p && !write_traps(p));
		if (free_all)
			tslab_free(p);
		must(!end(epoch));
		trapped += read_traps(p) && write_traps(p + SMALL - 1);
	}
	return trapped == MANY;
}

static void lives(void)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_heap *nothing_kept;

	options.retain_bytes = 0;
	nothing_kept = tslab_heap_create(&options);
	must(nothing_kept);
	tap_ok(use_until(NULL, close_it, SMALL, MANY),
	       "small objects trap after the close of their epoch");
	tap_ok(use_until(NULL, discard_it, SMALL, MANY), "and after its discard");
	tap_ok(use_until(nothing_kept, close_it, SMALL, MANY) &&
		       use_until(nothing_kept, discard_it, SMALL, MANY),
	       "and where nothing is kept for later");
	tap_ok(use_until(NULL, close_it, LARGE, 7) && use_until(NULL, discard_it, LARGE, 7) &&
		       use_until(nothing_kept, discard_it, LARGE, 7),
	       "large objects do likewise");
	tap_ok(use_until_scope_ends(tslab_scope_discard, false),
	       "and those of each of %u scopes in a row", MANY);
	tap_ok(use_until_scope_ends(tslab_scope_close, true), "and of scopes that are closed");
}

/* -- nothing else ------------------------------------------------------------------------------- */

static uint64_t refused(void)
{
	struct tslab_process_stats stats = { .struct_bytes = sizeof(stats) };

	must(!tslab_stats_process(&stats));
	return stats.refused_wild;
}

/* The slot is handed out again: without tags this free would take it from its owner. */
static void stale_free(void)
{
	uint64_t before = refused();
	tslab_epoch_t epoch;
	char *stale, *p;

	must(!tslab_scope_begin(NULL, "stale", &epoch));
	stale = tslab_malloc(SMALL);
	must(!tslab_scope_discard(epoch) && !tslab_scope_begin(NULL, "stale", &epoch));
	p = tslab_malloc(SMALL);
	tslab_free(stale);
	tap_ok(refused() == before + 1 && !tslab_realloc(stale, 10) && !write_traps(p) &&
		       (((uintptr_t)p ^ (uintptr_t)stale) << 8) == 0,
	       "a pointer of an epoch that is over is refused by free, although its place is in use again");
	must(!tslab_scope_discard(epoch));
}

static bool grown_keeps_its_bytes(void)
{
	size_t bytes = 10;
	char *p = tslab_calloc(1, bytes);
	bool good = p && !p[9];

	for (; bytes < 10 * LARGE; bytes = bytes * 3 / 2 + 1) {
		p = tslab_realloc(p, bytes * 3 / 2 + 1);
		must(p);
		memset(p, (int)(bytes % 251), bytes * 3 / 2 + 1);
		good &= tslab_usable_size(p) > bytes;
	}
	tslab_free(p);
	return good;
}

static void *in_thread(void *p)
{
	char *mine = tslab_malloc(SMALL);

	memset(mine, 1, SMALL);
	memset(p, 2, SMALL);
	tslab_free(p);
	return mine;
}

static bool threads_share(void)
{
	pthread_t thread;
	char *p = tslab_malloc(SMALL);
	void *theirs;
	bool good;

	must(!pthread_create(&thread, NULL, in_thread, p) && !pthread_join(thread, &theirs));
	good = *(char *)theirs == 1;
	tslab_free(theirs);
	return good;
}

static bool kernel_takes_them(void)
{
	char *p = tslab_malloc(SMALL), *q = tslab_malloc(SMALL);
	int ends[2];
	bool good;

	memset(p, 7, SMALL);
	must(!pipe(ends));
	good = write(ends[1], p, SMALL) == SMALL && read(ends[0], q, SMALL) == SMALL &&
	       q[SMALL - 1] == 7;
	close(ends[0]);
	close(ends[1]);
	tslab_free(p);
	tslab_free(q);
	return good;
}

static bool handle_works(void)
{
	tslab_epoch_t epoch;
	tslab_handle_t handle;
	char *p;

	must(!tslab_epoch_open(NULL, "handle", &epoch) && !tslab_handle_alloc(epoch, SMALL, &handle));
	p = tslab_handle_get(NULL, handle);
	must(p && !write_traps(p) && !tslab_epoch_discard(epoch));
	return !tslab_handle_get(NULL, handle) && read_traps(p);
}

static bool owner_is_known(void)
{
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	char *p = tslab_malloc(SMALL);
	bool good = !tslab_owner(p + 50, &info) && info.object == p && info.live;

	tslab_free(p);
	return good;
}

static bool forked_child_works(void)
{
	int status = 1;
	char *p = tslab_malloc(SMALL);
	pid_t pid = fork();

	if (!pid) {
		memset(p, 3, SMALL);
		tslab_free(p);
		_exit(use_until(NULL, discard_it, SMALL, 50) ? 0 : 1);
	}
	must(waitpid(pid, &status, 0) == pid);
	tslab_free(p);
	return !status;
}

/* What touches objects beyond their first bytes. */
static void use_all_bytes(void)
{
	char *p = tslab_malloc(SMALL);

	must(p);
	if (traps(write_across, p)) {
		tap_ok(true,
		       "objects used as a whole # SKIP this emulator traps what crosses 32 bytes");
		return;
	}
	tslab_free(p);
	tap_ok(grown_keeps_its_bytes(), "realloc from 10 bytes to megabytes, of which nothing traps");
	tap_ok(threads_share(), "threads use and free each other's objects");
	tap_ok(kernel_takes_them(), "system calls take the pointers");
	tap_ok(owner_is_known(), "an address inside an object leads to it");
	tap_ok(handle_works(), "a handle's object can be used until its epoch is over");
	tap_ok(forked_child_works(), "the child of a fork goes on");
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	unsigned tags[16] = { 0 }, kinds = 0;

	sigaction(SIGSEGV, &action, NULL);
	lives();
	stale_free();
	use_all_bytes();
	for (unsigned i = 0; i < MANY; i++)
		tags[(uintptr_t)objects[i] >> 56 & 15]++;
	for (unsigned i = 1; i < 16; i++)
		kinds += tags[i] != 0;
	tap_ok(!tags[0] && kinds > 4, "slabs have tags of their own, none has 0 (%u of 15 seen)",
	       kinds);
	return tap_end();
}
