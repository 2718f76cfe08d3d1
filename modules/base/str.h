/*
 * str: a string is a pointer and a length, passed by value.  It never owns
 * its bytes and is not NUL-terminated; str_copy_z() makes the C string that a
 * system call needs.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(string, first) __attribute__((format(printf, string, first)))
#define array_count(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct str {
	const char *data;
	size_t len;
};

/* STR("literal") */
#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).len, (s).data

static inline struct str
str_make(const char *data, size_t len)
{
	return (struct str){data, len};
}

static inline struct str
str_from(const char *z)
{
	return (struct str){z, z ? strlen(z) : 0};
}

static inline bool
str_equal(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ASCII case folding only: what HTTP field names and ini names need. */
bool str_equal_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);

/* Without SP and HTAB at both ends (OWS, RFC 9110 section 5.6.3). */
struct str str_trim(struct str s);

/* Cuts the word before the next separator off *rest (the separator is
 * dropped).  False when *rest is exhausted: its data is then NULL. */
bool str_split(struct str *rest, char separator, struct str *word);

/* Whole string of decimal digits, no sign, no blank; false on overflow. */
bool must_check str_to_u64(struct str s, uint64_t *value);

/* The same for hexadecimal digits. */
bool must_check str_hex_to_u64(struct str s, uint64_t *value);

/* Copies with a NUL; false (and an empty string) when it does not fit. */
bool must_check str_copy_z(char *out, size_t out_size, struct str s);

/* Like str_copy_z, but cuts what does not fit: for display only. */
void str_cut_z(char *out, size_t out_size, struct str s);

/* The decimal digits of value, in out.  For the paths where snprintf costs more than the work. */
struct str str_from_u64(char out[24], uint64_t value);

/* First place of c in s, or -1. */
ptrdiff_t str_find(struct str s, char c);

/* Where what stands in s first, or NULL. */
const char *str_search(struct str s, struct str what);

/* A NUL-terminated copy from malloc; aborts when memory is out. */
char *str_dup_z(struct str s);

/* Formats into a fixed buffer; false when it was cut (the buffer then holds
 * the beginning, terminated). */
bool str_format(char *out, size_t out_size, const char *format, ...) printf_like(3, 4);

/* Same time for equal and different content of equal length (public length). */
bool str_equal_secret(struct str a, struct str b);

#endif
