/*
 * passenger: the registry and main().  Every application type and every
 * command of the program is one row here.
 */
#include "apps/apps.h"
#include "balancer/balancer.h"
#include "operator/command.h"
#include "operator/options.h"
#include "spawner/serve.h"
#include "spawner/upgrade.h"
#include "system/image.h"
#include "worker/exec.h"

#include <stdio.h>

const struct app_type *const app_types[] = {
	&app_type_ruby, &app_type_python, &app_type_node, &app_type_command, NULL,
};

static int version_command(int argc, char **argv);
static int help_command(int argc, char **argv);
static const struct command *command_find(const char *name);

static const struct command command_serve = {"serve", "serve applications", serve_command};
static const struct command command_version = {"version", "print the version", version_command};
static const struct command command_help = {"help", "print this", help_command};
/* Not for people: the roles that serve starts. */
static const struct command command_balance = {"balance", NULL, balance_command};
static const struct command command_exec = {"exec", NULL, exec_command};
static const struct command command_upgrade_check = {"upgrade-check", NULL, upgrade_check_command};

static const struct command *const commands[] = {
	&command_serve,          &command_status,  &command_stop,     &command_restart,       &command_maintenance,
	&command_reload,         &command_upgrade, &command_detach,   &command_reopen_logs,   &command_backtrace,
	&command_list_instances, &command_check,   &command_runtimes, &command_options,       &command_version,
	&command_help,           &command_balance, &command_exec,     &command_upgrade_check, NULL,
};

static int
version_command(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("passenger %s\n", PASSENGER_VERSION);
	return 0;
}

static int
help_command(int argc, char **argv)
{
	const struct command *about = argc > 1 ? command_find(argv[1]) : NULL;
	char help[] = "--help", *words[] = {argc > 1 ? argv[1] : help, help, NULL};
	if (about != NULL && about->summary != NULL && about != &command_help && about != &command_version)
		return about->run(2, words);
	if (argc > 1 && about == NULL) {
		fprintf(stderr, "passenger: there is no command '%s'; `passenger help` lists them\n", argv[1]);
		return 2;
	}
	printf("passenger %s: an application server with a private address for every process\n\n"
	       "usage: passenger COMMAND [options]; every command knows --help\n\n",
	       PASSENGER_VERSION);
	for (const struct command *const *command = commands; *command != NULL; command++)
		if ((*command)->summary != NULL)
			printf("  %-16s %s\n", (*command)->name, (*command)->summary);
	return 0;
}

static const struct command *
command_find(const char *name)
{
	for (const struct command *const *command = commands; *command != NULL; command++)
		if (strcmp((*command)->name, name) == 0)
			return *command;
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return &command_help;
	if (strcmp(name, "--version") == 0 || strcmp(name, "-v") == 0)
		return &command_version;
	return NULL;
}

int
main(int argc, char **argv)
{
	image_arguments(argv);
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "passenger";
	if (strcmp(name, "passenger-status") == 0)
		return passenger_status_main(argc, argv);
	if (strcmp(name, "passenger-config") == 0)
		return passenger_config_main(argc, argv);
	if (argc < 2) {
		help_command(0, NULL);
		return 2;
	}
	const struct command *command = command_find(argv[1]);
	if (command == NULL) {
		fprintf(stderr, "passenger: there is no command '%s'; `passenger help` lists them\n", argv[1]);
		return 2;
	}
	return command->run(argc - 1, argv + 1);
}
