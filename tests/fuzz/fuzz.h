/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h: a fuzz target is a program with the one function that libFuzzer calls. `configure CC=clang
 * --enable-fuzzing` links it with libFuzzer, CC=afl-clang-fast with the driver of AFL++, and every other build
 * with replay.c, which runs files, directories and seeded random inputs. A target aborts where it finds
 * something; its corpus is tests/fuzz/corpus-NAME, and each input that ever failed belongs there.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Calls, cases or whatever the target counts, over all inputs. */
extern uint64_t fuzz_operations;

#endif
