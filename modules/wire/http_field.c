#include "wire/http_field.h"

#include "wire/http_line.h"
#include "wire/http_octet.h"

struct name_row {
	struct str name; /* in small letters */
	uint16_t id;
	uint16_t flags;
};

enum { NAME_SLOTS = 64, NAME_BYTES_MIN = 2 };

/* An octet of a clean name, letters made small: or-ing 0x20 folds
 * [A-Za-z] and changes no digit and no hyphen. */
static inline unsigned int
folded(char c)
{
	return (unsigned char)c | 0x20U;
}

/* A perfect hash over the names below; its four factors were found by trial.
 * A new name that lands on a taken slot is a compiler warning, one in a wrong
 * slot fails test_http_field. */
static inline unsigned int
name_slot(struct str name)
{
	const char *last = name.data + name.len - 1;
	unsigned int sum =
		(unsigned int)name.len * 11 + folded(name.data[0]) * 4 + folded(last[0]) * 4 + folded(last[-1]) * 33;
	return sum % NAME_SLOTS;
}

static const struct name_row names[NAME_SLOTS] = {
	[0] = {STR("user-agent"), HTTP_FIELD_USER_AGENT, 0},
	[1] = {STR("connection"), HTTP_FIELD_CONNECTION, HTTP_FIELD_HOP},
	[4] = {STR("date"), HTTP_FIELD_DATE, 0},
	[7] = {STR("x-request-start"), HTTP_FIELD_X_REQUEST_START, 0},
	[9] = {STR("x-sendfile-type"), HTTP_FIELD_SENDFILE_TYPE, 0},
	[11] = {STR("x-forwarded-proto"), HTTP_FIELD_X_FORWARDED_PROTO, 0},
	[13] = {STR("http2-settings"), HTTP_FIELD_HTTP2_SETTINGS, HTTP_FIELD_HOP},
	[14] = {STR("proxy-authenticate"), HTTP_FIELD_PROXY_AUTHENTICATE, HTTP_FIELD_HOP},
	[15] = {STR("x-accel-mapping"), HTTP_FIELD_SENDFILE_TYPE, 0},
	[16] = {STR("forwarded"), HTTP_FIELD_X_FORWARDED_OTHER, 0},
	[18] = {STR("x-forwarded-port"), HTTP_FIELD_X_FORWARDED_PORT, 0},
	[19] = {STR("proxy"), HTTP_FIELD_PROXY, 0},
	[20] = {STR("content-type"), HTTP_FIELD_CONTENT_TYPE, 0},
	[21] = {STR("transfer-encoding"), HTTP_FIELD_TRANSFER_ENCODING, HTTP_FIELD_HOP},
	[22] = {STR("x-passenger-connect-password"), HTTP_FIELD_CONNECT_PASSWORD, 0},
	[23] = {STR("set-cookie"), HTTP_FIELD_SET_COOKIE, 0},
	[24] = {STR("proxy-authorization"), HTTP_FIELD_PROXY_AUTHORIZATION, HTTP_FIELD_HOP},
	[25] = {STR("upgrade"), HTTP_FIELD_UPGRADE, HTTP_FIELD_HOP},
	[27] = {STR("server"), HTTP_FIELD_SERVER, 0},
	[28] = {STR("x-forwarded-for"), HTTP_FIELD_X_FORWARDED_FOR, 0},
	[29] = {STR("x-passenger-connect-bypass"), HTTP_FIELD_CONNECT_BYPASS, 0},
	[34] = {STR("referer"), HTTP_FIELD_REFERER, 0},
	[36] = {STR("keep-alive"), HTTP_FIELD_KEEP_ALIVE, HTTP_FIELD_HOP},
	[41] = {STR("expect"), HTTP_FIELD_EXPECT, 0},
	[42] = {STR("trailer"), HTTP_FIELD_TRAILER, HTTP_FIELD_HOP},
	[43] = {STR("cookie"), HTTP_FIELD_COOKIE, 0},
	[46] = {STR("te"), HTTP_FIELD_TE, HTTP_FIELD_HOP},
	[47] = {STR("host"), HTTP_FIELD_HOST, 0},
	[51] = {STR("x-forwarded-host"), HTTP_FIELD_X_FORWARDED_HOST, 0},
	[55] = {STR("proxy-connection"), HTTP_FIELD_PROXY_CONNECTION, HTTP_FIELD_HOP},
	[58] = {STR("content-length"), HTTP_FIELD_CONTENT_LENGTH, 0},
	[60] = {STR("x-remote-user"), HTTP_FIELD_X_REMOTE_USER, 0},
	[61] = {STR("x-request-id"), HTTP_FIELD_X_REQUEST_ID, 0},
};

static bool
begins(struct str name, struct str small)
{
	return name.len > small.len && http_field_same(str_make(name.data, small.len), small);
}

/* The id of a clean name; *flags gets what the name tells. */
static inline uint16_t
find_clean(struct str name, uint16_t *flags)
{
	*flags = 0;
	if (name.len < NAME_BYTES_MIN)
		return HTTP_FIELD_OTHER;
	const struct name_row *row = &names[name_slot(name)];
	if (http_field_same(name, row->name)) {
		*flags = row->flags;
		return row->id;
	}
	if (folded(name.data[0]) != 'x' || name.data[1] != '-')
		return HTTP_FIELD_OTHER;
	if (begins(name, STR("x-passenger-")))
		return HTTP_FIELD_PASSENGER;
	return begins(name, STR("x-forwarded-")) ? HTTP_FIELD_X_FORWARDED_OTHER : HTTP_FIELD_OTHER;
}

/* A name with an octet that CGI would turn into '_': only the namespace of the
 * original's secure headers is known among these. */
static enum http_field_id
find_dirty(struct str name)
{
	return name.len >= 2 && name.data[0] == '!' && name.data[1] == '~' ? HTTP_FIELD_PASSENGER : HTTP_FIELD_OTHER;
}

/* Why a name ends at an octet that is not a colon. */
static enum http_error
name_error(const char *stop, const char *end)
{
	if (stop == end || *stop == '\t' || !http_octet_is(*stop, HTTP_OCTET_CONTROL))
		return HTTP_ERROR_FIELD_NAME;
	if (*stop == '\r' && end - stop >= 2 && stop[1] == '\n')
		return HTTP_ERROR_FIELD_NAME;
	return http_line_octet_error(*stop);
}

/* name ":" OWS value OWS CRLF; moves *at behind it. */
static inline enum http_error
read_line(struct http_field *field, const char **at, const char *end)
{
	const char *const begin = *at;
	bool clean;
	const char *stop = http_octet_find_name_end(begin, end, &clean);
	if (stop == end || *stop != ':' || stop == begin)
		return *begin == ' ' || *begin == '\t' ? HTTP_ERROR_FIELD_FOLD : name_error(stop, end);
	field->name = str_make(begin, (size_t)(stop - begin));
	if (clean) {
		field->id = find_clean(field->name, &field->flags);
	} else {
		field->id = (uint16_t)find_dirty(field->name);
		field->flags = HTTP_FIELD_NAME_DIRTY;
	}
	do
		stop++;
	while (stop < end && (*stop == ' ' || *stop == '\t'));
	const char *value = stop;
	stop = http_octet_find_control(begin, value, end);
	if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
		return stop == end ? HTTP_ERROR_LINE_END : http_line_octet_error(*stop);
	*at = stop + 2;
	while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	field->value = str_make(value, (size_t)(stop - value));
	return HTTP_OK;
}

enum http_error
http_field_read(struct http_field *fields, uint32_t *count, struct http_field_set *set, const char *at, const char *end)
{
	uint64_t seen = 0, doubled = 0;
	uint32_t n = 0;
	while (at < end && *at != '\r') {
		if (n == HTTP_FIELDS_MAX)
			return HTTP_ERROR_TOO_MANY_FIELDS;
		enum http_error error = read_line(&fields[n], &at, end);
		if (error != HTTP_OK)
			return error;
		uint64_t bit = UINT64_C(1) << fields[n].id;
		doubled |= seen & bit;
		seen |= bit;
		set->place[fields[n].id] = (uint8_t)n;
		n++;
	}
	if (end - at != 2 || at[0] != '\r' || at[1] != '\n')
		return HTTP_ERROR_LINE_END;
	set->seen = seen;
	set->doubled = doubled;
	*count = n;
	return HTTP_OK;
}
