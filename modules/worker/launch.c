#include "worker/launch.h"

#include "base/log.h"
#include "base/random.h"
#include "config/app_type.h"
#include "system/socket.h"
#include "worker/environment.h"
#include "worker/place.h"
#include "worker/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	SOCKET_NAME_CHARS = 14,
	PROGRAM_SOCKET_BYTES = SOCKET_NAME_CHARS + sizeof("//socket"),
	APP_BACKLOG = 512,
	PORT_DRAWS = 64,
};

void
launch_close_ends(struct launch_ends *ends)
{
	int *fds[] = {&ends->stdin_read, &ends->output_write, &ends->error_write, &ends->control_child,
	              &ends->plan,       &ends->output_read,  &ends->control_ours};

	for (size_t i = 0; i < array_count(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static bool
make_pipe(int *read_end, int *write_end, bool read_waits)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return false;
	*read_end = fds[0];
	*write_end = fds[1];
	return read_waits || fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0;
}

/* So that the application can open it by its names too, /dev/stderr or /proc/self/fd/0. */
static void
own_pipe(const struct worker *worker, int fd)
{
	if (fchown(fd, worker->app->uid, worker->app->gid) != 0) {
		/* the descriptor itself works all the same */
	}
}

static bool
make_ends(struct worker *worker, struct launch_ends *ends)
{
	int pair[2];

	if (!make_pipe(&ends->stdin_read, &worker->stdin_fd, true) ||
	    !make_pipe(&ends->output_read, &ends->output_write, false) ||
	    !make_pipe(&worker->error_fd, &ends->error_write, false))
		return false;
	own_pipe(worker, ends->stdin_read);
	own_pipe(worker, ends->output_write);
	if (worker->app->readiness != APP_READY_CONTROL)
		return true;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	ends->control_ours = pair[0];
	ends->control_child = pair[1];
	return true;
}

/* Where the balancer finds it, and what the program's own folder is called. */
static bool
name_socket(struct worker *worker, char name[SOCKET_NAME_CHARS + 1], char sentence[LAUNCH_SENTENCE_BYTES])
{
	struct workers *workers = worker->table;

	random_password(name, SOCKET_NAME_CHARS);
	if (str_format(worker->record.socket_path, sizeof(worker->record.socket_path), "%s/%s", workers->apps_dir, name) &&
	    strlen(workers->programs_dir) + PROGRAM_SOCKET_BYTES < sizeof(worker->record.socket_path))
		return true;
	str_format(sentence, LAUNCH_SENTENCE_BYTES, "the instance directory's path is too long for unix sockets: %s",
	           workers->apps_dir);
	return false;
}

/* A listening socket that it is passed: only the balancer may connect. */
static bool
make_listener(struct worker *worker, char sentence[LAUNCH_SENTENCE_BYTES])
{
	struct workers *workers = worker->table;
	char name[SOCKET_NAME_CHARS + 1], error[SOCKET_ERROR_BYTES];

	if (!name_socket(worker, name, sentence))
		return false;
	worker->listen_fd = socket_listen_unix(worker->record.socket_path, 0600, workers->socket_uid,
	                                       workers->socket_gid, APP_BACKLOG, error);
	if (worker->listen_fd < 0)
		str_format(sentence, LAUNCH_SENTENCE_BYTES, "its socket could not be made: %s", error);
	/* as systemd passes it; our loaders know better */
	else if (worker->app->readiness == APP_READY_DESCRIPTOR && fcntl(worker->listen_fd, F_SETFL, 0) != 0)
		str_format(sentence, LAUNCH_SENTENCE_BYTES, "its socket could not be made: %s", strerror(errno));
	else
		return true;
	return false;
}

/* The folder in which it makes a socket of its own. */
static bool
make_folder(struct worker *worker, char sentence[LAUNCH_SENTENCE_BYTES])
{
	const struct app_config *app = worker->app;
	char name[SOCKET_NAME_CHARS + 1];

	if (!name_socket(worker, name, sentence))
		return false;
	if (place_make_folder(worker->table->programs_fd, name, app->uid, app->gid))
		return true;
	str_format(sentence, LAUNCH_SENTENCE_BYTES, "the folder of its socket could not be made: %s", strerror(errno));
	return false;
}

/* --- the plan ----------------------------------------------------------------------- */

static bool
make_plan(struct worker *worker, struct launch_ends *ends, char sentence[LAUNCH_SENTENCE_BYTES])
{
	struct plan_draft draft;

	if (!environment_plan(worker, &draft, sentence, LAUNCH_SENTENCE_BYTES))
		return false;
	cgroups_prepare(worker->table->cgroups, worker->app, &draft.head.cgroups);
	ends->plan = plan_draft_seal(&draft);
	if (ends->plan < 0)
		str_format(sentence, LAUNCH_SENTENCE_BYTES, "its arguments and environment can not be handed over: %s",
		           strerror(errno));
	plan_draft_free(&draft);
	return ends->plan >= 0;
}

/* A loader's arguments (docs/session-protocol.md, Start). */
static void
add_argument(struct buf *out, const char *name, const char *value)
{
	buf_append(out, name, strlen(name) + 1);
	buf_append(out, value != NULL ? value : "", (value != NULL ? strlen(value) : 0) + 1);
}

void
launch_add_arguments(struct worker *worker)
{
	const struct app_config *app = worker->app;
	struct buf *out = &worker->control_out;
	char number[32];

	add_argument(out, "app_root", workers_root(worker->table, app));
	add_argument(out, "startup_file", app->startup_file);
	add_argument(out, "environment", app->app_env);
	add_argument(out, "base_uri", app->base_uri);
	add_argument(out, "app_name", app->name);
	add_argument(out, "type", app->type->name);
	add_argument(out, "version", PASSENGER_VERSION);
	str_format(number, sizeof(number), "%lld", (long long)app->thread_count);
	add_argument(out, "thread_count", number);
	add_argument(out, "direct_bypass", app->direct_bypass ? "on" : "off");
	add_argument(out, "gupid", worker->record.gupid);
	if (worker->role != NULL)
		add_argument(out, "mode", "preloader");
	if (worker->preloader[0] != '\0') {
		/* what is forked asks for its end with ours itself: no program of ours begins it */
		str_format(number, sizeof(number), "%d", SYS_prctl);
		add_argument(out, "prctl", number);
	}
	for (size_t i = 0; i < app->type->option_count; i++)
		add_argument(out, app->type->options[i].name, app_config_type_value(app, i));
	buf_append_char(out, '\0');
}

/* --- the start ---------------------------------------------------------------------- */

static bool
port_is_taken(const struct workers *workers, uint16_t port)
{
	for (size_t state = 0; state < WORKER_STATE_N; state++)
		list_each (&workers->states[state], node)
			if (container_of(node, struct worker, node)->record.port == port)
				return true;
	return false;
}

/* 0: the kernel is to choose. */
static uint16_t
draw_port(const struct config *config)
{
	uint32_t number;

	if (config->max_port_range == 0)
		return 0;
	random_bytes(&number, sizeof(number));
	return (uint16_t)(config->min_port_range + number % (config->max_port_range - config->min_port_range + 1));
}

/* Free now; that nobody takes it before the program does is not certain, and is checked when it listens. */
static bool
choose_port(struct worker *worker, char sentence[LAUNCH_SENTENCE_BYTES])
{
	worker->record.port = 0;
	worker->port_tries++;
	for (int i = 0; i < PORT_DRAWS; i++) {
		uint16_t port = socket_free_port(draw_port(worker->table->config));
		if (port == 0 || port_is_taken(worker->table, port))
			continue;
		worker->record.port = port;
		return true;
	}
	str_format(sentence, LAUNCH_SENTENCE_BYTES, "no free port was found on 127.0.0.1: %s", strerror(errno));
	return false;
}

static bool
start_child(struct worker *worker, const struct launch_ends *ends)
{
	static const char *const argv[] = {"passenger", "exec", NULL};
	static const char *const envp[] = {NULL};
	struct child_fd fds[CHILD_FDS_MAX] = {
		{ends->stdin_read, 0},
		{ends->output_write, 1},
		{ends->output_write, 2},
		{ends->plan, PLAN_FD_PLAN},
		{ends->error_write, PLAN_FD_ERROR},
		{worker->listen_fd, PLAN_FD_LISTEN},
		{ends->control_child, PLAN_FD_CONTROL},
	};
	/* the last ones are there or not */
	size_t count = ends->control_child >= 0 ? 7 : worker->listen_fd >= 0 ? 6 : 5;

	return child_start(worker->table->children, &worker->child, argv, envp, fds, count);
}

bool
launch_make_ends(struct worker *worker, struct launch_ends *ends, char sentence[LAUNCH_SENTENCE_BYTES])
{
	str_format(worker->record.gupid, sizeof(worker->record.gupid), "%llx-",
	           (unsigned long long)(clock_unix_us() / 60000000));
	random_password(worker->record.gupid + strlen(worker->record.gupid), 10);
	if (!make_ends(worker, ends)) {
		str_format(sentence, LAUNCH_SENTENCE_BYTES, "its pipes could not be made: %s", strerror(errno));
		return false;
	}
	switch ((enum app_readiness)worker->app->readiness) {
	case APP_READY_PORT:
		return choose_port(worker, sentence);
	case APP_READY_SOCKET:
		return make_folder(worker, sentence);
	case APP_READY_CONTROL:
	case APP_READY_DESCRIPTOR:
	case APP_READY_N:
		break;
	}
	return make_listener(worker, sentence);
}

/* Everything up to the running child; false and a sentence. */
static bool
prepare(struct worker *worker, struct launch_ends *ends, char sentence[LAUNCH_SENTENCE_BYTES])
{
	if (!launch_make_ends(worker, ends, sentence))
		return false;
	if (!make_plan(worker, ends, sentence))
		return false;
	if (!start_child(worker, ends)) {
		str_format(sentence, LAUNCH_SENTENCE_BYTES, "no process could be made for it: %s", strerror(errno));
		return false;
	}
	return true;
}

static bool
start(struct worker *worker, char sentence[LAUNCH_SENTENCE_BYTES])
{
	struct launch_ends ends = LAUNCH_NO_ENDS;
	char prefix[128];

	bool started = prepare(worker, &ends, sentence);
	if (started) {
		worker->record.pid = worker->child.pid;
		str_format(prefix, sizeof(prefix), "App %s %d output: ", worker->app->name, worker->child.pid);
		worker->plan_fd = ends.plan;
		ends.plan = -1;
		capture_open(&worker->capture, worker->table->loop, &worker->table->sinks[worker->app->id],
		             ends.output_read, prefix);
		if (ends.control_ours >= 0)
			launch_add_arguments(worker);
		ready_begin(worker, ends.control_ours);
		ends.output_read = ends.control_ours = -1;
	}
	launch_close_ends(&ends);
	return started;
}

static bool
start_again(struct worker *worker)
{
	char sentence[LAUNCH_SENTENCE_BYTES];

	if (start(worker, sentence))
		return true;
	worker_fail(worker, 0, "%s", sentence);
	return false;
}

void
launch_restore(struct worker *worker)
{
	worker->again = start_again;
}

void
launch_worker(struct workers *workers, const struct app_config *app, const struct worker_role *role)
{
	struct worker *worker = worker_new(workers, app);
	char sentence[LAUNCH_SENTENCE_BYTES];

	worker->again = start_again;
	worker->role = role;
	if (start(worker, sentence))
		log_info("application %s: starting %s %d as %s", app->name, role != NULL ? "preloader" : "process",
		         worker->child.pid, worker->user);
	else
		worker_abandon(worker, sentence);
}
