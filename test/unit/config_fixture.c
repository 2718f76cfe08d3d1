#include "config_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The build makes these from the loader; what is in it does not matter here. */
const unsigned char loader_ruby_rb[] __attribute__((weak)) = "";
const size_t loader_ruby_rb_size __attribute__((weak)) = 0;

/* Two types that detect alike, and one that shares an option's name with ruby. */
static const struct option alike_options[] = {
	{.name = "ruby",
         .type = OPTION_INT,
         .min = 1,
         .max = 9,
         .sections = OPTION_IN_PASSENGER | OPTION_IN_APP,
         .default_text = "1",
         .help = "A number."},
};
static const struct app_type type_alike = {
	.name = "alike",
	.title = "Alike",
	.startup_files = {"alike.txt"},
	.detect_score = 50,
	.options = alike_options,
	.option_count = 1,
};
const struct app_type fixture_alike_too = {
	.name = "alike-too",
	.title = "Alike too",
	.startup_files = {"alike.txt", "other.txt"},
	.detect_score = 50,
};
const struct app_type *const fixture_types[] = {&app_type_ruby, &app_type_command, NULL};
const struct app_type *const fixture_many_types[] = {&app_type_ruby, &type_alike, &fixture_alike_too, &app_type_command,
                                                     NULL};

char fixture_dir[64];

void
fixture_make_file(const char *name, const char *text, size_t len)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", fixture_dir, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

void
fixture_make_dir(const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", fixture_dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static int
remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
	(void)status;
	(void)flag;
	(void)walk;
	return remove(path);
}

int
fixture_set_up(void **state)
{
	(void)state;
	snprintf(fixture_dir, sizeof fixture_dir, "/tmp/test_config.XXXXXX");
	assert_non_null(mkdtemp(fixture_dir));
	fixture_make_dir("blog");
	fixture_make_file("blog/config.ru", "", 0);
	fixture_make_dir("shop");
	fixture_make_file("shop/config.ru", "", 0);
	fixture_make_dir("empty");
	fixture_make_dir("both");
	fixture_make_file("both/alike.txt", "", 0);
	fixture_make_dir("other");
	fixture_make_file("other/other.txt", "", 0);
	fixture_make_dir("mixed");
	fixture_make_file("mixed/other.txt", "", 0);
	fixture_make_file("mixed/config.ru", "", 0);
	return 0;
}

int
fixture_tear_down(void **state)
{
	(void)state;
	return nftw(fixture_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct config *
fixture_load_source(struct config_source *source, const char *text, size_t len, struct config_error *error)
{
	char path[128];
	snprintf(path, sizeof path, "%s/p.ini", fixture_dir);
	if (text != NULL) {
		fixture_make_file("p.ini", text, len);
		source->path = path;
	}
	if (source->types == NULL)
		source->types = fixture_types;
	struct config *config = config_load(source, error);
	source->path = NULL;
	return config;
}

struct config *
fixture_load_with(struct config_source *source, const char *text)
{
	struct config_error error;
	struct config *config = fixture_load_source(source, text, text != NULL ? strlen(text) : 0, &error);
	if (config == NULL)
		fail_msg("%s", error.text);
	return config;
}

struct config *
fixture_load(const char *text)
{
	return fixture_load_with(&(struct config_source){0}, text);
}

/* The error without "DIR/p.ini:", and with DIR as ~. */
void
fixture_assert_error_of(struct config_source *source, const char *text, size_t len, const char *expected)
{
	struct config_error error;
	struct config *config = fixture_load_source(source, text, len, &error);
	if (config != NULL) {
		config_free(config);
		fail_msg("no error, but expected: %s\nfrom:\n%s", expected, text);
	}
	struct buf shown = {0};
	size_t dir_len = strlen(fixture_dir);
	for (const char *at = error.text; *at != 0;) {
		bool is_dir = strncmp(at, fixture_dir, dir_len) == 0;
		buf_append_char(&shown, is_dir ? '~' : *at);
		at += is_dir ? dir_len : 1;
	}
	buf_append_char(&shown, 0);
	const char *prefix = "~/p.ini:";
	const char *rest = shown.data;
	if (strncmp(rest, prefix, strlen(prefix)) == 0 && rest[strlen(prefix)] != ' ')
		rest += strlen(prefix);
	assert_string_equal(rest, expected);
	buf_free(&shown);
}

void
fixture_assert_error(const char *text, const char *expected)
{
	fixture_assert_error_of(&(struct config_source){0}, text, text != NULL ? strlen(text) : 0, expected);
}

void
fixture_assert_round_trip(const struct config *config, const struct app_type *const *its_types)
{
	struct config_error error;
	struct buf first = {0}, second = {0};
	config_write(config, &first);
	struct config *again = config_parse(buf_str(&first), its_types, &error);
	if (again == NULL)
		fail_msg("%s\n%.*s", error.text, (int)first.len, first.data);
	config_write(again, &second);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	config_free(again);
	buf_free(&first);
	buf_free(&second);
}
