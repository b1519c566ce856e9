/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "tui.h"

void tui_remember(struct tui_history *history, const json_t *document)
{
	const json_t *epochs = json_object_get(document, "epochs"), *epoch;
	struct tui_sample *sample = &history->samples[history->next];
	size_t i;

	free(sample->held);
	sample->held = calloc(json_array_size(epochs) + 1, sizeof(*sample->held));
	sample->count = sample->held ? json_array_size(epochs) : 0;
	json_array_foreach(epochs, i, epoch) {
		if (i >= sample->count)
			break;
		sample->held[i] = (struct tui_held){ get_u64(epoch, "epoch"),
						     get_u64(epoch, "estimated_rss_bytes") };
	}
	history->next = (history->next + 1) % TUI_HISTORY;
	if (history->count < TUI_HISTORY)
		history->count++;
}

void tui_forget(struct tui_history *history)
{
	for (size_t i = 0; i < TUI_HISTORY; i++)
		free(history->samples[i].held);
	*history = (struct tui_history){ .count = 0 };
}

static uint64_t held_by(const struct tui_sample *sample, uint64_t epoch)
{
	for (size_t i = 0; i < sample->count; i++)
		if (sample->held[i].epoch == epoch)
			return sample->held[i].bytes;
	return 0;
}

size_t tui_recall(const struct tui_history *history, uint64_t epoch, uint64_t *bytes, size_t most)
{
	size_t count = history->count < most ? history->count : most;

	for (size_t i = 0; i < count; i++)
		bytes[i] = held_by(
			&history->samples[(history->next + TUI_HISTORY - count + i) % TUI_HISTORY],
			epoch);
	return count;
}
