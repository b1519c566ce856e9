/* SPDX-License-Identifier: MIT */
/* random.h: the random numbers of the tests, xorshift64* (Vigna, 2014); a seed is any number but 0. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>

static inline uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* The high bits are the better ones. */
static inline uint64_t rnd_below(uint64_t *state, uint64_t below)
{
	return (rnd(state) >> 16) % below;
}

#endif
