/* SPDX-License-Identifier: MIT */
/* buffer.h: text that grows, and whose memory the next text can have. */
#ifndef TSLAB_BUFFER_H
#define TSLAB_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buffer {
	char *text; /* not ended by NUL */
	size_t bytes;
	size_t room;
	bool failed; /* for want of memory: something is missing */
};

/* Makes room for so many bytes more. */
bool buffer_grow(struct buffer *buffer, size_t bytes);
/* Called for each word of an exposition: without a call where there is room. */
static inline void buffer_put(struct buffer *buffer, const void *bytes, size_t count)
{
	if (buffer->room - buffer->bytes < count && !buffer_grow(buffer, count))
		return;
	memcpy(buffer->text + buffer->bytes, bytes, count);
	buffer->bytes += count;
}
static inline void buffer_put_text(struct buffer *buffer, const char *text)
{
	buffer_put(buffer, text, strlen(text));
}
void buffer_put_u64(struct buffer *buffer, uint64_t number);
void buffer_format(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Forgets the text and keeps the memory. */
void buffer_clear(struct buffer *buffer);
void buffer_free(struct buffer *buffer);

#endif
