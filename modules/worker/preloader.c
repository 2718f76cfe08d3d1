#include "worker/preloader.h"

#include "base/log.h"
#include "config/app_type.h"
#include "worker/ladder.h"
#include "worker/launch.h"
#include "worker/ready.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FORKS_MAX = 2,
	SENT_FDS = 4, /* stdin, output, listener, control: as the loader takes them */
	STOP_DRAIN_MS = 2000,
	OUTPUT_SHOWN_BYTES = 256,
};

static const struct worker_role preloader_role;

/* --- who there is ----------------------------------------------------------------- */

/* Does it hold what the newest restart wants? */
static bool
is_current(const struct worker *preloader)
{
	return preloader->record.generation == preloader->table->generations[preloader->app->id];
}

/* The one that is used: neither told to stop nor overtaken by a restart. */
static struct worker *
find(const struct workers *workers, uint32_t app_id)
{
	static const enum worker_state states[] = {WORKER_STARTING, WORKER_RUNNING, WORKER_FAILED};

	for (size_t i = 0; i < array_count(states); i++) {
		list_each (&workers->states[states[i]], node) {
			struct worker *worker = container_of(node, struct worker, node);
			if (worker->role == &preloader_role && worker->app->id == app_id && is_current(worker))
				return worker;
		}
	}
	return NULL;
}

/* Is it to be forked, and not adopted yet? */
static bool
is_wanted(const struct worker *worker, uint32_t app_id)
{
	return worker->child.pid == 0 && worker->role == NULL && worker->app->id == app_id;
}

static struct worker *
next_waiting(const struct workers *workers, uint32_t app_id)
{
	list_each (&workers->states[WORKER_STARTING], node) {
		struct worker *worker = container_of(node, struct worker, node);
		if (is_wanted(worker, app_id) && worker->control.ready == NULL)
			return worker;
	}
	return NULL;
}

int32_t
preloader_pid(const struct workers *workers, uint32_t app_id)
{
	const struct worker *preloader = find(workers, app_id);

	return preloader != NULL ? preloader->child.pid : 0;
}

/* --- hello ---------------------------------------------------------------------------- */

static void serve(struct workers *workers, uint32_t app_id);

/* Nobody came of the descriptors that were sent. */
static void
lost(struct worker *worker)
{
	struct worker *preloader = find(worker->table, worker->app->id);
	char sentence[LAUNCH_SENTENCE_BYTES], last[OUTPUT_SHOWN_BYTES] = "", shown[OUTPUT_SHOWN_BYTES] = "";

	if (worker->forks < FORKS_MAX) {
		log_warn("application %s: its preloader made no process; it is asked again", worker->app->name);
		worker_reset(worker);
		serve(worker->table, worker->app->id);
		return;
	}
	if (preloader != NULL && capture_last(&preloader->capture, last, sizeof(last)) > 0)
		log_escape(shown, sizeof(shown), str_from(last));
	str_format(sentence, sizeof(sentence), "its preloader made no process, twice in a row%s%s",
	           shown[0] != '\0' ? "; it wrote: " : "", shown);
	capture_close(&worker->capture);
	worker_abandon(worker, sentence);
}

static void
hello_due(struct timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, probe);
	struct worker *preloader = find(worker->table, worker->app->id);

	/* it hangs, or an application's own code does, in the middle of a fork */
	if (preloader != NULL)
		ladder_kill(preloader, "it makes no process within start_timeout");
	worker_abandon(worker, "its preloader made no process within start_timeout; is it rlimits (nproc)?");
}

static void
adopt(struct worker *worker, const struct ucred *who)
{
	struct workers *workers = worker->table;
	char sentence[LAUNCH_SENTENCE_BYTES];
	int fd = worker->control.fd, off = 0;

	if (who->uid != worker->app->uid || !child_adopt(workers->children, &worker->child, who->pid)) {
		str_format(sentence, sizeof(sentence),
		           "process %d (uid %u) said hello for it, which is no child of ours that could be it: %s",
		           (int)who->pid, (unsigned)who->uid, strerror(errno));
		worker_abandon(worker, sentence);
		return;
	}
	worker->record.pid = worker->child.pid;
	str_format(worker->capture.prefix, sizeof(worker->capture.prefix), "App %s %d output: ", worker->app->name,
	           worker->child.pid);
	timer_cancel(workers->loop, &worker->probe);
	watch_remove(workers->loop, &worker->control);
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)) != 0)
		log_debug("credentials are still told on a control descriptor: %s", strerror(errno));
	launch_add_arguments(worker);
	log_info("application %s: process %d is forked", worker->app->name, worker->child.pid);
	ready_begin(worker, fd);
}

static void
hello_ready(struct watch *watch, uint32_t events)
{
	struct worker *worker = container_of(watch, struct worker, control);
	char text[8];
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec part = {text, sizeof(text)};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct ucred who;

	(void)events;
	ssize_t len = recvmsg(watch->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	const struct cmsghdr *head = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (head == NULL || head->cmsg_type != SCM_CREDENTIALS || head->cmsg_len != CMSG_LEN(sizeof(who)) ||
	    !str_equal(str_make(text, (size_t)len), STR("HELLO\n"))) {
		lost(worker);
		return;
	}
	memcpy(&who, CMSG_DATA(head), sizeof(who));
	adopt(worker, &who);
}

/* --- the command -------------------------------------------------------------------------- */

static bool
send_fds(int to, const int fds[SENT_FDS])
{
	union {
		char bytes[CMSG_SPACE(SENT_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	char text[] = "F";
	struct iovec part = {text, 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(SENT_FDS * sizeof(int));
	memcpy(CMSG_DATA(head), fds, SENT_FDS * sizeof(int));
	return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

/* Ours of what was sent. */
static bool
watch_ends(struct worker *worker, const struct worker *preloader, struct launch_ends *ends)
{
	struct loop *loop = worker->table->loop;
	char prefix[128];

	/* until it is adopted it writes nothing but why it can not be */
	str_format(prefix, sizeof(prefix), "App %s preloader %d output: ", worker->app->name, preloader->child.pid);
	capture_open(&worker->capture, loop, &worker->table->sinks[worker->app->id], ends->output_read, prefix);
	ends->output_read = -1;
	if (!watch_add(loop, &worker->control, ends->control_ours, EPOLLIN, hello_ready))
		return false;
	ends->control_ours = -1;
	worker->probe.due = hello_due;
	timer_set(loop, &worker->probe, worker->app->start_timeout_ms);
	return true;
}

static void
fork_worker(struct worker *preloader, struct worker *worker)
{
	struct launch_ends ends = LAUNCH_NO_ENDS;
	char sentence[LAUNCH_SENTENCE_BYTES] = "";
	int on = 1;

	worker->forks++;
	/* the mark that the kernel shows of all of them is the first one's */
	str_cut_z(worker->preloader, sizeof(worker->preloader),
	          str_from(preloader->preloader[0] != '\0' ? preloader->preloader : preloader->record.gupid));
	worker->reforks = preloader->reforks;
	str_cut_z(worker->user, sizeof(worker->user), str_from(preloader->user));
	if (launch_make_ends(worker, &ends, sentence)) {
		const int fds[SENT_FDS] = {ends.stdin_read, ends.output_write, worker->listen_fd, ends.control_child};
		/* before the other end is anybody's: each byte comes with its writer's credentials */
		if (setsockopt(ends.control_ours, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
			str_format(sentence, sizeof(sentence), "its control descriptor is refused: %s", strerror(errno));
		else if (preloader->control.ready == NULL || !send_fds(preloader->control.fd, fds))
			ladder_kill(preloader, "it takes no commands any more");
		else if (!watch_ends(worker, preloader, &ends))
			str_format(sentence, sizeof(sentence), "its control descriptor can not be watched: %s",
			           strerror(errno));
	}
	launch_close_ends(&ends);
	if (sentence[0] != '\0')
		worker_abandon(worker, sentence);
	else if (worker->control.ready == NULL)
		worker_reset(worker); /* it waits for the next preloader */
}

/* All that wait get a process, or a preloader to wait for. */
static void
serve(struct workers *workers, uint32_t app_id)
{
	struct worker *worker;

	while ((worker = next_waiting(workers, app_id)) != NULL) {
		struct worker *preloader = find(workers, app_id);
		if (preloader == NULL) {
			launch_worker(workers, worker->app, &preloader_role);
			return;
		}
		if (preloader->state != WORKER_RUNNING)
			return;
		if (worker->forks >= FORKS_MAX) {
			lost(worker);
			continue;
		}
		fork_worker(preloader, worker);
		if (worker->app->max_preloader_idle_time_ms > 0)
			timer_set(workers->loop, &preloader->probe, worker->app->max_preloader_idle_time_ms);
	}
}

/* --- a preloader's life --------------------------------------------------------------------- */

static void
idle_due(struct timer *timer)
{
	struct worker *preloader = container_of(timer, struct worker, probe);

	if (preloader->state != WORKER_RUNNING)
		return;
	/* It has a process to make. */
	list_each (&preloader->table->states[WORKER_STARTING], node) {
		if (is_wanted(container_of(node, struct worker, node), preloader->app->id)) {
			timer_set(preloader->table->loop, timer, preloader->app->max_preloader_idle_time_ms);
			return;
		}
	}
	log_notice("application %s: preloader %d has been idle for max_preloader_idle_time and is stopped",
	           preloader->app->name, preloader->child.pid);
	ladder_retire(preloader, STOP_DRAIN_MS, WORKER_TERM_MS);
}

static void
wait_for_work(struct worker *preloader)
{
	preloader->probe.due = idle_due;
	if (preloader->app->max_preloader_idle_time_ms > 0)
		timer_set(preloader->table->loop, &preloader->probe, preloader->app->max_preloader_idle_time_ms);
}

static void
is_ready(struct worker *preloader)
{
	log_notice("application %s: preloader %d is ready after %llu ms", preloader->app->name, preloader->child.pid,
	           (unsigned long long)(preloader->table->loop->now_ms - preloader->launched_ms));
	wait_for_work(preloader);
	serve(preloader->table, preloader->app->id);
}

/* The application can not be loaded: no process that waits for it can be. */
static void
has_failed(struct worker *preloader, const struct failure *failure)
{
	struct worker *worker;

	/* of one that a restart has overtaken nothing follows for the next */
	while (is_current(preloader) && (worker = next_waiting(preloader->table, preloader->app->id)) != NULL)
		worker_refuse(worker, failure);
}

static void
has_ended(struct worker *preloader)
{
	serve(preloader->table, preloader->app->id);
}

static const struct worker_role preloader_role = {
	.ready = is_ready,
	.failed = has_failed,
	.ended = has_ended,
};

void
preloader_restore(struct worker *worker, bool is_preloader, int control_fd)
{
	if (is_preloader) {
		worker->role = &preloader_role;
		ready_restore(worker, control_fd);
		if (worker->state == WORKER_RUNNING)
			worker->probe.due = idle_due;
		return;
	}
	worker->probe.due = hello_due;
	if (control_fd >= 0 && !watch_add(worker->table->loop, &worker->control, control_fd, EPOLLIN, hello_ready)) {
		close(control_fd);
		worker_reset(worker);
	}
}

void
preloader_go_on(struct workers *workers, uint32_t app_id)
{
	serve(workers, app_id);
}

void
preloader_take(struct worker *worker)
{
	struct workers *workers = worker->table;

	timer_cancel(workers->loop, &worker->timer);
	workers->events->gone(worker, "became the preloader");
	worker_give_back(worker);
	worker->role = &preloader_role;
	worker_move(worker, WORKER_RUNNING);
	worker->record.generation = workers->generations[worker->app->id] + 1;
	worker->reforks++;
	wait_for_work(worker);
}

void
preloader_spawn(struct workers *workers, const struct app_config *app)
{
	if (!app_config_preloads(app)) {
		launch_worker(workers, app, NULL);
		return;
	}
	worker_new(workers, app);
	serve(workers, app->id);
}

void
preloader_renew(struct workers *workers, uint32_t app_id)
{
	for (size_t state = WORKER_STARTING; state <= WORKER_RUNNING; state++) {
		list_each (&workers->states[state], node) {
			struct worker *worker = container_of(node, struct worker, node);
			if (worker->role == &preloader_role && worker->app->id == app_id && !is_current(worker)) {
				ladder_retire(worker, STOP_DRAIN_MS, WORKER_TERM_MS);
			} else if (is_wanted(worker, app_id)) {
				/* who has not said hello yet would come with the old code */
				worker_reset(worker);
				worker->forks = 0;
			}
		}
	}
	serve(workers, app_id);
}
