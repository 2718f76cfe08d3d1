#include "operator/probe.h"

#include "system/child.h"
#include "worker/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROBE_BYTES_MAX = 16 * 1024, PROBE_TIME_MS = 20 * 1000 };

/* "=path", "!what is missing", "?what is odd"; any other first line is the version. */
static const char script[] =
	"p=$(command -v -- \"$1\") || { echo \"!the interpreter $1 is not found, or no program; PATH=$PATH\"; exit; }\n"
	"echo \"=$p\"\n"
	"[ -z \"$2\" ] || [ -r \"$2\" ] || echo \"!$2 can not be read by uid $(id -u)\"\n"
	"i=$1; shift 2\n"
	"[ -z \"$1\" ] || { o=$(\"$i\" \"$@\" 2>&1) && echo \"$o\"; } || [ \"$1\" = --version ] || echo \"!$i: "
	"${o##*\n}\"";

/* The words of the probe that runs; there is one at a time. */
static struct app_argv probe_words;

static bool
probe_argv(const struct app_config *app, const char *loader_path, struct app_argv *argv, char *error, size_t error_size)
{
	(void)app;
	(void)loader_path;
	(void)error;
	(void)error_size;
	for (size_t i = 0; i < probe_words.count; i++)
		app_argv_add(argv, str_from(probe_words.words[i]));
	return true;
}

static void
add_word(const char *word)
{
	app_argv_add(&probe_words, str_from(word != NULL ? word : ""));
}

/* Anything that its maker may not expect to be called with --version is not called. */
static bool
takes_version(const struct app_config *app, const char *interpreter)
{
	return app->interpreter != NULL || strchr(interpreter, '/') == NULL;
}

static void
set_words(const struct app_config *app, const struct app_type *type, const char *interpreter)
{
	add_word("/bin/sh");
	add_word("-c");
	add_word(script);
	add_word("passenger check");
	add_word(interpreter);
	add_word(app->startup_file);
	if (type->probe != NULL) {
		add_word(type->probe_option);
		add_word(type->probe);
		for (size_t i = 0; i < type->option_count && app->type_values != NULL; i++)
			add_word(app_config_type_value(app, i));
		add_word(app->startup_file);
	} else if (takes_version(app, interpreter)) {
		add_word("--version");
	}
}

bool
probe_plan(const struct app_config *app, struct plan_draft *draft, char *sentence, size_t sentence_size)
{
	static struct workers workers; /* large */
	static struct worker worker;

	workers.loaders_dir = "INSTANCE/loaders";
	workers.programs_dir = "INSTANCE/programs";
	worker = (struct worker){.app = app, .table = &workers, .record = {.socket_path = "/NAME"}};
	return environment_plan(&worker, draft, sentence, sentence_size);
}

/* What comes until the end, or until there is too much or too little of it. */
static void
read_all(struct probe *probe, int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	uint64_t deadline_ms = clock_monotonic_ms() + PROBE_TIME_MS, now_ms;

	while ((now_ms = clock_monotonic_ms()) < deadline_ms && probe->text.len < PROBE_BYTES_MAX) {
		char block[1024];
		if (poll(&poll_fd, 1, (int)(deadline_ms - now_ms)) <= 0)
			continue;
		ssize_t len = read(fd, block, sizeof(block));
		if (len <= 0)
			return;
		for (ssize_t i = 0; i < len; i++)
			if (block[i] != '\0')
				buf_append_char(&probe->text, block[i]);
	}
	buf_printf(&probe->text, "\n!it has not answered within %d s\n", PROBE_TIME_MS / 1000);
}

static bool
start(struct probe *probe, int plan)
{
	static const char *const argv[] = {"passenger", "exec", NULL};
	static const char *const envp[] = {NULL};
	int output[2] = {-1, -1}, nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct children children;
	struct child child = {.pid = 0};
	bool started = nothing >= 0 && plan >= 0 && pipe2(output, O_CLOEXEC) == 0;
	const struct child_fd fds[] = {
		{nothing, 0}, {output[1], 1}, {output[1], 2}, {plan, PLAN_FD_PLAN}, {output[1], PLAN_FD_ERROR}};

	children_init(&children);
	started = started && child_start(&children, &child, argv, envp, fds, array_count(fds));
	int ours[] = {nothing, plan, output[1]};
	for (size_t i = 0; i < array_count(ours); i++)
		if (ours[i] >= 0)
			close(ours[i]);
	if (started) {
		read_all(probe, output[0]);
		child_signal_group(&child, SIGKILL);
		while (waitpid(child.pid, NULL, 0) < 0 && errno == EINTR)
			;
		close(child.pidfd);
	}
	if (output[0] >= 0)
		close(output[0]);
	return started;
}

static void
take_line(struct probe *probe, const char *line)
{
	if (line[0] == '=' && probe->path == NULL)
		probe->path = line + 1;
	else if (line[0] == '!' && probe->missing_count < array_count(probe->missing))
		probe->missing[probe->missing_count++] = line + 1;
	else if (line[0] == '?' && probe->note_count < array_count(probe->notes))
		probe->notes[probe->note_count++] = line + 1;
	else if (line[0] != '\0' && probe->path != NULL && probe->version == NULL)
		probe->version = line;
	else if (line[0] != '\0' && probe->path == NULL)
		probe->other = line;
}

void
probe_run(struct probe *probe, const struct app_config *app, const char *interpreter)
{
	struct app_type type = *app->type;
	struct app_config asked = *app;
	struct plan_draft draft;
	char sentence[PLAN_ERROR_BYTES];

	memset(probe, 0, sizeof(*probe));
	set_words(app, app->type, interpreter);
	type.argv = probe_argv;
	asked.type = &type;
	asked.readiness = APP_READY_PORT; /* no descriptors beside the usual ones */
	if (!probe_plan(&asked, &draft, sentence, sizeof(sentence))) {
		buf_printf(&probe->text, "!%s", sentence);
	} else {
		if (!start(probe, plan_draft_seal(&draft)))
			buf_printf(&probe->text, "!no process could be made to look: %s", strerror(errno));
		plan_draft_free(&draft);
	}
	app_argv_free(&probe_words);
	buf_append_char(&probe->text, '\0');
	for (char *line = probe->text.data; line != NULL;) {
		char *feed = strchr(line, '\n');
		if (feed != NULL)
			*feed = '\0';
		take_line(probe, line);
		line = feed != NULL ? feed + 1 : NULL;
	}
	/* it did not come so far: then `passenger exec` has said why; what a login shell has said does not matter */
	if (probe->path == NULL && probe->missing_count == 0)
		probe->missing[probe->missing_count++] =
			probe->other != NULL ? probe->other : "/bin/sh has said nothing of the interpreter";
}

void
probe_free(struct probe *probe)
{
	buf_free(&probe->text);
}
