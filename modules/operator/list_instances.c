/*
 * passenger list-instances: what runs on this machine, from the instance
 * directories alone; it asks no instance anything.
 */
#include "operator/arguments.h"
#include "operator/client.h"
#include "operator/command.h"
#include "operator/output.h"
#include "wire/json.h"

#include <stdlib.h>
#include <unistd.h>

enum { OPTION_JSON, OPTION_ALL, OPTION_QUIET, OPTION_INSTANCE_DIR, OPTION_N };

static const struct argument options[OPTION_N + 1] = {
	[OPTION_JSON] = {.name = "json", .help = "an array of objects"},
	[OPTION_ALL] = {.name = "all", .help = "also what a dead instance left behind"},
	[OPTION_QUIET] = {.name = "quiet", .letter = 'q', .help = "print nothing when there is none"},
	[OPTION_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table table = {
	.usage = "passenger list-instances [OPTIONS]",
	.help = "Lists the running instances: name, pid, state, directory, configuration.\n"
		"Exit code: 0, also when there is none; 1 failure; 2 wrong usage.\n",
	.options = options,
};

static void
append_text(struct json *json, struct str key, const char *text)
{
	json_key(json, key);
	json_string_z(json, text[0] != 0 ? text : NULL);
}

static void
append_json(struct buf *out, const struct instance *instances, size_t count)
{
	struct json json = json_begin(out);
	json_begin_array(&json);
	for (size_t i = 0; i < count; i++) {
		const struct instance *instance = &instances[i];
		json_begin_object(&json);
		append_text(&json, STR("name"), instance->name);
		json_key(&json, STR("pid"));
		json_i64(&json, instance->pid);
		append_text(&json, STR("state"), instance->alive ? "running" : "dead");
		append_text(&json, STR("directory"), instance->dir);
		append_text(&json, STR("config"), instance->config);
		append_text(&json, STR("version"), instance->version);
		json_key(&json, STR("started_unix_s"));
		json_i64(&json, instance->started);
		json_end_object(&json);
	}
	json_end_array(&json);
	buf_append_char(out, '\n');
}

static int
run(int argc, char **argv)
{
	struct arguments arguments;
	enum arguments_result result = arguments_read(&table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	struct client_target target = {.instance_dir = arguments.values[OPTION_INSTANCE_DIR]};
	size_t count;
	struct instance *instances = client_list(&target, arguments.values[OPTION_ALL] != NULL, &count);
	if (instances == NULL)
		return COMMAND_FAILED;
	struct buf out = {0};
	if (arguments.values[OPTION_JSON] != NULL)
		append_json(&out, instances, count);
	else if (count > 0)
		client_append_list(&out, instances, count);
	else if (arguments.values[OPTION_QUIET] == NULL)
		buf_append_str(&out, STR("No instance is running.\n"));
	bool written = output_write(STDOUT_FILENO, &out);
	buf_free(&out);
	free(instances);
	return written ? COMMAND_OK : COMMAND_FAILED;
}

const struct command command_list_instances = {
	.name = "list-instances",
	.summary = "list the instances that run",
	.run = run,
};
