/* Request heads: any bytes in, and what is accepted must be as we promise. */
#include "heads.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct http_request request, again;

static void
check_framing(void)
{
	uint32_t lengths = fuzz_count(request.fields, request.field_count, HTTP_FIELD_CONTENT_LENGTH);
	uint32_t codings = fuzz_count(request.fields, request.field_count, HTTP_FIELD_TRANSFER_ENCODING);
	FUZZ_CHECK(lengths <= 1 && codings <= 1 && lengths + codings <= 1);
	FUZZ_CHECK((request.framing == HTTP_FRAMING_LENGTH) == (lengths == 1));
	FUZZ_CHECK((request.framing == HTTP_FRAMING_CHUNKED) == (codings == 1));
	FUZZ_CHECK(request.framing != HTTP_FRAMING_CLOSE && request.content_length <= UINT64_C(1) << 60);
	FUZZ_CHECK(request.framing == HTTP_FRAMING_LENGTH || request.content_length == 0);
	FUZZ_CHECK(request.minor == 1 || (codings == 0 && !request.expect_continue && request.upgrade.len == 0));
	bool body = request.framing == HTTP_FRAMING_CHUNKED || request.content_length > 0;
	FUZZ_CHECK(body || !request.expect_continue);
	FUZZ_CHECK(!body || request.upgrade.len == 0);
}

static void
check_request(const char *head, size_t len)
{
	uint32_t hosts = fuzz_count(request.fields, request.field_count, HTTP_FIELD_HOST);
	FUZZ_CHECK(request.minor <= 1 && request.field_count <= HTTP_FIELDS_MAX);
	FUZZ_CHECK(hosts <= 1 && (request.minor == 0 || hosts == 1));
	FUZZ_CHECK(request.method.len > 0 && request.target.len > 0 && request.path.len > 0);
	FUZZ_CHECK(request.path.data[0] == '/' ||
	           (str_equal(request.target, STR("*")) && request.method_id == HTTP_METHOD_OPTIONS));
	for (size_t i = 0; i < request.target.len; i++)
		FUZZ_CHECK(request.target.data[i] > 0x20 && request.target.data[i] < 0x7f &&
		           request.target.data[i] != '#');
	FUZZ_CHECK(memchr(request.path.data, '?', request.path.len) == NULL);
	FUZZ_CHECK(!str_equal(request.method, STR("CONNECT")) && !str_equal(request.method, STR("TRACE")));
	for (size_t i = 0; i < request.authority.len; i++)
		FUZZ_CHECK(strchr(" /?#@\\<>\"", request.authority.data[i]) == NULL);
	fuzz_check_inside(request.method, head, len);
	fuzz_check_inside(request.target, head, len);
	fuzz_check_inside(request.authority, head, len);
	fuzz_check_inside(request.query, head, len);
	fuzz_check_inside(request.upgrade, head, len);
	if (!str_equal(request.path, STR("/")))
		fuzz_check_inside(request.path, head, len);
	for (uint32_t i = 0; i < request.field_count; i++) {
		fuzz_check_inside(request.fields[i].name, head, len);
		fuzz_check_inside(request.fields[i].value, head, len);
	}
	check_framing();
}

/* What a proxy would write from it means the same. */
static void
check_round_trip(void)
{
	struct buf buf = {0};
	struct http_scan scan = {0};
	buf_append_str(&buf, request.method);
	buf_append_char(&buf, ' ');
	buf_append_str(&buf, request.target);
	buf_append_str(&buf, request.minor == 0 ? STR(" HTTP/1.0\r\n") : STR(" HTTP/1.1\r\n"));
	fuzz_write_fields(&buf, request.fields, request.field_count);
	FUZZ_CHECK(http_scan(&scan, HTTP_REQUEST, buf.data, buf.len) == (int)buf.len && scan.skipped == 0);
	FUZZ_CHECK(http_parse_request(&again, buf.data, buf.len, 0) == HTTP_OK);
	FUZZ_CHECK(str_equal(again.method, request.method) && again.method_id == request.method_id);
	FUZZ_CHECK(str_equal(again.target, request.target) && str_equal(again.authority, request.authority));
	FUZZ_CHECK(str_equal(again.path, request.path) && str_equal(again.query, request.query));
	FUZZ_CHECK((again.query.data == NULL) == (request.query.data == NULL));
	FUZZ_CHECK(str_equal(again.upgrade, request.upgrade) && again.minor == request.minor);
	FUZZ_CHECK(again.keep_alive == request.keep_alive && again.expect_continue == request.expect_continue);
	FUZZ_CHECK(again.framing == request.framing && again.content_length == request.content_length);
	FUZZ_CHECK(again.field_count == request.field_count);
	fuzz_compare_fields(request.fields, again.fields, request.field_count);
	buf_free(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_scan scan;
	const char *bytes = (const char *)data;
	int result = fuzz_scan(&scan, HTTP_REQUEST, bytes, len);
	size_t head_len = result > 0 ? (size_t)result : len;
	char *head = fuzz_copy(bytes, head_len);
	/* also what no scan has measured must be read without harm */
	enum http_error error = http_parse_request(&request, head, head_len, result > 0 ? scan.skipped : 0);
	FUZZ_CHECK(error < HTTP_ERROR_N && (error == HTTP_OK || http_error_row(error)->status >= 400));
	if (result > 0 && error == HTTP_OK) {
		check_request(head, head_len);
		check_round_trip();
	} else if (error == HTTP_OK) {
		FUZZ_CHECK(result == 0 ? len == 0
		                       : result == -(int)HTTP_ERROR_HEAD_TOO_LARGE ||
		                                 result == -(int)HTTP_ERROR_LINE_TOO_LONG);
	}
	free(head);
	return 0;
}
