/* SPDX-License-Identifier: MIT */
/*
 * fake.c: a library with tslab's names and known faults, so that selftest.sh can show that the benchmark
 * notices them: each epoch_open makes one system call, each tslab_malloc wastes FAKE_SPIN turns, or, if
 * FAKE_UNSTEADY is set, only in every other round, or, if FAKE_SLOW is set, only under that name, or, if
 * FAKE_EVERY is set, only in one call of so many.
 */
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tslab/tslab.h>

static unsigned fake_spin, fake_every = 1, fake_calls;

/* glibc hands the program's arguments to constructors; a child of the benchmark has its name and its seed there. */
__attribute__((constructor)) static void fake_start(int argc, char **argv)
{
	const char *spin = getenv("FAKE_SPIN"), *slow = getenv("FAKE_SLOW");

	fake_spin = spin ? (unsigned)atoi(spin) : 0;
	if (getenv("FAKE_EVERY"))
		fake_every = (unsigned)atoi(getenv("FAKE_EVERY"));
	if (getenv("FAKE_UNSTEADY") && argc > 6 && atoi(argv[6]) % 2)
		fake_spin = 0;
	if (slow && argc > 6 && strcmp(argv[2], slow) != 0)
		fake_spin = 0;
}

void *tslab_malloc(size_t bytes)
{
	bool waste = ++fake_calls % fake_every == 0;

	for (volatile unsigned turn = 0; waste && turn < fake_spin; turn++)
		;
	return malloc(bytes);
}

size_t tslab_usable_size(const void *object)
{
	return malloc_usable_size((void *)object);
}

void *tslab_realloc(void *object, size_t bytes)
{
	return realloc(object, bytes);
}

void *tslab_alloc(tslab_epoch_t epoch, size_t bytes)
{
	(void)epoch;
	return malloc(bytes);
}

void tslab_free(void *object)
{
	free(object);
}

tslab_heap *tslab_heap_create(const struct tslab_heap_options *options)
{
	(void)options;
	return malloc(1);
}

int tslab_epoch_open(tslab_heap *heap, const char *label, tslab_epoch_t *epoch)
{
	(void)heap;
	(void)label;
	*epoch = (tslab_epoch_t)syscall(SYS_gettid);
	return 0;
}

int tslab_epoch_close(tslab_epoch_t epoch)
{
	return epoch ? 0 : -1;
}

int tslab_epoch_discard(tslab_epoch_t epoch)
{
	return epoch ? 0 : -1;
}

int tslab_scope_begin(tslab_heap *heap, const char *label, tslab_epoch_t *epoch)
{
	return tslab_epoch_open(heap, label, epoch);
}

int tslab_scope_close(tslab_epoch_t epoch)
{
	return epoch ? 0 : -1;
}

int tslab_scope_discard(tslab_epoch_t epoch)
{
	return epoch ? 0 : -1;
}

int tslab_domain_enter(tslab_epoch_t epoch)
{
	return epoch ? 0 : -1;
}

int tslab_domain_exit(tslab_epoch_t epoch)
{
	return epoch ? 0 : -1;
}
