/*
 * test_config_error: what the ini refuses, and in which words.
 */
#include "config_fixture.h"

#include "config/internal.h"

static void
test_errors_of_lines(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"max_pool_size = 6\n", "1: max_pool_size = 6: expected [passenger], [listener NAME], [app NAME] or "
	                                "[runtime NAME] before the first option"},
		{"[passenger]\nmax_pool_size = many\n",
	         "2: max_pool_size = many: expected a whole number from 1 to 4096"},
		{"[passenger]\nmax_pool_size =\n", "2: max_pool_size =: expected a whole number from 1 to 4096"},
		{"[passenger]\nmax_pool_size = 6 ; six\n",
	         "2: max_pool_size = 6 ; six: expected a whole number from 1 to 4096"},
		{"[passenger]\nmax_pool_sise = 6\n",
	         "2: max_pool_sise = 6: no such option; did you mean max_pool_size?"},
		{"[passenger]\nmax-pool-size = 6\n",
	         "2: max-pool-size = 6: here this option is named max_pool_size, in [passenger]"},
		{"[passenger]\nPassengerMaxPoolSize = 6\n",
	         "2: PassengerMaxPoolSize = 6: here this option is named max_pool_size, in [passenger]"},
		{"[passenger]\nPassengerMaxPoolSize 6\n",
	         "2: PassengerMaxPoolSize: here this is written max_pool_size = value"},
		{"[passenger]\npassenger_min_instances = 6\n", "2: passenger_min_instances = 6: here this option is "
	                                                       "named min_instances, in [passenger] or [app NAME]"},
		{"[passenger]\nPassengerRuby = x\n",
	         "2: PassengerRuby = x: here this option is named ruby, in [passenger] or [app NAME]"},
		{"[passenger]\nmode = 0660\n", "2: mode = 0660: belongs in [listener NAME], not in [passenger]"},
		{"[passenger]\nroots = /\n", "2: roots = /: no such option; did you mean root in [app NAME]?"},
		{"[passenger]\nxyzzy = /\n", "2: xyzzy = /: no such option"},
		{BLOG "max_pool_size = 6\n", "3: max_pool_size = 6: belongs in [passenger], not in [app blog]"},
		{"[listener a]\nruby = 6\n", "2: ruby = 6: belongs in [passenger] or [app NAME], not in [listener a]"},
		{"[runtime ruby]\ncommand = x\n", "1: [runtime ruby]: this type is built in; expected another name"},
		{"[runtime x]\n",
	         "1: [runtime x]: command is missing; expected a line such as command = x serve --port $PORT"},
		{"[runtime x]\ncommand = y\n[runtime x]\n", "3: [runtime x]: stands in line 1 already"},
		{"[runtime x]\ncommand = 'y\n",
	         "2: command = 'y: expected a program and its arguments, at most 64 words, with "
	         "every quote and every ${ closed"},
		{"[runtime x]\ndetekt = y\n", "2: detekt = y: no such option; did you mean detect?"},
		{"[runtime x]\ndetect = /y\n",
	         "2: detect = /y: expected at most 7 paths below root, with blanks between"},
		{"[runtime x]\ndetect = a/../b\n",
	         "2: detect = a/../b: expected at most 7 paths below root, with blanks between"},
		{"[runtime x]\ndetect = a /b\n",
	         "2: detect = a /b: expected at most 7 paths below root, with blanks between"},
		{"[runtime x]\ndetect = a,b\n",
	         "2: detect = a,b: expected at most 7 paths below root, with blanks between"},
		{"[runtime x]\ndetect = a\tb\n",
	         "2: detect = a\tb: expected at most 7 paths below root, with blanks between"},
		{"[runtime x]\nreadiness = soon\n", "2: readiness = soon: expected auto, port, socket or descriptor"},
		{"[runtime x]\nroot = /\n", "2: root = /: belongs in [app NAME], not in [runtime x]"},
		{"[runtime x]\ncommand = y\nprotocol = fastcgi\n",
	         "3: protocol = fastcgi: expected http (FastCGI is not spoken: docs/refusals.md)"},
		{"[app a]\nroot = blog\ncommand = x $PORT\nreadiness = descriptor\n",
	         "3: command = x $PORT: $PORT is there only with readiness = port"},
		{"[app a]\nroot = blog\ntype = x\n[runtime x]\ncommand = y $PASSENGER_SOCKET\nreadiness = port\n",
	         "5: command = y $PASSENGER_SOCKET: $PASSENGER_SOCKET is there only with readiness = socket"},
		{BLOG "readiness = port\n",
	         "3: readiness: is only for type = command, and the type of [app blog] is ruby"},
		{"[app a]\nroot = empty\ntype = x\n[runtime x]\ncommand = $PASSENGER_STARTUP_FILE\ndetect = y z\n",
	         "3: [app a]: there is no y in ~/empty, which type x needs; expected it, or a line startup_file = "
	         "PATH"},
		{"[listener a]\nenv.A = secret\n",
	         "2: env.A: belongs in [passenger], [app NAME] or [runtime NAME], not in [listener a]"},
		{BLOG "env.1A = secret\n",
	         "3: env.1A: expected env. and a name of letters, digits and underscores that begins with no digit"},
		{BLOG "env. = secret\n",
	         "3: env.: expected env. and a name of letters, digits and underscores that begins with no digit"},
		{BLOG "env.A = secret\nenv.A = other\n", "4: env.A: stands in line 3 already"},
		{BLOG "root = shop\n", "3: root = shop: stands in line 2 already"},
		{BLOG "ruby = a\nruby = b\n", "4: ruby = b: stands in line 3 already"},
		{BLOG BLOG, "3: [app blog]: stands in line 1 already"},
		{"[passenger]\n[passenger]\n", "2: [passenger]: stands in line 1 already"},
		{"[listener a]\n[listener a]\n", "2: [listener a]: stands in line 1 already"},
		{"[listener listen-1]\n", "1: [listener listen-1]: expected another name; those that begin with "
	                                  "listen- are given to the addresses "
	                                  "of `listen`"},
		{"[apps blog]\n",
	         "1: [apps blog]: no such section: expected [passenger], [listener NAME], [app NAME] or "
	         "[runtime NAME]; did you mean [app "
	         "NAME]?"},
		{"[Passenger]\n", "1: [Passenger]: no such section: expected [passenger], [listener NAME], [app NAME] "
	                          "or [runtime NAME]; did you mean "
	                          "[passenger]?"},
		{"[]\n", "1: []: no such section: expected [passenger], [listener NAME], [app NAME] or [runtime NAME]"},
		{"[app]\n", "1: [app]: expected a name of at most 64 letters, digits, dots, hyphens and underscores "
	                    "after the first word"},
		{"[app a b]\n", "1: [app a b]: expected a name of at most 64 letters, digits, dots, hyphens and "
	                        "underscores after the first "
	                        "word"},
		{"[app ..]\n", "1: [app ..]: expected a name of at most 64 letters, digits, dots, hyphens and "
	                       "underscores after the first "
	                       "word"},
		{"[app blog] ; comment\n",
	         "1: [app blog] ; comment: expected a ] at the end of the line (comments stand on lines of their own)"},
		{"[passenger]\nlisten: 127.0.0.1:80\n", "2: listen: 127.0.0.1:80: expected name = value, or [section]"},
		{"[passenger]\nmax_pool_size\n", "2: max_pool_size: expected name = value, or [section]"},
		{"[passenger]\n= 5\n", "2: expected a name before the ="},
		{"[passenger]\nlisten = 127.0.0.1:80 localhost:80\n",
	         "2: listen = 127.0.0.1:80 localhost:80: expected an address such as unix:/path (absolute, at most 103 "
	         "bytes), "
	         "127.0.0.1:3000 or [::1]:3000"},
		{BLOG "host = a.b:80\n",
	         "3: host = a.b:80: expected host names with blanks between, without a port, such as example.org "
	         "*.example.org"},
		{BLOG "host = a.*\n", "3: host = a.*: expected host names with blanks between, without a port, such as "
	                              "example.org *.example.org"},
		{BLOG "base_uri = /a/../b\n",
	         "3: base_uri = /a/../b: expected a path such as /blog, without a query and without dot segments"},
		{BLOG "base_uri = blog\n",
	         "3: base_uri = blog: expected a path such as /blog, without a query and without dot segments"},
		{BLOG "command = 'a\n", "3: command = 'a: expected a program and its arguments, at most 64 words, with "
	                                "every quote and every ${ closed"},
		{"[passenger]\naccess_log_format = jason\n",
	         "2: access_log_format = jason: expected off, common, combined or json"},
		{"[passenger]\nmax_pool_size = 6\n continued\n", "3: continued: expected name = value, or [section]"},
		/* The first error counts, whatever comes later. */
		{"[passenger]\nnonsense\nmax_pool_size = many\n[nowhere]\n",
	         "2: nonsense: expected name = value, or [section]"},
	};
	for (size_t i = 0; i < array_count(cases); i++)
		fixture_assert_error(cases[i][0], cases[i][1]);
}

static void
test_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len;
		const char *error;
	} cases[] = {
		{"[passenger]\nlog_file = a\0b\n", 28,
	         "2: byte 0x00 at column 13: expected text in UTF-8 without control characters"},
		{"[passenger]\nlog_file = a\x01\n", 27,
	         "2: byte 0x01 at column 13: expected text in UTF-8 without control characters"},
		{"# \xff\n", 4, "1: byte 0xff at column 3: expected text in UTF-8 without control characters"},
		{"# \xc0\xaf\n", 5, "1: byte 0xc0 at column 3: expected text in UTF-8 without control characters"},
		{"# \xed\xa0\x80\n", 6, "1: byte 0xed at column 3: expected text in UTF-8 without control characters"},
		{"# \xf4\x90\x80\x80\n", 7,
	         "1: byte 0xf4 at column 3: expected text in UTF-8 without control characters"},
		{"# \xe2\x82", 4, "1: byte 0xe2 at column 3: expected text in UTF-8 without control characters"},
		{"\n\r\n# a\rb\n", 9, "3: byte 0x0d at column 4: expected text in UTF-8 without control characters"},
	};
	for (size_t i = 0; i < array_count(cases); i++)
		fixture_assert_error_of(&(struct config_source){0}, cases[i].text, cases[i].len, cases[i].error);
	struct config *config = fixture_load(BLOG "env.A = \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_string_equal(config->apps[0]->env[0].value, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	config_free(config);
}

static void
test_long_lines(void **state)
{
	(void)state;
	struct buf text = {0};
	buf_printf(&text, BLOG "env.A = ");
	size_t name_len = strlen("env.A = ");
	for (size_t i = name_len; i < CONFIG_LINE_BYTES_MAX; i++)
		buf_append_char(&text, 'x');
	buf_append_char(&text, 0);
	struct config *config = fixture_load(text.data);
	assert_int_equal(strlen(config->apps[0]->env[0].value), CONFIG_LINE_BYTES_MAX - name_len);
	fixture_assert_round_trip(config, fixture_types);
	config_free(config);
	text.data[text.len - 1] = 'x';
	buf_append(&text, "\n", 2);
	fixture_assert_error(text.data, "3: expected a line of at most 16384 bytes, not 16385");
	buf_free(&text);
}

static void
test_errors_of_sections(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", "~/p.ini: no application: expected an [app NAME] section with root = /path, or APP_DIR on the "
	             "command line"},
		{"[app blog]\n", "1: [app blog]: root is missing; expected a line such as root = /srv/blog"},
		{"[app blog]\nroot = /nowhere/at/all\n", "2: root = /nowhere/at/all: there is no such folder"},
		{"[app blog]\nroot = p.ini\n", "2: root = ~/p.ini: this is not a folder"},
		{"[app x]\nroot = empty\n", "1: [app x]: nothing in ~/empty tells the type of the application: looked "
	                                    "for config.ru (ruby); expected one "
	                                    "of these files, or a line type = ruby or command"},
		{"[app x]\nroot = empty\ntype = rubby\n",
	         "3: type = rubby: expected ruby or command; did you mean ruby?"},
		{"[app x]\nroot = empty\ntype = ruby\n", "3: [app x]: there is no config.ru in ~/empty, which type "
	                                                 "ruby needs; expected it, or a line startup_file = "
	                                                 "PATH"},
		{"[app x]\nroot = empty\nstartup_file = app.rb\n",
	         "1: [app x]: startup_file = app.rb tells no type; expected a line type = ruby or command"},
		{"[app x]\nroot = empty\ntype = ruby\nstartup_file = app.rb\n",
	         "4: startup_file = app.rb: there is no such file in ~/empty"},
		{"[app x]\nroot = empty\ntype = command\n",
	         "1: [app x]: command is missing; expected a line such as command = node server.js"},
		{BLOG "type = ruby\ncommand = a b\n",
	         "4: command: is only for type = command, and the type of [app blog] is ruby"},
		{BLOG "concurrency = 2\n",
	         "3: concurrency: is only for type = command, and the type of [app blog] is ruby"},
		{"[app x]\nroot = empty\ncommand = a\nruby = b\n",
	         "4: ruby: is no option of type command, which [app x] has"},
		{BLOG "memory_limit = 500m\nhard_memory_limit = 400m\n",
	         "3: [app blog]: memory_limit = 524288000 bytes is more than hard_memory_limit = 419430400 bytes"},
		{BLOG "min_instances = 3\nmax_instances = 2\n",
	         "3: [app blog]: min_instances = 3 is more than max_instances = 2"},
		{BLOG "min_instances = 7\n", "3: [app blog]: min_instances = 7 is more than max_pool_size = 6"},
		{BLOG "[listener a]\n",
	         "3: [listener a]: address is missing; expected a line such as address = 127.0.0.1:3000"},
		{BLOG "[listener a]\naddress = 127.0.0.1:80\ngroup = 1\n",
	         "5: group: is only for a unix socket, and the address of [listener a] is 127.0.0.1:80"},
		{BLOG "[listener a]\naddress = 127.0.0.1:80\n[listener b]\naddress = 127.0.0.1:80\n",
	         "6: [listener b]: 127.0.0.1:80 is a listener already, in line 4"},
		{BLOG "[passenger]\nlisten = [::1]:80\nlisten = [0::1]:80\n",
	         "5: listen: [::1]:80 is a listener already, in line 4"},
		{BLOG "[listener a]\naddress = 127.0.0.1:80\napp = blogg\n",
	         "5: app = blogg: there is no [app blogg]; did you mean blog?"},
		{BLOG "[app shop]\nroot = shop\n", "3: [app shop]: has the same requests as [app blog] in line 1 (any "
	                                           "host, base_uri /); expected another host "
	                                           "or base_uri in one of the two"},
		{BLOG "host = a.b c.d\nbase_uri = /x\n[app shop]\nroot = shop\nhost = e.f C.D\nbase_uri = /x/\n",
	         "5: [app shop]: has the same requests as [app blog] in line 1 (c.d, base_uri /x); expected another "
	         "host or "
	         "base_uri in one of the two"},
	};
	for (size_t i = 0; i < array_count(cases); i++)
		fixture_assert_error(cases[i][0], cases[i][1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors_of_lines),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_errors_of_sections),
	};
	return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
