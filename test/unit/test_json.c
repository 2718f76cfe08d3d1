#include "wire/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buf buf;
static struct json json;

static int
before_each(void **state)
{
	(void)state;
	buf = (struct buf){0};
	json = json_begin(&buf);
	return 0;
}

static int
after_each(void **state)
{
	(void)state;
	buf_free(&buf);
	return 0;
}

static void
assert_json(const char *want)
{
	if (!str_equal(buf_str(&buf), str_from(want)))
		fail_msg("%.*s is not %s", STR_ARG(buf_str(&buf)), want);
}

static void
test_structure(void **state)
{
	(void)state;
	assert_false(json_finished(&json));
	json_begin_object(&json);
	json_key(&json, STR("a"));
	json_begin_array(&json);
	json_u64(&json, 1);
	json_begin_object(&json);
	json_end_object(&json);
	json_begin_array(&json);
	json_end_array(&json);
	json_null(&json);
	json_end_array(&json);
	json_key(&json, STR("b"));
	json_bool(&json, true);
	json_key(&json, STR("c"));
	json_begin_object(&json);
	json_key(&json, STR("d\n"));
	json_bool(&json, false);
	json_end_object(&json);
	assert_false(json_finished(&json));
	json_end_object(&json);
	assert_true(json_finished(&json));
	assert_json("{\"a\":[1,{},[],null],\"b\":true,\"c\":{\"d\\n\":false}}");
}

/* What stands in the buf already stays. */
static void
test_appends(void **state)
{
	(void)state;
	buf_append_str(&buf, STR("head\n"));
	json_string(&json, STR("x"));
	buf_append_str(&buf, STR("\n"));
	assert_true(json_finished(&json));
	assert_json("head\n\"x\"\n");
}

static void
test_depth(void **state)
{
	(void)state;
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		json_begin_array(&json);
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		json_end_array(&json);
	assert_true(json_finished(&json));
	assert_int_equal(buf.len, 2 * JSON_DEPTH_MAX);
}

static void
test_numbers(void **state)
{
	(void)state;
	json_begin_array(&json);
	json_u64(&json, 0);
	json_u64(&json, UINT64_MAX);
	json_i64(&json, 0);
	json_i64(&json, INT64_MAX);
	json_i64(&json, INT64_MIN);
	json_i64(&json, -7);
	json_end_array(&json);
	assert_json("[0,18446744073709551615,0,9223372036854775807,-9223372036854775808,-7]");
}

struct string_case {
	struct str raw;
	const char *text; /* without the quotes */
};

#define BAD "\xef\xbf\xbd"

static const struct string_case strings[] = {
	{STR(""), ""},
	{STR("plain text /<>&'"), "plain text /<>&'"},
	{STR("\"\\"), "\\\"\\\\"},
	{STR("\b\f\n\r\t"), "\\b\\f\\n\\r\\t"},
	{STR("\0\1\x1b\x1f\x7f"), "\\u0000\\u0001\\u001b\\u001f\\u007f"},
	{STR("caf\xc3\xa9"), "caf\xc3\xa9"},
	{STR("\xe2\x82\xac \xf0\x9f\x98\x80"), "\xe2\x82\xac \xf0\x9f\x98\x80"},
	/* ends of the ranges of Unicode table 3-7 */
	{STR("\xc2\xa0\xdf\xbf"), "\xc2\xa0\xdf\xbf"},
	{STR("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"), "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"},
	{STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
	/* C1 controls and the line separators of JavaScript */
	{STR("\xc2\x80\xc2\x9b\xc2\x9f"), "\\u0080\\u009b\\u009f"},
	{STR("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), "\\u2028\\u2029\xe2\x80\xaa"},
	/* not UTF-8: a lone octet, an overlong form, a surrogate, over U+10FFFF */
	{STR("a\xe9z"), "a" BAD "z"},
	{STR("\x80\xbf"), BAD BAD},
	{STR("\xff\xfe"), BAD BAD},
	{STR("\xc0\x80"), BAD BAD},
	{STR("\xc1\xbf"), BAD BAD},
	{STR("\xe0\x9f\xbf"), BAD BAD BAD},
	{STR("\xf0\x8f\xbf\xbf"), BAD BAD BAD BAD},
	{STR("\xed\xa0\x80"), BAD BAD BAD},
	{STR("\xf4\x90\x80\x80"), BAD BAD BAD BAD},
	{STR("\xf5\x80\x80\x80"), BAD BAD BAD BAD},
	/* cut short: one replacement for the part that could have gone on */
	{STR("\xc3"), BAD},
	{STR("\xe2\x82"), BAD},
	{STR("\xe2\x82z"), BAD "z"},
	{STR("\xf0\x9f\x98"), BAD},
	{STR("\xf0\x9f\x98\""), BAD "\\\""},
	{STR("\xe2\xe2\x82\xac"), BAD "\xe2\x82\xac"},
};

static void
test_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(strings); i++) {
		/* memory of exactly this size, so that a sanitizer sees a byte too many */
		char *copy = malloc(strings[i].raw.len ? strings[i].raw.len : 1);
		assert_non_null(copy);
		memcpy(copy, strings[i].raw.data, strings[i].raw.len);
		struct buf out = {0};
		struct json writer = json_begin(&out);
		json_string(&writer, str_make(copy, strings[i].raw.len));
		assert_true(out.len >= 2 && out.data[0] == '"' && out.data[out.len - 1] == '"');
		struct str text = str_make(out.data + 1, out.len - 2);
		if (!str_equal(text, str_from(strings[i].text)))
			fail_msg("row %zu: %.*s", i, STR_ARG(text));
		buf_free(&out);
		free(copy);
	}
}

static void
test_no_string(void **state)
{
	(void)state;
	json_begin_array(&json);
	json_string(&json, (struct str){NULL, 0});
	json_string_z(&json, NULL);
	json_string_z(&json, "z");
	json_end_array(&json);
	assert_json("[\"\",null,\"z\"]");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, before_each, after_each)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_structure), TEST(test_appends), TEST(test_depth),
		TEST(test_numbers),   TEST(test_strings), TEST(test_no_string),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
