/* SPDX-License-Identifier: MIT */
/* Prints what this machine's cycle counter is: the rate that the CPU claims, and the smallest step seen. */
#include <inttypes.h>
#include <stdio.h>

#include "arch.h"

enum { READINGS = 1000000 };

int main(void)
{
	uint64_t smallest = UINT64_MAX, hz = ts_arch_cycles_hz(), before = ts_arch_cycles();

	for (unsigned i = 0; i < READINGS; i++) {
		uint64_t now = ts_arch_cycles();

		if (now != before && now - before < smallest)
			smallest = now - before;
		before = now;
	}
	if (hz)
		printf("%.3g MHz, step %.3g ns\n", (double)hz / 1e6,
		       (double)smallest * 1e9 / (double)hz);
	else
		printf("rate unknown, step %" PRIu64 "\n", smallest);
	return 0;
}
