/* What an application is told of a request: the environment, or an HTTP head. */
#include "http_heads.h"
#include "base/buf.h"
#include "traffic/forward.h"
#include "wire/session_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { OUT_BYTES = HTTP_HEAD_BYTES_MAX + 40 * 1024 };

static char out[OUT_BYTES + FORWARD_FINISH_BYTES];
static size_t out_len;
static char base_uri[64];
static struct app_config app = {.name = base_uri, .base_uri = base_uri};
static struct forward forward;

/* Parses the head and sets what the tests do not care about. */
static void
given(struct str head)
{
	assert_int_equal(heads_read_request(head), HTTP_OK);
	str_cut_z(base_uri, sizeof(base_uri), STR("/"));
	forward = (struct forward){
		.http = &heads_request,
		.app = &app,
		.peer = STR("192.0.2.7"),
		.peer_port = 4711,
		.request_id = STR("the-id"),
		.received_us = 1234567890123456,
	};
}

static void
write_session(void)
{
	out_len = forward_session(&forward, out, sizeof(out));
	assert_true(out_len > SESSION_FRAME_BYTES);
	assert_int_equal(out[out_len - 1], 0);
}

/* The value of a variable, its last one; NULL: not there. Doubled names fail the test, unless the last value joins the others. */
static const char *
variable(const char *name)
{
	const char *value = NULL, *others[HTTP_FIELDS_MAX];
	size_t other_count = 0;
	for (size_t at = SESSION_FRAME_BYTES; at < out_len;) {
		const char *key = out + at;
		const char *its = key + strlen(key) + 1;
		if (strcmp(key, name) == 0) {
			if (value != NULL)
				others[other_count++] = value;
			value = its;
		}
		at = (size_t)(its + strlen(its) + 1 - out);
		assert_true(at <= out_len);
	}
	const char *rest = value;
	for (size_t i = 0; i < other_count; i++) {
		if (i > 0)
			assert_int_equal(strncmp(rest, ", ", 2), 0);
		rest += i > 0 ? 2 : 0;
		assert_int_equal(strncmp(rest, others[i], strlen(others[i])), 0);
		rest += strlen(others[i]);
	}
	assert_true(other_count == 0 || (other_count > 1 && *rest == '\0'));
	return value;
}

static void
assert_variable(const char *name, const char *expected)
{
	const char *value = variable(name);
	if (expected == NULL ? value != NULL : value == NULL || strcmp(value, expected) != 0)
		fail_msg("%s is '%s', not '%s'", name, value ? value : "(none)", expected ? expected : "(none)");
}

/* ---- the environment ---- */

static void
test_plain(void **state)
{
	static const char *const expected[][2] = {
		{"REQUEST_METHOD", "GET"},
		{"SCRIPT_NAME", ""},
		{"PATH_INFO", "/a%20b"},
		{"QUERY_STRING", "c=d&e"},
		{"REQUEST_URI", "/a%20b?c=d&e"},
		{"SERVER_PROTOCOL", "HTTP/1.1"},
		{"SERVER_NAME", "example.org"},
		{"SERVER_PORT", "8080"},
		{"REMOTE_ADDR", "192.0.2.7"},
		{"REMOTE_PORT", "4711"},
		{"HTTP_HOST", "example.org:8080"},
		{"HTTP_ACCEPT", "text/html"},
		{"HTTP_X_ODD_NAME_2", "v"},
		{"CONTENT_TYPE", "a/b"},
		{"HTTP_X_REQUEST_ID", "the-id"},
		{"HTTP_X_REQUEST_START", "t=1234567890123456"},
		{"HTTPS", NULL},
		{"REMOTE_USER", NULL},
		{"HTTP_CONTENT_TYPE", NULL},
		{"CONTENT_LENGTH", NULL},
	};
	(void)state;
	given(STR("GET /a%20b?c=d&e HTTP/1.1\r\nHost: example.org:8080\r\nAccept: text/html\r\n"
	          "x-Odd-name-2: v\r\nContent-Type: a/b\r\n\r\n"));
	write_session();
	for (size_t i = 0; i < array_count(expected); i++)
		assert_variable(expected[i][0], expected[i][1]);
}

static void
test_hosts(void **state)
{
	static const struct {
		struct str head;
		const char *name, *port, *host;
	} cases[] = {
		{STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "a", "80", "a"},
		{STR("GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n"), "[::1]", "81", "[::1]:81"},
		{STR("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"), "[::1]", "80", "[::1]"},
		{STR("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), "a", "80", "a:"},
		{STR("GET / HTTP/1.1\r\nHost:\r\n\r\n"), "localhost", "80", NULL},
		{STR("GET / HTTP/1.0\r\n\r\n"), "localhost", "80", NULL},
		{STR("GET http://b:82/ HTTP/1.1\r\nHost: a\r\n\r\n"), "b", "82", "b:82"},
	};
	(void)state;
	for (size_t i = 0; i < array_count(cases); i++) {
		given(cases[i].head);
		write_session();
		assert_variable("SERVER_NAME", cases[i].name);
		assert_variable("SERVER_PORT", cases[i].port);
		assert_variable("HTTP_HOST", cases[i].host);
	}
	assert_variable("QUERY_STRING", "");
	given(STR("GET /? HTTP/1.0\r\n\r\n"));
	write_session();
	assert_variable("SERVER_PROTOCOL", "HTTP/1.0");
	assert_variable("REQUEST_URI", "/?");
	given(STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
	forward.peer = str_make(NULL, 0); /* a unix socket */
	write_session();
	assert_variable("REMOTE_ADDR", "127.0.0.1");
}

static void
test_base_uri(void **state)
{
	static const struct {
		const char *base, *target, *script, *path;
	} cases[] = {
		{"/", "/shop/a", "", "/shop/a"},
		{"/shop", "/shop/a?b", "/shop", "/a"},
		{"/shop", "/shop", "/shop", ""},
		{"/shop", "/shop/", "/shop", "/"},
		{"/shop", "/shop//a%2fb", "/shop", "//a%2fb"},
		{"/a/b", "/a/b/c", "/a/b", "/c"},
	};
	(void)state;
	for (size_t i = 0; i < array_count(cases); i++) {
		char head[128];
		assert_true(str_format(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].target));
		given(str_from(head));
		str_cut_z(base_uri, sizeof(base_uri), str_from(cases[i].base));
		write_session();
		assert_variable("SCRIPT_NAME", cases[i].script);
		assert_variable("PATH_INFO", cases[i].path);
		assert_variable("REQUEST_URI", cases[i].target);
	}
	given(STR("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"));
	str_cut_z(base_uri, sizeof(base_uri), STR("/shop"));
	write_session();
	assert_variable("PATH_INFO", "*");
	assert_variable("SCRIPT_NAME", "");
}

static const struct str forwarded_head = STR("GET / HTTP/1.1\r\nHost: inner:3000\r\n"
                                             "X-Forwarded-For: 203.0.113.1, 203.0.113.2\r\n"
                                             "X-Forwarded-For: 203.0.113.3,  203.0.113.4 \r\n"
                                             "X-Forwarded-Proto: http, HTTPS\r\n"
                                             "X-Forwarded-Host: evil, outer.example:8443\r\n"
                                             "X-Remote-User: fred\r\nX-Request-Start: t=5\r\n\r\n");

static void
test_untrusted(void **state)
{
	(void)state;
	given(forwarded_head);
	write_session();
	assert_variable("REMOTE_ADDR", "192.0.2.7");
	assert_variable("SERVER_NAME", "inner");
	assert_variable("SERVER_PORT", "3000");
	assert_variable("HTTPS", NULL);
	assert_variable("REMOTE_USER", NULL);
	assert_variable("HTTP_X_REMOTE_USER", NULL);
	assert_variable("HTTP_X_REQUEST_START", "t=1234567890123456");
	assert_true(str_equal(forward_client_address(&heads_request, false, forward.peer), forward.peer));
}

/* The nearest proxy's word: the last element of the last line. */
static void
test_trusted(void **state)
{
	(void)state;
	given(forwarded_head);
	forward.trusted = true;
	write_session();
	assert_variable("REMOTE_ADDR", "203.0.113.4");
	assert_variable("SERVER_NAME", "outer.example");
	assert_variable("SERVER_PORT", "8443");
	assert_variable("HTTP_HOST", "inner:3000");
	assert_variable("HTTPS", "on");
	assert_variable("REMOTE_USER", "fred");
	assert_variable("HTTP_X_REQUEST_START", "t=5");
	assert_variable("HTTP_X_FORWARDED_FOR", "203.0.113.1, 203.0.113.2, 203.0.113.3,  203.0.113.4");
	assert_true(str_equal(forward_client_address(&heads_request, true, forward.peer), STR("203.0.113.4")));
}

static void
test_trusted_odds(void **state)
{
	(void)state;
	given(STR("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: b,\r\n"
	          "X-Forwarded-Host:\r\nX-Request-Start:\r\nX-Remote-User:\r\n\r\n"));
	forward.trusted = true;
	write_session();
	assert_variable("REMOTE_ADDR", "0.0.0.0"); /* an empty last element is no address, and nobody on this machine */
	assert_variable("SERVER_NAME", "a");
	assert_variable("SERVER_PORT", "443");
	assert_variable("REMOTE_USER", NULL);
	assert_variable("HTTP_X_REQUEST_START", "t=1234567890123456"); /* once */
	static const struct {
		const char *port, *expected;
	} ports[] = {{"444", "444"}, {"1, 2", "2"}, {"0", "80"},  {"65536", "80"},
	             {"-1", "80"},   {"", "80"},    {"80x", "80"}};
	for (size_t i = 0; i < array_count(ports); i++) {
		char head[128];
		assert_true(str_format(head, sizeof(head), GET "X-Forwarded-Port: %s\r\n\r\n", ports[i].port));
		given(str_from(head));
		forward.trusted = true;
		write_session();
		assert_variable("SERVER_PORT", ports[i].expected);
	}
	char long_head[256] = "";
	assert_true(str_format(long_head, sizeof(long_head), GET "X-Forwarded-For: %0100d\r\n\r\n", 7));
	given(str_from(long_head));
	forward.trusted = true;
	write_session();
	assert_variable("REMOTE_ADDR", "0.0.0.0");
}

static void
test_joins(void **state)
{
	(void)state;
	given(STR(GET "Accept: a\r\nCookie: x=1\r\nX-A: 1\r\naccept: b\r\ncookie: y=2\r\nX-AB: 3\r\nx-a:\r\n"
	              "ACCEPT: c\r\nx-A: 2\r\nCookie: z\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n"));
	write_session();
	assert_variable("HTTP_ACCEPT", "a, b, c");
	assert_variable("HTTP_COOKIE", "x=1; y=2; z");
	assert_variable("HTTP_X_A", "1, , 2");
	assert_variable("HTTP_X_AB", "3");
	assert_variable("CONTENT_TYPE", "a/b, c/d"); /* once */
}

/* As many as there may be, each twice. */
static void
test_many_joins(void **state)
{
	struct buf head = {0};
	(void)state;
	buf_append_str(&head, STR(GET));
	for (int i = 0; i < HTTP_FIELDS_MAX - 1; i++)
		buf_printf(&head, "X-%d: %d\r\n", i / 2, i);
	buf_append_str(&head, STR("\r\n"));
	assert_int_equal(heads_read_request(buf_str(&head)), HTTP_OK);
	given(buf_str(&head));
	write_session();
	for (int i = 0; i < (HTTP_FIELDS_MAX - 1) / 2; i++) {
		char name[16], value[16];
		snprintf(name, sizeof(name), "HTTP_X_%d", i);
		snprintf(value, sizeof(value), "%d, %d", 2 * i, 2 * i + 1);
		assert_variable(name, value);
	}
	buf_free(&head);
}

/* Neither form of an application sees these, whoever sends them. */
static const struct str dropped_head =
	STR("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n"
            "Keep-Alive: 5\r\nTE: trailers\r\nTrailer: X\r\nProxy: http://evil\r\nProxy-Connection: x\r\n"
            "Proxy-Authorization: x\r\nX-Sendfile-Type: x\r\nX-Accel-Mapping: x\r\n"
            "X-Passenger-Connect-Password: secret\r\nX-Passenger-Connect-Bypass: 1\r\nX-Passenger-Anything: x\r\n"
            "!~Secret: x\r\nX_Forwarded_For: 6.6.6.6\r\nX-Good: yes\r\nX_Good: no\r\nX.Good: no\r\nX!Good: no\r\n"
            "X-Request-Id: theirs\r\nHTTP2-Settings: x\r\n\r\n");
static const char *const dropped_names[] = {
	"CONNECTION",
	"X_HOP",
	"KEEP_ALIVE",
	"TE",
	"TRAILER",
	"PROXY",
	"UPGRADE",
	"PROXY_CONNECTION",
	"PROXY_AUTHORIZATION",
	"X_SENDFILE_TYPE",
	"CONTENT_LENGTH",
	"X_ACCEL_MAPPING",
	"X_PASSENGER_CONNECT_PASSWORD",
	"X_PASSENGER_CONNECT_BYPASS",
	"X_PASSENGER_ANYTHING",
	"X_FORWARDED_FOR",
	"!~SECRET",
	"X.GOOD",
	"X!GOOD",
	"HTTP2_SETTINGS",
};

static void
test_dropped(void **state)
{
	(void)state;
	for (int trusted = 0; trusted < 2; trusted++) {
		given(dropped_head);
		forward.trusted = trusted;
		write_session();
		for (size_t i = 0; i < array_count(dropped_names); i++) {
			char name[64];
			snprintf(name, sizeof(name), "HTTP_%s", dropped_names[i]);
			assert_variable(name, NULL);
		}
		assert_variable("HTTP_X_GOOD", "yes");
		assert_variable("HTTP_X_REQUEST_ID", "the-id");
		assert_variable("REMOTE_ADDR", "192.0.2.7");
	}
}

static void
test_upgrade(void **state)
{
	(void)state;
	given(STR(GET UPGRADE "websocket\r\nSec-WebSocket-Key: k\r\n\r\n"));
	forward.upgrade = heads_request.upgrade;
	write_session();
	assert_variable("HTTP_CONNECTION", "Upgrade");
	assert_variable("HTTP_UPGRADE", "websocket");
	assert_variable("HTTP_SEC_WEBSOCKET_KEY", "k");
	forward.upgrade = str_make(NULL, 0);
	write_session();
	assert_variable("HTTP_UPGRADE", NULL);
}

static unsigned
frame_flags(size_t len)
{
	unsigned char *head = (unsigned char *)out;
	assert_int_equal(head[0], SESSION_FRAME_REQUEST);
	assert_int_equal(head[2] + head[3], 0);
	assert_int_equal((size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7],
	                 len - SESSION_FRAME_BYTES);
	return head[1];
}

static void
test_finish_session(void **state)
{
	(void)state;
	given(STR("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"));
	write_session();
	size_t len = out_len;
	out_len = forward_finish_session(out, len, HTTP_FRAMING_LENGTH, UINT64_MAX, false);
	assert_int_equal(frame_flags(out_len), SESSION_FLAG_BODY);
	assert_variable("CONTENT_LENGTH", "18446744073709551615");
	out_len = forward_finish_session(out, len, HTTP_FRAMING_LENGTH, 0, true);
	assert_int_equal(frame_flags(out_len), SESSION_FLAG_BYPASS);
	assert_variable("CONTENT_LENGTH", "0");
	out_len = forward_finish_session(out, len, HTTP_FRAMING_CHUNKED, 0, false);
	assert_int_equal(frame_flags(out_len), SESSION_FLAG_FRAMES);
	assert_int_equal(out_len, len);
	out_len = forward_finish_session(out, len, HTTP_FRAMING_NONE, 0, false);
	assert_int_equal(frame_flags(out_len), 0);
	assert_variable("CONTENT_LENGTH", NULL);
}

/* ---- HTTP ---- */

/* The head that is written, parsed again by our own strict parser. */
static const char *
written_http(enum http_framing framing, uint64_t content_length)
{
	static char text[OUT_BYTES];
	size_t len = forward_http(&forward, out, sizeof(out));
	assert_true(len > 0);
	len = forward_finish_http(out, len, framing, content_length);
	assert_true(len > 0 && len < sizeof(text));
	assert_true(str_copy_z(text, sizeof(text), str_make(out, len)));
	assert_int_equal(heads_read_request(str_make(out, len)), HTTP_OK);
	return text;
}

static void
test_http_head(void **state)
{
	(void)state;
	given(STR("POST /a?b HTTP/1.1\r\nhost: x:1\r\nAccept: a\r\nACCEPT: b\r\nContent-Length: 5\r\n"
	          "Expect: 100-continue\r\nX-Remote-User: fred\r\n\r\n"));
	assert_string_equal(written_http(HTTP_FRAMING_LENGTH, 5),
	                    "POST /a?b HTTP/1.1\r\nHost: x:1\r\nAccept: a\r\nACCEPT: b\r\n"
	                    "X-Forwarded-For: 192.0.2.7\r\nX-Request-Id: the-id\r\n"
	                    "X-Request-Start: t=1234567890123456\r\nContent-Length: 5\r\n\r\n");
	given(STR("GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n"));
	forward.peer = str_make(NULL, 0);
	assert_string_equal(written_http(HTTP_FRAMING_NONE, 0), "GET / HTTP/1.1\r\nHost: y\r\nX-Request-Id: the-id\r\n"
	                                                        "X-Request-Start: t=1234567890123456\r\n\r\n");
	given(STR("GET /? HTTP/1.0\r\n\r\n"));
	assert_non_null(strstr(written_http(HTTP_FRAMING_CHUNKED, 0), "GET /? HTTP/1.1\r\nHost: localhost\r\n"));
	assert_int_equal(heads_request.framing, HTTP_FRAMING_CHUNKED);
	given(STR(GET UPGRADE "websocket\r\n\r\n"));
	forward.upgrade = heads_request.upgrade;
	const char *text = written_http(HTTP_FRAMING_NONE, 0);
	assert_non_null(strstr(text, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
}

static void
test_http_forwarded(void **state)
{
	(void)state;
	given(forwarded_head);
	const char *text = written_http(HTTP_FRAMING_NONE, 0);
	assert_non_null(strstr(text, "\r\nX-Forwarded-For: 203.0.113.1, 203.0.113.2, 203.0.113.3,  203.0.113.4, "
	                             "192.0.2.7\r\n"));
	assert_null(strstr(text, "X-Remote-User"));
	assert_null(strstr(text, "t=5"));
	given(forwarded_head);
	forward.trusted = true;
	text = written_http(HTTP_FRAMING_NONE, 0);
	assert_non_null(strstr(text, "\r\nX-Forwarded-For: 203.0.113.1, 203.0.113.2, 203.0.113.3,  203.0.113.4\r\n"));
	assert_non_null(strstr(text, "\r\nX-Remote-User: fred\r\n"));
	assert_non_null(strstr(text, "\r\nX-Request-Start: t=5\r\n"));
	assert_null(strstr(text, "t=123"));
	given(STR(GET "X-Forwarded-For:\r\n\r\n"));
	forward.trusted = true;
	assert_null(strstr(written_http(HTTP_FRAMING_NONE, 0), "X-Forwarded-For"));
}

static void
test_http_dropped(void **state)
{
	(void)state;
	given(dropped_head);
	const char *text = written_http(HTTP_FRAMING_NONE, 0);
	assert_string_equal(text, "POST /p HTTP/1.1\r\nHost: a\r\nX-Good: yes\r\nX-Forwarded-For: 192.0.2.7\r\n"
	                          "X-Request-Id: the-id\r\nX-Request-Start: t=1234567890123456\r\n\r\n");
}

/* ---- room, ids ---- */

/* Every size: all of it, or 0 and nothing behind the room. */
static void
test_room(void **state)
{
	(void)state;
	given(STR("GET /path?query HTTP/1.1\r\nHost: a\r\nAccept: b\r\nX-Forwarded-For: c\r\n\r\n"));
	size_t session_len = forward_session(&forward, out, sizeof(out));
	size_t http_len = forward_http(&forward, out, sizeof(out));
	for (size_t size = 0; size < session_len + 2 * FORWARD_FINISH_BYTES; size++) {
		char *exact = malloc(size ? size : 1);
		assert_non_null(exact);
		size_t len = forward_session(&forward, exact, size);
		assert_int_equal(len, size >= session_len + FORWARD_FINISH_BYTES ? session_len : 0);
		len = len ? forward_finish_session(exact, len, HTTP_FRAMING_LENGTH, UINT64_MAX, false) : 0;
		assert_true(len <= size);
		len = forward_http(&forward, exact, size);
		assert_int_equal(len, size >= http_len + FORWARD_FINISH_BYTES ? http_len : 0);
		len = len ? forward_finish_http(exact, len, HTTP_FRAMING_LENGTH, UINT64_MAX) : 0;
		assert_true(len <= size);
		free(exact);
	}
}

static void
test_ids(void **state)
{
	char longest[130];
	(void)state;
	assert_true(forward_id_is_sound(STR("a")));
	assert_true(forward_id_is_sound(STR("AZaz09._:/+=@-")));
	memset(longest, 'a', sizeof(longest));
	assert_true(forward_id_is_sound(str_make(longest, 128)));
	assert_false(forward_id_is_sound(str_make(longest, 129)));
	assert_false(forward_id_is_sound(STR("")));
	for (int c = 0; c < 256; c++) {
		char id[] = {'a', (char)c, 'b'};
		bool sound = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		             (c != 0 && strchr("._:/+=@-", c) != NULL);
		assert_int_equal(forward_id_is_sound(str_make(id, 3)), sound);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),          cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_base_uri),       cmocka_unit_test(test_untrusted),
		cmocka_unit_test(test_trusted),        cmocka_unit_test(test_trusted_odds),
		cmocka_unit_test(test_joins),          cmocka_unit_test(test_many_joins),
		cmocka_unit_test(test_dropped),        cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_finish_session), cmocka_unit_test(test_http_head),
		cmocka_unit_test(test_http_forwarded), cmocka_unit_test(test_http_dropped),
		cmocka_unit_test(test_room),           cmocka_unit_test(test_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
