#include "http_heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct error_case {
	struct str head;
	enum http_error error;
};

static const struct error_case request_errors[] = {
	/* request line, RFC 9112 section 3 */
	{STR("GET / HTTP/1.1\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET /\r\n\r\n"), HTTP_ERROR_LINE},
	{STR("GET\r\n\r\n"), HTTP_ERROR_LINE},
	{STR("GET  / HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_LINE},
	{STR("GET /  HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_LINE},
	{STR("GET / HTTP/1.1 \r\n" HOST "\r\n"), HTTP_ERROR_LINE},
	{STR("GET / \r\n" HOST "\r\n"), HTTP_ERROR_LINE},
	{STR("GET HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_LINE},
	{STR("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_LINE},
	{STR("GET /\tHTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_LINE},
	{STR("*1\r\n$4\r\nINFO\r\n"), HTTP_ERROR_LINE},
	{STR("EHLO mail.example\r\n"), HTTP_ERROR_LINE},
	{STR("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), HTTP_ERROR_LINE},
	{STR(" GET / HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_METHOD},
	{STR("GE(T / HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_METHOD},
	{STR("G\xff / HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_METHOD},
	{STR("\xff\xff\xff"), HTTP_ERROR_METHOD},
	{STR("<html>"), HTTP_ERROR_METHOD},
	{STR("GET a HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET * HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("OPTIONS ** HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET /?a#b HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET /\x80 HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET /\xc3\xa9"), HTTP_ERROR_TARGET},
	{STR("GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET http:/a HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET http:///a HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET http://:80/ HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET http://a:8x/ HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET http://a:65536/ HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET a:80 HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_TARGET},
	{STR("GET / HTTP/1\r\n" HOST "\r\n"), HTTP_ERROR_VERSION},
	{STR("GET / HTTP/1.\r\n" HOST "\r\n"), HTTP_ERROR_VERSION},
	{STR("GET / HTTP/1.x\r\n" HOST "\r\n"), HTTP_ERROR_VERSION},
	{STR("GET / HTTP/1.10\r\n" HOST "\r\n"), HTTP_ERROR_VERSION},
	{STR("GET / HTTP/01.1\r\n" HOST "\r\n"), HTTP_ERROR_VERSION},
	{STR("GET / http/1.1\r\n" HOST "\r\n"), HTTP_ERROR_VERSION},
	{STR("GET / ICE/1.0\r\n" HOST "\r\n"), HTTP_ERROR_VERSION},
	{STR("GET / HTTP/-.1\r\n" HOST "\r\n"), HTTP_ERROR_VERSION},
	{STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HTTP_ERROR_VERSION_MAJOR},
	{STR("GET / HTTP/0.9\r\n" HOST "\r\n"), HTTP_ERROR_VERSION_MAJOR},
	{STR("TRACE / HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_METHOD_REFUSED},
	{STR("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), HTTP_ERROR_METHOD_REFUSED},
	/* line ends and octets, sections 2.2 and 5.5 of RFC 9110 */
	{STR("\n"), HTTP_ERROR_LINE_END},
	{STR("\rG"), HTTP_ERROR_LINE_END},
	{STR("GET / HTTP/1.1\n" HOST "\r\n"), HTTP_ERROR_LINE_END},
	{STR("GET / HTTP/1.1\rX"), HTTP_ERROR_LINE_END},
	{STR("GET / HTTP/1.1\r\r\n" HOST "\r\n"), HTTP_ERROR_LINE_END},
	{STR(GET "X: a\n\r\n"), HTTP_ERROR_LINE_END},
	{STR(GET "X: a\rb\r\n\r\n"), HTTP_ERROR_LINE_END},
	{STR(GET "X: a\r\r\n\r\n"), HTTP_ERROR_LINE_END},
	{STR(GET "X: a\r\n\rX"), HTTP_ERROR_LINE_END},
	{STR(GET "X: a\r\n\n"), HTTP_ERROR_LINE_END},
	{STR("\x16\x03\x01"), HTTP_ERROR_OCTET},
	{STR("\0"), HTTP_ERROR_OCTET},
	{STR("\r\n\r\n\0\r\nQUIT\n"), HTTP_ERROR_OCTET},
	{STR("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_OCTET},
	{STR("GET /\x7f HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_OCTET},
	{STR("GET\f/ HTTP/1.1\r\n" HOST "\r\n"), HTTP_ERROR_OCTET},
	{STR("GET / HTTP/1.1\v\r\n" HOST "\r\n"), HTTP_ERROR_OCTET},
	{STR(GET "X: a\0b\r\n\r\n"), HTTP_ERROR_OCTET},
	{STR(GET "X: a\x1b[m\r\n\r\n"), HTTP_ERROR_OCTET},
	{STR(GET "X: a\x7f\r\n\r\n"), HTTP_ERROR_OCTET},
	{STR(GET "X\1: a\r\n\r\n"), HTTP_ERROR_OCTET},
	/* field lines, RFC 9112 section 5 */
	{STR(GET "X : a\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(GET "X\t: a\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(GET ": a\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(GET ":\r\nX: 1\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(GET "X\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(GET "X(Y: a\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(GET "X\xff: a\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(GET "A-quite-long-field-name-with-a-blank in-it: a\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(GET "X: a\r\n b\r\n\r\n"), HTTP_ERROR_FIELD_FOLD},
	{STR(GET "X: a\r\n\tb\r\n\r\n"), HTTP_ERROR_FIELD_FOLD},
	{STR("GET / HTTP/1.1\r\n " HOST "\r\n"), HTTP_ERROR_FIELD_FOLD},
	{STR(GET "X: a\r\n \r\n\r\n"), HTTP_ERROR_FIELD_FOLD},
	/* Host, section 3.2 */
	{STR(GET HOST "\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), HTTP_ERROR_HOST},
	{STR("GET http://a/ HTTP/1.1\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: <a>\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a%4\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: a:99999999999999999999\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: []\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: [::1]80\r\n\r\n"), HTTP_ERROR_HOST},
	{STR("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"), HTTP_ERROR_HOST},
	/* framing, section 6 */
	{STR(GET "Content-Length: \r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: +1\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: -1\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: 0x1\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: 1 1\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: 1,1\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: 1,\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: \xa0"
                 "1\r\n\r\n"),
         HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: 9223372036854775808\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: 18446744073709551621\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length:\r\ncontent-length: 1\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(GET "Content-Length: 9223372036854775807\r\n\r\n"), HTTP_ERROR_LENGTH_TOO_LARGE},
	{STR(GET "Content-Length: 1152921504606846977\r\n\r\n"), HTTP_ERROR_LENGTH_TOO_LARGE},
	{STR(GET "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_ERROR_LENGTH_AND_CODING},
	{STR(GET "Transfer-Encoding: cow\r\nContent-Length: 5\r\n\r\n"), HTTP_ERROR_LENGTH_AND_CODING},
	{STR(GET "Transfer-Encoding:\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: gzip\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: identity\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked, gzip\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked, cow\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked, chunked\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: ,chunked\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked,\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: \"chunked\"\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked;a=b\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked\x85\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: chunked cow\r\n\r\n"), HTTP_ERROR_CODING},
	{STR(GET "Transfer-Encoding: gzip, chunked\r\n\r\n"), HTTP_ERROR_CODING_UNKNOWN},
	{STR(GET "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_ERROR_CODING_UNKNOWN},
	{STR(GET "Transfer-Encoding: chunk\r\n\r\n"), HTTP_ERROR_CODING_UNKNOWN},
	{STR(GET "Transfer-Encoding: xchunked\r\n\r\n"), HTTP_ERROR_CODING_UNKNOWN},
	{STR(GET "Transfer-Encoding: 'chunked'\r\n\r\n"), HTTP_ERROR_CODING_UNKNOWN},
	{STR("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_ERROR_CODING_VERSION},
	{STR("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"), HTTP_ERROR_CODING_VERSION},
	/* Connection, Expect, Upgrade: RFC 9110 sections 7.6.1, 10.1.1, 7.8 */
	{STR(GET "Connection: a b\r\n\r\n"), HTTP_ERROR_CONNECTION},
	{STR(GET "Connection: close, \"x\"\r\n\r\n"), HTTP_ERROR_CONNECTION},
	{STR(GET "Connection: close\r\nConnection: @\r\n\r\n"), HTTP_ERROR_CONNECTION},
	{STR(GET "Expect: 200-ok\r\n\r\n"), HTTP_ERROR_EXPECT},
	{STR(GET "Expect: 100-continue, x\r\n\r\n"), HTTP_ERROR_EXPECT},
	{STR(GET "Expect: x=1\r\n\r\n"), HTTP_ERROR_EXPECT},
	{STR(GET "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n"), HTTP_ERROR_UPGRADE_BODY},
	{STR(GET "Connection: Upgrade\r\nUpgrade: a\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_ERROR_UPGRADE_BODY},
};

static const struct error_case response_errors[] = {
	{STR("HTP/1.1 200 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1 200OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1 20 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1 099 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1 600 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1 1000 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1 abc OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1  200 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1\t200 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/2.0 200 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.10 200 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR(" HTTP/1.1 200 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("\r\nHTTP/1.1 200 OK\r\n\r\n"), HTTP_ERROR_STATUS},
	{STR("Status: 200 OK\r\n"), HTTP_ERROR_STATUS},
	{STR("<html>"), HTTP_ERROR_STATUS},
	{STR("HTTP/1.1 200 a\x1b[31m\r\n\r\n"), HTTP_ERROR_OCTET},
	{STR("\0\1\2"), HTTP_ERROR_OCTET},
	{STR("HTTP/1.1 200 OK\n\n"), HTTP_ERROR_LINE_END},
	{STR(OK200 "X: a\rb: c\r\n\r\n"), HTTP_ERROR_LINE_END},
	{STR(OK200 "X: a\0\r\n\r\n"), HTTP_ERROR_OCTET},
	{STR(OK200 "X: a\r\n b\r\n\r\n"), HTTP_ERROR_FIELD_FOLD},
	{STR(OK200 "X : a\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(OK200 "X(: a\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(OK200 "Junk\r\n\r\n"), HTTP_ERROR_FIELD_NAME},
	{STR(OK200 "Content-Length: 2\r\nContent-Length: 2\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(OK200 "Content-Length: 2, 3\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(OK200 "Content-Length: 9223372036854775807\r\n\r\n"), HTTP_ERROR_LENGTH_TOO_LARGE},
	{STR("HTTP/1.1 304 X\r\nContent-Length: x\r\n\r\n"), HTTP_ERROR_LENGTH},
	{STR(OK200 "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_ERROR_LENGTH_AND_CODING},
	{STR(OK200 "Transfer-Encoding: cow\r\n\r\n"), HTTP_ERROR_CODING_UNKNOWN},
	{STR(OK200 "Transfer-Encoding: chunked, chunked\r\n\r\n"), HTTP_ERROR_CODING},
	{STR("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_ERROR_CODING_VERSION},
	{STR(OK200 "Connection: a b\r\n\r\n"), HTTP_ERROR_CONNECTION},
};

static void
test_request_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(request_errors); i++) {
		int error = heads_read_request(request_errors[i].head);
		if (error != (int)request_errors[i].error)
			fail_msg("row %zu: error %d, not %d: %.*s", i, error, (int)request_errors[i].error,
			         STR_ARG(request_errors[i].head));
	}
}

static void
test_response_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(response_errors); i++) {
		int error = heads_read_response(response_errors[i].head);
		if (error != (int)response_errors[i].error)
			fail_msg("row %zu: error %d, not %d: %.*s", i, error, (int)response_errors[i].error,
			         STR_ARG(response_errors[i].head));
	}
}

/* Every error has a row, and a case here: the limits have their own tests. */
static void
test_error_rows(void **state)
{
	(void)state;
	bool covered[HTTP_ERROR_N] = {
		[HTTP_OK] = true,
		[HTTP_ERROR_LINE_TOO_LONG] = true,
		[HTTP_ERROR_HEAD_TOO_LARGE] = true,
		[HTTP_ERROR_TOO_MANY_FIELDS] = true,
	};
	for (size_t i = 0; i < array_count(request_errors); i++)
		covered[request_errors[i].error] = true;
	for (size_t i = 0; i < array_count(response_errors); i++)
		covered[response_errors[i].error] = true;
	for (enum http_error error = HTTP_OK; error < HTTP_ERROR_N; error++) {
		assert_true(covered[error]);
		assert_true(http_error_row(error)->status >= 200);
		assert_true(strlen(http_error_row(error)->text) > 0);
	}
	assert_int_equal(http_error_row(HTTP_ERROR_VERSION_MAJOR)->status, 505);
	assert_int_equal(http_error_row(HTTP_ERROR_METHOD_REFUSED)->status, 405);
	assert_int_equal(http_error_row(HTTP_ERROR_LENGTH_TOO_LARGE)->status, 413);
	assert_int_equal(http_error_row(HTTP_ERROR_LINE_TOO_LONG)->status, 414);
	assert_int_equal(http_error_row(HTTP_ERROR_EXPECT)->status, 417);
	assert_int_equal(http_error_row(HTTP_ERROR_HEAD_TOO_LARGE)->status, 431);
	assert_int_equal(http_error_row(HTTP_ERROR_CODING_UNKNOWN)->status, 501);
}

static void
test_reasons(void **state)
{
	(void)state;
	heads_assert_str(http_reason(200), "OK");
	heads_assert_str(http_reason(100), "Continue");
	heads_assert_str(http_reason(404), "Not Found");
	heads_assert_str(http_reason(431), "Request Header Fields Too Large");
	heads_assert_str(http_reason(511), "Network Authentication Required");
	heads_assert_str(http_reason(599), "Unknown");
	heads_assert_str(http_reason(0), "Unknown");
	for (enum http_error error = HTTP_ERROR_LINE; error < HTTP_ERROR_N; error++)
		assert_false(str_equal(http_reason(http_error_row(error)->status), STR("Unknown")));
}

static void
test_dates(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		const char *text;
	} rows[] = {
		{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{-5, "Thu, 01 Jan 1970 00:00:00 GMT"},           {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},    {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
		{4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},   {1735689599, "Tue, 31 Dec 2024 23:59:59 GMT"},
		{253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"}, {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
	};
	char text[30];
	for (size_t i = 0; i < array_count(rows); i++) {
		http_date(text, rows[i].seconds);
		assert_string_equal(text, rows[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_errors), cmocka_unit_test(test_response_errors),
		cmocka_unit_test(test_error_rows),     cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_dates),
	};
	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
