/*
 * test_config_value: rows, values, addresses and the words of a command.
 */
#include "config_fixture.h"

#include "config/internal.h"

/* --- rows ------------------------------------------------------------------------- */

static void
check_row(const struct option *row)
{
	char expected[OPTION_EXPECTED_BYTES];
	union option_value value;
	if (row->default_text == NULL && row->example == NULL)
		fail_msg("%s has neither default nor example", row->name);
	const char *shown = row->default_text != NULL ? row->default_text : row->example;
	if (!option_parse(row, str_from(shown), &value, expected))
		fail_msg("%s = %s: expected %s", row->name, shown, expected);
	if (!str_ends(str_from(config_help(row)), STR(".")))
		fail_msg("%s: the help is no sentence", row->name);
	if ((row->original == NULL) != (row->edition == NULL))
		fail_msg("%s: original and edition go together", row->name);
	expected[0] = 0;
	option_expected(row, expected);
	assert_true(expected[0] != 0);
}

static void
test_rows(void **state)
{
	(void)state;
	size_t count;
	const struct option *rows = config_options(&count);
	/* The packed texts and the rows do not get out of step. */
	const char *help = config_help(&rows[0]);
	assert_true(str_starts(str_from(help), STR("The folder of this instance")));
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(config_help(&rows[i]), help);
		help += strlen(help) + 1;
		check_row(&rows[i]);
		assert_true(rows[i].sections != 0);
		for (size_t j = 0; j < i; j++)
			if (strcmp(rows[i].name, rows[j].name) == 0)
				assert_true((rows[i].sections & rows[j].sections) == 0);
	}
	assert_int_equal(help[0], 0);
	for (size_t t = 0; fixture_types[t] != NULL; t++) {
		for (size_t i = 0; i < fixture_types[t]->option_count; i++) {
			check_row(&fixture_types[t]->options[i]);
			assert_int_equal(fixture_types[t]->options[i].offset, i);
			for (size_t j = 0; j < count; j++)
				assert_string_not_equal(fixture_types[t]->options[i].name, rows[j].name);
		}
	}
}

struct value_case {
	enum option_type type;
	const char *name, *text;
	int64_t min, max, value; /* value INT64_MIN: refused */
};

static void
test_values(void **state)
{
	(void)state;
	static const struct value_case cases[] = {
		{OPTION_INT, "n", "6", 1, 10, 6},
		{OPTION_INT, "n", "-1", -1, 0, -1},
		{OPTION_INT, "n", "0", 1, 10, INT64_MIN},
		{OPTION_INT, "n", "11", 1, 10, INT64_MIN},
		{OPTION_INT, "n", "+6", 1, 10, INT64_MIN},
		{OPTION_INT, "n", "6 ", 1, 10, INT64_MIN},
		{OPTION_INT, "n", "0x6", 1, 10, INT64_MIN},
		{OPTION_INT, "n", "", 0, 0, INT64_MIN},
		{OPTION_INT, "n", "-", 0, 0, INT64_MIN},
		{OPTION_INT, "n", "9223372036854775807", 0, 0, INT64_MAX},
		{OPTION_INT, "n", "9223372036854775808", 0, 0, INT64_MIN},
		{OPTION_INT, "n", "18446744073709551617", 0, 0, INT64_MIN},
		{OPTION_DURATION, "t", "10", 0, 0, 10000},
		{OPTION_DURATION, "t_ms", "10", 0, 0, 10},
		{OPTION_DURATION, "t_ms", "10s", 0, 0, 10000},
		{OPTION_DURATION, "t", "500ms", 0, 0, 500},
		{OPTION_DURATION, "t", "5m", 0, 0, 300000},
		{OPTION_DURATION, "t", "1h", 0, 0, 3600000},
		{OPTION_DURATION, "t", "1d", 0, 0, 86400000},
		{OPTION_DURATION, "t", "1D", 0, 0, 86400000},
		{OPTION_DURATION, "t", "0", 1, 0, INT64_MIN},
		{OPTION_DURATION, "t", "1.5s", 0, 0, INT64_MIN},
		{OPTION_DURATION, "t", "s", 0, 0, INT64_MIN},
		{OPTION_DURATION, "t", "10 s", 0, 0, INT64_MIN},
		{OPTION_DURATION, "t", "9223372036854776s", 0, 0, INT64_MIN},
		{OPTION_DURATION, "t", "-1", 0, 0, INT64_MIN},
		{OPTION_BYTES, "b", "512", 0, 0, 512},
		{OPTION_BYTES, "b", "64k", 0, 0, 65536},
		{OPTION_BYTES, "b", "64K", 0, 0, 65536},
		{OPTION_BYTES, "b", "128m", 0, 0, 134217728},
		{OPTION_BYTES, "b", "2g", 0, 0, INT64_C(2147483648)},
		{OPTION_BYTES, "b", "2g", 0, 1024, INT64_MIN},
		{OPTION_BYTES, "b", "8388608t", 0, 0, INT64_MIN},
		{OPTION_BYTES, "b", "64kb", 0, 0, INT64_MIN},
		{OPTION_BOOL, "o", "on", 0, 0, 1},
		{OPTION_BOOL, "o", "Yes", 0, 0, 1},
		{OPTION_BOOL, "o", "true", 0, 0, 1},
		{OPTION_BOOL, "o", "1", 0, 0, 1},
		{OPTION_BOOL, "o", "off", 0, 0, 0},
		{OPTION_BOOL, "o", "NO", 0, 0, 0},
		{OPTION_BOOL, "o", "false", 0, 0, 0},
		{OPTION_BOOL, "o", "0", 0, 0, 0},
		{OPTION_BOOL, "o", "maybe", 0, 0, INT64_MIN},
		{OPTION_MODE, "m", "0660", 0, 0777, 0660},
		{OPTION_MODE, "m", "666", 0, 0777, 0666},
		{OPTION_MODE, "m", "0668", 0, 0777, INT64_MIN},
		{OPTION_MODE, "m", "1777", 0, 0777, INT64_MIN},
		{OPTION_MODE, "m", "40000000000", 0, 0, INT64_MIN},
	};
	for (size_t i = 0; i < array_count(cases); i++) {
		const struct value_case *c = &cases[i];
		struct option row = {.name = c->name, .type = c->type, .min = c->min, .max = c->max};
		char expected[OPTION_EXPECTED_BYTES];
		union option_value value;
		bool sound = option_parse(&row, str_from(c->text), &value, expected);
		if (sound != (c->value != INT64_MIN))
			fail_msg("%s = %s", c->name, c->text);
		if (!sound)
			continue;
		int64_t got = c->type == OPTION_BOOL   ? value.on
		              : c->type == OPTION_MODE ? value.mode
		              : c->type == OPTION_INT  ? value.number
		                                       : (int64_t)value.amount;
		assert_int_equal(got, c->value);
	}
}

static void
test_expected(void **state)
{
	(void)state;
	static const char *const choices[] = {"off", "common", "json", NULL};
	static const struct {
		struct option row;
		const char *text;
	} cases[] = {
		{{.name = "a", .type = OPTION_INT, .min = 1, .max = 4096}, "a whole number from 1 to 4096"},
		{{.name = "a", .type = OPTION_INT, .min = -1}, "a whole number, -1 or more"},
		{{.name = "a", .type = OPTION_INT}, "a whole number, 0 or more"},
		{{.name = "a", .type = OPTION_DURATION}, "a time such as 500ms, 10s, 5m or 1h"},
		{{.name = "a", .type = OPTION_DURATION, .min = 1, .max = 86400000},
	         "a time such as 500ms, 10s, 5m or 1h, from 1ms to 1d"},
		{{.name = "a", .type = OPTION_BYTES, .min = 4096, .max = 1 << 20},
	         "a size such as 512, 64k, 128m or 2g, from 4k to 1m"},
		{{.name = "a", .type = OPTION_CHOICE, .choices = choices}, "off, common or json"},
		{{.name = "a", .type = OPTION_BOOL}, "on or off"},
	};
	for (size_t i = 0; i < array_count(cases); i++) {
		char expected[OPTION_EXPECTED_BYTES];
		option_expected(&cases[i].row, expected);
		assert_string_equal(expected, cases[i].text);
	}
}

/* --- addresses, words ------------------------------------------------------------------ */

static void
test_addresses(void **state)
{
	(void)state;
	static const char *const good[] = {
		"unix:/run/x.sock", "127.0.0.1:3000", "[::1]:3000", "0.0.0.0:80", "[::]:0", "10.1.2.3:65535",
	};
	static const char *const bad[] = {
		"",
		"unix:",
		"unix:/",
		"unix:x",
		"unix:/dir/",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"localhost:3000",
		":3000",
		"3000",
		"::1:3000",
		"[::1]",
		"[::1]3000",
		"[127.0.0.1]:80",
		"[::1:80",
		"1.2.3:80",
		"127.0.0.1:80 ",
		"127.0.0.1:000080",
		"[]:80",
		"tcp://127.0.0.1:80",
	};
	struct config_address address;
	char text[128];
	for (size_t i = 0; i < array_count(good); i++) {
		assert_true(config_address_parse(&address, str_from(good[i])));
		config_address_text(&address, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < array_count(bad); i++)
		if (config_address_parse(&address, str_from(bad[i])))
			fail_msg("taken: %s", bad[i]);
	assert_false(config_address_parse(&address, str_make("unix:/a\0b", 9)));
	/* sun_path has 108 bytes; ours is shorter. */
	char path[8 + sizeof address.path] = "unix:/";
	memset(path + 6, 'x', sizeof address.path - 2);
	assert_true(config_address_parse(&address, str_from(path)));
	path[6 + sizeof address.path - 2] = 'x';
	assert_false(config_address_parse(&address, str_from(path)));
	assert_true(config_address_parse(&address, STR("[0:0::1]:80")));
	config_address_text(&address, text);
	assert_string_equal(text, "[::1]:80");
}

static void
test_words(void **state)
{
	(void)state;
	static const struct {
		const char *command;
		const char *words[6]; /* {NULL}: none; first "!": refused */
	} cases[] = {
		{"node server.js", {"node", "server.js"}},
		{"  a\t b  ", {"a", "b"}},
		{"", {NULL}},
		{"sh -c 'a \"b\" $c'", {"sh", "-c", "a \"b\" $c"}},
		{"a\\ b \"c d\"e'f g'", {"a b", "c def g"}},
		{"\"a\\\"b\\\\c\\n\"", {"a\"b\\c\\n"}},
		{"'a\\b'", {"a\\b"}},
		{"'' \"\" x", {"", "", "x"}},
		{"a#b ;c", {"a#b", ";c"}},
		{"'a", {"!"}},
		{"a \"b", {"!"}},
		{"a\\", {"!"}},
	};
	for (size_t i = 0; i < array_count(cases); i++) {
		struct app_argv argv = {0};
		bool sound = app_argv_split(&argv, str_from(cases[i].command));
		bool refused = cases[i].words[0] != NULL && strcmp(cases[i].words[0], "!") == 0;
		assert_int_equal(sound, !refused);
		for (size_t j = 0; sound && j < array_count(cases[i].words); j++) {
			if (cases[i].words[j] == NULL) {
				assert_int_equal(argv.count, j);
				assert_null(argv.words[j]);
				break;
			}
			assert_string_equal(argv.words[j], cases[i].words[j]);
		}
		app_argv_free(&argv);
	}
	struct app_argv argv = {0};
	struct buf long_command = {0};
	for (size_t i = 0; i < APP_ARGV_MAX; i++)
		buf_printf(&long_command, "x ");
	assert_true(app_argv_split(&argv, buf_str(&long_command)));
	app_argv_free(&argv);
	buf_printf(&long_command, "y");
	assert_false(app_argv_split(&argv, buf_str(&long_command)));
	app_argv_free(&argv);
	buf_free(&long_command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),      cmocka_unit_test(test_values), cmocka_unit_test(test_expected),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
