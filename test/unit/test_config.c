/*
 * test_config: what becomes of an ini and a command line: routes, types, ids, users.
 */
#include "config_fixture.h"

#include "config/internal.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

/* --- the ini ------------------------------------------------------------------------------ */

static void
test_whole(void **state)
{
	(void)state;
	struct config *config = fixture_load("\xef\xbb\xbf# a comment\r\n"
	                                     "[passenger]\r\n"
	                                     "  max_pool_size = 12\r\n"
	                                     "\tlisten = 127.0.0.1:0\t127.0.0.1:3001\n"
	                                     "listen=[::1]:3000\n"
	                                     "min_instances = 2\n"
	                                     "env.BOTH = of ; all # of it\n"
	                                     "env.OWN = of all\n"
	                                     "pool_idle_time = 10\n"
	                                     "[ app   blog ]\n"
	                                     "root = ./blog\n"
	                                     "env.OWN = a = b : c\n"
	                                     "env.EMPTY =\n"
	                                     "min_instances = 3\n"
	                                     "direct_wait_ms = 250\n"
	                                     "host = Example.ORG \t*.Example.org\n"
	                                     "base_uri = //a//b/\n"
	                                     "; another comment\n"
	                                     "[listener apache]\n"
	                                     "address = unix:/tmp/x.sock\n"
	                                     "mode = 0666\n"
	                                     "app = blog\n"
	                                     "[app shop]\n"
	                                     "root = shop/.\n"
	                                     "app_env = development\n"
	                                     "ruby = /opt/ruby 3/bin/ruby\n");
	assert_int_equal(config->max_pool_size, 12);
	assert_int_equal(config->idle_timeout_ms, 75000);
	assert_int_equal(config->generation, 1);
	assert_int_equal(config->listener_count, 4);
	assert_string_equal(config->listeners[0]->name, "listen-1");
	assert_false(config->listeners[1]->trusted);
	assert_int_equal(config->listeners[2]->address.family, CONFIG_ADDRESS_INET6);
	assert_string_equal(config->listeners[3]->name, "apache");
	assert_true(config->listeners[3]->trusted);
	assert_int_equal(config->listeners[3]->mode, 0666);
	assert_int_equal(config->app_count, 2);
	const struct app_config *blog = config->apps[0], *shop = config->apps[1];
	assert_string_equal(blog->name, "blog");
	assert_ptr_equal(blog->type, &app_type_ruby);
	assert_string_equal(blog->startup_file, "config.ru");
	assert_string_equal(blog->host, "example.org  *.example.org");
	assert_string_equal(blog->base_uri, "/a/b");
	assert_int_equal(blog->env_count, 3);
	assert_string_equal(blog->env[0].name, "BOTH");
	assert_string_equal(blog->env[0].value, "of ; all # of it");
	assert_string_equal(blog->env[1].value, "a = b : c");
	assert_string_equal(blog->env[2].value, "");
	assert_int_equal(blog->min_instances, 3);
	assert_int_equal(blog->direct_wait_ms, 250);
	assert_int_equal(blog->pool_idle_time_ms, 10000);
	assert_false(blog->friendly_error_pages);
	assert_false(blog->listener_only);
	assert_string_equal(app_config_type_value(blog, 0), "ruby");
	assert_int_equal(shop->min_instances, 2);
	assert_int_equal(shop->env_count, 2);
	assert_true(shop->friendly_error_pages);
	assert_string_equal(app_config_type_value(shop, 0), "/opt/ruby 3/bin/ruby");
	assert_string_equal(app_config_type_value(shop, 99), "");
	char text[128];
	snprintf(text, sizeof text, "%s/blog (production)", fixture_dir);
	assert_string_equal(blog->app_group_name, text);
	snprintf(text, sizeof text, "%s/p.ini", fixture_dir);
	assert_string_equal(config->path, text);
	assert_int_equal(blog->uid, geteuid());
	fixture_assert_round_trip(config, fixture_types);
	config_free(config);
}

/* What looks alike but is no conflict. */
static void
test_routes(void **state)
{
	(void)state;
	config_free(fixture_load(BLOG "host = a.b a.b\n[app shop]\nroot = shop\nhost = *.b\n"));
	config_free(fixture_load(BLOG "[app shop]\nroot = shop\nbase_uri = /shop\n"));
	config_free(fixture_load(BLOG "[app shop]\nroot = shop\nenabled = off\n"));
	struct config *config = fixture_load(BLOG "[app shop]\nroot = shop\n"
	                                          "[listener s]\naddress = 127.0.0.1:3001\napp = shop\n"
	                                          "[passenger]\nlisten = 127.0.0.1:3000\n");
	assert_false(config->apps[0]->listener_only);
	assert_true(config->apps[1]->listener_only);
	fixture_assert_round_trip(config, fixture_types);
	config_free(config);
}

/* --- types ------------------------------------------------------------------------------------ */

static void
test_types(void **state)
{
	(void)state;
	struct config_source source = {.types = fixture_many_types};
	struct config *config = fixture_load_with(&source, "[app m]\nroot = mixed\n");
	assert_string_equal(config->apps[0]->type_name, "ruby");
	config_free(config);
	config = fixture_load_with(&source, "[app m]\nroot = mixed\nstartup_file = other.txt\n");
	assert_ptr_equal(config->apps[0]->type, &fixture_alike_too);
	config_free(config);
	config = fixture_load_with(&source, "[app m]\nroot = both\ntype = alike\nruby = 7\n");
	assert_string_equal(config->apps[0]->type_values[0], "7");
	assert_string_equal(config->apps[0]->startup_file, "alike.txt");
	fixture_assert_round_trip(config, fixture_many_types);
	config_free(config);
	config = fixture_load_with(&source, "[passenger]\nruby = 8\n[app m]\nroot = both\ntype = alike\n");
	assert_string_equal(config->apps[0]->type_values[0], "8");
	config_free(config);
	const char *text = "[app m]\nroot = both\ntype = alike\nruby = x\n";
	fixture_assert_error_of(&source, text, strlen(text), "4: ruby = x: expected a whole number from 1 to 9");
	text = "[app m]\nroot = both\n";
	fixture_assert_error_of(
		&source, text, strlen(text),
		"1: [app m]: the files in ~/both fit the types alike and alike-too alike; expected a line type = "
		"ruby, alike, alike-too or command");
	config = fixture_load("[app c]\nroot = blog\ncommand = ./run 'a b'\nconcurrency = 3\n");
	assert_string_equal(config->apps[0]->type_name, "command");
	struct app_argv argv = {0};
	char error[256];
	assert_true(config->apps[0]->type->argv(config->apps[0], NULL, &argv, error, sizeof error));
	assert_int_equal(argv.count, 2);
	assert_string_equal(argv.words[1], "a b");
	app_argv_free(&argv);
	config_free(config);
	config = fixture_load(BLOG);
	assert_true(config->apps[0]->type->argv(config->apps[0], "/x/ruby.rb", &argv, error, sizeof error));
	assert_int_equal(argv.count, 2);
	assert_string_equal(argv.words[0], "ruby");
	assert_string_equal(argv.words[1], "/x/ruby.rb");
	app_argv_free(&argv);
	config_free(config);
}

/* --- runtimes --------------------------------------------------------------------------------- */

#define RUNTIME_X                                                                             \
	"[passenger]\nenv.A = p\nenv.B = p\n"                                                 \
	"[app a]\nroot = other\nenv.C = a\nhost = a\n"                                        \
	"[app b]\nroot = empty\ntype = x\nhost = b\ncommand = own $PASSENGER_SOCKET\n"        \
	"interpreter = /own\nconcurrency = 5\n"                                               \
	"[app c]\nroot = blog\nhost = c\n"                                                    \
	"[runtime x]\ncommand = $PASSENGER_INTERPRETER '$PORT' \"${A}b\"\ninterpreter = /x\n" \
	"detect = none.txt other.txt\nconcurrency = 3\nenv.B = r\nenv.C = r\n"

static void
test_runtimes(void **state)
{
	(void)state;
	struct config *config = fixture_load(RUNTIME_X), *after;
	const struct app_config *a = config->apps[0], *b = config->apps[1], *c = config->apps[2];
	char word[CONFIG_NAME_BYTES_MAX * 4];
	assert_string_equal(a->type->name, "x");
	assert_string_equal(b->type->name, "x");
	assert_string_equal(c->type->name, "ruby");
	assert_int_equal(a->type_from, CONFIG_TYPE_FILES);
	assert_int_equal(b->type_from, CONFIG_TYPE_WRITTEN);
	assert_int_equal(a->concurrency, 3);
	assert_int_equal(b->concurrency, 5);
	assert_int_equal(a->readiness, APP_READY_PORT);
	assert_int_equal(b->readiness, APP_READY_SOCKET);
	assert_int_equal(c->readiness, APP_READY_CONTROL);
	assert_string_equal(app_config_interpreter(a, word), "/x");
	assert_string_equal(app_config_interpreter(b, word), "/own");
	assert_string_equal(app_config_interpreter(c, word), "ruby");
	assert_null(a->startup_file); /* the command does not ask for one */
	static const char *const env[] = {"A", "p", "B", "r", "C", "a"};
	assert_int_equal(a->env_count, 3);
	for (size_t i = 0; i < a->env_count; i++) {
		assert_string_equal(a->env[i].name, env[2 * i]);
		assert_string_equal(a->env[i].value, env[2 * i + 1]);
	}
	assert_int_equal(c->env_count, 2);
	fixture_assert_round_trip(config, fixture_types);
	/* what changes in it changes how those are started that get it from there */
	after = fixture_load(RUNTIME_X "env.D = new\nweight = 1\n");
	assert_false(config_same_start(a, after->apps[0]));
	assert_false(config_same_start(b, after->apps[1]));
	assert_true(config_same_start(c, after->apps[2]));
	config_free(after);
	after = fixture_load(RUNTIME_X "weight = 81\nstartup_file = x\n");
	assert_true(config_same_start(a, after->apps[0]));
	config_free(after);
	after = fixture_load("[runtime y]\ncommand = y\ndetect = other/other.txt\n"
	                     "[app d]\nroot = .\nstartup_file = ./other/other.txt\n");
	assert_string_equal(after->apps[0]->type->name, "y");
	config_free(after);
	config_free(config);
}

static void
test_references(void **state)
{
	(void)state;
	struct app_argv argv = {0};
	struct str text, name, rest;
	assert_true(app_argv_split(&argv, STR("a$B-\"${C}d\" '$E' \\$F 5$ $$")));
	static const char *const parts[] = {"a", "$B", "-", "$C", "d", "$E", "$F", "5$", "$$"};
	size_t part = 0;
	for (size_t i = 0; i < argv.count; i++) {
		for (rest = str_from(argv.words[i]); app_reference_next(&rest, &text, &name); part++) {
			assert_true(part < array_count(parts));
			bool is_name = part == 1 || part == 3;
			assert_int_equal(is_name, name.len > 0);
			assert_true(is_name ? str_equal(name, str_from(parts[part] + 1))
			                    : str_equal(text, str_from(parts[part])));
		}
	}
	assert_int_equal(part, array_count(parts));
	app_argv_free(&argv);
	static const char *const bad[] = {"${", "${}", "${A", "${A-b}", "\"${A\"}"};
	for (size_t i = 0; i < array_count(bad); i++) {
		if (app_argv_split(&argv, str_from(bad[i])))
			fail_msg("taken: %s", bad[i]);
		app_argv_free(&argv);
	}
}

/* --- the command line ---------------------------------------------------------------------------- */

static void
test_command_line(void **state)
{
	(void)state;
	char blog[128], odd[128];
	snprintf(blog, sizeof blog, "%s/blog/./", fixture_dir);
	struct config_source source = {.app_dir = blog};
	struct config *config = fixture_load_with(&source, NULL);
	assert_null(config->path);
	assert_string_equal(config->apps[0]->name, "blog");
	assert_int_equal(strlen(config->apps[0]->root), strlen(blog) - 3);
	assert_int_equal(config->listener_count, 1);
	assert_string_equal(config->listeners[0]->address_text, "127.0.0.1:3000");
	fixture_assert_round_trip(config, fixture_types);
	config_free(config);

	static const char *const listen[] = {"unix:/tmp/y.sock", "127.0.0.1:0"};
	source = (struct config_source){.listen = listen, .listen_count = 2, .instance_dir = "/tmp/i", .app_dir = blog};
	config = fixture_load_with(
		&source, "[passenger]\nlisten = 127.0.0.1:9\ninstance_dir = x\n[listener a]\naddress = 127.0.0.1:8\n"
			 "[app shop]\nroot = shop\nbase_uri = /shop\n");
	assert_int_equal(config->listener_count, 3);
	assert_string_equal(config->listeners[0]->name, "a");
	assert_string_equal(config->listeners[1]->address_text, "unix:/tmp/y.sock");
	assert_string_equal(config->instance_dir, "/tmp/i");
	assert_int_equal(config->app_count, 2);
	config_free(config);

	/* The same folder is the same application. */
	config = fixture_load_with(&(struct config_source){.app_dir = blog}, BLOG "min_instances = 0\n");
	assert_int_equal(config->app_count, 1);
	config_free(config);

	fixture_make_dir(".od d\n");
	fixture_make_file(".od d\n/config.ru", "", 0);
	snprintf(odd, sizeof odd, "%s/.od d\n", fixture_dir);
	config = fixture_load_with(&(struct config_source){.app_dir = odd}, NULL);
	assert_string_equal(config->apps[0]->name, "_od_d_");
	assert_string_equal(config->apps[0]->root, odd);
	fixture_assert_round_trip(config, fixture_types);
	config_free(config);

	static const char *const bad[] = {"localhost:80"};
	fixture_assert_error_of(
		&(struct config_source){.listen = bad, .listen_count = 1, .app_dir = blog}, NULL, 0,
		"--listen localhost:80: expected an address such as unix:/path (absolute, at most 103 bytes), "
		"127.0.0.1:3000 or [::1]:3000");
	fixture_assert_error_of(&(struct config_source){0}, NULL, 0,
	                        "no application: expected an ini or the folder of an application");
	fixture_assert_error_of(&(struct config_source){.app_dir = "/nowhere/at/all"}, NULL, 0,
	                        "/nowhere/at/all: there is no such folder");
	struct config_error error;
	assert_null(config_load(&(struct config_source){.path = "/nowhere/p.ini", .types = fixture_types}, &error));
	assert_string_equal(error.text, "/nowhere/p.ini: can not be opened: No such file or directory");
	assert_null(config_load(&(struct config_source){.path = "/dev/null", .types = fixture_types}, &error));
	assert_string_equal(error.text, "/dev/null: is not a file; expected an ini such as passenger.ini");
}

static void
test_ids(void **state)
{
	(void)state;
	struct config *first =
		fixture_load("[app a]\nroot=blog\nhost=a\n[app b]\nroot=blog\nhost=b\n[app c]\nroot=blog\nhost=c\n");
	assert_int_equal(first->apps[2]->id, 2);
	struct config_source source = {.previous = first};
	struct config *second = fixture_load_with(
		&source, "[app d]\nroot=blog\nhost=d\n[app c]\nroot=blog\nhost=c\n[app a]\nroot=blog\nhost=a\n");
	assert_int_equal(second->generation, 2);
	/* b's place stays free while its processes may still be there. */
	assert_int_equal(second->apps[0]->id, 3);
	assert_int_equal(second->apps[1]->id, 2);
	assert_int_equal(second->apps[2]->id, 0);
	assert_ptr_equal(config_app_by_id(second, 3), second->apps[0]);
	assert_null(config_app_by_id(second, 1));
	source.previous = second;
	struct config *third = fixture_load_with(&source, "[app e]\nroot=blog\nhost=e\n");
	assert_int_equal(third->apps[0]->id, 1);
	config_free(first);
	config_free(second);
	config_free(third);
}

/* --- users ------------------------------------------------------------------------------------------ */

static void
test_users(void **state)
{
	(void)state;
	char path[128];
	struct config_source root = {.privileged = true};
	struct config *config;
	fixture_assert_error(
		BLOG "user = no-such-user-here\n",
		"3: user = no-such-user-here: there is no such user; expected a name from /etc/passwd or a number");
	fixture_assert_error(
		BLOG "user = 4000000\n",
		"3: user = 4000000: only root can run an application as another user; start passenger as root");
	fixture_assert_error(
		BLOG "group = 4000000\n",
		"3: group = 4000000: only root can run an application in another group; start passenger as root");
	fixture_assert_error(BLOG "[passenger]\nuser = 4000000\n",
	                     "4: user = 4000000: only root can choose the balancer's user; start passenger as root");
	fixture_assert_error(
		BLOG "[listener a]\naddress = unix:/tmp/a\nowner = 4000000\n",
		"5: owner = 4000000: only root can give a socket to another user; start passenger as root");
	fixture_assert_error(
		BLOG "[listener a]\naddress = unix:/tmp/a\ngroup = 4000000\n",
		"5: group = 4000000: only root can give a socket to a group that passenger's user is not in");
#define ASSERT_ROOT_ERROR(text, expected) fixture_assert_error_of(&root, text, strlen(text), expected)
	ASSERT_ROOT_ERROR(BLOG "user = 0\n",
	                  "3: user = 0: this is root; expected user = root, if the application really is to be root");
	ASSERT_ROOT_ERROR(BLOG "user = 4000000\n",
	                  "3: user = 4000000: this number is not in /etc/passwd; expected a line group = NAME as well");
	ASSERT_ROOT_ERROR(BLOG "user = 4294967295\n",
	                  "3: user = 4294967295: there is no such user; expected a name from /etc/passwd or a number");
	ASSERT_ROOT_ERROR(
		BLOG "[passenger]\nuser = root\n",
		"4: user = root: the balancer reads from the network and is never root; expected another user, "
		"or no such line");
	ASSERT_ROOT_ERROR(BLOG "[passenger]\ndefault_user = 0\n",
	                  "4: default_user = 0: expected a user that is not root");
	ASSERT_ROOT_ERROR(
		BLOG "group = no-such-group\n",
		"3: group = no-such-group: there is no such group; expected a name from /etc/group or a number");
	config = fixture_load_with(&root, BLOG "user = root\n");
	assert_int_equal(config->apps[0]->uid, 0);
	config_free(config);
	config = fixture_load_with(
		&root,
		BLOG "user = 4000000\ngroup = 4000001\n[listener a]\naddress = unix:/tmp/a\nowner = 12\ngroup = 13\n");
	assert_int_equal(config->apps[0]->uid, 4000000);
	assert_int_equal(config->apps[0]->gid, 4000001);
	assert_int_equal(config->listeners[0]->uid, 12);
	assert_int_equal(config->listeners[0]->gid, 13);
	config_free(config);

	snprintf(path, sizeof path, "%s/blog/config.ru", fixture_dir);
	if (geteuid() != 0)
		return;
	const struct passwd *nobody = getpwnam("nobody");
	config = fixture_load_with(&root, BLOG);
	assert_int_equal(config->apps[0]->uid, nobody != NULL ? nobody->pw_uid : 65534);
	assert_int_equal(config->listeners[0]->uid, UINT32_MAX);
	config_free(config);
	assert_int_equal(lchown(path, 4000002, 4000003), 0);
	config = fixture_load_with(&root, BLOG);
	assert_int_equal(config->apps[0]->uid, 4000002);
	assert_int_equal(config->apps[0]->gid, 4000003);
	config_free(config);
	/* The owner of a link counts, not of what it points at. */
	char link[128];
	snprintf(link, sizeof link, "%s/shop/link.ru", fixture_dir);
	assert_int_equal(symlink(path, link), 0);
	config = fixture_load_with(&root, "[app s]\nroot = shop\ntype = ruby\nstartup_file = link.ru\ngroup = "
	                                  "7\n[passenger]\ndefault_user = 4000009\n");
	assert_int_equal(config->apps[0]->uid, 4000009);
	assert_int_equal(config->apps[0]->gid, 7);
	config_free(config);
	assert_int_equal(lchown(path, 0, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),        cmocka_unit_test(test_routes),     cmocka_unit_test(test_types),
		cmocka_unit_test(test_command_line), cmocka_unit_test(test_ids),        cmocka_unit_test(test_users),
		cmocka_unit_test(test_runtimes),     cmocka_unit_test(test_references),
	};
	return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
