/*
 * After the last line: defaults, listeners, applications, ids.
 */
#include "config/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- listeners ------------------------------------------------------------------- */

static bool
add_listeners_of_command_line(struct config_reading *reading)
{
	const struct config_source *source = reading->source;
	char expected[OPTION_EXPECTED_BYTES];
	for (size_t i = 0; i < source->listen_count; i++) {
		struct str address = str_from(source->listen[i]);
		if (!config_check_address(address, expected, sizeof expected))
			return config_fail(reading, 0, NULL, "--listen %.*s: expected %s",
			                   (int)(address.len < 200 ? address.len : 200), address.data, expected);
		if (!config_add_listen(reading, address, 0, "--listen"))
			return false;
	}
	if (reading->listener_count > 0)
		return true;
	size_t count;
	const struct option *listen = &config_options(&count)[config_row("listen", OPTION_IN_PASSENGER)];
	return config_add_listen(reading, str_from(listen->default_text), 0, "listen");
}

/* Options that mean a file are wrong for a port. */
static bool
check_unix_options(struct config_reading *reading, const struct config_reading_listener *listener)
{
	static const char *const names[] = {"mode", "owner", "group"};
	if (reading->canonical || listener->listener->address.family == CONFIG_ADDRESS_UNIX)
		return true;
	for (size_t i = 0; i < array_count(names); i++) {
		uint32_t line = listener->section.lines[config_row(names[i], OPTION_IN_LISTENER)];
		if (line != 0)
			return config_fail(reading, line, names[i],
			                   "is only for a unix socket, and the address of %s is %s",
			                   listener->section.title, listener->listener->address_text);
	}
	return true;
}

static bool
resolve_listener(struct config_reading *reading, struct config_reading_listener *listener)
{
	struct listener_config *of = listener->listener;
	if (!reading->canonical)
		of->uid = of->gid = UINT32_MAX;
	config_fill_in(reading, &listener->section, OPTION_IN_LISTENER, of);
	if (of->address_text == NULL)
		return config_fail(reading, listener->section.line, listener->section.title,
		                   "address is missing; expected a line such as address = 127.0.0.1:3000");
	if (!config_address_parse(&of->address, str_from(of->address_text)))
		return config_fail(reading, listener->section.line, listener->section.title, "address can not be read");
	static const int on = 1, automatic = 0; /* places in the row's choices */
	of->trusted = of->trusted_choice == on ||
	              (of->trusted_choice == automatic && of->address.family == CONFIG_ADDRESS_UNIX);
	of->static_files = of->static_files_choice == on || (of->static_files_choice == automatic && !of->trusted);
	return check_unix_options(reading, listener);
}

static bool
check_same_address(struct config_reading *reading, size_t index)
{
	const struct config_reading_listener *listener = &reading->listeners[index];
	uint32_t line = config_line(&listener->section, "address", OPTION_IN_LISTENER);
	char address[128], other[128];
	config_address_text(&listener->listener->address, address);
	if (listener->listener->address.family != CONFIG_ADDRESS_UNIX && listener->listener->address.port == 0)
		return true;
	for (size_t i = 0; i < index; i++) {
		const struct config_section *before = &reading->listeners[i].section;
		uint32_t line_before = config_line(before, "address", OPTION_IN_LISTENER);
		config_address_text(&reading->listeners[i].listener->address, other);
		if (strcmp(address, other) != 0)
			continue;
		if (line_before == 0)
			return config_fail(reading, line, listener->section.title, "%s is a listener already, by %s",
			                   address, before->title);
		return config_fail(reading, line, listener->section.title, "%s is a listener already, in line %u",
		                   address, (unsigned)line_before);
	}
	return true;
}

static bool
resolve_listeners(struct config_reading *reading)
{
	for (size_t i = 0; i < reading->listener_count; i++)
		if (!resolve_listener(reading, &reading->listeners[i]) || !check_same_address(reading, i))
			return false;
	return true;
}

/* --- applications ------------------------------------------------------------------ */

/* The last part of a path, made fit for a name. */
static void
name_of_folder(const char *path, char name[CONFIG_NAME_BYTES_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	struct str base = str_from(slash != NULL ? slash + 1 : path);
	char expected[OPTION_EXPECTED_BYTES];
	size_t len = 0;
	for (size_t i = 0; i < base.len && len < CONFIG_NAME_BYTES_MAX; i++) {
		bool fits = config_check_word(str_make(base.data + i, 1), expected, sizeof expected);
		fits = fits && (len > 0 || base.data[i] != '.');
		name[len++] = fits ? base.data[i] : '_';
	}
	name[len] = 0;
	if (len == 0)
		str_cut_z(name, CONFIG_NAME_BYTES_MAX + 1, STR("app"));
}

/* APP_DIR of the command line: absolute, without "." and slashes at its end. */
static char *
absolute_folder(struct config_reading *reading, const char *folder)
{
	struct str text = str_from(folder);
	while (str_starts(text, STR("./")))
		text = str_make(text.data + 2, text.len - 2);
	while (text.len > 1 && (text.data[text.len - 1] == '/' || str_ends(text, STR("/."))))
		text.len--;
	if (str_equal(text, STR(".")))
		text.len = 0;
	if (text.len > 0 && text.data[0] == '/')
		return config_strdup(reading->config, text);
	char *here = getcwd(NULL, 0);
	if (here == NULL) {
		config_fail(reading, 0, folder, "the working directory can not be found: %s", strerror(errno));
		return NULL;
	}
	char *path = text.len == 0 ? config_format(reading->config, "%s", here)
	                           : config_format(reading->config, "%s/%.*s", strcmp(here, "/") == 0 ? "" : here,
	                                           STR_ARG(text));
	free(here);
	return path;
}

static bool
add_app_of_command_line(struct config_reading *reading)
{
	if (reading->source->app_dir == NULL)
		return true;
	char name[CONFIG_NAME_BYTES_MAX + 1];
	char *root = absolute_folder(reading, reading->source->app_dir);
	if (root == NULL)
		return false;
	bool known = false;
	/* A folder that the ini has an application for is that application. */
	for (size_t i = 0; i < reading->app_count; i++)
		if (reading->apps[i].app->root != NULL && strcmp(reading->apps[i].app->root, root) == 0)
			reading->apps[i].app->asked_for = known = true;
	if (known)
		return true;
	name_of_folder(root, name);
	for (size_t i = 0; i < reading->app_count; i++)
		if (strcmp(reading->apps[i].app->name, name) == 0)
			return config_fail(reading, 0, root, "%s has another application of the name %s, in line %u",
			                   reading->file, name, (unsigned)reading->apps[i].section.line);
	if (reading->app_count == CONFIG_APPS_MAX)
		return config_fail(reading, 0, root, "expected at most %d applications", CONFIG_APPS_MAX);
	struct config_reading_app *app = config_add_app(reading, str_from(name), 0);
	app->app->root = root;
	app->app->asked_for = true;
	app->section.title = root;
	return true;
}

static bool
has_env(const struct config_section *section, const char *name)
{
	for (size_t i = 0; section != NULL && i < section->env_count; i++)
		if (strcmp(section->env[i].name, name) == 0)
			return true;
	return false;
}

/* [passenger]'s variables, those of its runtime, its own: each unless a later one has the name. */
static void
merge_env(struct config_reading *reading, struct config_reading_app *app, const struct config_section *runtime)
{
	const struct config_section *own = &app->section, *sections[] = {&reading->passenger, runtime, own};
	size_t room = reading->passenger.env_count + own->env_count + (runtime != NULL ? runtime->env_count : 0);
	app->app->env = config_alloc(reading->config, room, sizeof *app->app->env);
	for (size_t i = 0; i < array_count(sections); i++) {
		for (size_t j = 0; sections[i] != NULL && j < sections[i]->env_count; j++) {
			struct config_pair pair = sections[i]->env[j];
			bool overridden = (i < 1 && has_env(runtime, pair.name)) || (i < 2 && has_env(own, pair.name));
			if (!overridden)
				app->app->env[app->app->env_count++] = pair;
		}
	}
}

static bool
check_counts(struct config_reading *reading, const struct config_reading_app *app)
{
	const struct app_config *of = app->app;
	uint32_t line = config_line(&app->section, "min_instances", OPTION_IN_APP);
	if (of->max_instances > 0 && of->min_instances > of->max_instances)
		return config_fail(reading, line, app->section.title,
		                   "min_instances = %lld is more than max_instances = %lld",
		                   (long long)of->min_instances, (long long)of->max_instances);
	if (reading->config->max_instances_per_app > 0 && of->min_instances > reading->config->max_instances_per_app)
		return config_fail(reading, line, app->section.title,
		                   "min_instances = %lld is more than max_instances_per_app = %lld",
		                   (long long)of->min_instances, (long long)reading->config->max_instances_per_app);
	if (of->min_instances > reading->config->max_pool_size)
		return config_fail(reading, line, app->section.title,
		                   "min_instances = %lld is more than max_pool_size = %lld",
		                   (long long)of->min_instances, (long long)reading->config->max_pool_size);
	if (of->hard_memory_limit > 0 && of->memory_limit > of->hard_memory_limit)
		return config_fail(reading, config_line(&app->section, "memory_limit", OPTION_IN_APP),
		                   app->section.title,
		                   "memory_limit = %llu bytes is more than hard_memory_limit = %llu bytes",
		                   (unsigned long long)of->memory_limit, (unsigned long long)of->hard_memory_limit);
	return true;
}

static void
derive(struct config_reading *reading, struct app_config *app)
{
	static const int on = 1, automatic = 0; /* places in the row's choices */
	app->friendly_error_pages =
		app->friendly_error_pages_choice == on ||
		(app->friendly_error_pages_choice == automatic && strcmp(app->app_env, "development") == 0);
	if (reading->canonical)
		return;
	if (app->host != NULL)
		config_normalise_hosts(app->host);
	config_normalise_base_uri(app->base_uri);
	if (app->app_group_name == NULL)
		app->app_group_name = config_format(reading->config, "%s (%s)", app->root, app->app_env);
}

static bool
resolve_app(struct config_reading *reading, struct config_reading_app *app)
{
	struct app_config *of = app->app;
	const struct config_section *runtime = NULL;
	config_fill_in(reading, &app->section, OPTION_IN_APP, of);
	if (of->root == NULL)
		return config_fail(reading, app->section.line, app->section.title,
		                   "root is missing; expected a line such as root = /srv/%s", of->name);
	derive(reading, of);
	if (!check_counts(reading, app) || !config_resolve_type(reading, app, &runtime))
		return false;
	merge_env(reading, app, runtime);
	return true;
}

static bool
resolve_apps(struct config_reading *reading)
{
	for (size_t i = 0; i < reading->app_count; i++)
		if (!resolve_app(reading, &reading->apps[i]))
			return false;
	if (reading->app_count > 0)
		return true;
	if (reading->source->path == NULL)
		return config_fail(reading, 0, NULL, "no application: expected an ini or the folder of an application");
	return config_fail(
		reading, 0, reading->file,
		"no application: expected an [app NAME] section with root = /path, or APP_DIR on the command line");
}

/* --- ids --------------------------------------------------------------------------- */

/* Ids of names that were there before stay; new names get the lowest that neither generation has. */
static void
give_ids(struct config_reading *reading)
{
	static const unsigned char free_id = 0, old_id = 1, taken_id = 2;
	unsigned char ids[CONFIG_APPS_MAX] = {0};
	bool known[CONFIG_APPS_MAX] = {false};
	const struct config *previous = reading->source->previous;
	for (size_t i = 0; previous != NULL && i < previous->app_count; i++) {
		const struct app_config *before = previous->apps[i];
		ids[before->id] = old_id;
		for (size_t j = 0; j < reading->app_count; j++) {
			if (strcmp(reading->apps[j].app->name, before->name) != 0)
				continue;
			reading->apps[j].app->id = before->id;
			known[j] = true;
			ids[before->id] = taken_id;
		}
	}
	for (size_t j = 0; j < reading->app_count; j++) {
		if (known[j])
			continue;
		uint32_t id = 0;
		while (id < CONFIG_APPS_MAX && ids[id] != free_id)
			id++;
		/* All in use: one whose application has gone with this generation. */
		for (uint32_t i = 0; id == CONFIG_APPS_MAX && i < CONFIG_APPS_MAX; i++)
			if (ids[i] == old_id)
				id = i;
		ids[id] = taken_id;
		reading->apps[j].app->id = id;
	}
}

/* What [passenger] says, or the row; of a type of the ini its own. */
static void
list_types(struct config_reading *reading)
{
	struct config *config = reading->config;
	size_t count = 0, built_in;
	while (reading->types[count] != NULL)
		count++;
	built_in = count - reading->runtime_count;
	const char **interpreters = config_alloc(reading->config, count, sizeof *interpreters);
	for (size_t i = 0; i < count; i++) {
		const struct app_type *type = reading->types[i];
		interpreters[i] = type->option_count > 0 ? type->options[0].default_text : "";
		if (i < built_in)
			continue;
		struct app_argv argv = {0};
		const struct runtime_config *runtime = reading->runtimes[i - built_in].runtime;
		if (runtime->interpreter != NULL)
			interpreters[i] = runtime->interpreter;
		else if (app_argv_split(&argv, str_from(runtime->command)))
			interpreters[i] = config_strdup(reading->config, str_from(argv.words[0]));
		app_argv_free(&argv);
	}
	for (size_t j = 0; j < reading->passenger.type_value_count; j++)
		for (size_t i = 0; i < built_in; i++)
			if (reading->passenger.type_values[j].option == reading->types[i]->options)
				interpreters[i] = reading->passenger.type_values[j].text;
	config->types = reading->types;
	config->runtimes = config_alloc(config, reading->runtime_count + 1, sizeof(struct runtime_config *));
	for (size_t i = 0; i < reading->runtime_count; i++)
		config->runtimes[config->runtime_count++] = reading->runtimes[i].runtime;
	config->interpreters = interpreters;
}

static void
build_lists(struct config_reading *reading)
{
	struct config *config = reading->config;
	config->apps = config_alloc(config, reading->app_count + 1, sizeof(struct app_config *));
	for (size_t i = 0; i < reading->app_count; i++) {
		reading->apps[i].app->config = config;
		reading->apps[i].app->host_mask = config_host_mask(reading->apps[i].app->host);
		config->apps[config->app_count++] = reading->apps[i].app;
	}
	config->listeners = config_alloc(config, reading->listener_count + 1, sizeof(struct listener_config *));
	for (size_t i = 0; i < reading->listener_count; i++)
		config->listeners[config->listener_count++] = reading->listeners[i].listener;
	list_types(reading);
}

bool
config_resolve(struct config_reading *reading)
{
	struct config *config = reading->config;
	config_fill_in(reading, &reading->passenger, OPTION_IN_PASSENGER, config);
	if (reading->source->instance_dir != NULL)
		config->instance_dir = config_strdup(config, str_from(reading->source->instance_dir));
	if (reading->source->types_only) {
		if (!config_resolve_runtimes(reading))
			return false;
		list_types(reading);
		return true;
	}
	if (config->max_port_range != 0 && config->min_port_range > config->max_port_range)
		return config_fail(reading, config_line(&reading->passenger, "min_port_range", OPTION_IN_PASSENGER),
		                   "min_port_range", "is more than max_port_range = %lld",
		                   (long long)config->max_port_range);
	if (!add_listeners_of_command_line(reading) || !add_app_of_command_line(reading) ||
	    !resolve_listeners(reading) || !config_resolve_runtimes(reading) || !resolve_apps(reading) ||
	    !config_resolve_routes(reading) || !config_resolve_users(reading))
		return false;
	give_ids(reading);
	build_lists(reading);
	return true;
}

/* --- canonical text ------------------------------------------------------------------ */

static bool
resolve_canonical_app(struct config_reading *reading, struct config_reading_app *app)
{
	struct app_config *of = app->app;
	config_fill_in(reading, &app->section, OPTION_IN_APP, of);
	const struct config_section *runtime = NULL;
	if (of->root == NULL || of->app_group_name == NULL || of->base_uri[0] != '/')
		return config_fail(reading, app->section.line, app->section.title,
		                   "root, app_group_name or base_uri is missing");
	derive(reading, of);
	for (const struct config_reading_app *other = reading->apps; other < app; other++)
		if (other->app->id == of->id)
			return config_fail(reading, app->section.line, app->section.title, "id stands twice");
	merge_env(reading, app, NULL);
	return config_resolve_type(reading, app, &runtime);
}

bool
config_resolve_canonical(struct config_reading *reading)
{
	config_fill_in(reading, &reading->passenger, OPTION_IN_PASSENGER, reading->config);
	if (!resolve_listeners(reading) || !config_resolve_runtimes(reading))
		return false;
	for (size_t i = 0; i < reading->app_count; i++)
		if (!resolve_canonical_app(reading, &reading->apps[i]))
			return false;
	build_lists(reading);
	return true;
}
