/* SPDX-License-Identifier: MIT */
/*
 * malloc.c: what a preloaded libtslab-malloc.so exports besides the fast paths.
 *
 * malloc, calloc and free are no code of their own: the linker gives tslab_malloc and its companions
 * these names as well (src/shim/Makefile.inc), so that a program's call lands on the fast path itself.
 * Here are the calls that differ from the library's.
 *
 * The library inside is a private one, with a heap and a stats segment of its own: a program that uses
 * libtslab too keeps its epochs there, and what it or the C library gets from malloc never lands in them.
 * Everything lies in one epoch, the default one of the default heap, which lasts as long as the process.
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/guard.h"
#include "core/large.h"
#include "core/os.h"
#include "core/redzone.h"
#include "core/thread.h"
#include "obs/format.h"
#include "obs/segment.h"
#include "tslab/malloc.h"
#include "tslab/stats.h"

/* What the library is told at link time: the name of this instance's segment. */
const char ts_segment_name[] = TS_STATS_MALLOC_NAME;

#define EXPORT __attribute__((visibility("default")))

/* -- sizes -------------------------------------------------------------------------------------- */

EXPORT void *realloc(void *ptr, size_t bytes)
{
	if (ptr && !bytes) {
		tslab_free(ptr);
		return NULL;
	}
	return tslab_realloc(ptr, bytes);
}

EXPORT void *reallocarray(void *ptr, size_t count, size_t bytes)
{
	size_t total;

	if (__builtin_mul_overflow(count, bytes, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(ptr, total);
}

/* -- alignment ---------------------------------------------------------------------------------- */

static int is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

/* As glibc does it: the next power of two will do. */
EXPORT void *memalign(size_t alignment, size_t bytes)
{
	size_t power = TSLAB_ALIGNMENT;

	while (power < alignment && power <= SIZE_MAX / 2)
		power *= 2;
	return tslab_aligned_alloc(power, bytes);
}

EXPORT void *aligned_alloc(size_t alignment, size_t bytes)
{
	if (!is_power_of_two(alignment)) {
		errno = EINVAL;
		return NULL;
	}
	return memalign(alignment, bytes);
}

EXPORT int posix_memalign(void **ptr, size_t alignment, size_t bytes)
{
	int saved = errno;
	void *p;

	if (!is_power_of_two(alignment) || alignment % sizeof(void *))
		return EINVAL;
	p = memalign(alignment, bytes);
	if (!p) {
		errno = saved;
		return ENOMEM;
	}
	*ptr = p;
	return 0;
}

EXPORT void *valloc(size_t bytes)
{
	return memalign(ts_os_page_bytes(), bytes);
}

EXPORT void *pvalloc(size_t bytes)
{
	size_t page_bytes = ts_os_page_bytes();
	size_t rounded;

	if (__builtin_add_overflow(bytes, page_bytes - 1, &rounded)) {
		errno = ENOMEM;
		return NULL;
	}
	return memalign(page_bytes, rounded & ~(page_bytes - 1));
}

/* -- questions ---------------------------------------------------------------------------------- */

static struct tslab_process_stats figures(void)
{
	struct tslab_process_stats stats = { .struct_bytes = sizeof(stats) };

	tslab_stats_process(&stats);
	return stats;
}

/* Pointers of another allocator that were passed in: nothing else ever leaves the library. */
EXPORT uint64_t tslab_malloc_fallbacks(void)
{
	return figures().refused_foreign;
}

/*
 * Some programs ask at each allocation and each free: the slot's size by the unit's header alone. Whether
 * it is live is the business of free.
 */
EXPORT size_t malloc_usable_size(void *ptr)
{
	uint64_t t = ts_range_granule(ptr);
	struct ts_bin *bin = NULL;
	const void *object;
	size_t bytes;

	if (t < ts_a64_load_rlx(&ts_range.granules))
		bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);
	if (!bin)
		return ts_guard_owns(ptr) && ts_guard_twin(ptr, &bytes, &object) ? bytes : 0;
	return ts_redzone_usable(t, bin == &ts_lane_of_bin(bin)->large ? ts_large_usable(t) :
									 bin->bytes);
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct tslab_process_stats stats = figures();

	return (struct mallinfo2){
		.arena = stats.committed_bytes - stats.large_bytes,
		.hblks = stats.large_objects,
		.hblkhd = stats.large_bytes,
		.uordblks = stats.live_bytes,
		.fordblks = stats.committed_bytes - stats.live_bytes,
		.keepcost = stats.retained_bytes,
	};
}

static int saturated(size_t n)
{
	return n > INT_MAX ? INT_MAX : (int)n;
}

/* Deprecated for its ints, and still called. */
EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 info = mallinfo2();

	return (struct mallinfo){
		.arena = saturated(info.arena),
		.hblks = saturated(info.hblks),
		.hblkhd = saturated(info.hblkhd),
		.uordblks = saturated(info.uordblks),
		.fordblks = saturated(info.fordblks),
		.keepcost = saturated(info.keepcost),
	};
}

EXPORT void malloc_stats(void)
{
	struct tslab_process_stats stats = figures();
	char text[256];
	int length = snprintf(
		text, sizeof(text),
		"tslab: %llu live objects, %llu bytes; %llu bytes committed, %llu of them "
		"kept for reuse; %llu frees refused; %llu fallbacks\n",
		(unsigned long long)stats.live_objects, (unsigned long long)stats.live_bytes,
		(unsigned long long)stats.committed_bytes, (unsigned long long)stats.retained_bytes,
		(unsigned long long)(stats.refused_double + stats.refused_wild),
		(unsigned long long)stats.refused_foreign);

	if (length > 0 && write(STDERR_FILENO, text, (size_t)length) < 0)
		return; /* nobody listens */
}

/* What the calling thread keeps empty goes back; @pad is a hint that glibc knows. 1: something went. */
EXPORT int malloc_trim(size_t pad)
{
	uint64_t before = figures().purge_bytes;

	(void)pad;
	ts_thread_trim();
	return figures().purge_bytes != before;
}
