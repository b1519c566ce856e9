/* SPDX-License-Identifier: MIT */
/* meta.h: memory for the library's own records, beside that of objects. */
#ifndef TS_CORE_META_H
#define TS_CORE_META_H

#include <stddef.h>

/*
 * Zeroed, never returned, aligned to its size. `bytes` a power of two up to 64 KiB. NULL = no memory. Takes
 * ts_lock_meta, which the caller may have.
 */
void *ts_meta_alloc(size_t bytes);

#endif
