/*
 * The two ways in, and the file.
 */
#include "config/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the file --------------------------------------------------------------------- */

static bool
read_all(struct config_reading *reading, int fd, struct buf *text)
{
	char block[16 * 1024];
	for (;;) {
		ssize_t len = read(fd, block, sizeof block);
		if (len == 0)
			return true;
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return config_fail(reading, 0, reading->file, "can not be read: %s", strerror(errno));
		if (text->len + (size_t)len > CONFIG_FILE_BYTES_MAX)
			return config_fail(reading, 0, reading->file, "is longer than %d MiB",
			                   CONFIG_FILE_BYTES_MAX >> 20);
		buf_append(text, block, (size_t)len);
	}
}

static bool
read_file(struct config_reading *reading, struct buf *text)
{
	/* O_NONBLOCK: a FIFO in its place must not hold us. */
	int fd = open(reading->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return config_fail(reading, 0, reading->file, "can not be opened: %s", strerror(errno));
	struct stat status;
	bool sound = true;
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		sound = config_fail(reading, 0, reading->file, "is not a file; expected an ini such as passenger.ini");
	sound = sound && read_all(reading, fd, text);
	close(fd);
	return sound;
}

/* The folder of the ini, absolute; a relative path goes from the working directory. */
static bool
find_folder(struct config_reading *reading)
{
	struct str path = str_from(reading->file);
	while (path.len > 0 && path.data[path.len - 1] != '/')
		path.len--;
	while (path.len > 0 && path.data[path.len - 1] == '/')
		path.len--;
	if (reading->file[0] == '/') {
		reading->folder = config_strdup(reading->config, path);
		return true;
	}
	char *here = getcwd(NULL, 0);
	if (here == NULL)
		return config_fail(reading, 0, NULL, "the working directory can not be found: %s", strerror(errno));
	const char *base = strcmp(here, "/") == 0 ? "" : here;
	while (str_starts(path, STR("./")))
		path = str_make(path.data + 2, path.len - 2);
	if (path.len == 0 || str_equal(path, STR(".")))
		reading->folder = config_format(reading->config, "%s", base);
	else
		reading->folder = config_format(reading->config, "%s/%.*s", base, STR_ARG(path));
	free(here);
	return true;
}

static bool
read_source(struct config_reading *reading)
{
	if (reading->source->path == NULL)
		return true;
	const char *name = strrchr(reading->file, '/');
	struct buf text = {0};
	bool sound = find_folder(reading) && read_file(reading, &text);
	if (sound) {
		reading->config->path = config_format(reading->config, "%s/%s", reading->folder,
		                                      name != NULL ? name + 1 : reading->file);
		sound = config_read_ini(reading, buf_str(&text));
	}
	buf_free(&text);
	return sound;
}

/* --- the ways in ---------------------------------------------------------------------- */

static struct config *
begin(struct config_reading *reading)
{
	reading->config = calloc(1, sizeof *reading->config);
	reading->listeners = calloc(CONFIG_LISTENERS_MAX, sizeof *reading->listeners);
	reading->runtimes = calloc(CONFIG_RUNTIMES_MAX, sizeof *reading->runtimes);
	if (reading->config == NULL || reading->listeners == NULL || reading->runtimes == NULL)
		abort();
	reading->passenger.title = config_format(reading->config, "[passenger]");
	reading->folder = config_format(reading->config, "%s", "");
	reading->error->text[0] = 0;
	return reading->config;
}

static void
free_section(struct config_section *section)
{
	free(section->env);
	free(section->env_lines);
}

static struct config *
end(struct config_reading *reading, bool sound)
{
	free_section(&reading->passenger);
	for (size_t i = 0; i < reading->app_count; i++)
		free_section(&reading->apps[i].section);
	for (size_t i = 0; i < reading->runtime_count; i++)
		free_section(&reading->runtimes[i].section);
	free(reading->runtimes);
	free(reading->apps);
	free(reading->listeners);
	reading->config->users = 1;
	if (sound)
		return reading->config;
	config_free(reading->config);
	return NULL;
}

void
config_find(struct config_source *source)
{
	static const char *const places[] = {"passenger.ini", "/etc/passenger/passenger.ini"};
	for (size_t i = 0; i < array_count(places) && source->path == NULL && source->app_dir == NULL; i++)
		if (access(places[i], F_OK) == 0)
			source->path = places[i];
	if (source->path == NULL && source->app_dir == NULL)
		source->app_dir = ".";
}

struct config *
config_load(const struct config_source *source, struct config_error *error)
{
	struct config_reading reading = {
		.source = source,
		.types = source->types,
		.error = error,
		.file = source->path,
	};
	struct config *config = begin(&reading);
	config->generation = source->previous != NULL ? source->previous->generation + 1 : 1;
	bool sound = read_source(&reading) && config_resolve(&reading);
	return end(&reading, sound);
}

struct config *
config_parse(struct str text, const struct app_type *const *types, struct config_error *error)
{
	struct config_reading reading = {
		.types = types,
		.error = error,
		.file = "handed over configuration",
		.canonical = true,
	};
	begin(&reading);
	bool sound = config_read_ini(&reading, text) && config_resolve_canonical(&reading);
	return end(&reading, sound);
}

const struct app_config *
config_app_by_id(const struct config *config, uint32_t id)
{
	for (size_t i = 0; i < config->app_count; i++)
		if (config->apps[i]->id == id)
			return config->apps[i];
	return NULL;
}

const char *
app_config_interpreter(const struct app_config *app, char word[CONFIG_NAME_BYTES_MAX * 4])
{
	struct app_argv argv = {0};
	if (!app->type->takes_command)
		return app_config_type_value(app, 0);
	if (app->interpreter != NULL)
		return app->interpreter;
	word[0] = 0;
	if (app_argv_split(&argv, str_from(app->command)))
		str_cut_z(word, CONFIG_NAME_BYTES_MAX * 4, str_from(argv.words[0]));
	app_argv_free(&argv);
	return word;
}

const char *
app_config_type_value(const struct app_config *app, size_t index)
{
	if (app->type == NULL || index >= app->type->option_count || app->type_values[index] == NULL)
		return "";
	return app->type_values[index];
}

bool
app_config_preloads(const struct app_config *app)
{
	if (app->spawn_method == CONFIG_SPAWN_AUTO)
		return app->type->preload == APP_PRELOAD_ALWAYS;
	return app->spawn_method == CONFIG_SPAWN_SMART && app->type->preload != APP_PRELOAD_NEVER;
}

bool
app_config_path(const char *root, const char *path, char *out, size_t out_size)
{
	return path[0] == '/' ? str_format(out, out_size, "%s", path) : str_format(out, out_size, "%s/%s", root, path);
}
