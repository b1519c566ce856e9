/* SPDX-License-Identifier: MIT */
/*
 * The OS says no: the n-th call of each function by which the library asks it for something fails, for
 * every n that a workload reaches, once or from then on, with each of five errors. Every call of the
 * library gives a documented error, what lives is not harmed, and as soon as the OS says yes again all
 * works and all figures balance. Each plan runs in a process of its own and must have hit.
 *
 *   faults [--every]        without --every, calls after the 12th of a function are sampled
 *   faults --one-error      each of these calls fails with the first of the errors alone
 *
 * At the end it says where in the program each function was called from (test_faults.sh reads it).
 */
#include "../unit/support.h"
#include "faults.h"
#include "workload.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_REACHED = 3 };

static const struct {
	const char *name;
	int number;
} errors[] = { { "ENOMEM", ENOMEM },
	       { "EINVAL", EINVAL },
	       { "EAGAIN", EAGAIN },
	       { "EPERM", EPERM },
	       { "ENOSYS", ENOSYS } };
enum { ERRORS = sizeof(errors) / sizeof(errors[0]) };

static bool every;
static unsigned errors_each = ERRORS; /* the first so many */
static char directory[] = "/tmp/tslab-faults-XXXXXX";

struct plan {
	struct fault fault, companion;
	bool in_files; /* figures in files of `directory`, not in memory files */
};
static struct plan plan; /* of this child */
static const struct fault no_fault;

/* --------------------------------------------------------------------------------------- plans -- */

/* Without it a child of fork cannot leave its parent's figures. */
static bool keeps_child(enum fault_function function)
{
	return function == FAULT_mmap || function == FAULT_mremap;
}

/* Exit status: 0 the plan hit and all was well, NOT_REACHED the workload makes fewer calls than that. */
static void one_plan(void *arg)
{
	plan = *(struct plan *)arg;
	setenv("TSLAB_RSS_PROBE", "always", 1);
	setenv("TSLAB_SAMPLE", "7", 1);
	/* The only calls that it adds; they are many. */
	if (plan.fault.function == FAULT_madvise || plan.fault.function == FAULT_mprotect)
		setenv("TSLAB_GUARD", "1", 1);
	setenv("TSLAB_TRACE_FAILURES", "nonsense", 1); /* a line on stderr */
	if (plan.in_files)
		setenv("TSLAB_STATS_DIR", directory, 1);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	REQUIRE(dup2(null, STDERR_FILENO) == STDERR_FILENO);

	workload_child_may_abort = keeps_child(plan.fault.function) ||
				   (plan.companion.nth && keeps_child(plan.companion.function));
	fault_plan(&plan.fault, &plan.companion);
	workload();
	fault_plan(&no_fault, &no_fault);
	/* The OS says yes again. */
	workload_child_may_abort = false;
	workload_must_succeed = true;
	workload_failures = 0;
	workload();
	workload();
	REQUIRE(workload_failures == 0);
	workload_check_figures();
	/* The end in order asks for something, too. */
	int status = fault_record->fired ? 0 : NOT_REACHED;
	fault_plan(&plan.fault, &plan.companion);
	exit(status);
}

/* False if the workload does not get that far. */
static bool hit(struct plan *next, unsigned error, bool onward)
{
	struct fault *fault = &next->fault;

	fault->error = errors[error].number;
	fault->onward = onward;
	int status = in_child(one_plan, next);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_REACHED)
		return false;
	if (!exited_well(status))
		fail_msg("%s:%llu%s:%s, figures in %s, %s fails: status %#x",
			 fault_names[fault->function], (unsigned long long)fault->nth,
			 onward ? "+" : "", errors[error].name,
			 next->in_files ? "files" : "memory files",
			 next->companion.nth ? fault_names[next->companion.function] : "nothing else",
			 (unsigned)status);
	return true;
}

/* All errors at one call, once and from then on; false if the workload does not get that far. */
static bool all_errors(struct plan *next)
{
	if (!hit(next, 0, false))
		return false;
	/* Lines on stderr keep a pause: how many there are depends on the time. */
	for (unsigned i = 1; i < 2 * errors_each; i++)
		assert_true(hit(next, i / 2, i % 2) ||
			    (next->fault.function == FAULT_write && next->fault.nth > 1));
	return true;
}

static unsigned long long every_call(struct plan *next)
{
	unsigned long long plans = 0;

	next->companion = no_fault;
	for (next->fault.nth = 1; all_errors(next);
	     next->fault.nth += every || next->fault.nth < 12 ? 1 : 1 + next->fault.nth / 3)
		plans += 2 * errors_each;
	return plans;
}

/* Calls that are made because something else has failed: from its n-th call on, for these only once. */
static unsigned long long every_call_on_errors(struct plan *next, unsigned companion_calls)
{
	unsigned long long plans = 0;

	for (unsigned f = 0; f < FAULT_FUNCTIONS; f++) {
		if (f == next->fault.function)
			continue;
		next->companion = (struct fault){ f, 1, true, EINVAL };
		for (next->fault.nth = 1; hit(next, 0, true); next->fault.nth++)
			plans++;
		next->companion.onward = false;
		next->fault.nth = 1;
		for (; next->companion.nth <= companion_calls; next->companion.nth++)
			plans += hit(next, 0, true);
	}
	return plans;
}

/* Where the kernel has no guard pages mprotect does their work: from the first object between them on. */
static unsigned long long without_guard_pages(struct plan *next)
{
	unsigned long long plans = 0;

	next->companion = (struct fault){ FAULT_madvise, 1, true, EINVAL };
	for (next->fault.nth = 1; next->fault.nth <= 40 && hit(next, 0, false); next->fault.nth++)
		plans++;
	return plans;
}

static void function_fails(void **state)
{
	struct plan next = { .fault.function = *(enum fault_function *)*state };
	unsigned long long plans = 0;

	for (unsigned in_files = 0; in_files < 2; in_files++) {
		next.in_files = in_files;
		plans += every_call(&next);
		if (next.fault.function == FAULT_mprotect)
			plans += without_guard_pages(&next);
		if (next.fault.function == FAULT_munmap || next.fault.function == FAULT_unlinkat ||
		    next.fault.function == FAULT_write)
			plans += every_call_on_errors(&next, 12);
		else if (next.fault.function == FAULT_close)
			plans += every_call_on_errors(&next, 0);
	}
	/* Each plan hit, and there were some. */
	assert_true(plans > 0);
	print_message("# %s: %llu plans\n", fault_names[next.fault.function], plans);
}

/* ---------------------------------------------------------------------------------------- main -- */

static void print_sites(void)
{
	for (unsigned f = 0; f < FAULT_FUNCTIONS; f++)
		for (unsigned i = 0; i < FAULT_SITES_MAX && fault_record->site[f][i]; i++)
			printf("# site %s %llx\n", fault_names[f],
			       (unsigned long long)fault_record->site[f][i]);
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[FAULT_FUNCTIONS];
	static enum fault_function functions[FAULT_FUNCTIONS];
	char command[64];

	if (argc == 2 && !strcmp(argv[1], "--every"))
		every = true;
	else if (argc == 2 && !strcmp(argv[1], "--one-error"))
		errors_each = 1;
	else if (argc > 1)
		return 2;
	fault_record = mmap(NULL, sizeof(*fault_record), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fault_record == MAP_FAILED || !mkdtemp(directory))
		return 2;
	for (unsigned f = 0; f < FAULT_FUNCTIONS; f++) {
		functions[f] = f;
		tests[f] = (struct CMUnitTest){ fault_names[f], function_fails, NULL, NULL,
						&functions[f] };
	}
	int status = cmocka_run_group_tests_name("faults", tests, NULL, NULL);
	print_sites();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) || status;
}
