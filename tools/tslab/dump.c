/* SPDX-License-Identifier: MIT */
/*
 * dump.c: segments in files: core dumps, which hold the chunks as memory among much else, and the files
 * that TSLAB_STATS_DIR leaves. Nobody vouches for either.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

enum { PAGE_LEAST = 4096 };

struct file {
	const char *bytes;
	size_t size;
	uint64_t written_ns; /* Unix */
};

static bool map_file(const char *path, struct file *file)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *base;

	file->bytes = NULL;
	if (fd < 0)
		return false;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(Elf64_Ehdr)) {
		close(fd);
		errno = EINVAL;
		return false;
	}
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (base == MAP_FAILED)
		return false;
	file->bytes = base;
	file->size = (size_t)st.st_size;
	file->written_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	return true;
}

/* ------------------------------------------------------------------------------------- core dumps -- */

static bool is_core(const struct file *file)
{
	Elf64_Ehdr header;

	memcpy(&header, file->bytes, sizeof(header));
	return !memcmp(header.e_ident, ELFMAG, SELFMAG) && header.e_ident[EI_CLASS] == ELFCLASS64 &&
	       header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_type == ET_CORE;
}

/* Program header `i`; false behind the last, or outside the file. */
static bool segment_at(const struct file *file, size_t i, Elf64_Phdr *segment)
{
	Elf64_Ehdr header;
	uint64_t at;

	memcpy(&header, file->bytes, sizeof(header));
	at = header.e_phoff + i * sizeof(*segment);
	if (i >= header.e_phnum || header.e_phentsize != sizeof(*segment) ||
	    header.e_phoff > file->size || at > file->size - sizeof(*segment))
		return false;
	memcpy(segment, file->bytes + at, sizeof(*segment));
	if (segment->p_offset > file->size)
		segment->p_offset = file->size;
	if (segment->p_filesz > file->size - segment->p_offset)
		segment->p_filesz = file->size - segment->p_offset; /* the dump was cut */
	return true;
}

/*
 * A copy of the chunk that starts here, if one does: in a file it may lie at any address, and whoever writes
 * the file may cut it. The first of each number counts, and only those of one process.
 */
static void take_chunk_at(struct attachment *a, const char *at, size_t bytes, uint32_t *pid)
{
	union {
		char bytes[TS_BLOCK_BYTES];
		uint64_t words[TS_BLOCK_BYTES / sizeof(uint64_t)];
	} first;
	struct ts_chunk_view view = { first.bytes, sizeof(first) };
	struct ts_block_header header;
	const char *why;
	char *copy;

	if (bytes < sizeof(first) || memcmp(at + offsetof(struct ts_block_header, magic),
					    TS_STATS_MAGIC, strlen(TS_STATS_MAGIC)) != 0)
		return;
	memcpy(first.bytes, at, sizeof(first));
	if (!ts_snapshot_check_header(&view, &header, &why) ||
	    header.chunk_index >= TS_SNAPSHOT_CHUNKS_MAX || a->chunks[header.chunk_index].base ||
	    (*pid && header.pid != *pid))
		return;
	if (bytes > ts_stats_chunk_bytes(header.chunk_index))
		bytes = ts_stats_chunk_bytes(header.chunk_index);
	bytes &= ~(size_t)(TS_BLOCK_BYTES - 1);
	copy = malloc(bytes);
	if (!copy)
		return;
	memcpy(copy, at, bytes);
	*pid = header.pid;
	a->chunks[header.chunk_index] = (struct ts_chunk_view){ copy, bytes };
	a->mapped[header.chunk_index] = false;
}

static void find_chunks(struct attachment *a, const struct file *file)
{
	Elf64_Phdr segment;
	uint32_t pid = 0;

	for (size_t i = 0; segment_at(file, i, &segment); i++) {
		if (segment.p_type != PT_LOAD)
			continue;
		for (uint64_t at = 0; at + TS_BLOCK_BYTES <= segment.p_filesz; at += PAGE_LEAST)
			take_chunk_at(a, file->bytes + segment.p_offset + at,
				      (size_t)(segment.p_filesz - at), &pid);
	}
}

/* The command name, from the note that the kernel writes. */
static void find_name(const struct file *file, struct ts_target *target)
{
	enum { NAME_AT = 40, NAME_BYTES = 16 }; /* in the kernel's struct elf_prpsinfo, 64 bits */
	Elf64_Phdr segment;
	Elf64_Nhdr note;

	for (size_t i = 0; segment_at(file, i, &segment); i++) {
		uint64_t at = 0;

		while (segment.p_type == PT_NOTE && at + sizeof(note) <= segment.p_filesz) {
			const char *text = file->bytes + segment.p_offset + at;
			uint64_t desc, next;

			memcpy(&note, text, sizeof(note));
			desc = sizeof(note) + ((uint64_t)note.n_namesz + 3) / 4 * 4;
			next = desc + ((uint64_t)note.n_descsz + 3) / 4 * 4;
			if (note.n_type == NT_PRPSINFO && note.n_descsz >= NAME_AT + NAME_BYTES &&
			    at + next <= segment.p_filesz)
				snprintf(target->comm, sizeof(target->comm), "%.*s", NAME_BYTES,
					 text + desc + NAME_AT);
			at += next;
		}
	}
}

/* ------------------------------------------------------------------------------------------ files -- */

/* Further chunks lie beside the first. */
static void take_files(struct attachment *a, const char *path)
{
	for (unsigned i = 0; i < TS_SNAPSHOT_CHUNKS_MAX; i++) {
		char name[4096];
		struct file file;
		uint32_t pid = 0;

		snprintf(name, sizeof(name), i ? "%s+%u" : "%s", path, i);
		if (!map_file(name, &file))
			return;
		take_chunk_at(a, file.bytes, file.size, &pid);
		munmap((void *)file.bytes, file.size);
		if (!a->chunks[i].base)
			return;
	}
}

/* Figures of the moment in which the file was written. */
static void describe(struct ts_target *target, const struct attachment *a, const char *source,
		     uint64_t written_ns)
{
	struct ts_block_header header;
	const char *why;

	target->source = source;
	if (!a->chunk_count || !ts_snapshot_check_header(&a->chunks[0], &header, &why))
		return;
	target->pid = target->ns_pid = (int)header.pid;
	target->realtime_ns = written_ns;
	target->boot_ns = header.start_boot_ns + ts_minus(written_ns, header.start_realtime_ns);
	target->monotonic_ns = target->boot_ns;
}

bool attach_file(const char *path, struct attachment *a, struct ts_target *target)
{
	struct file file;
	bool core;

	memset(a, 0, sizeof(*a));
	memset(target, 0, sizeof(*target));
	if (!map_file(path, &file)) {
		snprintf(a->why, sizeof(a->why), "%s cannot be read: %s", path, strerror(errno));
		return false;
	}
	core = is_core(&file);
	if (core) {
		find_chunks(a, &file);
		find_name(&file, target);
	} else {
		take_files(a, path);
	}
	munmap((void *)file.bytes, file.size);
	attach_keep_contiguous(a);
	describe(target, a, core ? "core" : "file", file.written_ns);
	snprintf(a->why, sizeof(a->why), "%s holds no stats segment", path);
	return a->chunk_count > 0;
}
