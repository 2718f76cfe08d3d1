#include "spawner/tell.h"

#include "base/log.h"
#include "worker/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a balancer that hands over, or that may have to go on after all, has to know as well. */
static bool
concerns_both(uint32_t type)
{
	return type == MESSAGE_PROCESS || type == MESSAGE_PROCESS_GONE || type == MESSAGE_SPAWN_FAILED ||
	       type == MESSAGE_ACCESS_LOG || type == MESSAGE_SLOW_LOG || type == MESSAGE_LOG_FILE ||
	       type == MESSAGE_DRAIN || type == MESSAGE_STOP;
}

void
tell(struct spawner *spawner, const struct message *message, int fd)
{
	supervisor_send(&spawner->supervisor, message, &fd, fd >= 0 ? 1 : 0);
	if (concerns_both(message->type))
		supervisor_send(&spawner->before, message, &fd, fd >= 0 ? 1 : 0);
}

void
tell_simple(struct spawner *spawner, enum message_type type, uint64_t number, int fd)
{
	struct message message;

	message_init(&message, type);
	message.number = number;
	tell(spawner, &message, fd);
}

static void
process_message(struct message *message, const struct worker *worker)
{
	message_init(message, MESSAGE_PROCESS);
	message->app_id = worker->record.app_id;
	message->slot = worker->record.slot;
	message->serial = worker->record.serial;
	message->process = worker->record;
	message->process.retiring = worker_is_leaving(worker);
	message->process.detached = worker->state == WORKER_CHOSEN;
}

void
tell_process(struct spawner *spawner, const struct worker *worker)
{
	struct message message;

	process_message(&message, worker);
	tell(spawner, &message, worker->door_fd);
	explicit_bzero(&message, offsetof(struct message, text));
}

void
tell_spawning_before(struct spawner *spawner, uint32_t app_id)
{
	struct message message;

	message_init(&message, MESSAGE_SPAWNING);
	message.app_id = app_id;
	supervisor_send(&spawner->before, &message, NULL, 0);
}

void
tell_of_worker(struct spawner *spawner, enum message_type type, const struct worker *worker, const char *text)
{
	struct message message;

	message_init(&message, type);
	message.app_id = worker->app->id;
	message.slot = worker->record.slot;
	message.serial = worker->record.serial;
	message_set_text(&message, str_from(text));
	tell(spawner, &message, -1);
}

/* A sealed memfd with it; -1 and errno. */
static int
text_fd(struct str text)
{
	int fd = memfd_create("passenger-text", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (write(fd, text.data, text.len) != (ssize_t)text.len ||
	                fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int
tell_config_fd(const struct config *config)
{
	struct buf text = {0};

	config_write(config, &text);
	int fd = text_fd(buf_str(&text));
	buf_free(&text);
	return fd;
}

void
tell_long_text(struct spawner *spawner, uint32_t app_id, enum message_long_text which, struct str text)
{
	struct message message;
	int fd = text.len > 0 ? text_fd(text) : -1;

	message_init(&message, MESSAGE_LONG_TEXT);
	message.app_id = app_id;
	message.number = which;
	tell(spawner, &message, fd);
	if (fd >= 0)
		close(fd);
}

/* As the application's user: what he could not show himself is not shown.  -1 and errno. */
static int
open_as_user(struct spawner *spawner, const struct app_config *app, const char *file, int flags)
{
	char path[PATH_MAX];

	if (!app_config_path(workers_root(&spawner->workers, app), file, path, sizeof(path))) {
		errno = ENAMETOOLONG;
		return -1;
	}
	identity_see_as(app->uid, app->gid);
	int fd = open(path, flags | O_CLOEXEC);
	int saved = errno;
	identity_see_as(0, 0);
	errno = saved;
	return fd;
}

/* Its custom_error_page. */
static void
tell_error_page(struct spawner *spawner, const struct app_config *app)
{
	static char text[MESSAGE_LONG_TEXT_BYTES + 1];
	const char *file = app->custom_error_page;
	ssize_t len = 0;

	if (file != NULL) {
		int fd = open_as_user(spawner, app, file, O_RDONLY | O_NONBLOCK | O_NOCTTY);
		len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
		if (len < 0 || len > MESSAGE_LONG_TEXT_BYTES) {
			log_error("application %s: custom_error_page %s can not be used: %s; passenger's own page is "
			          "shown",
			          app->name, file, len < 0 ? strerror(errno) : "it is longer than 64 KiB");
			len = 0;
		}
		if (fd >= 0)
			close(fd);
	}
	tell_long_text(spawner, app->id, MESSAGE_ERROR_PAGE, str_make(text, (size_t)len));
}

/*
 * The balancer can not go there: an application's folders may be closed to other users, and its own eyes are to see
 * as little as can be.  It gets the one folder, and opens what lies beneath it as its own user, who is nobody: so only
 * what everybody on this machine may read is ever shown.  We look as the application's user, so that no link of his
 * leads where he could not go himself.
 */
static int
open_static_files_dir(struct spawner *spawner, const struct app_config *app)
{
	return app->static_files ? open_as_user(spawner, app, app->static_files_dir, O_PATH | O_DIRECTORY) : -1;
}

void
tell_maintenance(struct spawner *spawner, const struct app_config *app)
{
	tell_long_text(spawner, app->id, MESSAGE_MAINTENANCE, buf_str(&spawner->workers.maintenance[app->id]));
}

void
tell_restart(struct spawner *spawner, uint32_t app_id, bool at_once)
{
	const struct app_config *app = config_app_by_id(spawner->config, app_id);
	int folder_fd = app != NULL ? open_static_files_dir(spawner, app) : -1;
	struct message message;

	message_init(&message, MESSAGE_RESTART);
	message.app_id = app_id;
	message.number = spawner->workers.generations[app_id];
	message.slot = at_once;
	tell(spawner, &message, folder_fd);
	if (folder_fd >= 0)
		close(folder_fd);
	if (app != NULL) {
		tell_error_page(spawner, app);
		tell_maintenance(spawner, app);
	}
}

/* The report only where it may be shown. */
void
tell_failure(struct spawner *spawner, const struct app_config *app, const struct worker *cold,
             const struct failure *failure, uint64_t wait_ms)
{
	const struct buf *report = &spawner->workers.attempts[app->id].report;
	struct message message;

	tell_long_text(spawner, app->id, MESSAGE_FAILURE_REPORT, app->friendly_error_pages ? buf_str(report) : STR(""));
	attempts_message(&message, app->id, failure, wait_ms);
	if (cold != NULL) {
		message.slot = cold->record.slot;
		message.serial = cold->record.serial;
	}
	tell(spawner, &message, -1);
}

void
tell_mark(struct spawner *spawner)
{
	tell_simple(spawner, MESSAGE_MARK, ++spawner->control.mark, -1);
}

void
tell_everything(struct spawner *spawner)
{
	struct message message;

	message_init(&message, MESSAGE_HELLO);
	message.number = spawner->supervisor.column;
	message.slot = spawner->before.state != SUPERVISOR_IDLE;
	tell(spawner, &message, spawner->board_fd);
	off_t config_bytes = lseek(spawner->config_fd, 0, SEEK_END);
	tell_simple(spawner, MESSAGE_CONFIG, (uint64_t)config_bytes, spawner->config_fd);
	tell_simple(spawner, MESSAGE_ACCESS_LOG, 0, spawner->logs.access_fd);
	tell_simple(spawner, MESSAGE_SLOW_LOG, 0, spawner->logs.slow_fd);
	for (size_t i = 0; i < spawner->listeners->count; i++)
		tell_simple(spawner, MESSAGE_LISTENER, i, spawner->listeners->bound[i].fd);
	for (size_t state = 0; state < WORKER_STATE_N; state++) {
		list_each (&spawner->workers.states[state], node) {
			const struct worker *worker = container_of(node, struct worker, node);
			if (!worker->has_slot)
				continue;
			process_message(&message, worker);
			supervisor_send(&spawner->supervisor, &message, &worker->door_fd, 1);
			explicit_bzero(&message, offsetof(struct message, text));
		}
	}
	for (size_t state = 0; state < WORKER_STATE_N; state++) {
		list_each (&spawner->workers.states[state], node) {
			const struct worker *worker = container_of(node, struct worker, node);
			/* a preloader is no process that is asked for: it would be waited for until the end of days */
			bool starting = state == WORKER_STARTING || (state == WORKER_FAILED && worker->failure != NULL);
			if (starting && worker->role == NULL && !worker->has_slot)
				tell_of_worker(spawner, MESSAGE_SPAWNING, worker, "");
		}
	}
	for (size_t i = 0; i < spawner->config->app_count; i++)
		tell_restart(spawner, spawner->config->apps[i]->id, false);
	tell_simple(spawner, MESSAGE_BEGIN, 0, -1);
	if (spawner->control.mark > 0)
		tell_simple(spawner, MESSAGE_MARK, spawner->control.mark, -1);
}
