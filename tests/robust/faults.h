/* SPDX-License-Identifier: MIT */
/*
 * faults.h: the calls into the C library by which libtslab asks something of the kernel, wrapped by the
 * linker (--wrap) so that any of them can be made to fail.
 */
#ifndef TESTS_ROBUST_FAULTS_H
#define TESTS_ROBUST_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/* Function, and how it tells an error: SET -1 and errno, MAPS MAP_FAILED and errno, GIVES the number. */
#define FAULTS(X)                                                                                  \
	X(mmap, MAPS)                                                                              \
	X(mprotect, SET)                                                                           \
	X(madvise, SET)                                                                            \
	X(getrlimit, SET)                                                                          \
	X(munmap, SET)                                                                             \
	X(mremap, MAPS)                                                                            \
	X(memfd_create, SET)                                                                       \
	X(ftruncate, SET)                                                                          \
	X(fchmod, SET)                                                                             \
	X(fstat, SET)                                                                              \
	X(fcntl, SET)                                                                              \
	X(flock, SET)                                                                              \
	X(posix_fallocate, GIVES)                                                                  \
	X(open, SET)                                                                               \
	X(openat, SET)                                                                             \
	X(unlinkat, SET)                                                                           \
	X(read, SET)                                                                               \
	X(readlink, SET)                                                                           \
	X(close, SET)                                                                              \
	X(write, SET)                                                                              \
	X(clock_gettime, SET)                                                                      \
	X(pthread_key_create, GIVES)                                                               \
	X(pthread_setspecific, GIVES)                                                              \
	X(pthread_atfork, GIVES)

enum fault_function {
#define X(name, how) FAULT_##name,
	FAULTS(X)
#undef X
		FAULT_FUNCTIONS
};
enum { FAULT_SITES_MAX = 24 };

/* Shared by all children. */
struct fault_record {
	uint64_t fired;                                  /* of the plan of now */
	uint64_t site[FAULT_FUNCTIONS][FAULT_SITES_MAX]; /* failed there: offsets into the program */
};

extern const char *const fault_names[FAULT_FUNCTIONS];
extern struct fault_record *fault_record;

struct fault {
	enum fault_function function;
	uint64_t nth; /* 0: no fault */
	bool onward;  /* all later calls fail as well */
	int error;
};

/* From now on. The companion fails too, but is no news: it leads to calls that are made on errors only. */
void fault_plan(const struct fault *plan, const struct fault *companion);

#endif
