/*
 * The type of an application: written, told by its command, or found by the files
 * that stand in its root.  Files are only looked at, never opened: what is in
 * them belongs to the application's user, and we may be root.
 */
#include "config/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_BYTES = 256, SENTENCE_BYTES = 512 };

static uint32_t
line_of(const struct config_reading_app *app, const char *name)
{
	return config_line(&app->section, name, OPTION_IN_APP);
}

static bool
is_file(int root, const char *path)
{
	struct stat status;
	return fstatat(root, path, &status, 0) == 0 && S_ISREG(status.st_mode);
}

static const char *
first_startup_file(const struct app_type *type, int root)
{
	for (size_t i = 0; i < APP_STARTUP_FILES_MAX && type->startup_files[i] != NULL; i++)
		if (is_file(root, type->startup_files[i]))
			return type->startup_files[i];
	return NULL;
}

static bool
has_startup_name(const struct app_type *type, const char *path)
{
	size_t bytes = strlen(path);
	for (size_t i = 0; i < APP_STARTUP_FILES_MAX && type->startup_files[i] != NULL; i++) {
		size_t before = bytes - strlen(type->startup_files[i]);
		if (before <= bytes && strcmp(type->startup_files[i], path + before) == 0 &&
		    (before == 0 || path[before - 1] == '/'))
			return true;
	}
	return false;
}

const char *
config_detect_file(const struct app_type *type, const struct app_config *app, int root)
{
	if (app->startup_file == NULL)
		return first_startup_file(type, root);
	return has_startup_name(type, app->startup_file) ? app->startup_file : NULL;
}

/* "ruby, python or command"; false in `all`: only those that run a command. */
static void
list_types(const struct app_type *const *types, bool all, char out[LIST_BYTES])
{
	size_t used = 0, left = 0;
	out[0] = 0;
	for (size_t i = 0; types[i] != NULL; i++)
		left += all || types[i]->takes_command;
	for (size_t i = 0; types[i] != NULL && used < LIST_BYTES; i++) {
		if (!all && !types[i]->takes_command)
			continue;
		left--;
		const char *joint = used == 0 ? "" : left == 0 ? " or " : ", ";
		used += (size_t)snprintf(out + used, LIST_BYTES - used, "%s%s", joint, types[i]->name);
	}
}

/* "config.ru (ruby), app.js (node)" */
static void
list_startup_files(const struct app_type *const *types, char out[LIST_BYTES])
{
	size_t used = 0;
	str_cut_z(out, LIST_BYTES, STR("nothing"));
	for (size_t t = 0; types[t] != NULL; t++)
		for (size_t i = 0; i < APP_STARTUP_FILES_MAX && types[t]->startup_files[i] != NULL && used < LIST_BYTES;
		     i++)
			used += (size_t)snprintf(out + used, LIST_BYTES - used, "%s%s (%s)", used == 0 ? "" : ", ",
			                         types[t]->startup_files[i], types[t]->name);
}

/* ", or wsgi_module = package.module:application", for each option that says so what to start. */
static size_t
list_examples(const struct app_type *type, char out[LIST_BYTES], size_t used)
{
	for (size_t i = 0; i < type->option_count && used < LIST_BYTES; i++)
		if (type->options[i].example != NULL)
			used += (size_t)snprintf(out + used, LIST_BYTES - used, ", or %s = %s", type->options[i].name,
			                         type->options[i].example);
	return used;
}

static const struct app_type *
type_by_name(const struct app_type *const *types, const char *name)
{
	for (size_t i = 0; types[i] != NULL; i++)
		if (strcmp(types[i]->name, name) == 0)
			return types[i];
	return NULL;
}

static bool
fail_unknown_type(struct config_reading *reading, const struct config_reading_app *app)
{
	char list[LIST_BYTES], hint[SENTENCE_BYTES] = "";
	struct str name = str_from(app->app->type_name);
	size_t best = name.len / 3 + 2;
	for (size_t i = 0; reading->types[i] != NULL; i++) {
		size_t distance = config_distance(name, str_from(reading->types[i]->name), best);
		if (distance >= best)
			continue;
		best = distance;
		str_format(hint, sizeof hint, "; did you mean %s?", reading->types[i]->name);
	}
	list_types(reading->types, true, list);
	return config_fail_value(reading, line_of(app, "type"), STR("type"), name, "expected %s%s", list, hint);
}

/* By the name of the given startup file, else by which files are there; NULL: *error says why. */
static const struct app_type *
detect(struct config_reading *reading, const struct app_config *app, int root, char error[2 * SENTENCE_BYTES])
{
	const struct app_type *found = NULL, *rival = NULL;
	char files[LIST_BYTES], list[LIST_BYTES], examples[LIST_BYTES] = "";
	size_t used = 0;
	for (size_t i = 0; reading->types[i] != NULL; i++) {
		const struct app_type *type = reading->types[i];
		if (config_detect_file(type, app, root) == NULL)
			continue;
		if (found == NULL || type->detect_score > found->detect_score) {
			found = type;
			rival = NULL;
		} else if (type->detect_score == found->detect_score) {
			rival = type;
		}
	}
	if (found != NULL && rival == NULL)
		return found;
	list_types(reading->types, true, list);
	list_startup_files(reading->types, files);
	for (size_t i = 0; reading->types[i] != NULL; i++)
		used = list_examples(reading->types[i], examples, used);
	if (rival != NULL)
		snprintf(error, 2 * SENTENCE_BYTES,
		         "the files in %.300s fit the types %s and %s alike; expected a line type = %s", app->root,
		         found->name, rival->name, list);
	else if (app->startup_file != NULL)
		snprintf(error, 2 * SENTENCE_BYTES, "startup_file = %.200s tells no type; expected a line type = %s",
		         app->startup_file, list);
	else
		snprintf(error, 2 * SENTENCE_BYTES,
		         "nothing in %.300s tells the type of the application: looked for %s; "
		         "expected one of these files, or a line type = %s%s",
		         app->root, files, list, examples);
	return NULL;
}

static const struct config_type_value *
given_value(const struct config_section *section, const struct option *option)
{
	for (size_t i = 0; i < section->type_value_count; i++)
		if (strcmp(section->type_values[i].option->name, option->name) == 0)
			return &section->type_values[i];
	return NULL;
}

static const struct app_type *
type_of_option(const struct config_reading *reading, const struct config_section *section)
{
	for (size_t i = 0; section->type_value_count > 0 && reading->types[i] != NULL; i++)
		for (size_t j = 0; j < reading->types[i]->option_count; j++)
			if (section->type_values[0].option == &reading->types[i]->options[j])
				return reading->types[i];
	return NULL;
}

static const struct app_type *
type_that_takes_command(const struct app_type *const *types)
{
	for (size_t i = 0; types[i] != NULL; i++)
		if (types[i]->takes_command)
			return types[i];
	return NULL;
}

static bool
choose_type(struct config_reading *reading, struct config_reading_app *app, int root)
{
	struct app_config *of = app->app;
	char error[2 * SENTENCE_BYTES];
	of->type =
		of->command != NULL ? type_that_takes_command(reading->types) : type_of_option(reading, &app->section);
	of->type_from = of->type_name != NULL      ? CONFIG_TYPE_WRITTEN
	                : of->command != NULL      ? CONFIG_TYPE_COMMAND
	                : of->type != NULL         ? CONFIG_TYPE_OPTION
	                : of->startup_file != NULL ? CONFIG_TYPE_STARTUP_FILE
	                                           : CONFIG_TYPE_FILES;
	if (of->type_name != NULL) {
		of->type = type_by_name(reading->types, of->type_name);
		return of->type != NULL || fail_unknown_type(reading, app);
	}
	if (of->type == NULL)
		of->type = detect(reading, of, root, error);
	if (of->type == NULL)
		return config_fail(reading, app->section.line, app->section.line != 0 ? app->section.title : NULL, "%s",
		                   error);
	of->type_name = config_strdup(reading->config, str_from(of->type->name));
	return true;
}

static bool
find_startup_file(struct config_reading *reading, struct config_reading_app *app, int root)
{
	struct app_config *of = app->app;
	if (of->startup_file != NULL) {
		if (is_file(root, of->startup_file))
			return true;
		return config_fail_value(reading, line_of(app, "startup_file"), STR("startup_file"),
		                         str_from(of->startup_file), "there is no such file in %s", of->root);
	}
	if ((of->type->startup_files[0] == NULL && of->type->startup_file == NULL) ||
	    (of->type->starts_without_file != NULL && of->type->starts_without_file(of)))
		return true;
	const char *usual = of->type->startup_file;
	const char *found = usual == NULL ? first_startup_file(of->type, root) : is_file(root, usual) ? usual : NULL;
	if (found == NULL) {
		char examples[LIST_BYTES] = "";
		list_examples(of->type, examples, 0);
		return config_fail(
			reading, line_of(app, "type"), app->section.title,
			"there is no %s in %s, which type %s needs; expected it, or a line startup_file = PATH%s",
			usual != NULL ? usual : of->type->startup_files[0], of->root, of->type->name, examples);
	}
	of->startup_file = config_strdup(reading->config, str_from(found));
	return true;
}

/* Options that mean nothing for this type were meant for another one: say so. */
static bool
check_command_options(struct config_reading *reading, const struct config_reading_app *app)
{
	static const char *const names[] = {"command", "concurrency", "readiness", "interpreter"};
	char list[LIST_BYTES];
	if (app->app->type->takes_command)
		return true;
	list_types(reading->types, false, list);
	for (size_t i = 0; i < array_count(names); i++) {
		uint32_t line = app->section.lines[config_row(names[i], OPTION_IN_APP)];
		if (line != 0)
			return config_fail(reading, line, names[i], "is only for type = %s, and the type of %s is %s",
			                   list, app->section.title, app->app->type->name);
	}
	return true;
}

static bool
resolve_type_values(struct config_reading *reading, struct config_reading_app *app)
{
	const struct app_type *type = app->app->type;
	char expected[OPTION_EXPECTED_BYTES];
	union option_value value;
	app->app->type_values = config_alloc(reading->config, type->option_count + 1, sizeof(char *));
	for (size_t i = 0; i < type->option_count; i++) {
		const struct option *option = &type->options[i];
		const struct config_type_value *given = given_value(&app->section, option);
		if (given == NULL)
			given = given_value(&reading->passenger, option);
		if (given != NULL && !reading->canonical &&
		    !option_parse(option, str_from(given->text), &value, expected))
			return config_fail_value(reading, given->line, str_from(option->name), str_from(given->text),
			                         "expected %s", expected);
		if (given != NULL && option->type == OPTION_BOOL && !reading->canonical)
			app->app->type_values[i] = config_strdup(reading->config, value.on ? STR("on") : STR("off"));
		else if (given != NULL)
			app->app->type_values[i] = given->text;
		else if (option->default_text != NULL)
			app->app->type_values[i] = config_strdup(reading->config, str_from(option->default_text));
	}
	for (size_t i = 0; i < app->section.type_value_count; i++) {
		const struct config_type_value *given = &app->section.type_values[i];
		bool known = false;
		for (size_t j = 0; j < type->option_count && !known; j++)
			known = strcmp(type->options[j].name, given->option->name) == 0;
		if (!known)
			return config_fail(reading, given->line, given->option->name,
			                   "is no option of type %s, which %s has", type->name, app->section.title);
	}
	return true;
}

static bool
check_by_type(struct config_reading *reading, struct config_reading_app *app)
{
	char error[SENTENCE_BYTES] = "";
	if (app->app->type->check == NULL || app->app->type->check(app->app, error, sizeof error))
		return true;
	return config_fail(reading, app->section.line, app->section.title, "%s", error);
}

bool
config_resolve_type(struct config_reading *reading, struct config_reading_app *app,
                    const struct config_section **runtime)
{
	struct app_config *of = app->app;
	if (reading->canonical) {
		of->type = of->type_name != NULL ? type_by_name(reading->types, of->type_name) : NULL;
		if (of->type == NULL)
			return config_fail(reading, app->section.line, app->section.title, "type is missing or unknown");
		return resolve_type_values(reading, app) && config_resolve_command(reading, app, runtime);
	}
	int root = open(of->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0) {
		const char *why = errno == ENOENT    ? "there is no such folder"
		                  : errno == ENOTDIR ? "this is not a folder"
		                                     : strerror(errno);
		return app->section.line != 0 ? config_fail_value(reading, line_of(app, "root"), STR("root"),
		                                                  str_from(of->root), "%s", why)
		                              : config_fail(reading, 0, of->root, "%s", why);
	}
	/* Its own options before the startup file: they may say that there is none. */
	bool sound = choose_type(reading, app, root) && resolve_type_values(reading, app) &&
	             config_resolve_command(reading, app, runtime) && find_startup_file(reading, app, root) &&
	             check_command_options(reading, app) && check_by_type(reading, app);
	close(root);
	return sound;
}
