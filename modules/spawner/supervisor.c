#include "spawner/supervisor.h"

#include "base/log.h"
#include "system/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX = 8, LATE_MS = 2000 };

/* The one place that writes the state. */
static void
supervisor_move(struct supervisor *supervisor, enum supervisor_state state)
{
	static const bool legal[SUPERVISOR_STATE_N][SUPERVISOR_STATE_N] = {
		[SUPERVISOR_IDLE] = {[SUPERVISOR_STARTING] = true, [SUPERVISOR_WAITING] = true},
		[SUPERVISOR_STARTING] =
			{[SUPERVISOR_SERVING] = true, [SUPERVISOR_WAITING] = true, [SUPERVISOR_ENDING] = true},
		[SUPERVISOR_SERVING] = {[SUPERVISOR_WAITING] = true, [SUPERVISOR_ENDING] = true},
		[SUPERVISOR_WAITING] = {[SUPERVISOR_STARTING] = true, [SUPERVISOR_IDLE] = true},
		[SUPERVISOR_ENDING] = {[SUPERVISOR_IDLE] = true},
	};

	assert(legal[supervisor->state][state]);
	supervisor->state = state;
}

uint64_t
supervisor_beat_age_ms(const struct supervisor *supervisor)
{
	uint64_t now_ms = clock_monotonic_ms();
	uint64_t beat_ms = atomic_load(&supervisor->board->beat_ms);

	/* a time to come is no beat */
	return beat_ms > now_ms ? 0 : now_ms - beat_ms;
}

/* --- the end of one ----------------------------------------------------------------- */

/* How long the next one waits.  One that served and was killed from outside is
 * not to blame: the next one is no worse off than it was. */
static uint64_t
backoff_ms(struct supervisor *supervisor, const struct child_end *end)
{
	bool killed = supervisor->state == SUPERVISOR_SERVING && end->by_signal && end->number == SIGKILL;
	uint64_t lived_ms = supervisor->loop->now_ms - supervisor->started_ms;

	if (lived_ms >= SUPERVISOR_STEADY_MS)
		supervisor->early_deaths = 0;
	else if (lived_ms < SUPERVISOR_EARLY_MS && !killed)
		supervisor->early_deaths++;
	if (supervisor->early_deaths <= 1)
		return 0;
	uint32_t doublings = supervisor->early_deaths - 2 < 8 ? supervisor->early_deaths - 2 : 8;
	uint64_t wait_ms = (uint64_t)SUPERVISOR_BACKOFF_MIN_MS << doublings;
	return wait_ms < SUPERVISOR_BACKOFF_MAX_MS ? wait_ms : SUPERVISOR_BACKOFF_MAX_MS;
}

static void
start_next(struct supervisor *supervisor)
{
	if (supervisor_start(supervisor))
		return;
	log_error("a balancer can not be started: %s; trying again in 1 s", strerror(errno));
	timer_set(supervisor->loop, &supervisor->check, 1000);
}

static void
balancer_ended(struct child *child, const struct child_end *end)
{
	struct supervisor *supervisor = container_of(child, struct supervisor, child);
	char how[CHILD_END_BYTES];

	child_end_text(end, how);
	channel_read_rest(&supervisor->channel);
	channel_close(&supervisor->channel);
	timer_cancel(supervisor->loop, &supervisor->check);
	uint32_t pid = (uint32_t)supervisor->pid;
	atomic_compare_exchange_strong(&supervisor->board->balancer_pid, &pid, 0);
	if (supervisor->state == SUPERVISOR_ENDING) {
		if (end->by_signal || end->number != 0)
			log_warn("the balancer ended: %s", how);
		supervisor_move(supervisor, SUPERVISOR_IDLE);
		supervisor->events->ended(supervisor);
		return;
	}
	uint64_t wait_ms = backoff_ms(supervisor, end);
	supervisor_move(supervisor, SUPERVISOR_WAITING);
	if (wait_ms == 0) {
		log_error("the balancer ended: %s; starting another one", how);
		start_next(supervisor);
	} else {
		log_error("the balancer ended: %s; it keeps ending, the next one starts in %llu ms", how,
		          (unsigned long long)wait_ms);
		timer_set(supervisor->loop, &supervisor->check, wait_ms);
	}
}

/* --- its life ----------------------------------------------------------------------- */

static void
check_beat(struct supervisor *supervisor)
{
	uint64_t now_ms = supervisor->loop->now_ms;
	uint64_t age_ms = supervisor_beat_age_ms(supervisor);
	char why[80];

	/* if we did not run ourselves (a frozen container), neither did it: it gets its time again */
	if (now_ms - supervisor->checked_ms > SUPERVISOR_CHECK_MS + LATE_MS)
		supervisor->forgiven_until_ms = now_ms + SUPERVISOR_BEAT_MAX_MS;
	supervisor->checked_ms = now_ms;
	if (age_ms >= SUPERVISOR_BEAT_MAX_MS && now_ms >= supervisor->forgiven_until_ms) {
		str_format(why, sizeof(why), "gave no sign of life for %llu ms", (unsigned long long)age_ms);
		supervisor->events->hung(supervisor, why);
		child_signal_group(&supervisor->child, SIGKILL);
	}
	timer_set(supervisor->loop, &supervisor->check, SUPERVISOR_CHECK_MS);
}

static void
check_due(struct timer *timer)
{
	struct supervisor *supervisor = container_of(timer, struct supervisor, check);

	switch (supervisor->state) {
	case SUPERVISOR_STARTING:
	case SUPERVISOR_SERVING:
		check_beat(supervisor);
		break;
	case SUPERVISOR_WAITING:
		start_next(supervisor);
		break;
	case SUPERVISOR_ENDING:
		log_warn("the balancer did not end in time; killing it");
		child_signal_group(&supervisor->child, SIGKILL);
		break;
	case SUPERVISOR_IDLE:
	case SUPERVISOR_STATE_N:
		break;
	}
}

static void
channel_received(struct channel *channel, struct message *message, int *fds, size_t fd_count)
{
	struct supervisor *supervisor = channel->owner;

	if (message->type != MESSAGE_READY || supervisor->state == SUPERVISOR_SERVING) {
		supervisor->events->message(supervisor, message, fds, fd_count);
		return;
	}
	if (supervisor->state != SUPERVISOR_STARTING)
		return; /* it was told to end before */
	supervisor_move(supervisor, SUPERVISOR_SERVING);
	supervisor->events->serving(supervisor);
	/* not before: what it had accepted would be lost if this program did not come so far */
	message->type = MESSAGE_BEGIN;
	supervisor_send(supervisor, message, NULL, 0);
}

static void
channel_closed(struct channel *channel, const char *why)
{
	struct supervisor *supervisor = channel->owner;

	/* it is dead, or lost its mind: either way it is over; its end is told when it is reaped */
	log_debug("the channel to the balancer: %s", why);
	channel_close(channel);
	if (supervisor->state != SUPERVISOR_ENDING)
		child_signal_group(&supervisor->child, SIGKILL);
}

/* What it may know of our environment: where to put files, and what time it is here. */
static void
environment(const char *out[ENVIRONMENT_MAX], char text[ENVIRONMENT_MAX][512])
{
	static const char *const names[] = {"PATH", "TMPDIR", "TZ", "LANG"};
	size_t count = 0;

	for (size_t i = 0; i < array_count(names); i++) {
		const char *value = getenv(names[i]);
		if (value != NULL && str_format(text[count], sizeof(text[count]), "%s=%s", names[i], value)) {
			out[count] = text[count];
			count++;
		}
	}
	out[count] = NULL;
}

static bool
start_child(struct supervisor *supervisor, int channel_fd)
{
	const char *envp[ENVIRONMENT_MAX];
	char text[ENVIRONMENT_MAX][512], uid[16], gid[16];
	const char *argv[] = {"passenger", "balance", "--uid", uid, "--gid", gid, NULL};

	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return false;
	environment(envp, text);
	str_format(uid, sizeof(uid), "%u", supervisor->uid);
	str_format(gid, sizeof(gid), "%u", supervisor->gid);
	const struct child_fd fds[] = {
		{null_fd, STDIN_FILENO},
		{STDOUT_FILENO, STDOUT_FILENO},
		{STDERR_FILENO, STDERR_FILENO},
		{channel_fd, SUPERVISOR_CHANNEL_FD},
	};
	bool started = child_start(supervisor->children, &supervisor->child, argv, envp, fds, array_count(fds));
	int saved = errno;
	close(null_fd);
	errno = saved;
	return started;
}

void
supervisor_init(struct supervisor *supervisor)
{
	supervisor->state = SUPERVISOR_IDLE;
	supervisor->child.pidfd = -1;
	supervisor->child.ended = balancer_ended;
	supervisor->check.due = check_due;
	supervisor->channel.owner = supervisor;
	supervisor->channel.received = channel_received;
	supervisor->channel.closed = channel_closed;
	supervisor->channel.watch.fd = -1;
}

bool
supervisor_start(struct supervisor *supervisor)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return false;
	atomic_store(&supervisor->board->beat_ms, clock_monotonic_ms());
	bool started = start_child(supervisor, pair[1]);
	int saved = errno;
	close(pair[1]);
	if (!started) {
		close(pair[0]);
		errno = saved;
		return false;
	}
	supervisor->started_ms = supervisor->checked_ms = supervisor->loop->now_ms;
	supervisor->forgiven_until_ms = 0;
	supervisor->pid = supervisor->child.pid;
	atomic_store(&supervisor->board->balancer_pid, (uint32_t)supervisor->child.pid);
	atomic_fetch_add(&supervisor->board->balancer_starts, 1);
	channel_open(&supervisor->channel, supervisor->loop, pair[0]);
	supervisor_move(supervisor, SUPERVISOR_STARTING);
	timer_set(supervisor->loop, &supervisor->check, SUPERVISOR_CHECK_MS);
	supervisor->events->started(supervisor);
	return true;
}

bool
supervisor_restore(struct supervisor *supervisor, enum supervisor_state state)
{
	int fd = supervisor->channel.watch.fd;
	int32_t pid = supervisor->child.pid;

	supervisor->channel.watch.fd = -1;
	if (fd < 0 || !child_restore(supervisor->children, &supervisor->child, pid)) {
		if (fd >= 0)
			close(fd);
		supervisor->child.pid = 0;
		return false;
	}
	supervisor->pid = pid;
	supervisor->started_ms = supervisor->checked_ms = supervisor->loop->now_ms;
	channel_open(&supervisor->channel, supervisor->loop, fd);
	supervisor->state = state;
	if (state == SUPERVISOR_SERVING) {
		atomic_store(&supervisor->board->balancer_pid, (uint32_t)pid);
		timer_set(supervisor->loop, &supervisor->check, SUPERVISOR_CHECK_MS);
	}
	return true;
}

void
supervisor_listen(struct supervisor *supervisor, bool listens)
{
	if (supervisor->channel.watch.ready != NULL)
		watch_change(supervisor->loop, &supervisor->channel.watch, listens ? EPOLLIN : 0);
}

void
supervisor_send(struct supervisor *supervisor, const struct message *message, const int *fds, size_t fd_count)
{
	if (supervisor->channel.watch.fd < 0)
		return;
	if (!channel_send(&supervisor->channel, message, fds, fd_count)) {
		log_error("the balancer does not read what it is told (%u messages wait); killing it",
		          supervisor->channel.queue.count);
		child_signal_group(&supervisor->child, SIGKILL);
	}
}

void
supervisor_end(struct supervisor *supervisor, uint64_t within_ms)
{
	switch (supervisor->state) {
	case SUPERVISOR_STARTING:
		/* it has nothing yet that could be finished */
		within_ms = within_ms < SUPERVISOR_UNBORN_MS ? within_ms : SUPERVISOR_UNBORN_MS;
		/* fall through */
	case SUPERVISOR_SERVING:
		supervisor_move(supervisor, SUPERVISOR_ENDING);
		break;
	case SUPERVISOR_WAITING:
		timer_cancel(supervisor->loop, &supervisor->check);
		supervisor_move(supervisor, SUPERVISOR_IDLE);
		supervisor->events->ended(supervisor);
		return;
	case SUPERVISOR_ENDING:
		break;
	case SUPERVISOR_IDLE:
	case SUPERVISOR_STATE_N:
		return;
	}
	if (within_ms == 0)
		child_signal_group(&supervisor->child, SIGKILL);
	timer_set(supervisor->loop, &supervisor->check, within_ms);
}
