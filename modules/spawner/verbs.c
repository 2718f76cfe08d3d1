#include "spawner/verbs.h"

#include "base/log.h"
#include "spawner/ending.h"
#include "spawner/reload.h"
#include "spawner/restart.h"
#include "spawner/tell.h"
#include "spawner/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool
verbs_reopen_logs(struct spawner *spawner, char *error, size_t error_size)
{
	char sentences[3][LOG_FILES_ERROR_BYTES] = {"", "", ""};
	const struct config *config = spawner->config;
	bool main_done = log_files_main(config, sentences[0]);
	bool done = log_files_open(&spawner->logs, config, sentences[1]);

	done = log_files_open_sinks(spawner->workers.sinks, config, sentences[2]) && done && main_done;
	if (main_done && config->log_file != NULL)
		tell_simple(spawner, MESSAGE_LOG_FILE, 0, STDERR_FILENO);
	tell_simple(spawner, MESSAGE_ACCESS_LOG, 0, spawner->logs.access_fd);
	tell_simple(spawner, MESSAGE_SLOW_LOG, 0, spawner->logs.slow_fd);
	if (done) {
		log_notice("logs are opened anew");
		return true;
	}
	error[0] = '\0';
	for (size_t i = 0, len = 0; i < array_count(sentences); i++, len = strlen(error))
		if (sentences[i][0] != '\0')
			str_format(error + len, error_size - len, "%s%s", len > 0 ? "; " : "", sentences[i]);
	log_error("%s; the old one is written on", error);
	return false;
}

static enum control_right
control_right(struct control_server *server, uint32_t uid)
{
	const struct spawner *spawner = server->owner;

	if (uid == 0 || uid == geteuid())
		return CONTROL_RIGHT_ALL;
	for (size_t i = 0; i < spawner->config->app_count; i++)
		if (spawner->config->apps[i]->uid == uid)
			return CONTROL_RIGHT_OWN_STATUS;
	return CONTROL_RIGHT_NONE;
}

static void answer(struct control_answer *answer, enum control_code code, const char *format, ...) printf_like(3, 4);

static void
answer(struct control_answer *out, enum control_code code, const char *format, ...)
{
	va_list arguments;

	out->code = code;
	va_start(arguments, format);
	vsnprintf(out->text, sizeof(out->text), format, arguments);
	va_end(arguments);
}

static void
do_status(struct spawner *spawner, const struct control_request *request, uint32_t uid, enum control_right right,
          struct control_answer *out, int *fd)
{
	const struct snapshot_view view = {
		.everything = right == CONTROL_RIGHT_ALL,
		.uid = uid,
		.verbose = request->verbose != 0,
	};

	*fd = snapshot_take(&spawner->snapshot, &view, &out->number);
	if (*fd < 0)
		answer(out, CONTROL_FAILED, "the status could not be taken: %s", strerror(errno));
	else
		answer(out, CONTROL_OK, "%s", "");
}

/* A name, or the beginning of a root; exactly: an application's or a group's name. */
static bool
app_is_meant(const struct app_config *app, const char *name, bool exactly)
{
	if (exactly)
		return strcmp(app->name, name) == 0 || strcmp(app->app_group_name, name) == 0;
	if (name[0] != '/')
		return strcmp(app->name, name) == 0;
	size_t len = strlen(name);
	while (len > 1 && name[len - 1] == '/')
		len--;
	return strncmp(app->root, name, len) == 0 && (app->root[len] == '\0' || app->root[len] == '/' || len == 1);
}

static bool
balancer_listens(const struct spawner *spawner, struct control_answer *out)
{
	if (spawner->supervisor.state == SUPERVISOR_SERVING)
		return true;
	answer(out, CONTROL_FAILED,
	       spawner->state >= SPAWNER_DRAINING ? "passenger is stopping"
	                                          : "the balancer is being started; try again in a moment");
	return false;
}

/* False: it has failed, and that was said. */
static bool
look_at_restart(const struct spawner *spawner, const struct app_config *app, struct control_answer *out)
{
	const struct failure *failure = spawner->workers.attempts[app->id].last;
	enum group_roll roll = workers_roll(&spawner->workers, app->id);

	if (roll == ROLL_RUNNING) {
		const struct roll_progress progress = workers_roll_progress(&spawner->workers, app->id);
		out->number++;
		str_format(out->text, sizeof(out->text), "application %s: %u of %u processes replaced", app->name,
		           progress.replaced, progress.of);
	}
	if (roll != ROLL_FAILED)
		return true;
	bool serves = workers_of_app(&spawner->workers, app->id, WORKER_RUNNING) > 0;
	answer(out, CONTROL_FAILED, "application %s: the restart was given up, %s (error %s): %s", app->name,
	       serves ? "older processes serve on" : "and there is no older process",
	       failure != NULL ? failure->id : "in the log", failure != NULL ? failure->summary : "");
	return false;
}

static void
do_restart(struct spawner *spawner, const char *name, uint64_t how, struct control_answer *out)
{
	size_t count = 0;

	for (size_t i = 0; i < spawner->config->app_count; i++) {
		const struct app_config *app = spawner->config->apps[i];
		if (!app->enabled || !app_is_meant(app, name, (how & CONTROL_RESTART_NAME) != 0))
			continue;
		count++;
		if ((how & CONTROL_RESTART_LOOK) == 0)
			restart_begin(spawner, app,
			              (how & CONTROL_RESTART_AT_ONCE) != 0 ? RESTART_AT_ONCE : RESTART_ROLLING,
			              "restart");
		else if (!look_at_restart(spawner, app, out))
			return;
	}
	if (count == 0) {
		answer(out, CONTROL_NOT_FOUND, "there is no application %s", name);
		return;
	}
	out->code = CONTROL_OK;
	if ((how & CONTROL_RESTART_LOOK) != 0)
		return;
	out->number = count;
	answer(out, CONTROL_OK, "%zu application%s", count, count == 1 ? "" : "s");
}

/* Sealed, so that it does not change, and is no file on a disk that might not answer. */
static bool
read_page(int fd, struct buf *page)
{
	static const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	struct stat stat;

	if (fd < 0) {
		buf_append_char(page, '\n');
		return true;
	}
	if ((fcntl(fd, F_GET_SEALS) & seals) != seals || fstat(fd, &stat) != 0 || stat.st_size <= 0 ||
	    stat.st_size > CONTROL_PAGE_BYTES)
		return false;
	buf_reserve(page, (size_t)stat.st_size);
	ssize_t len = pread(fd, page->data, (size_t)stat.st_size, 0);
	page->len = len > 0 ? (size_t)len : 0;
	return page->len > 0;
}

static void
do_maintenance(struct spawner *spawner, const struct control_request *request, int fd, struct control_answer *out)
{
	bool on = (request->number & CONTROL_MAINTENANCE_ON) != 0;
	struct buf page = {0};
	size_t count = 0;

	if (on && !read_page(fd, &page)) {
		buf_free(&page);
		answer(out, CONTROL_BAD, "the page can not be taken: it has 1 to %d bytes", CONTROL_PAGE_BYTES);
		return;
	}
	for (size_t i = 0; i < spawner->config->app_count; i++) {
		const struct app_config *app = spawner->config->apps[i];
		struct buf *now = &spawner->workers.maintenance[app->id];
		if (!app->enabled || !app_is_meant(app, request->name, (request->number & CONTROL_RESTART_NAME) != 0))
			continue;
		count++;
		buf_free(now);
		buf_append_str(now, buf_str(&page));
		tell_maintenance(spawner, app);
		log_notice("application %s: maintenance %s", app->name, on ? "on: requests are answered 503" : "off");
	}
	buf_free(&page);
	if (count == 0)
		answer(out, CONTROL_NOT_FOUND, "there is no application %s", request->name);
	else
		answer(out, CONTROL_OK, "%zu application%s: maintenance %s", count, count == 1 ? "" : "s",
		       on ? "on" : "off");
}

static void
do_detach(struct spawner *spawner, uint64_t pid, struct control_answer *out)
{
	struct worker *worker = pid <= INT32_MAX ? workers_by_pid(&spawner->workers, (int32_t)pid) : NULL;

	if (worker == NULL) {
		answer(out, CONTROL_NOT_FOUND, "there is no application process %llu", (unsigned long long)pid);
	} else if (worker_is_leaving(worker)) {
		answer(out, CONTROL_OK, "process %d is stopping already", worker->record.pid);
	} else if (balancer_listens(spawner, out)) {
		tell_of_worker(spawner, MESSAGE_DETACH, worker, "");
		log_notice("application %s: process %d is detached", worker->app->name, worker->record.pid);
		answer(out, CONTROL_OK, "%s", "");
	}
}

void
verbs_evidence(struct evidence_store *store, uint64_t who, int fd, const char *text)
{
	struct spawner *spawner = container_of(store, struct spawner, evidence);

	control_server_answer(&spawner->control, who, fd >= 0 ? CONTROL_OK : CONTROL_FAILED, text, fd);
}

/* False: the answer comes later. */
static bool
do_backtrace(struct spawner *spawner, uint64_t pid, struct control_answer *out)
{
	struct worker *worker = pid <= INT32_MAX ? workers_by_pid(&spawner->workers, (int32_t)pid) : NULL;

	if (worker == NULL)
		answer(out, CONTROL_NOT_FOUND, "there is no application process %llu", (unsigned long long)pid);
	else if (evidence_ask(&spawner->evidence, worker, spawner->control.serving))
		return false;
	else
		answer(out, CONTROL_FAILED, "process %d is being looked at already; try again in a moment",
		       worker->record.pid);
	return true;
}

/* What is done is done when the balancer has taken it up: who asks next finds it so. */
static enum control_reply
when_taken_up(struct spawner *spawner, const struct control_answer *out)
{
	if (out->code != CONTROL_OK || spawner->state >= SPAWNER_DRAINING)
		return CONTROL_REPLY_NOW;
	tell_mark(spawner);
	return CONTROL_REPLY_MARKED;
}

static enum control_reply
control_request(struct control_server *server, const struct control_request *request, uint32_t uid,
                enum control_right right, struct control_answer *out, int *fd)
{
	struct spawner *spawner = server->owner;
	char who[64];

	switch (request->verb) {
	case CONTROL_STATUS:
		do_status(spawner, request, uid, right, out, fd);
		return CONTROL_REPLY_NOW;
	case CONTROL_STOP:
		str_format(who, sizeof(who), "`passenger stop` by uid %u", uid);
		ending_stop(spawner, request->number != 0, who);
		return CONTROL_REPLY_LATER;
	case CONTROL_REOPEN_LOGS:
		out->code = verbs_reopen_logs(spawner, out->text, sizeof(out->text)) ? CONTROL_OK : CONTROL_FAILED;
		return when_taken_up(spawner, out);
	case CONTROL_RELOAD:
		out->code = reload_begin(spawner, out->text, sizeof(out->text)) ? CONTROL_OK : CONTROL_FAILED;
		return when_taken_up(spawner, out);
	case CONTROL_UPGRADE:
		if (upgrade_begin(spawner, request->name, request->number != 0, server->serving, out->text,
		                  sizeof(out->text)))
			return CONTROL_REPLY_LATER;
		out->code = CONTROL_FAILED;
		return CONTROL_REPLY_NOW;
	case CONTROL_RESTART:
		do_restart(spawner, request->name, request->number, out);
		return (request->number & CONTROL_RESTART_LOOK) != 0 ? CONTROL_REPLY_NOW : when_taken_up(spawner, out);
	case CONTROL_MAINTENANCE:
		do_maintenance(spawner, request, server->passed, out);
		return when_taken_up(spawner, out);
	case CONTROL_DETACH:
		do_detach(spawner, request->number, out);
		return when_taken_up(spawner, out);
	case CONTROL_BACKTRACE:
		return do_backtrace(spawner, request->number, out) ? CONTROL_REPLY_NOW : CONTROL_REPLY_LATER;
	default:
		answer(out, CONTROL_BAD, "this passenger (%s) does not know that request", PASSENGER_VERSION);
		return CONTROL_REPLY_NOW;
	}
}

const struct control_events verbs_control_events = {
	.right = control_right,
	.request = control_request,
};
