/* Response heads: any bytes in; the first one says whether HEAD was asked. */
#include "heads.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct http_response response, again;

static void
check_framing(enum http_method method)
{
	uint32_t lengths = fuzz_count(response.fields, response.field_count, HTTP_FIELD_CONTENT_LENGTH);
	uint32_t codings = fuzz_count(response.fields, response.field_count, HTTP_FIELD_TRANSFER_ENCODING);
	bool bodiless =
		response.status < 200 || response.status == 204 || response.status == 304 || method == HTTP_METHOD_HEAD;
	FUZZ_CHECK(lengths <= 1 && codings <= 1 && lengths + codings <= 1 && (codings == 0 || response.minor == 1));
	FUZZ_CHECK(response.has_content_length == (lengths == 1));
	FUZZ_CHECK(response.has_content_length || response.content_length == 0);
	enum http_framing want = codings == 1   ? HTTP_FRAMING_CHUNKED
	                         : lengths == 1 ? HTTP_FRAMING_LENGTH
	                                        : HTTP_FRAMING_CLOSE;
	FUZZ_CHECK(response.framing == (bodiless ? HTTP_FRAMING_NONE : want));
	FUZZ_CHECK(response.framing != HTTP_FRAMING_CLOSE || !response.keep_alive);
	FUZZ_CHECK(response.status == 101 || response.upgrade.len == 0);
}

static void
check_response(const char *head, size_t len, enum http_method method)
{
	FUZZ_CHECK(response.status >= 100 && response.status <= 599 && response.minor <= 1);
	FUZZ_CHECK(response.field_count <= HTTP_FIELDS_MAX);
	fuzz_check_inside(response.reason, head, len);
	fuzz_check_inside(response.upgrade, head, len);
	for (uint32_t i = 0; i < response.field_count; i++) {
		fuzz_check_inside(response.fields[i].name, head, len);
		fuzz_check_inside(response.fields[i].value, head, len);
	}
	check_framing(method);
}

static void
check_round_trip(enum http_method method)
{
	struct buf buf = {0};
	struct http_scan scan = {0};
	buf_printf(&buf, "HTTP/1.%d %d ", response.minor, response.status);
	buf_append_str(&buf, response.reason);
	buf_append_str(&buf, STR("\r\n"));
	fuzz_write_fields(&buf, response.fields, response.field_count);
	FUZZ_CHECK(http_scan(&scan, HTTP_RESPONSE, buf.data, buf.len) == (int)buf.len);
	FUZZ_CHECK(http_parse_response(&again, method, buf.data, buf.len) == HTTP_OK);
	FUZZ_CHECK(again.status == response.status && str_equal(again.reason, response.reason));
	FUZZ_CHECK(again.minor == response.minor && again.keep_alive == response.keep_alive);
	FUZZ_CHECK(again.framing == response.framing && again.content_length == response.content_length);
	FUZZ_CHECK(str_equal(again.upgrade, response.upgrade) && again.field_count == response.field_count);
	fuzz_compare_fields(response.fields, again.fields, response.field_count);
	buf_free(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_scan scan;
	if (len == 0)
		return 0;
	enum http_method method = data[0] == 'h' ? HTTP_METHOD_HEAD : HTTP_METHOD_GET;
	const char *bytes = (const char *)data + 1;
	len--;
	int result = fuzz_scan(&scan, HTTP_RESPONSE, bytes, len);
	FUZZ_CHECK(result <= 0 || scan.skipped == 0);
	size_t head_len = result > 0 ? (size_t)result : len;
	char *head = fuzz_copy(bytes, head_len);
	enum http_error error = http_parse_response(&response, method, head, head_len);
	FUZZ_CHECK(error < HTTP_ERROR_N);
	if (result > 0 && error == HTTP_OK) {
		check_response(head, head_len, method);
		check_round_trip(method);
	}
	free(head);
	return 0;
}
