/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

enum { TEXT_BYTES = 4096 }; /* what the kernel gives of such a file at once */

/* What a file says, as far as it fits; "" if it cannot be read. Returns its length. */
static size_t read_text(const char *path, char *text, size_t text_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, text, text_bytes - 1);

	if (fd >= 0)
		close(fd);
	length = length < 0 ? 0 : length;
	text[length] = '\0';
	return (size_t)length;
}

static size_t read_proc(pid_t pid, const char *file, char *text, size_t text_bytes)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return read_text(path, text, text_bytes);
}

static void read_line(pid_t pid, const char *file, char *line, size_t line_bytes)
{
	read_proc(pid, file, line, line_bytes);
	line[strcspn(line, "\n")] = '\0';
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now = { 0, 0 };

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The last number of the NSpid line: the id in the innermost namespace. */
int proc_inner_pid(pid_t pid)
{
	char text[TEXT_BYTES], *line, *last;

	read_proc(pid, "status", text, sizeof(text));
	line = strstr(text, "\nNSpid:");
	if (!line)
		return (int)pid;
	line++;
	line[strcspn(line, "\n")] = '\0';
	last = strrchr(line, '\t');
	return last ? atoi(last + 1) : (int)pid;
}

static uint64_t kib_of(const char *text, const char *name)
{
	const char *line = strstr(text, name);
	unsigned long long kib;

	return line && sscanf(line + strlen(name), " %llu kB", &kib) == 1 ? kib * 1024 : 0;
}

static void read_exact_rss(pid_t pid, struct ts_target *target)
{
	char text[TEXT_BYTES];

	read_proc(pid, "smaps_rollup", text, sizeof(text));
	target->rss_bytes = kib_of(text, "\nRss:");
	target->anon_rss_bytes = kib_of(text, "\nAnonymous:");
}

/* Where the kernel or a limit hides the exact figure, or takes long to count: off by a little. */
static void read_rss(pid_t pid, struct ts_target *target)
{
	unsigned long long pages, shared;
	char text[256];

	read_proc(pid, "statm", text, sizeof(text));
	if (sscanf(text, "%*u %llu %llu", &pages, &shared) != 2)
		return;
	target->rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	target->anon_rss_bytes = (pages - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Container managers name a control group by 64 hexadecimal digits. */
static void read_container(pid_t pid, char *container, size_t container_bytes)
{
	char text[TEXT_BYTES];

	container[0] = '\0';
	read_proc(pid, "cgroup", text, sizeof(text));
	for (char *at = text; *at; at++) {
		size_t digits = strspn(at, "0123456789abcdef");

		if (digits == 64)
			snprintf(container, container_bytes, "%.64s", at);
		at += digits ? digits - 1 : 0;
	}
}

/* The same until the machine ends. */
static const char *boot_id(void)
{
	static char id[40];

	if (!id[0])
		read_text("/proc/sys/kernel/random/boot_id", id, sizeof(id));
	id[strcspn(id, "\n")] = '\0';
	return id;
}

bool proc_describe(pid_t pid, int inner_pid, bool brief, struct ts_target *target)
{
	memset(target, 0, sizeof(*target));
	target->pid = (int)pid;
	target->ns_pid = inner_pid;
	target->source = "live";
	target->realtime_ns = now_ns(CLOCK_REALTIME);
	target->boot_ns = now_ns(CLOCK_BOOTTIME);
	target->monotonic_ns = now_ns(CLOCK_MONOTONIC);
	read_line(pid, "comm", target->comm, sizeof(target->comm));
	snprintf(target->boot_id, sizeof(target->boot_id), "%s", boot_id());
	read_container(pid, target->container, sizeof(target->container));
	if (!brief)
		read_exact_rss(pid, target);
	if (!target->rss_bytes)
		read_rss(pid, target);
	return target->comm[0] != '\0';
}

bool proc_is_alive(pid_t pid)
{
	const char *name_end;
	char line[256];

	read_proc(pid, "stat", line, sizeof(line));
	/* "PID (name) STATE ...": Z has ended, and waits for its parent to see. */
	name_end = strrchr(line, ')');
	return name_end && name_end[1] == ' ' && name_end[2] != 'Z' && name_end[2] != 'X';
}

bool proc_is_mine(pid_t pid)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return !stat(path, &st) && st.st_uid == geteuid();
}

void proc_user(pid_t pid, char *name, size_t name_bytes)
{
	const struct passwd *user = NULL;
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st)) {
		snprintf(name, name_bytes, "?");
		return;
	}
	user = getpwuid(st.st_uid);
	if (user)
		snprintf(name, name_bytes, "%s", user->pw_name);
	else
		snprintf(name, name_bytes, "%u", (unsigned)st.st_uid);
}

pid_t proc_next(void *dir)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			return (pid_t)atoi(entry->d_name);
	return 0;
}

bool proc_is_named(pid_t pid, const char *name)
{
	char comm[32], command[4096];
	const char *slash;

	read_line(pid, "comm", comm, sizeof(comm));
	if (!strcmp(comm, name))
		return true;
	/* comm is cut at 15 bytes; the command line is not. */
	read_line(pid, "cmdline", command, sizeof(command));
	slash = strrchr(command, '/');
	return !strcmp(slash ? slash + 1 : command, name);
}
