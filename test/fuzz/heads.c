#include "heads.h"

#include <stdio.h>
#include <stdlib.h>

void
fuzz_fail(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, condition);
	abort();
}

char *
fuzz_copy(const char *data, size_t len)
{
	char *copy = malloc(len ? len : 1);
	if (copy == NULL)
		abort();
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

/* Pieces of 1 … 64 bytes when step is 0. */
static int
scan_in_pieces(struct http_scan *scan, enum http_kind kind, const char *data, size_t len, size_t step)
{
	int result = 0;
	size_t have = 0;
	*scan = (struct http_scan){0};
	while (result == 0 && have < len) {
		size_t piece = step ? step : 1 + (unsigned char)data[have] % 64;
		have = len - have > piece ? have + piece : len;
		char *copy = fuzz_copy(data, have);
		result = http_scan(scan, kind, copy, have);
		free(copy);
	}
	return result;
}

int
fuzz_scan(struct http_scan *scan, enum http_kind kind, const char *data, size_t len)
{
	struct http_scan pieces;
	int result = scan_in_pieces(scan, kind, data, len, len);
	FUZZ_CHECK(result > -(int)HTTP_ERROR_N && (result < 0 || (size_t)result <= len));
	/* copies of all beginnings are slow for long inputs */
	if (len < 2048) {
		FUZZ_CHECK(scan_in_pieces(&pieces, kind, data, len, 1) == result);
		FUZZ_CHECK(result < 0 || (pieces.at == scan->at && pieces.skipped == scan->skipped));
	}
	FUZZ_CHECK(scan_in_pieces(&pieces, kind, data, len, 0) == result);
	if (result == 0) {
		char *copy = fuzz_copy(data, len);
		enum http_error whole = http_scan_end(scan, kind, copy, len);
		FUZZ_CHECK(http_scan_end(&pieces, kind, copy, len) == whole);
		free(copy);
	}
	return result;
}

void
fuzz_write_fields(struct buf *buf, const struct http_field *fields, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		buf_append_str(buf, fields[i].name);
		buf_append_str(buf, STR(":"));
		buf_append_str(buf, fields[i].value);
		buf_append_str(buf, STR("\r\n"));
	}
	buf_append_str(buf, STR("\r\n"));
}

static void
check_octets(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		FUZZ_CHECK(c == '\t' || (c >= 0x20 && c != 0x7f));
	}
}

void
fuzz_compare_fields(const struct http_field *a, const struct http_field *b, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		FUZZ_CHECK(a[i].name.len > 0 && str_equal(a[i].name, b[i].name));
		FUZZ_CHECK(str_equal(a[i].value, b[i].value) && str_equal(str_trim(a[i].value), a[i].value));
		FUZZ_CHECK(a[i].id == b[i].id && a[i].flags == b[i].flags && a[i].id < HTTP_FIELD_N);
		check_octets(a[i].name);
		check_octets(a[i].value);
		FUZZ_CHECK(memchr(a[i].name.data, ' ', a[i].name.len) == NULL &&
		           memchr(a[i].name.data, ':', a[i].name.len) == NULL);
		bool dirty = false;
		for (size_t k = 0; k < a[i].name.len; k++)
			dirty |= strchr("!#$%&'*+.^_`|~", a[i].name.data[k]) != NULL;
		FUZZ_CHECK(dirty == ((a[i].flags & HTTP_FIELD_NAME_DIRTY) != 0));
	}
}

void
fuzz_check_inside(struct str s, const char *head, size_t len)
{
	FUZZ_CHECK(s.data == NULL || (s.data >= head && s.data <= head + len && s.len <= (size_t)(head + len - s.data)));
	FUZZ_CHECK(s.data != NULL || s.len == 0);
}

uint32_t
fuzz_count(const struct http_field *fields, uint32_t count, enum http_field_id id)
{
	uint32_t found = 0;
	for (uint32_t i = 0; i < count; i++)
		found += fields[i].id == id;
	return found;
}
