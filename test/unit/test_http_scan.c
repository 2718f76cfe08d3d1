#include "http_heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Text that is begin, then a run of filler, then end, len bytes in all. */
static char *
filled(size_t len, const char *begin, const char *end)
{
	char *text = malloc(len);
	assert_non_null(text);
	memset(text, 'f', len);
	memcpy(text, begin, strlen(begin));
	memcpy(text + len - strlen(end), end, strlen(end));
	return text;
}

static void
test_line_limit(void **state)
{
	(void)state;
	const char *end = " HTTP/1.1\r\n" HOST "\r\n";
	size_t after = strlen(end) - strlen(" HTTP/1.1"), most = HTTP_REQUEST_LINE_BYTES_MAX + after;
	char *text = filled(most, "GET /", end);
	assert_int_equal(heads_read_large(text, most), HTTP_OK);
	assert_int_equal(heads_request.target.len, HTTP_REQUEST_LINE_BYTES_MAX - strlen("GET  HTTP/1.1"));
	free(text);
	text = filled(most + 1, "GET /", end);
	assert_int_equal(heads_read_large(text, most + 1), HTTP_ERROR_LINE_TOO_LONG);
	assert_int_equal(heads_read_large(text, HTTP_REQUEST_LINE_BYTES_MAX), -1);
	assert_int_equal(heads_read_large(text, HTTP_REQUEST_LINE_BYTES_MAX + 1), HTTP_ERROR_LINE_TOO_LONG);
	free(text);
}

static void
test_head_limit(void **state)
{
	(void)state;
	char *text = filled(HTTP_HEAD_BYTES_MAX, GET "X: ", "\r\n\r\n");
	assert_int_equal(heads_read_large(text, HTTP_HEAD_BYTES_MAX), HTTP_OK);
	assert_int_equal(heads_read_large(text, HTTP_HEAD_BYTES_MAX - 1), -1);
	free(text);
	text = filled(HTTP_HEAD_BYTES_MAX + 1, GET "X: ", "\r\n\r\n");
	assert_int_equal(heads_read_large(text, HTTP_HEAD_BYTES_MAX + 1), HTTP_ERROR_HEAD_TOO_LARGE);
	assert_int_equal(heads_read_large(text, HTTP_HEAD_BYTES_MAX), HTTP_ERROR_HEAD_TOO_LARGE);
	free(text);
	text = filled(HTTP_HEAD_BYTES_MAX, GET "X", "f");
	assert_int_equal(heads_read_large(text, HTTP_HEAD_BYTES_MAX), HTTP_ERROR_HEAD_TOO_LARGE);
	free(text);
}

static void
test_field_limit(void **state)
{
	(void)state;
	char text[HTTP_FIELDS_MAX * 8 + 100];
	for (int extra = 0; extra < 2; extra++) {
		size_t len = strlen(GET);
		memcpy(text, GET, len);
		for (int i = 1; i < HTTP_FIELDS_MAX + extra; i++, len += 6)
			memcpy(text + len, "X: a\r\n", 6);
		memcpy(text + len, "\r\n", 2);
		assert_int_equal(heads_read_large(text, len + 2), extra ? HTTP_ERROR_TOO_MANY_FIELDS : HTTP_OK);
	}
	assert_int_equal(heads_request.fields[HTTP_FIELDS_MAX - 1].value.len, 1);
}

/* RFC 9112 section 2.2 */
static void
test_empty_lines(void **state)
{
	(void)state;
	char text[100];
	for (size_t lines = 0; lines < 12; lines++) {
		size_t len = 0;
		for (size_t i = 0; i < lines; i++, len += 2)
			memcpy(text + len, "\r\n", 2);
		memcpy(text + len, GET "\r\n", strlen(GET "\r\n"));
		len += strlen(GET "\r\n");
		assert_int_equal(heads_read(HTTP_REQUEST, HTTP_METHOD_GET, text, len),
		                 lines <= 8 ? HTTP_OK : HTTP_ERROR_LINE);
		struct http_scan scan = {0};
		if (lines > 8)
			continue;
		assert_int_equal(http_scan(&scan, HTTP_REQUEST, text, len), (int)len);
		assert_int_equal(scan.skipped, lines * 2);
	}
}

/* What follows the head is not looked at. */
static void
test_pipeline(void **state)
{
	(void)state;
	struct str text = STR(GET "\r\n\n\0\xff");
	struct http_scan scan = {0};
	assert_int_equal(http_scan(&scan, HTTP_REQUEST, text.data, text.len), (int)strlen(GET "\r\n"));
}

static void
test_scan_end(void **state)
{
	(void)state;
	static const struct {
		enum http_kind kind;
		struct str text;
		enum http_error error;
	} rows[] = {
		{HTTP_REQUEST, STR(""), HTTP_OK},
		{HTTP_REQUEST, STR("\r\n"), HTTP_OK},
		{HTTP_REQUEST, STR("\r"), HTTP_OK},
		{HTTP_REQUEST, STR("GE"), HTTP_OK},
		{HTTP_REQUEST, STR("GET / HT"), HTTP_OK},
		{HTTP_REQUEST, STR("GET / HTTP/1.1\r"), HTTP_OK},
		{HTTP_REQUEST, STR("GE(T"), HTTP_ERROR_METHOD},
		{HTTP_REQUEST, STR("GET\r"), HTTP_ERROR_LINE},
		{HTTP_REQUEST, STR(GET), HTTP_OK},
		{HTTP_REQUEST, STR(GET "X"), HTTP_OK},
		{HTTP_REQUEST, STR(GET "X: a\r"), HTTP_OK},
		{HTTP_REQUEST, STR(GET "X: a\r\n\r"), HTTP_OK},
		{HTTP_REQUEST, STR(GET "X : a\r\n"), HTTP_ERROR_FIELD_NAME},
		{HTTP_REQUEST, STR(GET "X: a\r\nY Z"), HTTP_ERROR_FIELD_NAME},
		{HTTP_REQUEST, STR("GET a HTTP/1.1\r\n" HOST), HTTP_ERROR_TARGET},
		{HTTP_RESPONSE, STR("HTT"), HTTP_OK},
		{HTTP_RESPONSE, STR("HTTP/1.1 2"), HTTP_OK},
		{HTTP_RESPONSE, STR("Hello"), HTTP_ERROR_STATUS},
		{HTTP_RESPONSE, STR(OK200 "Content-Le"), HTTP_OK},
	};
	for (size_t i = 0; i < array_count(rows); i++) {
		struct http_scan scan = {0};
		char *copy = heads_copy(rows[i].text.data, rows[i].text.len);
		assert_int_equal(http_scan(&scan, rows[i].kind, copy, rows[i].text.len), 0);
		assert_int_equal(http_scan_end(&scan, rows[i].kind, copy, rows[i].text.len), rows[i].error);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_limit),  cmocka_unit_test(test_head_limit),
		cmocka_unit_test(test_field_limit), cmocka_unit_test(test_empty_lines),
		cmocka_unit_test(test_pipeline),    cmocka_unit_test(test_scan_end),
	};
	return cmocka_run_group_tests_name("http_scan", tests, NULL, NULL);
}
