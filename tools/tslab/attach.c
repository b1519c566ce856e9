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

#include "core/control.h"
#include "tool.h"

#define MEMFD_LINK "/memfd:"
enum { CHUNK_BYTES_MAX = 64 << 20 };

/* "", or "+" and a number, then the end or a space: the number; -1 if it is none. */
static int chunk_of_suffix(const char *suffix)
{
	char *end;
	long chunk;

	if (*suffix == '\0' || *suffix == ' ')
		return 0;
	if (*suffix != '+')
		return -1;
	chunk = strtol(suffix + 1, &end, 10);
	return chunk > 0 && chunk < TS_SNAPSHOT_CHUNKS_MAX && (*end == '\0' || *end == ' ') ?
		       (int)chunk :
		       -1;
}

/*
 * Chunk number of a link such as "/memfd:tslab.v1+2 (deleted)", or of a file of TSLAB_STATS_DIR such as
 * "/run/tslab/tslab.v1-1a2b3c4d-5678-90+2"; -1 if it is none of this instance's.
 */
static int chunk_of_link(const char *link, const char *instance)
{
	const char *name = strrchr(link, '/');
	bool memory = !strncmp(link, MEMFD_LINK, strlen(MEMFD_LINK));
	size_t length = strlen(instance);

	name = memory ? link + strlen(MEMFD_LINK) : name ? name + 1 : link;
	if (strncmp(name, instance, length) != 0)
		return -1;
	if (memory)
		return chunk_of_suffix(name + length);
	if (strncmp(name + length, TS_STATS_FILE_MARK, strlen(TS_STATS_FILE_MARK)) != 0)
		return -1;
	return chunk_of_suffix(name + strcspn(name, "+ "));
}

bool is_control_link(const char *link, const char *instance)
{
	char wanted[64];

	snprintf(wanted, sizeof(wanted), MEMFD_LINK "%s" TS_CONTROL_MARK " ", instance);
	return !strncmp(link, wanted, strlen(wanted));
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

static bool open_chunk(int fd, struct ts_chunk_view *view, bool *mapped, struct stat *st)
{
	int seals = fcntl(fd, F_GET_SEALS);
	void *base;

	if (fstat(fd, st) || st->st_size < (off_t)TS_BLOCK_BYTES || st->st_size > CHUNK_BYTES_MAX)
		return false;
	view->bytes = (size_t)st->st_size & ~(size_t)(TS_BLOCK_BYTES - 1);
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
		       bool *mapped, struct stat *st, const char **why)
{
	struct ts_block_header header;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool opened = fd >= 0 && open_chunk(fd, view, mapped, st);

	*why = fd < 0 ? "not readable" :
			"of an impossible size, or too large for the memory there is";
	if (fd >= 0)
		close(fd);
	if (!opened || !ts_snapshot_check_header(view, &header, why))
		return false;
	*why = header.pid == (uint32_t)ns_pid ? "incomplete" : "another process's, inherited";
	return header.pid == (uint32_t)ns_pid && header.chunk_index == (uint32_t)chunk;
}

static void keep_first(struct attachment *a, const char *path, const struct stat *st)
{
	snprintf(a->first_path, sizeof(a->first_path), "%s", path);
	a->first_dev = st->st_dev;
	a->first_ino = st->st_ino;
}

static void take_chunk(struct attachment *a, const char *path, int chunk, pid_t pid)
{
	struct ts_chunk_view view = { NULL, 0 };
	bool mapped = false;
	struct stat st;
	const char *why;

	if (!view_chunk(path, chunk, a->inner_pid, &view, &mapped, &st, &why)) {
		snprintf(a->why, sizeof(a->why), "process %d: its stats segment is %s", (int)pid,
			 why);
	} else if (!a->chunks[chunk].base) {
		a->chunks[chunk] = view;
		a->mapped[chunk] = mapped;
		if (!chunk)
			keep_first(a, path, &st);
		return;
	}
	close_chunk(&view, mapped);
}

void attach_keep_contiguous(struct attachment *a)
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

bool attach_visit_fds(pid_t pid, visit_fd *visit, void *context)
{
	const struct dirent *entry;
	char path[320], link[128];
	bool more = true;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (more && (entry = readdir(dir))) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entry->d_name);
		length = readlink(path, link, sizeof(link) - 1);
		link[length > 0 ? length : 0] = '\0';
		more = visit(path, link, context);
	}
	closedir(dir);
	return true;
}

struct chunk_search {
	struct attachment *a;
	const char *instance;
	pid_t pid;
};

/* Of the control page what is for readers. */
static void read_control(struct attachment *a)
{
	struct ts_control page;

	a->doctor_threshold_s = 0;
	if (a->control_fd > 0 &&
	    pread(a->control_fd, &page, sizeof(page), 0) == (ssize_t)sizeof(page) &&
	    !memcmp(page.magic, TS_CONTROL_MAGIC, sizeof(page.magic)) &&
	    page.version == TS_CONTROL_VERSION && page.bytes >= sizeof(page))
		a->doctor_threshold_s = ts_a64_load_rlx(&page.doctor_threshold_s);
}

static void take_control(struct attachment *a, const char *path)
{
	if (!a->control_fd)
		a->control_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	read_control(a);
}

static bool take_if_chunk(const char *path, const char *link, void *context)
{
	struct chunk_search *search = context;
	int chunk = chunk_of_link(link, search->instance);

	if (is_control_link(link, search->instance))
		take_control(search->a, path);
	if (chunk >= 0)
		take_chunk(search->a, path, chunk, search->pid);
	return true;
}

static void attach_memory(const struct chunk_search *search);

bool attach(pid_t pid, struct attachment *a)
{
	/* What the program itself keeps in epochs, else what a preloaded malloc keeps for it. */
	static const char *const instances[] = { TS_STATS_NAME, TS_STATS_MALLOC_NAME };
	struct chunk_search search = { .a = a, .pid = pid };

	memset(a, 0, sizeof(*a));
	a->pid = pid;
	a->inner_pid = proc_inner_pid(pid);
	snprintf(a->why, sizeof(a->why),
		 "process %d shows no stats segment: it does not use libtslab, has not used it yet, or runs "
		 "with TSLAB_STATS=0",
		 (int)pid);
	for (unsigned i = 0; i < sizeof(instances) / sizeof(instances[0]) && !a->chunk_count; i++) {
		search.instance = instances[i];
		if (!attach_visit_fds(pid, take_if_chunk, &search))
			return refuse(a, pid);
		if (!a->chunks[0].base)
			attach_memory(&search);
		attach_keep_contiguous(a);
	}
	if (!a->chunk_count)
		detach(a); /* a control page may be there alone */
	return a->chunk_count > 0;
}

/* Copies do not follow what they were taken of. */
static bool has_copies(const struct attachment *a)
{
	for (size_t i = 0; i < a->chunk_count; i++)
		if (!a->mapped[i])
			return true;
	return false;
}

/* A process that got the number, another program in it, another segment of it: another file. */
static bool is_attached(const struct attachment *a, pid_t pid)
{
	const struct ts_block_header *first = a->chunks[0].base;
	struct stat st;

	if (a->pid != pid || !a->chunk_count || has_copies(a) || stat(a->first_path, &st) ||
	    st.st_dev != a->first_dev || st.st_ino != a->first_ino)
		return false;
	return first->minor >= TS_STATS_MINOR_CHUNKS &&
	       ts_a32_load_rlx((const ts_a32 *)&first->chunk_count) == a->chunk_count;
}

bool attach_again(pid_t pid, struct attachment *a)
{
	if (!is_attached(a, pid)) {
		detach(a);
		return attach(pid, a);
	}
	read_control(a);
	return true;
}

/* ----------------------------------------------------------------------- without its descriptors -- */

/*
 * A program that closes all its files at start takes the segment's descriptors with it; the mappings
 * stay. They are read through the process's memory, which asks for more rights than its files do.
 */
struct mapping {
	unsigned long long start, end;
	int chunk;
};

/* A line of /proc/PID/maps; false if it is no chunk's. */
static bool parse_mapping(const char *line, const char *instance, struct mapping *mapping)
{
	const char *name = strchr(line, '/');

	if (!name || sscanf(line, "%llx-%llx", &mapping->start, &mapping->end) != 2)
		return false;
	mapping->chunk = chunk_of_link(name, instance);
	return mapping->chunk >= 0 && mapping->end > mapping->start &&
	       mapping->end - mapping->start <= CHUNK_BYTES_MAX;
}

/* A copy of it; the mapping's parts may be several lines. */
static void take_mapping(struct attachment *a, int memory, const struct mapping *mapping)
{
	size_t bytes = mapping->end - mapping->start;
	struct ts_chunk_view view = { malloc(bytes), bytes };
	struct ts_block_header header;
	const char *why;

	if (!view.base)
		return;
	if (pread(memory, (void *)view.base, bytes, (off_t)mapping->start) == (ssize_t)bytes &&
	    ts_snapshot_check_header(&view, &header, &why) && header.pid == (uint32_t)a->inner_pid &&
	    header.chunk_index == (uint32_t)mapping->chunk && !a->chunks[mapping->chunk].base) {
		a->chunks[mapping->chunk] = view;
		a->mapped[mapping->chunk] = false;
		return;
	}
	free((void *)view.base);
}

static void attach_memory(const struct chunk_search *search)
{
	struct mapping mapping;
	char path[64], line[512];
	FILE *maps;
	int memory;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)search->pid);
	maps = fopen(path, "re");
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)search->pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	while (maps && memory >= 0 && fgets(line, sizeof(line), maps)) {
		line[strcspn(line, "\n")] = '\0';
		if (parse_mapping(line, search->instance, &mapping))
			take_mapping(search->a, memory, &mapping);
	}
	if (maps)
		fclose(maps);
	if (memory >= 0)
		close(memory);
}

void detach(struct attachment *a)
{
	for (size_t i = 0; i < a->chunk_count; i++)
		close_chunk(&a->chunks[i], a->mapped[i]);
	a->chunk_count = 0;
	if (a->control_fd > 0)
		close(a->control_fd);
	a->control_fd = 0;
}
