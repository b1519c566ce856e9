/* SPDX-License-Identifier: MIT */
/* apart.c: uses libtslab and runs under libtslab-malloc.so; both have memory of their own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tslab/malloc.h>
#include <tslab/stats.h>
#include <tslab/tslab.h>

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("line %d: %s\n", __LINE__, #condition);                             \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

int main(void)
{
	struct tslab_epoch_stats stats = { .struct_bytes = sizeof(stats) };
	char *volatile in_epoch, *volatile of_malloc;
	tslab_epoch_t epoch;

	REQUIRE(tslab_malloc_fallbacks);
	REQUIRE(!tslab_epoch_open(NULL, "scope", &epoch) && !tslab_domain_enter(epoch));
	in_epoch = tslab_malloc(100);
	of_malloc = strdup("inside the scope, and not of it");
	REQUIRE(!tslab_stats_epoch(epoch, &stats) && stats.live_objects == 1);
	REQUIRE(tslab_usable_size(in_epoch) >= 100 && tslab_usable_size(of_malloc) == 0);
	tslab_free(of_malloc); /* refused: not the library's */
	free(in_epoch);        /* refused: not malloc's */
	REQUIRE(tslab_malloc_fallbacks() == 1);
	REQUIRE(!tslab_stats_epoch(epoch, &stats) && stats.live_objects == 1);
	REQUIRE(!tslab_domain_exit(epoch) && !tslab_epoch_discard(epoch));
	REQUIRE(!strcmp(of_malloc, "inside the scope, and not of it"));
	free(of_malloc);
	REQUIRE(tslab_malloc_fallbacks() == 1);
	return 0;
}
