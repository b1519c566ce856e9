/* SPDX-License-Identifier: MIT */
/*
 * label.h: labels as data. A label is cut at 31 bytes on a UTF-8 boundary; control characters, DEL,
 * C1, bidirectional controls and invalid bytes become '?'. A registry of 16 ids bounds what monitoring
 * systems see; id 0 is "unlabeled" and takes every label after the 15th (counted).
 */
#ifndef TS_CORE_LABEL_H
#define TS_CORE_LABEL_H

#include <stdint.h>

/* `given` may be NULL. Fills all 32 bytes of `clean`. */
void ts_label_clean(const char *given, char clean[32]);
/* Id of a clean label, registering it if there is room. */
uint32_t ts_label_id(const char clean[32]);
/* The text of an id that was registered, else "". */
const char *ts_label_text(uint32_t id);

#endif
