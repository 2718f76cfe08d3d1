#include "http_heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct name_case {
	const char *name;
	enum http_field_id id;
	uint16_t flags;
};

static const struct name_case name_cases[] = {
	{"Accept", HTTP_FIELD_OTHER, 0},
	{"X", HTTP_FIELD_OTHER, 0},
	{"Connection", HTTP_FIELD_CONNECTION, HTTP_FIELD_HOP},
	{"Content-Length", HTTP_FIELD_CONTENT_LENGTH, 0},
	{"Content-Type", HTTP_FIELD_CONTENT_TYPE, 0},
	{"TE", HTTP_FIELD_TE, HTTP_FIELD_HOP},
	{"Trailer", HTTP_FIELD_TRAILER, HTTP_FIELD_HOP},
	{"Upgrade", HTTP_FIELD_UPGRADE, HTTP_FIELD_HOP},
	{"Expect", HTTP_FIELD_EXPECT, 0},
	{"Keep-Alive", HTTP_FIELD_KEEP_ALIVE, HTTP_FIELD_HOP},
	{"Proxy-Connection", HTTP_FIELD_PROXY_CONNECTION, HTTP_FIELD_HOP},
	{"Proxy", HTTP_FIELD_PROXY, 0},
	{"Proxy-Authorization", HTTP_FIELD_PROXY_AUTHORIZATION, HTTP_FIELD_HOP},
	{"Proxy-Authenticate", HTTP_FIELD_PROXY_AUTHENTICATE, HTTP_FIELD_HOP},
	{"HTTP2-Settings", HTTP_FIELD_HTTP2_SETTINGS, HTTP_FIELD_HOP},
	{"X-Sendfile-Type", HTTP_FIELD_SENDFILE_TYPE, 0},
	{"X-Accel-Mapping", HTTP_FIELD_SENDFILE_TYPE, 0},
	{"X-Forwarded-For", HTTP_FIELD_X_FORWARDED_FOR, 0},
	{"X-Forwarded-Proto", HTTP_FIELD_X_FORWARDED_PROTO, 0},
	{"X-Forwarded-Host", HTTP_FIELD_X_FORWARDED_HOST, 0},
	{"X-Forwarded-Port", HTTP_FIELD_X_FORWARDED_PORT, 0},
	{"X-Forwarded-Server", HTTP_FIELD_X_FORWARDED_OTHER, 0},
	{"X-Forwarded-Proto2", HTTP_FIELD_X_FORWARDED_OTHER, 0},
	{"X-Forwarded-", HTTP_FIELD_OTHER, 0},
	{"Forwarded", HTTP_FIELD_X_FORWARDED_OTHER, 0},
	{"X-Remote-User", HTTP_FIELD_X_REMOTE_USER, 0},
	{"X-Request-Id", HTTP_FIELD_X_REQUEST_ID, 0},
	{"X-Request-Start", HTTP_FIELD_X_REQUEST_START, 0},
	{"User-Agent", HTTP_FIELD_USER_AGENT, 0},
	{"Referer", HTTP_FIELD_REFERER, 0},
	{"Cookie", HTTP_FIELD_COOKIE, 0},
	{"Date", HTTP_FIELD_DATE, 0},
	{"Server", HTTP_FIELD_SERVER, 0},
	{"Set-Cookie", HTTP_FIELD_SET_COOKIE, 0},
	{"X-Passenger-Connect-Password", HTTP_FIELD_CONNECT_PASSWORD, 0},
	{"X-Passenger-Connect-Bypass", HTTP_FIELD_CONNECT_BYPASS, 0},
	{"X-Passenger-Connect-Passwords", HTTP_FIELD_PASSENGER, 0},
	{"X-Passenger-A", HTTP_FIELD_PASSENGER, 0},
	{"X-Passenger", HTTP_FIELD_OTHER, 0},
	{"!~", HTTP_FIELD_PASSENGER, HTTP_FIELD_NAME_DIRTY},
	{"!~PASSENGER_APP_ROOT", HTTP_FIELD_PASSENGER, HTTP_FIELD_NAME_DIRTY},
	{"!", HTTP_FIELD_OTHER, HTTP_FIELD_NAME_DIRTY},
	{"X_User", HTTP_FIELD_OTHER, HTTP_FIELD_NAME_DIRTY},
	{"X.User", HTTP_FIELD_OTHER, HTTP_FIELD_NAME_DIRTY},
	{"Content_Length", HTTP_FIELD_OTHER, HTTP_FIELD_NAME_DIRTY},
	{"X_Passenger_Connect_Password", HTTP_FIELD_OTHER, HTTP_FIELD_NAME_DIRTY},
	{"Sec-Fetch-Dest-With-A-Very-Long-Name-That-Takes-More-Than-Two-Steps_", HTTP_FIELD_OTHER, HTTP_FIELD_NAME_DIRTY},
};

/* Reads one field of a response, which no name makes an error. */
static const struct http_field *
read_name(const char *name)
{
	char text[200];
	assert_true(str_format(text, sizeof(text), OK200 "%s: 1\r\n\r\n", name));
	int error = heads_read(HTTP_RESPONSE, HTTP_METHOD_GET, text, strlen(text));
	assert_true(error == HTTP_OK || heads_response.fields[0].id == HTTP_FIELD_TRANSFER_ENCODING);
	assert_int_equal(heads_response.field_count, 1);
	heads_assert_str(heads_response.fields[0].name, name);
	return &heads_response.fields[0];
}

static void
test_names(void **state)
{
	(void)state;
	bool seen[HTTP_FIELD_N] = {[HTTP_FIELD_HOST] = true, [HTTP_FIELD_TRANSFER_ENCODING] = true};
	for (size_t i = 0; i < array_count(name_cases); i++) {
		char name[100];
		assert_true(str_copy_z(name, sizeof(name), str_from(name_cases[i].name)));
		for (int change = 0; change < 3; change++) {
			for (char *c = name; *c != 0; c++)
				if ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z')
					*c = (char)(change == 0 ? *c : change == 1 ? *c & ~0x20 : *c | 0x20);
			const struct http_field *field = read_name(name);
			if (field->id != name_cases[i].id || field->flags != name_cases[i].flags)
				fail_msg("%s: id %d flags %d", name, field->id, field->flags);
		}
		seen[name_cases[i].id] = true;
	}
	for (int id = 0; id < HTTP_FIELD_N; id++)
		assert_true(seen[id]);
	assert_int_equal(read_name("Host")->id, HTTP_FIELD_HOST);
	assert_int_equal(read_name("Transfer-Encoding")->flags, HTTP_FIELD_HOP);
}

/* One letter changed, added or cut: never a known name by accident. */
static void
test_names_near(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(name_cases); i++) {
		const char *good = name_cases[i].name;
		if (name_cases[i].id == HTTP_FIELD_OTHER || good[0] == '!')
			continue;
		for (size_t place = 0; good[place] != 0; place++) {
			char name[100];
			assert_true(str_copy_z(name, sizeof(name), str_from(good)));
			name[place] = '0';
			uint16_t id = read_name(name)->id;
			assert_true(id == HTTP_FIELD_OTHER || id == HTTP_FIELD_X_FORWARDED_OTHER ||
			            id == HTTP_FIELD_PASSENGER);
			assert_true(place >= sizeof("x-forwarded-") - 2 || id == HTTP_FIELD_OTHER);
		}
	}
}

static void
test_values(void **state)
{
	(void)state;
	static const struct {
		struct str head;
		const char *value;
	} rows[] = {
		{STR(GET "X: a\r\n\r\n"), "a"},
		{STR(GET "X:a\r\n\r\n"), "a"},
		{STR(GET "X: \t a b\t c \t\r\n\r\n"), "a b\t c"},
		{STR(GET "X:\r\n\r\n"), ""},
		{STR(GET "X: \t \r\n\r\n"), ""},
		{STR(GET "X: caf\xe9\r\n\r\n"), "caf\xe9"},
		{STR(GET "X: a:b\r\n\r\n"), "a:b"},
		{STR(GET "X: a much longer value that takes several steps of sixteen octets\r\n\r\n"),
	         "a much longer value that takes several steps of sixteen octets"},
	};
	for (size_t i = 0; i < array_count(rows); i++) {
		assert_int_equal(heads_read_request(rows[i].head), HTTP_OK);
		assert_int_equal(heads_request.field_count, 2);
		heads_assert_str(heads_request.fields[1].name, "X");
		heads_assert_str(heads_request.fields[1].value, rows[i].value);
	}
}

/* An octet of a kind that the head's grammar allows in one place only. */
static void
test_every_octet(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char name[] = GET "X?Y: a\r\n\r\n", value[] = GET "X: a?b\r\n\r\n",
		     target[] = "GET /? HTTP/1.1\r\n" HOST "\r\n";
		bool token = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 0x80) ||
		             (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
		*strchr(name, '?') = *strchr(value, '?') = *strchr(target, '?') = (char)c;
		/* a colon ends the name earlier */
		assert_int_equal(heads_read(HTTP_REQUEST, HTTP_METHOD_GET, name, sizeof(name) - 1) == HTTP_OK,
		                 token || c == ':');
		assert_int_equal(heads_read(HTTP_REQUEST, HTTP_METHOD_GET, value, sizeof(value) - 1) == HTTP_OK,
		                 c == '\t' || (c >= 0x20 && c != 0x7f));
		assert_int_equal(heads_read(HTTP_REQUEST, HTTP_METHOD_GET, target, sizeof(target) - 1) == HTTP_OK,
		                 c > 0x20 && c < 0x7f && c != '#');
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_near),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_every_octet),
	};
	return cmocka_run_group_tests_name("http_field", tests, NULL, NULL);
}
