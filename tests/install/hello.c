/* SPDX-License-Identifier: MIT */
/* What a newcomer writes first; built against the installed library. Prints the answer it computed. */
#include <stdio.h>
#include <tslab/tslab.h>

int main(void)
{
	tslab_epoch_t epoch;
	char *text;

	if (tslab_epoch_open(NULL, "hello", &epoch) != 0 || tslab_domain_enter(epoch) != 0)
		return 1;
	text = tslab_malloc(32);
	if (!text)
		return 1;
	snprintf(text, 32, "tslab %s", tslab_version());
	puts(text);
	return tslab_domain_exit(epoch) != 0 || tslab_epoch_discard(epoch) != 0;
}
