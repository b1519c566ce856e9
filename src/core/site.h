/* SPDX-License-Identifier: MIT */
/*
 * site.h: code addresses as small numbers. A site's module and offset are looked up once, when it is
 * first seen, and shown in the sites and module blocks; no address leaves the process.
 */
#ifndef TS_CORE_SITE_H
#define TS_CORE_SITE_H

#include <stddef.h>
#include <stdint.h>

/* The number of a code address; 0 if there is no room. A probe or two once the site is known. */
uint32_t ts_site_id(const void *pc);
/* "module+0x1234" for a message. */
void ts_site_describe(uint32_t site, char *buf, size_t bytes);

#endif
