#include "http_heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct http_request heads_request;
struct http_response heads_response;

char *
heads_copy(const char *data, size_t len)
{
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

/* Scans in pieces of step bytes, each time from memory that ends there. */
static int
scan_in_steps(struct http_scan *scan, enum http_kind kind, const char *data, size_t len, size_t step)
{
	int result = 0;
	*scan = (struct http_scan){0};
	for (size_t have = step < len ? step : len; result == 0; have = len - have > step ? have + step : len) {
		char *copy = heads_copy(data, have);
		result = http_scan(scan, kind, copy, have);
		free(copy);
		if (have == len)
			break;
	}
	return result;
}

static int
scan_random(struct http_scan *scan, enum http_kind kind, const char *data, size_t len)
{
	int result = 0;
	*scan = (struct http_scan){0};
	for (size_t have = 0; result == 0 && have < len;) {
		have += 1 + (size_t)rand() % 23;
		have = have < len ? have : len;
		char *copy = heads_copy(data, have);
		result = http_scan(scan, kind, copy, have);
		free(copy);
	}
	return result;
}

/* The head that the last parse points into. */
static char *parsed_head;

/* Scan and parse; the scan in several ways, which must agree.  -1: more bytes
 * are wanted. */
int
heads_read(enum http_kind kind, enum http_method method, const char *data, size_t len)
{
	struct http_scan scan, other;
	int result = scan_in_steps(&scan, kind, data, len, len ? len : 1);
	assert_int_equal(scan_in_steps(&other, kind, data, len, 1), result);
	assert_int_equal(scan_in_steps(&other, kind, data, len, 7), result);
	for (int i = 0; i < 4; i++)
		assert_int_equal(scan_random(&other, kind, data, len), result);
	if (result <= 0)
		return result == 0 ? -1 : -result;
	assert_int_equal(other.skipped, scan.skipped);
	free(parsed_head);
	parsed_head = heads_copy(data, (size_t)result);
	return kind == HTTP_REQUEST ? (int)http_parse_request(&heads_request, parsed_head, (size_t)result, scan.skipped)
	                            : (int)http_parse_response(&heads_response, method, parsed_head, (size_t)result);
}

int
heads_read_request(struct str text)
{
	return heads_read(HTTP_REQUEST, HTTP_METHOD_GET, text.data, text.len);
}

int
heads_read_response(struct str text)
{
	return heads_read(HTTP_RESPONSE, HTTP_METHOD_GET, text.data, text.len);
}

void
heads_assert_str(struct str s, const char *want)
{
	if (!str_equal(s, str_from(want)))
		fail_msg("'%.*s' is not '%s'", STR_ARG(s), want);
}

/* Like heads_read, without the many slow splits. */
int
heads_read_large(const char *data, size_t len)
{
	struct http_scan scan = {0}, other;
	int result = http_scan(&scan, HTTP_REQUEST, data, len);
	assert_int_equal(scan_in_steps(&other, HTTP_REQUEST, data, len, 1000), result);
	assert_int_equal(scan_in_steps(&other, HTTP_REQUEST, data, len, 1 + len / 2), result);
	if (result <= 0)
		return result == 0 ? -1 : -result;
	return (int)http_parse_request(&heads_request, data, (size_t)result, scan.skipped);
}
