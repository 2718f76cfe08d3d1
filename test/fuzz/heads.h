/*
 * heads: what the fuzz targets of heads share.  Every check is an abort,
 * so that it also holds in a build without assertions.
 */
#ifndef TEST_FUZZ_HEADS_H
#define TEST_FUZZ_HEADS_H

#include "base/buf.h"
#include "wire/http.h"

#define FUZZ_CHECK(condition)                                      \
	do {                                                       \
		if (!(condition))                                  \
			fuzz_fail(#condition, __FILE__, __LINE__); \
	} while (0)

__attribute__((noreturn)) void fuzz_fail(const char *condition, const char *file, int line);

/* A copy in memory that ends with it, so that a sanitizer sees any byte too many; free() it. */
char *fuzz_copy(const char *data, size_t len);

/*
 * http_scan() of all bytes at once, byte by byte, and in pieces whose sizes
 * come from the bytes themselves; all must give the same result, which is
 * returned, with *scan as it was then.
 */
int fuzz_scan(struct http_scan *scan, enum http_kind kind, const char *data, size_t len);

/* The field lines as a proxy writes them, and the empty line. */
void fuzz_write_fields(struct buf *buf, const struct http_field *fields, uint32_t count);

/* Same names, values, ids and flags; no control octet in any. */
void fuzz_compare_fields(const struct http_field *a, const struct http_field *b, uint32_t count);

/* Inside [head, head + len), or without data. */
void fuzz_check_inside(struct str s, const char *head, size_t len);

/* How many fields have this id. */
uint32_t fuzz_count(const struct http_field *fields, uint32_t count, enum http_field_id id);

#endif
