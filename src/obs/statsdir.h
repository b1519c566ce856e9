/* SPDX-License-Identifier: MIT */
/*
 * statsdir.h: the segment as files of a directory (TSLAB_STATS_DIR), for programs that close all their
 * descriptors, that nobody may look into, or whose figures must outlive a kill. The directory must be
 * the user's own and nobody else's to write; a file's name is new, and tells boot, start and process.
 */
#ifndef TS_OBS_STATSDIR_H
#define TS_OBS_STATSDIR_H

#include <stdbool.h>
#include <stddef.h>

/* Once, before the first chunk: TSLAB_STATS_DIR. */
void ts_statsdir_start(void);
bool ts_statsdir_wanted(void);

/* A file for a chunk, with all its memory, locked as long as the process lives; -1 after one line on stderr. */
int ts_statsdir_create(unsigned chunk, size_t bytes);

#endif
