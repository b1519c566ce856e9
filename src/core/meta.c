/* SPDX-License-Identifier: MIT */
#include "meta.h"

#include <stdint.h>

#include "lock.h"
#include "os.h"

void *ts_meta_alloc(size_t bytes)
{
	static char *next, *end;
	static void *reserved;
	char *p = NULL;

	ts_lock(&ts_lock_meta);
	next = (char *)(((uintptr_t)next + bytes - 1) & ~(uintptr_t)(bytes - 1));
	if (next > end || (size_t)(end - next) < bytes) {
		size_t step = (size_t)1 << 20;
		char *fresh = ts_os_obtain(&reserved, step, TS_OS_PAGE_MAX_BYTES);

		if (fresh) {
			next = fresh;
			end = fresh + step;
		}
	}
	if (next && (size_t)(end - next) >= bytes) {
		p = next;
		next += bytes;
	}
	ts_unlock(&ts_lock_meta);
	return p;
}
