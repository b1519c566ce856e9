/* SPDX-License-Identifier: MIT */
/*
 * lives.c: allocation where a process or a thread begins and ends: constructors, destructors, thread
 * ends, fork, modules that come and go. Runs under a preloaded libtslab-malloc.so.
 *   lives PLUGIN
 */
#include <dlfcn.h>
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <tslab/malloc.h>
#include <unistd.h>

#include "../tap.h"

extern char **environ;

/* Under QEMU: it cannot start a thread in the child of a process with threads, and host programs that are
 * started from an emulated one cannot load what is preloaded there. */
static bool emulated;

/* -- before main and after it ------------------------------------------------------------------- */

static char *early, *earlier;

__attribute__((constructor(101))) static void construct_first(void)
{
	earlier = strcpy(malloc(40), "constructor");
	setenv("LIVES", earlier, 1);
}

__attribute__((constructor)) static void construct(void)
{
	early = calloc(1000, 100);
}

/* After main, after the atexit handlers, after the other destructors. */
__attribute__((destructor(101))) static void destruct_last(void)
{
	char *p = malloc(100000);

	if (!p || strcmp(earlier, "constructor"))
		_exit(99);
	free(p);
	free(earlier);
	free(early);
	if (tslab_malloc_fallbacks() != 0)
		_exit(98);
}

static void at_exit(void)
{
	early = realloc(early, 200000);
	free(malloc(10));
}

/* -- ends of threads ---------------------------------------------------------------------------- */

enum { KEYS = 40, THREADS = 60 };
static pthread_key_t keys[KEYS];
static void *left_over[THREADS];
static unsigned destroyed; /* relaxed */

/* Comes back once: the C library calls destructors again while there are values. */
static void destroy(void *value)
{
	char *text = value;

	__atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
	free(malloc(200));
	if (text[0] == 'a') {
		char *again = strdup("b");

		pthread_setspecific(keys[(unsigned char)text[1]], again);
	}
	free(text);
}

static void *live(void *arg)
{
	void **left = arg;

	for (unsigned i = 0; i < KEYS; i++) {
		char *value = malloc(50 + i);

		value[0] = 'a';
		value[1] = (char)i;
		pthread_setspecific(keys[i], value);
	}
	for (unsigned i = 0; i < 1000; i++) {
		void *p = malloc(i * 7);

		if (i % 10)
			free(p);
		else
			free(realloc(p, i * 9 + 1));
	}
	*left = strdup("left by a thread");
	return NULL;
}

static bool ends_of_threads(void)
{
	pthread_t threads[THREADS];
	bool ok = true;

	for (unsigned i = 0; i < KEYS; i++)
		ok &= EXPECT(!pthread_key_create(&keys[i], destroy));
	for (unsigned i = 0; i < THREADS; i++)
		ok &= EXPECT(!pthread_create(&threads[i], NULL, live, &left_over[i]));
	for (unsigned i = 0; i < THREADS; i++) {
		ok &= EXPECT(!pthread_join(threads[i], NULL)) &
		      EXPECT(!strcmp(left_over[i], "left by a thread"));
		free(left_over[i]);
	}
	for (unsigned i = 0; i < KEYS; i++)
		pthread_key_delete(keys[i]);
	return ok & EXPECT(destroyed == 2 * KEYS * THREADS);
}

/* -- modules ------------------------------------------------------------------------------------ */

static bool modules(const char *path)
{
	bool ok = true;

	for (unsigned i = 0; i < 300; i++) {
		void *plugin = dlopen(path, RTLD_NOW);
		char *(*text)(void) = plugin ? (char *(*)(void))dlsym(plugin, "plugin_text") : NULL;
		char *kept;

		if (!EXPECT(text != NULL))
			return false;
		kept = text();
		free(text());
		ok &= EXPECT(!dlclose(plugin)) & EXPECT(!strcmp(kept, "plugin"));
		free(kept);
	}
	return ok;
}

/* -- fork --------------------------------------------------------------------------------------- */

enum { FORKS = 100, CHURNERS = 3 };
static bool stop; /* relaxed */

static void *churn(void *arg)
{
	void *objects[64] = { NULL };
	unsigned random = (unsigned)(size_t)arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned i = (random = random * 1664525 + 1013904223) >> 26;

		free(objects[i]);
		objects[i] = malloc(random % 64 ? random >> 20 : random >> 14);
	}
	for (unsigned i = 0; i < 64; i++)
		free(objects[i]);
	return NULL;
}

static void *work(void *arg)
{
	char *p = malloc(300);

	(void)arg;
	p = realloc(p, 100000);
	free(p);
	return strdup("worked");
}

/* In a child of a process with busy threads: everything works, and what was inherited can be freed. */
static int use_all(char **inherited, unsigned count)
{
	pthread_t thread;
	void *text;

	for (unsigned i = 0; i < count; i++) {
		if (strcmp(inherited[i], "inherited"))
			return 1;
		free(inherited[i]);
	}
	for (unsigned i = 0; i < 200; i++)
		free(malloc(i * 100));
	if (emulated)
		text = work(NULL);
	else if (pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, &text))
		return 2;
	if (strcmp(text, "worked"))
		return 3;
	free(text);
	return tslab_malloc_fallbacks() ? 4 : 0;
}

static bool forks(void)
{
	pthread_t threads[CHURNERS];
	char *inherited[100];
	bool ok = true;

	for (unsigned i = 0; i < 100; i++)
		inherited[i] = strcpy(malloc(10 + i * 20), "inherited");
	for (size_t i = 0; i < CHURNERS; i++)
		ok &= EXPECT(!pthread_create(&threads[i], NULL, churn, (void *)(i + 1)));
	for (unsigned i = 0; i < FORKS && ok; i++) {
		pid_t pid = fork();
		int status = 0;

		if (pid == 0)
			_exit(use_all(inherited, 100));
		ok &= EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid) & EXPECT(status == 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < CHURNERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 100; i++)
		free(inherited[i]);
	return ok;
}

static void *of_handler;

static void before_fork(void)
{
	of_handler = malloc(123);
}

static void in_parent(void)
{
	free(of_handler);
}

static void in_child(void)
{
	free(of_handler);
	free(calloc(10, 1000));
}

static bool fork_handlers(void)
{
	bool ok = EXPECT(!pthread_atfork(before_fork, in_parent, in_child));
	int status = 1;
	pid_t pid;

	for (unsigned i = 0; i < 20; i++) {
		pid = fork();
		if (pid == 0)
			_exit(use_all(NULL, 0));
		ok &= EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	}
	return ok;
}

static bool spawned(void)
{
	char *const command[] = { (char *)"/bin/sh", (char *)"-c", (char *)"exit 7", NULL };
	int status = 0;
	pid_t pid;
	bool ok = EXPECT(!posix_spawn(&pid, command[0], NULL, NULL, command, environ));

	ok &= EXPECT(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	return ok & EXPECT(WEXITSTATUS(system("exit 8")) == 8);
}

int main(int argc, char **argv)
{
	emulated = getenv("TEST_RUNNER") && *getenv("TEST_RUNNER");
	tap_ok(argc == 2 && tslab_malloc_fallbacks, "libtslab-malloc.so is preloaded");
	if (tap_failed)
		return tap_end();
	tap_ok(!strcmp(getenv("LIVES"), "constructor") && early[99999] == 0,
	       "constructors have allocated");
	tap_ok(!atexit(at_exit), "handlers at exit will");
	tap_ok(ends_of_threads(), "destructors of thread data allocate and free");
	tap_ok(modules(argv[1]), "modules come and go");
	tap_ok(forks(), "children of a process with busy threads use everything");
	tap_ok(fork_handlers(), "handlers of fork allocate and free");
	if (!emulated)
		tap_ok(spawned(), "processes are spawned");
	tap_ok(tslab_malloc_fallbacks() == 0, "no fallback");
	return tap_end();
}
