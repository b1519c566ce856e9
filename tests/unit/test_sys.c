/* SPDX-License-Identifier: MIT */
/*
 * What a kernel answers to each call of sys.h, by its page size: which addresses it refuses, how far it
 * rounds a length up, and whose memory goes with it. One table, compiled twice: against the kernel that
 * runs here, and against the simulated one with pages of 4, 16 and 64 KiB. Where the first run has pages of
 * 64 KiB, the second is thereby shown to be right.
 */
#include "support.h"

#include <sys/mman.h>
#include <unistd.h>

#include "core/sys.h"

#if TEST_SIMULATED
static const char *const pages[] = { "4096", "16384", "65536" };
#else
static const char *const pages[] = { "" };
#endif

/* The arena is looked at in grains of the smallest page. */
enum { GRAIN = 4096, ARENA_PAGES = 8, GRAINS_MAX = ARENA_PAGES * 16 };

/* Offsets and lengths of a call: so many pages, and so many bytes more. */
struct place {
	size_t pages, bytes;
};

enum answer { GOOD, REFUSED, REFUSED_IF_LARGE, NO_ROOM };

enum kind { PURGE, COMMIT, UNMAP };

/* `touched`: so many whole pages from the offset on are changed by the call. `answer` by kind. */
static const struct {
	struct place offset, length;
	unsigned touched;
	enum answer answer[3];
} calls[] = {
	{ { 0, 0 }, { 1, 0 }, 1, { GOOD, GOOD, GOOD } },
	{ { 2, 0 }, { 3, 0 }, 3, { GOOD, GOOD, GOOD } },
	/* A length is rounded up: the neighbour goes, too. */
	{ { 1, 0 }, { 0, 1 }, 1, { GOOD, GOOD, GOOD } },
	{ { 1, 0 }, { 0, GRAIN }, 1, { GOOD, GOOD, GOOD } },
	{ { 1, 0 }, { 1, 1 }, 2, { GOOD, GOOD, GOOD } },
	{ { 1, 0 }, { 1, GRAIN / 2 }, 2, { GOOD, GOOD, GOOD } },
	/* An address is not. */
	{ { 0, GRAIN }, { 1, 0 }, 1, { REFUSED_IF_LARGE, REFUSED_IF_LARGE, REFUSED_IF_LARGE } },
	{ { 0, GRAIN }, { 0, GRAIN }, 1, { REFUSED_IF_LARGE, REFUSED_IF_LARGE, REFUSED_IF_LARGE } },
	{ { 2, GRAIN / 2 }, { 1, 0 }, 0, { REFUSED, REFUSED, REFUSED } },
	{ { 2, 16 }, { 0, GRAIN }, 0, { REFUSED, REFUSED, REFUSED } },
	/* Nothing, and more than there is. */
	{ { 1, 0 }, { 0, 0 }, 0, { GOOD, GOOD, REFUSED } },
	{ { 1, 0 }, { 0, SIZE_MAX }, 0, { REFUSED, NO_ROOM, REFUSED } },
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* What a grain is before and after. */
enum state { CLOSED, FILLED, ZERO, GONE };

static size_t page;
static unsigned char *arena;

static size_t bytes_of(struct place place)
{
	return place.pages * page + place.bytes;
}

static int errno_of(enum answer answer)
{
	return answer == NO_ROOM                                                 ? -ENOMEM :
	       answer == REFUSED || (answer == REFUSED_IF_LARGE && page > GRAIN) ? -EINVAL :
										   0;
}

/* Reads a byte as the kernel would: no access is an error, not a signal. */
static bool readable(const unsigned char *byte)
{
	int ends[2];
	bool ok;

	assert_int_equal(pipe(ends), 0);
	ok = write(ends[1], byte, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	return ok;
}

static bool is_mapped(void *grain)
{
	return msync((void *)((uintptr_t)grain & ~(page - 1)), GRAIN, MS_ASYNC) == 0;
}

static enum state state_of(unsigned char *grain)
{
	if (readable(grain))
		return *grain ? FILLED : ZERO;
	return is_mapped(grain) ? CLOSED : GONE;
}

static void make_arena(enum state state)
{
	void *addr = NULL;

	assert_int_equal(ts_sys_reserve(ARENA_PAGES * page, &addr), 0);
	assert_int_equal((uintptr_t)addr % page, 0);
	arena = addr;
	if (state == CLOSED)
		return;
	assert_int_equal(ts_sys_commit(arena, ARENA_PAGES * page), 0);
	memset(arena, 0x5a, ARENA_PAGES * page);
}

static void require_states(unsigned call, bool done, enum state before, enum state after)
{
	size_t from = bytes_of(calls[call].offset), to = from + calls[call].touched * page;

	for (size_t at = 0; at < ARENA_PAGES * page; at += GRAIN) {
		enum state expected = done && at >= from && at < to ? after : before;
		enum state found = state_of(arena + at);

		if (found != expected)
			print_message("# pages of %zu, call %u, grain at %zu: %d, not %d\n", page,
				      call, at, found, expected);
		assert_int_equal(found, expected);
	}
}

static bool emulated(void)
{
	const char *runner = getenv("TEST_RUNNER");

	return runner && *runner;
}

/* What the kernel would answer, but who stands in front of it does not let it be asked. */
static bool not_asked(unsigned i, enum kind kind)
{
#ifdef __SANITIZE_THREAD__
	/* It unmaps its own shadow of the length first, and dies of one that nobody has. */
	if (kind == UNMAP && calls[i].length.bytes == SIZE_MAX)
		return true;
#endif
	/* qemu-user refuses to make nothing accessible. */
	return emulated() && kind == COMMIT && !bytes_of(calls[i].length);
}

/* Each call of the table once, on an arena of its own. */
static void run_table(enum kind kind, int (*function)(void *, size_t), enum state before,
		      enum state after)
{
	/* An emulator of system calls alone does not play larger pages well enough to be asked. */
	if (!TEST_SIMULATED && emulated() && ts_sys_page_bytes() > GRAIN)
		skip();
	for (unsigned p = 0; p < sizeof(pages) / sizeof(pages[0]); p++) {
		if (TEST_SIMULATED)
			setenv("TSLAB_SIM_PAGE", pages[p], 1);
		page = ts_sys_page_bytes();
		for (unsigned i = 0; i < CALLS; i++) {
			int error = errno_of(calls[i].answer[kind]);

			if (not_asked(i, kind))
				continue;
			make_arena(before);
			assert_int_equal(function(arena + bytes_of(calls[i].offset),
						  bytes_of(calls[i].length)),
					 error);
			require_states(i, !error, before, after);
			munmap(arena, ARENA_PAGES * page);
		}
	}
	unsetenv("TSLAB_SIM_PAGE");
}

static void test_purge(void **state)
{
	(void)state;
	run_table(PURGE, ts_sys_purge, FILLED, ZERO);
}

static void test_commit(void **state)
{
	(void)state;
	run_table(COMMIT, ts_sys_commit, CLOSED, ZERO);
}

static void test_unmap(void **state)
{
	(void)state;
	run_table(UNMAP, ts_sys_unmap, FILLED, GONE);
}

static void test_reserve(void **state)
{
	void *addr = NULL;

	(void)state;
	for (unsigned p = 0; p < sizeof(pages) / sizeof(pages[0]); p++) {
		if (TEST_SIMULATED)
			setenv("TSLAB_SIM_PAGE", pages[p], 1);
		page = ts_sys_page_bytes();
		assert_int_equal(ts_sys_reserve(0, &addr), -EINVAL);
		assert_int_equal(ts_sys_reserve(SIZE_MAX, &addr), -ENOMEM);
		assert_int_equal(ts_sys_reserve(SIZE_MAX / 2, &addr), -ENOMEM);
		assert_null(addr);
		assert_int_equal(ts_sys_reserve(1, &addr), 0);
		assert_int_equal((uintptr_t)addr % page, 0);
		assert_false(readable(addr));
		munmap(addr, page);
		addr = NULL;
	}
	unsetenv("TSLAB_SIM_PAGE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_commit),
		cmocka_unit_test(test_purge),
		cmocka_unit_test(test_unmap),
	};

	return cmocka_run_group_tests_name(TEST_SIMULATED ? "sys, simulated" : "sys", tests, NULL,
					   NULL);
}
