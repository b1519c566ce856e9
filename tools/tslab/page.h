/* SPDX-License-Identifier: MIT */
/* page.h: the files of `tslab serve`'s page, made a part of the program by build-aux/embed.sh. */
#ifndef TSLAB_PAGE_H
#define TSLAB_PAGE_H

#include <stddef.h>

struct page_file {
	const char *name;
	const char *type;
	const unsigned char *bytes;
	size_t byte_count;
};

extern const struct page_file page_files[];
extern const size_t page_file_count;

#endif
