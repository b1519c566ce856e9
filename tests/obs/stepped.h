/* SPDX-License-Identifier: MIT */
/* stepped.h: a process that is looked at from outside: it does a step and waits until the test has seen it. */
#ifndef TSLAB_TESTS_STEPPED_H
#define TSLAB_TESTS_STEPPED_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int to_child, from_child;
static pid_t child;

/* In the child, which cannot tell more. */
static inline void require(bool ok)
{
	if (!ok)
		_exit(1);
}

/* Tells that a step is done and waits for the next. */
static inline void step(void)
{
	char byte = 'x';

	require(write(STDOUT_FILENO, &byte, 1) == 1 && read(STDIN_FILENO, &byte, 1) == 1);
}

/* A child that does `live`, which does not return. */
static inline int begin_child(void (*live)(void))
{
	int there[2], back[2];

	if (pipe(there) || pipe(back))
		return -1;
	child = fork();
	if (child == 0) {
		dup2(there[0], STDIN_FILENO);
		dup2(back[1], STDOUT_FILENO);
		live();
	}
	to_child = there[1];
	from_child = back[0];
	return child < 0;
}

/* It was still there? */
static inline int end_child(void)
{
	int status;

	kill(child, SIGKILL);
	return waitpid(child, &status, 0) != child || !WIFSIGNALED(status);
}

static inline void wait_for_child(void)
{
	char byte;

	assert_int_equal(read(from_child, &byte, 1), 1);
}

static inline void next(void)
{
	assert_int_equal(write(to_child, "x", 1), 1);
	wait_for_child();
}

#endif
