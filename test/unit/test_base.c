#include "base/arena.h"
#include "base/block.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- str ---- */

static void
test_str_compare(void **state)
{
	(void)state;
	assert_true(str_equal(STR("abc"), STR("abc")));
	assert_false(str_equal(STR("abc"), STR("abd")));
	assert_false(str_equal(STR("abc"), STR("ab")));
	assert_true(str_equal(str_make(NULL, 0), STR("")));
	assert_true(str_equal(str_from(NULL), STR("")));
	assert_true(str_equal_nocase(STR("Content-LENGTH"), STR("cONTENT-length")));
	assert_false(str_equal_nocase(STR("a[b"), STR("a{b"))); /* they differ in the bit of case */
	assert_false(str_equal_nocase(STR("a\0b"), STR("a b")));
	assert_false(str_equal_nocase(STR("\xc4"), STR("\xe4"))); /* ASCII only */
	assert_true(str_starts(STR("abc"), STR("")));
	assert_true(str_starts(STR("abc"), STR("abc")));
	assert_false(str_starts(STR("ab"), STR("abc")));
	assert_true(str_starts_nocase(STR("X-Passenger-A"), STR("x-passenger-")));
	assert_true(str_ends(STR("config.ru"), STR(".ru")));
	assert_false(str_ends(STR("ru"), STR(".ru")));
	assert_true(str_equal_secret(STR("abcd"), STR("abcd")));
	assert_true(str_equal_secret(str_make(NULL, 0), STR("")));
	assert_false(str_equal_secret(STR("abcd"), STR("abc")));
	for (int i = 0; i < 4; i++) {
		char text[] = "abcd";
		text[i] = (char)(text[i] ^ 0x80);
		assert_false(str_equal_secret(str_from(text), STR("abcd")));
	}
}

static void
test_str_cut(void **state)
{
	struct str rest = STR("a,,b,"), word;
	char small[4];
	(void)state;
	assert_true(str_equal(str_trim(STR(" \t a b\t ")), STR("a b")));
	assert_true(str_equal(str_trim(STR(" \t ")), STR("")));
	assert_true(str_equal(str_trim(STR("\na\r")), STR("\na\r"))); /* not OWS */
	const char *const words[] = {"a", "", "b", ""};
	for (size_t i = 0; i < array_count(words); i++) {
		assert_true(str_split(&rest, ',', &word));
		assert_true(str_equal(word, str_from(words[i])));
	}
	assert_false(str_split(&rest, ',', &word));
	rest = STR("");
	assert_true(str_split(&rest, ',', &word));
	assert_int_equal(word.len, 0);
	assert_false(str_split(&rest, ',', &word));
	assert_int_equal(str_find(STR("abca"), 'a'), 0);
	assert_int_equal(str_find(STR("abca"), 'c'), 2);
	assert_int_equal(str_find(STR("abca"), 'x'), -1);
	assert_int_equal(str_find(str_make(NULL, 0), 'x'), -1);
	rest = STR("aab/../c");
	assert_ptr_equal(str_search(rest, STR("ab")), rest.data + 1);
	assert_ptr_equal(str_search(rest, STR("c")), rest.data + 7);
	assert_ptr_equal(str_search(rest, rest), rest.data);
	assert_null(str_search(rest, STR("/./")));
	assert_null(str_search(rest, STR("aab/../cd")));
	assert_null(str_search(str_make(NULL, 0), STR("x")));

	assert_true(str_copy_z(small, sizeof(small), STR("abc")));
	assert_string_equal(small, "abc");
	assert_false(str_copy_z(small, sizeof(small), STR("abcd")));
	assert_string_equal(small, "");
	assert_false(str_copy_z(small, sizeof(small), STR("a\0b"))); /* it would be another string */
	assert_true(str_copy_z(small, sizeof(small), str_make(NULL, 0)));
	assert_false(str_copy_z(small, 0, STR("")));
	str_cut_z(small, sizeof(small), STR("abcdef"));
	assert_string_equal(small, "abc");
	str_cut_z(small, 1, STR("x"));
	assert_string_equal(small, "");
	small[0] = 'k';
	str_cut_z(small, 0, STR("x"));
	assert_int_equal(small[0], 'k');
	assert_true(str_format(small, sizeof(small), "%d", 123));
	assert_false(str_format(small, sizeof(small), "%d", 1234));
	assert_string_equal(small, "123");
	char *copy = str_dup_z(STR("ab\0c"));
	assert_memory_equal(copy, "ab\0c", 5);
	free(copy);
	copy = str_dup_z(str_make(NULL, 0));
	assert_string_equal(copy, "");
	free(copy);
}

static void
test_str_to_u64(void **state)
{
	static const char *const wrong[] = {"",
	                                    "-1",
	                                    "+1",
	                                    " 1",
	                                    "1 ",
	                                    "0x1",
	                                    "1a",
	                                    "18446744073709551616",
	                                    "99999999999999999999",
	                                    "184467440737095516150"};
	uint64_t value = 7;
	(void)state;
	for (size_t i = 0; i < array_count(wrong); i++)
		assert_false(str_to_u64(str_from(wrong[i]), &value));
	assert_int_equal(value, 7); /* untouched */
	assert_true(str_to_u64(STR("0"), &value));
	assert_int_equal(value, 0);
	assert_true(str_to_u64(STR("0000000000000000000000000000012"), &value));
	assert_int_equal(value, 12);
	assert_true(str_to_u64(STR("18446744073709551615"), &value));
	assert_true(value == UINT64_MAX);
	assert_true(str_hex_to_u64(STR("0aF"), &value));
	assert_int_equal(value, 0xaf);
	assert_true(str_hex_to_u64(STR("ffffffffffffffff"), &value));
	assert_true(value == UINT64_MAX);
	assert_false(str_hex_to_u64(STR("10000000000000000"), &value));
	assert_false(str_hex_to_u64(STR("g"), &value));
	assert_false(str_hex_to_u64(STR("0x1"), &value));
	assert_false(str_hex_to_u64(STR(""), &value));

	static const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 1234567890123456, UINT64_MAX - 1, UINT64_MAX};
	for (size_t i = 0; i < array_count(numbers); i++) {
		char text[24], expected[24];
		snprintf(expected, sizeof(expected), "%llu", (unsigned long long)numbers[i]);
		assert_true(str_equal(str_from_u64(text, numbers[i]), str_from(expected)));
	}
}

/* ---- buf ---- */

static void
test_buf(void **state)
{
	struct buf buf = {0};
	(void)state;
	buf_append(&buf, NULL, 0);
	buf_consume(&buf, 0);
	assert_int_equal(buf_str(&buf).len, 0);
	for (int i = 0; i < 1000; i++) {
		buf_printf(&buf, "%03d", i);
		buf_append_char(&buf, ';');
	}
	assert_int_equal(buf.len, 4000);
	buf_consume(&buf, 400);
	assert_memory_equal(buf.data, "100;101;", 8);
	assert_int_equal(buf.len, 3600);
	buf_consume(&buf, 3600);
	assert_int_equal(buf.len, 0);
	buf_append_str(&buf, STR("x"));
	assert_memory_equal(buf.data, "x", 1);
	size_t cap = buf.cap;
	buf_clear(&buf);
	assert_int_equal(buf.cap, cap); /* kept for the next time */
	buf_reserve(&buf, 100000);
	assert_true(buf.cap >= 100000);
	char *data = buf.data;
	memset(buf.data, 'y', 100000);
	buf_reserve(&buf, 100000);
	assert_ptr_equal(buf.data, data);
	buf_free(&buf);
	assert_null(buf.data);
}

/* ---- list ---- */

enum { NODES = 32 };

/* Random moves beside an array. */
static void
test_list(void **state)
{
	struct list list;
	struct list_node nodes[NODES] = {0};
	unsigned order[NODES];
	uint32_t count = 0;
	(void)state;
	list_init(&list);
	assert_null(list_first(&list));
	assert_null(list_take_first(&list));
	for (int step = 0; step < 50000; step++) {
		unsigned which = (unsigned)rand() % NODES;
		struct list_node *node = &nodes[which];
		if (list_contains(node)) {
			uint32_t at = 0;
			while (order[at] != which)
				at++;
			memmove(&order[at], &order[at + 1], (--count - at) * sizeof(order[0]));
			list_remove(node);
			list_remove(node); /* in none: nothing */
		} else if (rand() % 2) {
			order[count++] = which;
			list_append(&list, node);
		} else if (count > 0 && rand() % 2) {
			uint32_t at = (uint32_t)rand() % count;
			memmove(&order[at + 1], &order[at], (count - at) * sizeof(order[0]));
			list_insert_before(&list, &nodes[order[at]], node);
			order[at] = which;
			count++;
		} else {
			memmove(&order[1], &order[0], count * sizeof(order[0]));
			order[0] = which;
			count++;
			list_prepend(&list, node);
		}
		uint32_t at = 0;
		assert_int_equal(list.count, count);
		list_each (&list, member) {
			assert_ptr_equal(member, &nodes[order[at++]]);
			assert_ptr_equal(member->list, &list);
		}
		assert_int_equal(at, count);
	}
	/* The node of the moment may be removed. */
	list_each (&list, member) {
		list_remove(member);
	}
	assert_int_equal(list.count, 0);
}

/* ---- blocks and arenas ---- */

static void
test_block(void **state)
{
	struct block *blocks[BLOCK_KEEP * 2];
	(void)state;
	assert_int_equal(sizeof(struct block), BLOCK_BYTES);
	assert_int_equal(block_in_use(), 0);
	for (size_t i = 0; i < array_count(blocks); i++) {
		blocks[i] = block_take();
		assert_int_equal(blocks[i]->from + blocks[i]->to, 0);
		assert_null(blocks[i]->next);
		memset(blocks[i]->data, (int)i, sizeof(blocks[i]->data));
		blocks[i]->to = 5;
	}
	assert_int_equal(block_in_use(), array_count(blocks));
	for (size_t i = 0; i < array_count(blocks); i++)
		assert_int_equal((unsigned char)blocks[i]->data[100], i);
	for (size_t i = 0; i < array_count(blocks); i++)
		block_give(blocks[i]);
	assert_int_equal(block_in_use(), 0);
	struct block *again = block_take(); /* from the list, and empty */
	assert_int_equal(again->to, 0);
	block_give(again);
	block_trim();
	block_trim();
}

static void
test_arena(void **state)
{
	struct arena arena = {0};
	struct {
		unsigned char *data;
		size_t size;
	} pieces[300];
	(void)state;
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < array_count(pieces); i++) {
			pieces[i].size = (size_t)rand() % (rand() % 16 ? 200 : 40000);
			pieces[i].data = arena_alloc(&arena, pieces[i].size);
			assert_int_equal((uintptr_t)pieces[i].data % 8, 0);
			memset(pieces[i].data, (int)(i & 0xff), pieces[i].size);
		}
		struct str copy = arena_copy(&arena, STR("hello"));
		assert_true(str_equal(copy, STR("hello")));
		assert_int_equal(arena_copy(&arena, str_make(NULL, 0)).len, 0);
		for (size_t i = 0; i < array_count(pieces); i++)
			for (size_t j = 0; j < pieces[i].size; j++)
				if (pieces[i].data[j] != (i & 0xff))
					fail_msg("piece %zu was overwritten", i);
		arena_reset(&arena);
		assert_int_equal(block_in_use(), 0);
	}
	arena_reset(&arena);
	block_trim();
}

/* ---- log ---- */

static void
test_log_escape(void **state)
{
	char out[64];
	(void)state;
	assert_int_equal(log_escape(out, sizeof(out), STR("plain ~ text")), 12);
	assert_string_equal(out, "plain ~ text");
	log_escape(out, sizeof(out), STR("a\nb\x1b[31m\\\x7f\xff\0"));
	assert_string_equal(out, "a\\x0ab\\x1b[31m\\x5c\\x7f\\xff\\x00");
	assert_int_equal(log_escape(out, sizeof(out), str_make(NULL, 0)), 0);
	assert_string_equal(out, "");
	/* An escape is written whole or not at all. */
	for (size_t size = 1; size < 12; size++) {
		char *exact = malloc(size);
		assert_non_null(exact);
		size_t len = log_escape(exact, size, STR("ab\n\ncd"));
		assert_int_equal(exact[len], 0);
		assert_int_equal(strlen(exact), len);
		assert_int_equal(len, size < 3 ? size - 1 : size < 7 ? 2 : size < 11 ? 6 : 10);
		free(exact);
	}
	assert_int_equal(log_escape(NULL, 0, STR("abc")), 0);
}

/* What these lines write to standard error; at most size - 1 bytes. */
static size_t
captured(char *out, size_t size, void (*write_them)(void))
{
	int pipe_fds[2], saved = dup(STDERR_FILENO);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
	errno = 77;
	write_them();
	int after = errno;
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(pipe_fds[1]);
	ssize_t len = read(pipe_fds[0], out, size - 1);
	close(pipe_fds[0]);
	assert_true(len >= 0);
	assert_int_equal(after, 77); /* a log line never changes errno */
	out[len] = 0;
	return (size_t)len;
}

static void
write_lines(void)
{
	log_init("tester", LOG_NOTICE);
	log_info("not shown");
	log_debug("nor this %d", 1);
	log_notice("two\nlines and %s", "\x1b[2J");
	log_output(STDERR_FILENO, STR("app: "), STR("gr\xc3\xbc\xc3\x9f\x65\t\a"), false);
}

static void
write_long_line(void)
{
	static char text[3 * LOG_LINE_BYTES_MAX];
	memset(text, '\n', sizeof(text) - 1);
	log_error("%s", text);
	log_output(STDERR_FILENO, STR(""), str_make(text, sizeof(text)), false);
}

static void
test_log_lines(void **state)
{
	static char out[4 * LOG_LINE_BYTES_MAX];
	char expected[64];
	(void)state;
	captured(out, sizeof(out), write_lines);
	snprintf(expected, sizeof(expected), " %d/tester ] two\\x0alines and \\x1b[2J\n", (int)getpid());
	assert_memory_equal(out, "[ N 20", 6);
	assert_non_null(strstr(out, expected));
	assert_non_null(strstr(out, "\napp: gr\xc3\xbc\xc3\x9f\x65\t\\x07\n"));
	assert_null(strstr(out, "shown"));
	size_t len = captured(out, sizeof(out), write_long_line);
	assert_true(len > LOG_LINE_BYTES_MAX && len <= 2 * LOG_LINE_BYTES_MAX);
	char *first_end = strchr(out, '\n');
	assert_true(first_end != NULL && first_end - out < LOG_LINE_BYTES_MAX);
	assert_ptr_equal(strchr(first_end + 1, '\n'), out + len - 1);
	assert_int_equal(log_dropped(), 0);
}

/* ---- random ---- */

/* Chi square of counts that should be equal. */
static double
chi_square(const unsigned *counts, size_t n, unsigned total)
{
	double expected = (double)total / (double)n, sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
	return sum;
}

static void
test_random_password(void **state)
{
	enum { PASSWORDS = 20000, CHARS = 16, LETTERS = 62 };
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	unsigned counts[LETTERS] = {0};
	(void)state;
	assert_true(random_init());
	for (int i = 0; i < PASSWORDS; i++) {
		char password[CHARS + 1];
		random_password(password, CHARS);
		assert_int_equal(strlen(password), CHARS);
		for (int j = 0; j < CHARS; j++) {
			const char *place = strchr(letters, password[j]);
			assert_non_null(place);
			counts[place - letters]++;
		}
	}
	/* 61 degrees of freedom: above 130 once in ten million runs; modulo 62 of a byte would give over 4000. */
	assert_true(chi_square(counts, LETTERS, PASSWORDS * CHARS) < 130);
	char empty[1] = {'x'};
	random_password(empty, 0);
	assert_int_equal(empty[0], 0);
}

static void
test_random_below(void **state)
{
	enum { DRAWS = 100000 };
	unsigned counts[7] = {0}, halves[3] = {0};
	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		uint32_t value = random_below(array_count(counts));
		assert_true(value < array_count(counts));
		counts[value]++;
		/* Here a modulo alone would give one third of the values twice as often. */
		halves[random_below(0xc0000000) / 0x40000000]++;
		assert_int_equal(random_below(1), 0);
	}
	assert_true(chi_square(counts, array_count(counts), DRAWS) < 45);
	assert_true(chi_square(halves, array_count(halves), DRAWS) < 35);
}

static int
compare_numbers(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(uint64_t));
}

/* Also over the borders of the block that is drawn at once, and after a second seeding. */
static void
test_random_never_repeats(void **state)
{
	enum { NUMBERS = 100000 };
	uint64_t *numbers = calloc(NUMBERS, sizeof(*numbers));
	(void)state;
	assert_non_null(numbers);
	for (int i = 0; i < NUMBERS; i++) {
		if (i % 10000 == 0)
			assert_true(random_init());
		if (i % 7 == 0) {
			char shift;
			random_bytes(&shift, 1);
		}
		random_bytes(&numbers[i], sizeof(numbers[i]));
	}
	qsort(numbers, NUMBERS, sizeof(*numbers), compare_numbers);
	for (int i = 1; i < NUMBERS; i++)
		assert_true(numbers[i] != numbers[i - 1]);
	free(numbers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_str_compare),  cmocka_unit_test(test_str_cut),
		cmocka_unit_test(test_str_to_u64),   cmocka_unit_test(test_buf),
		cmocka_unit_test(test_list),         cmocka_unit_test(test_block),
		cmocka_unit_test(test_arena),        cmocka_unit_test(test_log_escape),
		cmocka_unit_test(test_log_lines),    cmocka_unit_test(test_random_password),
		cmocka_unit_test(test_random_below), cmocka_unit_test(test_random_never_repeats),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
