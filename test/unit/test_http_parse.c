#include "http_heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct target_case {
	struct str head;
	const char *target, *authority, *path, *query; /* query NULL: there is none */
};

static const struct target_case target_cases[] = {
	{STR(GET "\r\n"), "/", "a", "/", NULL},
	{STR("GET /a?b?c=/ HTTP/1.1\r\n" HOST "\r\n"), "/a?b?c=/", "a", "/a", "b?c=/"},
	{STR("GET /a? HTTP/1.1\r\n" HOST "\r\n"), "/a?", "a", "/a", ""},
	{STR("GET //a HTTP/1.1\r\n" HOST "\r\n"), "//a", "a", "//a", NULL},
	{STR("GET /%41%2F%2e/ HTTP/1.1\r\n" HOST "\r\n"), "/%41%2F%2e/", "a", "/%41%2F%2e/", NULL},
	{STR("GET /b?x={|}^`\"<>\\ HTTP/1.1\r\n" HOST "\r\n"), "/b?x={|}^`\"<>\\", "a", "/b", "x={|}^`\"<>\\"},
	{STR("GET http://b:1/x?y HTTP/1.1\r\n" HOST "\r\n"), "http://b:1/x?y", "b:1", "/x", "y"},
	{STR("GET HTTPS://[::1]:8/x HTTP/1.1\r\n" HOST "\r\n"), "HTTPS://[::1]:8/x", "[::1]:8", "/x", NULL},
	{STR("GET http://b HTTP/1.1\r\n" HOST "\r\n"), "http://b", "b", "/", NULL},
	{STR("GET http://b?y=/ HTTP/1.1\r\n" HOST "\r\n"), "http://b?y=/", "b", "/", "y=/"},
	{STR("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), "*", "a", "*", NULL},
	{STR("OPTIONS /x HTTP/1.1\r\n" HOST "\r\n"), "/x", "a", "/x", NULL},
	{STR("GET / HTTP/1.1\r\nHost:\r\n\r\n"), "/", "", "/", NULL},
	{STR("GET / HTTP/1.0\r\n\r\n"), "/", "", "/", NULL},
	{STR("GET / HTTP/1.1\r\nHost: a_b.C-d~%41:65535\r\n\r\n"), "/", "a_b.C-d~%41:65535", "/", NULL},
	{STR("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), "/", "a:", "/", NULL},
	{STR("GET / HTTP/1.1\r\nHost: [2001:db8::1.2.3.4]\r\n\r\n"), "/", "[2001:db8::1.2.3.4]", "/", NULL},
};

static void
test_targets(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(target_cases); i++) {
		const struct target_case *row = &target_cases[i];
		assert_int_equal(heads_read_request(row->head), HTTP_OK);
		heads_assert_str(heads_request.target, row->target);
		heads_assert_str(heads_request.authority, row->authority);
		heads_assert_str(heads_request.path, row->path);
		assert_int_equal(heads_request.query.data != NULL, row->query != NULL);
		if (row->query != NULL)
			heads_assert_str(heads_request.query, row->query);
	}
}

static void
test_methods(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum http_method id;
	} rows[] = {
		{"GET", HTTP_METHOD_GET},         {"HEAD", HTTP_METHOD_HEAD},
		{"POST", HTTP_METHOD_POST},       {"PUT", HTTP_METHOD_PUT},
		{"DELETE", HTTP_METHOD_DELETE},   {"PATCH", HTTP_METHOD_PATCH},
		{"OPTIONS", HTTP_METHOD_OPTIONS}, {"get", HTTP_METHOD_OTHER},
		{"GOT", HTTP_METHOD_OTHER},       {"PROPFIND", HTTP_METHOD_OTHER},
		{"M-SEARCH", HTTP_METHOD_OTHER},  {"trace", HTTP_METHOD_OTHER},
		{"X", HTTP_METHOD_OTHER},         {"!#$%&'*+-.^_`|~", HTTP_METHOD_OTHER},
	};
	for (size_t i = 0; i < array_count(rows); i++) {
		char text[100];
		assert_true(str_format(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST "\r\n", rows[i].name));
		assert_int_equal(heads_read_request(str_from(text)), HTTP_OK);
		heads_assert_str(heads_request.method, rows[i].name);
		assert_int_equal(heads_request.method_id, rows[i].id);
		bool safe = i == 0 || i == 1 || i == 6;
		assert_int_equal(http_method_safe(heads_request.method_id), safe);
	}
}

struct request_case {
	struct str head;
	bool keep_alive, expect_continue;
	enum http_framing framing;
	uint64_t content_length;
	const char *upgrade;
};

static const struct request_case request_cases[] = {
	{STR(GET "\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR("GET / HTTP/1.2\r\n" HOST "\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR("GET / HTTP/1.0\r\n\r\n"), false, false, HTTP_FRAMING_NONE, 0, ""},
	{STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR("GET / HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET "Connection: CLOSE\r\n\r\n"), false, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET "Connection: keep-alive\r\nConnection: ,close\r\n\r\n"), false, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET "Connection: keep-alive, close\r\n\r\n"), false, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET "Connection:\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET "Content-Length: 5\r\n\r\n"), true, false, HTTP_FRAMING_LENGTH, 5, ""},
	{STR(GET "Content-Length: \t 0005\t \r\n\r\n"), true, false, HTTP_FRAMING_LENGTH, 5, ""},
	{STR(GET "Content-Length:0\r\n\r\n"), true, false, HTTP_FRAMING_LENGTH, 0, ""},
	{STR(GET "Content-Length: 1152921504606846976\r\n\r\n"), true, false, HTTP_FRAMING_LENGTH, UINT64_C(1) << 60, ""},
	{STR(GET CHUNKED "\r\n"), true, false, HTTP_FRAMING_CHUNKED, 0, ""},
	{STR(GET "tRANSFER-eNCODING: \tcHuNkEd\t\r\n\r\n"), true, false, HTTP_FRAMING_CHUNKED, 0, ""},
	{STR(GET CHUNKED "Expect: 100-Continue\r\n\r\n"), true, true, HTTP_FRAMING_CHUNKED, 0, ""},
	{STR(GET "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n"), true, true, HTTP_FRAMING_LENGTH, 1, ""},
	{STR(GET "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n"), true, false, HTTP_FRAMING_LENGTH, 0, ""},
	{STR(GET "Expect: 100-continue\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET CHUNKED "Expect: y 100-continue\r\n\r\n"), true, false, HTTP_FRAMING_CHUNKED, 0, ""},
	{STR("GET / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"), false, false, HTTP_FRAMING_LENGTH,
         1, ""},
	{STR(GET UPGRADE "websocket\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, "websocket"},
	{STR(GET UPGRADE "websocket\r\nContent-Length: 0\r\n\r\n"), true, false, HTTP_FRAMING_LENGTH, 0, "websocket"},
	{STR(GET UPGRADE "h2c\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET UPGRADE "websocket, H2C\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET UPGRADE "h2c\r\n" CHUNKED "\r\n"), true, false, HTTP_FRAMING_CHUNKED, 0, ""},
	{STR(GET UPGRADE "a\r\nUpgrade: b\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR(GET "Upgrade: websocket\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
	{STR("GET / HTTP/1.0\r\n" UPGRADE "websocket\r\n\r\n"), true, false, HTTP_FRAMING_NONE, 0, ""},
};

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(request_cases); i++) {
		const struct request_case *row = &request_cases[i];
		int error = heads_read_request(row->head);
		if (error != HTTP_OK)
			fail_msg("row %zu: error %d: %.*s", i, error, STR_ARG(row->head));
		assert_int_equal(heads_request.keep_alive, row->keep_alive);
		assert_int_equal(heads_request.expect_continue, row->expect_continue);
		assert_int_equal(heads_request.framing, row->framing);
		assert_int_equal(heads_request.content_length, row->content_length);
		heads_assert_str(heads_request.upgrade, row->upgrade);
	}
	assert_int_equal(heads_read_request(STR("GET / HTTP/1.9\r\n" HOST "\r\n")), HTTP_OK);
	assert_int_equal(heads_request.minor, 1);
	assert_int_equal(heads_read_request(STR("GET / HTTP/1.0\r\n\r\n")), HTTP_OK);
	assert_int_equal(heads_request.minor, 0);
}

struct response_case {
	struct str head;
	enum http_method method;
	uint16_t status;
	const char *reason;
	bool keep_alive;
	enum http_framing framing;
	bool has_content_length;
	uint64_t content_length;
	const char *upgrade;
};

static const struct response_case response_cases[] = {
	{STR(OK200 "Content-Length: 2\r\n\r\n"), HTTP_METHOD_GET, 200, "OK", true, HTTP_FRAMING_LENGTH, true, 2, ""},
	{STR(OK200 CHUNKED "\r\n"), HTTP_METHOD_GET, 200, "OK", true, HTTP_FRAMING_CHUNKED, false, 0, ""},
	{STR(OK200 "\r\n"), HTTP_METHOD_GET, 200, "OK", false, HTTP_FRAMING_CLOSE, false, 0, ""},
	{STR("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n"), HTTP_METHOD_GET, 200, "OK", false, HTTP_FRAMING_LENGTH,
         true, 2, ""},
	{STR("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n"), HTTP_METHOD_GET, 200, "OK",
         true, HTTP_FRAMING_LENGTH, true, 2, ""},
	{STR("HTTP/1.1 200 \r\nContent-Length: 2\r\nConnection: close\r\n\r\n"), HTTP_METHOD_GET, 200, "", false,
         HTTP_FRAMING_LENGTH, true, 2, ""},
	{STR("HTTP/1.1 404\r\nContent-Length: 2\r\n\r\n"), HTTP_METHOD_GET, 404, "", true, HTTP_FRAMING_LENGTH, true, 2,
         ""},
	{STR("HTTP/1.1 599 caf\xe9\t!\r\nContent-Length: 0\r\n\r\n"), HTTP_METHOD_GET, 599, "caf\xe9\t!", true,
         HTTP_FRAMING_LENGTH, true, 0, ""},
	{STR(OK200 "Content-Length: 2\r\n\r\n"), HTTP_METHOD_HEAD, 200, "OK", true, HTTP_FRAMING_NONE, true, 2, ""},
	{STR(OK200 CHUNKED "\r\n"), HTTP_METHOD_HEAD, 200, "OK", true, HTTP_FRAMING_NONE, false, 0, ""},
	{STR(OK200 "\r\n"), HTTP_METHOD_HEAD, 200, "OK", true, HTTP_FRAMING_NONE, false, 0, ""},
	{STR("HTTP/1.1 204 No Content\r\n\r\n"), HTTP_METHOD_GET, 204, "No Content", true, HTTP_FRAMING_NONE, false, 0,
         ""},
	{STR("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), HTTP_METHOD_GET, 304, "Not Modified", true,
         HTTP_FRAMING_NONE, true, 5, ""},
	{STR("HTTP/1.1 100 Continue\r\n\r\n"), HTTP_METHOD_GET, 100, "Continue", true, HTTP_FRAMING_NONE, false, 0, ""},
	{STR("HTTP/1.1 101 X\r\n" UPGRADE "websocket\r\n\r\n"), HTTP_METHOD_GET, 101, "X", false, HTTP_FRAMING_NONE,
         false, 0, "websocket"},
	{STR("HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"), HTTP_METHOD_GET, 101, "X", false, HTTP_FRAMING_NONE,
         false, 0, ""},
	{STR(OK200 UPGRADE "websocket\r\nContent-Length: 1\r\n\r\n"), HTTP_METHOD_GET, 200, "OK", true,
         HTTP_FRAMING_LENGTH, true, 1, ""},
};

static void
test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(response_cases); i++) {
		const struct response_case *row = &response_cases[i];
		int error = heads_read(HTTP_RESPONSE, row->method, row->head.data, row->head.len);
		if (error != HTTP_OK)
			fail_msg("row %zu: error %d: %.*s", i, error, STR_ARG(row->head));
		assert_int_equal(heads_response.status, row->status);
		heads_assert_str(heads_response.reason, row->reason);
		assert_int_equal(heads_response.keep_alive, row->keep_alive);
		assert_int_equal(heads_response.framing, row->framing);
		assert_int_equal(heads_response.has_content_length, row->has_content_length);
		assert_int_equal(heads_response.content_length, row->content_length);
		heads_assert_str(heads_response.upgrade, row->upgrade);
	}
}

/* Which of the fields of a head are hop-by-hop, as a string of 0 and 1. */
static void
assert_hops(struct str head, const char *hops)
{
	assert_int_equal(heads_read_request(head), HTTP_OK);
	assert_int_equal(heads_request.field_count, strlen(hops));
	for (uint32_t i = 0; i < heads_request.field_count; i++)
		if ((heads_request.fields[i].flags & HTTP_FIELD_HOP) != (hops[i] == '1' ? HTTP_FIELD_HOP : 0))
			fail_msg("field %u of %.*s", i, STR_ARG(head));
}

static void
test_hop_by_hop(void **state)
{
	(void)state;
	assert_hops(STR(GET "X-A: 1\r\nConnection: x-a, close\r\nX-A: 2\r\nX-AB: 1\r\n\r\n"), "01110");
	assert_hops(STR(GET "Connection: x-a\r\nConnection: X-B\r\nX-A: 1\r\nX-B: 2\r\n\r\n"), "01111");
	assert_hops(STR(GET "Connection: Host, Content-Length, X-Forwarded-For, X-Forwarded-Server\r\nX-Forwarded-For: "
	                    "1\r\nContent-Length: 1\r\nX-Forwarded-Server: 1\r\n\r\n"),
	            "01000");
	assert_hops(STR(GET "Connection: X-Passenger-Connect-Password, X-Passenger-A\r\nX-Passenger-Connect-Password: "
	                    "1\r\nX-Passenger-A: 1\r\n\r\n"),
	            "0100");
	assert_hops(STR(GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"),
	            "0111");
	assert_hops(STR(GET "Connection: x_a\r\nX_A: 1\r\nCookie: 1\r\n\r\n"), "0110");
}

/* Many options in Connection would each be compared with every field. */
static void
test_connection_limit(void **state)
{
	(void)state;
	char text[2000] = GET "Connection: ";
	for (int options = 32; options <= 33; options++) {
		size_t len = strlen(GET "Connection: ");
		for (int i = 0; i < options; i++, len += 2)
			memcpy(text + len, "a,", 2);
		memcpy(text + len, "\r\n\r\n", 4);
		assert_int_equal(heads_read_large(text, len + 4), options == 32 ? HTTP_OK : HTTP_ERROR_CONNECTION);
	}
}

/* The parser by itself refuses what no scan has measured. */
static void
test_parse_alone(void **state)
{
	(void)state;
	struct str whole = STR(GET "X-Abc: def\r\nContent-Length: 5\r\n\r\n");
	for (size_t len = 0; len < whole.len; len++) {
		char *copy = heads_copy(whole.data, len);
		assert_int_not_equal(http_parse_request(&heads_request, copy, len, 0), HTTP_OK);
		free(copy);
	}
	char *copy = heads_copy(GET "\r\nX", strlen(GET "\r\nX"));
	assert_int_equal(http_parse_request(&heads_request, copy, strlen(GET "\r\nX"), 0), HTTP_ERROR_LINE_END);
	free(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),     cmocka_unit_test(test_methods),
		cmocka_unit_test(test_requests),    cmocka_unit_test(test_responses),
		cmocka_unit_test(test_hop_by_hop),  cmocka_unit_test(test_connection_limit),
		cmocka_unit_test(test_parse_alone),
	};
	return cmocka_run_group_tests_name("http_parse", tests, NULL, NULL);
}
