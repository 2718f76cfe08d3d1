#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static inline unsigned char
fold(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool
str_equal_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (fold(a.data[i]) != fold(b.data[i]))
			return false;
	return true;
}

bool
str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_equal(str_make(s.data, prefix.len), prefix);
}

bool
str_starts_nocase(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_equal_nocase(str_make(s.data, prefix.len), prefix);
}

bool
str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_equal(str_make(s.data + s.len - suffix.len, suffix.len), suffix);
}

static bool
is_ows(char c)
{
	return c == ' ' || c == '\t';
}

struct str
str_trim(struct str s)
{
	while (s.len > 0 && is_ows(s.data[0])) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && is_ows(s.data[s.len - 1]))
		s.len--;
	return s;
}

bool
str_split(struct str *rest, char separator, struct str *word)
{
	if (rest->data == NULL)
		return false;
	const char *end = rest->len ? memchr(rest->data, separator, rest->len) : NULL;
	if (end == NULL) {
		*word = *rest;
		*rest = (struct str){NULL, 0};
		return true;
	}
	*word = str_make(rest->data, (size_t)(end - rest->data));
	*rest = str_make(end + 1, rest->len - word->len - 1);
	return true;
}

static bool
to_u64(struct str s, unsigned base, uint64_t *value)
{
	uint64_t sum = 0;
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.data[i] - (unsigned)'0';
		if (digit > 9) {
			digit = fold(s.data[i]) - (unsigned)'a';
			digit = digit < 6 ? digit + 10 : base;
		}
		if (digit >= base || sum > (UINT64_MAX - digit) / base)
			return false;
		sum = sum * base + digit;
	}
	*value = sum;
	return true;
}

bool
str_to_u64(struct str s, uint64_t *value)
{
	return to_u64(s, 10, value);
}

bool
str_hex_to_u64(struct str s, uint64_t *value)
{
	return to_u64(s, 16, value);
}

struct str
str_from_u64(char out[24], uint64_t value)
{
	char *at = out + 24;
	do
		*--at = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	return str_make(at, (size_t)(out + 24 - at));
}

bool
str_copy_z(char *out, size_t out_size, struct str s)
{
	if (s.len >= out_size || (s.len > 0 && memchr(s.data, 0, s.len) != NULL)) {
		if (out_size > 0)
			out[0] = 0;
		return false;
	}
	if (s.len > 0)
		memcpy(out, s.data, s.len);
	out[s.len] = 0;
	return true;
}

void
str_cut_z(char *out, size_t out_size, struct str s)
{
	if (out_size == 0)
		return;
	size_t len = s.len < out_size - 1 ? s.len : out_size - 1;
	if (len > 0)
		memcpy(out, s.data, len);
	out[len] = 0;
}

ptrdiff_t
str_find(struct str s, char c)
{
	const char *at = s.len ? memchr(s.data, c, s.len) : NULL;
	return at ? at - s.data : -1;
}

const char *
str_search(struct str s, struct str what)
{
	return s.len < what.len ? NULL : memmem(s.data, s.len, what.data, what.len);
}

char *
str_dup_z(struct str s)
{
	char *copy = malloc(s.len + 1);
	if (copy == NULL)
		abort();
	if (s.len > 0)
		memcpy(copy, s.data, s.len);
	copy[s.len] = 0;
	return copy;
}

bool
str_format(char *out, size_t out_size, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int len = vsnprintf(out, out_size, format, arguments);
	va_end(arguments);
	return len >= 0 && (size_t)len < out_size;
}

bool
str_equal_secret(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	volatile unsigned char different = 0;
	for (size_t i = 0; i < a.len; i++)
		different |= (unsigned char)(a.data[i] ^ b.data[i]);
	return different == 0;
}
