/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for sys_linux.c in test builds (libtslab-sim).
 *
 * TSLAB_SIM_PAGE=4096|16384|65536 plays a kernel with that page size, strictly: a call whose address is
 * not a multiple of it fails with EINVAL, and a length is rounded UP, so that a caller who thinks in
 * smaller pages loses its neighbour's bytes, as on a real kernel. Pages smaller than the kernel's own cannot
 * be played: then it has those of the kernel.
 *
 * TSLAB_SIM_FAULT=kind:n:errno[,kind:n:errno...] fails the n-th call of a kind (1 = the first; n+ means
 * that one and all later ones). Kinds: reserve commit purge unmap trap untrap. errno by name: ENOMEM EINVAL EAGAIN
 * EPERM ENOSYS. ts_sim_plan() replaces the plan at run time; ts_sim_fired() counts the faults that hit.
 */
#include "sys_sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch.h"
#include "sys.h"

enum { FAULTS_MAX = 16 };

static const char *const kind_names[TS_SIM_KINDS] = { "reserve", "commit", "purge",
						      "unmap",   "trap",   "untrap" };

static struct {
	unsigned kind;
	uint64_t nth;
	int error;
	bool onward;
} plan[FAULTS_MAX];
static unsigned plan_length;
static ts_a64 calls[TS_SIM_KINDS];
static ts_a64 fired;
static ts_a64 plan_read;

static int error_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} table[] = { { "ENOMEM", ENOMEM },
		      { "EINVAL", EINVAL },
		      { "EAGAIN", EAGAIN },
		      { "EPERM", EPERM },
		      { "ENOSYS", ENOSYS } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(name, table[i].name))
			return table[i].number;
	return 0;
}

int ts_sim_plan(const char *text)
{
	char copy[256];
	char *save = NULL;

	ts_a64_store_rlx(&plan_read, 1);
	plan_length = 0;
	for (unsigned k = 0; k < TS_SIM_KINDS; k++)
		ts_a64_store_rlx(&calls[k], 0);
	ts_a64_store_rlx(&fired, 0);
	if (!text || !*text)
		return 0;
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		char *nth = strchr(item, ':');
		char *error = nth ? strchr(nth + 1, ':') : NULL;
		unsigned kind = 0;

		if (!error || plan_length == FAULTS_MAX)
			return -EINVAL;
		*nth++ = *error++ = '\0';
		while (kind < TS_SIM_KINDS && strcmp(item, kind_names[kind]))
			kind++;
		if (kind == TS_SIM_KINDS || !error_number(error))
			return -EINVAL;
		plan[plan_length].kind = kind;
		plan[plan_length].nth = strtoull(nth, NULL, 10);
		plan[plan_length].onward = strchr(nth, '+') != NULL;
		plan[plan_length].error = error_number(error);
		plan_length++;
	}
	return 0;
}

uint64_t ts_sim_fired(void)
{
	return ts_a64_load_rlx(&fired);
}

uint64_t ts_sim_calls(enum ts_sim_kind kind)
{
	return ts_a64_load_rlx(&calls[kind]);
}

/* 0, or the negative errno that the plan has for this call. */
static int planned_fault(enum ts_sim_kind kind)
{
	uint64_t nth;

	if (!ts_a64_load_rlx(&plan_read) && ts_sim_plan(getenv("TSLAB_SIM_FAULT")))
		abort();
	nth = ts_a64_add_rlx(&calls[kind], 1) + 1;
	for (unsigned i = 0; i < plan_length; i++) {
		if (plan[i].kind != kind || (plan[i].onward ? nth < plan[i].nth : nth != plan[i].nth))
			continue;
		ts_a64_add_rlx(&fired, 1);
		return -plan[i].error;
	}
	return 0;
}

size_t ts_sys_page_bytes(void)
{
	const char *text = getenv("TSLAB_SIM_PAGE");
	size_t page_bytes = text ? strtoul(text, NULL, 10) : 0;

	return page_bytes > ts_arch_page_bytes() ? page_bytes : ts_arch_page_bytes();
}

static bool misaligned(const void *addr)
{
	return (uintptr_t)addr & (ts_sys_page_bytes() - 1);
}

/* A length that has no next page is left for the kernel to refuse. */
static size_t rounded_up(size_t bytes)
{
	size_t rounded = ts_arch_page_up(bytes, ts_sys_page_bytes());

	return rounded < bytes ? bytes : rounded;
}

int ts_sys_reserve(size_t bytes, void **addr)
{
	int error = planned_fault(TS_SIM_RESERVE);
	size_t page_bytes = ts_sys_page_bytes();
	char *p;

	if (error)
		return error;
	if (!bytes)
		return -EINVAL;
	if (bytes > SIZE_MAX / 2)
		return -ENOMEM;
	p = mmap(NULL, rounded_up(bytes) + page_bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	*addr = (char *)ts_arch_page_up((uintptr_t)p, page_bytes);
	return 0;
}

int ts_sys_commit(void *addr, size_t bytes)
{
	int error = planned_fault(TS_SIM_COMMIT);

	if (error)
		return error;
	if (misaligned(addr))
		return -EINVAL;
	return mprotect(addr, rounded_up(bytes), PROT_READ | PROT_WRITE) ? -errno : 0;
}

int ts_sys_purge(void *addr, size_t bytes)
{
	int error = planned_fault(TS_SIM_PURGE);

	if (error)
		return error;
	if (misaligned(addr))
		return -EINVAL;
	return madvise(addr, rounded_up(bytes), MADV_DONTNEED) ? -errno : 0;
}

int ts_sys_unmap(void *addr, size_t bytes)
{
	int error = planned_fault(TS_SIM_UNMAP);

	if (error)
		return error;
	if (misaligned(addr))
		return -EINVAL;
	return munmap(addr, rounded_up(bytes)) ? -errno : 0;
}

int ts_sys_trap(void *addr, size_t bytes)
{
	int error = planned_fault(TS_SIM_TRAP);

	if (error)
		return error;
	if (misaligned(addr))
		return -EINVAL;
	(void)madvise(addr, rounded_up(bytes), MADV_DONTNEED);
	return mprotect(addr, rounded_up(bytes), PROT_NONE) ? -errno : 0;
}

int ts_sys_untrap(void *addr, size_t bytes)
{
	int error = planned_fault(TS_SIM_UNTRAP);

	if (error)
		return error;
	if (misaligned(addr))
		return -EINVAL;
	return mprotect(addr, rounded_up(bytes), PROT_READ | PROT_WRITE) ? -errno : 0;
}

void ts_sys_no_huge_pages(void *addr, size_t bytes)
{
	(void)madvise(addr, bytes, MADV_NOHUGEPAGE);
}
