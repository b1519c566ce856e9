/* SPDX-License-Identifier: MIT */
/*
 * The two ways to give a library its memory.
 *
 * jansson allocates on behalf of its caller: a JSON tree lives as long as the request or the job that
 * built it. Its hooks are tslab_malloc() and tslab_free() as they stand, so that what it allocates goes
 * to the scope that the calling thread is in.
 *
 * SQLite allocates on behalf of itself: page cache and schema outlive every request. Its methods name
 * an epoch of their own, "sqlite", whatever scope the calling thread is in.
 */
#include "searchd.h"

#include <sqlite3.h>
#include <stdio.h>
#include <tslab/tslab.h>

static tslab_epoch_t sqlite_epoch;

static void *sqlite_allocate(int bytes)
{
	return tslab_alloc(sqlite_epoch, (size_t)bytes);
}

static void *sqlite_resize(void *object, int bytes)
{
	return tslab_realloc(object, (size_t)bytes); /* stays in its epoch */
}

static int sqlite_size(void *object)
{
	return (int)tslab_usable_size(object);
}

static int sqlite_round_up(int bytes)
{
	return (bytes + TSLAB_ALIGNMENT - 1) & ~(TSLAB_ALIGNMENT - 1);
}

static int sqlite_memory_start(void *unused)
{
	(void)unused;
	return tslab_epoch_open(NULL, "sqlite", &sqlite_epoch) == 0 ? SQLITE_OK : SQLITE_NOMEM;
}

static void sqlite_memory_stop(void *unused)
{
	(void)unused;
	tslab_epoch_close(sqlite_epoch);
}

static const struct sqlite3_mem_methods sqlite_methods = {
	.xMalloc = sqlite_allocate,
	.xFree = tslab_free,
	.xRealloc = sqlite_resize,
	.xSize = sqlite_size,
	.xRoundup = sqlite_round_up,
	.xInit = sqlite_memory_start,
	.xShutdown = sqlite_memory_stop,
};

bool memory_start(void)
{
	int status;

	json_set_alloc_funcs(tslab_malloc, tslab_free);
	json_object_seed(0); /* else the first threads to build an object race for it */
	status = sqlite3_config(SQLITE_CONFIG_MALLOC, &sqlite_methods);
	if (status == SQLITE_OK)
		status = sqlite3_config(SQLITE_CONFIG_SERIALIZED);
	if (status == SQLITE_OK)
		status = sqlite3_initialize();
	if (status != SQLITE_OK)
		fprintf(stderr, "searchd: SQLite refuses its memory methods: %s\n",
			sqlite3_errstr(status));
	return status == SQLITE_OK;
}

void memory_stop(void)
{
	sqlite3_shutdown();
}
