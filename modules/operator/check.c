/*
 * check, runtimes: what passenger makes of an application, and which types there
 * are.  Nothing is served and no running instance is asked.
 */
#include "apps/apps.h"
#include "operator/arguments.h"
#include "operator/command.h"
#include "operator/output.h"
#include "operator/probe.h"
#include "operator/report.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

enum { ARGUMENT_CONFIG, ARGUMENT_JSON, ARGUMENT_N };
enum { SENTENCE_BYTES = 512, ITEMS_MAX = 64, ITEM_BYTES = 256, OVERFLOW_UID = 65534 };

static const struct argument options[ARGUMENT_N + 1] = {
	[ARGUMENT_CONFIG] = {.name = "config",
                             .value = "FILE",
                             .letter = 'c',
                             .help = "the configuration; without it the one that `passenger serve` would read"},
	[ARGUMENT_JSON] = {.name = "json", .help = "JSON in place of text"},
};

/* docs/detection.md has this text too: a test holds the two together. */
#define DETECTION                                                                                                  \
	"The type of an application is the first of these that holds:\n"                                           \
	"  1. what `type` says in its section;\n"                                                                  \
	"  2. command, when the option `command` is given;\n"                                                      \
	"  3. the type of which an option is given (wsgi_module, nodejs);\n"                                       \
	"  4. the type that has a file of the name of `startup_file`, when that is given;\n"                       \
	"  5. the type of which a file stands in the application's folder.\n"                                      \
	"When 4 or 5 holds for several types, the one with the greatest weight is taken; when two have the same\n" \
	"weight, `type` has to be written. Among the files of one type, the first in its list is taken.\n"

static const struct arguments_table check_table = {
	.usage = "passenger check [OPTIONS] [APP_DIR]",
	.help = "Says what an application, or each of the configuration, is and why, what would be run as\n"
		"whom, and what is missing, as its own user finds it.\n"
		"\n" DETECTION "\n"
		"Exit codes: 0 nothing is missing, 1 something is or the configuration is wrong, 2 the command\n"
		"line is wrong.\n",
	.options = options,
	.words_max = 1,
};

static const struct arguments_table runtimes_table = {
	.usage = "passenger runtimes [OPTIONS]",
	.help = "Lists the types of applications, built in and by [runtime NAME]: the files that tell them,\n"
		"their weights and interpreters.\n"
		"`passenger check --help` says which one an application has.\n",
	.options = options,
};

static const char *const readinesses[APP_READY_N] = {
	[APP_READY_PORT] = "port",
	[APP_READY_SOCKET] = "socket",
	[APP_READY_DESCRIPTOR] = "descriptor",
	[APP_READY_CONTROL] = "loader",
};

/* NULL: the fault is printed. */
static struct config *
load(const struct arguments *arguments, struct config_source *source)
{
	struct config_error error;

	source->types = app_types;
	source->privileged = geteuid() == 0;
	source->path = arguments->values[ARGUMENT_CONFIG];
	source->app_dir = arguments->words[0];
	config_find(source);
	if (source->types_only)
		source->app_dir = NULL;
	struct config *config = config_load(source, &error);
	if (config != NULL)
		return config;
	if (arguments->values[ARGUMENT_JSON] != NULL) {
		struct buf out = {0};
		struct json json = json_begin(&out);
		json_begin_object(&json);
		json_key(&json, STR("error"));
		json_string_z(&json, error.text);
		json_end_object(&json);
		buf_append_char(&out, '\n');
		if (!output_write(STDOUT_FILENO, &out))
			output_complain("the fault was not printed");
		buf_free(&out);
	} else {
		output_complain_text(error.text);
	}
	return NULL;
}

/* The interpreter and what it is; whether anything is missing. */
static bool
report_interpreter(struct report *report, const struct app_config *app, const char *interpreter)
{
	struct probe probe;

	report_value(report, "interpreter", interpreter);
	probe_run(&probe, app, interpreter);
	report_value(report, "path", probe.path);
	report_value(report, "version", probe.version);
	report_list(report, "note", probe.notes, probe.note_count);
	report_list(report, "missing", probe.missing, probe.missing_count);
	if (!report->is_json && probe.missing_count == 0)
		report_value(report, "missing", "nothing");
	bool missing = probe.missing_count > 0;
	probe_free(&probe);
	return missing;
}

/* --- check ------------------------------------------------------------------------- */

struct items {
	char texts[ITEMS_MAX][ITEM_BYTES];
	const char *list[ITEMS_MAX];
	size_t count;
};

static void
report_items(struct report *report, const char *name, struct items *items)
{
	for (size_t i = 0; i < items->count; i++)
		items->list[i] = items->texts[i];
	report_list(report, name, items->list, items->count);
}

/* Each type that the application could be, and by which file. */
static void
list_candidates(const struct config *config, const struct app_config *app, struct items *items)
{
	struct app_config asked = *app;
	int root = open(app->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (app->type_from != CONFIG_TYPE_STARTUP_FILE)
		asked.startup_file = NULL; /* it was found, not given */
	for (size_t i = 0; config->types[i] != NULL && items->count < ITEMS_MAX; i++) {
		const char *file = config_detect_file(config->types[i], &asked, root);
		if (file != NULL)
			snprintf(items->texts[items->count++], ITEM_BYTES, "%s (weight %d): %s", config->types[i]->name,
			         config->types[i]->detect_score, file);
	}
	if (root >= 0)
		close(root);
}

static void
report_type(struct report *report, const struct config *config, const struct app_config *app)
{
	static const char *const why[] = {
		[CONFIG_TYPE_WRITTEN] = "type is written",
		[CONFIG_TYPE_COMMAND] = "command is given, and type is not",
		[CONFIG_TYPE_OPTION] = "an option of it is given",
		[CONFIG_TYPE_STARTUP_FILE] = "its startup files have this name",
		[CONFIG_TYPE_FILES] = "a file of it is there",
	};
	static struct items items; /* large */
	char reason[ITEM_BYTES];
	bool weighed = app->type_from >= CONFIG_TYPE_STARTUP_FILE;

	items.count = 0;
	list_candidates(config, app, &items);
	snprintf(reason, sizeof(reason), "%s%s", why[app->type_from],
	         weighed && items.count > 1 ? "; of those below it has the greatest weight" : "");
	report_value(report, "type", app->type->name);
	report_value(report, "why", reason);
	report_items(report, "candidates", &items);
}

/* What would be run, from the plan that serve would make. */
static bool
report_plan(struct report *report, const struct app_config *app)
{
	static struct plan_read plan; /* large */
	static const char *const drawn[][2] = {
		{"PORT=0", "PORT=(a free one)"},
		{"LISTEN_PID=", "LISTEN_PID=(its own)"},
		{"PASSENGER_PROCESS=", "PASSENGER_PROCESS=(one for each)"},
	};
	struct plan_draft draft;
	char sentence[SENTENCE_BYTES] = "it can not be put together";
	bool sound = probe_plan(app, &draft, sentence, sizeof(sentence));
	int fd = sound ? plan_draft_seal(&draft) : -1;

	if (sound)
		plan_draft_free(&draft);
	sound = fd >= 0 && plan_read(&plan, fd);
	if (fd >= 0)
		close(fd);
	if (!sound) {
		report_value(report, "fault", sentence);
		return false;
	}
	for (uint32_t i = 0; i < plan.head->argument_count; i++) {
		struct buf word = {0};
		app_reference_show(&word, plan.arguments[i]);
		buf_append_char(&word, '\0');
		plan.arguments[i] = word.data; /* until the command ends */
	}
	for (uint32_t i = 0; i < plan.head->variable_count; i++)
		for (size_t j = 0; j < array_count(drawn); j++)
			if (strcmp(plan.variables[i], drawn[j][0]) == 0)
				plan.variables[i] = drawn[j][1];
	report_value(report, "user", plan.head->user);
	report_number(report, "uid", plan.head->uid);
	report_number(report, "gid", plan.head->gid);
	report_list(report, "runs", plan.arguments, plan.head->argument_count);
	report_value(report, "readiness", readinesses[app->readiness]);
	report_list(report, "environment", plan.variables, plan.head->variable_count);
	return true;
}

static bool
report_app(struct report *report, const struct config *config, const struct app_config *app)
{
	char word[CONFIG_NAME_BYTES_MAX * 4];

	report_begin(report, "root", app->root);
	report_value(report, "name", app->name);
	report_type(report, config, app);
	report_value(report, "startup_file", app->startup_file);
	bool sound = report_plan(report, app);
	sound = sound && !report_interpreter(report, app, app_config_interpreter(app, word));
	report_end(report);
	return sound;
}

static int
check_command(int argc, char **argv)
{
	struct arguments arguments;
	struct config_source source = {.path = NULL};
	struct report report;
	bool sound = true;

	enum arguments_result result = arguments_read(&check_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	struct config *config = load(&arguments, &source);
	if (config == NULL)
		return COMMAND_FAILED;
	report_open(&report, arguments.values[ARGUMENT_JSON] != NULL, "applications");
	for (size_t i = 0; i < config->app_count; i++)
		if (source.app_dir == NULL || config->apps[i]->asked_for)
			sound = report_app(&report, config, config->apps[i]) && sound;
	bool written = report_close(&report);
	config_free(config);
	return written && sound ? COMMAND_OK : COMMAND_FAILED;
}

/* --- runtimes ------------------------------------------------------------------------ */

/* Of a type that no application is needed for: as nobody, in the root. */
static void
report_runtime(struct report *report, const struct config *config, size_t index)
{
	const struct app_type *type = config->types[index];
	const struct runtime_config *runtime = NULL;
	const struct passwd *account = getpwnam(config->default_user);
	char root[] = "/", env[] = "production", from[SENTENCE_BYTES] = "built in";
	struct app_config app = {.type = type,
	                         .root = root,
	                         .base_uri = root,
	                         .app_env = env,
	                         .name = env,
	                         .uid = geteuid(),
	                         .gid = getegid()};
	size_t files = 0;

	for (size_t i = 0; i < config->runtime_count; i++)
		if (&config->runtimes[i]->type == type)
			runtime = config->runtimes[i];
	if (app.uid == 0) {
		app.uid = account != NULL ? account->pw_uid : OVERFLOW_UID;
		app.gid = account != NULL ? account->pw_gid : OVERFLOW_UID;
	}
	if (runtime != NULL) {
		snprintf(from, sizeof(from), "%s:%u", config->path, (unsigned)runtime->line);
		app.interpreter = runtime->interpreter;
		app.command = runtime->command;
	}
	report_begin(report, "name", type->name);
	report_value(report, "from", from);
	while (files < APP_STARTUP_FILES_MAX && type->startup_files[files] != NULL)
		files++;
	report_list(report, "files", type->startup_files, files);
	report_number(report, "weight", type->detect_score);
	report_value(report, "protocol", type->protocol == APP_PROTOCOL_HTTP ? "http" : "session");
	report_value(report, "command", app.command);
	if (config->interpreters[index][0] != '\0')
		report_interpreter(report, &app, config->interpreters[index]);
	report_end(report);
}

static int
runtimes_command(int argc, char **argv)
{
	struct arguments arguments;
	struct config_source source = {.types_only = true};
	struct report report;

	enum arguments_result result = arguments_read(&runtimes_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	struct config *config = load(&arguments, &source);
	if (config == NULL)
		return COMMAND_FAILED;
	report_open(&report, arguments.values[ARGUMENT_JSON] != NULL, "runtimes");
	for (size_t i = 0; config->types[i] != NULL; i++)
		report_runtime(&report, config, i);
	bool written = report_close(&report);
	config_free(config);
	return written ? COMMAND_OK : COMMAND_FAILED;
}

const struct command command_check = {
	.name = "check",
	.summary = "say what an application is, what would be run and what is missing",
	.run = check_command,
};

const struct command command_runtimes = {
	.name = "runtimes",
	.summary = "list the types of applications and their interpreters",
	.run = runtimes_command,
};
