/*
 * test_config_text: the texts that config writes: canonical text, passenger.ini, docs/options.md.
 * Run from the project's folder.
 */
#include "config_fixture.h"

#include "config/internal.h"

#include "apps/apps.h"

#include <stdio.h>

/* passenger.c's list, where this is linked without it. */
const struct app_type *const app_types[]
	__attribute__((weak)) = {&app_type_ruby, &app_type_python, &app_type_node, &app_type_command, NULL};

/* --- canonical text --------------------------------------------------------------------------------------- */

static uint32_t
draw(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static char *
random_text(struct config *config, uint32_t *seed, size_t most)
{
	size_t len = draw(seed) % (most + 1);
	char *text = config_alloc(config, len + 1, 1);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(draw(seed) % 255 + 1);
	return text;
}

/* Every field that a row has, to anything that its type can hold. */
static void
scramble(struct config *config, unsigned kind, void *base, uint32_t *seed)
{
	static const char *const fixed[] = {"address", "type", "base_uri"};
	size_t count;
	const struct option *rows = config_options(&count);
	for (size_t i = 0; i < count; i++) {
		const struct option *row = &rows[i];
		bool is_ours = kind == OPTION_IN_PASSENGER ? row->sections == kind : (row->sections & kind) != 0;
		bool keep = false;
		for (size_t j = 0; j < array_count(fixed); j++)
			keep = keep || strcmp(row->name, fixed[j]) == 0;
		if (!is_ours || keep || row->offset == OPTION_NO_FIELD)
			continue;
		union option_value value = {0};
		uint64_t span = row->max != 0 ? (uint64_t)(row->max - row->min) + 1 : UINT64_C(1) << 62;
		int64_t number = row->min + (int64_t)(((uint64_t)draw(seed) << 32 ^ draw(seed)) % span);
		size_t choices = 0;
		switch (row->type) {
		case OPTION_BOOL:
			value.on = draw(seed) & 1;
			break;
		case OPTION_INT:
			value.number = number;
			break;
		case OPTION_DURATION:
		case OPTION_BYTES:
			value.amount = (uint64_t)number;
			break;
		case OPTION_MODE:
			value.mode = (uint32_t)number;
			break;
		case OPTION_CHOICE:
			while (row->choices[choices] != NULL)
				choices++;
			value.choice = (int)(draw(seed) % choices);
			break;
		default:
			break;
		}
		option_store(row, base, &value, random_text(config, seed, 300));
	}
}

static void
test_random_round_trips(void **state)
{
	(void)state;
	uint32_t seed = 20240607;
	for (int round = 0; round < 200; round++) {
		struct config *config =
			fixture_load(BLOG "env.A = x\nenv.B = y\n[app c]\nroot = empty\ncommand = a\nhost = c\n"
		                          "[listener a]\naddress = unix:/tmp/a\n[runtime r]\ncommand = "
		                          "r\n[passenger]\nlisten = 127.0.0.1:80\n");
		scramble(config, OPTION_IN_PASSENGER, config, &seed);
		config->generation = (uint64_t)draw(&seed) << 30;
		config->path = random_text(config, &seed, 4096);
		for (size_t i = 0; i < config->listener_count; i++)
			scramble(config, OPTION_IN_LISTENER, config->listeners[i], &seed);
		scramble(config, OPTION_IN_RUNTIME, config->runtimes[0], &seed);
		for (size_t i = 0; i < config->app_count; i++) {
			struct app_config *app = config->apps[i];
			scramble(config, OPTION_IN_APP, app, &seed);
			app->id = (uint32_t)(i * 100 + draw(&seed) % 100);
			app->uid = draw(&seed) << 8 | 0xff;
			app->gid = draw(&seed);
			for (size_t j = 0; j < app->env_count; j++)
				app->env[j].value = random_text(config, &seed, CONFIG_LINE_BYTES_MAX);
			for (size_t j = 0; j < app->type->option_count; j++)
				app->type_values[j] = random_text(config, &seed, 100);
		}
		fixture_assert_round_trip(config, fixture_types);
		config_free(config);
	}
}

static void
test_canonical_errors(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"[app a]\nroot=%zz\n",
		"[app a]\nroot=%0\n",
		"[app a]\nroot=%00\n",
		"[app a]\nroot=/\n",
		"nonsense",
		"[app a]\nroot=/\ntype=x\napp_group_name=x\n",
		"[passenger]\nlisten=127.0.0.1:80\n",
		"[listener a]\naddress=x\n",
		"[listener a]\n",
		"[app a]\nid=37777777777\n",
		"[app a]\nroot=/\ntype=ruby\napp_group_name=x\n[app b]\nroot=/\ntype=ruby\napp_group_name=x\n",
	};
	struct config_error error;
	for (size_t i = 0; i < array_count(cases); i++) {
		struct config *config = config_parse(str_from(cases[i]), fixture_types, &error);
		if (config != NULL)
			fail_msg("taken: %s", cases[i]);
		assert_true(error.text[0] != 0);
	}
	struct config *config = config_parse(STR("[app a]\nroot=/\ntype=ruby\napp_group_name=%20%0a%ff\nuid=1750\n"),
	                                     fixture_types, &error);
	assert_non_null(config);
	assert_string_equal(config->apps[0]->app_group_name, " \n\xff");
	assert_int_equal(config->apps[0]->uid, 01750);
	config_free(config);
}

/* --- the generated files ------------------------------------------------------------------------------------- */

static void
assert_same_file(const char *path, const struct buf *text)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		fail_msg("%s: run this test from the project's folder", path);
	struct buf content = {0};
	char block[4096];
	for (size_t len; (len = fread(block, 1, sizeof block, file)) > 0;)
		buf_append(&content, block, len);
	fclose(file);
	if (!str_equal(buf_str(&content), buf_str(text)))
		fail_msg("%s is not what `passenger options` prints; write it anew", path);
	buf_free(&content);
}

static void
test_files(void **state)
{
	(void)state;
	struct buf text = {0};
	config_print_ini(&text, app_types);
	assert_same_file("passenger.ini", &text);
	buf_clear(&text);
	config_print_markdown(&text, app_types);
	assert_same_file("docs/options.md", &text);
	buf_free(&text);
}

static void
replace(struct buf *text, const char *from, const char *to)
{
	struct buf out = {0};
	size_t len = strlen(from);
	for (size_t i = 0; i < text->len;) {
		bool here = text->len - i >= len && memcmp(text->data + i, from, len) == 0;
		buf_append(&out, here ? to : text->data + i, here ? strlen(to) : 1);
		i += here ? len : 1;
	}
	buf_free(text);
	*text = out;
}

/* Every line that the comment signs hide, but for what only root or this machine could have. */
static void
test_ini_uncommented(void **state)
{
	(void)state;
	struct buf text = {0};
	config_print_ini(&text, fixture_types);
	buf_append_char(&text, 0);
	const char *marker = strstr(text.data, "# Examples:");
	assert_non_null(marker);
	size_t options_len = (size_t)(marker - text.data);
	struct buf ini = {0};
	struct str rest = str_make(text.data, options_len), line;
	while (str_split(&rest, '\n', &line)) {
		struct str bare = line.len > 1 && line.data[0] == '#' && line.data[1] != ' '
		                          ? str_make(line.data + 1, line.len - 1)
		                          : line;
		static const char *const skipped[] = {
			"user =",    "hook_user =", "owner =",     "group =",      "default_group =",
			"command =", "app =",       "readiness =", "interpreter ="};
		bool skip = false;
		for (size_t i = 0; i < array_count(skipped); i++)
			skip = skip || str_starts(bare, str_from(skipped[i]));
		if (!skip) {
			buf_append_str(&ini, bare);
			buf_append_char(&ini, '\n');
		}
	}
	char root[128];
	snprintf(root, sizeof root, "root = %s/blog", fixture_dir);
	replace(&ini, "root = /srv/blog", root);
	replace(&ini, "concurrency = 0\n", "");
	replace(&ini, "[runtime NAME]\n", "[runtime NAME]\ncommand = x\n");
	buf_append_char(&ini, 0);
	struct config *config = fixture_load(ini.data);
	assert_int_equal(config->app_count, 1);
	assert_int_equal(config->listener_count, 2);
	config_free(config);

	buf_clear(&ini);
	rest = str_make(marker, strlen(marker));
	while (str_split(&rest, '\n', &line)) {
		bool hidden = line.len > 1 && line.data[0] == '#' && line.data[1] != ' ';
		buf_append_str(&ini, hidden ? str_make(line.data + 1, line.len - 1) : line);
		buf_append_char(&ini, '\n');
	}
	replace(&ini, "/srv/reports", fixture_dir);
	replace(&ini, "root = /srv/blog", root);
	replace(&ini, "group = www-data", "mode = 0660");
	buf_append_char(&ini, 0);
	config = fixture_load(ini.data);
	assert_int_equal(config->app_count, 2);
	assert_string_equal(config->apps[1]->type_name, "command");
	assert_int_equal(config->runtime_count, 4);
	config_free(config);
	buf_free(&ini);
	buf_free(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_round_trips),
		cmocka_unit_test(test_canonical_errors),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_ini_uncommented),
	};
	return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
