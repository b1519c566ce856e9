/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "tool.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * The signals that end a command are taken here and nowhere else, so that what it writes between two
 * waits is written whole, and none is lost before a wait begins.
 */
bool pace_wait(uint64_t ms)
{
	static uint64_t due_ns;
	static sigset_t ends;
	uint64_t now = now_ns();
	int got;

	if (!due_ns) {
		sigemptyset(&ends);
		sigaddset(&ends, SIGINT);
		sigaddset(&ends, SIGTERM);
		sigaddset(&ends, SIGHUP);
		sigprocmask(SIG_BLOCK, &ends, NULL);
		due_ns = now;
	}
	due_ns += ms * 1000000u;
	if (due_ns < now) /* what is late is not made up for */
		due_ns = now;
	do {
		uint64_t left = now < due_ns ? due_ns - now : 0;
		const struct timespec wait = { .tv_sec = (time_t)(left / 1000000000u),
					       .tv_nsec = (long)(left % 1000000000u) };

		got = sigtimedwait(&ends, NULL, &wait);
		now = now_ns();
	} while (got < 0 && errno == EINTR);
	return got < 0;
}
