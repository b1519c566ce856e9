/* SPDX-License-Identifier: MIT */
#include "obs/statsdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "obs/format.h"
#include "obs/segment.h"
#include "tslab/stats.h"

static const char *directory;
static char prefix[96]; /* of this process's files; made anew by the child of fork */
static pid_t named_for;
static unsigned created;

void ts_statsdir_start(void)
{
	const char *wanted = getenv("TSLAB_STATS_DIR");

	directory = wanted && *wanted ? wanted : NULL;
}

bool ts_statsdir_wanted(void)
{
	return directory != NULL;
}

static void complain(const char *what)
{
	char line[512];
	int length = snprintf(line, sizeof(line) - 1, "tslab: TSLAB_STATS_DIR=%.300s: %s: %s",
			      directory, what, strerror(errno));

	line[length++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return; /* nobody listens */
}

/* The directory, if it is the user's own and nobody else can put anything there; -1 with errno. */
static int open_directory(void)
{
	int dir = open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (dir < 0)
		return -1;
	if (!fstat(dir, &st) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return dir;
	close(dir);
	errno = EPERM;
	return -1;
}

/* A process id alone comes again; with boot and start it does not. */
static void make_prefix(void)
{
	struct timespec now = { 0, 0 };
	char boot[9] = "00000000";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, boot, sizeof(boot) - 1) != (ssize_t)sizeof(boot) - 1)
		memcpy(boot, "00000000", sizeof(boot));
	if (fd >= 0)
		close(fd);
	clock_gettime(CLOCK_BOOTTIME, &now);
	named_for = getpid();
	created = 0;
	snprintf(prefix, sizeof(prefix), "%s" TS_STATS_FILE_MARK "%s-%llu-%d", ts_segment_name, boot,
		 (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec,
		 (int)named_for);
}

static void name_chunk(char *name, size_t name_bytes, unsigned chunk)
{
	snprintf(name, name_bytes, chunk ? "%s+%u" : "%s", prefix, chunk);
}

int ts_statsdir_create(unsigned chunk, size_t bytes)
{
	int dir = open_directory(), fd;
	char name[128];

	if (dir < 0) {
		complain("must be a directory of this user that nobody else may write");
		return -1;
	}
	if (named_for != getpid())
		make_prefix();
	name_chunk(name, sizeof(name), chunk);
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* All memory now: what a full disk refuses later would kill the process. */
	if (fd >= 0 &&
	    (flock(fd, LOCK_EX | LOCK_NB) || (errno = posix_fallocate(fd, 0, (off_t)bytes)))) {
		int error = errno;

		unlinkat(dir, name, 0);
		close(fd);
		errno = error;
		fd = -1;
	}
	if (fd < 0)
		complain("no file can be made there");
	else if (chunk >= created)
		created = chunk + 1;
	close(dir);
	return fd;
}

/* A process that ends in order takes its files with it; one that is killed leaves them. */
__attribute__((destructor)) static void remove_files(void)
{
	int dir = directory && named_for == getpid() ? open_directory() : -1;

	for (unsigned chunk = 0; dir >= 0 && chunk < created; chunk++) {
		char name[128];

		name_chunk(name, sizeof(name), chunk);
		unlinkat(dir, name, 0);
	}
	if (dir >= 0)
		close(dir);
}
