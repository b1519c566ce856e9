/* SPDX-License-Identifier: MIT */
/*
 * report.h: what is said about misuse. Each refusal is counted by its caller; at most one line in
 * 100 ms goes to stderr, with the number of lines left out. TSLAB_ON_ERROR=abort makes one fatal.
 * Uses write(2) and no allocation; labels are printed as data.
 */
#ifndef TS_CORE_REPORT_H
#define TS_CORE_REPORT_H

#include "epoch.h"

/* `what` is a fixed text, `epoch` and `lane` may be NULL, `address` 0 if there is none. */
void ts_report(const char *what, const struct ts_epoch *epoch, uint64_t address);
/* A discard was refused: one line that says where the threads inside came in. */
void ts_report_busy(const struct ts_epoch *epoch, uint64_t id);

#endif
