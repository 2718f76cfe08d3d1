/*
 * passenger upgrade: lets another program of ours take over from a running
 * instance, and waits until it has, or has not.
 */
#include "operator/arguments.h"
#include "operator/client.h"
#include "operator/command.h"
#include "operator/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPTION_BINARY, OPTION_CHECK, OPTION_INSTANCE, OPTION_INSTANCE_DIR, OPTION_N };

enum { ANSWER_WITHIN_MS = 60 * 1000 }; /* its check, its start and the way back have 10 s each at most */

static const struct argument options[OPTION_N + 1] = {
	[OPTION_BINARY] = {.name = "binary",
                           .value = "PATH",
                           .help = "the new program (default: the running one's path, as it is on the disk now)"},
	[OPTION_CHECK] = {.name = "check", .help = "only ask the new program whether it could take over"},
	[OPTION_INSTANCE] = ARGUMENT_INSTANCE,
	[OPTION_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table table = {
	.usage = "passenger upgrade [OPTIONS]",
	.help = "Replaces the running passenger by a new version of it, without a request lost: the\n"
		"process, the applications' processes, their doors and all sockets stay. The new\n"
		"program first checks the configuration and what it would take over; when it finds\n"
		"fault, ends, or is not ready within 10 s, the old one goes on. SIGUSR2 does the same.\n"
		"Exit code: 0 done; 1 no instance, or the old one goes on; 2 not allowed or wrong\n"
		"usage.\n",
	.options = options,
};

/* The instance has another current folder. */
static bool
read_path(const char *path, struct control_request *request)
{
	char *real = path != NULL ? realpath(path, NULL) : NULL;
	bool fits = path == NULL;
	if (path != NULL && real == NULL)
		output_complain("%s: there is no such file", path);
	else if (real != NULL && !(fits = str_copy_z(request->name, sizeof(request->name), str_from(real))))
		output_complain("%s: the path is longer than %zu characters", path, sizeof(request->name) - 1);
	free(real);
	return fits;
}

static int
upgrade(const struct instance *instance, const struct control_request *request)
{
	struct control_answer answer;
	int fd = -1, connection = client_send(instance, request);
	if (connection < 0)
		return COMMAND_FAILED;
	enum client_result result = client_receive(instance, connection, ANSWER_WITHIN_MS, &answer, &fd);
	if (fd >= 0)
		close(fd);
	close(connection);
	if (result == CLIENT_ANSWERED && answer.code == CONTROL_OK) {
		printf("%s\n", answer.text);
		return COMMAND_OK;
	}
	if (result == CLIENT_ANSWERED)
		return client_exit_code(instance, &answer);
	if (result != CLIENT_FAILED)
		output_complain("%s does not say what has become of it; `passenger status` tells", instance->name);
	return COMMAND_FAILED;
}

static int
run(int argc, char **argv)
{
	struct control_request request = {.verb = CONTROL_UPGRADE};
	struct arguments arguments;
	struct instance instance;
	enum arguments_result result = arguments_read(&table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	struct client_target target = {
		.instance_dir = arguments.values[OPTION_INSTANCE_DIR],
		.name = arguments.values[OPTION_INSTANCE],
	};
	if (!read_path(arguments.values[OPTION_BINARY], &request))
		return COMMAND_REFUSED;
	request.number = arguments.values[OPTION_CHECK] != NULL;
	if (client_find(&target, &instance) != CLIENT_FOUND)
		return COMMAND_FAILED;
	return upgrade(&instance, &request);
}

const struct command command_upgrade = {
	.name = "upgrade",
	.summary = "let a new version of passenger take over",
	.run = run,
};
