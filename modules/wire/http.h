/*
 * http: HTTP/1.x message heads (RFC 9112), one strict parser for requests and
 * responses.  Bytes in, meaning out: no descriptors, no memory of its own, no
 * lenient mode.  What is ambiguous is refused, never repaired.
 *
 * It works in two steps, so that a head that comes byte by byte costs O(n):
 *   1. http_scan() walks over the new bytes, finds the end of the head and
 *      refuses early what can never become a head.
 *   2. http_parse_request() / http_parse_response() read one whole head.
 * Everything that a parse yields points into the caller's bytes, but the path
 * "/" of an absolute-form target that has none.
 *
 * Fields that Connection names are hop-by-hop, except those that frame, route or
 * vouch for the message (Host, Content-Length, X-Forwarded-*, X-Passenger-* ...):
 * nobody can have them stripped by naming them.
 */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include "base/str.h"

enum {
	HTTP_REQUEST_LINE_BYTES_MAX = 16 * 1024, /* beyond: 414 */
	HTTP_HEAD_BYTES_MAX = 64 * 1024,         /* whole head, beyond: 431 */
	HTTP_FIELDS_MAX = 200,                   /* beyond: 431 */
};

/* Why a head was refused.  One row an error: see http_error_row(). */
enum http_error {
	HTTP_OK,
	HTTP_ERROR_LINE,              /* request line is not METHOD SP target SP HTTP/1.x CRLF */
	HTTP_ERROR_METHOD,            /* non-token method */
	HTTP_ERROR_TARGET,            /* not origin-, absolute- or (OPTIONS) asterisk-form, or a bad octet */
	HTTP_ERROR_VERSION,           /* malformed version: 400 */
	HTTP_ERROR_VERSION_MAJOR,     /* well-formed, not 1.x: 505 */
	HTTP_ERROR_LINE_END,          /* bare CR or bare LF */
	HTTP_ERROR_OCTET,             /* NUL or another control octet */
	HTTP_ERROR_FIELD_NAME,        /* empty, non-token, or blank before the colon, or no colon */
	HTTP_ERROR_FIELD_FOLD,        /* obs-fold */
	HTTP_ERROR_HOST,              /* missing, doubled, or not a host[:port] */
	HTTP_ERROR_LENGTH,            /* Content-Length not 1*DIGIT, or given twice, or over 2^63-1 */
	HTTP_ERROR_LENGTH_TOO_LARGE,  /* 413 */
	HTTP_ERROR_LENGTH_AND_CODING, /* both lengths */
	HTTP_ERROR_CODING,            /* Transfer-Encoding that cannot be framed: 400 */
	HTTP_ERROR_CODING_UNKNOWN,    /* a well-formed coding we do not implement: 501 */
	HTTP_ERROR_CODING_VERSION,    /* Transfer-Encoding in HTTP/1.0 */
	HTTP_ERROR_CONNECTION,        /* an option of Connection is no token, or there are over 32 */
	HTTP_ERROR_EXPECT,            /* unknown expectation: 417 */
	HTTP_ERROR_METHOD_REFUSED,    /* CONNECT, TRACE: 405 */
	HTTP_ERROR_UPGRADE_BODY,      /* Upgrade together with a body */
	HTTP_ERROR_LINE_TOO_LONG,     /* 414 */
	HTTP_ERROR_HEAD_TOO_LARGE,    /* 431 */
	HTTP_ERROR_TOO_MANY_FIELDS,   /* 431 */
	HTTP_ERROR_STATUS,            /* response: status line is not HTTP/1.x SP 3DIGIT SP reason */
	HTTP_ERROR_N
};

struct http_error_row {
	uint16_t status;  /* what a front client gets for it (a bad response head is always 502) */
	const char *text; /* for the log and the body: what is wrong, in a few words */
};
const struct http_error_row *http_error_row(enum http_error error);

/* Fields whose meaning we use; all others are HTTP_FIELD_OTHER. */
enum http_field_id {
	HTTP_FIELD_OTHER,
	HTTP_FIELD_HOST,
	HTTP_FIELD_CONNECTION,
	HTTP_FIELD_CONTENT_LENGTH,
	HTTP_FIELD_CONTENT_TYPE,
	HTTP_FIELD_TRANSFER_ENCODING,
	HTTP_FIELD_TE,
	HTTP_FIELD_TRAILER,
	HTTP_FIELD_UPGRADE,
	HTTP_FIELD_EXPECT,
	HTTP_FIELD_KEEP_ALIVE,
	HTTP_FIELD_PROXY_CONNECTION,
	HTTP_FIELD_PROXY, /* httpoxy */
	HTTP_FIELD_PROXY_AUTHORIZATION,
	HTTP_FIELD_PROXY_AUTHENTICATE,
	HTTP_FIELD_HTTP2_SETTINGS,
	HTTP_FIELD_SENDFILE_TYPE, /* X-Sendfile-Type, X-Accel-Mapping: a client must not set them */
	HTTP_FIELD_X_FORWARDED_FOR,
	HTTP_FIELD_X_FORWARDED_PROTO,
	HTTP_FIELD_X_FORWARDED_HOST,
	HTTP_FIELD_X_FORWARDED_PORT,
	HTTP_FIELD_X_FORWARDED_OTHER, /* X-Forwarded-Server, Forwarded, … */
	HTTP_FIELD_X_REMOTE_USER,
	HTTP_FIELD_X_REQUEST_ID,
	HTTP_FIELD_X_REQUEST_START,
	HTTP_FIELD_USER_AGENT,
	HTTP_FIELD_REFERER,
	HTTP_FIELD_COOKIE,
	HTTP_FIELD_DATE,
	HTTP_FIELD_SERVER,
	HTTP_FIELD_SET_COOKIE,
	HTTP_FIELD_CONNECT_PASSWORD, /* X-Passenger-Connect-Password */
	HTTP_FIELD_CONNECT_BYPASS,   /* X-Passenger-Connect-Bypass */
	HTTP_FIELD_PASSENGER,        /* any other X-Passenger-* and the !~ namespace */
	HTTP_FIELD_N
};

enum http_field_flag {
	HTTP_FIELD_HOP = 1 << 0, /* hop-by-hop (RFC 9110 section 7.6.1), by name or named in Connection */
	HTTP_FIELD_NAME_DIRTY =
		1 << 1, /* name has an octet outside [A-Za-z0-9-]: collides after CGI mapping, never reaches an app */
};

struct http_field {
	struct str name;
	struct str value; /* OWS at both ends is off */
	uint16_t id;      /* enum http_field_id */
	uint16_t flags;   /* enum http_field_flag */
};

enum http_framing {
	HTTP_FRAMING_NONE,   /* no body */
	HTTP_FRAMING_LENGTH, /* content_length bytes, which may be 0 */
	HTTP_FRAMING_CHUNKED,
	HTTP_FRAMING_CLOSE, /* responses only: until the connection ends */
};

enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_N
};

struct http_scan {
	uint32_t at;         /* bytes looked at so far */
	uint32_t line_start; /* where the request or status line begins */
	uint32_t skipped;    /* empty lines before the request line (RFC 9112 section 2.2), in bytes */
	uint8_t state;       /* private */
};

enum http_kind { HTTP_REQUEST, HTTP_RESPONSE };

/*
 * Looks at bytes scan->at .. len of a head that begins at data[0].
 * >0: the head is complete and this long, the blank line and the skipped empty
 *     lines at its beginning included; 0: more bytes are needed; <0: -(enum
 *     http_error).  Zero the struct before the first call; the same bytes may
 *     have moved in memory between two calls, but not changed.
 */
int http_scan(struct http_scan *scan, enum http_kind kind, const char *data, size_t len) must_check;

/* At the end of input in the middle of a head: why what is there can not be
 * the beginning of a head, or HTTP_OK when it was only cut short. */
enum http_error http_scan_end(const struct http_scan *scan, enum http_kind kind, const char *data, size_t len);

struct http_request {
	struct str method;
	struct str target;    /* as sent */
	struct str authority; /* absolute-form's, else Host's value; may be empty */
	struct str path;      /* begins with '/', or "*"; not decoded */
	struct str query;     /* after '?', not decoded; data is NULL when there is no '?' */
	struct str upgrade;   /* value of Upgrade when Connection names it, else empty (h2c counts as none) */
	enum http_method method_id;
	uint8_t minor;             /* 0 or 1 (a higher minor is treated as 1) */
	bool keep_alive;           /* what the client asks for (RFC 9112 section 9.3) */
	bool expect_continue;      /* and content is to come */
	enum http_framing framing; /* NONE, LENGTH, CHUNKED */
	uint64_t content_length;
	uint32_t field_count;
	struct http_field fields[HTTP_FIELDS_MAX];
};

/* One whole head as http_scan() measured it (skipped: scan->skipped). */
enum http_error http_parse_request(struct http_request *request, const char *head, size_t len,
                                   size_t skipped) must_check;

struct http_response {
	uint16_t status;
	struct str reason;
	uint8_t minor;
	bool keep_alive;           /* the application's connection can be used again */
	enum http_framing framing; /* as the head says, corrected for status and HEAD: NONE for 1xx, 204, 304 and to HEAD */
	uint64_t content_length;
	bool has_content_length; /* also for 304 and HEAD, where it describes another message */
	struct str upgrade;      /* 101 only */
	uint32_t field_count;
	struct http_field fields[HTTP_FIELDS_MAX];
};

/* request_method: what was asked; HEAD changes the framing (RFC 9112 section 6.3). */
enum http_error http_parse_response(struct http_response *response, enum http_method request_method, const char *head,
                                    size_t len) must_check;

/* The reason phrase of a status code, or "Unknown". */
struct str http_reason(uint16_t status);

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7); out has 30 bytes. */
void http_date(char out[30], int64_t unix_seconds);

/* Safe to send twice when nothing was answered: GET HEAD OPTIONS (RFC 9110 section 9.2.1). */
static inline bool
http_method_safe(enum http_method method)
{
	return method == HTTP_METHOD_GET || method == HTTP_METHOD_HEAD || method == HTTP_METHOD_OPTIONS;
}

#endif
