/*
 * json: writes JSON (RFC 8259) at the end of a buf, compact, in one pass.  It
 * puts the commas and colons; it reads nothing and keeps nothing but the place
 * it is at.  The buf belongs to the caller, and what is in it already stays.
 *
 *     struct json json = json_begin(&buf);
 *     json_begin_object(&json);
 *     json_key(&json, STR("pid"));
 *     json_u64(&json, 4711);
 *     json_end_object(&json);
 *
 * A value without its key, a key in an array, or more than JSON_DEPTH_MAX open
 * objects and arrays are our own bugs: they assert.
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/buf.h"

enum { JSON_DEPTH_MAX = 32 };

/* Private. */
enum json_place {
	JSON_VALUE,        /* at the top, before the one value */
	JSON_FINISHED,     /* at the top, after it */
	JSON_OBJECT_FIRST, /* after '{' */
	JSON_OBJECT_NEXT,  /* after a member */
	JSON_OBJECT_VALUE, /* after a key */
	JSON_ARRAY_FIRST,
	JSON_ARRAY_NEXT,
};

struct json {
	struct buf *buf;
	uint32_t depth;
	uint8_t places[JSON_DEPTH_MAX + 1]; /* enum json_place, one a level */
};

struct json json_begin(struct buf *buf);
/* True when one whole value was written, so that the text is valid JSON. */
bool json_finished(const struct json *json);

void json_begin_object(struct json *json);
void json_end_object(struct json *json);
void json_begin_array(struct json *json);
void json_end_array(struct json *json);
void json_key(struct json *json, struct str key);

/*
 * Bytes that are not UTF-8 become U+FFFD, one for each maximal part that can
 * not be continued (Unicode section 3.9).  Control characters, U+007F to
 * U+009F, U+2028 and U+2029 are escaped, so that the text does no harm in a
 * terminal or a script.  A string whose data is NULL is an empty string.
 */
void json_string(struct json *json, struct str value);
/* NULL becomes null. */
void json_string_z(struct json *json, const char *value);
void json_u64(struct json *json, uint64_t value);
void json_i64(struct json *json, int64_t value);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);

#endif
