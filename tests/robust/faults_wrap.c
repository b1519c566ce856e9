/* SPDX-License-Identifier: MIT */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *const fault_names[FAULT_FUNCTIONS] = {
#define X(name, how) #name,
	FAULTS(X)
#undef X
};
struct fault_record *fault_record;

static struct {
	struct fault fault;
	uint64_t calls;
} planned[2]; /* the plan, its companion */

void fault_plan(const struct fault *plan, const struct fault *companion)
{
	planned[0].fault = *plan;
	planned[1].fault = *companion;
	planned[0].calls = planned[1].calls = 0;
	if (plan->nth)
		fault_record->fired = 0;
}

static void note_site(enum fault_function function, const void *from)
{
	extern const char __ehdr_start[];
	uint64_t offset = (uint64_t)((const char *)from - __ehdr_start);
	uint64_t *site = fault_record->site[function];

	for (unsigned i = 0; i < FAULT_SITES_MAX; i++) {
		uint64_t seen = 0;

		if (__atomic_compare_exchange_n(&site[i], &seen, offset, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED) ||
		    seen == offset)
			return;
	}
}

static bool hits(unsigned i, enum fault_function function)
{
	const struct fault *fault = &planned[i].fault;
	uint64_t nth;

	if (!fault->nth || fault->function != function)
		return false;
	nth = ++planned[i].calls;
	return fault->onward ? nth >= fault->nth : nth == fault->nth;
}

/* The errno that the plan has for this call, or 0. */
static int error_of(enum fault_function function, const void *from)
{
	if (hits(0, function)) {
		note_site(function, from);
		__atomic_fetch_add(&fault_record->fired, 1, __ATOMIC_RELAXED);
		return planned[0].fault.error;
	}
	return hits(1, function) ? planned[1].fault.error : 0;
}

#define SET(error) (errno = (error), -1)
#define MAPS(error) (errno = (error), MAP_FAILED)
#define GIVES(error) (error)

#define WRAP(type, name, how, parameters, arguments)                                               \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		int error = error_of(FAULT_##name, __builtin_return_address(0));                   \
                                                                                                   \
		return error ? how(error) : __real_##name arguments;                               \
	}

WRAP(void *, mmap, MAPS, (void *p, size_t n, int prot, int flags, int fd, off_t at),
     (p, n, prot, flags, fd, at))
WRAP(int, mprotect, SET, (void *p, size_t n, int prot), (p, n, prot))
WRAP(int, madvise, SET, (void *p, size_t n, int advice), (p, n, advice))
WRAP(int, getrlimit, SET, (int resource, struct rlimit *limit), (resource, limit))
WRAP(int, munmap, SET, (void *p, size_t n), (p, n))
WRAP(void *, mremap, MAPS, (void *p, size_t n, size_t more, int flags, void *to),
     (p, n, more, flags, to))
WRAP(int, memfd_create, SET, (const char *name, unsigned flags), (name, flags))
WRAP(int, ftruncate, SET, (int fd, off_t n), (fd, n))
WRAP(int, fchmod, SET, (int fd, mode_t mode), (fd, mode))
WRAP(int, fstat, SET, (int fd, struct stat *st), (fd, st))
WRAP(int, fcntl, SET, (int fd, int command, long argument), (fd, command, argument))
WRAP(int, flock, SET, (int fd, int operation), (fd, operation))
WRAP(int, posix_fallocate, GIVES, (int fd, off_t at, off_t n), (fd, at, n))
WRAP(int, open, SET, (const char *path, int flags, mode_t mode), (path, flags, mode))
WRAP(int, openat, SET, (int dir, const char *path, int flags, mode_t mode), (dir, path, flags, mode))
WRAP(int, unlinkat, SET, (int dir, const char *path, int flags), (dir, path, flags))
WRAP(ssize_t, read, SET, (int fd, void *p, size_t n), (fd, p, n))
WRAP(ssize_t, readlink, SET, (const char *path, char *p, size_t n), (path, p, n))
WRAP(ssize_t, write, SET, (int fd, const void *p, size_t n), (fd, p, n))
WRAP(int, clock_gettime, SET, (clockid_t clock, struct timespec *ts), (clock, ts))
WRAP(int, pthread_key_create, GIVES, (pthread_key_t * key, void (*end)(void *)), (key, end))
WRAP(int, pthread_setspecific, GIVES, (pthread_key_t key, const void *value), (key, value))
WRAP(int, pthread_atfork, GIVES, (void (*before)(void), void (*after)(void), void (*in)(void)),
     (before, after, in))

/* A descriptor is gone whatever close says. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int error = error_of(FAULT_close, __builtin_return_address(0));
	int result = __real_close(fd);

	return error ? SET(error) : result;
}
