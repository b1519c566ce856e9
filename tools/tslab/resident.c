/* SPDX-License-Identifier: MIT */
/*
 * resident.c: the kernel's view of the heaps' address range, to hold against the library's own figures, in all
 * and by epoch.
 *
 * No address leaves a process through its segment, so the range is found by its shape among the mappings:
 * as long as the library says, writable from its start as far as it is in use, the rest inaccessible.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "obs/owners.h"
#include "tool.h"

#define SEGMENT_BYTES ((uint64_t)4 << 20)
#define PAGE_PRESENT ((uint64_t)1 << 63)
#define PAGE_SWAPPED ((uint64_t)1 << 62)

struct mapping {
	unsigned long long start, end;
	bool anonymous;
	bool writable;
	bool hidden; /* no access at all */
};

static bool parse_mapping(const char *line, struct mapping *mapping)
{
	unsigned long long inode;
	char access[8];

	if (sscanf(line, "%llx-%llx %7s %*s %*s %llu", &mapping->start, &mapping->end, access,
		   &inode) != 4)
		return false;
	mapping->anonymous = !inode;
	mapping->writable = !strncmp(access, "rw-p", 4);
	mapping->hidden = !strncmp(access, "---p", 4);
	return true;
}

/* What is behind the range may be inaccessible too, and then is one mapping with it. */
static bool is_range(const struct mapping *used, uint64_t end, uint64_t range_bytes)
{
	return used->anonymous && used->writable && used->start % SEGMENT_BYTES == 0 &&
	       end - used->start >= range_bytes &&
	       end - used->start <= range_bytes + 2 * SEGMENT_BYTES;
}

/* The part of the range that is in use. */
static bool find_range(pid_t pid, uint64_t range_bytes, struct mapping *used)
{
	struct mapping before = { .start = 0 }, now;
	char path[64], line[512];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	while (maps && !found && fgets(line, sizeof(line), maps)) {
		if (!parse_mapping(line, &now))
			continue;
		if (is_range(&now, now.end, range_bytes))
			before = now, found = true;
		else if (now.hidden && before.end == now.start)
			found = is_range(&before, now.end, range_bytes);
		if (!found)
			before = now;
	}
	if (maps)
		fclose(maps);
	*used = before;
	return found;
}

/* Pages in the order of their addresses; `owners` may be NULL. */
struct tally {
	struct ts_target *target;
	const struct ts_owners *owners;
	uint64_t page_bytes;
	uint64_t chunk_bytes;
	uint64_t chunk; /* the last page's, and whose it is */
	struct ts_epoch_view *epoch;
};

static void count_page(struct tally *tally, uint64_t offset, uint64_t page)
{
	uint64_t chunk = offset / tally->chunk_bytes;

	if (page & PAGE_SWAPPED)
		tally->target->heap_swapped_bytes += tally->page_bytes;
	if (!(page & PAGE_PRESENT))
		return;
	tally->target->heap_resident_bytes += tally->page_bytes;
	if (tally->owners && chunk != tally->chunk) {
		tally->chunk = chunk;
		tally->epoch = ts_owners_find(tally->owners, chunk);
	}
	if (tally->epoch)
		tally->epoch->resident_bytes += tally->page_bytes;
}

/* False: the kernel does not show them all. */
static bool count_pages(pid_t pid, const struct mapping *used, struct tally *tally)
{
	uint64_t first = used->start / tally->page_bytes, end = used->end / tally->page_bytes;
	uint64_t at = first, pages[4096];
	char path[64];
	ssize_t got = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && at < end) {
		size_t wanted = end - at < 4096 ? (size_t)(end - at) : 4096;

		got = pread(fd, pages, wanted * sizeof(*pages), (off_t)(at * sizeof(*pages)));
		if (got < (ssize_t)sizeof(*pages))
			break;
		for (size_t i = 0; i < (size_t)got / sizeof(*pages); i++)
			count_page(tally, (at - first + i) * tally->page_bytes, pages[i]);
		at += (size_t)got / sizeof(*pages);
	}
	if (fd >= 0)
		close(fd);
	return at == end;
}

static void set_epochs(struct ts_snapshot *snapshot, uint64_t resident_bytes)
{
	for (size_t i = 0; i < snapshot->epoch_count; i++)
		snapshot->epochs[i].resident_bytes = resident_bytes;
}

bool resident_read(pid_t pid, struct ts_snapshot *snapshot, const struct ts_chunk_view *chunks,
		   size_t chunk_count)
{
	struct tally tally = { .target = &snapshot->target,
			       .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
			       .chunk_bytes = snapshot->header.chunk_bytes,
			       .chunk = UINT64_MAX };
	struct ts_owners owners;
	struct mapping used;
	bool read = false;

	if (ts_owners_read(&owners, snapshot, chunks, chunk_count)) {
		tally.owners = &owners;
		set_epochs(snapshot, 0);
	}
	if (tally.chunk_bytes &&
	    find_range(pid, ts_a64_load_rlx(&snapshot->process.w.range_bytes), &used))
		read = count_pages(pid, &used, &tally);
	if (!read) {
		set_epochs(snapshot, TS_UNKNOWN);
		tally.target->heap_resident_bytes = tally.target->heap_swapped_bytes = 0;
	}
	ts_owners_free(&owners);
	return read;
}
