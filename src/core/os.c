/* SPDX-License-Identifier: MIT */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "arch.h"
#include "process.h"
#include "sys.h"

static ts_a64 page_bytes_once;
static ts_a64 boot_offset_ns;

size_t ts_os_page_bytes(void)
{
	uint64_t page_bytes = ts_a64_load_rlx(&page_bytes_once);

	if (!page_bytes) {
		page_bytes = ts_sys_page_bytes();
		ts_a64_store_rlx(&page_bytes_once, page_bytes);
	}
	return page_bytes;
}

uint64_t ts_os_address_space_bytes(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

void *ts_os_reserve(size_t bytes, size_t align)
{
	void *addr;
	uintptr_t start;
	int error = ts_sys_reserve(bytes + align, &addr);

	if (error) {
		ts_count(commit_failures, 1);
		return NULL;
	}
	/* The slack stays reserved: giving it back would cost two calls and gain address space only. */
	start = ((uintptr_t)addr + align - 1) & ~(uintptr_t)(align - 1);
	return (void *)start;
}

void ts_os_release(void *addr, size_t bytes)
{
	if (ts_sys_unmap(addr, bytes))
		ts_os_purge(addr, bytes);
}

int ts_os_commit(void *addr, size_t bytes)
{
	size_t page_bytes = ts_os_page_bytes();
	uintptr_t start = ts_arch_page_down((uintptr_t)addr, page_bytes);
	uintptr_t end = ts_arch_page_up((uintptr_t)addr + bytes, page_bytes);

	if (ts_sys_commit((void *)start, end - start)) {
		ts_count(commit_failures, 1);
		return -ENOMEM;
	}
	return 0;
}

void *ts_os_obtain(void **reserved, size_t bytes, size_t align)
{
	void *addr;

	if (!*reserved)
		*reserved = ts_os_reserve(bytes, align);
	if (!*reserved || ts_os_commit(*reserved, bytes))
		return NULL;
	addr = *reserved;
	*reserved = NULL;
	return addr;
}

size_t ts_os_purge(void *addr, size_t bytes)
{
	size_t page_bytes = ts_os_page_bytes();
	uintptr_t start = ts_arch_page_up((uintptr_t)addr, page_bytes);
	uintptr_t end = ts_arch_page_down((uintptr_t)addr + bytes, page_bytes);
	int error;

	if (end <= start)
		return 0;
	ts_count(purge_calls, 1);
	ts_count(purge_bytes, end - start);
	error = ts_sys_purge((void *)start, end - start);
	if (error) {
		ts_count(purge_failures, 1);
		ts_a64_store_rlx(&ts_process()->purge_last_errno, (uint64_t)-error);
		return 0;
	}
	return end - start;
}

bool ts_os_trap(void *addr, size_t bytes)
{
	if (!ts_sys_trap(addr, bytes))
		return true;
	ts_count(commit_failures, 1);
	return false;
}

bool ts_os_untrap(void *addr, size_t bytes)
{
	if (!ts_sys_untrap(addr, bytes))
		return true;
	ts_count(commit_failures, 1);
	return false;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t ts_os_rss_bytes(void)
{
	int saved = errno;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	char *second;

	if (fd >= 0)
		close(fd);
	errno = saved;
	if (length <= 0)
		return 0;
	text[length] = '\0';
	strtoull(text, &second, 10);
	return strtoull(second, NULL, 10) * ts_os_page_bytes();
}

uint64_t ts_os_coarse_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_COARSE) + ts_a64_load_rlx(&boot_offset_ns);
}

void ts_os_wait_a_little(unsigned *rounds)
{
	if (++*rounds < 64)
		ts_arch_pause();
	else
		sched_yield();
}

uint64_t ts_os_clock_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t ts_os_thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void ts_os_clock_sync(void)
{
	uint64_t boot = clock_ns(CLOCK_BOOTTIME);
	uint64_t mono = clock_ns(CLOCK_MONOTONIC);

	ts_a64_store_rlx(&boot_offset_ns, boot > mono ? boot - mono : 0);
	ts_a64_store_rlx(&ts_process()->boot_offset_ns, boot > mono ? boot - mono : 0);
}
