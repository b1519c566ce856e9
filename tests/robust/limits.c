/* SPDX-License-Identifier: MIT */
/*
 * Places where a process may live: little address space, little data, no mappings left, memory that is
 * locked, no memory files, no /proc, no descriptors, descriptors closed by somebody else, and only the
 * system calls that docs/syscalls.md lists. Each in a process of its own. Needs root for chroot and
 * mlockall, and a kernel, not an emulator.
 *
 *   limits DOCS/syscalls.md
 */
#include "../unit/support.h"
#include "workload.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *list_of_calls;

static void limit(int resource, rlim_t most)
{
	const struct rlimit r = { most, most };

	REQUIRE(setrlimit(resource, &r) == 0);
}

static void quiet(void)
{
	int null = open("/dev/null", O_WRONLY);

	REQUIRE(null >= 0 && dup2(null, STDERR_FILENO) == STDERR_FILENO);
	close(null);
}

/* Passes that must not fail; at least one call with an error would be no news elsewhere. */
static void must_work(void)
{
	workload_must_succeed = true;
	workload_failures = 0;
	workload();
	workload();
	REQUIRE(workload_failures == 0);
	workload_check_figures();
}

static void in_a_child(void (*body)(void *), void *arg)
{
	assert_true(exited_well(in_child(body, arg)));
}

/* --------------------------------------------------------------------------------------- limits -- */

/* Takes objects until there is no memory, twice: as many the second time, once they were freed. */
static void to_the_end_and_back(size_t bytes)
{
	static void *taken[1 << 20];
	unsigned counts[2];

	for (unsigned round = 0; round < 2; round++) {
		unsigned count = 0;

		while (count < 1 << 20 && (taken[count] = tslab_malloc(bytes)) != NULL)
			fill(taken[count++], 64, round);
		REQUIRE(errno == ENOMEM);
		counts[round] = count;
		for (unsigned i = 0; i < count; i++) {
			REQUIRE(holds(taken[i], 64, round));
			tslab_free(taken[i]);
		}
	}
	REQUIRE(counts[0] > 0);
	REQUIRE(counts[1] >= counts[0]);
}

static size_t address_space_used(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t pages = 0;

	REQUIRE(f && fscanf(f, "%zu", &pages) == 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* So much more than the program has already. */
static void little_address_space(void *mib)
{
	quiet();
	limit(RLIMIT_AS, address_space_used() + ((rlim_t)(uintptr_t)mib << 20));
	to_the_end_and_back(1000);
	to_the_end_and_back(300000);
	workload_child_may_abort = true;
	workload();
	REQUIRE(counters().live_objects == 0);
}

static void address_space(void **state)
{
	(void)state;
	in_a_child(little_address_space, (void *)(uintptr_t)16);
	in_a_child(little_address_space, (void *)(uintptr_t)64);
	in_a_child(little_address_space, (void *)(uintptr_t)256);
}

enum { EPOCHS = 4000 };
static tslab_epoch_t epochs[EPOCHS];
static void *objects[EPOCHS];

/* An epoch with an object in it; false: there is no memory for it. */
static bool open_with_object(unsigned i)
{
	int error = tslab_epoch_open(NULL, "one of many", &epochs[i]);

	if (error) {
		REQUIRE(error == -ENOMEM);
		return false;
	}
	error = tslab_domain_enter(epochs[i]);
	if (error) {
		REQUIRE(error == -ENOMEM && tslab_epoch_close(epochs[i]) == 0);
		return false;
	}
	objects[i] = tslab_malloc(64);
	if (objects[i])
		fill(objects[i], 64, i);
	REQUIRE(tslab_domain_exit(epochs[i]) == 0);
	return true;
}

/* Half of the epochs end with what is in them; the others are closed, and their objects stay, whatever comes. */
static void many_epochs(void *unused)
{
	unsigned count = 0, again = 0;

	(void)unused;
	quiet();
	tslab_free(tslab_malloc(64));
	limit(RLIMIT_AS, address_space_used() + (256 << 10));
	while (count < EPOCHS && open_with_object(count))
		count++;
	REQUIRE(count > 0 && count < EPOCHS);
	for (unsigned i = 0; i < count; i++)
		REQUIRE((i % 2 ? tslab_epoch_discard : tslab_epoch_close)(epochs[i]) == 0);
	while (count + again < EPOCHS && open_with_object(count + again))
		again++;
	for (unsigned i = 0; i < count; i += 2) {
		REQUIRE(!objects[i] || holds(objects[i], 64, i));
		tslab_free(objects[i]);
	}
	for (unsigned i = count; i < count + again; i++)
		REQUIRE(tslab_epoch_discard(epochs[i]) == 0);
	REQUIRE(counters().live_objects == 0);
}

/* What an epoch, or a lane, decides by is its own: without memory for that there is none. */
static void nobody_shares_counters(void **state)
{
	(void)state;
	in_a_child(many_epochs, NULL);
}

/* Labels, heaps, failures and places that were never seen before find no memory for what is shown of them. */
static void nothing_more_is_shown(void *unused)
{
	enum { LABELS = 40 };
	struct tslab_epoch_stats stats = { .struct_bytes = sizeof(stats) };
	char label[32];
	unsigned count = 0;

	(void)unused;
	quiet();
	tslab_free(tslab_malloc(64));
	limit(RLIMIT_AS, address_space_used() + (64 << 10));
	while (count < EPOCHS && tslab_epoch_open(NULL, NULL, &epochs[count]) == 0)
		count++;
	REQUIRE(count > LABELS && count < EPOCHS);
	for (unsigned i = 0; i < LABELS; i++)
		REQUIRE(tslab_epoch_close(epochs[i]) == 0);
	for (unsigned i = 0; i < LABELS; i++) {
		snprintf(label, sizeof(label), "label %u", i);
		REQUIRE(tslab_epoch_open(NULL, label, &epochs[i]) == 0);
		REQUIRE(tslab_stats_epoch(epochs[i], &stats) == 0 && !strcmp(stats.label, label));
		REQUIRE(!tslab_alloc(epochs[i], (size_t)1 << 40) && errno == ENOMEM);
	}
	errno = 0;
	for (unsigned i = 0; i < LABELS && !errno; i++)
		REQUIRE(tslab_heap_create(NULL) || errno == ENOMEM);
	for (unsigned i = 0; i < count; i++)
		REQUIRE(tslab_epoch_discard(epochs[i]) == 0);
}

static void nothing_to_show_with(void **state)
{
	(void)state;
	in_a_child(nothing_more_is_shown, NULL);
}

static void little_data(void *unused)
{
	(void)unused;
	quiet();
	tslab_free(tslab_malloc(1));
	limit(RLIMIT_DATA, (rlim_t)48 << 20);
	to_the_end_and_back(1000);
	to_the_end_and_back(300000);
	REQUIRE(counters().commit_failures > 0);
	REQUIRE(counters().live_objects == 0);
}

static void data(void **state)
{
	(void)state;
	in_a_child(little_data, NULL);
}

/* Every second page of a mapping otherwise protected: each takes a mapping of its own. */
static void use_up_mappings(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 1 << 20;
	char *p = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	REQUIRE(p != MAP_FAILED);
	for (size_t i = 0; i < pages; i += 2)
		if (mprotect(p + i * page, page, PROT_READ)) {
			REQUIRE(errno == ENOMEM);
			return;
		}
	REQUIRE(!"the number of mappings is not bounded");
}

static void no_mappings_left(void *warm)
{
	static void *kept[20000];
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;

	quiet();
	if (warm)
		tslab_free(tslab_malloc(1));
	use_up_mappings();
	if (!warm) {
		/* The library was not used before: an error, or it works; later it works. */
		void *p = tslab_malloc(100);
		REQUIRE(p || errno == ENOMEM);
		tslab_free(p);
		return;
	}
	/* What is reserved can be committed without a mapping more, and given back. */
	uint64_t failures = counters().purge_failures;
	REQUIRE(tslab_epoch_open(NULL, "unmapped", &epoch) == 0);
	for (unsigned i = 0; i < 20000; i++) {
		kept[i] = tslab_alloc(epoch, 1000);
		REQUIRE(kept[i]);
		fill(kept[i], 1000, i);
	}
	size_t before = anon_rss_bytes();
	for (unsigned i = 0; i < 20000; i++) {
		REQUIRE(holds(kept[i], 1000, i));
		tslab_free(kept[i]);
	}
	REQUIRE(tslab_epoch_close(epoch) == 0);
	REQUIRE(anon_rss_bytes() + (16u << 20) < before);
	REQUIRE(counters().purge_failures == failures);
}

static void mappings(void **state)
{
	(void)state;
	in_a_child(no_mappings_left, NULL);
	in_a_child(no_mappings_left, "warm");
}

/* Locked memory cannot be given back by advice: that is counted, and nothing else changes. */
static void locked(void *unused)
{
	(void)unused;
	quiet();
	REQUIRE(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
	must_work();
	struct tslab_process_stats s = counters();
	REQUIRE(s.purge_failures > 0 && s.purge_last_errno == EINVAL);
}

static void locked_memory(void **state)
{
	(void)state;
	in_a_child(locked, NULL);
}

/* ---------------------------------------------------------------------------------- descriptors -- */

static void full_table(void *unused)
{
	(void)unused;
	quiet();
	limit(RLIMIT_NOFILE, 16);
	while (dup(STDERR_FILENO) >= 0)
		;
	REQUIRE(errno == EMFILE);
	must_work();
	REQUIRE(counters().segment_bytes == 0);
}

/* Somebody closes all descriptors that he does not know, and takes their numbers. */
static void closed_from(void *unused)
{
	(void)unused;
	quiet();
	must_work();
	closefrom(3);
	for (int fd = 3; fd < 500; fd++)
		REQUIRE(dup2(STDERR_FILENO, fd) == fd);
	must_work();
	for (int fd = 3; fd < 500; fd++)
		REQUIRE(fcntl(fd, F_GETFD) >= 0); /* none of them was closed */
}

static void descriptors(void **state)
{
	(void)state;
	in_a_child(full_table, NULL);
	in_a_child(closed_from, NULL);
}

static void nowhere(void *unused)
{
	char template[] = "/tmp/tslab-nowhere-XXXXXX";

	(void)unused;
	quiet();
	setenv("TSLAB_RSS_PROBE", "always", 1);
	REQUIRE(mkdtemp(template) != NULL);
	REQUIRE(chroot(template) == 0 && chdir("/") == 0);
	REQUIRE(access("/proc/self/statm", F_OK) != 0);
	must_work();
	REQUIRE(chroot(".") == 0);
}

static void no_proc(void **state)
{
	(void)state;
	in_a_child(nowhere, NULL);
	assert_int_equal(system("rmdir /tmp/tslab-nowhere-*"), 0);
}

/* --------------------------------------------------------------------------------- system calls -- */

/* By name, as docs/syscalls.md has them. A name may stand for several: a C library picks one. */
static const struct {
	const char *name;
	int number;
} calls[] = {
#define CALL(name)                                                                                 \
	{                                                                                          \
#name, SYS_##name                                                                  \
	}
	CALL(mmap),
	CALL(mprotect),
	CALL(madvise),
	CALL(munmap),
	CALL(mremap),
	CALL(prlimit64),
	CALL(sysinfo),
	CALL(futex),
	CALL(gettid),
	CALL(getpid),
	CALL(geteuid),
	CALL(sched_yield),
	CALL(clock_gettime),
	CALL(write),
	CALL(openat),
	CALL(flock),
	CALL(fallocate),
	CALL(unlinkat),
	CALL(read),
	CALL(close),
#ifdef SYS_readlink
	CALL(readlink),
#endif
	{ "readlink", SYS_readlinkat },
	CALL(memfd_create),
	CALL(ftruncate),
	CALL(fchmod),
	CALL(fcntl),
	CALL(fstat),
	{ "fstat", SYS_newfstatat },
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* What a program with threads and children needs for itself. */
static const int own_calls[] = { SYS_exit,   SYS_exit_group,   SYS_clone,
				 SYS_clone3, SYS_wait4,        SYS_set_robust_list,
				 SYS_rseq,   SYS_rt_sigaction, SYS_rt_sigprocmask };

static bool listed[CALLS];

/* The words of the table's first column, without what stands in parentheses. */
static void read_list(void)
{
	FILE *f = fopen(list_of_calls, "r");
	char line[512];
	unsigned found = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *end = line[0] == '|' ? strchr(line + 1, '|') : NULL, *save = NULL;

		if (!end || !strncmp(line, "|---", 4) || !strncmp(line, "| call ", 7))
			continue;
		*end = '\0';
		for (char *open; (open = strchr(line, '(')) != NULL;)
			memset(open, ' ', strcspn(open, ")") + 1);
		for (char *word = strtok_r(line, " |,", &save); word;
		     word = strtok_r(NULL, " |,", &save)) {
			bool known = false;

			for (unsigned i = 0; i < CALLS; i++)
				if (!strcmp(word, calls[i].name))
					listed[i] = known = true;
			if (!known)
				fail_msg("%s: \"%s\" is no call that this test knows",
					 list_of_calls, word);
			found++;
		}
	}
	fclose(f);
	assert_true(found > 15);
}

enum { FILTER_MAX = 3 + CALLS + sizeof(own_calls) / sizeof(own_calls[0]) };

/* False where there are no filters: an emulator. */
static bool load_filter(struct sock_filter *filter, unsigned length)
{
	struct sock_fprog program = { (unsigned short)length, filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static unsigned allow(struct sock_filter *filter, unsigned at, unsigned length, int number)
{
	filter[at] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number,
						  (unsigned char)(length - 1 - at - 1), 0);
	return at + 1;
}

static void only_listed_calls(void)
{
	struct sock_filter filter[FILTER_MAX] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							   offsetof(struct seccomp_data, nr)) };
	unsigned length = 3 + sizeof(own_calls) / sizeof(own_calls[0]), at = 1;

	for (unsigned i = 0; i < CALLS; i++)
		length += listed[i];
	for (unsigned i = 0; i < CALLS; i++)
		if (listed[i])
			at = allow(filter, at, length, calls[i].number);
	for (unsigned i = 0; i < sizeof(own_calls) / sizeof(own_calls[0]); i++)
		at = allow(filter, at, length, own_calls[i]);
	filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	REQUIRE(at == length);
	REQUIRE(load_filter(filter, length));
}

static void under_the_filter(void *in_files)
{
	quiet();
	setenv("TSLAB_RSS_PROBE", "always", 1);
	setenv("TSLAB_SAMPLE", "7", 1);
	setenv("TSLAB_GUARD", "1", 1);
	if (in_files)
		setenv("TSLAB_STATS_DIR", in_files, 1);
	only_listed_calls();
	must_work();
	REQUIRE(counters().segment_bytes > 0);
	exit(0); /* in order: files are removed */
}

static void an_unlisted_call(void *unused)
{
	(void)unused;
	only_listed_calls();
	(void)syscall(SYS_getppid);
}

static void listed_calls_are_enough(void **state)
{
	char directory[] = "/tmp/tslab-filter-XXXXXX", command[64];

	(void)state;
	read_list();
	assert_non_null(mkdtemp(directory));
	int status = in_child(an_unlisted_call, NULL);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	in_a_child(under_the_filter, NULL);
	in_a_child(under_the_filter, directory);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
}

/* The kernel, or a sandbox, says that it knows no such call. */
static void refused_call(void *arg)
{
	const int number = (int)(intptr_t)arg;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	quiet();
	REQUIRE(load_filter(filter, sizeof(filter) / sizeof(filter[0])));
	must_work();
}

static void without_one_call(void **state)
{
	static const int optional[] = { SYS_memfd_create, SYS_madvise,   SYS_ftruncate,  SYS_fchmod,
					SYS_readlinkat,   SYS_prlimit64, SYS_membarrier, SYS_munmap,
					SYS_sched_yield,  SYS_getrandom,
#ifdef SYS_readlink
					SYS_readlink
#endif
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
		if (!exited_well(in_child(refused_call, (void *)(intptr_t)optional[i])))
			fail_msg("without system call %d", optional[i]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_space),
		cmocka_unit_test(nobody_shares_counters),
		cmocka_unit_test(nothing_to_show_with),
		cmocka_unit_test(data),
		cmocka_unit_test(mappings),
		cmocka_unit_test(locked_memory),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(no_proc),
		cmocka_unit_test(listed_calls_are_enough),
		cmocka_unit_test(without_one_call),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: limits DOCS/syscalls.md\n");
		return 2;
	}
	list_of_calls = argv[1];
	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
