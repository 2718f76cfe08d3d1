/*
 * test_inflate: on what the build has packed into the program itself.
 */
#include "base/inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

extern const char help_texts[];
extern const size_t help_texts_size;

enum { GZIP_HEAD_BYTES = 10, GZIP_TAIL_BYTES = 8 };

/* Little-endian, as gzip writes its sum and its length behind the stream. */
static uint32_t
word_at(const char *data)
{
	uint32_t word = 0;
	for (size_t i = 4; i-- > 0;)
		word = word << 8 | (unsigned char)data[i];
	return word;
}

/* RFC 1952 section 8 */
static uint32_t
sum_of(const char *data, size_t len)
{
	uint32_t sum = UINT32_MAX;
	for (size_t i = 0; i < len; i++) {
		sum ^= (unsigned char)data[i];
		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ ((sum & 1) != 0 ? 0xedb88320 : 0);
	}
	return ~sum;
}

static void
test_texts(void **state)
{
	size_t len = help_texts_size, size = word_at(help_texts + len - 4);
	char *text = malloc(size);
	(void)state;
	assert_int_equal(inflate_gzip(str_make(help_texts, len), text, size), size);
	assert_int_equal(sum_of(text, size), word_at(help_texts + len - GZIP_TAIL_BYTES));
	assert_int_equal(inflate_gzip(str_make(help_texts, len), text, size - 1), 0);
	free(text);
}

/* It ends and stays within bounds, whatever it is given. */
static void
test_broken(void **state)
{
	size_t len = help_texts_size, size = word_at(help_texts + len - 4);
	char *text = malloc(size);
	(void)state;
	for (size_t cut = 0; cut < len - GZIP_TAIL_BYTES; cut += 7) {
		char *packed = malloc(cut + 1); /* of its own, so that the sanitizer sees its end */
		memcpy(packed, help_texts, cut);
		assert_true(inflate_gzip(str_make(packed, cut), text, size) <= size);
		free(packed);
	}
	char *packed = malloc(len);
	for (size_t at = GZIP_HEAD_BYTES; at < len; at += at < 200 ? 1 : 31) {
		memcpy(packed, help_texts, len);
		packed[at] = (char)(packed[at] ^ 0x55);
		assert_true(inflate_gzip(str_make(packed, len), text, size) <= size);
	}
	memset(packed, 0, len);
	assert_int_equal(inflate_gzip(str_make(packed, len), text, size), 0);
	assert_int_equal(inflate_gzip(str_make(packed, GZIP_HEAD_BYTES), text, size), 0);
	free(packed);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_broken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
