/*
 * command: any program that speaks HTTP, on a port or a unix socket of its own or
 * on one that it is given.  [runtime NAME] makes more types of this one.
 */
#include "apps/apps.h"

#include <signal.h>

static bool
command_check(const struct app_config *app, char *error, size_t error_size)
{
	if (app->command != NULL)
		return true;
	str_cut_z(error, error_size, STR("command is missing; expected a line such as command = node server.js"));
	return false;
}

static bool
command_starts_without_file(const struct app_config *app)
{
	return app->command == NULL || str_search(str_from(app->command), STR("PASSENGER_STARTUP_FILE")) == NULL;
}

static bool
command_argv(const struct app_config *app, const char *loader_path, struct app_argv *argv, char *error,
             size_t error_size)
{
	(void)loader_path;
	if (app_argv_split(argv, str_from(app->command)) && argv->count > 0)
		return true;
	app_argv_free(argv);
	str_cut_z(error, error_size, STR("command can not be split into words: a quote is not closed"));
	return false;
}

const struct app_type app_type_command = {
	.name = "command",
	.title = "Command (any HTTP program)",
	.protocol = APP_PROTOCOL_HTTP,
	.readiness = APP_READY_PORT,
	.concurrency = 0,
	.starts_without_file = command_starts_without_file,
	.takes_command = true,
	.check = command_check,
	.dump_signal = SIGQUIT, /* what Go, Java and others write their stacks at; most others end by it */
	.dump_is_fatal = true,
	.argv = command_argv,
};
