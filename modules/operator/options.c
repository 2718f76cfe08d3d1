#include "operator/options.h"

#include "apps/apps.h"
#include "operator/arguments.h"
#include "operator/output.h"

#include <unistd.h>

enum { ARGUMENT_INI, ARGUMENT_MARKDOWN, ARGUMENT_N };

static const struct argument arguments_rows[ARGUMENT_N + 1] = {
	[ARGUMENT_INI] = {.name = "ini", .help = "as passenger.ini, every option with its default (this is the default)"},
	[ARGUMENT_MARKDOWN] = {.name = "markdown", .help = "as tables, with the original's names"},
};

static const struct arguments_table table = {
	.usage = "passenger options [OPTIONS]",
	.help = "Prints every option that passenger.ini can have.\n",
	.options = arguments_rows,
};

int
options_command(int argc, char **argv)
{
	struct arguments arguments;
	enum arguments_result result = arguments_read(&table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	if (arguments.values[ARGUMENT_INI] != NULL && arguments.values[ARGUMENT_MARKDOWN] != NULL) {
		output_complain("--ini and --markdown: give one of the two");
		return COMMAND_REFUSED;
	}
	struct buf out = {0};
	if (arguments.values[ARGUMENT_MARKDOWN] != NULL)
		config_print_markdown(&out, app_types);
	else
		config_print_ini(&out, app_types);
	bool written = output_write(STDOUT_FILENO, &out);
	buf_free(&out);
	return written ? COMMAND_OK : COMMAND_FAILED;
}

const struct command command_options = {
	.name = "options",
	.summary = "print every option: --ini or --markdown",
	.run = options_command,
};
