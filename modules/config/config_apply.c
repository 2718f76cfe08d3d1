/*
 * One line of the ini to its section, its row and its field.  Nothing here looks
 * at two lines at once but for duplicates.
 */
#include "config/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENTENCE_BYTES = 512 };

static struct str
env_prefix(void)
{
	return STR("env.");
}

static const char *
kind_title(unsigned sections)
{
	if ((sections & OPTION_IN_RUNTIME) != 0 && (sections & OPTION_IN_APP) == 0)
		return "[runtime NAME]";
	if ((sections & OPTION_IN_PASSENGER) != 0)
		return (sections & OPTION_IN_APP) != 0 ? "[passenger] or [app NAME]" : "[passenger]";
	return (sections & OPTION_IN_LISTENER) != 0 ? "[listener NAME]" : "[app NAME]";
}

/* --- headings ------------------------------------------------------------------ */

static bool
check_section_name(struct config_reading *reading, struct str heading, struct str name, uint32_t line)
{
	char expected[OPTION_EXPECTED_BYTES], subject[CONFIG_NAME_BYTES_MAX * 2];
	str_cut_z(subject, sizeof subject, heading);
	if (config_check_name(name, expected, sizeof expected))
		return true;
	return config_fail(reading, line, NULL, "[%s]: expected %s after the first word", subject, expected);
}

static bool
fail_again(struct config_reading *reading, const struct config_section *section, uint32_t line)
{
	return config_fail(reading, line, NULL, "%s: stands in line %u already", section->title,
	                   (unsigned)section->line);
}

struct config_reading_app *
config_add_app(struct config_reading *reading, struct str name, uint32_t line)
{
	struct config *config = reading->config;
	if (reading->app_count % 16 == 0) {
		size_t room = (reading->app_count + 16) * sizeof *reading->apps;
		reading->apps = realloc(reading->apps, room);
		if (reading->apps == NULL)
			abort();
	}
	struct config_reading_app *app = &reading->apps[reading->app_count++];
	*app = (struct config_reading_app){.app = config_alloc(config, 1, sizeof(struct app_config))};
	app->app->name = config_strdup(config, name);
	app->section.line = line;
	app->section.title = config_format(config, "[app %s]", app->app->name);
	return app;
}

static bool
begin_app(struct config_reading *reading, struct str name, uint32_t line)
{
	for (size_t i = 0; i < reading->app_count; i++)
		if (str_equal(str_from(reading->apps[i].app->name), name))
			return fail_again(reading, &reading->apps[i].section, line);
	if (reading->app_count == CONFIG_APPS_MAX)
		return config_fail(reading, line, NULL, "[app %.*s]: expected at most %d applications", STR_ARG(name),
		                   CONFIG_APPS_MAX);
	struct config_reading_app *app = config_add_app(reading, name, line);
	reading->current = &app->section;
	reading->current_kind = OPTION_IN_APP;
	reading->current_base = app->app;
	return true;
}

static struct config_reading_listener *
add_listener(struct config_reading *reading, struct str name, uint32_t line)
{
	struct config *config = reading->config;
	if (reading->listener_count == CONFIG_LISTENERS_MAX) {
		config_fail(reading, line, NULL, "%.*s: expected at most %d listeners", STR_ARG(name),
		            CONFIG_LISTENERS_MAX);
		return NULL;
	}
	struct config_reading_listener *listener = &reading->listeners[reading->listener_count++];
	*listener =
		(struct config_reading_listener){.listener = config_alloc(config, 1, sizeof(struct listener_config))};
	listener->listener->name = config_strdup(config, name);
	listener->section.line = line;
	listener->section.title = config_format(config, "[listener %s]", listener->listener->name);
	return listener;
}

static bool
begin_listener(struct config_reading *reading, struct str name, uint32_t line)
{
	if (str_starts(name, STR("listen-")) && !reading->canonical)
		return config_fail(
			reading, line, NULL,
			"[listener %.*s]: expected another name; those that begin with listen- are given to the "
			"addresses of `listen`",
			STR_ARG(name));
	for (size_t i = 0; i < reading->listener_count; i++)
		if (str_equal(str_from(reading->listeners[i].listener->name), name))
			return fail_again(reading, &reading->listeners[i].section, line);
	struct config_reading_listener *listener = add_listener(reading, name, line);
	if (listener == NULL)
		return false;
	reading->current = &listener->section;
	reading->current_kind = OPTION_IN_LISTENER;
	reading->current_base = listener->listener;
	return true;
}

static bool
begin_runtime(struct config_reading *reading, struct str name, uint32_t line)
{
	struct config *config = reading->config;
	for (size_t i = 0; i < reading->runtime_count; i++)
		if (str_equal(str_from(reading->runtimes[i].runtime->type.name), name))
			return fail_again(reading, &reading->runtimes[i].section, line);
	if (reading->runtime_count == CONFIG_RUNTIMES_MAX)
		return config_fail(reading, line, NULL, "[runtime %.*s]: expected at most %d runtimes", STR_ARG(name),
		                   CONFIG_RUNTIMES_MAX);
	struct config_reading_runtime *runtime = &reading->runtimes[reading->runtime_count++];
	runtime->runtime = config_alloc(config, 1, sizeof(struct runtime_config));
	runtime->runtime->type.name = config_strdup(config, name);
	runtime->runtime->line = line;
	runtime->section.line = line;
	runtime->section.title = config_format(config, "[runtime %s]", runtime->runtime->type.name);
	reading->current = &runtime->section;
	reading->current_kind = OPTION_IN_RUNTIME;
	reading->current_base = runtime->runtime;
	return true;
}

static bool
begin_passenger(struct config_reading *reading, uint32_t line)
{
	if (reading->passenger.line != 0)
		return fail_again(reading, &reading->passenger, line);
	reading->passenger.line = line;
	reading->current = &reading->passenger;
	reading->current_kind = OPTION_IN_PASSENGER;
	reading->current_base = reading->config;
	return true;
}

bool
config_apply_section(struct config_reading *reading, struct str heading, uint32_t line)
{
	static const char *const kinds[] = {"passenger", "listener", "app", "runtime"};
	size_t len = 0;
	while (len < heading.len && heading.data[len] != ' ' && heading.data[len] != '\t')
		len++;
	struct str kind = str_make(heading.data, len);
	struct str name = str_trim(str_make(heading.data + len, heading.len - len));

	if (str_equal(kind, STR("passenger")) && name.len == 0)
		return begin_passenger(reading, line);
	if (str_equal(kind, STR("listener")))
		return check_section_name(reading, heading, name, line) && begin_listener(reading, name, line);
	if (str_equal(kind, STR("app")))
		return check_section_name(reading, heading, name, line) && begin_app(reading, name, line);
	if (str_equal(kind, STR("runtime")))
		return check_section_name(reading, heading, name, line) && begin_runtime(reading, name, line);

	char hint[64] = "";
	size_t nearest = kind.len / 3 + 2;
	for (size_t i = 0; i < array_count(kinds); i++) {
		size_t distance = config_distance(kind, str_from(kinds[i]), nearest);
		if (kind.len == 0 || distance >= nearest)
			continue;
		nearest = distance;
		str_format(hint, sizeof hint, "; did you mean [%s%s]?", kinds[i], i == 0 ? "" : " NAME");
	}
	return config_fail(
		reading, line, NULL,
		"[%.*s]: no such section: expected [passenger], [listener NAME], [app NAME] or [runtime NAME]%s",
		(int)(heading.len < 80 ? heading.len : 80), heading.data, hint);
}

/* --- env.NAME -------------------------------------------------------------------- */

static bool
apply_env(struct config_reading *reading, struct str full_name, struct str value, uint32_t line)
{
	struct config_section *section = reading->current;
	struct str name = str_make(full_name.data + env_prefix().len, full_name.len - env_prefix().len);
	/* The value may be a secret: it is in no error. */
	char subject[SENTENCE_BYTES];
	str_cut_z(subject, sizeof subject, full_name);
	if (reading->current_kind == OPTION_IN_LISTENER)
		return config_fail(reading, line, subject,
		                   "belongs in [passenger], [app NAME] or [runtime NAME], not in %s", section->title);
	if (!config_check_env_name(name))
		return config_fail(
			reading, line, subject,
			"expected env. and a name of letters, digits and underscores that begins with no digit");
	for (size_t i = 0; i < section->env_count; i++)
		if (str_equal(str_from(section->env[i].name), name))
			return config_fail(reading, line, subject, "stands in line %u already",
			                   (unsigned)section->env_lines[i]);
	if (section->env_count == CONFIG_ENV_MAX)
		return config_fail(reading, line, subject, "expected at most %d variables in a section", CONFIG_ENV_MAX);
	if (section->env_count % 16 == 0) {
		section->env = realloc(section->env, (section->env_count + 16) * sizeof *section->env);
		section->env_lines = realloc(section->env_lines, (section->env_count + 16) * sizeof *section->env_lines);
		if (section->env == NULL || section->env_lines == NULL)
			abort();
	}
	section->env[section->env_count].name = config_strdup(reading->config, name);
	section->env[section->env_count].value = config_strdup(reading->config, value);
	section->env_lines[section->env_count++] = line;
	return true;
}

/* --- listen ---------------------------------------------------------------------- */

bool
config_add_listen(struct config_reading *reading, struct str address, uint32_t line, const char *subject)
{
	struct config *config = reading->config;
	char *name = config_format(config, "listen-%zu", reading->listen_count + 1);
	struct config_reading_listener *listener = add_listener(reading, str_from(name), line);
	if (listener == NULL)
		return false;
	reading->listen_count++;
	listener->section.title = config_format(config, "%s", subject);
	listener->section.lines[config_row("address", OPTION_IN_LISTENER)] = line;
	listener->listener->address_text = config_strdup(config, address);
	return true;
}

static bool
apply_listen(struct config_reading *reading, struct str value, uint32_t line)
{
	/* --listen takes the place of these; they are only checked. */
	if (reading->source != NULL && reading->source->listen_count > 0)
		return true;
	while (value.len > 0) {
		size_t len = 0;
		while (len < value.len && value.data[len] != ' ' && value.data[len] != '\t')
			len++;
		if (len > 0 && !config_add_listen(reading, str_make(value.data, len), line, "listen"))
			return false;
		value = str_trim(str_make(value.data + len, value.len - len));
	}
	return true;
}

/* --- options of the types ------------------------------------------------------------ */

static const struct option *
find_type_option(const struct config_reading *reading, struct str name)
{
	for (size_t t = 0; reading->types[t] != NULL; t++)
		for (size_t i = 0; i < reading->types[t]->option_count; i++)
			if (str_equal(str_from(reading->types[t]->options[i].name), name))
				return &reading->types[t]->options[i];
	return NULL;
}

static bool
apply_type_option(struct config_reading *reading, const struct option *option, struct str value, uint32_t line)
{
	struct config_section *section = reading->current;
	for (size_t i = 0; i < section->type_value_count; i++)
		if (section->type_values[i].option == option)
			return config_fail_value(reading, line, str_from(option->name), value,
			                         "stands in line %u already", (unsigned)section->type_values[i].line);
	assert(section->type_value_count < CONFIG_TYPE_OPTIONS_MAX);
	section->type_values[section->type_value_count++] = (struct config_type_value){
		.option = option,
		.text = config_strdup(reading->config, value),
		.line = line,
	};
	return true;
}

/* --- rows ----------------------------------------------------------------------------- */

static bool
fail_unknown(struct config_reading *reading, struct str name, struct str value, uint32_t line)
{
	const struct option *meant = config_by_original(reading, name);
	if (meant != NULL)
		return config_fail_value(reading, line, name, value, "here this option is named %s, in %s", meant->name,
		                         kind_title(meant->sections));
	char sentence[SENTENCE_BYTES] = "no such option";
	if (str_starts_nocase(name, STR("passenger")))
		str_cut_z(sentence, sizeof sentence,
		          STR("no such option; what of the original is left out stands in docs/refusals.md, with "
		              "the reason"));
	else
		config_suggest_option(reading, name, reading->current_kind, sentence, sizeof sentence);
	return config_fail_value(reading, line, name, value, "%s", sentence);
}

/*
 * The row of this name that the current section takes, else one that another
 * section takes (*elsewhere is then true), else NULL.  *index counts through
 * config_options() and then the private rows.
 */
static const struct option *
find_row(const struct config_reading *reading, struct str name, size_t *index, bool *elsewhere)
{
	size_t count, private_count;
	const struct option *rows = config_options(&count), *found = NULL;
	const struct option *private_rows = config_private_options(&private_count);
	*elsewhere = false;
	for (size_t i = 0; i < count + (reading->canonical ? private_count : 0); i++) {
		const struct option *row = i < count ? &rows[i] : &private_rows[i - count];
		if (!str_equal(str_from(row->name), name))
			continue;
		found = row;
		*index = i;
		if ((row->sections & reading->current_kind) != 0)
			return row;
	}
	*elsewhere = found != NULL;
	return found;
}

/* A relative path is meant from the folder of the ini, or else from root, which is not known yet. */
static char *
keep_text(struct config_reading *reading, const struct option *option, struct str text)
{
	bool relative = option->type == OPTION_PATH && text.data[0] != '/' && !reading->canonical && !option->from_root;
	if (!relative)
		return config_strdup(reading->config, text);
	while (str_starts(text, STR("./")))
		text = str_make(text.data + 2, text.len - 2);
	if (str_equal(text, STR(".")) || text.len == 0)
		return config_format(reading->config, "%s", reading->folder[0] == 0 ? "/" : reading->folder);
	return config_format(reading->config, "%s/%.*s", reading->folder, STR_ARG(text));
}

static bool
apply_row(struct config_reading *reading, const struct option *row, size_t index, struct str value, uint32_t line)
{
	struct config_section *section = reading->current;
	struct str name = str_from(row->name);
	char expected[OPTION_EXPECTED_BYTES];
	union option_value parsed;
	if (section->lines[index] != 0 && !row->repeats)
		return config_fail_value(reading, line, name, value, "stands in line %u already",
		                         (unsigned)section->lines[index]);
	section->lines[index] = line;
	bool is_text = row->type == OPTION_STRING || row->type == OPTION_PATH;
	/* [passenger] gives an application's option as the default of all. */
	void *base = reading->current_base;
	if ((row->sections & OPTION_IN_APP) != 0 && reading->current_kind == OPTION_IN_PASSENGER)
		base = &reading->defaults;
	if (reading->canonical && row->offset == OPTION_NO_FIELD)
		return config_fail_value(reading, line, name, value, "is not for canonical text");
	if (reading->canonical && is_text) {
		option_store(row, base, &(union option_value){0}, config_strdup(reading->config, value));
		return true;
	}
	if (!option_parse(row, value, &parsed, expected))
		return config_fail_value(reading, line, name, value, "expected %s", expected);
	if (row->offset == OPTION_NO_FIELD)
		return apply_listen(reading, value, line);
	option_store(row, base, &parsed, is_text ? keep_text(reading, row, value) : NULL);
	return true;
}

bool
config_apply_option(struct config_reading *reading, struct str name, struct str value, uint32_t line)
{
	size_t index = 0;
	bool elsewhere;
	if (reading->current == NULL)
		return config_fail_value(reading, line, name, value,
		                         "expected [passenger], [listener NAME], [app NAME] or [runtime NAME] before "
		                         "the first option");
	if (str_starts(name, env_prefix()))
		return apply_env(reading, name, value, line);
	const struct option *row = find_row(reading, name, &index, &elsewhere);
	if (row != NULL && !elsewhere)
		return apply_row(reading, row, index, value, line);
	if (row != NULL)
		return config_fail_value(reading, line, name, value, "belongs in %s, not in %s",
		                         kind_title(row->sections), reading->current->title);
	const struct option *option = find_type_option(reading, name);
	if (option == NULL)
		return fail_unknown(reading, name, value, line);
	if ((option->sections & reading->current_kind) == 0)
		return config_fail_value(reading, line, name, value, "belongs in %s, not in %s",
		                         kind_title(option->sections), reading->current->title);
	char expected[OPTION_EXPECTED_BYTES];
	union option_value parsed;
	if (!reading->canonical && !option_parse(option, value, &parsed, expected))
		return config_fail_value(reading, line, name, value, "expected %s", expected);
	return apply_type_option(reading, option, value, line);
}
