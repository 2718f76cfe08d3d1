#include "spawner/upgrade.h"

#include "apps/apps.h"
#include "base/log.h"
#include "handover/snapshot.h"
#include "spawner/carry.h"
#include "spawner/tell.h"
#include "worker/ladder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKED "passenger-can-take-over "

enum { GOING_AGAIN_MS = 10, DRAIN_MARGIN_MS = 2000 };

static void check_due(struct timer *timer);
static void proving_due(struct timer *timer);
static void check_ended(struct child *child, const struct child_end *end);

/* The path by which this program is found again when its file has been replaced. */
static void
find_running(char out[UPGRADE_PATH_BYTES])
{
	const char *path = (const char *)getauxval(AT_EXECFN); /* NOLINT: it is a pointer */
	char link[UPGRADE_PATH_BYTES] = "";

	if (path != NULL && path[0] == '/' && !str_starts(str_from(path), STR("/proc/"))) {
		str_cut_z(out, UPGRADE_PATH_BYTES, str_from(path));
		return;
	}
	ssize_t len = readlink("/proc/self/exe", link, sizeof(link) - 1);
	struct str text = str_make(link, len > 0 ? (size_t)len : 0);
	if (str_ends(text, STR(" (deleted)")))
		text.len -= 10;
	str_cut_z(out, UPGRADE_PATH_BYTES, text);
}

void
upgrade_init(struct upgrade *upgrade)
{
	upgrade->binary_fd = upgrade->loads[0].state_fd = upgrade->loads[1].state_fd = -1;
	upgrade->child.pidfd = -1;
	upgrade->child.ended = check_ended;
	upgrade->timer.due = check_due;
	upgrade->proving.due = proving_due;
	find_running(upgrade->running);
}

/* --- the end of one ------------------------------------------------------------------------ */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
end_check(struct spawner *spawner)
{
	struct upgrade *upgrade = &spawner->upgrade;
	int fd = upgrade->output.fd;

	timer_cancel(&spawner->loop, &upgrade->timer);
	if (upgrade->output.ready != NULL) {
		watch_remove(&spawner->loop, &upgrade->output);
		close(fd);
	}
}

static void finish(struct spawner *spawner, enum snapshot_upgrade outcome, const char *format, ...) printf_like(3, 4);

/* Said to the log, to who waits, and to status. */
static void
finish(struct spawner *spawner, enum snapshot_upgrade outcome, const char *format, ...)
{
	struct upgrade *upgrade = &spawner->upgrade;
	struct snapshot_source *snapshot = &spawner->snapshot;
	char text[UPGRADE_TEXT_BYTES + UPGRADE_PATH_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	end_check(spawner);
	if (outcome != SNAPSHOT_UPGRADE_NONE) {
		snapshot->upgrade = outcome;
		snapshot->upgrade_unix_us = clock_unix_us();
		str_cut_z(snapshot->upgrade_text, sizeof(snapshot->upgrade_text), str_from(text));
	}
	bool good = outcome == SNAPSHOT_UPGRADE_NONE || outcome == SNAPSHOT_UPGRADE_DONE;
	if (good)
		log_notice("upgrade: %s", text);
	else
		log_error("upgrade: %s", text);
	control_server_answer(&spawner->control, upgrade->who, good ? CONTROL_OK : CONTROL_FAILED, text, -1);
	upgrade->who = 0;
	close_fd(&upgrade->binary_fd);
	upgrade->state = UPGRADE_NONE;
}

static void
refuse(struct spawner *spawner, const char *why)
{
	finish(spawner, SNAPSHOT_UPGRADE_REFUSED, "%s was not taken, and nothing was changed: %s",
	       spawner->upgrade.wanted, why);
}

void
upgrade_cancel(struct spawner *spawner, const char *why)
{
	struct upgrade *upgrade = &spawner->upgrade;

	image_release();
	if (upgrade->state == UPGRADE_CHECKING)
		child_signal_group(&upgrade->child, SIGKILL);
	/* it serves as ever; what it says has waited */
	if (upgrade->state == UPGRADE_TAKING_OVER)
		supervisor_listen(&spawner->before, true);
	if (upgrade->state != UPGRADE_NONE)
		refuse(spawner, why);
}

/* --- the check ----------------------------------------------------------------------------- */

static void
check_reads(struct upgrade *upgrade)
{
	size_t room = sizeof(upgrade->said) - 1 - upgrade->said_len;
	char rest[256];

	for (;;) {
		char *to = room > 0 ? upgrade->said + upgrade->said_len : rest;
		ssize_t len = read(upgrade->output.fd, to, room > 0 ? room : sizeof(rest));
		if (len <= 0)
			return;
		if (room > 0) {
			upgrade->said_len += (size_t)len;
			room -= (size_t)len;
		}
	}
}

static void
check_output(struct watch *watch, uint32_t events)
{
	struct upgrade *upgrade = container_of(watch, struct upgrade, output);
	struct spawner *spawner = container_of(upgrade, struct spawner, upgrade);
	int fd = watch->fd;

	check_reads(upgrade);
	if (events & EPOLLHUP) {
		watch_remove(&spawner->loop, watch);
		close(fd);
	}
}

/* Its first line, fit for a log. */
static const char *
check_said(const struct upgrade *upgrade, char out[UPGRADE_TEXT_BYTES])
{
	struct str rest = str_make(upgrade->said, upgrade->said_len), line = {0};

	(void)!str_split(&rest, '\n', &line);
	log_escape(out, UPGRADE_TEXT_BYTES, line);
	return out;
}

static void
check_ended(struct child *child, const struct child_end *end)
{
	struct upgrade *upgrade = container_of(child, struct upgrade, child);
	struct spawner *spawner = container_of(upgrade, struct spawner, upgrade);
	char said[UPGRADE_TEXT_BYTES], how[CHILD_END_BYTES], why[UPGRADE_TEXT_BYTES * 2];

	if (upgrade->state != UPGRADE_CHECKING)
		return;
	if (upgrade->output.ready != NULL)
		check_reads(upgrade);
	end_check(spawner);
	check_said(upgrade, said);
	child_end_text(end, how);
	if (end->by_signal || end->number != 0 || !str_starts(str_from(said), STR(CHECKED))) {
		str_format(why, sizeof(why), "%s%s%s",
		           said[0] != '\0' ? said : "it is no passenger that could take over",
		           said[0] != '\0' ? "" : ": it ", said[0] != '\0' ? "" : how);
		refuse(spawner, why);
	} else if (upgrade->only_checks) {
		finish(spawner, SNAPSHOT_UPGRADE_NONE, "%s can take over: passenger %s", upgrade->wanted,
		       said + strlen(CHECKED));
	} else {
		log_notice("upgrade: passenger %s takes over from %s: %s", said + strlen(CHECKED), PASSENGER_VERSION,
		           upgrade->wanted);
		upgrade->state = UPGRADE_GOING;
		upgrade->gives_up_ms = spawner->loop.now_ms + UPGRADE_QUIET_MS;
	}
}

static void
check_due(struct timer *timer)
{
	struct upgrade *upgrade = container_of(timer, struct upgrade, timer);
	struct spawner *spawner = container_of(upgrade, struct spawner, upgrade);

	switch (upgrade->state) {
	case UPGRADE_CHECKING:
		child_signal_group(&upgrade->child, SIGKILL);
		refuse(spawner, "its check did not end in time");
		break;
	case UPGRADE_NONE:
	case UPGRADE_GOING: /* it is tried at the end of this turn */
	case UPGRADE_TAKING_OVER:
		break;
	}
}

static void
proving_due(struct timer *timer)
{
	(void)timer;
	image_release();
}

static bool
start_check(struct spawner *spawner)
{
	static const char *const argv[] = {"passenger", "upgrade-check", NULL};
	struct upgrade *upgrade = &spawner->upgrade;
	const char *const *variables = (const char *const *)(uintptr_t)environ;
	char program[32];
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct child_fd fds[] = {
		{null_fd, STDIN_FILENO},
		{ends[1], STDOUT_FILENO},
		{ends[1], STDERR_FILENO},
		{upgrade->loads[upgrade->newest].state_fd, UPGRADE_STATE_FD},
	};
	str_format(program, sizeof(program), "/proc/self/fd/%d", upgrade->binary_fd);
	bool started = null_fd >= 0 && child_start_program(&spawner->children, &upgrade->child, program, argv,
	                                                   variables, fds, array_count(fds));
	int saved = errno;
	close_fd(&null_fd);
	close(ends[1]);
	if (!started || !watch_add(&spawner->loop, &upgrade->output, ends[0], EPOLLIN, check_output)) {
		close(ends[0]);
		errno = saved;
	}
	return started;
}

/* --- the beginning --------------------------------------------------------------------------- */

static bool
save(struct spawner *spawner)
{
	struct upgrade *upgrade = &spawner->upgrade;
	unsigned next = 1 - upgrade->newest;

	if (!carry_save(spawner, &upgrade->writers[next], &upgrade->loads[next]))
		return false;
	upgrade->newest = next;
	return true;
}

/* Why not now; NULL: it can begin. */
static const char *
hindrance(const struct spawner *spawner)
{
	if (spawner->state != SPAWNER_SERVING)
		return spawner->state == SPAWNER_STARTING ? "passenger is starting" : "passenger is stopping";
	if (spawner->upgrade.state != UPGRADE_NONE)
		return "another upgrade is under way";
	if (spawner->before.state != SUPERVISOR_IDLE)
		return "the balancer of before the last upgrade still finishes its requests; try again when it has "
		       "gone "
		       "(after drain_timeout at the latest)";
	if (spawner->supervisor.state != SUPERVISOR_SERVING)
		return "the balancer is being started; try again in a moment";
	return NULL;
}

static bool
open_binary(struct upgrade *upgrade)
{
	struct stat stat;

	upgrade->binary_fd = open(upgrade->wanted, O_PATH | O_CLOEXEC);
	if (upgrade->binary_fd < 0)
		return false;
	if (fstat(upgrade->binary_fd, &stat) == 0 && S_ISREG(stat.st_mode))
		return true;
	close_fd(&upgrade->binary_fd);
	errno = EACCES;
	return false;
}

bool
upgrade_begin(struct spawner *spawner, const char *path, bool only_check, uint64_t who, char *text, size_t text_size)
{
	struct upgrade *upgrade = &spawner->upgrade;
	const char *why = hindrance(spawner);
	char reason[128];

	if (why != NULL) {
		str_format(text, text_size, "nothing was changed: %s", why);
		return false;
	}
	str_cut_z(upgrade->wanted, sizeof(upgrade->wanted), str_from(path[0] != '\0' ? path : upgrade->running));
	upgrade->only_checks = only_check;
	upgrade->said_len = 0;
	if (!open_binary(upgrade) || !save(spawner) || !start_check(spawner)) {
		str_format(reason, sizeof(reason), "it can not be executed: %s", strerror(errno));
		refuse(spawner, reason);
		str_cut_z(text, text_size, str_from(spawner->snapshot.upgrade_text));
		return false;
	}
	upgrade->state = UPGRADE_CHECKING;
	upgrade->who = who;
	timer_set(&spawner->loop, &upgrade->timer, UPGRADE_CHECK_MS);
	return true;
}

/* --- the way over ----------------------------------------------------------------------------- */

/* What does not go over, and has to end before; NULL: nothing. */
static const char *
in_the_way(const struct spawner *spawner)
{
	if (spawner->supervisor.state != SUPERVISOR_SERVING)
		return "a balancer is just being started";
	if (spawner->supervisor.channel.queue.count > 0)
		return "the balancer does not take what it is told";
	if (!hooks_are_idle(&spawner->hooks))
		return "a hook still runs; try again when it has ended";
	return workers_give_evidence(&spawner->workers) ? "evidence of a process is still being taken" : NULL;
}

static void
go(struct spawner *spawner)
{
	struct upgrade *upgrade = &spawner->upgrade;
	char why[UPGRADE_TEXT_BYTES];
	const char *obstacle = in_the_way(spawner);

	if (obstacle != NULL && spawner->loop.now_ms < upgrade->gives_up_ms) {
		timer_set(&spawner->loop, &upgrade->timer, GOING_AGAIN_MS);
		return;
	}
	if (obstacle != NULL) {
		refuse(spawner, obstacle);
		return;
	}
	int back_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	bool gone = back_fd >= 0 && save(spawner) &&
	            image_exec(upgrade->binary_fd, back_fd, &upgrade->loads[upgrade->newest]);
	(void)gone; /* it returns only when it failed */
	str_format(why, sizeof(why), "it can not be executed: %s", strerror(errno));
	close_fd(&back_fd);
	refuse(spawner, why);
}

void
upgrade_turn_ends(struct spawner *spawner)
{
	struct upgrade *upgrade = &spawner->upgrade;

	if (upgrade->state == UPGRADE_GOING && spawner->state == SPAWNER_SERVING)
		go(spawner);
	if (!image_is_guarded())
		return;
	if (spawner->state != SPAWNER_SERVING)
		image_release();
	else if (save(spawner))
		image_carry(&upgrade->loads[upgrade->newest]);
}

/* --- the arrival ------------------------------------------------------------------------------- */

/* This image was left, and is here again. */
static void
come_back(struct spawner *spawner, int end)
{
	struct upgrade *upgrade = &spawner->upgrade;
	char why[CHILD_END_BYTES] = "it gave up; the log tells why", left[UPGRADE_PATH_BYTES];

	/* it calls itself `running` as soon as it says anything at all */
	memcpy(left, upgrade->running, sizeof(left));
	find_running(upgrade->running);
	if (strcmp(left, upgrade->running) == 0)
		memcpy(left, upgrade->wanted, sizeof(left));
	if (end == SIGALRM)
		str_format(why, sizeof(why), "it was not ready within %d s", IMAGE_READY_WITHIN_S);
	else if (end != IMAGE_GAVE_UP)
		str_format(why, sizeof(why), "it ended by signal %d (%s)", end, strsignal(end));
	for (size_t i = 0; i < spawner->config->app_count; i++)
		tell_restart(spawner, spawner->config->apps[i]->id, false);
	tell_mark(spawner);
	finish(spawner, SNAPSHOT_UPGRADE_BACK, "%s was started and left again, passenger %s goes on: %s", left,
	       PASSENGER_VERSION, why);
}

bool
upgrade_arrive(struct spawner *spawner, const struct image_arrival *arrival)
{
	struct upgrade *upgrade = &spawner->upgrade;

	upgrade->running[sizeof(upgrade->running) - 1] = upgrade->wanted[sizeof(upgrade->wanted) - 1] = '\0';
	if (arrival->back_fd < 0) {
		if (spawner->supervisor.state == SUPERVISOR_IDLE && !supervisor_start(&spawner->supervisor))
			return false;
		come_back(spawner, arrival->end);
		return true;
	}
	memcpy(upgrade->running, upgrade->wanted, sizeof(upgrade->running));
	upgrade->state = UPGRADE_TAKING_OVER;
	spawner->supervisor.column = spawner->before.state != SUPERVISOR_IDLE ? 1 - spawner->before.column : 0;
	return supervisor_start(&spawner->supervisor);
}

static uint64_t
longest_drain_ms(const struct config *config)
{
	uint64_t longest_ms = 0;

	for (size_t i = 0; i < config->app_count; i++)
		if (config->apps[i]->drain_timeout_ms > longest_ms)
			longest_ms = config->apps[i]->drain_timeout_ms;
	return longest_ms;
}

void
upgrade_serving(struct spawner *spawner)
{
	struct upgrade *upgrade = &spawner->upgrade;
	struct message message;

	if (upgrade->state != UPGRADE_TAKING_OVER)
		return;
	image_is_ready();
	message_init(&message, MESSAGE_HAND_OVER);
	message.number = longest_drain_ms(spawner->config);
	supervisor_send(&spawner->before, &message, NULL, 0);
	supervisor_listen(&spawner->before, true);
	supervisor_end(&spawner->before, message.number + DRAIN_MARGIN_MS);
	finish(spawner, SNAPSHOT_UPGRADE_DONE, "passenger %s has taken over: %s", PASSENGER_VERSION, upgrade->running);
	timer_set(&spawner->loop, &upgrade->proving, UPGRADE_PROVING_MS);
}

/* --- processes that nobody uses any more -------------------------------------------------------- */

void
upgrade_retire(struct spawner *spawner, struct worker *worker, unsigned who, uint64_t within_ms)
{
	uint64_t drain_ms = worker->app->drain_timeout_ms;
	struct message message;

	worker->unused_by |= (uint8_t)who;
	if (who == UPGRADE_UNUSED_SERVING && !worker_is_leaving(worker))
		worker->drain_ms = within_ms < drain_ms ? within_ms : drain_ms;
	if (spawner->before.state == SUPERVISOR_IDLE ||
	    worker->unused_by == (UPGRADE_UNUSED_SERVING | UPGRADE_UNUSED_BEFORE)) {
		ladder_retire(worker, worker->drain_ms, WORKER_TERM_MS);
	} else if (who == UPGRADE_UNUSED_BEFORE) {
		tell_of_worker(spawner, MESSAGE_DETACH, worker, "");
	} else {
		message_init(&message, MESSAGE_DETACH);
		message.slot = worker->record.slot;
		message.serial = worker->record.serial;
		supervisor_send(&spawner->before, &message, NULL, 0);
	}
}

void
upgrade_retire_unused(struct spawner *spawner)
{
	for (size_t state = 0; state < WORKER_STATE_N; state++) {
		list_each (&spawner->workers.states[state], node) {
			struct worker *worker = container_of(node, struct worker, node);
			if ((worker->unused_by & UPGRADE_UNUSED_SERVING) && !worker_is_leaving(worker))
				ladder_retire(worker, worker->drain_ms, WORKER_TERM_MS);
			worker->unused_by = 0;
		}
	}
}

/* --- `passenger upgrade-check` --------------------------------------------------------------------- */

int
upgrade_check_command(int argc, char **argv)
{
	static struct carry carry; /* large */
	struct config_error error;

	(void)argc;
	(void)argv;
	log_init("upgrade", LOG_CRITICAL);
	if (!carry_read(&carry, UPGRADE_STATE_FD, false, app_types)) {
		printf("%s\n", carry.reader.error);
		return 1;
	}
	carry.source.previous = carry.generations[0];
	if (config_load(&carry.source, &error) == NULL) {
		printf("passenger %s finds the configuration wrong: %s\n", PASSENGER_VERSION, error.text);
		return 1;
	}
	printf(CHECKED "%s\n", PASSENGER_VERSION);
	return 0;
}
