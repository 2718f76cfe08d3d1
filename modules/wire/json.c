#include "wire/json.h"

#include <assert.h>

struct json
json_begin(struct buf *buf)
{
	return (struct json){.buf = buf, .places = {[0] = JSON_VALUE}};
}

bool
json_finished(const struct json *json)
{
	return json->depth == 0 && json->places[0] == JSON_FINISHED;
}

/* The place in the innermost object or array. */
static uint8_t *
here(struct json *json)
{
	return &json->places[json->depth];
}

/* Every value begins here. */
static void
before_value(struct json *json)
{
	uint8_t *place = here(json);
	switch (*place) {
	case JSON_VALUE:
		*place = JSON_FINISHED;
		return;
	case JSON_OBJECT_VALUE:
		*place = JSON_OBJECT_NEXT;
		return;
	case JSON_ARRAY_NEXT:
		buf_append_char(json->buf, ',');
		return;
	case JSON_ARRAY_FIRST:
		*place = JSON_ARRAY_NEXT;
		return;
	default:
		assert(!"a JSON value stands where none may be");
	}
}

static void
open_level(struct json *json, char c, enum json_place first)
{
	before_value(json);
	assert(json->depth < JSON_DEPTH_MAX);
	buf_append_char(json->buf, c);
	json->depth++;
	*here(json) = (uint8_t)first;
}

static void
close_level(struct json *json, char c, enum json_place first, enum json_place next)
{
	assert(json->depth > 0 && (*here(json) == first || *here(json) == next));
	json->depth--;
	buf_append_char(json->buf, c);
}

void
json_begin_object(struct json *json)
{
	open_level(json, '{', JSON_OBJECT_FIRST);
}

void
json_end_object(struct json *json)
{
	close_level(json, '}', JSON_OBJECT_FIRST, JSON_OBJECT_NEXT);
}

void
json_begin_array(struct json *json)
{
	open_level(json, '[', JSON_ARRAY_FIRST);
}

void
json_end_array(struct json *json)
{
	close_level(json, ']', JSON_ARRAY_FIRST, JSON_ARRAY_NEXT);
}

/*
 * The length of the UTF-8 character at the front of s, or minus the length of
 * the part there that is not one (Unicode table 3-7: no overlong form, no
 * surrogate, nothing over U+10FFFF).
 */
static int
character_len(struct str s)
{
	unsigned char lead = (unsigned char)s.data[0];
	unsigned char low = 0x80, high = 0xbf; /* of the second octet */
	int len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
	if (len == 0)
		return -1;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	for (int i = 1; i < len; i++) {
		unsigned char c = (size_t)i < s.len ? (unsigned char)s.data[i] : 0;
		if (c < low || c > high)
			return -i;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

static bool
is_plain(char c)
{
	unsigned char octet = (unsigned char)c;
	return octet >= 0x20 && octet < 0x7f && c != '"' && c != '\\';
}

static void
append_escape(struct buf *buf, unsigned int code_point)
{
	static const char hex[] = "0123456789abcdef";
	static const char short_forms[][2] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
	                                      {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
	for (size_t i = 0; i < array_count(short_forms); i++) {
		if ((unsigned char)short_forms[i][0] == code_point) {
			char text[] = {'\\', short_forms[i][1]};
			buf_append(buf, text, sizeof(text));
			return;
		}
	}
	char text[] = {'\\',
	               'u',
	               hex[code_point >> 12 & 15],
	               hex[code_point >> 8 & 15],
	               hex[code_point >> 4 & 15],
	               hex[code_point & 15]};
	buf_append(buf, text, sizeof(text));
}

/* One character that is not plain; returns its length. */
static size_t
append_special(struct buf *buf, struct str s)
{
	int len = character_len(s);
	const unsigned char *octets = (const unsigned char *)s.data;
	if (len < 0) {
		buf_append_str(buf, STR("\xef\xbf\xbd"));
		return (size_t)-len;
	}
	if (len == 1)
		append_escape(buf, octets[0]);
	else if (octets[0] == 0xc2 && octets[1] < 0xa0)
		append_escape(buf, octets[1]);
	else if (octets[0] == 0xe2 && octets[1] == 0x80 && (octets[2] == 0xa8 || octets[2] == 0xa9))
		append_escape(buf, 0x2000U + octets[2] - 0x80U);
	else
		buf_append(buf, s.data, (size_t)len);
	return (size_t)len;
}

static void
append_string(struct buf *buf, struct str s)
{
	buf_append_char(buf, '"');
	while (s.len > 0) {
		size_t len = 0;
		while (len < s.len && is_plain(s.data[len]))
			len++;
		if (len > 0)
			buf_append(buf, s.data, len);
		else
			len = append_special(buf, s);
		s = str_make(s.data + len, s.len - len);
	}
	buf_append_char(buf, '"');
}

void
json_key(struct json *json, struct str key)
{
	uint8_t *place = here(json);
	assert(*place == JSON_OBJECT_FIRST || *place == JSON_OBJECT_NEXT);
	if (*place == JSON_OBJECT_NEXT)
		buf_append_char(json->buf, ',');
	*place = JSON_OBJECT_VALUE;
	append_string(json->buf, key);
	buf_append_char(json->buf, ':');
}

void
json_string(struct json *json, struct str value)
{
	before_value(json);
	append_string(json->buf, value);
}

void
json_string_z(struct json *json, const char *value)
{
	if (value == NULL)
		json_null(json);
	else
		json_string(json, str_from(value));
}

static void
append_number(struct buf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	buf_append(buf, digits + at, sizeof(digits) - at);
}

void
json_u64(struct json *json, uint64_t value)
{
	before_value(json);
	append_number(json->buf, value);
}

void
json_i64(struct json *json, int64_t value)
{
	before_value(json);
	if (value < 0)
		buf_append_char(json->buf, '-');
	append_number(json->buf, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void
json_bool(struct json *json, bool value)
{
	before_value(json);
	buf_append_str(json->buf, value ? STR("true") : STR("false"));
}

void
json_null(struct json *json)
{
	before_value(json);
	buf_append_str(json->buf, STR("null"));
}
