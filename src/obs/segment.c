/* SPDX-License-Identifier: MIT */
/*
 * segment.c: a block source that other processes can read.
 *
 * Blocks come from sealed memfds whose descriptors stay open: whoever may look at this process (same
 * user, or root) opens them through /proc/PID/fd and maps them read-only; nobody can write or truncate
 * them. If the kernel refuses a memfd the chunk is private memory of the same layout, which debuggers
 * still find through tslab_root. TSLAB_STATS=0 leaves core with its own private blocks; TSLAB_STATS_DIR
 * puts the same bytes into files (statsdir.h).
 *
 * fork: the pages are shared with the child, which must never write into the parent's. The child puts
 * private memory in their place at once, and memfds of its own when core has recovered.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "core/control.h"
#include "core/environment.h"
#include "core/fork.h"
#include "core/range.h"
#include "core/sizeclass.h"
#include "obs/blockread.h"
#include "obs/format.h"
#include "obs/segment.h"
#include "obs/statsdir.h"
#include "tslab/stats.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Descriptors low in the table belong to the program: shells and servers count on 3, 4, 5. */
enum { FD_LOWEST = 400, CONTROL_LOST = -2 };

struct tslab_root tslab_root = {
	.magic = { 'T', 'S', 'L', 'A', 'B', 'S', 'E', 'G' },
	.struct_bytes = sizeof(struct tslab_root),
};

/* Which file carries a chunk of tslab_root, or ts_control; fd < 0: private memory. */
static struct carrier {
	int fd;
	dev_t dev;
	ino_t ino;
} carrier[TSLAB_ROOT_CHUNKS], control = { .fd = -1 };

static size_t used_bytes; /* of the last chunk */
static ts_a64 visible_bytes;

uint64_t ts_segment_visible_bytes(void)
{
	return ts_a64_load_rlx(&visible_bytes);
}

/* What of a chunk carries blocks: a child of fork that copies more touches memory for nothing. */
static size_t chunk_used_bytes(unsigned chunk)
{
	return chunk + 1 == tslab_root.chunk_count ? used_bytes : tslab_root.chunk[chunk].bytes;
}

static void *chunk_base(unsigned chunk)
{
	return (void *)(uintptr_t)tslab_root.chunk[chunk].address;
}

static int high_fd(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_LOWEST);

	if (high < 0)
		return fd;
	close(fd);
	return high;
}

/* A fresh file's shared mapping, sealed once it is mapped; NULL if the kernel refuses any of it. */
static void *map_shared(int fd, size_t bytes, int seals, struct carrier *file)
{
	struct stat st;
	void *base;

	if (fd < 0)
		return NULL;
	base = fstat(fd, &st) ? MAP_FAILED :
				mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED || (seals && fcntl(fd, F_ADD_SEALS, seals))) {
		if (base != MAP_FAILED)
			munmap(base, bytes);
		close(fd);
		return NULL;
	}
	file->fd = fd;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	return base;
}

static void *map_memfd(const char *name, size_t bytes, mode_t mode, int seals, struct carrier *file)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return NULL;
	fd = high_fd(fd);
	if (!ftruncate(fd, (off_t)bytes) && !fchmod(fd, mode))
		return map_shared(fd, bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | seals, file);
	close(fd);
	return NULL;
}

/* A chunk's memory, where other processes see it. */
static void *map_visible(unsigned chunk, size_t bytes)
{
	char name[32];
	void *base = NULL;

	if (chunk)
		snprintf(name, sizeof(name), "%s+%u", ts_segment_name, chunk);
	else
		snprintf(name, sizeof(name), "%s", ts_segment_name);
	if (ts_statsdir_wanted()) {
		int fd = ts_statsdir_create(chunk, bytes);

		base = map_shared(fd < 0 ? fd : high_fd(fd), bytes, 0, &carrier[chunk]);
	}
	if (!base)
		base = map_memfd(name, bytes, 0400, F_SEAL_FUTURE_WRITE, &carrier[chunk]);
	if (base)
		(void)ts_a64_add_rlx(&visible_bytes, bytes);
	return base;
}

static void *map_private(size_t bytes)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return base == MAP_FAILED ? NULL : base;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now = { 0, 0 };

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The build id among some notes; its length, 0 if there is none. */
static uint32_t find_build_id(const char *at, const char *end, uint8_t *id, size_t id_bytes)
{
	while (end - at >= (ptrdiff_t)sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *note = (const void *)at;
		const char *name = at + sizeof(*note);
		const char *desc = name + ((note->n_namesz + 3) & ~3u);

		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    !memcmp(name, "GNU", 4) && note->n_descsz <= id_bytes) {
			memcpy(id, desc, note->n_descsz);
			return note->n_descsz;
		}
		at = desc + ((note->n_descsz + 3) & ~3u);
	}
	return 0;
}

/* Build id of the ELF file that this code lies in. The linker names its first byte in memory. */
static uint32_t own_build_id(uint8_t *id, size_t id_bytes)
{
	extern const char __ehdr_start[] __attribute__((weak, visibility("hidden")));
	const ElfW(Ehdr) *file = (const void *)__ehdr_start;
	const ElfW(Phdr) * phdr;
	ElfW(Off) mapped_bytes = 0; /* from the start of the file, without a gap */
	uint32_t found = 0;

	if (!file)
		return 0;
	phdr = (const void *)(__ehdr_start + file->e_phoff);
	for (unsigned i = 0; i < file->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && phdr[i].p_offset == 0)
			mapped_bytes = phdr[i].p_filesz;
	for (unsigned i = 0; i < file->e_phnum && !found; i++)
		if (phdr[i].p_type == PT_NOTE && phdr[i].p_offset + phdr[i].p_filesz <= mapped_bytes)
			found = find_build_id(__ehdr_start + phdr[i].p_offset,
					      __ehdr_start + phdr[i].p_offset + phdr[i].p_filesz,
					      id, id_bytes);
	return found;
}

static void describe_classes(struct ts_block_header *header)
{
	header->class_count = TS_CLASS_COUNT;
	for (unsigned cls = 0; cls < TS_CLASS_COUNT; cls++) {
		header->size_class[cls].object_bytes = ts_sizeclasses[cls].bytes;
		header->size_class[cls].objects_per_slab = ts_sizeclasses[cls].slab_slots;
		header->size_class[cls].units_per_slab = ts_sizeclasses[cls].slab_units;
	}
}

/* Async-signal-safe: the child of fork writes it anew. */
static void describe_process(struct ts_block_header *header)
{
	header->pid = (uint32_t)getpid();
	header->start_boot_ns = clock_ns(CLOCK_BOOTTIME);
	header->start_realtime_ns = clock_ns(CLOCK_REALTIME);
}

static void close_block(struct ts_block_head *head, enum ts_block_kind kind)
{
	head->slots = 1;
	/* ORD-20 release: a reader that sees the kind sees the block. */
	ts_a32_store_rel((ts_a32 *)&head->kind, (uint32_t)kind);
}

static const struct ts_field_entry directory[] = {
#define TS_WORDS_OF_PROCESS struct ts_process_words
#define TS_WORDS_OF_LANE struct ts_lane_words
#define TS_WORDS_OF_EPOCH struct ts_epoch_words
#define TS_WORDS_OF_THREAD struct ts_thread_words
#define TS_WORDS_OF_CLASS struct ts_class_row
#define TS_WORDS_OF_THREAD_CLASS struct ts_thread_class_words
#define TS_WORDS_OF_LABEL_CLASS struct ts_label_class_words
#define TS_WORDS_OF_FAILURE struct ts_failure_words
#define TS_WORDS_OF_CLOSE struct ts_close_words
#define TS_WORD(scope_, name_, kind_, unit_, text_)                                                \
	{ .name = #name_,                                                                          \
	  .unit = unit_,                                                                           \
	  .scope = TS_SCOPE_##scope_,                                                              \
	  .kind = TS_KIND_##kind_,                                                                 \
	  .bytes = sizeof(uint64_t),                                                               \
	  .offset = offsetof(TS_WORDS_OF_##scope_, name_) },
#include "core/words.def"
};
enum {
	FIELD_COUNT = sizeof(directory) / sizeof(directory[0]),
	FIELD_BLOCKS = (FIELD_COUNT + TS_FIELDS_PER_BLOCK - 1) / TS_FIELDS_PER_BLOCK,
};

static void write_header(struct ts_block_header *header, unsigned chunk)
{
	memcpy(header->magic, TS_STATS_MAGIC, sizeof(header->magic));
	header->endian = TS_STATS_ENDIAN;
	header->major = TS_STATS_MAJOR;
	header->minor = TS_STATS_MINOR;
	header->header_bytes = sizeof(*header);
	header->block_bytes = TS_BLOCK_BYTES;
	header->chunk_index = chunk;
	header->arch_machine = TS_ARCH_ELF_MACHINE;
	header->pointer_bits = 8 * sizeof(void *);
	header->page_bytes = ts_arch_page_bytes();
	header->slab_unit_bytes = TS_UNIT_BYTES;
	header->chunk_bytes = TS_CHUNK_BYTES;
	header->ring_epochs = TSLAB_RING_EPOCHS;
	header->field_count = FIELD_COUNT;
	header->build_id_bytes = own_build_id(header->build_id, sizeof(header->build_id));
	snprintf(header->version, sizeof(header->version), "%s", tslab_version());
	ts_arch_features(header->features, sizeof(header->features));
	header->cycles_hz = ts_arch_cycles_hz();
	header->cycles_step = (uint32_t)ts_arch_cycles_step();
	header->cache_line_bytes = TS_ARCH_CACHE_LINE_BYTES;
	memcpy(header->row_bytes, ts_blockread_own.row_bytes, sizeof(header->row_bytes));
	describe_classes(header);
	describe_process(header);
	close_block(&header->head, TS_BLOCK_HEADER);
}

static void write_directory(struct ts_block_fields *block)
{
	for (unsigned first = 0; first < FIELD_COUNT; first += TS_FIELDS_PER_BLOCK) {
		unsigned rows = FIELD_COUNT - first;

		if (rows > TS_FIELDS_PER_BLOCK)
			rows = TS_FIELDS_PER_BLOCK;
		memcpy(block->entry, &directory[first], rows * sizeof(directory[0]));
		close_block(&block->head, TS_BLOCK_FIELDS);
		block = (struct ts_block_fields *)((char *)block + TS_BLOCK_BYTES);
	}
}

static void tell_chunk_count(void)
{
	struct ts_block_header *first = (struct ts_block_header *)chunk_base(0);

	/*
	 * Relaxed, with the load in attach.c: who reads the old number sees the segment without the chunk, as a
	 * moment before; the chunk's blocks are published each by its kind (ORD-20).
	 */
	ts_a32_store_rlx((ts_a32 *)&first->chunk_count, tslab_root.chunk_count);
}

static bool add_chunk(void)
{
	unsigned chunk = tslab_root.chunk_count;
	size_t bytes = ts_stats_chunk_bytes(chunk);
	char *base;

	if (chunk == TSLAB_ROOT_CHUNKS)
		return false;
	carrier[chunk].fd = -1;
	base = map_visible(chunk, bytes);
	if (!base)
		base = map_private(bytes);
	if (!base)
		return false;
	write_header((struct ts_block_header *)base, chunk);
	used_bytes = TS_BLOCK_BYTES;
	if (!chunk) {
		write_directory((struct ts_block_fields *)(base + used_bytes));
		used_bytes += FIELD_BLOCKS * TS_BLOCK_BYTES;
	}
	tslab_root.chunk[chunk].address = (uint64_t)(uintptr_t)base;
	tslab_root.chunk[chunk].bytes = bytes;
	tslab_root.chunk_count = chunk + 1;
	tell_chunk_count();
	return true;
}

/* The block source; core holds its metadata lock. */
static void *segment_blocks(unsigned slots)
{
	unsigned last = tslab_root.chunk_count - 1;
	size_t bytes = (size_t)slots * TS_BLOCK_BYTES;
	char *block;

	if (!tslab_root.chunk_count || tslab_root.chunk[last].bytes - used_bytes < bytes) {
		if (!add_chunk())
			return NULL;
		last = tslab_root.chunk_count - 1;
	}
	block = (char *)chunk_base(last) + used_bytes;
	used_bytes += bytes;
	return block;
}

/* ------------------------------------------------------------------------------------------- fork -- */

/*
 * What a child starts with: the tables that only grow are as at the fork, or a little later if the
 * parent ran on, which is harmless; all that is counted starts at zero and is core's to fill in.
 */
static void copy_for_child(char *to, const char *from, size_t bytes)
{
	size_t at = 0;

	while (at < bytes) {
		const struct ts_block_head *head = (const struct ts_block_head *)(from + at);
		size_t length = (size_t)head->slots * TS_BLOCK_BYTES;

		if (head->kind == TS_BLOCK_NONE || length == 0 || length > bytes - at)
			return;
		switch (head->kind) {
		case TS_BLOCK_PROCESS:
		case TS_BLOCK_LANE:
		case TS_BLOCK_EPOCHS:
		case TS_BLOCK_THREAD:
		case TS_BLOCK_FAILURES:
		case TS_BLOCK_CLOSES:
		case TS_BLOCK_HISTOGRAMS:
			memcpy(to + at, head, offsetof(struct ts_block_head, seq));
			break;
		case TS_BLOCK_CLASSES:
			memcpy(to + at, head, offsetof(struct ts_block_classes, row));
			break;
		case TS_BLOCK_LABEL:
			memcpy(to + at, head, offsetof(struct ts_block_label, cls));
			break;
		case TS_BLOCK_CHUNKS:
			memcpy(to + at, head, offsetof(struct ts_block_chunks, lane));
			break;
		default:
			memcpy(to + at, head, length);
		}
		if (head->kind == TS_BLOCK_HEADER)
			describe_process((struct ts_block_header *)(to + at));
		at += length;
	}
}

static void close_carrier(struct carrier *file)
{
	struct stat st;

	/* The program may have closed the descriptor and got the number again for something of its own. */
	if (file->fd >= 0 && !fstat(file->fd, &st) && st.st_dev == file->dev && st.st_ino == file->ino)
		close(file->fd);
	file->fd = -1;
}

static void move_over(void *from, size_t bytes, void *base)
{
	static const char text[] = "tslab: fork: cannot leave the parent's stats segment\n";

	if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, base) != MAP_FAILED)
		return;
	/* To go on would be to write into another process. */
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

/* -- control ------------------------------------------------------------------------------------ */

/*
 * A page of its own that whoever may look may also write: wishes, read on slow paths. It cannot be
 * truncated, so reading it is safe whatever is done to it.
 */
static struct ts_control *map_control(void)
{
	char name[48];

	snprintf(name, sizeof(name), "%s" TS_CONTROL_MARK, ts_segment_name);
	return map_memfd(name, ts_arch_page_bytes(), 0600, 0, &control);
}

static void share_control(void)
{
	struct ts_control *shared = map_control();

	if (!shared)
		return;
	memcpy(shared, ts_control(), sizeof(*shared));
	ts_a64_store_rel(&ts_control_page, (uintptr_t)shared); /* ORD-20 */
}

/* In the child of a process that shared its own; at the same address. */
static void share_control_again(void)
{
	size_t bytes = ts_arch_page_bytes();
	struct ts_control *shared = NULL;

	if (control.fd == CONTROL_LOST)
		shared = map_control();
	if (!shared)
		return;
	memcpy(shared, ts_control(), sizeof(*shared));
	move_over(shared, bytes, ts_control());
}

/* In the child: the parent's page stays the parent's. Async-signal-safe. */
static void leave_parents_control(void)
{
	size_t bytes = ts_arch_page_bytes();
	struct ts_control *own;

	if (control.fd < 0)
		return;
	own = map_private(bytes);
	if (own)
		memcpy(own, ts_control(), sizeof(*own));
	move_over(own ? own : MAP_FAILED, bytes, ts_control());
	close_carrier(&control);
	control.fd = CONTROL_LOST;
}

/* In the child, before anything can count: async-signal-safe calls only. */
static void leave_parent(void)
{
	ts_a64_store_rlx(&visible_bytes, 0);
	leave_parents_control();
	for (unsigned chunk = 0; chunk < tslab_root.chunk_count; chunk++) {
		size_t bytes = tslab_root.chunk[chunk].bytes;
		char *base = chunk_base(chunk), *own = map_private(bytes);

		if (own)
			copy_for_child(own, base, chunk_used_bytes(chunk));
		move_over(own ? own : MAP_FAILED, bytes, base);
		close_carrier(&carrier[chunk]);
	}
}

/* In the child, once core has recovered; the locks are free of other threads. */
static void publish_again(void)
{
	for (unsigned chunk = 0; chunk < tslab_root.chunk_count; chunk++) {
		size_t bytes = tslab_root.chunk[chunk].bytes;
		void *base = chunk_base(chunk), *fresh = NULL;

		if (carrier[chunk].fd < 0)
			fresh = map_visible(chunk, bytes);
		if (!fresh)
			continue;
		memcpy(fresh, base, chunk_used_bytes(chunk));
		move_over(fresh, bytes, base);
	}
	share_control_again();
}

/* Called by core before the first block is asked for, however early in the life of a process that is. */
void ts_blocks_choose_source(void)
{
	if (!TSLAB_STATS || !ts_environment_number("TSLAB_STATS", 1, 1))
		return;
	/* Nothing is shared that a child of fork could not be taken away from. */
	if (pthread_atfork(NULL, NULL, leave_parent))
		return;
	if (ts_environment_number("TSLAB_CONTROL", 1, 1))
		share_control();
	ts_statsdir_start();
	ts_fork_register(publish_again);
	ts_blocks_set_source(segment_blocks);
}
