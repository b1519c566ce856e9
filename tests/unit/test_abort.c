/* SPDX-License-Identifier: MIT */
/*
 * TSLAB_ON_ERROR=abort makes the first refusal fatal. The variable is set before the first call into
 * the library, in a child for each case, so this program must not call it before.
 */
#include "support.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void prepare(void)
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	setenv("TSLAB_ON_ERROR", "abort", 1);
}

static void correct_use(void *unused)
{
	(void)unused;
	prepare();
	tslab_epoch_t epoch = 0;
	REQUIRE(tslab_epoch_open(NULL, "fine", &epoch) == 0);
	REQUIRE(tslab_domain_enter(epoch) == 0);
	tslab_free(tslab_malloc(10));
	tslab_free(NULL);
	/* A failed allocation is no misuse. */
	REQUIRE(!tslab_malloc((volatile size_t){ SIZE_MAX }));
	REQUIRE(tslab_domain_exit(epoch) == 0);
	REQUIRE(tslab_epoch_close(epoch) == 0);
}

static void double_free(void *unused)
{
	(void)unused;
	prepare();
	void *p = tslab_malloc(10);
	tslab_free(p);
	tslab_free(p);
}

static void foreign_free(void *unused)
{
	int local = 0;

	(void)unused;
	prepare();
	tslab_free(&local);
}

static void exit_without_enter(void *unused)
{
	(void)unused;
	prepare();
	(void)tslab_domain_exit(tslab_epoch_default(NULL));
}

static void stale_handle(void *unused)
{
	tslab_handle_t handle = 0;

	(void)unused;
	prepare();
	REQUIRE(tslab_handle_alloc(tslab_epoch_default(NULL), 64, &handle) == 0);
	REQUIRE(tslab_handle_free(NULL, handle) == 0);
	(void)tslab_handle_free(NULL, handle);
}

static void close_of_the_default_epoch(void *unused)
{
	(void)unused;
	prepare();
	(void)tslab_epoch_close(tslab_epoch_default(NULL));
}

static void correct_use_goes_on(void **state)
{
	char text[4096];

	(void)state;
	assert_true(exited_well(in_child_stderr(correct_use, NULL, text, sizeof(text))));
	assert_string_equal(text, "");
}

static void each_refusal_is_fatal(void **state)
{
	static void (*const cases[])(void *) = { double_free, foreign_free, exit_without_enter,
						 stale_handle, close_of_the_default_epoch };
	char text[4096];

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = in_child_stderr(cases[i], NULL, text, sizeof(text));

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
		assert_non_null(strstr(text, "tslab"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(correct_use_goes_on),
		cmocka_unit_test(each_refusal_is_fatal),
	};

	return cmocka_run_group_tests_name("abort", tests, NULL, NULL);
}
