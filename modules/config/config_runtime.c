/*
 * [runtime NAME]: types of applications that the ini adds.  Each is a copy of the
 * built-in type that takes a command, with a name, files and a weight of its own;
 * what it says of command, readiness and concurrency becomes the application's,
 * as if it stood in its section.
 */
#include "config/internal.h"

#include <stdio.h>

enum { SENTENCE_BYTES = 512 };

static bool
check_runtime(struct config_reading *reading, const struct config_reading_runtime *runtime, size_t built_in)
{
	const struct config_section *section = &runtime->section;
	const struct runtime_config *of = runtime->runtime;
	for (size_t i = 0; i < built_in; i++)
		if (strcmp(reading->types[i]->name, of->type.name) == 0)
			return config_fail(reading, section->line, section->title,
			                   "this type is built in; expected another name");
	if (of->command == NULL)
		return config_fail(reading, section->line, section->title,
		                   "command is missing; expected a line such as command = %s serve --port $PORT",
		                   of->type.name);
	return true;
}

/* The words of `detect`, as the type lists them. */
static void
list_files(struct config *config, struct runtime_config *of)
{
	if (of->detect == NULL)
		return;
	struct str rest = str_from(config_strdup(config, str_from(of->detect))), word;
	size_t count = 0;
	while (count + 1 < APP_STARTUP_FILES_MAX && str_split(&rest, ' ', &word))
		if (word.len > 0)
			of->type.startup_files[count++] = config_strdup(config, word);
}

bool
config_resolve_runtimes(struct config_reading *reading)
{
	const struct app_type *model = NULL, **types;
	size_t count = 0;
	while (reading->types[count] != NULL) {
		if (model == NULL && reading->types[count]->takes_command)
			model = reading->types[count];
		count++;
	}
	types = config_alloc(reading->config, count + reading->runtime_count + 1, sizeof *types);
	memcpy(types, reading->types, count * sizeof *types);
	for (size_t i = 0; i < reading->runtime_count; i++) {
		struct config_reading_runtime *runtime = &reading->runtimes[i];
		struct runtime_config *of = runtime->runtime;
		const char *name = of->type.name;
		config_fill_in(reading, &runtime->section, OPTION_IN_RUNTIME, of);
		if (!reading->canonical && !check_runtime(reading, runtime, count))
			return false;
		of->type = *model;
		of->type.name = name;
		of->type.title = runtime->section.title;
		of->type.startup_file = of->startup_file;
		of->type.detect_score = (int)of->weight;
		list_files(reading->config, of);
		types[count + i] = &of->type;
	}
	reading->types = types;
	return true;
}

/* --- what an application gets from it ----------------------------------------------- */

static bool
uses(const struct app_config *app, const char *variable)
{
	struct app_argv argv = {0};
	bool found = false;
	struct str text, name;
	if (!app_argv_split(&argv, str_from(app->command)))
		argv.count = 0;
	for (size_t i = 0; i < argv.count; i++)
		for (struct str rest = str_from(argv.words[i]); app_reference_next(&rest, &text, &name);)
			found = found || str_equal(name, str_from(variable));
	app_argv_free(&argv);
	return found;
}

/* A variable that this readiness does not give, and that nobody else does, would stop every start. */
static bool
check_variables(struct config_reading *reading, const struct config_reading_app *app,
                const struct config_section *command_section, unsigned kind)
{
	static const struct {
		const char *variable, *readiness;
		enum app_readiness gives;
	} given[] = {
		{"PORT", "port", APP_READY_PORT},
		{"PASSENGER_SOCKET", "socket", APP_READY_SOCKET},
	};
	const struct app_config *of = app->app;
	for (size_t i = 0; i < array_count(given); i++) {
		bool own = false;
		for (size_t j = 0; j < app->section.env_count; j++)
			own = own || strcmp(app->section.env[j].name, given[i].variable) == 0;
		if (own || of->readiness == (int)given[i].gives || !uses(of, given[i].variable))
			continue;
		return config_fail_value(reading, config_line(command_section, "command", kind), STR("command"),
		                         str_from(of->command), "$%s is there only with readiness = %s",
		                         given[i].variable, given[i].readiness);
	}
	return true;
}

bool
config_resolve_command(struct config_reading *reading, struct config_reading_app *app,
                       const struct config_section **section)
{
	static const enum app_readiness chosen[] = {APP_READY_PORT, APP_READY_PORT, APP_READY_SOCKET,
	                                            APP_READY_DESCRIPTOR};
	struct app_config *of = app->app;
	of->readiness = (int)of->type->readiness;
	if (!of->type->takes_command)
		return true;
	const struct config_section *command_section = &app->section;
	unsigned kind = OPTION_IN_APP;
	for (size_t i = 0; i < reading->runtime_count && !reading->canonical; i++) {
		const struct runtime_config *runtime = reading->runtimes[i].runtime;
		const struct config_section *its = &reading->runtimes[i].section;
		if (of->type != &runtime->type)
			continue;
		*section = its;
		if (of->command == NULL) {
			of->command = runtime->command;
			command_section = its;
			kind = OPTION_IN_RUNTIME;
		}
		if (of->interpreter == NULL)
			of->interpreter = runtime->interpreter;
		if (app->section.lines[config_row("readiness", OPTION_IN_APP)] == 0)
			of->readiness_choice = runtime->readiness;
		if (app->section.lines[config_row("concurrency", OPTION_IN_APP)] == 0 &&
		    its->lines[config_row("concurrency", OPTION_IN_RUNTIME)] != 0)
			of->concurrency = runtime->concurrency;
	}
	of->readiness = (int)chosen[of->readiness_choice];
	if (of->readiness_choice == 0 && of->command != NULL &&
	    str_search(str_from(of->command), STR("PASSENGER_SOCKET")) != NULL)
		of->readiness = APP_READY_SOCKET;
	return reading->canonical || of->command == NULL || check_variables(reading, app, command_section, kind);
}
