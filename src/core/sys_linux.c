/* SPDX-License-Identifier: MIT */
#include "sys.h"

#include <errno.h>
#include <sys/mman.h>

#include "arch.h"

/* Linux 6.13; not in the headers of Debian 12. */
#define GUARD_INSTALL 102
#define GUARD_REMOVE 103

size_t ts_sys_page_bytes(void)
{
	return ts_arch_page_bytes();
}

int ts_sys_reserve(size_t bytes, void **addr)
{
	void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	*addr = p;
	return 0;
}

int ts_sys_commit(void *addr, size_t bytes)
{
	return mprotect(addr, bytes, PROT_READ | PROT_WRITE | TS_ARCH_PROT) ? -errno : 0;
}

int ts_sys_purge(void *addr, size_t bytes)
{
	return madvise(addr, bytes, MADV_DONTNEED) ? -errno : 0;
}

int ts_sys_unmap(void *addr, size_t bytes)
{
	return munmap(addr, bytes) ? -errno : 0;
}

static ts_a32 guards_installed; /* so that what does not remove them is an error */

/* Guard pages split no mapping. Older kernels do not have them, and locked memory cannot. */
int ts_sys_trap(void *addr, size_t bytes)
{
	if (!madvise(addr, bytes, GUARD_INSTALL)) {
		ts_a32_store_rlx(&guards_installed, 1);
		return 0;
	}
	(void)madvise(addr, bytes, MADV_DONTNEED);
	return mprotect(addr, bytes, PROT_NONE) ? -errno : 0;
}

/* Whichever way they came to trap. */
int ts_sys_untrap(void *addr, size_t bytes)
{
	if (madvise(addr, bytes, GUARD_REMOVE) && ts_a32_load_rlx(&guards_installed))
		return -errno;
	return mprotect(addr, bytes, PROT_READ | PROT_WRITE) ? -errno : 0;
}

void ts_sys_no_huge_pages(void *addr, size_t bytes)
{
	(void)madvise(addr, bytes, MADV_NOHUGEPAGE);
}
