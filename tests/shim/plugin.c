/* SPDX-License-Identifier: MIT */
/* plugin.c: loaded and unloaded by lives.c; allocates when it comes, and when it goes. */
#include <stdlib.h>
#include <string.h>

static char *text;
static __thread char *of_thread; /* dynamic TLS, which the C library allocates */

char *plugin_text(void);

__attribute__((constructor)) static void come(void)
{
	text = strdup("plugin");
}

__attribute__((destructor)) static void go(void)
{
	free(of_thread);
	text = realloc(text, 5000);
	free(text);
}

/* The caller's to free, also when the plugin is gone. */
char *plugin_text(void)
{
	free(of_thread);
	of_thread = malloc(70);
	return strdup(text);
}
