/*
 * passenger stop: asks the spawner to end, and waits until it has.
 */
#include "operator/arguments.h"
#include "operator/client.h"
#include "operator/command.h"
#include "operator/output.h"
#include "system/socket.h"

#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { OPTION_NOW, OPTION_INSTANCE, OPTION_INSTANCE_DIR, OPTION_N };

enum {
	STOP_FIRST_NOTE_MS = 2000,
	STOP_NOTE_MS = 30 * 1000,
	STOP_END_WAIT_MS = 5000, /* from the answer to the end of the spawner itself */
	STOP_END_STEP_MS = 50,
};

static const struct argument options[OPTION_N + 1] = {
	[OPTION_NOW] = {.name = "now", .help = "cut what runs, do not wait for it"},
	[OPTION_INSTANCE] = ARGUMENT_INSTANCE,
	[OPTION_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table table = {
	.usage = "passenger stop [OPTIONS]",
	.help = "Stops a running instance: it accepts nothing more, finishes the requests that\n"
		"run, ends the applications and goes. Returns when it is gone.\n"
		"Exit code: 0 it is gone; 1 there was none, or it did not stop; 2 not allowed or\n"
		"wrong usage.\n",
	.options = options,
};

static bool
is_alive(const struct instance *instance)
{
	struct instance now;
	return instance_read(instance->dir, &now) && now.alive && now.pid == instance->pid;
}

/* A descriptor of the process that answers, or -1 where we can not see it (another pid namespace). */
static int
open_spawner(int connection)
{
	int32_t pid;
	uint32_t uid, gid;
	if (!socket_peer(connection, &pid, &uid, &gid) || pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* The answer comes while the spawner still lives. */
static bool
wait_until_gone(const struct instance *instance, int spawner)
{
	const struct timespec step = {.tv_nsec = STOP_END_STEP_MS * 1000000L};
	struct pollfd end = {.fd = spawner, .events = POLLIN};
	if (spawner >= 0)
		return poll(&end, 1, STOP_END_WAIT_MS) > 0;
	for (int waited_ms = 0; waited_ms < STOP_END_WAIT_MS; waited_ms += STOP_END_STEP_MS) {
		if (!is_alive(instance))
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

static void
note_waiting(const struct instance *instance, bool now, unsigned seconds)
{
	output_complain("%s still ends its work (%u s)%s", instance->name, seconds,
	                now ? "" : "; `passenger stop --now` cuts what runs");
}

static enum client_result
wait_for_answer(const struct instance *instance, int connection, bool now, struct control_answer *answer)
{
	unsigned waited_ms = 0;
	int step_ms = STOP_FIRST_NOTE_MS, fd;
	for (;;) {
		enum client_result result = client_receive(instance, connection, step_ms, answer, &fd);
		if (result != CLIENT_TIMEOUT) {
			if (fd >= 0)
				close(fd);
			return result;
		}
		waited_ms += (unsigned)step_ms;
		note_waiting(instance, now, waited_ms / 1000);
		step_ms = STOP_NOTE_MS;
	}
}

static int
stop(const struct instance *instance, bool now)
{
	struct control_request request = {.verb = CONTROL_STOP, .number = now};
	struct control_answer answer;
	int connection = client_send(instance, &request), exit_code = COMMAND_FAILED;
	if (connection < 0)
		return COMMAND_FAILED;
	int spawner = open_spawner(connection);
	enum client_result result = wait_for_answer(instance, connection, now, &answer);
	if (result == CLIENT_ANSWERED && answer.code != CONTROL_OK) {
		exit_code = client_exit_code(instance, &answer);
	} else if (result != CLIENT_FAILED && !wait_until_gone(instance, spawner)) {
		output_complain("%s (pid %d) %s, but it still runs after %d s", instance->name, instance->pid,
		                result == CLIENT_ANSWERED ? "said that it stops" : "closed the connection",
		                STOP_END_WAIT_MS / 1000);
	} else if (result != CLIENT_FAILED) {
		printf("%s stopped\n", instance->name);
		exit_code = COMMAND_OK;
	}
	if (spawner >= 0)
		close(spawner);
	close(connection);
	return exit_code;
}

static int
run(int argc, char **argv)
{
	struct arguments arguments;
	enum arguments_result result = arguments_read(&table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	struct client_target target = {
		.instance_dir = arguments.values[OPTION_INSTANCE_DIR],
		.name = arguments.values[OPTION_INSTANCE],
	};
	struct instance instance;
	if (client_find(&target, &instance) != CLIENT_FOUND)
		return COMMAND_FAILED;
	return stop(&instance, arguments.values[OPTION_NOW] != NULL);
}

const struct command command_stop = {
	.name = "stop",
	.summary = "finish what runs and stop an instance",
	.run = run,
};
