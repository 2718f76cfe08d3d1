/* Bodies: two bytes choose framing and pieces, the rest is the body. */
#include "heads.h"
#include "wire/body.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct outcome {
	enum body_error error;
	size_t consumed;
	struct buf payload;
	struct body_decoder decoder;
};

/* Pieces of step bytes; 0: sizes from the bytes themselves. */
static struct outcome
decode(enum http_framing framing, uint64_t length, const char *data, size_t len, size_t step)
{
	struct outcome outcome = {.error = BODY_OK};
	body_decoder_init(&outcome.decoder, framing, length);
	while (outcome.consumed < len && !body_done(&outcome.decoder)) {
		struct str payload;
		size_t piece = step ? step : 1 + (unsigned char)data[outcome.consumed] % 32;
		piece = len - outcome.consumed < piece ? len - outcome.consumed : piece;
		char *copy = fuzz_copy(data + outcome.consumed, piece);
		ptrdiff_t used = body_decode(&outcome.decoder, copy, piece, &payload);
		FUZZ_CHECK(used > -(ptrdiff_t)BODY_ERROR_N && used != 0 && (used < 0 || (size_t)used <= piece));
		if (used > 0) {
			fuzz_check_inside(payload, copy, (size_t)used);
			buf_append_str(&outcome.payload, payload);
			outcome.consumed += (size_t)used;
		}
		free(copy);
		if (used < 0) {
			outcome.error = (enum body_error) - used;
			break;
		}
	}
	return outcome;
}

static void
compare(struct outcome *a, struct outcome *b)
{
	FUZZ_CHECK(a->error == b->error && str_equal(buf_str(&a->payload), buf_str(&b->payload)));
	FUZZ_CHECK(a->error != BODY_OK || a->consumed == b->consumed);
	FUZZ_CHECK(body_done(&a->decoder) == body_done(&b->decoder));
	FUZZ_CHECK(body_end_error(&a->decoder) == body_end_error(&b->decoder));
	FUZZ_CHECK(a->decoder.left == b->decoder.left || a->error != BODY_OK);
}

/* The payload as chunks of size bytes is the payload again. */
static void
check_round_trip(struct str payload, size_t size)
{
	struct buf buf = {0};
	char line[20];
	for (size_t at = 0; at < payload.len; at += size) {
		size_t part = payload.len - at < size ? payload.len - at : size;
		buf_append(&buf, line, body_chunk_line(line, part));
		buf_append(&buf, payload.data + at, part);
		buf_append_str(&buf, STR("\r\n"));
	}
	buf_append_str(&buf, BODY_LAST_CHUNK);
	struct outcome outcome = decode(HTTP_FRAMING_CHUNKED, 0, buf.data, buf.len, 0);
	FUZZ_CHECK(outcome.error == BODY_OK && body_done(&outcome.decoder) && outcome.consumed == buf.len);
	FUZZ_CHECK(str_equal(buf_str(&outcome.payload), payload));
	buf_free(&outcome.payload);
	buf_free(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2)
		return 0;
	enum http_framing framing = data[0] < 0xc0 ? HTTP_FRAMING_CHUNKED : (enum http_framing)(data[0] & 3);
	const char *bytes = (const char *)data + 2;
	size_t count = len - 2;
	struct outcome whole = decode(framing, data[1], bytes, count, count ? count : 1);
	struct outcome single = decode(framing, data[1], bytes, count, 1);
	struct outcome pieces = decode(framing, data[1], bytes, count, 0);
	compare(&whole, &single);
	compare(&whole, &pieces);
	FUZZ_CHECK(framing != HTTP_FRAMING_LENGTH || whole.payload.len + whole.decoder.left == data[1]);
	FUZZ_CHECK(framing == HTTP_FRAMING_CHUNKED || whole.error == BODY_OK);
	FUZZ_CHECK(whole.consumed <= count && whole.payload.len <= whole.consumed);
	check_round_trip(str_make(bytes, count), 1 + data[1]);
	buf_free(&whole.payload);
	buf_free(&single.payload);
	buf_free(&pieces.payload);
	return 0;
}
