/* SPDX-License-Identifier: MIT */
/*
 * attach.c: finds the sealed memfds of a process among its open files and maps them.
 *
 * The process does nothing for it and does not notice. A memfd that is not sealed against shrinking is
 * copied instead of mapped, else its owner could make the reader die of SIGBUS.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define MEMFD_LINK "/memfd:"
enum { CHUNK_BYTES_MAX = 64 << 20 };

/* Chunk number of a link such as "/memfd:tslab.v1+2 (deleted)"; -1 if it is none of this instance's. */
static int chunk_of_link(const char *link, const char *instance)
{
	size_t length = strlen(MEMFD_LINK);
	char *end;
	long chunk;

	if (strncmp(link, MEMFD_LINK, length) != 0 ||
	    strncmp(link + length, instance, strlen(instance)) != 0)
		return -1;
	link += length + strlen(instance);
	if (*link == '\0' || *link == ' ')
		return 0;
	if (*link != '+')
		return -1;
	chunk = strtol(link + 1, &end, 10);
	return chunk > 0 && chunk < TS_SNAPSHOT_CHUNKS_MAX && (*end == '\0' || *end == ' ') ?
		       (int)chunk :
		       -1;
}

static const void *copy_file(int fd, size_t bytes)
{
	char *copy = malloc(bytes);
	size_t done = 0;

	while (copy && done < bytes) {
		ssize_t got = pread(fd, copy + done, bytes - done, (off_t)done);

		if (got <= 0)
			break;
		done += (size_t)got;
	}
	if (copy)
		memset(copy + done, 0, bytes - done);
	return copy;
}

static bool open_chunk(int fd, struct ts_chunk_view *view, bool *mapped)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *base;

	if (fstat(fd, &st) || st.st_size < (off_t)TS_BLOCK_BYTES || st.st_size > CHUNK_BYTES_MAX)
		return false;
	view->bytes = (size_t)st.st_size & ~(size_t)(TS_BLOCK_BYTES - 1);
	*mapped = seals >= 0 && (seals & F_SEAL_SHRINK);
	if (!*mapped) {
		view->base = copy_file(fd, view->bytes);
		return view->base != NULL;
	}
	base = mmap(NULL, view->bytes, PROT_READ, MAP_SHARED, fd, 0);
	view->base = base == MAP_FAILED ? NULL : base;
	return view->base != NULL;
}

static void close_chunk(struct ts_chunk_view *view, bool mapped)
{
	if (!view->base)
		return;
	if (mapped)
		munmap((void *)view->base, view->bytes);
	else
		free((void *)view->base);
	view->base = NULL;
}

/* Maps the chunk in an open file. False with *why: what the segment is instead. */
static bool view_chunk(const char *path, int chunk, int ns_pid, struct ts_chunk_view *view,
		       bool *mapped, const char **why)
{
	struct ts_block_header header;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool opened = fd >= 0 && open_chunk(fd, view, mapped);

	*why = fd < 0 ? "not readable" :
			"of an impossible size, or too large for the memory there is";
	if (fd >= 0)
		close(fd);
	if (!opened || !ts_snapshot_check_header(view, &header, why))
		return false;
	*why = header.pid == (uint32_t)ns_pid ? "incomplete" : "another process's, inherited";
	return header.pid == (uint32_t)ns_pid && header.chunk_index == (uint32_t)chunk;
}

static void take_chunk(struct attachment *a, const char *path, int chunk, pid_t pid, int ns_pid)
{
	struct ts_chunk_view view = { NULL, 0 };
	bool mapped = false;
	const char *why;

	if (!view_chunk(path, chunk, ns_pid, &view, &mapped, &why)) {
		snprintf(a->why, sizeof(a->why), "process %d: its stats segment is %s", (int)pid,
			 why);
	} else if (!a->chunks[chunk].base) {
		a->chunks[chunk] = view;
		a->mapped[chunk] = mapped;
		return;
	}
	close_chunk(&view, mapped);
}

static void keep_contiguous(struct attachment *a)
{
	while (a->chunk_count < TS_SNAPSHOT_CHUNKS_MAX && a->chunks[a->chunk_count].base)
		a->chunk_count++;
	for (unsigned i = (unsigned)a->chunk_count; i < TS_SNAPSHOT_CHUNKS_MAX; i++) {
		a->gaps |= a->chunks[i].base != NULL;
		close_chunk(&a->chunks[i], a->mapped[i]);
	}
}

static bool refuse(struct attachment *a, pid_t pid)
{
	if (errno == ENOENT || errno == ESRCH)
		snprintf(a->why, sizeof(a->why), "no process %d", (int)pid);
	else if (errno == EACCES || errno == EPERM)
		snprintf(a->why, sizeof(a->why),
			 "process %d cannot be read: it belongs to another user, or forbids it "
			 "(only its own user and root can)",
			 (int)pid);
	else
		snprintf(a->why, sizeof(a->why), "process %d cannot be read: %s", (int)pid,
			 strerror(errno));
	return false;
}

static void take_chunks(struct attachment *a, DIR *dir, const char *instance, pid_t pid, int ns_pid)
{
	const struct dirent *entry;
	char path[320], link[128];

	while ((entry = readdir(dir))) {
		ssize_t length;
		int chunk;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entry->d_name);
		length = readlink(path, link, sizeof(link) - 1);
		link[length > 0 ? length : 0] = '\0';
		chunk = chunk_of_link(link, instance);
		if (chunk >= 0)
			take_chunk(a, path, chunk, pid, ns_pid);
	}
	keep_contiguous(a);
}

bool attach(pid_t pid, struct attachment *a)
{
	struct ts_target target;
	char path[320];
	DIR *dir;

	memset(a, 0, sizeof(*a));
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return refuse(a, pid);
	proc_describe(pid, &target);
	snprintf(a->why, sizeof(a->why),
		 "process %d shows no stats segment: it does not use libtslab, has not used it yet, or runs "
		 "with TSLAB_STATS=0",
		 (int)pid);
	/* What the program itself keeps in epochs, else what a preloaded malloc keeps for it. */
	take_chunks(a, dir, TS_STATS_NAME, pid, target.ns_pid);
	if (!a->chunk_count) {
		rewinddir(dir);
		take_chunks(a, dir, TS_STATS_MALLOC_NAME, pid, target.ns_pid);
	}
	closedir(dir);
	return a->chunk_count > 0;
}

void detach(struct attachment *a)
{
	for (size_t i = 0; i < a->chunk_count; i++)
		close_chunk(&a->chunks[i], a->mapped[i]);
	a->chunk_count = 0;
}
