/*
 * verbs: the commands that ask the instance to do one thing: restart,
 * restart-app, maintenance, detach-process, reopen-logs.  Deploy tools call them by the original's names
 * and with its options, which are therefore these.
 */
#include "operator/arguments.h"
#include "operator/client.h"
#include "operator/command.h"
#include "operator/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Whether an instance that does not run is a failure. */
enum absence { ABSENCE_FAILS, ABSENCE_IGNORED };

/* Finds the instance and asks; answered: *answer is there, else the exit code is returned. */
static bool
ask(const struct client_target *target, const struct control_request *request, enum absence absence,
    struct instance *instance, struct control_answer *answer, int *exit_code)
{
	int fd = -1;
	enum client_found found = client_find(target, instance);
	*exit_code = found == CLIENT_NOT_RUNNING && absence == ABSENCE_IGNORED ? COMMAND_OK : COMMAND_FAILED;
	if (found != CLIENT_FOUND || !client_ask(instance, request, answer, &fd))
		return false;
	if (fd >= 0)
		close(fd);
	return true;
}

/* Says what the instance said, or text when it said nothing. */
static int
report(const struct instance *instance, const struct control_answer *answer, const char *text)
{
	if (answer->code != CONTROL_OK)
		return client_exit_code(instance, answer);
	struct buf out = {0};
	output_append(&out, str_from(answer->text[0] != 0 ? answer->text : text), OUTPUT_UTF8);
	buf_append_char(&out, '\n');
	bool written = output_write(STDOUT_FILENO, &out);
	buf_free(&out);
	return written ? COMMAND_OK : COMMAND_FAILED;
}

/* --- restart, restart-app -------------------------------------------------------- */

enum {
	RESTART_NAME,
	RESTART_IGNORE_APP,
	RESTART_IGNORE_PASSENGER,
	RESTART_ROLLING,
	RESTART_ROLLING_AS_ORIGINAL,
	RESTART_AT_ONCE,
	RESTART_WAIT,
	RESTART_INSTANCE,
	RESTART_INSTANCE_DIR,
	RESTART_N
};

static const struct argument restart_options[RESTART_N + 1] = {
	[RESTART_NAME] = {.name = "name",
                          .value = "NAME",
                          .help = "the application's name, as status or the ini shows it"},
	[RESTART_IGNORE_APP] = {.name = "ignore-app-not-running",
                                .help = "exit code 0 when there is no such application"},
	[RESTART_IGNORE_PASSENGER] = {.name = "ignore-passenger-not-running",
                                      .help = "exit code 0 when no instance runs"},
	[RESTART_ROLLING] = {.name = "rolling", .help = "one process after the other (this is the default)"},
	[RESTART_ROLLING_AS_ORIGINAL] = {.name = "rolling-restart"},
	[RESTART_AT_ONCE] = {.name = "at-once", .help = "all processes together: requests wait for the new ones"},
	[RESTART_WAIT] = {.name = "wait", .help = "return when it is done, or has failed (then the exit code is 1)"},
	[RESTART_INSTANCE] = ARGUMENT_INSTANCE,
	[RESTART_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table restart_table = {
	.usage = "passenger restart (APP | PATH | . | --name NAME) [OPTIONS]",
	.help = "Replaces the processes of an application, one after the other: a new one is\n"
		"started, then an old one finishes what it has and goes. When a new one does not\n"
		"start, the old ones serve on.\n"
		"PATH, with a slash: every application whose root begins so; a dot means the\n"
		"current folder.\n"
		"Exit code: 0 begun (--wait: done); 1 no such application, no instance, or\n"
		"failure; 2 not allowed or wrong usage.\n",
	.options = restart_options,
	.words_max = 1,
};

/* An absolute path for the instance, which has another current folder; false: it was said. */
static bool
restart_path(const char *word, char *out, size_t out_size)
{
	char *here = NULL;
	bool fits = true;
	if (word[0] == '/') {
		fits = str_copy_z(out, out_size, str_from(word));
	} else {
		/* The root need not exist any more, so realpath is only tried. */
		char *real = realpath(word, NULL);
		here = real == NULL ? getcwd(NULL, 0) : NULL;
		if (real != NULL)
			fits = str_copy_z(out, out_size, str_from(real));
		else
			fits = here != NULL &&
			       str_format(out, out_size, "%s%s%s", here, strcmp(here, "/") == 0 ? "" : "/", word);
		free(real);
	}
	free(here);
	if (!fits)
		output_complain("the application's path is longer than %zu characters, or the current folder is gone",
		                out_size - 1);
	return fits;
}

static bool
restart_name(const char *name, const char *word, bool words_are_paths, const struct arguments_table *table,
             struct control_request *request)
{
	char *out = request->name;
	size_t out_size = sizeof(request->name);
	if ((name != NULL) == (word != NULL)) {
		output_complain("say which application: its name, a PATH (or a dot), or --name NAME.\nUsage: %s",
		                table->usage);
		return false;
	}
	if (name == NULL) {
		name = word;
		if (words_are_paths || name[0] == '.' || strchr(name, '/') != NULL)
			return restart_path(name, out, out_size);
	}
	/* A group's name may begin with '/' too ("/srv/shop (production)"): say that it is a name. */
	request->number |= CONTROL_RESTART_NAME;
	if (name[0] != 0 && str_copy_z(out, out_size, str_from(name)))
		return true;
	output_complain("an application's name has 1 to %zu characters", out_size - 1);
	return false;
}

/* Until it is done; it is the process's start that has a time limit. */
static int
restart_wait(const struct instance *instance, struct control_request *request)
{
	static const struct timespec step = {.tv_nsec = 100 * 1000000L};
	struct control_answer answer;
	char said[CONTROL_TEXT_BYTES] = "";
	int fd;
	request->number |= CONTROL_RESTART_LOOK;
	for (;;) {
		nanosleep(&step, NULL);
		if (!client_ask(instance, request, &answer, &fd))
			return COMMAND_FAILED;
		if (fd >= 0)
			close(fd);
		if (answer.code != CONTROL_OK)
			return client_exit_code(instance, &answer);
		if (answer.number == 0)
			return COMMAND_OK;
		if (answer.text[0] != 0 && strcmp(answer.text, said) != 0)
			(void)report(instance, &answer, "");
		str_cut_z(said, sizeof(said), str_from(answer.text));
	}
}

static int
run_restart(int argc, char **argv)
{
	struct arguments arguments;
	struct control_request request = {.verb = CONTROL_RESTART};
	struct control_answer answer;
	struct instance instance;
	int exit_code;
	enum arguments_result result = arguments_read(&restart_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	if (!restart_name(arguments.values[RESTART_NAME], arguments.word_count > 0 ? arguments.words[0] : NULL,
	                  strcmp(argv[0], command_restart_app.name) == 0, &restart_table, &request))
		return COMMAND_REFUSED;
	bool at_once = arguments.values[RESTART_AT_ONCE] != NULL;
	if (at_once &&
	    (arguments.values[RESTART_ROLLING] != NULL || arguments.values[RESTART_ROLLING_AS_ORIGINAL] != NULL)) {
		output_complain("--rolling or --at-once: say one of them");
		return COMMAND_REFUSED;
	}
	request.number |= at_once ? CONTROL_RESTART_AT_ONCE : 0;
	struct client_target target = {
		.instance_dir = arguments.values[RESTART_INSTANCE_DIR],
		.name = arguments.values[RESTART_INSTANCE],
	};
	enum absence absence = arguments.values[RESTART_IGNORE_PASSENGER] != NULL ? ABSENCE_IGNORED : ABSENCE_FAILS;
	if (!ask(&target, &request, absence, &instance, &answer, &exit_code))
		return exit_code;
	exit_code = report(&instance, &answer, "Restarting.");
	bool ignored = answer.code == CONTROL_NOT_FOUND && arguments.values[RESTART_IGNORE_APP] != NULL;
	if (exit_code == COMMAND_OK && arguments.values[RESTART_WAIT] != NULL)
		exit_code = restart_wait(&instance, &request);
	if (exit_code == COMMAND_OK && arguments.values[RESTART_WAIT] != NULL) {
		str_cut_z(answer.text, sizeof(answer.text), STR("done"));
		exit_code = report(&instance, &answer, "");
	}
	return ignored ? COMMAND_OK : exit_code;
}

/* --- maintenance ---------------------------------------------------------- */

enum { MAINTENANCE_NAME, MAINTENANCE_PAGE, MAINTENANCE_INSTANCE, MAINTENANCE_INSTANCE_DIR, MAINTENANCE_N };

static const struct argument maintenance_options[MAINTENANCE_N + 1] = {
	[MAINTENANCE_NAME] = {.name = "name",
                              .value = "NAME",
                              .help = "the application's name, as status or the ini shows it"},
	[MAINTENANCE_PAGE] = {.name = "page", .value = "FILE", .help = "an HTML page of at most 64 KiB, read now"},
	[MAINTENANCE_INSTANCE] = ARGUMENT_INSTANCE,
	[MAINTENANCE_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table maintenance_table = {
	.usage = "passenger maintenance (APP | PATH | . | --name NAME) on|off [OPTIONS]",
	.help = "on: requests for the application are answered 503 with Retry-After and a page,\n"
		"until off. Its processes stay, and their own addresses work. A reload or a new\n"
		"balancer changes nothing of it; a restart of passenger ends it.\n"
		"Exit code: 0 done; 1 no such application, no instance, or failure; 2 not\n"
		"allowed, wrong usage, or a page that can not be read.\n",
	.options = maintenance_options,
	.words_max = 2,
};

/* The page in memory, sealed; -1: it was said. */
static int
read_page(const char *path)
{
	static const unsigned seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	char block[4096];
	ssize_t len = -1;
	size_t all = 0;
	int file = open(path, O_RDONLY | O_CLOEXEC), page = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	while (file >= 0 && page >= 0 && all <= CONTROL_PAGE_BYTES && (len = read(file, block, sizeof(block))) > 0) {
		all += (size_t)len;
		if (write(page, block, (size_t)len) != len)
			break;
	}
	int error = errno;
	if (file >= 0)
		close(file);
	if (len == 0 && all > 0 && all <= CONTROL_PAGE_BYTES && fcntl(page, F_ADD_SEALS, seals) == 0)
		return page;
	output_complain("%s: %s", path, len >= 0 ? "a page has 1 to 65536 bytes" : strerror(error));
	if (page >= 0)
		close(page);
	return -1;
}

static int
run_maintenance(int argc, char **argv)
{
	struct arguments arguments;
	struct control_request request = {.verb = CONTROL_MAINTENANCE};
	struct control_answer answer;
	struct instance instance;
	int page = -1, fd = -1;
	enum arguments_result result = arguments_read(&maintenance_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	size_t words = arguments.word_count;
	const char *state = words > 0 ? arguments.words[words - 1] : "", *path = arguments.values[MAINTENANCE_PAGE];
	bool on = strcmp(state, "on") == 0;
	if ((!on && strcmp(state, "off") != 0) || (!on && path != NULL)) {
		output_complain("say on or off (a page only with on).\nUsage: %s", maintenance_table.usage);
		return COMMAND_REFUSED;
	}
	if (!restart_name(arguments.values[MAINTENANCE_NAME], words > 1 ? arguments.words[0] : NULL, false,
	                  &maintenance_table, &request) ||
	    (path != NULL && (page = read_page(path)) < 0))
		return COMMAND_REFUSED;
	request.number |= on ? CONTROL_MAINTENANCE_ON : 0;
	struct client_target target = {
		.instance_dir = arguments.values[MAINTENANCE_INSTANCE_DIR],
		.name = arguments.values[MAINTENANCE_INSTANCE],
	};
	int connection =
		client_find(&target, &instance) == CLIENT_FOUND ? client_send_with(&instance, &request, page) : -1;
	if (page >= 0)
		close(page);
	if (connection < 0)
		return COMMAND_FAILED;
	enum client_result received = client_receive(&instance, connection, CLIENT_DEADLINE_MS, &answer, &fd);
	close(connection);
	if (received == CLIENT_ANSWERED)
		return report(&instance, &answer, "");
	if (received != CLIENT_FAILED)
		output_complain("instance %s does not answer", instance.name);
	return COMMAND_FAILED;
}

/* --- detach-process ----------------------------------------------------- */

enum { DETACH_IGNORE_PID, DETACH_INSTANCE, DETACH_INSTANCE_DIR, DETACH_N };

static const struct argument detach_options[DETACH_N + 1] = {
	[DETACH_IGNORE_PID] = {.name = "ignore-nonexistant-pid", .help = "exit code 0 when there is no such process"},
	[DETACH_INSTANCE] = ARGUMENT_INSTANCE,
	[DETACH_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table detach_table = {
	.usage = "passenger detach-process PID [OPTIONS]",
	.help = "Takes one application process out of rotation; it finishes what it has and is\n"
		"stopped. `kill PID` would cut its requests.\n"
		"Exit code: 0 begun; 1 no such process, no instance, or failure; 2 not allowed\n"
		"or wrong usage.\n",
	.options = detach_options,
	.words_max = 1,
};

static bool
read_pid(const struct arguments *arguments, const struct arguments_table *table, uint64_t *pid)
{
	if (arguments->word_count == 1 && str_to_u64(str_from(arguments->words[0]), pid) && *pid > 0 && *pid <= INT32_MAX)
		return true;
	output_complain("say which process: its PID, a number.\nUsage: %s", table->usage);
	return false;
}

static int
run_detach(int argc, char **argv)
{
	struct arguments arguments;
	struct control_request request = {.verb = CONTROL_DETACH};
	struct control_answer answer;
	struct instance instance;
	char text[64];
	int exit_code;
	enum arguments_result result = arguments_read(&detach_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	if (!read_pid(&arguments, &detach_table, &request.number))
		return COMMAND_REFUSED;
	struct client_target target = {
		.instance_dir = arguments.values[DETACH_INSTANCE_DIR],
		.name = arguments.values[DETACH_INSTANCE],
	};
	if (!ask(&target, &request, ABSENCE_FAILS, &instance, &answer, &exit_code))
		return exit_code;
	str_format(text, sizeof(text), "Process %" PRIu64 " detached.", request.number);
	exit_code = report(&instance, &answer, text);
	bool ignored = answer.code == CONTROL_NOT_FOUND && arguments.values[DETACH_IGNORE_PID] != NULL;
	return ignored ? COMMAND_OK : exit_code;
}

/* --- backtrace ---------------------------------------------------------- */

enum { BACKTRACE_INSTANCE, BACKTRACE_INSTANCE_DIR, BACKTRACE_N, EVIDENCE_BYTES_MAX = 4 * 1024 * 1024 };

static const struct argument backtrace_options[BACKTRACE_N + 1] = {
	[BACKTRACE_INSTANCE] = ARGUMENT_INSTANCE,
	[BACKTRACE_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table backtrace_table = {
	.usage = "passenger backtrace PID [OPTIONS]",
	.help = "Shows what an application process is doing, and does not disturb it: its\n"
		"requests, memory, threads, the stacks of all threads as its language tells\n"
		"them, open descriptors and last output. The text is kept as a file too\n"
		"(evidence_dir).\n"
		"Exit code: 0 shown; 1 no such process, no instance, or failure; 2 not allowed\n"
		"or wrong usage.\n",
	.options = backtrace_options,
	.words_max = 1,
};

static int
show_evidence(int fd, const char *path)
{
	struct buf text = {0}, out = {0};
	char piece[16384];
	ssize_t len;
	while (text.len < EVIDENCE_BYTES_MAX && (len = pread(fd, piece, sizeof(piece), (off_t)text.len)) > 0)
		buf_append(&text, piece, (size_t)len);
	close(fd);
	output_append(&out, buf_str(&text), OUTPUT_LINES);
	buf_append_str(&out, STR("Kept as "));
	output_append(&out, str_from(path), OUTPUT_UTF8);
	buf_append_char(&out, '\n');
	bool written = output_write(STDOUT_FILENO, &out);
	buf_free(&text);
	buf_free(&out);
	return written ? COMMAND_OK : COMMAND_FAILED;
}

static int
run_backtrace(int argc, char **argv)
{
	struct arguments arguments;
	struct control_request request = {.verb = CONTROL_BACKTRACE};
	struct control_answer answer;
	struct instance instance;
	int fd = -1;
	enum arguments_result result = arguments_read(&backtrace_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	if (!read_pid(&arguments, &backtrace_table, &request.number))
		return COMMAND_REFUSED;
	struct client_target target = {
		.instance_dir = arguments.values[BACKTRACE_INSTANCE_DIR],
		.name = arguments.values[BACKTRACE_INSTANCE],
	};
	if (client_find(&target, &instance) != CLIENT_FOUND || !client_ask(&instance, &request, &answer, &fd))
		return COMMAND_FAILED;
	if (answer.code == CONTROL_OK && fd >= 0)
		return show_evidence(fd, answer.text);
	if (fd >= 0)
		close(fd);
	return client_exit_code(&instance, &answer);
}

/* --- reopen-logs -------------------------------------------------------- */

enum { REOPEN_IGNORE, REOPEN_INSTANCE, REOPEN_INSTANCE_DIR, REOPEN_N };

static const struct argument reopen_options[REOPEN_N + 1] = {
	/* An instance without a log file has nothing to reopen, which is no failure here. */
	[REOPEN_IGNORE] = {.name = "ignore-logs-not-available"},
	[REOPEN_INSTANCE] = ARGUMENT_INSTANCE,
	[REOPEN_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table reopen_table = {
	.usage = "passenger reopen-logs [OPTIONS]",
	.help = "Opens the log files again, after they were moved away.\n"
		"Exit code: 0 done; 1 no instance, or failure; 2 not allowed or wrong usage.\n",
	.options = reopen_options,
};

static int
run_reopen_logs(int argc, char **argv)
{
	struct arguments arguments;
	struct control_request request = {.verb = CONTROL_REOPEN_LOGS};
	struct control_answer answer;
	struct instance instance;
	int exit_code;
	enum arguments_result result = arguments_read(&reopen_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	struct client_target target = {
		.instance_dir = arguments.values[REOPEN_INSTANCE_DIR],
		.name = arguments.values[REOPEN_INSTANCE],
	};
	if (!ask(&target, &request, ABSENCE_FAILS, &instance, &answer, &exit_code))
		return exit_code;
	return report(&instance, &answer, "All done");
}

/* --- reload ------------------------------------------------------------- */

enum { RELOAD_INSTANCE, RELOAD_INSTANCE_DIR, RELOAD_N };

static const struct argument reload_options[RELOAD_N + 1] = {
	[RELOAD_INSTANCE] = ARGUMENT_INSTANCE,
	[RELOAD_INSTANCE_DIR] = ARGUMENT_INSTANCE_DIR,
};

static const struct arguments_table reload_table = {
	.usage = "passenger reload [OPTIONS]",
	.help = "Reads the configuration anew and applies it, without a request lost. When\n"
		"anything in it is wrong, nothing changes. SIGHUP does the same.\n"
		"Exit code: 0 done; 1 no instance, or a wrong configuration; 2 not allowed or\n"
		"wrong usage.\n",
	.options = reload_options,
};

static int
run_reload(int argc, char **argv)
{
	struct arguments arguments;
	struct control_request request = {.verb = CONTROL_RELOAD};
	struct control_answer answer;
	struct instance instance;
	int exit_code;
	enum arguments_result result = arguments_read(&reload_table, argc, argv, &arguments);
	if (result != ARGUMENTS_READ)
		return result == ARGUMENTS_HELP ? COMMAND_OK : COMMAND_REFUSED;
	struct client_target target = {
		.instance_dir = arguments.values[RELOAD_INSTANCE_DIR],
		.name = arguments.values[RELOAD_INSTANCE],
	};
	if (!ask(&target, &request, ABSENCE_FAILS, &instance, &answer, &exit_code))
		return exit_code;
	return report(&instance, &answer, "Reloaded.");
}

const struct command command_restart = {
	.name = "restart",
	.summary = "replace the processes of an application",
	.run = run_restart,
};

const struct command command_restart_app = {
	.name = "restart-app",
	.summary = "replace the processes of an application",
	.run = run_restart,
};

const struct command command_maintenance = {
	.name = "maintenance",
	.summary = "answer 503 instead of an application, for a while",
	.run = run_maintenance,
};

const struct command command_detach = {
	.name = "detach-process",
	.summary = "take one process out of rotation and stop it",
	.run = run_detach,
};

const struct command command_backtrace = {
	.name = "backtrace",
	.summary = "show what a process is doing: requests, stacks of its threads",
	.run = run_backtrace,
};

const struct command command_reopen_logs = {
	.name = "reopen-logs",
	.summary = "open the log files again",
	.run = run_reopen_logs,
};

const struct command command_reload = {
	.name = "reload",
	.summary = "apply a changed configuration",
	.run = run_reload,
};
