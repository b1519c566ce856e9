/* SPDX-License-Identifier: MIT */
/*
 * probe.c: preloaded behind libtslab-malloc.so, it says at the end of a process what became of it: a line
 * "NAME FALLBACKS BYTES-OF-THE-C-LIBRARY'S-OWN-HEAP" at the end of $SHIM_PROBE.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <tslab/malloc.h>
#include <unistd.h>

__attribute__((destructor)) static void tell(void)
{
	const char *path = getenv("SHIM_PROBE");
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	struct mallinfo2 (*info)(void) =
		libc ? (struct mallinfo2(*)(void))dlsym(libc, "mallinfo2") : NULL;
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	if (tslab_malloc_fallbacks && info)
		dprintf(fd, "%s %llu %zu\n", program_invocation_short_name,
			(unsigned long long)tslab_malloc_fallbacks(), info().arena + info().hblkhd);
	else
		dprintf(fd, "%s not-preloaded\n", program_invocation_short_name);
	close(fd);
}
