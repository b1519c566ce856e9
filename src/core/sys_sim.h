/* SPDX-License-Identifier: MIT */
/* Test builds only: the fault plan of sys_sim.c. */
#ifndef TS_CORE_SYS_SIM_H
#define TS_CORE_SYS_SIM_H

#include <stdint.h>

enum ts_sim_kind {
	TS_SIM_RESERVE,
	TS_SIM_COMMIT,
	TS_SIM_PURGE,
	TS_SIM_UNMAP,
	TS_SIM_TRAP,
	TS_SIM_UNTRAP,
	TS_SIM_KINDS
};

/* Replaces the plan and starts counting anew. 0, or -EINVAL for a text that is no plan. */
int ts_sim_plan(const char *text);
/* Faults that hit, and calls seen, since the last plan. */
uint64_t ts_sim_fired(void);
uint64_t ts_sim_calls(enum ts_sim_kind kind);

#endif
