#include "wire/body.h"

#include "wire/http_octet.h"

enum {
	LENGTH_BITS_MAX = 60, /* a chunk is shorter than 2^60 bytes, as Content-Length is */
};

/* The states of a chunked body follow the grammar of RFC 9112 section 7.1. */
enum body_state {
	BODY_DONE,
	BODY_PAYLOAD, /* framing LENGTH: left bytes to come */
	BODY_UNTIL_CLOSE,
	CHUNK_SIZE_FIRST, /* first digit of chunk-size */
	CHUNK_SIZE,
	CHUNK_BLANK,      /* BWS before the ';' of an extension */
	CHUNK_NAME_FIRST, /* BWS before chunk-ext-name */
	CHUNK_NAME,
	CHUNK_NAME_BLANK,  /* BWS before '=' or ';' */
	CHUNK_VALUE_FIRST, /* BWS before chunk-ext-val */
	CHUNK_VALUE,       /* token */
	CHUNK_QUOTED,
	CHUNK_QUOTED_PAIR,
	CHUNK_QUOTED_END,
	CHUNK_LINE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	TRAILER_FIRST, /* first octet of a trailer field, or of the last CRLF */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	TRAILER_LAST_LF,
};

struct body_error_row {
	uint16_t status;
	const char *text;
};

static const struct body_error_row error_rows[BODY_ERROR_N] = {
	[BODY_OK] = {200, "no error"},
	[BODY_ERROR_CHUNK_SIZE] = {400, "malformed chunk size"},
	[BODY_ERROR_CHUNK_EXTENSION] = {400, "malformed or too long chunk extension"},
	[BODY_ERROR_CHUNK_END] = {400, "chunk does not end with CR LF"},
	[BODY_ERROR_TRAILER] = {400, "malformed trailer field"},
	[BODY_ERROR_TRAILER_TOO_LARGE] = {431, "trailer section is too large"},
};

uint16_t
body_error_status(enum body_error error)
{
	return error_rows[error].status;
}

const char *
body_error_text(enum body_error error)
{
	return error_rows[error].text;
}

void
body_decoder_init(struct body_decoder *decoder, enum http_framing framing, uint64_t content_length)
{
	static const uint8_t first_states[] = {
		[HTTP_FRAMING_NONE] = BODY_DONE,
		[HTTP_FRAMING_LENGTH] = BODY_PAYLOAD,
		[HTTP_FRAMING_CHUNKED] = CHUNK_SIZE_FIRST,
		[HTTP_FRAMING_CLOSE] = BODY_UNTIL_CLOSE,
	};
	*decoder = (struct body_decoder){.framing = (uint8_t)framing, .state = first_states[framing]};
	if (framing == HTTP_FRAMING_LENGTH)
		decoder->left = content_length;
	if (framing == HTTP_FRAMING_LENGTH && content_length == 0)
		decoder->state = BODY_DONE;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The octet after a chunk-size or a whole extension: a new extension, the end
 * of the line, or BWS, which must lead to an extension. */
static enum body_error
after_part(struct body_decoder *decoder, char c, enum body_state blank, enum body_error error)
{
	if (c == '\r')
		decoder->state = CHUNK_LINE_LF;
	else if (c == ';')
		decoder->state = CHUNK_NAME_FIRST;
	else if (is_blank(c))
		decoder->state = (uint8_t)blank;
	else
		return error;
	return BODY_OK;
}

static enum body_error
step_size(struct body_decoder *decoder, char c)
{
	int digit = hex_value(c);
	if (digit < 0)
		return decoder->state == CHUNK_SIZE_FIRST ? BODY_ERROR_CHUNK_SIZE
		                                          : after_part(decoder, c, CHUNK_BLANK, BODY_ERROR_CHUNK_SIZE);
	if (decoder->left >> (LENGTH_BITS_MAX - 4) != 0)
		return BODY_ERROR_CHUNK_SIZE;
	decoder->left = decoder->left << 4 | (uint64_t)digit;
	decoder->state = CHUNK_SIZE;
	return BODY_OK;
}

/* Moves on at the octet that begins a part; BWS before it is read over. */
static enum body_error
begin_part(struct body_decoder *decoder, char c, enum body_state part)
{
	if (is_blank(c))
		return BODY_OK;
	if (c == '"' && part == CHUNK_VALUE)
		part = CHUNK_QUOTED;
	else if (!http_octet_is(c, HTTP_OCTET_TOKEN))
		return BODY_ERROR_CHUNK_EXTENSION;
	decoder->state = (uint8_t)part;
	return BODY_OK;
}

static enum body_error
step_quoted(struct body_decoder *decoder, char c)
{
	if (http_octet_is(c, HTTP_OCTET_CONTROL))
		return BODY_ERROR_CHUNK_EXTENSION;
	if (decoder->state == CHUNK_QUOTED_PAIR)
		decoder->state = CHUNK_QUOTED;
	else if (c == '\\')
		decoder->state = CHUNK_QUOTED_PAIR;
	else if (c == '"')
		decoder->state = CHUNK_QUOTED_END;
	return BODY_OK;
}

static enum body_error
step_extension(struct body_decoder *decoder, char c)
{
	const enum body_error error = BODY_ERROR_CHUNK_EXTENSION;
	bool token = http_octet_is(c, HTTP_OCTET_TOKEN);
	switch (decoder->state) {
	case CHUNK_BLANK:
		if (c == '\r')
			return error;
		return after_part(decoder, c, CHUNK_BLANK, error);
	case CHUNK_NAME_FIRST:
		return begin_part(decoder, c, CHUNK_NAME);
	case CHUNK_NAME:
	case CHUNK_NAME_BLANK:
		if (c == '=') {
			decoder->state = CHUNK_VALUE_FIRST;
			return BODY_OK;
		}
		if (decoder->state == CHUNK_NAME && token)
			return BODY_OK;
		if (decoder->state == CHUNK_NAME_BLANK && c == '\r')
			return error;
		return after_part(decoder, c, CHUNK_NAME_BLANK, error);
	case CHUNK_VALUE_FIRST:
		return begin_part(decoder, c, CHUNK_VALUE);
	case CHUNK_VALUE:
		return token ? BODY_OK : after_part(decoder, c, CHUNK_BLANK, error);
	case CHUNK_QUOTED_END:
		return after_part(decoder, c, CHUNK_BLANK, error);
	default:
		return step_quoted(decoder, c);
	}
}

/* One octet of the line before a chunk. */
static enum body_error
step_line(struct body_decoder *decoder, char c)
{
	bool in_size = decoder->state <= CHUNK_SIZE;
	enum body_error error;
	if (decoder->state == CHUNK_LINE_LF) {
		if (c != '\n')
			return BODY_ERROR_CHUNK_SIZE;
		decoder->line_bytes = 0;
		decoder->state = decoder->left > 0 ? CHUNK_DATA : TRAILER_FIRST;
		return BODY_OK;
	}
	error = in_size ? step_size(decoder, c) : step_extension(decoder, c);
	if (error != BODY_OK)
		return error;
	if (++decoder->line_bytes > BODY_CHUNK_LINE_BYTES_MAX)
		return in_size ? BODY_ERROR_CHUNK_SIZE : BODY_ERROR_CHUNK_EXTENSION;
	if (decoder->state > CHUNK_SIZE && decoder->state < CHUNK_LINE_LF &&
	    ++decoder->extension_bytes > BODY_EXTENSION_BYTES_MAX)
		return BODY_ERROR_CHUNK_EXTENSION;
	return BODY_OK;
}

/* One octet of the trailer section: field lines as in a head, nothing kept. */
static enum body_error
step_trailer(struct body_decoder *decoder, char c)
{
	if (++decoder->trailer_bytes > BODY_TRAILER_BYTES_MAX)
		return BODY_ERROR_TRAILER_TOO_LARGE;
	switch (decoder->state) {
	case TRAILER_FIRST:
		if (c == '\r')
			decoder->state = TRAILER_LAST_LF;
		else if (http_octet_is(c, HTTP_OCTET_TOKEN))
			decoder->state = TRAILER_NAME;
		else
			return BODY_ERROR_TRAILER;
		return BODY_OK;
	case TRAILER_NAME:
		if (c == ':')
			decoder->state = TRAILER_VALUE;
		return c == ':' || http_octet_is(c, HTTP_OCTET_TOKEN) ? BODY_OK : BODY_ERROR_TRAILER;
	case TRAILER_VALUE:
		if (c == '\r')
			decoder->state = TRAILER_LF;
		return c == '\r' || !http_octet_is(c, HTTP_OCTET_CONTROL) ? BODY_OK : BODY_ERROR_TRAILER;
	default:
		if (c != '\n')
			return BODY_ERROR_TRAILER;
		decoder->state = decoder->state == TRAILER_LF ? TRAILER_FIRST : BODY_DONE;
		return BODY_OK;
	}
}

static enum body_error
step_chunk_end(struct body_decoder *decoder, char c)
{
	if (c != (decoder->state == CHUNK_DATA_CR ? '\r' : '\n'))
		return BODY_ERROR_CHUNK_END;
	decoder->state = decoder->state == CHUNK_DATA_CR ? CHUNK_DATA_LF : CHUNK_SIZE_FIRST;
	return BODY_OK;
}

/* Bytes at the front of data that are payload, and what comes after them. */
static size_t
take_payload(struct body_decoder *decoder, size_t len)
{
	if (decoder->state == BODY_UNTIL_CLOSE)
		return len;
	size_t taken = decoder->left < len ? (size_t)decoder->left : len;
	decoder->left -= taken;
	if (decoder->left == 0)
		decoder->state = decoder->state == CHUNK_DATA ? CHUNK_DATA_CR : BODY_DONE;
	return taken;
}

ptrdiff_t
body_decode(struct body_decoder *decoder, const char *data, size_t len, struct str *payload)
{
	size_t at = 0;
	*payload = str_make(data, 0);
	while (at < len && decoder->state != BODY_DONE) {
		enum body_error error;
		if (decoder->state == CHUNK_DATA || decoder->state == BODY_PAYLOAD ||
		    decoder->state == BODY_UNTIL_CLOSE) {
			/* return at once: an error behind it must not take this payload back */
			*payload = str_make(data + at, take_payload(decoder, len - at));
			return (ptrdiff_t)(at + payload->len);
		}
		if (decoder->state >= TRAILER_FIRST)
			error = step_trailer(decoder, data[at]);
		else if (decoder->state > CHUNK_DATA)
			error = step_chunk_end(decoder, data[at]);
		else
			error = step_line(decoder, data[at]);
		if (error != BODY_OK)
			return -(ptrdiff_t)error;
		at++;
	}
	return (ptrdiff_t)at;
}

bool
body_done(const struct body_decoder *decoder)
{
	return decoder->state == BODY_DONE;
}

bool
body_complete_at_end(const struct body_decoder *decoder)
{
	return decoder->state == BODY_DONE || decoder->state == BODY_UNTIL_CLOSE;
}

enum body_error
body_end_error(const struct body_decoder *decoder)
{
	if (decoder->framing != HTTP_FRAMING_CHUNKED || decoder->state == BODY_DONE || decoder->state == CHUNK_DATA)
		return BODY_OK;
	if (decoder->state >= TRAILER_FIRST)
		return BODY_ERROR_TRAILER;
	return decoder->state > CHUNK_DATA ? BODY_ERROR_CHUNK_END : BODY_ERROR_CHUNK_SIZE;
}

size_t
body_chunk_line(char out[20], uint64_t len)
{
	size_t digits = 1;
	for (uint64_t rest = len >> 4; rest != 0; rest >>= 4)
		digits++;
	for (size_t i = digits; i > 0; i--) {
		out[i - 1] = "0123456789abcdef"[len & 15];
		len >>= 4;
	}
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}
