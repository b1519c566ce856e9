/* SPDX-License-Identifier: MIT */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROOM_FIRST = 4096, NUMBER_BYTES = 20 };

bool buffer_grow(struct buffer *buffer, size_t bytes)
{
	size_t room = buffer->room ? buffer->room : ROOM_FIRST;
	char *text;

	while (room - buffer->bytes < bytes)
		room *= 2;
	text = realloc(buffer->text, room);
	if (!text) {
		buffer->failed = true;
		return false;
	}
	buffer->text = text;
	buffer->room = room;
	return true;
}

void buffer_put_u64(struct buffer *buffer, uint64_t number)
{
	char digits[NUMBER_BYTES], *first = digits + sizeof(digits);

	do
		*--first = (char)('0' + number % 10);
	while (number /= 10);
	buffer_put(buffer, first, (size_t)(digits + sizeof(digits) - first));
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
	char text[256];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof(text))
		buffer->failed = true; /* what is formatted is short */
	else
		buffer_put(buffer, text, (size_t)length);
}

void buffer_clear(struct buffer *buffer)
{
	buffer->bytes = 0;
	buffer->failed = false;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->text);
	*buffer = (struct buffer){ NULL, 0, 0, false };
}
