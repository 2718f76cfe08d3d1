/*
 * passenger status: one round trip to the spawner, which answers also while
 * the balancer hangs; then the snapshot is formatted here.
 */
#include "operator/arguments.h"
#include "operator/client.h"
#include "operator/command.h"
#include "operator/output.h"
#include "operator/status_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	OPTION_VERBOSE,
	OPTION_FORMAT,
	OPTION_INSTANCE,
	OPTION_INSTANCE_DIR,
	OPTION_NO_HEADER,
	OPTION_FORCE_COLORS,
	OPTION_SHOW,
	OPTION_N
};

static const struct argument options[OPTION_N + 1] = {
	[OPTION_VERBOSE] = {.name = "verbose", .letter = 'v', .help = "addresses, passwords, current requests, failures"},
	[OPTION_FORMAT] = {.name = "format", .value = "FORMAT", .help = "text (the default), json or xml"},
	[OPTION_INSTANCE] = ARGUMENT_INSTANCE,
	[OPTION_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
	[OPTION_NO_HEADER] = {.name = "no-header", .help = "text without the lines Version, Date, Instance"},
	[OPTION_FORCE_COLORS] = {.name = "force-colors", .help = "colours also when the output is no terminal"},
	[OPTION_SHOW] = {.name = "show",
                         .value = "WHAT",
                         .help = "the original's name of --format: pool (text), json or xml"},
};

static const struct arguments_table table = {
	.usage = "passenger status [OPTIONS]",
	.help = "Shows the applications of a running instance and their processes.\n"
		"Root and the user who started the instance see all, an application's user\n"
		"sees its own applications. Exit code: 0 shown; 1 no instance, several and none\n"
		"chosen, or no answer; 2 not allowed or wrong usage.\n",
	.options = options,
};

static const struct arguments_table original_table = {
	.usage = "passenger-status [OPTIONS] [INSTANCE-NAME-PREFIX]",
	.help = "The same as `passenger status`, with the original's options.\n",
	.options = options,
	.words_max = 1,
};

struct format {
	const char *name;
	const char *show; /* the original's word */
	void (*append)(struct buf *out, const struct view *view, const struct status_style *style);
};

static const struct format formats[] = {
	{.name = "text", .show = "pool", .append = status_text},
	{.name = "json", .show = "json", .append = status_json},
	{.name = "xml", .show = "xml", .append = status_xml},
};

/* NULL: it was said. */
static const struct format *
choose_format(const struct arguments *arguments, int *exit_code)
{
	const char *name = arguments->values[OPTION_FORMAT], *show = arguments->values[OPTION_SHOW];
	for (size_t i = 0; i < array_count(formats); i++) {
		if (show != NULL ? strcmp(show, formats[i].show) == 0
		                 : strcmp(name ? name : "text", formats[i].name) == 0)
			return &formats[i];
	}
	if (show != NULL) {
		output_complain("--show takes pool, json or xml here; what the original shows as server, requests "
		                "or union_station does not exist (current requests are in json); for backtraces: "
		                "passenger backtrace PID");
		*exit_code = COMMAND_FAILED;
	} else {
		output_complain("--format takes text, json or xml");
		*exit_code = COMMAND_REFUSED;
	}
	return NULL;
}

/* What a person should know and a script must not find in the text. */
static void
note_troubles(const struct view *view, const struct status_style *style)
{
	if (view->head->balancer_state == 2)
		output_complain("note: the balancer (pid %d) has not moved for %llu s and is being replaced",
		                view->head->balancer_pid, (unsigned long long)(view->head->beat_age_ms / 1000));
	if (style->verbose || !isatty(STDERR_FILENO))
		return;
	for (uint32_t i = 0; i < view->head->group_count; i++)
		if (view->groups[i].failure_id[0] != 0) {
			output_complain(
				"note: an application could not be started; `passenger status --verbose` says why");
			return;
		}
}

static bool
show(const struct buf *snapshot, const struct format *format, const struct status_style *style)
{
	struct view view;
	char error[256];
	if (!view_open(&view, snapshot->data, snapshot->len, error, sizeof(error))) {
		output_complain("%s", error);
		return false;
	}
	struct buf out = {0};
	format->append(&out, &view, style);
	bool written = output_write(STDOUT_FILENO, &out);
	if (written)
		note_troubles(&view, style);
	buf_free(&out);
	view_close(&view);
	return written;
}

static int
ask_and_show(const struct client_target *target, const struct format *format, struct status_style *style)
{
	struct instance instance;
	struct control_answer answer;
	struct control_request request = {.verb = CONTROL_STATUS, .verbose = style->verbose};
	int fd;
	if (client_find(target, &instance) != CLIENT_FOUND || !client_ask(&instance, &request, &answer, &fd))
		return COMMAND_FAILED;
	if (answer.code != CONTROL_OK) {
		if (fd >= 0)
			close(fd);
		return client_exit_code(&instance, &answer);
	}
	struct buf snapshot = {0};
	style->directory = instance.dir;
	bool shown = client_read_snapshot(fd, answer.number, &snapshot) && show(&snapshot, format, style);
	buf_free(&snapshot);
	return shown ? COMMAND_OK : COMMAND_FAILED;
}

static int
run(const struct arguments_table *arguments_table, int argc, char **argv)
{
	struct arguments arguments;
	int exit_code = COMMAND_FAILED;
	enum arguments_result result = arguments_read(arguments_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	const struct format *format = choose_format(&arguments, &exit_code);
	if (format == NULL)
		return exit_code;
	struct client_target target = {
		.instance_dir = arguments.values[OPTION_INSTANCE_DIR],
		.name = arguments.word_count > 0 ? arguments.words[0] : arguments.values[OPTION_INSTANCE],
	};
	struct status_style style = {
		.verbose = arguments.values[OPTION_VERBOSE] != NULL,
		.header = arguments.values[OPTION_NO_HEADER] == NULL,
		.colour = arguments.values[OPTION_FORCE_COLORS] != NULL || isatty(STDOUT_FILENO),
	};
	return ask_and_show(&target, format, &style);
}

static int
run_status(int argc, char **argv)
{
	return run(&table, argc, argv);
}

int
passenger_status_main(int argc, char **argv)
{
	return run(&original_table, argc, argv);
}

const struct command command_status = {
	.name = "status",
	.summary = "show applications, processes, their addresses and passwords",
	.run = run_status,
};
