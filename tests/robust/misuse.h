/* SPDX-License-Identifier: MIT */
/* misuse.h: what the driver (misuse.c) and the cases (misuse_cases.c) share. */
#ifndef TESTS_ROBUST_MISUSE_H
#define TESTS_ROBUST_MISUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MISUSE_BATCH = 256 };

/* Shared memory: what is known of a child even if it crashes. */
struct misuse_record {
	uint64_t calls;   /* misuses so far */
	uint64_t refused; /* of these, refused as the allocator's own counters have it */
	char harm[96];    /* what was damaged; empty: nothing */
};

/* One case in one allocator. */
struct misuse_run {
	void *(*allocate)(size_t bytes);
	void (*release)(void *ptr);
	struct misuse_record *record;
	uint64_t count;
	uint64_t seed;
	bool tslab;
};

enum misuse_kind {
	MISUSE_POINTER, /* of any malloc; what is not refused is harm or luck */
	MISUSE_REUSED,  /* of any malloc; no pointer shows it */
	MISUSE_HANDLE,  /* of tslab's handles */
};

struct misuse_case {
	const char *name;
	const char *text;
	enum misuse_kind kind;
	void (*play)(struct misuse_run *run);
};

extern const struct misuse_case misuse_cases[];
extern const unsigned misuse_case_count;

/* Ends the child: something that lived was damaged, or one slot has two owners. */
void misuse_harm(struct misuse_run *run, const char *what) __attribute__((noreturn));

#endif
