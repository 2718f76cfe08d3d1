/*
 * body: the bytes between a head and the end of its message (RFC 9112
 * section 6 and 7).  A decoder finds the payload in place and says when the
 * message is over; it copies nothing, owns nothing and reads no descriptor.
 */
#ifndef WIRE_BODY_H
#define WIRE_BODY_H

#include "wire/http.h"

enum {
	BODY_CHUNK_LINE_BYTES_MAX = 256,      /* size and extensions of one chunk */
	BODY_EXTENSION_BYTES_MAX = 16 * 1024, /* all extensions of one body */
	BODY_TRAILER_BYTES_MAX = 8 * 1024,
};

enum body_error {
	BODY_OK,
	BODY_ERROR_CHUNK_SIZE,        /* not 1*HEXDIG, or it overflows */
	BODY_ERROR_CHUNK_EXTENSION,   /* malformed, a control octet, or too long */
	BODY_ERROR_CHUNK_END,         /* no CRLF after the data */
	BODY_ERROR_TRAILER,           /* malformed trailer field: 400 */
	BODY_ERROR_TRAILER_TOO_LARGE, /* 431 */
	BODY_ERROR_N
};
uint16_t body_error_status(enum body_error error); /* for a request */
const char *body_error_text(enum body_error error);

struct body_decoder {
	uint8_t framing;     /* enum http_framing */
	uint8_t state;       /* private */
	uint64_t left;       /* of the body or of the chunk, bytes */
	uint32_t line_bytes; /* private */
	uint32_t extension_bytes;
	uint32_t trailer_bytes;
};

void body_decoder_init(struct body_decoder *decoder, enum http_framing framing, uint64_t content_length);

/*
 * Reads from data[0..len).  Returns how many bytes it has consumed, and sets
 * *payload to the payload among them (it may be empty; it is one contiguous
 * run, so call again while bytes are left and the body is not done).
 * Returns -(enum body_error) when the body is malformed.
 * Trailers are checked, consumed and dropped (RFC 9110 section 6.5.1 allows it).
 */
ptrdiff_t body_decode(struct body_decoder *decoder, const char *data, size_t len, struct str *payload) must_check;

/* The whole body was consumed; never true for HTTP_FRAMING_CLOSE. */
bool body_done(const struct body_decoder *decoder);

/* What the end of the connection means at this place: true when the body is
 * complete (done, or framing CLOSE), false when it was cut short. */
bool body_complete_at_end(const struct body_decoder *decoder);

/* When it was cut short: why what is there is malformed (a chunked body that
 * ends between two chunks, RFC 9112 section 8), or BODY_OK when bytes of
 * payload are missing and nothing else can be said. */
enum body_error body_end_error(const struct body_decoder *decoder);

/* "1a\r\n": the line before a chunk of len > 0 bytes; after the data comes
 * "\r\n", after the last chunk BODY_LAST_CHUNK.  Returns the line's length. */
size_t body_chunk_line(char out[20], uint64_t len);
#define BODY_LAST_CHUNK STR("0\r\n\r\n")

#endif
