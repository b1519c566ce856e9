/* SPDX-License-Identifier: MIT */
/* utf8.h: one character of a text that anybody may have written (RFC 3629, section 4). */
#ifndef TS_CORE_UTF8_H
#define TS_CORE_UTF8_H

#include <stdint.h>

/*
 * Bytes of the character at s, 1 to 4, and its code point; 0 if there is none: sequences that are too long for what
 * they say, surrogates and what is above U+10FFFF are none. `s` ends with NUL, which is a character and continues
 * nothing.
 */
static inline unsigned ts_utf8_decode(const unsigned char *s, uint32_t *point)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned length = s[0] < 0x80     ? 1 :
			  s[0] >> 5 == 6  ? 2 :
			  s[0] >> 4 == 14 ? 3 :
			  s[0] >> 3 == 30 ? 4 :
					    0;

	*point = s[0];
	if (length < 2)
		return length;
	*point = s[0] & (0x7fu >> length);
	for (unsigned i = 1; i < length; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		*point = *point << 6 | (s[i] & 0x3f);
	}
	if (*point < least[length] || *point > 0x10ffff || (*point >= 0xd800 && *point < 0xe000))
		return 0;
	return length;
}

#endif
