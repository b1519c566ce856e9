/* SPDX-License-Identifier: MIT */
/* process.c: starting children with an allocator preloaded, and talking to them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/*
 * argv of a child: program, CHILD_MARK, name, kind, file or "-", workload, seed, channel, bursts, and the
 * workload's objects, threads and operations, which may differ from those of its table.
 */
#define CHILD_MARK "--child-of-tslab-bench"
#define CHILD_ARGUMENTS 10
#define SIZE_FORMAT "%" PRIu32 ":%u:%" PRIu64
#define SIZE_SCAN "%" SCNu32 ":%u:%" SCNu64

void bench_process_exec(const struct bench_job *job)
{
	const struct bench_allocator *allocator = job->allocator;
	const struct bench_workload *workload = job->workload;
	char kind[16], seed[32], channel[16], bursts[16], size[64], program[PATH_MAX];
	char *argv[CHILD_ARGUMENTS + 1] = {
		"tslab-bench",
		CHILD_MARK,
		(char *)allocator->name,
		kind,
		(char *)(allocator->preload ? allocator->preload : "-"),
		(char *)workload->name,
		seed,
		channel,
		bursts,
		size,
		NULL,
	};

	snprintf(kind, sizeof(kind), "%d", (int)allocator->kind);
	snprintf(seed, sizeof(seed), "%" PRIu64, job->seed);
	snprintf(channel, sizeof(channel), "%d", job->channel);
	snprintf(bursts, sizeof(bursts), "%u", job->bursts);
	snprintf(size, sizeof(size), SIZE_FORMAT, workload->objects, workload->threads,
		 workload->operations);
	if (allocator->preload)
		setenv("LD_PRELOAD", allocator->preload, 1);
	else
		unsetenv("LD_PRELOAD");
	/* Its target, not the link itself, which is valgrind's own under valgrind. */
	if (!realpath("/proc/self/exe", program))
		bench_die("cannot read /proc/self/exe: %s", strerror(errno));
	execv(program, argv);
	bench_die("cannot start a child: %s", strerror(errno));
}

static bool read_workload(const char *name, const char *size, struct bench_workload *workload)
{
	const struct bench_workload *found = bench_workloads_find(name);

	if (!found)
		return false;
	*workload = *found;
	return sscanf(size, SIZE_SCAN, &workload->objects, &workload->threads,
		      &workload->operations) == 3;
}

bool bench_process_is_child(int argc, char **argv, struct bench_job *job)
{
	static struct bench_allocator allocator;
	static struct bench_workload workload;

	if (argc != CHILD_ARGUMENTS || strcmp(argv[1], CHILD_MARK) != 0)
		return false;
	snprintf(allocator.name, sizeof(allocator.name), "%s", argv[2]);
	allocator.kind = (enum bench_kind)atoi(argv[3]);
	allocator.preload = strcmp(argv[4], "-") == 0 ? NULL : argv[4];
	job->allocator = &allocator;
	job->workload = &workload;
	job->seed = strtoull(argv[6], NULL, 10);
	job->channel = atoi(argv[7]);
	job->bursts = (unsigned)atoi(argv[8]);
	return read_workload(argv[5], argv[9], &workload);
}

static void must_read(struct bench_process *process, const struct bench_job *job, void *data,
		      size_t bytes)
{
	ssize_t got = recv(process->channel, data, bytes, MSG_WAITALL);
	int status;

	if (got == (ssize_t)bytes)
		return;
	waitpid(process->pid, &status, 0);
	if (!job)
		bench_die("a child died in a burst (wait status 0x%x)", (unsigned)status);
	bench_die("%s died in workload %s (wait status 0x%x)", job->allocator->name,
		  job->workload->name, (unsigned)status);
}

void bench_process_start(struct bench_process *process, struct bench_job *job)
{
	struct bench_ready ready;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		bench_die("socketpair: %s", strerror(errno));
	process->channel = ends[0];
	process->pid = fork();
	if (process->pid < 0)
		bench_die("fork: %s", strerror(errno));
	if (process->pid == 0) {
		fcntl(ends[1], F_SETFD, 0);
		job->channel = ends[1];
		bench_process_exec(job);
	}
	close(ends[1]);
	must_read(process, job, &ready, sizeof(ready));
	memcpy(process->file, ready.file, sizeof(process->file));
}

void bench_process_burst(struct bench_process *process, double figures[BENCH_PARTS_MAX])
{
	if (send(process->channel, "b", 1, MSG_NOSIGNAL) != 1)
		bench_die("a child left its channel: %s", strerror(errno));
	must_read(process, NULL, figures, BENCH_PARTS_MAX * sizeof(*figures));
}

void bench_process_stop(struct bench_process *process)
{
	int status;

	close(process->channel);
	if (waitpid(process->pid, &status, 0) != process->pid || status != 0)
		bench_die("a child ended with wait status 0x%x", (unsigned)status);
}

void bench_process_mark(void)
{
	syscall(SYS_getppid);
}

static void wait_stopped(int pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		bench_die("waitpid: %s", strerror(errno));
	if (!WIFSTOPPED(status))
		bench_die("the traced child ended early (wait status 0x%x)", (unsigned)status);
}

/* Return: the number of the system call that the child enters next. */
static uint64_t next_system_call(int pid)
{
	struct __ptrace_syscall_info info;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0)
			bench_die("PTRACE_SYSCALL: %s", strerror(errno));
		wait_stopped(pid);
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) <= 0)
			bench_die("PTRACE_GET_SYSCALL_INFO: %s", strerror(errno));
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			return info.entry.nr;
	}
}

uint64_t bench_process_system_calls(const struct bench_job *job)
{
	uint64_t calls = 0;
	int status, pid = fork();

	if (pid < 0)
		bench_die("fork: %s", strerror(errno));
	if (pid == 0) {
		int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(quiet, STDOUT_FILENO);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			bench_die("PTRACE_TRACEME: %s", strerror(errno));
		bench_process_exec(job);
	}
	wait_stopped(pid); /* at its exec */
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) != 0)
		bench_die("PTRACE_SETOPTIONS: %s", strerror(errno));
	while (next_system_call(pid) != SYS_getppid)
		;
	while (next_system_call(pid) != SYS_getppid)
		calls++;
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		bench_die("the traced child ended with wait status 0x%x", (unsigned)status);
	return calls;
}
