/* SPDX-License-Identifier: MIT */
/* What test_links.sh links in many ways: threads, fork, epochs, handles, and figures that others see. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("line %d: %s\n", __LINE__, #condition);                             \
			fflush(stdout);                                                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void *use(void *arg)
{
	tslab_epoch_t epoch;
	tslab_handle_t handle;

	for (unsigned round = 0; round < 100; round++) {
		MUST(tslab_scope_begin(NULL, "linked", &epoch) == 0);
		for (unsigned i = 0; i < 100; i++) {
			char *p = tslab_malloc(16 + i * 50);

			MUST(p);
			memset(p, 1, 16 + i * 50);
			if (i % 2)
				tslab_free(p);
		}
		MUST(tslab_handle_alloc(epoch, 64, &handle) == 0);
		MUST(tslab_scope_discard(epoch) == 0);
		MUST(tslab_handle_free(NULL, handle) != 0);
	}
	return arg;
}

int main(void)
{
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };
	pthread_t threads[4];
	int status = 0;

	for (unsigned i = 0; i < 4; i++)
		MUST(pthread_create(&threads[i], NULL, use, NULL) == 0);
	use(NULL);
	for (unsigned i = 0; i < 4; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		use(NULL);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	MUST(tslab_stats_process(&s) == 0);
	MUST(s.live_objects == 0 && s.allocations == s.frees && s.allocations == 5u * 100 * 101);
	MUST(s.segment_bytes > 0);
	printf("linked\n");
	return 0;
}
