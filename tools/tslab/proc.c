/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <dirent.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

static FILE *open_file(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return fopen(path, "re");
}

static void first_line(FILE *file, char *line, size_t line_bytes)
{
	line[0] = '\0';
	if (!file)
		return;
	if (!fgets(line, (int)line_bytes, file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
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
	FILE *file = open_file(pid, "status");
	int inner = (int)pid;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		char *last = strrchr(line, '\t');

		if (!strncmp(line, "NSpid:", 6) && last)
			inner = atoi(last + 1);
	}
	if (file)
		fclose(file);
	return inner;
}

static void read_exact_rss(pid_t pid, struct ts_target *target)
{
	FILE *file = open_file(pid, "smaps_rollup");
	unsigned long long kib;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Rss: %llu kB", &kib) == 1)
			target->rss_bytes = kib * 1024;
		else if (sscanf(line, "Anonymous: %llu kB", &kib) == 1)
			target->anon_rss_bytes = kib * 1024;
	}
	if (file)
		fclose(file);
}

/* Where the kernel or a limit hides the exact figure, or takes long to count: off by a little. */
static void read_rss(pid_t pid, struct ts_target *target)
{
	FILE *file = open_file(pid, "statm");
	unsigned long long pages, shared;

	if (file && fscanf(file, "%*u %llu %llu", &pages, &shared) == 2) {
		target->rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
		target->anon_rss_bytes = (pages - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
	}
	if (file)
		fclose(file);
}

/* Container managers name a control group by 64 hexadecimal digits. */
static void read_container(pid_t pid, char *container, size_t container_bytes)
{
	FILE *file = open_file(pid, "cgroup");
	char line[1024];

	container[0] = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		for (char *at = line; *at; at++) {
			size_t digits = strspn(at, "0123456789abcdef");

			if (digits == 64)
				snprintf(container, container_bytes, "%.64s", at);
			at += digits ? digits - 1 : 0;
		}
	}
	if (file)
		fclose(file);
}

bool proc_describe(pid_t pid, bool brief, struct ts_target *target)
{
	memset(target, 0, sizeof(*target));
	target->pid = (int)pid;
	target->ns_pid = proc_inner_pid(pid);
	target->source = "live";
	target->realtime_ns = now_ns(CLOCK_REALTIME);
	target->boot_ns = now_ns(CLOCK_BOOTTIME);
	target->monotonic_ns = now_ns(CLOCK_MONOTONIC);
	first_line(open_file(pid, "comm"), target->comm, sizeof(target->comm));
	first_line(fopen("/proc/sys/kernel/random/boot_id", "re"), target->boot_id,
		   sizeof(target->boot_id));
	read_container(pid, target->container, sizeof(target->container));
	if (!brief)
		read_exact_rss(pid, target);
	if (!target->rss_bytes)
		read_rss(pid, target);
	return target->comm[0] != '\0';
}

bool proc_is_alive(pid_t pid)
{
	FILE *file = open_file(pid, "stat");
	char line[256];
	const char *name_end;

	first_line(file, line, sizeof(line));
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

	first_line(open_file(pid, "comm"), comm, sizeof(comm));
	if (!strcmp(comm, name))
		return true;
	/* comm is cut at 15 bytes; the command line is not. */
	first_line(open_file(pid, "cmdline"), command, sizeof(command));
	slash = strrchr(command, '/');
	return !strcmp(slash ? slash + 1 : command, name);
}
