/*
 * http_field: the field lines of a head (RFC 9112 section 5) and the names
 * that mean something to us.  It judges each line by itself; what the fields
 * mean together is http_parse's.
 */
#ifndef WIRE_HTTP_FIELD_H
#define WIRE_HTTP_FIELD_H

#include "wire/http.h"

/* Which known fields a head has. */
struct http_field_set {
	uint64_t seen;               /* 1 << id: at least once */
	uint64_t doubled;            /* 1 << id: more than once */
	uint8_t place[HTTP_FIELD_N]; /* index of the last one; set when seen */
};

static inline bool
http_field_seen(const struct http_field_set *set, enum http_field_id id)
{
	return (set->seen >> id & 1) != 0;
}

static inline bool
http_field_doubled(const struct http_field_set *set, enum http_field_id id)
{
	return (set->doubled >> id & 1) != 0;
}

/*
 * Reads the field lines from at to the empty line that ends exactly at end.
 * Flags are those that the name alone tells.  fields has HTTP_FIELDS_MAX rows.
 */
enum http_error http_field_read(struct http_field *fields, uint32_t *count, struct http_field_set *set, const char *at,
                                const char *end) must_check;

static inline uint64_t
http_field_load8(const char *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint32_t
http_field_load4(const char *at)
{
	uint32_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

/*
 * Equal but for the case of letters.  small has only small letters, digits and
 * hyphens, and s has no control octet but HTAB (as in every name and value of a
 * head that was read): then or-ing 0x20 makes no two different octets equal.
 */
static inline bool
http_field_same(struct str s, struct str small)
{
	const uint64_t fold = 0x2020202020202020;
	size_t len = small.len;
	if (s.len != len)
		return false;
	if (len < 4) {
		for (size_t i = 0; i < len; i++)
			if ((s.data[i] | 0x20) != small.data[i])
				return false;
		return true;
	}
	if (len < 8)
		return (((http_field_load4(s.data) | (uint32_t)fold) ^ http_field_load4(small.data)) |
		        ((http_field_load4(s.data + len - 4) | (uint32_t)fold) ^
		         http_field_load4(small.data + len - 4))) == 0;
	for (size_t i = 0; i + 8 < len; i += 8)
		if ((http_field_load8(s.data + i) | fold) != http_field_load8(small.data + i))
			return false;
	return (http_field_load8(s.data + len - 8) | fold) == http_field_load8(small.data + len - 8);
}

#endif
