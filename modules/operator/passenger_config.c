/*
 * passenger_config: the original's administration program, as far as deploy
 * tools use it.  Its rows are our own commands; what only makes sense for the
 * original is refused with a sentence.
 */
#include "operator/command.h"
#include "operator/output.h"

#include <stdio.h>
#include <unistd.h>

static const struct command *const commands[] = {
	&command_restart_app,
	&command_detach,
	&command_list_instances,
	&command_reopen_logs,
};

/* What scripts may ask for and will not get. */
static const struct {
	const char *name;
	const char *why;
} refused[] = {
	{"about", "there is no compiled agent, Apache module or Ruby library to tell about"},
	{"api-call", "there is no HTTP interface; use `passenger status --format json`"},
	{"build-native-support", "there is nothing to build"},
	{"compile-agent", "there is nothing to build"},
	{"compile-nginx-engine", "there is nothing to build"},
	{"download-agent", "there is nothing to download"},
	{"download-nginx-engine", "there is nothing to download"},
	{"install-agent", "there is nothing to install"},
	{"install-standalone-runtime", "there is nothing to install"},
	{"system-metrics", "use `passenger status --format json`"},
	{"system-properties", "there is no such information"},
	{"validate-install", "there is nothing to validate: one file is the whole program"},
};

static int
print_help(void)
{
	struct buf out = {0};
	buf_append_str(
		&out,
		STR("Usage: passenger-config COMMAND [OPTIONS]\n\nCommands (each explains itself with --help):\n"));
	for (size_t i = 0; i < array_count(commands); i++)
		buf_printf(&out, "  %-20s %s\n", commands[i]->name, commands[i]->summary);
	bool written = output_write(STDOUT_FILENO, &out);
	buf_free(&out);
	return written ? COMMAND_OK : COMMAND_FAILED;
}

int
passenger_config_main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
		return print_help();
	if (strcmp(name, "--version") == 0 || strcmp(name, "-v") == 0) {
		printf("passenger %s\n", PASSENGER_VERSION);
		return COMMAND_OK;
	}
	for (size_t i = 0; i < array_count(commands); i++)
		if (strcmp(name, commands[i]->name) == 0)
			return commands[i]->run(argc - 1, argv + 1);
	for (size_t i = 0; i < array_count(refused); i++) {
		if (strcmp(name, refused[i].name) != 0)
			continue;
		output_complain("passenger-config %s is not offered: %s", name, refused[i].why);
		return COMMAND_FAILED;
	}
	struct buf line = {0};
	output_append(&line, str_from(name), OUTPUT_UTF8);
	output_complain("passenger-config has no command \"%.*s\"; --help lists them", (int)line.len, line.data);
	buf_free(&line);
	return COMMAND_REFUSED;
}
