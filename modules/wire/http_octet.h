/*
 * http_octet: classes of octets in an HTTP head (RFC 9110 section 5.6.2 and
 * 5.5, RFC 3986), and fast searches for the octet that ends a run.  No search
 * reads outside [at, end).
 */
#ifndef WIRE_HTTP_OCTET_H
#define WIRE_HTTP_OCTET_H

#include "base/str.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum http_octet_class {
	HTTP_OCTET_TOKEN = 1 << 0,      /* tchar */
	HTTP_OCTET_CLEAN = 1 << 1,      /* [A-Za-z0-9-]: no collision after CGI mapping */
	HTTP_OCTET_HOST = 1 << 2,       /* of a registered name: unreserved */
	HTTP_OCTET_HEX = 1 << 3,        /* HEXDIG */
	HTTP_OCTET_CONTROL = 1 << 4,    /* 0x00-0x1f but HTAB, and 0x7f: ends or breaks a field line */
	HTTP_OCTET_NO_LINE = 1 << 5,    /* never in a request line: controls, HTAB, 0x7f, 0x80-0xff */
	HTTP_OCTET_TARGET_END = 1 << 6, /* SP, '?', '#', and HTTP_OCTET_NO_LINE */
	HTTP_OCTET_DIGIT = 1 << 7,
};

extern const uint8_t http_octet_classes[256];

static inline bool
http_octet_is(char c, unsigned int classes)
{
	return (http_octet_classes[(unsigned char)c] & classes) != 0;
}

/* The first octet of a class, byte by byte. */
static inline const char *
http_octet_find(const char *at, const char *end, unsigned int class)
{
	while (at < end && !http_octet_is(*at, class))
		at++;
	return at;
}

/* The first octet that is not of a class. */
static inline const char *
http_octet_skip(const char *at, const char *end, unsigned int class)
{
	while (at < end && http_octet_is(*at, class))
		at++;
	return at;
}

#ifdef __SSE2__
/* All ones in each octet that is below limit or above 0x7e. */
static inline __m128i
http_octet_below(__m128i octets, char limit)
{
	/* the comparison is signed: 0x80-0xff count as below */
	return _mm_or_si128(_mm_cmplt_epi8(octets, _mm_set1_epi8(limit)), _mm_cmpeq_epi8(octets, _mm_set1_epi8(0x7f)));
}

static inline __m128i
http_octet_load(const char *at)
{
	return _mm_loadu_si128((const __m128i *)(const void *)at);
}
#endif

#ifdef __SSE2__
/* One bit for each of 16 octets: HTTP_OCTET_CONTROL. */
static inline unsigned int
http_octet_control_mask(const char *at)
{
	__m128i octets = http_octet_load(at);
	__m128i found = _mm_cmpeq_epi8(_mm_min_epu8(octets, _mm_set1_epi8(0x1f)), octets);
	found = _mm_or_si128(found, _mm_cmpeq_epi8(octets, _mm_set1_epi8(0x7f)));
	found = _mm_andnot_si128(_mm_cmpeq_epi8(octets, _mm_set1_epi8('\t')), found);
	return (unsigned int)_mm_movemask_epi8(found);
}
#endif

/* The first HTTP_OCTET_CONTROL, or end.  begin <= at: what is there may be read
 * too, so that the last octets go in one step like the others. */
static inline const char *
http_octet_find_control(const char *begin, const char *at, const char *end)
{
#ifdef __SSE2__
	while (end - at >= 16) {
		unsigned int mask = http_octet_control_mask(at);
		if (mask != 0)
			return at + __builtin_ctz(mask);
		at += 16;
	}
	if (end - begin >= 16) {
		unsigned int mask = http_octet_control_mask(end - 16) >> (16 - (end - at));
		return mask != 0 ? at + __builtin_ctz(mask) : end;
	}
#else
	(void)begin;
#endif
	return http_octet_find(at, end, HTTP_OCTET_CONTROL);
}

/* The first HTTP_OCTET_NO_LINE, or end. */
static inline const char *
http_octet_find_no_line(const char *at, const char *end)
{
#ifdef __SSE2__
	while (end - at >= 16) {
		unsigned int mask = (unsigned int)_mm_movemask_epi8(http_octet_below(http_octet_load(at), 0x20));
		if (mask != 0)
			return at + __builtin_ctz(mask);
		at += 16;
	}
#endif
	return http_octet_find(at, end, HTTP_OCTET_NO_LINE);
}

/* The first HTTP_OCTET_TARGET_END, or end. */
static inline const char *
http_octet_find_target_end(const char *at, const char *end)
{
#ifdef __SSE2__
	while (end - at >= 16) {
		__m128i octets = http_octet_load(at);
		__m128i found = http_octet_below(octets, 0x21);
		found = _mm_or_si128(found, _mm_cmpeq_epi8(octets, _mm_set1_epi8('?')));
		found = _mm_or_si128(found, _mm_cmpeq_epi8(octets, _mm_set1_epi8('#')));
		unsigned int mask = (unsigned int)_mm_movemask_epi8(found);
		if (mask != 0)
			return at + __builtin_ctz(mask);
		at += 16;
	}
#endif
	return http_octet_find(at, end, HTTP_OCTET_TARGET_END);
}

/*
 * The end of a field name: the first octet that is not a tchar.  *clean is
 * cleared when the name has an octet outside [A-Za-z0-9-].
 */
static inline const char *
http_octet_find_name_end(const char *at, const char *end, bool *clean)
{
#ifdef __SSE2__
	while (end - at >= 16) {
		__m128i octets = http_octet_load(at);
		__m128i folded = _mm_or_si128(octets, _mm_set1_epi8(0x20));
		/* one signed comparison for a range: shift its lower end to -128 */
		__m128i letter = _mm_cmplt_epi8(_mm_sub_epi8(folded, _mm_set1_epi8((char)('a' + 128))),
		                                _mm_set1_epi8(-128 + 26));
		__m128i digit = _mm_cmplt_epi8(_mm_sub_epi8(octets, _mm_set1_epi8((char)('0' + 128))),
		                               _mm_set1_epi8(-128 + 10));
		__m128i good = _mm_or_si128(_mm_or_si128(letter, digit), _mm_cmpeq_epi8(octets, _mm_set1_epi8('-')));
		unsigned int mask = (unsigned int)_mm_movemask_epi8(good) ^ 0xffff;
		if (mask != 0) {
			at += __builtin_ctz(mask);
			if (__builtin_expect(*at == ':', 1)) {
				*clean = true;
				return at;
			}
			break;
		}
		at += 16;
	}
#endif
	at = http_octet_skip(at, end, HTTP_OCTET_CLEAN);
	*clean = true;
	if (at == end || !http_octet_is(*at, HTTP_OCTET_TOKEN))
		return at;
	*clean = false;
	return http_octet_skip(at, end, HTTP_OCTET_TOKEN);
}

#endif
