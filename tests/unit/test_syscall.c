/* SPDX-License-Identifier: MIT */
/*
 * What must not enter the kernel does not: a child warms up, forbids itself every system call but exit,
 * and goes on. The first forbidden call would kill it.
 */
#include "support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 2000 };

/* False where the kernel, or the emulator in its place, has no filters. */
static bool forbid_system_calls(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void finish(bool ok)
{
	syscall(SYS_exit_group, ok ? 0 : 1);
}

/* Not inlined: each copy would be an enter site of its own, and a new site may look its module up. */
static __attribute__((noinline)) bool open_enter_exit_close(void)
{
	tslab_epoch_t epoch = 0;

	return tslab_epoch_open(NULL, "request", &epoch) == 0 && tslab_domain_enter(epoch) == 0 &&
	       tslab_domain_exit(epoch) == 0 && tslab_epoch_close(epoch) == 0;
}

static __attribute__((noinline)) bool request(bool discard)
{
	tslab_epoch_t epoch = 0;
	void *objects[100];

	if (tslab_epoch_open(NULL, "request", &epoch) || tslab_domain_enter(epoch))
		return false;
	for (unsigned i = 0; i < 100; i++) {
		objects[i] = tslab_malloc(64 + i * 4);
		if (!objects[i])
			return false;
	}
	if (tslab_domain_exit(epoch))
		return false;
	if (discard)
		return tslab_epoch_discard(epoch) == 0;
	for (unsigned i = 0; i < 100; i++)
		tslab_free(objects[i]);
	return tslab_epoch_close(epoch) == 0;
}

static void warm_epoch(void *unused)
{
	(void)unused;
	bool ok = true;

	for (unsigned i = 0; i < 100; i++)
		ok &= open_enter_exit_close();
	if (!forbid_system_calls())
		_exit(77);
	for (unsigned i = 0; i < ROUNDS; i++)
		ok &= open_enter_exit_close();
	finish(ok);
}

static void warm_request_discarded(void *unused)
{
	(void)unused;
	bool ok = true;

	for (unsigned i = 0; i < 100; i++)
		ok &= request(true);
	if (!forbid_system_calls())
		_exit(77);
	for (unsigned i = 0; i < ROUNDS; i++)
		ok &= request(true);
	finish(ok);
}

static void warm_request_freed(void *unused)
{
	(void)unused;
	bool ok = true;

	for (unsigned i = 0; i < 100; i++)
		ok &= request(false);
	if (!forbid_system_calls())
		_exit(77);
	for (unsigned i = 0; i < ROUNDS; i++)
		ok &= request(false);
	finish(ok);
}

static __attribute__((noinline)) bool scope(bool discard)
{
	tslab_epoch_t epoch = 0;
	void *objects[100];

	if (tslab_scope_begin(NULL, "scope", &epoch))
		return false;
	for (unsigned i = 0; i < 100; i++) {
		objects[i] = tslab_malloc(64 + i * 4);
		if (!objects[i])
			return false;
	}
	if (discard)
		return tslab_scope_discard(epoch) == 0;
	for (unsigned i = 0; i < 100; i++)
		tslab_free(objects[i]);
	return tslab_scope_close(epoch) == 0;
}

static void warm_scopes(void *unused)
{
	(void)unused;
	bool ok = true;

	for (unsigned i = 0; i < 100; i++)
		ok &= scope(i % 2);
	if (!forbid_system_calls())
		_exit(77);
	for (unsigned i = 0; i < ROUNDS; i++)
		ok &= scope(i % 2);
	finish(ok);
}

static void warm_allocation(void *unused)
{
	static void *objects[256];
	uint64_t seed = 5;
	bool ok = true;

	(void)unused;
	for (unsigned i = 0; i < 100000; i++) {
		void **slot = &objects[rnd(&seed) % 256];

		if (i == 50000 && !forbid_system_calls())
			_exit(77);
		tslab_free(*slot);
		/* Within half of what was seen before, so that no new chunk is needed. */
		*slot = tslab_malloc(16 + rnd(&seed) % (i < 50000 ? 1000 : 500));
		ok &= *slot != NULL;
	}
	finish(ok);
}

static void statistics(void *unused)
{
	struct tslab_process_stats process = { .struct_bytes = sizeof(process) };
	struct tslab_class_stats cls = { .struct_bytes = sizeof(cls) };
	bool ok = true;

	(void)unused;
	tslab_free(tslab_malloc(10));
	if (!forbid_system_calls())
		_exit(77);
	ok &= tslab_stats_process(&process) == 0;
	ok &= tslab_stats_class(2, &cls) == 0;
	finish(ok);
}

static void expect_quiet(void (*body)(void *))
{
	int status = in_child(body, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("# no system call filters here (an emulator has none)\n");
		skip();
	}
	assert_true(exited_well(status));
}

static void a_system_call(void *unused)
{
	(void)unused;
	if (!forbid_system_calls())
		_exit(77);
	(void)syscall(SYS_getpid);
	finish(true);
}

/* The net itself: a child that makes one call dies. */
static void the_filter_works(void **state)
{
	(void)state;
	int status = in_child(a_system_call, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void epoch_makes_none(void **state)
{
	(void)state;
	expect_quiet(warm_epoch);
}

static void discarded_request_makes_none(void **state)
{
	(void)state;
	expect_quiet(warm_request_discarded);
}

static void freed_request_makes_none(void **state)
{
	(void)state;
	expect_quiet(warm_request_freed);
}

static void scopes_make_none(void **state)
{
	(void)state;
	expect_quiet(warm_scopes);
}

static void allocation_makes_none(void **state)
{
	(void)state;
	expect_quiet(warm_allocation);
}

static void statistics_make_none(void **state)
{
	(void)state;
	expect_quiet(statistics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_filter_works),
		cmocka_unit_test(epoch_makes_none),
		cmocka_unit_test(discarded_request_makes_none),
		cmocka_unit_test(freed_request_makes_none),
		cmocka_unit_test(scopes_make_none),
		cmocka_unit_test(allocation_makes_none),
		cmocka_unit_test(statistics_make_none),
	};

	return cmocka_run_group_tests_name("syscall", tests, NULL, NULL);
}
