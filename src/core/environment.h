/* SPDX-License-Identifier: MIT */
/*
 * environment.h: the TSLAB_* variables. One that is not set, or empty, is the default; so is one that
 * makes no sense, which a line on stderr says. Each is asked for once in the life of a process.
 */
#ifndef TS_CORE_ENVIRONMENT_H
#define TS_CORE_ENVIRONMENT_H

#include <stdint.h>

/* A size: a whole number of bytes, or with K, M, G or T behind it. */
uint64_t ts_environment_bytes(const char *name, uint64_t least, uint64_t most, uint64_t otherwise);
/* A whole number. */
uint64_t ts_environment_number(const char *name, uint64_t most, uint64_t otherwise);
/* One of the words, which end with NULL: its place among them. */
unsigned ts_environment_word(const char *name, const char *const *words, unsigned otherwise);

#endif
