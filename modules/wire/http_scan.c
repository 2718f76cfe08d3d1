#include "wire/http.h"

#include "wire/http_line.h"
#include "wire/http_octet.h"

/*
 * Every check here is decided at one octet and in the order of the octets, so
 * that the answer is the same however the head was cut into pieces.
 */

enum {
	EMPTY_LINES_MAX = 8, /* before a request line; RFC 9112 section 2.2 asks for one */
};

enum scan_state {
	SCAN_BEFORE, /* nothing but empty lines so far */
	SCAN_FIRST,  /* in the request or status line */
	SCAN_BEGIN,  /* at the beginning of a field line */
	SCAN_FIELD,  /* in a field line */
};

/* Each step ends so: go on with the next, wait for more bytes, or an error. */
enum step { STEP_NEXT, STEP_MORE, STEP_DONE, STEP_ERROR };

struct walk {
	struct http_scan *scan;
	enum http_kind kind;
	enum http_error error;
	const char *data;
	const char *at;
	const char *end;
};

static enum step
refuse(struct walk *walk, enum http_error error)
{
	walk->error = error;
	return STEP_ERROR;
}

/* At a CR: is the LF there? */
static enum step
expect_lf(struct walk *walk)
{
	if (walk->end - walk->at < 2)
		return STEP_MORE;
	if (walk->at[1] != '\n')
		return refuse(walk, HTTP_ERROR_LINE_END);
	walk->at += 2;
	return STEP_NEXT;
}

/* What can not begin a first line; called at its first octet. */
static enum http_error
first_octet_error(enum http_kind kind, char c)
{
	if (http_octet_is(c, HTTP_OCTET_CONTROL))
		return http_line_octet_error(c);
	if (kind == HTTP_RESPONSE)
		return c == 'H' ? HTTP_OK : HTTP_ERROR_STATUS;
	return http_octet_is(c, HTTP_OCTET_TOKEN) ? HTTP_OK : HTTP_ERROR_METHOD;
}

static enum step
step_before(struct walk *walk)
{
	struct http_scan *scan = walk->scan;
	while (walk->at < walk->end && *walk->at == '\r') {
		if (walk->kind == HTTP_RESPONSE)
			return refuse(walk, HTTP_ERROR_STATUS);
		enum step step = expect_lf(walk);
		if (step != STEP_NEXT)
			return step;
		scan->skipped += 2;
		if (scan->skipped > 2 * EMPTY_LINES_MAX)
			return refuse(walk, HTTP_ERROR_LINE);
	}
	if (walk->at == walk->end)
		return STEP_MORE;
	enum http_error error = first_octet_error(walk->kind, *walk->at);
	if (error != HTTP_OK)
		return refuse(walk, error);
	scan->line_start = (uint32_t)(walk->at - walk->data);
	scan->state = SCAN_FIRST;
	return STEP_NEXT;
}

/* The error of a first line that is complete, or HTTP_OK. */
static enum http_error
first_line_error(enum http_kind kind, const char *line, const char *end)
{
	enum http_error error;
	if (kind == HTTP_RESPONSE) {
		struct http_response response;
		error = http_line_status(&response, &line, end);
	} else {
		struct http_request request;
		error = http_line_request(&request, &line, end);
	}
	return error;
}

/* An octet of a request line that can stand in none. */
static enum http_error
request_octet_error(const char *line, const char *at)
{
	if (*at == '\t')
		return HTTP_ERROR_LINE;
	if (http_octet_is(*at, HTTP_OCTET_CONTROL))
		return http_line_octet_error(*at);
	return memchr(line, ' ', (size_t)(at - line)) == NULL ? HTTP_ERROR_METHOD : HTTP_ERROR_TARGET;
}

static enum step
step_first(struct walk *walk)
{
	const char *line = walk->data + walk->scan->line_start;
	const char *limit = line + HTTP_REQUEST_LINE_BYTES_MAX + 1;
	const char *end = limit < walk->end ? limit : walk->end;
	walk->at = walk->kind == HTTP_REQUEST ? http_octet_find_no_line(walk->at, end)
	                                      : http_octet_find_control(line, walk->at, end);
	if (walk->at == end)
		return end == limit ? refuse(walk, HTTP_ERROR_LINE_TOO_LONG) : STEP_MORE;
	if (*walk->at != '\r')
		return refuse(walk, walk->kind == HTTP_REQUEST ? request_octet_error(line, walk->at)
		                                               : http_line_octet_error(*walk->at));
	enum step step = expect_lf(walk);
	if (step != STEP_NEXT)
		return step;
	/* A whole line must be right: an old or foreign protocol may send nothing
	 * more.  The parser reads it again, so a line that looks good is left to it. */
	const char *version = walk->at - 2 - 9;
	if (walk->kind == HTTP_RESPONSE || version < line || memcmp(version, " HTTP/1.", 8) != 0) {
		enum http_error error = first_line_error(walk->kind, line, walk->at);
		if (error != HTTP_OK)
			return refuse(walk, error);
	}
	walk->scan->state = SCAN_BEGIN;
	return STEP_NEXT;
}

/* The field lines and the empty line after them.  The hot loop: one turn a
 * line; everything that is not a plain line leaves it. */
static enum step
step_fields(struct walk *walk)
{
	const char *at = walk->at, *const end = walk->end;
	bool in_line = walk->scan->state == SCAN_FIELD;
	while (in_line || (at < end && !http_octet_is(*at, HTTP_OCTET_CONTROL) && *at != ' ' && *at != '\t')) {
		at = http_octet_find_control(walk->data, at, end);
		if (end - at < 2 || at[0] != '\r' || at[1] != '\n') {
			in_line = true;
			break;
		}
		at += 2;
		in_line = false;
	}
	walk->at = at;
	walk->scan->state = in_line ? SCAN_FIELD : SCAN_BEGIN;
	if (at == end)
		return STEP_MORE;
	if (*at != '\r')
		return refuse(walk, *at == ' ' || *at == '\t' ? HTTP_ERROR_FIELD_FOLD : http_line_octet_error(*at));
	enum step step = expect_lf(walk);
	return step == STEP_NEXT ? STEP_DONE : step;
}

static enum step
walk_lines(struct walk *walk)
{
	enum step step = STEP_NEXT;
	if (walk->scan->state == SCAN_BEFORE)
		step = step_before(walk);
	if (step == STEP_NEXT && walk->scan->state == SCAN_FIRST)
		step = step_first(walk);
	if (step == STEP_NEXT)
		step = step_fields(walk);
	return step;
}

int
http_scan(struct http_scan *scan, enum http_kind kind, const char *data, size_t len)
{
	if (len <= scan->at)
		return 0;
	size_t bounded = len < HTTP_HEAD_BYTES_MAX ? len : HTTP_HEAD_BYTES_MAX;
	struct walk walk = {.scan = scan, .kind = kind, .data = data, .at = data + scan->at, .end = data + bounded};
	switch (walk_lines(&walk)) {
	case STEP_DONE:
		scan->at = (uint32_t)(walk.at - data);
		return (int)scan->at;
	case STEP_ERROR:
		return -(int)walk.error;
	case STEP_MORE:
	case STEP_NEXT:
	default:
		scan->at = (uint32_t)(walk.at - data);
		return bounded == HTTP_HEAD_BYTES_MAX ? -HTTP_ERROR_HEAD_TOO_LARGE : 0;
	}
}

/* The names of the field lines at..end; the last line may be cut. */
static enum http_error
names_error(const char *at, const char *end)
{
	while (at < end && *at != '\r') {
		const char *stop = http_octet_skip(at, end, HTTP_OCTET_TOKEN);
		if (stop == end)
			return HTTP_OK;
		if (*stop != ':' || stop == at)
			return HTTP_ERROR_FIELD_NAME;
		at = http_octet_find_control(at, stop, end);
		if (end - at < 2)
			return HTTP_OK;
		at += 2;
	}
	return HTTP_OK;
}

/* A first line that is cut short: only its method can be judged. */
static enum http_error
cut_line_error(enum http_kind kind, const char *line, size_t len)
{
	if (kind == HTTP_RESPONSE) {
		struct str begin = STR("HTTP/1.");
		size_t shared = len < begin.len ? len : begin.len;
		return memcmp(line, begin.data, shared) == 0 ? HTTP_OK : HTTP_ERROR_STATUS;
	}
	const char *stop = http_octet_skip(line, line + len, HTTP_OCTET_TOKEN);
	if (stop == line + len)
		return HTTP_OK;
	return *stop == ' ' ? HTTP_OK : *stop == '\r' ? HTTP_ERROR_LINE : HTTP_ERROR_METHOD;
}

enum http_error
http_scan_end(const struct http_scan *scan, enum http_kind kind, const char *data, size_t len)
{
	const char *end = data + len;
	if (scan->state == SCAN_BEFORE)
		return HTTP_OK;
	if (scan->state == SCAN_FIRST)
		return cut_line_error(kind, data + scan->line_start, len - scan->line_start);
	const char *line = data + scan->skipped;
	enum http_error error = first_line_error(kind, line, end);
	if (error != HTTP_OK)
		return error;
	return names_error(http_octet_find_control(line, line, end) + 2, end);
}
