#include "wire/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What a decoder made of some bytes. */
struct outcome {
	enum body_error error;
	size_t consumed; /* without what came after an error */
	size_t payload_len;
	char payload[512]; /* the beginning of it */
	bool done;
	bool complete_at_end;
	enum body_error end_error;
};

/* Feeds pieces of step bytes, each in memory that ends there. */
static struct outcome
decode(enum http_framing framing, uint64_t length, const char *data, size_t len, size_t step)
{
	struct outcome outcome = {.error = BODY_OK};
	struct body_decoder decoder;
	body_decoder_init(&decoder, framing, length);
	while (outcome.consumed < len && !body_done(&decoder)) {
		size_t piece = len - outcome.consumed < step ? len - outcome.consumed : step;
		char *copy = malloc(piece);
		assert_non_null(copy);
		memcpy(copy, data + outcome.consumed, piece);
		for (size_t at = 0; at < piece && !body_done(&decoder);) {
			struct str payload;
			ptrdiff_t used = body_decode(&decoder, copy + at, piece - at, &payload);
			if (used < 0) {
				outcome.error = (enum body_error) - used;
				free(copy);
				return outcome;
			}
			assert_true(used > 0 && (size_t)used <= piece - at);
			assert_true(payload.len == 0 ||
			            (payload.data >= copy + at && payload.data + payload.len <= copy + at + used));
			for (size_t i = 0; i < payload.len; i++)
				if (outcome.payload_len + i < sizeof(outcome.payload) - 1)
					outcome.payload[outcome.payload_len + i] = payload.data[i];
			outcome.payload_len += payload.len;
			outcome.consumed += (size_t)used;
			at += (size_t)used;
		}
		free(copy);
	}
	outcome.done = body_done(&decoder);
	outcome.complete_at_end = body_complete_at_end(&decoder);
	outcome.end_error = body_end_error(&decoder);
	return outcome;
}

/* The same in pieces of several sizes: all must agree. */
static struct outcome
decode_all_ways(enum http_framing framing, uint64_t length, struct str text)
{
	struct outcome whole = decode(framing, length, text.data, text.len, text.len ? text.len : 1);
	for (size_t step = 1; step < 20; step += 1 + step / 3) {
		struct outcome split = decode(framing, length, text.data, text.len, step);
		assert_int_equal(split.error, whole.error);
		assert_int_equal(split.payload_len, whole.payload_len);
		assert_string_equal(split.payload, whole.payload);
		if (whole.error == BODY_OK)
			assert_int_equal(split.consumed, whole.consumed);
		assert_int_equal(split.done, whole.done);
		assert_int_equal(split.end_error, whole.end_error);
	}
	return whole;
}

struct error_case {
	struct str body;
	enum body_error error;
};

#define END "0\r\n\r\n"

static const struct error_case errors[] = {
	/* chunk-size = 1*HEXDIG, RFC 9112 section 7.1 */
	{STR("\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("g\r\n"), BODY_ERROR_CHUNK_SIZE},
	{STR("5h\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("0x5\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("+5\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("-5\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("-0\r\n\r\n"), BODY_ERROR_CHUNK_SIZE},
	{STR(" 5\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("5,\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("5.\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("\"5\"\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("5\v\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("5\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("5\rhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("5\r\r\nhello\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("1000000000000000\r\n"), BODY_ERROR_CHUNK_SIZE},
	{STR("FFFFFFFFFFFFFFFFF\r\n"), BODY_ERROR_CHUNK_SIZE},
	{STR("10000000000000002\r\nok\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("5\r\nhello\r\n\r\n" END), BODY_ERROR_CHUNK_SIZE},
	{STR("5\r\nhello\r\n 0\r\n\r\n"), BODY_ERROR_CHUNK_SIZE},
	/* chunk-ext, section 7.1.1 */
	{STR("5 \r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5\t\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5 a=b\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;;a\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;=b\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a=\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a=b=c\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a \r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a b\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a=b \r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a=b c\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a=\"b\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a=\"b\\\r\"\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a=\"b\"c\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a\0b\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a\1b\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a=\"\1\"\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;a\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	{STR("5;\xff\r\nhello\r\n" END), BODY_ERROR_CHUNK_EXTENSION},
	/* CRLF after the data */
	{STR("5\r\nhelloXX0\r\n\r\n"), BODY_ERROR_CHUNK_END},
	{STR("5\r\nhello\n\n0\r\n\r\n"), BODY_ERROR_CHUNK_END},
	{STR("5\r\nhello\rX0\r\n\r\n"), BODY_ERROR_CHUNK_END},
	{STR("1\r\nhello\r\n" END), BODY_ERROR_CHUNK_END},
	{STR("7\r\nhello\r\n" END), BODY_ERROR_CHUNK_END},
	/* trailer section, section 7.1.2 */
	{STR("0\r\n\n"), BODY_ERROR_TRAILER},
	{STR("0\r\n\rX"), BODY_ERROR_TRAILER},
	{STR("0\r\nXXGET /smuggled HTTP/1.1\r\n"), BODY_ERROR_TRAILER},
	{STR("0\r\nX : a\r\n\r\n"), BODY_ERROR_TRAILER},
	{STR("0\r\n: a\r\n\r\n"), BODY_ERROR_TRAILER},
	{STR("0\r\nX\r\n\r\n"), BODY_ERROR_TRAILER},
	{STR("0\r\nX: a\n\r\n"), BODY_ERROR_TRAILER},
	{STR("0\r\nX: a\rb\r\n\r\n"), BODY_ERROR_TRAILER},
	{STR("0\r\nX: a\0\r\n\r\n"), BODY_ERROR_TRAILER},
	{STR("0\r\nX: a\r\n b\r\n\r\n"), BODY_ERROR_TRAILER},
	{STR("0\r\n X: a\r\n\r\n"), BODY_ERROR_TRAILER},
};

static void
test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(errors); i++) {
		struct outcome outcome = decode_all_ways(HTTP_FRAMING_CHUNKED, 0, errors[i].body);
		if (outcome.error != errors[i].error)
			fail_msg("row %zu: error %d, not %d: %.*s", i, (int)outcome.error, (int)errors[i].error,
			         STR_ARG(errors[i].body));
	}
}

static void
test_error_rows(void **state)
{
	(void)state;
	for (enum body_error error = BODY_ERROR_CHUNK_SIZE; error < BODY_ERROR_N; error++) {
		assert_int_equal(body_error_status(error), error == BODY_ERROR_TRAILER_TOO_LARGE ? 431 : 400);
		assert_true(strlen(body_error_text(error)) > 0);
	}
}

struct good_case {
	struct str body;
	const char *payload;
};

static const struct good_case good[] = {
	{STR(END), ""},
	{STR("0000\r\n\r\n"), ""},
	{STR("5\r\nhello\r\n" END), "hello"},
	{STR("0005\r\nhello\r\n" END), "hello"},
	{STR("2\r\nhe\r\n3\r\nllo\r\n" END), "hello"},
	{STR("a\r\n0123456789\r\n" END), "0123456789"},
	{STR("A\r\n\r\n0\r\n\r\n123\r\n" END), "\r\n0\r\n\r\n123"},
	{STR("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n" END), "abcdefghijklmnopqrstuvwxyz"},
	{STR("5;x=y\r\nhello\r\n" END), "hello"},
	{STR("5;a;b=c;d=\"e;f\\\"g\"\r\nhello\r\n0;last=1\r\n\r\n"), "hello"},
	{STR("5 ; a = b ;\tc\t=\t\"\"\r\nhello\r\n" END), "hello"},
	{STR("5;a=\"\\\\ \t\xff\"\r\nhello\r\n" END), "hello"},
	{STR("5\r\nhello\r\n0\r\nX-T: 1\r\nX-U:\r\nX-V: \xff\t\r\n\r\n"), "hello"},
	{STR("5\r\nhello\r\n0\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n"), "hello"},
};

static void
test_chunked(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(good); i++) {
		struct outcome outcome = decode_all_ways(HTTP_FRAMING_CHUNKED, 0, good[i].body);
		if (outcome.error != BODY_OK || !outcome.done)
			fail_msg("row %zu: error %d: %.*s", i, (int)outcome.error, STR_ARG(good[i].body));
		assert_string_equal(outcome.payload, good[i].payload);
		assert_int_equal(outcome.consumed, good[i].body.len);
		assert_true(outcome.complete_at_end);
		/* cut anywhere, it is incomplete and not an error */
		for (size_t len = 0; len < good[i].body.len; len++) {
			outcome = decode(HTTP_FRAMING_CHUNKED, 0, good[i].body.data, len, len ? len : 1);
			assert_int_equal(outcome.error, BODY_OK);
			assert_false(outcome.done);
			assert_false(outcome.complete_at_end);
		}
	}
}

/* Nothing behind the body is consumed. */
static void
test_surplus(void **state)
{
	(void)state;
	struct str next = STR("GET / HTTP/1.1\r\n");
	struct str chunked = STR("5\r\nhello\r\n" END "GET / HTTP/1.1\r\n"), plain = STR("helloGET / HTTP/1.1\r\n");
	struct outcome outcome = decode_all_ways(HTTP_FRAMING_CHUNKED, 0, chunked);
	assert_true(outcome.done);
	assert_int_equal(outcome.consumed, chunked.len - next.len);
	outcome = decode_all_ways(HTTP_FRAMING_LENGTH, 5, plain);
	assert_true(outcome.done);
	assert_int_equal(outcome.consumed, 5);
	assert_string_equal(outcome.payload, "hello");
	outcome = decode_all_ways(HTTP_FRAMING_NONE, 0, next);
	assert_true(outcome.done);
	assert_int_equal(outcome.consumed, 0);
	struct body_decoder decoder;
	struct str payload;
	body_decoder_init(&decoder, HTTP_FRAMING_NONE, 0);
	assert_int_equal(body_decode(&decoder, next.data, next.len, &payload), 0);
	assert_int_equal(payload.len, 0);
}

static void
test_length_and_close(void **state)
{
	(void)state;
	struct outcome outcome = decode_all_ways(HTTP_FRAMING_LENGTH, 0, STR("x"));
	assert_true(outcome.done && outcome.consumed == 0);
	outcome = decode_all_ways(HTTP_FRAMING_LENGTH, 7, STR("hello"));
	assert_false(outcome.done || outcome.complete_at_end);
	assert_int_equal(outcome.end_error, BODY_OK);
	assert_int_equal(outcome.payload_len, 5);
	outcome = decode_all_ways(HTTP_FRAMING_LENGTH, (UINT64_C(1) << 32) + 5, STR("hello"));
	assert_false(outcome.done || outcome.complete_at_end);
	outcome = decode_all_ways(HTTP_FRAMING_CLOSE, 0, STR("0\r\n\r\nhello"));
	assert_false(outcome.done);
	assert_true(outcome.complete_at_end);
	assert_int_equal(outcome.payload_len, 10);
}

/* What the end of input means in the middle: RFC 9112 section 8. */
static void
test_end_errors(void **state)
{
	(void)state;
	static const struct error_case rows[] = {
		{STR(""), BODY_ERROR_CHUNK_SIZE},
		{STR("5"), BODY_ERROR_CHUNK_SIZE},
		{STR("5;a"), BODY_ERROR_CHUNK_SIZE},
		{STR("5\r"), BODY_ERROR_CHUNK_SIZE},
		{STR("5\r\n"), BODY_OK},
		{STR("5\r\nhell"), BODY_OK},
		{STR("100000005\r\nhello\r\n"), BODY_OK},
		{STR("5\r\nhello"), BODY_ERROR_CHUNK_END},
		{STR("5\r\nhello\r"), BODY_ERROR_CHUNK_END},
		{STR("5\r\nhello\r\n"), BODY_ERROR_CHUNK_SIZE},
		{STR("5\r\nhello\r\n0\r\n"), BODY_ERROR_TRAILER},
		{STR("0\r\nX: a\r\n\r"), BODY_ERROR_TRAILER},
		{STR("0\r\n\r\n"), BODY_OK},
	};
	for (size_t i = 0; i < array_count(rows); i++)
		assert_int_equal(decode_all_ways(HTTP_FRAMING_CHUNKED, 0, rows[i].body).end_error, rows[i].error);
}

static void
append(char *text, size_t *len, const char *part, size_t count)
{
	for (size_t i = 0; i < count; i++, *len += strlen(part))
		memcpy(text + *len, part, strlen(part));
}

static struct outcome
decode_large(const char *text, size_t len)
{
	struct outcome whole = decode(HTTP_FRAMING_CHUNKED, 0, text, len, len);
	struct outcome split = decode(HTTP_FRAMING_CHUNKED, 0, text, len, 7);
	assert_int_equal(whole.error, split.error);
	assert_int_equal(whole.done, split.done);
	return whole;
}

static void
test_line_limit(void **state)
{
	(void)state;
	char text[1000];
	for (size_t extra = 0; extra < 2; extra++) {
		/* the CR counts */
		size_t len = 0;
		append(text, &len, "0", BODY_CHUNK_LINE_BYTES_MAX - 1 + extra);
		append(text, &len, "\r\n\r\n", 1);
		assert_int_equal(decode_large(text, len).error, extra ? BODY_ERROR_CHUNK_SIZE : BODY_OK);
		len = 0;
		append(text, &len, "0;", 1);
		append(text, &len, "a", BODY_CHUNK_LINE_BYTES_MAX - 3 + extra);
		append(text, &len, "\r\n\r\n", 1);
		assert_int_equal(decode_large(text, len).error, extra ? BODY_ERROR_CHUNK_EXTENSION : BODY_OK);
	}
	/* each line has its own count */
	size_t len = 0;
	append(text, &len, "1;aaaaaaaaaa\r\nz\r\n", 40);
	append(text, &len, END, 1);
	assert_int_equal(decode_large(text, len).payload_len, 40);
}

static void
test_extension_limit(void **state)
{
	(void)state;
	size_t chunks = BODY_EXTENSION_BYTES_MAX / 16, len;
	char *text = malloc((chunks + 1) * 32);
	assert_non_null(text);
	for (size_t extra = 0; extra < 2; extra++) {
		len = 0;
		append(text, &len, "1;aaaaaaaaaaaaaaa\r\nz\r\n", chunks);
		append(text, &len, extra ? "0;a\r\n\r\n" : END, 1);
		assert_int_equal(decode_large(text, len).error, extra ? BODY_ERROR_CHUNK_EXTENSION : BODY_OK);
	}
	free(text);
}

static void
test_trailer_limit(void **state)
{
	(void)state;
	char *text = malloc(BODY_TRAILER_BYTES_MAX + 100);
	assert_non_null(text);
	for (size_t extra = 0; extra < 2; extra++) {
		size_t len = 0;
		append(text, &len, "0\r\nX:", 1);
		append(text, &len, "a", BODY_TRAILER_BYTES_MAX - 6 + extra);
		append(text, &len, "\r\n\r\n", 1);
		struct outcome outcome = decode_large(text, len);
		assert_int_equal(outcome.error, extra ? BODY_ERROR_TRAILER_TOO_LARGE : BODY_OK);
		assert_int_equal(outcome.done, !extra);
	}
	free(text);
}

static void
test_chunk_line(void **state)
{
	(void)state;
	static const struct {
		uint64_t len;
		const char *line;
	} rows[] = {{1, "1\r\n"},   {9, "9\r\n"},         {10, "a\r\n"},
	            {26, "1a\r\n"}, {65536, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};
	for (size_t i = 0; i < array_count(rows); i++) {
		char line[20];
		struct str text = str_make(line, body_chunk_line(line, rows[i].len));
		assert_true(str_equal(text, str_from(rows[i].line)));
	}
	assert_true(str_equal(BODY_LAST_CHUNK, STR("0\r\n\r\n")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),           cmocka_unit_test(test_error_rows),
		cmocka_unit_test(test_chunked),          cmocka_unit_test(test_surplus),
		cmocka_unit_test(test_length_and_close), cmocka_unit_test(test_end_errors),
		cmocka_unit_test(test_line_limit),       cmocka_unit_test(test_extension_limit),
		cmocka_unit_test(test_trailer_limit),    cmocka_unit_test(test_chunk_line),
	};
	return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
